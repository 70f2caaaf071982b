"""One claim examined: its premise, its controls, its mutants, its power, each judged by the same relation.

Whatever an experiment or a relation raises becomes a `Failure`, so that one broken claim costs one row and
not the ledger.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from kdtheory._lazy import fetch
from kdtheory.claims.core import REGISTRY, Claim, Mutant
from kdtheory.claims.evidence import Evidence, Failure
from kdtheory.claims.power import Power, power_of
from kdtheory.doors import calls_recorded, gate
from kdtheory.experiments import Run, with_replaced
from kdtheory.streams import Stream
from kdtheory.types import as_torch_starts, torch_threads

__all__ = ["Examination", "Plan", "examine", "mutated", "patched"]


@gate
@dataclass(frozen=True)
class Plan:
    """How the claims of a run are examined: seed, tier, data, device, and whether mutants and power are run.

    The power is a search for the smallest error in a claim's central constant that its check notices.
    """

    seed: int = 0
    tier: str = "quick"
    data: Path | None = None
    device: str = "auto"
    mutants: bool = False
    power: bool = False

    def __post_init__(self) -> None:
        _ = self.run  # refuses a bad seed or tier before anything runs

    @property
    def run(self) -> Run:
        """The run in which the experiments of all claims are made."""
        return Run(Stream(self.seed), self.tier, self.data, self.device)


@gate
@dataclass(frozen=True)
class Examination:
    """The evidence of one claim, and the public functions that its premise and controls called."""

    premise: Evidence
    controls: tuple[Evidence, ...]
    mutants: dict[str, Evidence] | None
    power: Power | None
    calls: tuple[str, ...] = ()


@gate
def examine(claim: Claim, plan: Plan, /) -> Examination:
    """Run the premise and the controls and, if the plan says so, each mutant of a claim and its power."""
    with _alone(), calls_recorded() as called:
        premise = _run(claim, plan, {})
        controls = tuple(_run(claim, plan, dict(control.overrides)) for control in claim.controls)
    mutants = {m.name: mutated(claim, plan, m) for m in claim.mutants} if plan.mutants else None
    power = power_of(claim, premise, run=functools.partial(mutated, claim, plan)) if plan.power else None
    calls = sorted({f"{function.__module__}.{function.__qualname__}" for function in called.direct})
    return Examination(premise, controls, mutants, power, tuple(calls))


def mutated(claim: Claim, plan: Plan, mutant: Mutant, /) -> Evidence:
    """Run the premise of a claim under a mutant."""
    with _alone():
        return _run(
            claim, plan, {}, patched(mutant, claim.relation, *(one.measure for one in claim.experiments))
        )


def _run(
    claim: Claim,
    plan: Plan,
    overrides: dict[str, Any],
    wrong: AbstractContextManager[None] | None = None,
) -> Evidence:
    try:
        with wrong or contextlib.nullcontext():
            return claim.evidence(plan.run, **overrides)
    except (Exception, SystemExit) as error:  # a claim that cannot run is a row of the ledger, never its end
        return Failure(error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())


@contextlib.contextmanager
def patched(mutant: Mutant, /, *users: Callable[..., Any]) -> Iterator[None]:
    """Replace the mutant's target, for the block, wherever this package or the module of a user names it.

    Raises:
        ValueError: nothing refers to the target by name, so that the mutant would change nothing.
    """
    REGISTRY.fill()  # what is imported within the block would keep the wrong version,
    fetch(getattr(mutant.target, "__name__", ""))  # and so would a package that is asked for it there
    places = [
        (namespace, name)
        for namespace in _namespaces(mutant.target, users)
        for name, value in namespace.items()
        if value is mutant.target
    ]
    if not places:
        raise ValueError(f"mutant {mutant.name!r}: nothing refers to its target by name")
    for namespace, name in places:
        namespace[name] = mutant.wrong
    try:
        with with_replaced(mutant.target):
            yield
    finally:
        for namespace, name in places:
            namespace[name] = mutant.target


def _namespaces(target: Callable[..., Any], users: Iterable[Callable[..., Any]]) -> list[dict[str, Any]]:
    """The globals of this package, of the target's package and of the users' modules, each once."""
    packages = {name.split(".")[0] for name in (__name__, target.__module__)}
    found = [vars(module) for name, module in list(sys.modules.items()) if name.split(".")[0] in packages]
    found += [user.__globals__ for user in users if hasattr(user, "__globals__")]
    return list({id(namespace): namespace for namespace in found}.values())


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """As in a worker process: one inner thread, so that sums come out alike, and torch as it starts.

    Raises:
        ValueError: torch's default dtype is not that of a fresh process.
    """
    if (dtype := torch.get_default_dtype()) is not torch.float32:
        raise ValueError(
            f"torch's default dtype is {dtype}, and claims are judged in what they ask for or float32; "
            "call torch.set_default_dtype(torch.float32) first"
        )
    with threadpool_limits(1), torch_threads(1), as_torch_starts(), torch.enable_grad():
        yield
