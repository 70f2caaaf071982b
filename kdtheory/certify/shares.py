"""How δ is split over the lines, before any bound is computed, and what the lines rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from kdtheory.bounds import Bound
from kdtheory.certify.case import Case
from kdtheory.certify.lines import LINES, PARTS, SHIPPED, Line
from kdtheory.certify.result import OWN_PARTS, Certificates
from kdtheory.certify.ship import Shipped
from kdtheory.certify.word import rows_again
from kdtheory.validate import check_fraction, check_one_of, check_positive

__all__ = ["certificates"]

_NOT_ASKED = "it was not asked for in shares"


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
    lines = (*LINES, *SHIPPED) if case.ships else LINES
    parts = {line.name: line.part for line in lines} if shares is None else _given(shares, lines)
    reasons = {line.name: case.lack(line.needs) if parts[line.name] != 0 else _NOT_ASKED for line in lines}
    skipped = {name: reason for name, reason in reasons.items() if reason is not None}
    asked = [line for line in lines if line.name not in skipped]
    if not asked:
        why = "; ".join(f"{name}: {reason}" for name, reason in skipped.items() if parts[name] != 0)
        raise ValueError(f"no bound applies ({why}); give labelled points, or other shares")
    found, unshared = _bounds(asked, parts, case, delta, shares is not None)
    skipped |= {name: bound for name, bound in found.items() if isinstance(bound, str)}
    bounds = {name: bound for name, bound in found.items() if isinstance(bound, Bound)}
    return Certificates(
        delta,
        {line.name: bounds[line.name] for line in LINES if line.name in bounds},
        {line.name: skipped[line.name] for line in lines if line.name in skipped},
        {role: len(logits) for role, logits in case.teacher.on.items()},
        unshared & frozenset(bounds),
        PARTS if shares is None else OWN_PARTS,
        {line.name: _shipped(line, case, bounds) for line in SHIPPED if line.name in bounds},
    )


def _bounds(
    asked: Sequence[Line], parts: Mapping[str, float | None], case: Case, delta: float, own: bool
) -> tuple[dict[str, Bound | str], frozenset[str]]:
    """Each line's bound, or why there is none, and the names of those without a share."""
    assumed = {line.name: line.assumed(case, own_shares=own) for line in asked}
    sharing = {
        line.name: part
        for line in asked
        if (part := parts[line.name]) is not None and (own or _may_certify(line, case, assumed[line.name]))
    }
    total, found = sum(sharing.values()), {}
    for line in asked:
        shared = line.name if line.name in sharing else line.follows_from
        bound = line.bound(case, delta * sharing[shared] / total if shared in sharing else delta)
        if isinstance(bound, Bound):
            bound = _declared(bound, line, case, assumed[line.name], shared in sharing)
        found[line.name] = bound
    return found, frozenset(found) - frozenset(sharing)


def _shipped(line: Line, case: Case, bounds: Mapping[str, Bound]) -> Shipped:
    return Shipped(getattr(case.shipyard, line.name.removeprefix("shipped_")), bounds[line.name])


def _given(shares: Mapping[str, float], lines: Sequence[Line]) -> dict[str, float | None]:
    """Each line's part of δ as the caller has it."""
    known = {line.name: line for line in lines}
    if early := next((line.name for line in SHIPPED if line.name in shares and line.name not in known), None):
        raise ValueError(
            f"shares names {early!r}, which is there with ship=True only; say it, or leave it out"
        )
    parts: dict[str, float | None] = dict.fromkeys(known, 0.0)
    for name, part in shares.items():
        check_one_of("shares", name, tuple(known))
        if part == 0 and known[name].may_go_without:
            parts[name] = None
            continue
        check_positive(f"shares[{name!r}]", part)
        parts[name] = part
    return parts


def _may_certify(line: Line, case: Case, assumed: Mapping[str, bool]) -> bool:
    """Whether it may be a certificate that says something, as far as the caller's word goes."""
    return all(assumed.values()) and not line.idle(case)


def _declared(bound: Bound, line: Line, case: Case, assumed: Mapping[str, bool], has_share: bool) -> Bound:
    """The bound with all that it rests on by the caller's word, and with what one call can promise."""
    assumptions = {**bound.assumptions, **assumed, **_repeats(line, case)}
    if not has_share and all(assumptions.values()) and not bound.vacuous:
        assumptions["a share of δ was set aside for it (name it in shares)"] = False
    over = f"{bound.over}, of one call and not the best of several"
    return replace(bound, assumptions=assumptions, over=over)


def _repeats(line: Line, case: Case) -> dict[str, bool]:
    """The caller's word on rows that come again.

    Rows of train matter where they are in a role that tests what may have learned from them.
    """
    roles, said = (*line.roles(case), *line.learns), dict[str, bool]()
    for (role, other), count in case.counts.items():
        if role in roles and other in (role, "train"):
            among, known = len(case.teacher.on[role]), role in case.inputs
            said |= rows_again(role, other, count=count, among=among, known=known)
    return said
