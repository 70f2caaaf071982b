"""The ledger: claims examined side by side, recorded one by one, judged together.

Examination is parallel over processes (joblib; its dask backend can take over) and the same for any number
of jobs. Verdicts are made when all evidence is in, because the error rate is shared by the whole ledger.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version

import joblib

from kdtheory.claims import REGISTRY, Claim, Judgement, Plan, Verdict, examine, judge_family
from kdtheory.claims.evidence import from_record, to_record
from kdtheory.claims.finding import SCHEMA, finding
from kdtheory.claims.power import Power
from kdtheory.claims.verdict import decisive_p_values
from kdtheory.records import Record, RunDirectory
from kdtheory.validate import check_fraction

__all__ = ["as_document", "collate", "examined", "exit_code", "verify"]


def verify(
    claims: Sequence[Claim],
    plan: Plan,
    /,
    *,
    jobs: int = 1,
    alpha: float = 0.05,
    directory: RunDirectory | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Record:
    """Examine `claims` and judge them as one ledger.

    Args:
        claims: what to examine; each one's random stream depends on its name and the seed only.
        plan: seed, tier, data, device, mutants, power.
        jobs: processes; −1 for all cores. The findings are the same for any number.
        alpha: the family-wise error rate.
        directory: an open run directory; each record is saved as soon as it is there, and claims that it
            already holds are not examined again.
        progress: called with the number of claims examined and of all.

    Returns:
        The ledger, made of plain JSON types: what `as_document` prints, the number of sampled decisions that
        share α, and the mutants that survived.

    Raises:
        ValueError: no claim is given, jobs is 0, or alpha is outside (0, 1).
    """
    if not claims:
        raise ValueError("there is no claim to verify; name at least one")
    check_fraction("alpha", alpha, open_interval=True)
    if jobs == 0:
        raise ValueError("jobs = 0 runs nothing; give a number of processes, or -1 for all cores")
    kept = directory.finished() if directory else {}
    records = {claim.name: kept[claim.name] for claim in claims if claim.name in kept}
    for record in examined([claim for claim in claims if claim.name not in records], plan, jobs=jobs):
        if directory:
            directory.save(record)
        records[record["name"]] = record
        if progress:
            progress(len(records), len(claims))
    ledger = collate([records[claim.name] for claim in claims], plan, alpha=alpha)
    if directory:
        directory.close(ledger)
    return ledger


def examined(claims: Sequence[Claim], plan: Plan, /, *, jobs: int = 1) -> Iterator[Record]:
    """The records of `claims`, each as soon as it is there; the costliest start first."""
    claims = sorted(claims, key=lambda claim: -claim.cost)
    if jobs == 1 or len(claims) == 1:
        yield from (_record(claim, plan) for claim in claims)
        return
    # No backend is named: it is loky unless the caller's `joblib.parallel_config` names another.
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    yield from parallel(
        joblib.delayed(_examine_by_name)(claim.check.__module__, claim.name, plan) for claim in claims
    )


def _examine_by_name(module: str, name: str, plan: Plan) -> Record:
    importlib.import_module(module)
    return _record(REGISTRY[name], plan)


def _record(claim: Claim, plan: Plan) -> Record:
    start = time.perf_counter()
    found = examine(claim, plan)
    mutants = found.mutants
    return {
        "name": claim.name,
        "section": claim.section,
        "chapter": claim.chapter,
        "statement": claim.statement,
        "formula": claim.formula,
        "source": claim.source,
        "place": claim.place,
        "assumes": list(claim.assumes),
        "how": claim.how,
        "reading": claim.reading,
        "loose": claim.loose,
        "tuned_on": list(claim.tuned_on),
        "expected": claim.expect.name,
        "brings": claim.control_brings.name,
        "premise": {name: repr(value) for name, value in claim.premise.items()},
        "evidence": to_record(found.premise),
        "controls": [
            {
                "because": control.because,
                "overrides": {name: repr(value) for name, value in control.overrides.items()},
                "evidence": to_record(evidence),
            }
            for control, evidence in zip(claim.controls, found.controls, strict=True)
        ],
        "mutants": None if mutants is None else {name: to_record(mutants[name]) for name in mutants},
        "power": found.power and _power_record(found.power),
        "seconds": round(time.perf_counter() - start, 3),
    }


def _power_record(power: Power) -> Record:
    tried = {
        way: {f"{error:g}": to_record(evidence) for error, evidence in runs.items()}
        for way, runs in power.tried.items()
    }
    return {"target": power.target, "declared": power.declared, "tried": tried}


def collate(records: Sequence[Record], plan: Plan, /, *, alpha: float = 0.05) -> Record:
    """Judge all records as one family, and make the ledger."""
    premises = [from_record(record["evidence"]) for record in records]
    controls = [[from_record(control["evidence"]) for control in record["controls"]] for record in records]
    family = [*premises, *(evidence for some in controls for evidence in some)]
    judged = judge_family(family, alpha=alpha)
    shares = [decisive_p_values(evidence) for evidence in family]
    rest, findings = iter(judged[len(premises) :]), []
    for n, (record, some) in enumerate(zip(records, controls, strict=True)):
        others = [p for m, share in enumerate(shares) if m != n for p in share]

        def in_its_place(evidence: Record, others: list[float] = others) -> Judgement:
            """What is judged in the place of the premise of this claim."""
            return judge_family([from_record(evidence)], alpha=alpha, others=others)[0]

        findings.append(finding(record, judged[n], [next(rest) for _ in some], in_its_place))
    return {
        "schema": SCHEMA,
        "version": version("kdtheory"),
        "seed": plan.seed,
        "tier": plan.tier,
        "alpha": alpha,
        "decisions": sum(map(len, shares)),
        "findings": findings,
    }


def as_document(ledger: Record, /) -> Record:
    """The ledger in the keys of its schema, as `kdtheory verify --json` prints it."""
    return {
        **{key: ledger[key] for key in ("schema", "version", "seed", "tier", "alpha")},
        "findings": [
            {
                **{key: value for key, value in row.items() if key != "section"},
                "mutants": row["mutants"] and _counted(row["mutants"]),
            }
            for row in ledger["findings"]
        ],
    }


def _counted(score: Record) -> Record:
    return {"killed": score["killed"], "total": score["total"], "unsure": len(score["unsure"])}


def exit_code(ledger: Record, /) -> int:
    """0 all as expected; 1 a claim came out otherwise or a mutant survived; 2 some could not be checked."""
    findings = ledger["findings"]
    could_not = {Verdict.ERROR.name, Verdict.OUT_OF_SCOPE.name}
    survived = any(row["mutants"] and row["mutants"]["killed"] < row["mutants"]["total"] for row in findings)
    if survived or any(not row["as_expected"] and row["verdict"] not in could_not for row in findings):
        return 1
    return 0 if all(row["as_expected"] for row in findings) else 2
