"""How δ is split over the lines that apply, before any bound is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kdtheory.bounds import Bound
from kdtheory.certify.case import Case
from kdtheory.certify.lines import LINES, Line
from kdtheory.certify.result import Certificates
from kdtheory.validate import check_fraction, check_one_of, check_positive

__all__ = ["certificates"]


def certificates(case: Case, /, *, delta: float, shares: Mapping[str, float] | None) -> Certificates:
    """Every line that applies, each at its share of δ, and why the others do not.

    Args:
        case: what is certified.
        delta: δ of all lines together.
        shares: line ↦ its part of δ; None takes the fixed parts.

    Raises:
        ValueError: δ outside (0, 1), an unknown line, a part that is not positive, or no line applies.
    """
    check_fraction("delta", delta, open_interval=True)
    parts = _parts(shares)
    reasons = {line.name: _reason(line, case, parts) for line in LINES}
    skipped = {name: reason for name, reason in reasons.items() if reason is not None}
    asked = [line for line in LINES if line.name not in skipped]
    if not asked:
        why = "; ".join(f"{name}: {reason}" for name, reason in skipped.items() if parts[name])
        raise ValueError(f"no bound applies ({why}); give labelled points, or other shares")
    total = sum(parts[line.name] for line in asked)
    found = {line: line.bound(case, delta * parts[line.name] / total) for line in asked}
    lines = {line.name: _declared(b, line, case) for line, b in found.items() if isinstance(b, Bound)}
    skipped |= {line.name: reason for line, reason in found.items() if isinstance(reason, str)}
    points = {role: len(logits) for role, logits in case.teacher.on.items()}
    return Certificates(delta, lines, skipped, points)


def _reason(line: Line, case: Case, parts: Mapping[str, float]) -> str | None:
    return case.lack(line.needs) if parts[line.name] else "it was not asked for in shares"


def _declared(bound: Bound, line: Line, case: Case) -> Bound:
    """The bound with what the caller says of rows that are in two roles."""
    said = {
        f"the {count} rows of {other} that are in train too are repeats by chance": True
        for (first, other), count in case.repeats.items()
        if first == "train" and other in line.needs
    }
    return replace(bound, assumptions={**bound.assumptions, **said}) if said else bound


def _parts(shares: Mapping[str, float] | None) -> dict[str, float]:
    """Each line's part of δ."""
    if shares is None:
        return {line.name: line.part for line in LINES}
    known = tuple(line.name for line in LINES)
    for name, part in shares.items():
        check_one_of("shares", name, known)
        check_positive(f"shares[{name!r}]", part)
    return {name: shares.get(name, 0.0) for name in known}
