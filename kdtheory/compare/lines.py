"""The lines of a comparison: what each needs, its part of δ, and the bound.

The parts are fixed here and have a version: eight for what compression costs (from labels at random, or of
points
where the two differ), four for the student's error, two for the other side of the cost, one for the rest. A
line
that does not apply takes none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kdtheory.bounds import Bound
from kdtheory.bounds.agreement import agreement_certificate
from kdtheory.bounds.assumptions import BOTH_FIXED, DRAWN, ONE_LAW, PLANNED, STRATA_FIXED
from kdtheory.bounds.few_labels import powered_bound
from kdtheory.bounds.holdout import clopper34_holdout
from kdtheory.bounds.paired import paired_difference
from kdtheory.bounds.stratified import stratified_upper_limit
from kdtheory.bounds.where_they_differ import planned_upper_limit
from kdtheory.certify.word import Word, rows_again
from kdtheory.doors import door

__all__ = ["LINES", "PARTS", "Case", "Line", "shared_out"]

PARTS = "2026-11"
"""Version of the parts below: another part of any line is another version."""
CLASSES_PART = 1.0
_TWO_KINDS = ("holdout", "unlabelled")


@door
@dataclass(frozen=True, eq=False)
class Case:
    """The answers of student and teacher, and all that is known.

    Args:
        student, teacher: role ↦ class numbers.
        labels: of the hold-out; None where there is none.
        planned: labels of the planned points, what both said there, and how many were wanted; or None.
        confident: role ↦ whether the teacher is sure of a point; empty where only classes are known.
        word: what the caller says.
        counts: (a, b) ↦ how many rows of role a are rows of b, and (a, a) ↦ how many repeat an earlier one,
            where the caller lets them.
        known: whether the points themselves are known, and not their logits alone.
    """

    student: Mapping[str, Int[Tensor, "_"]]
    teacher: Mapping[str, Int[Tensor, "_"]]
    labels: Int[Tensor, "n"] | None
    planned: tuple[np.ndarray, np.ndarray, np.ndarray, int] | None
    confident: Mapping[str, Bool[Tensor, "_"]]
    word: Word
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    known: bool = False

    def apart(self, role: str, /) -> Float[Tensor, "_"]:
        """s ≠ t."""
        return (self.student[role] != self.teacher[role]).double()

    def wrong(self, who: str, /) -> Float[Tensor, "n"]:
        """Errors on the hold-out."""
        assert self.labels is not None
        said: Mapping[str, Tensor] = {"student": self.student, "teacher": self.teacher}[who]
        return (said["holdout"] != self.labels).double()

    @property
    def role(self) -> str:
        """Where agreement is measured: on the unlabelled points, or else on the hold-out."""
        return "unlabelled" if "unlabelled" in self.student else "holdout"

    def flags(self, role: str, /) -> dict[str, bool]:
        """Whether both were fixed, and whether the points are independent draws."""
        return {
            "fixed_in_advance": self.word.fixed and self.word.holds(f"{role}_unseen"),
            "independent_draws": self.word.holds("independent"),
        }

    def one_law(self, role: str, /) -> dict[str, bool]:
        """Whether the unlabelled points show the law of the hold-out, where there is one to speak of."""
        if role == "holdout" or self.labels is None:
            return {}
        return {ONE_LAW: self.word.holds("one_law")}


@door
@dataclass(frozen=True)
class Line:
    """One line: its name, its part of δ, what it needs, and the bound at its share."""

    name: str
    part: float
    needs: tuple[str, ...]
    bound: Callable[[Case, float], Bound]

    def at(self, case: Case, delta: float, /) -> Bound:
        """The bound with the caller's word on rows that repeat others of their role."""
        found, said = self.bound(case, delta), dict[str, bool]()
        for role in [need for need in self.needs if need in _TWO_KINDS] or [case.role]:
            if count := case.counts.get((role, role)):
                among = len(case.student[role])
                said |= rows_again(role, role, count=count, among=among, known=case.known)
        return replace(found, assumptions={**found.assumptions, **said})


def _agreement(case: Case, delta: float) -> Bound:
    found = agreement_certificate(case.apart(case.role), delta=delta, **case.flags(case.role))
    return replace(found, assumptions={**found.assumptions, **case.one_law(case.role)})


def _cost(case: Case, delta: float) -> Bound:
    return paired_difference(
        case.wrong("student"), case.wrong("teacher"), delta=delta, **case.flags("holdout")
    )


def _gain(case: Case, delta: float) -> Bound:
    found = paired_difference(
        case.wrong("teacher"), case.wrong("student"), delta=delta, **case.flags("holdout")
    )
    return replace(found, what="the teacher's error minus the student's")


def _student_error(case: Case, delta: float) -> Bound:
    return clopper34_holdout(case.wrong("student"), delta=delta, **case.flags("holdout"))


def _few_labels(case: Case, delta: float) -> Bound:
    """Jointly; where points are of both kinds, by two limits at δ/2, which need no independent samples."""
    flags, shared, said = case.flags("holdout"), case.counts.get(_TWO_KINDS, 0), {}
    flags["fixed_in_advance"] &= case.word.holds("unlabelled_unseen")
    if shared and case.known:
        return _two_limits(case, delta, flags)
    if shared:
        said = rows_again(*_TWO_KINDS, count=shared, among=len(case.student["holdout"]), known=False)
    found = powered_bound(
        case.wrong("student"),
        case.apart("holdout"),
        case.apart("unlabelled"),
        delta=delta,
        same_law=case.word.holds("one_law"),
        disjoint_samples=True,
        **flags,
    )
    return replace(found, assumptions={**found.assumptions, **said})


def _two_limits(case: Case, delta: float, flags: Mapping[str, bool]) -> Bound:
    """Pr[s ≠ t] + E D, D = 1[s ≠ y] − 1[s ≠ t], each by its exact limit at δ/2."""
    apart = agreement_certificate(case.apart("unlabelled"), delta=delta / 2, **flags)
    rest = paired_difference(case.wrong("student"), case.apart("holdout"), delta=delta / 2, **flags)
    terms = {"disagreement": apart.terms["disagreement"], "difference": rest.terms["difference"]}
    limit = min(1.0, max(0.0, (apart.value + rest.value) * (1 + 4e-16)))
    n, m = rest.quantities["points"], apart.quantities["points"]
    return Bound(
        "agreement_certificate + paired_difference",
        limit,
        {**terms, "both radii": limit - sum(terms.values())},
        delta,
        {**apart.assumptions, ONE_LAW: case.word.holds("one_law")},
        over=f"the {n} labelled points and the {m} unlabelled ones",
        quantities={"points": n, "unlabelled points": m},
        what="the student's error",
    )


def _targeted(case: Case, delta: float) -> Bound:
    assert case.planned is not None
    labels, student, teacher, wanted = case.planned
    gains, losses = int((teacher == labels).sum()), int((student == labels).sum())
    apart, others, m = int(case.apart("unlabelled").sum()), len(case.student["unlabelled"]), len(labels)
    limit = planned_upper_limit(gains, losses, m, wanted, apart, others, delta=delta)
    flags = case.flags("unlabelled")
    seen = apart / others * (gains - losses) / m
    return Bound(
        "targeted_difference",
        limit,
        {"difference": seen, "radius": limit - seen},
        delta,
        {
            DRAWN: flags["independent_draws"],
            BOTH_FIXED: flags["fixed_in_advance"],
            PLANNED: case.word.fixed,
            **case.one_law("unlabelled"),
        },
        over=f"the {others} unlabelled points and the draw of {m} to be labelled",
        quantities={
            "labelled": m,
            "unlabelled points": others,
            "lost": gains,
            "won": losses,
            "disagreements": apart,
        },
        what="the student's error minus the teacher's",
    )


def _stratified(case: Case, delta: float) -> Bound:
    sure, wrong = case.confident["holdout"], case.wrong("student").bool()
    counts = [
        int(part.sum()) for part in (wrong & sure, wrong & ~sure, sure, ~sure, case.confident["unlabelled"])
    ]
    others = len(case.student["unlabelled"])
    if 0 in counts[2:4]:
        limit = 1.0
    else:
        limit = stratified_upper_limit(
            (counts[0], counts[1]), (counts[2], counts[3]), counts[4], others, delta=delta
        )
    flags = case.flags("holdout")
    flags["fixed_in_advance"] &= case.word.holds("unlabelled_unseen")
    shares = counts[4] / others, 1 - counts[4] / others
    seen = sum(w * k / max(n, 1) for w, k, n in zip(shares, counts[:2], counts[2:4], strict=True))
    return Bound(
        "stratified_holdout",
        limit,
        {"stratified risk": seen, "radius": limit - seen},
        delta,
        {
            DRAWN: flags["independent_draws"],
            BOTH_FIXED: flags["fixed_in_advance"],
            ONE_LAW: case.word.holds("one_law"),
            STRATA_FIXED: case.word.fixed,
        },
        over="the labelled points of each stratum and the unlabelled ones",
        quantities={"sure points": counts[2], "unsure points": counts[3], "unlabelled points": others},
        what="the student's error",
    )


LINES = (
    Line("agreement", 1, (), _agreement),
    Line("cost", 8, ("holdout",), _cost),
    Line("gain", 2, ("holdout",), _gain),
    Line("where_they_differ", 8, ("plan",), _targeted),
    Line("student_error", 4, ("holdout",), _student_error),
    Line("few_labels", 4, _TWO_KINDS, _few_labels),
    Line("stratified", 1, (*_TWO_KINDS, "confidence"), _stratified),
)
"""Every line, in the order of the table."""
REASONS = {
    "holdout": "no hold-out labels were given",
    "unlabelled": "no unlabelled points were given",
    "plan": "no labels of planned points were given",
    "confidence": "the teacher's confidence is not known from class numbers alone",
}


@door
def shared_out(case: Case, /, *, delta: float) -> tuple[dict[str, Bound], dict[str, str], float]:
    """Every line that applies at its share of δ, why the others do not, and the share of the classes."""
    has = {
        "holdout": case.labels is not None,
        "unlabelled": "unlabelled" in case.student,
        "plan": case.planned is not None,
        "confidence": bool(case.confident),
    }
    lacking = {line.name: [need for need in line.needs if not has[need]] for line in LINES}
    asked = [line for line in LINES if not lacking[line.name]]
    total = sum(line.part for line in asked) + CLASSES_PART
    found = {line.name: line.at(case, delta * line.part / total) for line in asked}
    return (
        found,
        {name: REASONS[needs[0]] for name, needs in lacking.items() if needs},
        delta * CLASSES_PART / total,
    )


def sure_of(logits: Float[Tensor, "n k"], threshold: float, /) -> Bool[Tensor, "n"]:
    """Whether the largest probability is at least the threshold."""
    return torch.softmax(logits.double(), -1).amax(-1) >= threshold
