"""How δ is split over the lines, before any bound is computed, and what the lines rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kdtheory.bounds import Bound
from kdtheory.certify.case import Case
from kdtheory.certify.lines import LINES, PARTS, Line
from kdtheory.certify.result import OWN_PARTS, Certificates
from kdtheory.validate import check_fraction, check_one_of, check_positive

__all__ = ["certificates"]

_NOT_ASKED = "it was not asked for in shares"
_MOST_REPEATS = 1 / 2


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
    own = shares is not None
    parts = _given(shares) if shares is not None else {line.name: line.part for line in LINES}
    skipped = {
        line.name: _NOT_ASKED if parts[line.name] == 0 else why
        for line in LINES
        if (why := case.lack(line.needs)) is not None or parts[line.name] == 0
    }
    asked = [line for line in LINES if line.name not in skipped]
    if not asked:
        why = "; ".join(f"{name}: {reason}" for name, reason in skipped.items() if parts[name] != 0)
        raise ValueError(f"no bound applies ({why}); give labelled points, or other shares")
    assumed = {line.name: line.assumed(case, own_shares=own) for line in asked}
    sharing = {
        line.name: part
        for line in asked
        if (part := parts[line.name]) is not None and (own or _may_certify(line, case, assumed[line.name]))
    }
    total, found = sum(sharing.values()), {}
    for line in asked:
        bound = line.bound(case, delta * sharing[line.name] / total if line.name in sharing else delta)
        if isinstance(bound, str):
            skipped[line.name] = bound
        else:
            found[line.name] = _declared(bound, line, case, assumed[line.name], line.name in sharing)
    points = {role: len(logits) for role, logits in case.teacher.on.items()}
    unshared = frozenset(found) - frozenset(sharing)
    ordered = {line.name: skipped[line.name] for line in LINES if line.name in skipped}
    return Certificates(delta, found, ordered, points, unshared, OWN_PARTS if own else PARTS)


def _given(shares: Mapping[str, float]) -> dict[str, float | None]:
    """Each line's part of δ as the caller has it."""
    known = tuple(line.name for line in LINES)
    for name, part in shares.items():
        check_one_of("shares", name, known)
        check_positive(f"shares[{name!r}]", part)
    return {name: shares.get(name, 0.0) for name in known}


def _may_certify(line: Line, case: Case, assumed: Mapping[str, bool]) -> bool:
    """Whether it may be a certificate that says something, as far as the caller's word goes."""
    return all(assumed.values()) and not line.idle(case)


def _declared(bound: Bound, line: Line, case: Case, assumed: Mapping[str, bool], has_share: bool) -> Bound:
    """The bound with all that it rests on by the caller's word, and with what one call can promise."""
    assumptions = {**bound.assumptions, **assumed, **_repeats(line, case)}
    if not has_share and all(assumptions.values()) and not bound.vacuous:
        assumptions["a share of δ was set aside for it (name it in shares)"] = False
    over = f"{bound.over}, of one call and not the best of several,"
    return replace(bound, assumptions=assumptions, over=over)


def _repeats(line: Line, case: Case) -> dict[str, bool]:
    """What the caller says of rows that come again, believed of at most half of a role."""
    roles, said = line.roles(case), {}
    for (first, other), count in case.shared.items():
        if first == "train" and other in roles and count:
            among = len(case.teacher.on[other])
            sentence = f"the {count} of {among} rows of {other} that are in train too are repeats by chance"
            said[sentence] = count <= _MOST_REPEATS * among
    for role, count in case.repeated.items():
        if role in roles and count:
            among = len(case.teacher.on[role])
            sentence = f"the {count} of {among} rows of {role} that repeat others of it do so by chance"
            said[sentence] = count <= _MOST_REPEATS * among
    return said
