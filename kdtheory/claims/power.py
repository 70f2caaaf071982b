"""The power of a check: the smallest error in a claim's central constant that it notices.

The constant is scaled by 1 + e and by 1/(1 + e) in runs of the premise, for e from a fixed grid; what notices
an error is taken to notice larger ones, so that the smallest is found by bisection. The evidence of each run
is kept: whether an error is noticed is judged once more with the whole ledger, by the rule of the premise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kdtheory.claims.core import Claim, Mutant, Scaled
from kdtheory.claims.evidence import Evidence
from kdtheory.claims.verdict import Verdict, judge

__all__ = ["ERRORS", "Power", "noticed", "power_of", "smallest"]

ERRORS = (0.01, 0.02, 0.04, 0.08, 0.15, 0.25, 0.5, 1.0)
"""The errors e that are tried: a constant that is wrong by the factor 1 + e, either way."""


@dataclass(frozen=True)
class Power:
    """The runs of one search: what was scaled, and for each direction the evidence by error e.

    Args:
        target: what was scaled: the full name of a library function, and entries of its value.
        declared: whether the claim names it as its central constant, or it is that of its first mutant.
        tried: "more" and "less" ↦ e ↦ the evidence under that error.
    """

    target: str
    declared: bool
    tried: Mapping[str, Mapping[float, Evidence]]


def power_of(
    claim: Claim,
    premise: Evidence,
    /,
    *,
    run: Callable[[Mutant], Evidence],
    errors: Sequence[float] = ERRORS,
) -> Power:
    """Search for the smallest errors in the claim's central constant that change its verdict.

    Args:
        claim: the claim; where it declares no `power`, the value of what its first mutant replaces is scaled.
        premise: the evidence of its premise.
        run: runs the premise under a mutant.
        errors: those to try, in ascending order.
    """
    scaled = claim.power or Scaled(claim.mutants[0].target)
    ways = ("more", "less") if scaled.towards == "both" else (scaled.towards,)
    at_stake = judge(premise)
    if at_stake in (Verdict.ERROR, Verdict.OUT_OF_SCOPE):
        errors = ()
    tried = {way: _bisect(scaled, way, at_stake, run, errors) for way in ways}
    return Power(scaled.name, claim.power is not None, tried)


def _bisect(
    scaled: Scaled,
    way: str,
    premise: Verdict,
    run: Callable[[Mutant], Evidence],
    errors: Sequence[float],
) -> dict[float, Evidence]:
    tried: dict[float, Evidence] = {}
    unseen, seen = -1, len(errors)
    while seen - unseen > 1:
        middle = (unseen + seen) // 2
        error = errors[middle]
        factor = 1 + error if way == "more" else 1 / (1 + error)
        tried[error] = run(Mutant(f"× {factor:.3g}", scaled.target, scaled.wrong(factor)))
        unseen, seen = (unseen, middle) if noticed(judge(tried[error]), premise) else (middle, seen)
    return tried


def noticed(found: Verdict, premise: Verdict, /) -> bool:
    """Whether a verdict tells a wrong version from the premise; one that could not run does not."""
    return found not in (premise, Verdict.ERROR, Verdict.OUT_OF_SCOPE)


def smallest(tried: Mapping[float, Verdict], premise: Verdict, /) -> float | None:
    """The smallest error that is noticed, as is every larger one that was tried; None where none is.

    >>> smallest({0.15: Verdict.REFUTED, 0.04: Verdict.SUPPORTED, 0.08: Verdict.REFUTED}, Verdict.SUPPORTED)
    0.08
    """
    found = None
    for error in sorted(tried, reverse=True):
        if not noticed(tried[error], premise):
            break
        found = error
    return found
