"""From what examinations brought to rows of the ledger, once the family of them has been judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kdtheory.claims.evidence import Evidence, Failure
from kdtheory.claims.examined import Examined
from kdtheory.claims.finding import Finding, Notices, Part, Score, Trial
from kdtheory.claims.power import Power, noticed, smallest
from kdtheory.claims.told import Told
from kdtheory.claims.verdict import Judgement, Verdict, with_controls

__all__ = ["finding"]

_DECIDED = (Verdict.SUPPORTED, Verdict.REFUTED, Verdict.VACUOUS)


def finding(
    found: Examined,
    premise: Judgement,
    controls: Sequence[Judgement],
    in_its_place: Callable[[Evidence], Judgement],
    /,
) -> Finding:
    """The row of the ledger on one claim.

    Args:
        found: what its examination brought.
        premise: what the family made of its premise.
        controls: what it made of its controls.
        in_its_place: judges evidence in the place of the premise: of a mutant, or of a scaled constant.
    """
    named = {tried.because: judged for tried, judged in zip(found.controls, controls, strict=True)}
    brought = found.mutants
    mutants = None if brought is None else {name: in_its_place(piece) for name, piece in brought.items()}
    return Finding(
        **{name: getattr(found, name) for name in Told.__dataclass_fields__},
        verdict=with_controls(premise.verdict, [one.verdict for one in controls], brings=found.brings),
        controls=tuple(
            Trial(**vars(tried), verdict=judged.verdict, as_expected=judged.verdict is found.brings)
            for tried, judged in zip(found.controls, controls, strict=True)
        ),
        parts={part: _broken(part, premise, named, mutants) for part in premise.parts},
        evidence=found.evidence,
        mutants=None if mutants is None else _score(brought or {}, mutants, premise.verdict),
        power=None if found.power is None else _notices(found.power, premise.verdict, in_its_place),
        calls=found.calls,
        seconds=found.seconds,
    )


def _broken(
    part: str,
    premise: Judgement,
    controls: Mapping[str, Judgement],
    mutants: Mapping[str, Judgement] | None,
) -> Part:
    own = premise.parts[part]

    def came_out(judged: Mapping[str, Judgement], *verdicts: Verdict) -> tuple[str, ...]:
        found = {name: one.parts.get(part, own) for name, one in judged.items()}
        return tuple(name for name, verdict in found.items() if verdict is not own and verdict in verdicts)

    unsure = [came_out(some, Verdict.INCONCLUSIVE) for some in (controls, mutants or {})]
    decided = None if mutants is None else came_out(mutants, *_DECIDED)
    return Part(own, came_out(controls, *_DECIDED), decided, (*unsure[0], *unsure[1]))


def _score(evidence: Mapping[str, Evidence], mutants: Mapping[str, Judgement], premise: Verdict) -> Score:
    verdicts = {name: judged.verdict for name, judged in mutants.items()}
    killed = [name for name, verdict in verdicts.items() if noticed(verdict, premise)]
    return Score(
        evidence,
        unsure=tuple(name for name in killed if verdicts[name] is Verdict.INCONCLUSIVE),
        survivors=tuple(name for name in verdicts if name not in killed),
    )


def _notices(power: Power, premise: Verdict, in_its_place: Callable[[Evidence], Judgement]) -> Notices:
    found = {
        way: smallest({error: in_its_place(piece).verdict for error, piece in runs.items()}, premise)
        for way, runs in power.tried.items()
    }
    pieces = [piece for runs in power.tried.values() for piece in runs.values()]
    errors = [piece.error for piece in pieces if isinstance(piece, Failure)]
    because = errors[0] if errors and all(error is None for error in found.values()) else ""
    return Notices(power.target, power.declared, found, because)
