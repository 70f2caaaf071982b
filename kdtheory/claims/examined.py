"""One claim examined: what it says of itself, and what its runs brought; not yet judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kdtheory.claims.core import Claim
from kdtheory.claims.evidence import Evidence
from kdtheory.claims.examination import Examination
from kdtheory.claims.power import Power
from kdtheory.claims.told import Told, Tried
from kdtheory.experiments import shown

__all__ = ["Examined"]


def _told(claim: Claim) -> dict[str, Any]:
    same = ("name", "section", "topic", "statement", "formula", "source", "place", "assumes", "how")
    return {
        **{key: getattr(claim, key) for key in (*same, "reading", "loose", "tuned_on")},
        "expected": claim.expect,
        "brings": claim.control_brings,
        "premise": {name: shown(value) for name, value in claim.premise.items()},
    }


@dataclass(frozen=True, kw_only=True)
class Examined(Told):
    """One claim examined: what its premise, its controls, its mutants and its power brought.

    `calls` names the public functions that premise and controls called; `code` is the digest of the code that
    ran, empty where nobody took it.
    """

    evidence: Evidence
    controls: tuple[Tried, ...]
    mutants: Mapping[str, Evidence] | None
    power: Power | None
    calls: tuple[str, ...]
    seconds: float
    code: str = ""

    @classmethod
    def of(cls, claim: Claim, found: Examination, /, *, seconds: float) -> Examined:
        """The findings of a claim."""
        return cls(
            **_told(claim),
            evidence=found.premise,
            controls=_tried(claim, found.controls),
            mutants=found.mutants,
            power=found.power,
            calls=found.calls,
            seconds=seconds,
        )

    def as_told_by(self, claim: Claim, /) -> Examined:
        """The evidence, with the words and the expectation that the claim has now."""
        evidence = [control.evidence for control in self.controls]
        return replace(self, **_told(claim), controls=_tried(claim, evidence))


def _tried(claim: Claim, evidence: Sequence[Evidence]) -> tuple[Tried, ...]:
    return tuple(
        Tried(
            because=control.because,
            overrides={name: shown(value) for name, value in control.overrides.items()},
            evidence=piece,
        )
        for control, piece in zip(claim.controls, evidence, strict=True)
    )
