"""The public door: two predictors and points come in, are checked once, and are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn

from kdtheory.bounds.agreement import agreement_of_classes
from kdtheory.certify.nets import said_on
from kdtheory.certify.word import Word
from kdtheory.compare.lines import PARTS, Case, shared_out, sure_of
from kdtheory.compare.plan import LabelPlan
from kdtheory.compare.result import Comparison
from kdtheory.doors import door
from kdtheory.role_rows import check_rows
from kdtheory.roles import HoldOut, Role, SideBySide, Unlabelled
from kdtheory.types import tensor_of
from kdtheory.validate import check_at_least, check_fraction, check_labels, check_logits

__all__ = ["Answers", "compare"]

_MANY = 10**6  # classes: vocabularies have fewer, and each has a limit of its own
_SURELY_NOT_CHANCE = 32


@door
@dataclass(frozen=True, eq=False)
class Answers:
    """The labels of a plan's points.

    Args:
        plan: as `plan_labels` made it.
        indices: the points that were labelled, which are those of the plan in any order.
        labels: their class numbers.
    """

    plan: LabelPlan
    indices: Int[np.ndarray, "m"]
    labels: Int[np.ndarray, "m"]


@door
def compare(
    student: nn.Module | Mapping[str, Any],
    teacher: nn.Module | Mapping[str, Any],
    /,
    *,
    holdout: Any = None,
    unlabelled: Any = None,
    answers: Answers | None = None,
    fixed_in_advance: bool,
    unmet: str | Iterable[str] = (),
    delta: float = 0.05,
    margin: float | None = None,
    most: float | None = None,
    confident: float = 0.9,
    may_share: Iterable[tuple[str, str]] = (),
    may_repeat: Iterable[str] = (),
    batch_size: int = 1024,
) -> Comparison:
    """How often a student differs from its teacher, and what that costs, at one δ for all bounds.

    δ is split before anything is computed, by fixed parts (`PARTS` is their version) of the lines that what
    is given allows: agreement; err(s) − err(t) and its other side from the hold-out; the same from labels of
    points where the two differ; err(s) from the hold-out, jointly with the unlabelled points, and by strata
    of the teacher's confidence; agreement class by class.

    Args:
        student, teacher: modules, evaluated in evaluation mode and left as they were; or mappings from
            "holdout" and "unlabelled" to logits (n × k) or class numbers (n).
        holdout: labelled points that nobody who made or chose either has seen, as `certify` takes them; where
            both are mappings, the labels alone.
        unlabelled: points without labels, for modules.
        answers: labels of planned points among the unlabelled ones.
        fixed_in_advance: whether student, teacher, δ, margin, strata and the number of planned labels were
            fixed without these points. A number that follows what was seen, of points at which they differ or
            of answers, is another test.
        unmet: names of `kdtheory.certify.ASSUMPTIONS` that do not hold.
        delta: δ of all together.
        margin: what err(s) − err(t) is to be shown to be at most.
        most: a level of disagreement to be shown class by class (Holm).
        confident: the teacher's probability from which a point is in the stratum of the sure ones; fixed
            beforehand.
        may_share, may_repeat: as in `certify`; they say of points known by logits that equal rows are others.
        batch_size: of the evaluation.

    Raises:
        ValueError: predictors of two kinds, arrays that do not fit each other, a number out of range, a row
        that
            sits in two roles or twice in one, or answers to another plan.

    >>> says = np.array([0, 1] * 50)
    >>> both = {"holdout": says}
    >>> found = compare(both, both, holdout=says, fixed_in_advance=True, margin=0.06)
    >>> found.shown, dict(found.points)
    (True, {'holdout': 100})
    """
    word = Word.of(fixed_in_advance, unmet)
    check_fraction("delta", delta, open_interval=True)
    check_fraction("confident", confident)
    check_at_least("batch_size", batch_size, 1)
    if margin is not None and not -1 < margin < 1:
        raise ValueError(
            f"margin = {margin} must lie in (−1, 1): a difference of two error rates, 0.01 for one point"
        )
    said, labels, counts = _said(student, teacher, holdout, unlabelled, may_share, may_repeat, batch_size)
    classes, number = _same_points(said, labels), _number_of_classes(said, labels)
    columns = any(table.ndim == 2 for parts in said.values() for table in parts.values())
    planned = None if answers is None else _planned(answers, classes, number if columns else _MANY)
    case = Case(
        classes["student"],
        classes["teacher"],
        labels,
        planned,
        _sure(said, confident),
        word,
        counts,
        isinstance(student, nn.Module),
    )
    lines, skipped, share = shared_out(case, delta=delta)
    student_classes, teacher_classes = (classes[who][case.role].numpy() for who in ("student", "teacher"))
    by_class = agreement_of_classes(student_classes, teacher_classes, classes=number, delta=share, most=most)
    if not lines["agreement"].certificate:  # on which they rest, too: nothing is shown
        by_class = {
            j: replace(one, shown=None if one.shown is None else False) for j, one in by_class.items()
        }
    points = {role: len(part) for role, part in classes["student"].items()}
    if answers is not None:
        points["planned"] = len(answers.plan.indices)
    return Comparison(delta, lines, by_class, skipped, points, margin, PARTS)


def _same_points(said: dict[str, dict[str, Tensor]], labels: Tensor | None) -> dict[str, dict[str, Tensor]]:
    """The classes that both say, of as many points on each role as there are labels."""
    if not said["student"]:
        raise ValueError("there are no points; give holdout, unlabelled, or both")
    classes = {who: {role: _classes(part) for role, part in parts.items()} for who, parts in said.items()}
    for role, part in classes["student"].items():
        if len(part) != len(classes["teacher"][role]):
            sizes = f"{len(part)} and {len(classes['teacher'][role])}"
            raise ValueError(
                f"student and teacher say {sizes} things on {role}; give the same points, in one order"
            )
    if labels is not None and len(labels) != len(classes["student"]["holdout"]):
        raise ValueError(
            f"{len(labels)} labels for {len(classes['student']['holdout'])} hold-out points; give one each"
        )
    return classes


def _sure(said: dict[str, dict[str, Tensor]], confident: float) -> dict[str, Tensor]:
    """Where the teacher is sure, if it says more than classes."""
    if not all(part.ndim == 2 for part in said["teacher"].values()):
        return {}
    return {role: sure_of(part, confident) for role, part in said["teacher"].items()}


def _said(
    student: Any,
    teacher: Any,
    holdout: Any,
    unlabelled: Any,
    may_share: Any,
    may_repeat: Any,
    batch_size: int,
) -> tuple[dict[str, dict[str, Tensor]], Tensor | None, dict[tuple[str, str], int]]:
    """The answers of both on the points of each role, the labels of the hold-out, and rows that repeat."""
    counts = {}
    if isinstance(student, nn.Module) and isinstance(teacher, nn.Module):
        roles: list[Role] = []
        if holdout is not None:
            roles.append(HoldOut.of(holdout))
        if unlabelled is not None:
            roles.append(Unlabelled.of(unlabelled))
        if roles:
            counts = check_rows(*roles, may_share=may_share, may_repeat=may_repeat)
        points = {role.role: role.called_with for role in roles}
        if lacking := [role for role, part in points.items() if part is None]:
            raise ValueError(f"modules need points, and those of {lacking[0]} are known by logits alone")
        said = {
            name: {
                role: said_on(net, part, name=name, batch_size=batch_size)
                for role, part in points.items()
                if part is not None
            }
            for name, net in (("student", student), ("teacher", teacher))
        }
        for name, parts in said.items():
            for role, logits in parts.items():
                check_logits(f"{name} logits on {role}", logits)
        labels = next((role.labels.long().cpu() for role in roles if isinstance(role, HoldOut)), None)
    elif isinstance(student, Mapping) and isinstance(teacher, Mapping):
        if unlabelled is not None:
            raise ValueError("unlabelled is for modules; give what was said there as student['unlabelled']")
        said = {name: _tables(name, given) for name, given in (("student", student), ("teacher", teacher))}
        labels = None if holdout is None else tensor_of("holdout", holdout)
        counts = _check_tables(said, may_share, may_repeat)
    else:
        raise ValueError(
            "student and teacher must both be modules, or both mappings from roles to what they say"
        )
    if set(said["student"]) != set(said["teacher"]) or (labels is not None) != ("holdout" in said["student"]):
        roles_ = f"{sorted(said['student'])} and {sorted(said['teacher'])}"
        raise ValueError(
            f"student and teacher are known on {roles_}; give both on the same, labels with 'holdout'"
        )
    if labels is not None:
        if labels.ndim != 1:
            raise ValueError(
                f"holdout labels have shape {tuple(labels.shape)}; give one class number a point"
            )
        check_labels("holdout labels", labels, _MANY)
        labels = labels.long()
    return said, labels, counts


def _check_tables(
    said: dict[str, dict[str, Tensor]], may_share: Any, may_repeat: Any
) -> dict[tuple[str, str], int]:
    """Points that are known by logits are in one role and once; classes are not those of the same points."""
    tables = {role: (said["teacher"].get(role), table) for role, table in said["student"].items()}
    roles: list[Role] = []
    for role, (teacher, student) in tables.items():
        if teacher is not None and teacher.ndim == student.ndim == 2 and len(teacher) == len(student):
            both = SideBySide((teacher, student))
            none = torch.zeros(len(student)).long()
            roles.append(HoldOut.of((both, none)) if role == "holdout" else Unlabelled.of(both))
    counts = check_rows(*roles, may_share=may_share, may_repeat=may_repeat) if roles else {}
    if len(tables) == 2 and len(roles) < 2:
        pairs = zip(*tables.values(), strict=True)
        same = all(a is not None and b is not None and torch.equal(a, b) for a, b in pairs)
        most = max(int(_classes(table).unique().numel()) for _, table in tables.values())
        if same and most > 1 and len(tables["holdout"][1]) >= _SURELY_NOT_CHANCE:
            raise ValueError(
                "unlabelled holds what was said on the hold-out points, row for row; a point has one role: "
                "give other points, or leave unlabelled out"
            )
    return counts


def _tables(name: str, given: Mapping[str, Any]) -> dict[str, Tensor]:
    tables = {}
    for role, values in given.items():
        if role not in ("holdout", "unlabelled"):
            raise ValueError(f"{name} has the key {role!r}; give 'holdout' and 'unlabelled'")
        if values is None:
            continue
        table = tensor_of(f"{name} on {role}", values).cpu()
        if table.ndim == 2:
            check_logits(f"{name} logits on {role}", table.double())
        elif table.ndim == 1:
            check_labels(f"{name} classes on {role}", table, _MANY)
        else:
            raise ValueError(
                f"{name} on {role} has shape {tuple(table.shape)}; give logits n × k or n class numbers"
            )
        tables[role] = table
    return tables


def _classes(table: Tensor) -> Int[Tensor, "n"]:
    return table.argmax(-1) if table.ndim == 2 else table.long()


def _number_of_classes(said: dict[str, dict[str, Tensor]], labels: Tensor | None) -> int:
    """Columns of logits where there are any; else one more than the largest class that was said."""
    tables = [table for parts in said.values() for table in parts.values()]
    if columns := {table.shape[1] for table in tables if table.ndim == 2}:
        if len(columns) > 1:
            raise ValueError(f"logits have {sorted(columns)} classes; give one number of classes everywhere")
        most = max(
            int(part.max()) for part in [*map(_classes, tables), *([] if labels is None else [labels])]
        )
        if most >= (number := columns.pop()):
            raise ValueError(
                f"class {most} was said or labelled, of {number} columns of logits; count from 0"
            )
        return number
    return 1 + max(int(table.max()) for table in tables)


def _planned(
    answers: Answers, classes: dict[str, dict[str, Tensor]], number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    if "unlabelled" not in classes["student"]:
        raise ValueError("answers is for planned points among the unlabelled ones; give those too")
    student, teacher = (classes[who]["unlabelled"].numpy() for who in ("student", "teacher"))
    answers.plan.check(student, teacher)
    check_labels("labels of answers", torch.as_tensor(np.asarray(answers.labels)), number)
    labels = answers.plan.answered(np.asarray(answers.indices), np.asarray(answers.labels))
    rows = list(answers.plan.indices)
    return labels, student[rows], teacher[rows], answers.plan.wanted
