"""The ledger: claims examined side by side, recorded one by one, judged together.

Examination is parallel over processes, on this machine or within `kdtheory.clusters.on_cluster`, and the same
for any number. Verdicts are made when all evidence is in, because the error rate is shared by the whole
ledger.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from kdtheory import __version__
from kdtheory._near import near
from kdtheory.claims import REGISTRY, Claim, Judgement, Plan, Verdict, examine, judge_family
from kdtheory.claims.evidence import Evidence
from kdtheory.claims.examined import Examined
from kdtheory.claims.finding import Ledger
from kdtheory.claims.judging import finding
from kdtheory.claims.verdict import decisive_p_values
from kdtheory.datasets import load_images
from kdtheory.doors import gate
from kdtheory.outside import check_sources
from kdtheory.progress import Progress, told
from kdtheory.records import RunDirectory, code_of
from kdtheory.validate import check_fraction
from kdtheory.workers import renew, spread, workers_elsewhere

__all__ = ["Ledger", "collate", "examined", "exit_code", "sharing_rows", "verify"]

_SENT: dict[str, str] = {}
"""The modules that worker processes were told to import, and the digest of the code of each."""


@gate
def verify(
    claims: Claim | str | Sequence[Claim | str],
    plan: Plan = Plan(),  # noqa: B008 — it is frozen
    /,
    *,
    jobs: int = 1,
    alpha: float = 0.05,
    directory: RunDirectory | None = None,
    progress: Progress = None,
) -> Ledger:
    """Examine `claims` and judge them as one ledger.

    Args:
        claims: what to examine, or its name, or several; each one's random stream depends on its name and the
            seed only. Papers are read from the BibTeX files beside a claim.
        plan: seed, tier, data, device, mutants, power.
        jobs: processes; −1 for all cores. The findings are the same for any number, and on a cluster.
        alpha: the family-wise error rate.
        directory: an open run directory; each record is saved as soon as it is there, and claims that it
            already holds are not examined again.
        progress: called with the number of claims examined and of all. None
            shows a bar on a terminal and in a notebook, True a line now and then elsewhere, False nothing.

    Returns:
        The ledger: a finding for each claim, in the order given.

    Raises:
        ValueError: no claim is given, one is not known or cites what no bibliography has, jobs is 0, alpha is
            outside (0, 1), or a record is damaged.
        ChildProcessError: a worker process was killed; the records that are there are kept.
    """
    if not isinstance(claims, Claim | str | Iterable):
        raise ValueError(f"claims = {claims!r} must be claims, or names of claims")
    chosen = _named([claims] if isinstance(claims, Claim | str) else list(claims))
    if not isinstance(plan, Plan):
        raise ValueError(f"plan = {plan!r} must be a Plan; give Plan(seed=…)")
    check_how(jobs=jobs, alpha=alpha)
    check_sources(chosen)
    found = directory.finished(chosen) if directory else {}
    left = [claim for claim in chosen if claim.name not in found]
    with told(progress, "claims") as tell:
        tell(len(found), len(chosen))
        for one in examined(left, plan, jobs=jobs):
            if directory:
                directory.save(one)
            found[one.name] = one
            tell(len(found), len(chosen))
    ledger = collate([found[claim.name] for claim in chosen], plan, alpha=alpha)
    if directory:
        directory.close(ledger)
    return ledger


def check_how(*, jobs: Any, alpha: Any) -> None:
    """Raise unless claims can be examined by so many processes and judged at that error rate."""
    check_fraction("alpha", alpha, open_interval=True)
    if isinstance(jobs, bool) or not isinstance(jobs, int):
        raise ValueError(f"jobs = {jobs!r} must be a whole number of processes, or -1 for all cores")
    if jobs == 0:
        raise ValueError("jobs = 0 runs nothing; give a number of processes, or -1 for all cores")


def _named(claims: Sequence[Any]) -> list[Claim]:
    """The claims, some of which may be given by name."""
    if not claims:
        raise ValueError("there is no claim to verify; name at least one")
    for claim in claims:
        if not isinstance(claim, Claim | str):
            raise ValueError(f"claims holds {claim!r}; give claims, or names of claims")
        if isinstance(claim, str) and claim not in REGISTRY:
            raise ValueError(f"claim {claim!r} is not known{near(claim, list(REGISTRY))}")
    return [REGISTRY[claim] if isinstance(claim, str) else claim for claim in claims]


@gate
def examined(claims: Sequence[Claim], plan: Plan, /, *, jobs: int = 1) -> Iterator[Examined]:
    """The claims, each as soon as it is examined, with the digest of its code; the costliest start first.

    Claims that read the same rows are examined in one process, one after the other, and the rows are measured
    once.

    Raises:
        ChildProcessError: a worker process was killed.
        ValueError: a claim is declared where worker processes do not find it.
    """
    code = {claim.name: code_of(claim) for claim in claims}
    groups = sorted(sharing_rows(claims), key=lambda group: -sum(claim.cost for claim in group))
    if workers_elsewhere() is None and (jobs == 1 or len(groups) == 1):
        found: Iterator[Examined] = (_timed(claim, plan) for group in groups for claim in group)
    else:
        _renew_where_changed({_home(claim): code[claim.name] for claim in claims})
        tasks = [([(_home(claim), claim.name, code[claim.name]) for claim in group],) for group in groups]
        shared = plan, load_images(plan.data).digest if plan.data else None
        found = chain.from_iterable(spread(_examine_by_name, tasks, jobs=jobs, shared=shared))
    yield from (replace(one, code=code[one.name]) for one in found)


def _renew_where_changed(code: dict[str, str]) -> None:
    """A module that was loaded again since workers have imported it would be the old one there."""
    if any(_SENT.get(module, known) != known for module, known in code.items()):
        renew()
    _SENT.update(code)


@gate
def sharing_rows(claims: Sequence[Claim], /) -> list[list[Claim]]:
    """The claims in groups; those of two groups have no experiment in common."""
    groups: list[tuple[set[Hashable], list[Claim]]] = []
    for claim in claims:
        read = set(claim.reads)
        joined = [group for group in groups if group[0] & read]
        groups = [group for group in groups if not group[0] & read]
        together = [one for _, members in joined for one in members]
        groups.append((read.union(*(some for some, _ in joined)), [*together, claim]))
    return [members for _, members in groups]


def _home(claim: Claim) -> str:
    """The module that a worker process imports to find the claim."""
    home = claim.relation.__module__
    if home == "__main__":
        raise ValueError(
            f"claim {claim.name} is declared in the script itself, where worker processes do not find it; "
            "declare it in a module, or use jobs = 1"
        )
    return home


def _examine_by_name(plan: Plan, data: str | None, places: Sequence[tuple[str, str, str]]) -> list[Examined]:
    if plan.data and load_images(plan.data).digest != data:
        raise ValueError(f"data = {str(plan.data)!r} holds other images on a worker; give all the same")
    with contextlib.redirect_stdout(sys.stderr):  # stdout has the answer of the process that asked
        for module, name, code in places:
            importlib.import_module(module)
            if code_of(REGISTRY[name]) != code:
                raise ValueError(
                    f"claim {name}: a worker has other code of {module}, or other versions below it, than "
                    "this process; install the same on both"
                )
        return [_timed(REGISTRY[name], plan) for _, name, _ in places]


def _timed(claim: Claim, plan: Plan) -> Examined:
    start = time.perf_counter()
    found = examine(claim, plan)
    return Examined.of(claim, found, seconds=round(time.perf_counter() - start, 3))


@gate
def collate(examined: Sequence[Examined], plan: Plan, /, *, alpha: float = 0.05) -> Ledger:
    """Judge all that was examined as one family, and make the ledger."""
    family = [one.evidence for one in examined]
    family += [control.evidence for one in examined for control in one.controls]
    judged = judge_family(family, alpha=alpha)
    shares = [decisive_p_values(evidence) for evidence in family]
    rest, findings = iter(judged[len(examined) :]), []
    for n, one in enumerate(examined):
        others = [p for m, share in enumerate(shares) if m != n for p in share]

        def in_its_place(evidence: Evidence, others: list[float] = others) -> Judgement:
            """The piece that is judged in the place of the premise of this claim."""
            return judge_family([evidence], alpha=alpha, others=others)[0]

        findings.append(finding(one, judged[n], [next(rest) for _ in one.controls], in_its_place))
    decisions = sum(map(len, shares))
    return Ledger(__version__, plan.seed, plan.tier, alpha, decisions, tuple(findings))


@gate
def exit_code(ledger: Ledger, /) -> int:
    """0 all as expected; 1 a claim came out otherwise or a mutant survived; 2 some could not be checked."""
    could_not = (Verdict.ERROR, Verdict.OUT_OF_SCOPE)
    survived = any(one.mutants is not None and one.mutants.survivors for one in ledger)
    if survived or any(one.verdict not in could_not for one in ledger.unexpected):
        return 1
    return 2 if ledger.unexpected else 0
