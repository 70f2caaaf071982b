"""The ledger: claims examined side by side, recorded one by one, judged together.

Examination is parallel over processes (joblib; its dask backend can take over) and the same for any number
of jobs. Verdicts are made when all evidence is in, because the error rate is shared by the whole ledger.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import joblib

from kdtheory.claims import REGISTRY, Claim, Plan, Verdict, examine, judge, judge_family, with_control
from kdtheory.claims.evidence import from_record, to_record
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
        plan: seed, tier, data, device, mutants.
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
    """The records of `claims`, each as soon as it is there."""
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
        "expected": claim.expect.name,
        "premise": {name: repr(value) for name, value in claim.premise.items()},
        "evidence": to_record(found.premise),
        "control": {
            "because": claim.control.because,
            "overrides": {name: repr(value) for name, value in claim.control.overrides.items()},
            "brings": claim.control_brings.name,
            "evidence": to_record(found.control),
        },
        "mutants": None if mutants is None else {name: to_record(mutants[name]) for name in mutants},
        "seconds": round(time.perf_counter() - start, 3),
    }


def collate(records: Sequence[Record], plan: Plan, /, *, alpha: float = 0.05) -> Record:
    """Judge all records as one family, and make the ledger."""
    family = [
        from_record(piece)
        for record in records
        for piece in (record["evidence"], record["control"]["evidence"])
    ]
    verdicts = judge_family(family, alpha=alpha)
    findings = [
        _finding(record, premise, control, alpha)
        for record, premise, control in zip(records, verdicts[::2], verdicts[1::2], strict=True)
    ]
    return {
        "schema": 1,
        "version": version("kdtheory"),
        "seed": plan.seed,
        "tier": plan.tier,
        "alpha": alpha,
        "decisions": sum(evidence.statistical for evidence in family),
        "findings": findings,
    }


def as_document(ledger: Record, /) -> Record:
    """The ledger in the keys of schema 1, as `kdtheory verify --json` prints it."""
    return {
        **{key: ledger[key] for key in ("schema", "version", "seed", "tier", "alpha")},
        "findings": [
            {
                **{key: value for key, value in row.items() if key != "section"},
                "mutants": row["mutants"] and {key: row["mutants"][key] for key in ("killed", "total")},
            }
            for row in ledger["findings"]
        ],
    }


def _finding(record: Record, premise: Verdict, control: Verdict, alpha: float) -> Record:
    verdict = with_control(premise, control, brings=Verdict[record["control"]["brings"]])
    return {
        "name": record["name"],
        "section": record["section"],
        "chapter": record["chapter"],
        "statement": record["statement"],
        "source": record["source"],
        "expected": record["expected"],
        "verdict": verdict.name,
        "as_expected": verdict.name == record["expected"],
        "control": {"verdict": control.name, "as_expected": control.name == record["control"]["brings"]},
        "evidence": record["evidence"],
        "mutants": _score(record["mutants"], premise, alpha),
        "seconds": record["seconds"],
    }


def _score(mutants: Mapping[str, Any] | None, premise: Verdict, alpha: float) -> Record | None:
    """Mutants under which the verdict changed; one that could not run was not noticed by the check."""
    if mutants is None:
        return None
    unnoticed = (premise, Verdict.ERROR, Verdict.OUT_OF_SCOPE)
    verdicts = {name: judge(from_record(record), alpha=alpha) for name, record in mutants.items()}
    survivors = [name for name, verdict in verdicts.items() if verdict in unnoticed]
    return {"killed": len(verdicts) - len(survivors), "total": len(verdicts), "survivors": survivors}


def exit_code(ledger: Record, /) -> int:
    """0 all as expected; 1 a claim came out otherwise or a mutant survived; 2 some could not be checked."""
    findings = ledger["findings"]
    could_not = {Verdict.ERROR.name, Verdict.OUT_OF_SCOPE.name}
    survived = any(row["mutants"] and row["mutants"]["killed"] < row["mutants"]["total"] for row in findings)
    if survived or any(not row["as_expected"] and row["verdict"] not in could_not for row in findings):
        return 1
    return 0 if all(row["as_expected"] for row in findings) else 2
