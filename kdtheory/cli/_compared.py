"""The command `compare` on files: reading, planning, guessing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from kdtheory.compare import Answers, Comparison, Guess, LabelPlan, labels_needed, plan_labels, ways_ahead
from kdtheory.datasets import as_labels, as_logits, read_array, read_table, settled
from kdtheory.files import read_json

__all__ = [
    "check_pairs",
    "guessed",
    "new_plan",
    "read_answers",
    "read_labels",
    "read_said",
    "ways_in_words",
]

_LARGEST = 2**53


def check_pairs(*groups: dict[str, Path | None]) -> None:
    for group in groups:
        lacking = [name for name, path in group.items() if path is None]
        if lacking and len(lacking) < len(group):
            raise ValueError(
                f"{', '.join(lacking)} lacking: {', '.join(group)} go together; give all or none"
            )
    if all(path is None for group in groups for path in group.values()):
        raise ValueError(
            "no file was given; give --teacher-logits, --student-logits and --labels, or unlabelled ones"
        )


def read_said(path: Path, header: bool | None, probabilities: bool) -> Tensor:
    """Logits, or class numbers where there is one column."""
    read = read_table(path, header=header)
    if read.array.ndim == 1 or read.array.shape[1] == 1:
        return as_labels(path, read)
    return as_logits(path, read, probabilities=probabilities)


def read_labels(path: Path, header: bool | None, points: int) -> Tensor:
    return as_labels(path, settled(path, read_table(path, header=header), points))


def new_plan(
    plan: Path | None,
    label: int | None,
    student: dict[str, Tensor],
    teacher: dict[str, Tensor],
    seed: int,
    answers: Path | None,
) -> LabelPlan | None:
    """The plan that is to be written; nothing is, until all else has been found in order."""
    if label is None:
        if plan is not None and answers is None:
            raise ValueError(
                "plan is given alone; say how many points to label by --label, or give --answers"
            )
        return None
    if plan is None or "unlabelled" not in student or answers is not None:
        raise ValueError(
            "label plans points among the unlabelled ones; give --plan FILE and both unlabelled files"
        )
    if plan.exists():
        raise ValueError(f"{plan} is there already; label its points, or name another file for a new plan")
    both = (_classes(said["unlabelled"]) for said in (student, teacher))
    return plan_labels(*both, labels=label, seed=seed)


def _classes(table: Tensor) -> np.ndarray:
    classes: np.ndarray = (table.argmax(-1) if table.ndim == 2 else table).numpy()
    return classes


def read_answers(plan: Path | None, answers: Path, header: bool | None) -> Answers:
    if plan is None:
        raise ValueError("answers needs the plan they answer; give --plan FILE, which --label wrote")
    table = read_array(answers, header=header)
    two = table.ndim == 2 and table.shape[1] == 2 and table.dtype.kind in "fiu"
    if not two or not (np.abs(table) < _LARGEST).all() or not (table % 1 == 0).all():
        raise ValueError(
            f"{answers} has shape {table.shape}; give two columns of whole numbers: point, class"
        )
    whole = table.astype(np.int64)
    return Answers(LabelPlan.from_json(read_json(plan)), whole[:, 0], whole[:, 1])


def guessed(
    student: dict[str, Tensor],
    teacher: dict[str, Tensor],
    student_error: float | None,
    teacher_error: float | None,
) -> Guess | None:
    if student_error is None and teacher_error is None:
        return None
    if student_error is None or teacher_error is None:
        raise ValueError("student_error and teacher_error are guessed together; give both, or neither")
    role = "unlabelled" if "unlabelled" in student else "holdout"
    apart = float((_classes(student[role]) != _classes(teacher[role])).mean())
    least, most = abs(student_error - teacher_error), student_error + teacher_error
    return Guess(student_error, teacher_error, min(max(apart, least), most))


def ways_in_words(
    guess: Guess, found: Comparison, label: int | None, margin: float | None, delta: float
) -> list[str]:
    """The limit that each way should give with as many labels, and the labels that a margin needs."""
    labels, others = label or found.points.get("holdout", 100), found.points.get("unlabelled", 0)
    frame = ways_ahead(guess, labels=labels, unlabelled=others, delta=delta)
    lines = [
        f"with {labels:,} labels {row.way} alone should bound {row.of} by {row.expected:.4g}"
        + (" (the shortest)" if row.shortest else "")
        for row in frame.itertuples()
    ]
    if margin is not None:
        for way in ("cost", *(["where_they_differ"] if others else [])):
            needed = labels_needed(margin, guess, way=way, unlabelled=others, delta=delta)
            number = "no number of labels" if needed is None else f"about {needed:,} labels"
            lines.append(f"a margin of {margin} needs {number} by {way} alone")
    return lines
