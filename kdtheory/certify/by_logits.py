"""The door for those who have logits alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.certify.door import certify
from kdtheory.certify.result import Certificates
from kdtheory.doors import door
from kdtheory.roles import ROLES, SideBySide
from kdtheory.types import tensor_of
from kdtheory.validate import check_logits, check_one_of

__all__ = ["certify_logits", "check_together"]

Array = Tensor | np.ndarray


@door
def certify_logits(
    teacher_logits: Float[Array, "n k"],
    labels: Int[Array, "n"],
    /,
    *,
    student_logits: Float[Array, "n k"] | None = None,
    teacher_unlabelled: Float[Array, "m k"] | None = None,
    student_unlabelled: Float[Array, "m k"] | None = None,
    labels_role: str = "holdout",
    fixed_in_advance: bool,
    unmet: str | Iterable[str] = (),
    delta: float = 0.05,
    gamma: float | Sequence[float] = 1.0,
    shares: Mapping[str, float] | None = None,
    may_share: Iterable[tuple[str, str]] = (),
    may_repeat: Iterable[str] = (),
) -> Certificates:
    """Certificates from logits alone: on labelled points of one role, and on unlabelled ones.

    Tensors or NumPy arrays. A point is known by its logits here: two equal rows in two roles are taken for
    one point, and two in one role for a copy; `may_share` and `may_repeat` say that they are other points,
    as where a network says few things.

    Args:
        teacher_logits: f on the labelled points.
        labels: their labels.
        student_logits: g on them.
        teacher_unlabelled, student_unlabelled: f and g on the unlabelled points.
        labels_role: "holdout", points that neither f nor g has seen, or "train".
        fixed_in_advance, unmet, delta, gamma, shares, may_share, may_repeat: as in `certify`.

    Raises:
        ValueError: as in `certify`, or the student's logits are there for one kind of points only.

    >>> logits = np.stack([np.arange(200), np.zeros(200)], -1)
    >>> found = certify_logits(logits + 1, np.zeros(200, int), fixed_in_advance=True)
    >>> round(found.best.value, 4)  # 1 − 0.05^(1/200)
    0.0149
    """
    check_one_of("labels_role", labels_role, ROLES[:2])
    check_together(
        student_logits=student_logits,
        teacher_unlabelled=teacher_unlabelled,
        student_unlabelled=student_unlabelled,
    )
    names = (labels_role, "unlabelled")
    teacher = dict(zip(names, (teacher_logits, teacher_unlabelled), strict=True))
    student = dict(zip(names, (student_logits, student_unlabelled), strict=True))
    points = {role: _side_by_side(role, teacher[role], student[role]) for role in names}
    labelled = points[labels_role], labels
    return certify(
        teacher,
        None if student_logits is None else student,
        train=labelled if labels_role == "train" else None,
        holdout=labelled if labels_role == "holdout" else None,
        unlabelled=points["unlabelled"],
        delta=delta,
        gamma=gamma,
        shares=shares,
        fixed_in_advance=fixed_in_advance,
        unmet=unmet,
        may_share=may_share,
        may_repeat=may_repeat,
    )


def check_together(**given: Any) -> None:
    """The student is known wherever the teacher is, or nowhere.

    Args:
        given: by their names, the student on the labelled points, the teacher and the student on the
            unlabelled ones; None where there is nothing.

    Raises:
        ValueError: the third is there without the others, or the others without the third.
    """
    there = [value is not None for value in given.values()]
    if there[2] != (there[0] and there[1]):
        lacking = ", ".join(name for name, value in given.items() if value is None)
        raise ValueError(f"{lacking} lacking: a student and unlabelled points go together; give all three")


def _side_by_side(role: str, teacher: Any, student: Any) -> SideBySide | None:
    """The logits by which a point is known."""
    known = []
    for name, logits in (("teacher", teacher), ("student", student)):
        if logits is not None:
            known.append(tensor_of(f"{name} logits on {role}", logits))
            check_logits(f"{name} logits on {role}", known[-1])
    if not known:
        return None
    if len(known[0]) != len(known[-1]):
        rows = f"{len(known[0])} and {len(known[-1])}"
        raise ValueError(f"teacher and student logits on {role} have {rows} rows; give the same points")
    return SideBySide(tuple(known))
