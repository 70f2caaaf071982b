"""Which points to label: drawn at random among those where student and teacher differ, and fixed before a
label.

A plan holds a digest of what both said on all points, and the seed that its indices were drawn by: a second
call
with other predictions, other points or a plan that its own seed does not draw is refused. The draws of one
seed begin alike, whatever their number: that it was fixed beforehand, and not by the first answers, no file
shows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from kdtheory.doors import door
from kdtheory.streams import Stream
from kdtheory.validate import check_at_least

__all__ = ["LabelPlan", "plan_labels"]

_SCHEMA = 1


@door
@dataclass(frozen=True)
class LabelPlan:
    """Which of N unlabelled points to label.

    Args:
        indices: rows to label, in the order in which they were drawn.
        wanted: m, how many were asked for; there are fewer where the two differ at fewer.
        points: N.
        apart: at how many of them s ≠ t.
        seed: what the draw depends on.
        digest: SHA-256 of what student and teacher said.
    """

    indices: tuple[int, ...]
    wanted: int
    points: int
    apart: int
    seed: int
    digest: str

    def to_json(self) -> dict[str, Any]:
        """In plain types."""
        return {
            "schema": _SCHEMA,
            "wanted": self.wanted,
            "points": self.points,
            "apart": self.apart,
            "seed": self.seed,
            "digest": self.digest,
            "indices": list(self.indices),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any], /) -> LabelPlan:
        """The plan that `to_json` gave.

        Raises:
            ValueError: a part is missing, or of another kind.
        """
        kinds = {"wanted": int, "points": int, "apart": int, "seed": int, "digest": str, "indices": list}
        for name, kind in kinds.items():
            if type(document.get(name)) is not kind:
                raise ValueError(
                    f"the plan's {name} = {document.get(name)!r} is no {kind.__name__}; make a new plan"
                )
        if document.get("schema") != _SCHEMA or not all(type(i) is int for i in document["indices"]):
            raise ValueError(
                f"the plan has schema {document.get('schema')!r} or odd indices; make a new plan"
            )
        return cls(tuple(document["indices"]), *(document[name] for name in list(kinds)[:-1]))

    def check(self, student: Int[np.ndarray, "n"], teacher: Int[np.ndarray, "n"], /) -> None:
        """That it was made for these predictions, by its seed.

        Raises:
            ValueError: it was not.
        """
        if self.digest != _digest(student, teacher):
            raise ValueError(
                "the plan was made for other predictions (its digest differs); give the files or "
                "networks that it was made for, in the same order of points"
            )
        if self != plan_labels(student, teacher, labels=self.wanted, seed=self.seed):
            raise ValueError(
                "the plan's indices are not those that its seed draws; it was edited: make a new plan"
            )

    def answered(
        self, indices: Int[np.ndarray, "m"], labels: Int[np.ndarray, "m"], /
    ) -> Int[np.ndarray, "m"]:
        """The labels in the order of the plan.

        Raises:
            ValueError: a point that is not in the plan, one that is lacking, or one that is given twice.
        """
        given = dict(zip(indices.tolist(), labels.tolist(), strict=True))
        if strange := sorted(set(given) - set(self.indices)):
            raise ValueError(
                f"point {strange[0]} is not in the plan; give labels of the planned points alone"
            )
        if lacking := [index for index in self.indices if index not in given]:
            raise ValueError(
                f"{len(lacking)} planned points have no label ({lacking[0]}, …); give all of them"
            )
        if len(given) < len(indices):
            raise ValueError(f"{len(indices) - len(given)} planned points have two labels; give one for each")
        return np.array([given[index] for index in self.indices], dtype=np.int64)


@door
def plan_labels(
    student: Int[np.ndarray, "n"], teacher: Int[np.ndarray, "n"], /, *, labels: int, seed: int
) -> LabelPlan:
    """m points drawn without replacement, at random, among those where s ≠ t; all of them where there are
    no more.

    Args:
        student, teacher: class numbers at each unlabelled point.
        labels: m.
        seed: what the draw depends on.

    Raises:
        ValueError: shapes differ, the two never differ, m < 1, or a negative seed.

    >>> plan_labels(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]), labels=5, seed=1).indices
    (2,)
    """
    check_at_least("labels", labels, 1)
    if student.shape != teacher.shape or student.ndim != 1:
        raise ValueError(
            f"student has shape {student.shape} and teacher {teacher.shape}; give one class a point"
        )
    apart = np.flatnonzero(student != teacher)
    if not len(apart):
        raise ValueError(
            "student and teacher differ nowhere; there is nothing to label, their errors are one"
        )
    drawn = Stream(seed).child("compare", "plan").numpy().permutation(apart)[:labels]
    return LabelPlan(tuple(drawn.tolist()), labels, len(student), len(apart), seed, _digest(student, teacher))


def _digest(student: Int[np.ndarray, "n"], teacher: Int[np.ndarray, "n"]) -> str:
    both = np.stack([student, teacher]).astype("<i8")
    return hashlib.sha256(both.tobytes()).hexdigest()
