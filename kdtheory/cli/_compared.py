"""The command `compare` on files: reading, planning, guessing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from kdtheory.cli._read import check_same_rows, told, with_mapping
from kdtheory.compare import Answers, Comparison, Guess, LabelPlan, labels_needed, plan_labels, ways_ahead
from kdtheory.datasets import (
    ReadArray,
    as_labels,
    as_logits,
    check_same_columns,
    read_array,
    read_table,
    settled,
)
from kdtheory.datasets.stored import LABELS, plain
from kdtheory.files import read_json

__all__ = [
    "Read",
    "check_pairs",
    "guessed",
    "new_plan",
    "read_answers",
    "read_files",
    "ways_in_words",
]

_WHOLE = re.compile(r"\d{1,15}(\.0*)?")


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


@dataclass(frozen=True)
class Read:
    """What is in the files of both networks, and of the labels.

    Args:
        student, teacher: by role, logits, or class numbers where a file has one column.
        labels: class numbers, where they were given.
        names: of the classes, where the columns of logits have them.
        told: a description of each file.
    """

    student: dict[str, Tensor]
    teacher: dict[str, Tensor]
    labels: Tensor | None
    names: tuple[str, ...] | None
    told: tuple[str, ...]


def read_files(
    pairs: Mapping[str, tuple[Path | None, Path | None]],
    labels: Path | None,
    read_one: Callable[[Path], ReadArray],
    probabilities: bool,
) -> Read:
    """Read the student's and the teacher's file of each role, and the labels, each by `read_one`.

    Class numbers are looked up among the names of the columns of logits, as `certify` does with labels.
    """
    files = [path for pair in pairs.values() for path in pair if path is not None]
    read = {path: read_one(path) for path in files}
    tables = {path: table for path, table in read.items() if _is_wide(table)}
    named = {str(path): table.names for path, table in tables.items()}
    check_same_columns(named)
    names = next(filter(None, named.values()), None)
    said: dict[Path, Tensor] = {}
    for pair in pairs.values():
        known = [len(read[path].array) for path in pair if path is not None and not read[path].doubtful]
        for path in filter(None, pair):
            if path in tables:
                said[path] = as_logits(path, read[path], probabilities=probabilities)
            else:
                written = settled(path, read[path], known[0] if known else None)
                said[path] = as_labels(path, written, classes=names, predictions=True)
                read[path] = with_mapping(written, said[path], names)
    student, teacher = (
        {role: said[given] for role, pair in pairs.items() if (given := pair[who]) is not None}
        for who in (0, 1)
    )
    truth = None
    if labels is not None:
        read[labels] = read_one(labels)
        written = settled(labels, read[labels], len(student["holdout"]))
        truth = as_labels(labels, written, classes=names)
        read[labels] = with_mapping(written, truth, names)
    check_same_rows(read, (*pairs["holdout"], labels), pairs["unlabelled"])
    return Read(student, teacher, truth, names, tuple(told(*one) for one in read.items()))


def _is_wide(read: ReadArray) -> bool:
    return read.array.ndim != 1 and read.array.shape[1] != 1


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


def read_answers(
    plan: Path | None, answers: Path, header: bool | None, names: tuple[str, ...] | None
) -> Answers:
    """Answers to a plan; their classes are looked up as those of labels are, and may be words as these."""
    if plan is None:
        raise ValueError("answers needs the plan they answer; give --plan FILE, which --label wrote")
    read = read_table(answers, header=header)
    table = read.array if read.array.dtype.kind == "U" else read_array(answers, header=header)
    if table.ndim != 2 or table.shape[1] != 2 or table.dtype.kind not in "fiuU":
        raise ValueError(f"{answers} has shape {table.shape}; give two columns: point, class")
    first, second = (plain(name) in LABELS for name in read.names or ("", ""))
    if first and not second:
        raise ValueError(f"{answers} has columns {', '.join(read.names or ())}; give point first, then class")
    points = table[:, 0]
    if not all(_WHOLE.fullmatch(str(cell)) for cell in points):
        raise ValueError(f"{answers} has points {points[0]}, …; give their numbers, as they are in the plan")
    said = as_labels(answers, ReadArray(table[:, 1]), classes=names)
    points = np.array([int(float(str(cell))) for cell in points], dtype=np.int64)
    return Answers(LabelPlan.from_json(read_json(plan)), points, said.numpy())


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
            never = "more labels than a million, if any number will do,"
            number = never if needed is None else f"about {needed:,} labels"
            lines.append(f"a margin of {margin} needs {number} by {way} alone")
    return lines
