"""The public door: points and predictors come in, are checked once, and become a case."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from kdtheory.bounds import Bound
from kdtheory.certify.case import Case, Said, said_by
from kdtheory.certify.lines import LINES, Line
from kdtheory.certify.result import Certificates
from kdtheory.certify.witnesses import WitnessPlan, Workshop
from kdtheory.networks import MLP, Architecture
from kdtheory.roles import ROLES, HoldOut, Role, Train, Unlabelled, check_disjoint
from kdtheory.streams import Stream
from kdtheory.types import resolve_device
from kdtheory.validate import (
    check_at_least,
    check_fraction,
    check_logits,
    check_one_of,
    check_positive,
)

__all__ = ["certify", "certify_logits"]

Progress = Callable[[int, int], None]
_HIDDEN = 256


def certify(
    teacher: nn.Module | Mapping[str, Any],
    student: nn.Module | Mapping[str, Any] | None = None,
    /,
    *,
    train: Any = None,
    holdout: Any = None,
    unlabelled: Any = None,
    delta: float = 0.05,
    gamma: float | Sequence[float] = 1.0,
    shares: Mapping[str, float] | None = None,
    witness: str | WitnessPlan | None = None,
    fixed_in_advance: bool = True,
    may_share: Iterable[tuple[str, str]] = (),
    stream: Stream | None = None,
    device: str | torch.device = "auto",
    batch_size: int = 1024,
    progress: Progress | None = None,
) -> Certificates:
    """Every bound on Pr[argmax f(x) ≠ y] that applies to a teacher f, at one δ for all; why others do not.

    Honest by roles: `train` may have been seen by anyone, so that what is computed there holds for whole
    classes or codes, or is marked a heuristic; `holdout` and `unlabelled` points were drawn after f and g
    were fixed. A point that sits in two roles is refused.

    δ is split before anything is computed: by fixed parts, 8 for a hold-out or disagreement bound and 1 for a
    bound over a class or a heuristic, or by `shares`. Within a disagreement bound it is split in halves.

    Args:
        teacher: a module, evaluated in evaluation mode where it is and left as it was; or its logits, as a
            mapping from "train", "holdout", "unlabelled" to n × k arrays.
        student: the same for g.
        train, holdout: labelled points: `Train`/`HoldOut`, (inputs, labels), a Dataset or a DataLoader.
        unlabelled: points without labels: `Unlabelled`, an array, a Dataset or a DataLoader.
        delta: δ of all bounds together.
        gamma: γ of the margin bounds; of several candidates each bound takes the best and pays for them all.
        shares: line ↦ its part of δ; lines not named are left out. None takes the fixed parts.
        witness: "distil" trains every kind of witness, a name of `WITNESSES` one kind, a `WitnessPlan` what
            it says; None trains nothing.
        fixed_in_advance: whether architectures, γ and shares were fixed before the labelled points were seen;
            where not, bounds over classes are heuristics.
        may_share: pairs of roles that may have rows in common, as in `check_disjoint`.
        stream: where witnesses take their randomness from; needed for `witness` only.
        device: where witnesses are trained.
        batch_size: of the evaluation.
        progress: called with (done, total) steps of the witnesses' training.

    Raises:
        ValueError: a row sits in two roles, arrays do not fit each other, a number is out of range, a name is
            not known, or there is no labelled point.

    >>> says, points = torch.eye(2).repeat(100, 1), torch.arange(200.0)[:, None]
    >>> found = certify({"holdout": says}, holdout=(points, torch.tensor([0, 1] * 100)))
    >>> found.best_line, round(found.best.value, 4)  # 1 − 0.05^(1/200)
    ('holdout', 0.0149)
    """
    roles = _roles(train, holdout, unlabelled)
    points = {role.role: role for role in roles}
    check_disjoint(*roles, may_share=may_share)
    check_at_least("batch_size", batch_size, 1)
    said = said_by("teacher", teacher, points, batch_size=batch_size)
    case = Case(
        said,
        None if student is None else _student(student, said, points, batch_size),
        {role.role: role.labels.long().cpu() for role in roles if not isinstance(role, Unlabelled)},
        _gammas(gamma),
        fixed_in_advance,
        {name: role.inputs.cpu() for name, role in points.items()},
        _workshop(witness, said, points, stream, device, progress),
    )
    return _certificates(case, delta, shares)


def certify_logits(
    teacher_logits: Float[Tensor, "n k"],
    labels: Int[Tensor, "n"],
    /,
    *,
    student_logits: Float[Tensor, "n k"] | None = None,
    teacher_unlabelled: Float[Tensor, "m k"] | None = None,
    student_unlabelled: Float[Tensor, "m k"] | None = None,
    labels_role: str = "holdout",
    delta: float = 0.05,
    gamma: float | Sequence[float] = 1.0,
    shares: Mapping[str, float] | None = None,
    fixed_in_advance: bool = True,
    may_share: Iterable[tuple[str, str]] = (),
) -> Certificates:
    """The same from logits alone: on labelled points of one role, and on unlabelled ones.

    A point is known by its logits here: two equal rows in two roles are taken for one point.

    Args:
        teacher_logits: f on the labelled points.
        labels: their labels.
        student_logits: g on them.
        teacher_unlabelled, student_unlabelled: f and g on the unlabelled points.
        labels_role: "holdout", points that neither f nor g has seen, or "train".
        delta, gamma, shares, fixed_in_advance, may_share: as in `certify`.

    Raises:
        ValueError: as in `certify`, or the student's logits are there for one kind of points only.

    >>> found = certify_logits(torch.eye(2).repeat(100, 1), torch.tensor([0, 1] * 100))
    >>> round(found.best.value, 4)
    0.0149
    """
    check_one_of("labels_role", labels_role, ROLES[:2])
    _check_pairs(student_logits, teacher_unlabelled, student_unlabelled)
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
        may_share=may_share,
    )


def _certificates(case: Case, delta: float, shares: Mapping[str, float] | None) -> Certificates:
    check_fraction("delta", delta, open_interval=True)
    parts = _parts(shares)
    reasons = {line.name: _reason(line, case, parts) for line in LINES}
    skipped = {name: reason for name, reason in reasons.items() if reason is not None}
    asked = [line for line in LINES if line.name not in skipped]
    if not asked:
        why = "; ".join(f"{name}: {reason}" for name, reason in skipped.items() if parts[name])
        raise ValueError(f"no bound applies ({why}); give labelled points, or other shares")
    total = sum(parts[line.name] for line in asked)
    found = {line.name: line.bound(case, delta * parts[line.name] / total) for line in asked}
    lines = {name: bound for name, bound in found.items() if isinstance(bound, Bound)}
    skipped |= {name: reason for name, reason in found.items() if isinstance(reason, str)}
    points = {role: len(logits) for role, logits in case.teacher.on.items()}
    return Certificates(delta, lines, skipped, points)


def _reason(line: Line, case: Case, parts: Mapping[str, float]) -> str | None:
    return case.lack(line.needs) if parts[line.name] else "it was not asked for in shares"


def _parts(shares: Mapping[str, float] | None) -> dict[str, float]:
    """Each line's part of δ."""
    if shares is None:
        return {line.name: line.part for line in LINES}
    known = tuple(line.name for line in LINES)
    for name, part in shares.items():
        check_one_of("shares", name, known)
        check_positive(f"shares[{name!r}]", part)
    return {name: shares.get(name, 0.0) for name in known}


def _roles(train: Any, holdout: Any, unlabelled: Any) -> list[Role]:
    given = ((Train, train), (HoldOut, holdout), (Unlabelled, unlabelled))
    roles: list[Role] = [role.of(source) for role, source in given if source is not None]
    if train is None and holdout is None:
        raise ValueError("train and holdout are both None; give labelled points for one of them")
    return roles


def _gammas(gamma: float | Sequence[float]) -> tuple[float, ...]:
    gammas = tuple(gamma) if isinstance(gamma, Sequence) else (float(gamma),)
    check_at_least("number of gammas", len(gammas), 1)
    for value in gammas:
        check_positive("gamma", value)
    return gammas


def _student(
    student: nn.Module | Mapping[str, Any], teacher: Said, points: Mapping[str, Role], batch_size: int
) -> Said:
    said = said_by("student", student, points, batch_size=batch_size)
    for role, logits in said.on.items():
        if logits.shape != teacher.on[role].shape:
            shapes = f"{tuple(logits.shape)} and the teacher's {tuple(teacher.on[role].shape)}"
            raise ValueError(f"student logits on {role} have shape {shapes}; they must have the same classes")
    return said


def _workshop(
    witness: str | WitnessPlan | None,
    teacher: Said,
    points: Mapping[str, Role],
    stream: Stream | None,
    device: str | torch.device,
    progress: Progress | None,
) -> Workshop | None:
    if witness is None:
        return None
    if isinstance(witness, str):
        witness = WitnessPlan() if witness == "distil" else WitnessPlan((witness,))
    if stream is None:
        raise ValueError("stream = None, and witnesses are trained at random; give stream=Stream(seed)")
    resolve_device(device)
    train, unlabelled = points.get("train"), points.get("unlabelled")
    if not isinstance(train, Train) or unlabelled is None:
        return None
    return Workshop(
        witness,
        witness.architecture or _same_shape(teacher, train),
        train.inputs.cpu(),
        train.labels.long().cpu(),
        teacher.on["train"],
        unlabelled.inputs.cpu(),
        teacher.on["unlabelled"].argmax(-1),
        stream,
        device,
        progress,
    )


def _same_shape(teacher: Said, train: Train) -> Architecture:
    """The teacher's own widths, or one hidden layer."""
    if teacher.net is not None:
        return MLP(teacher.net.widths)
    return MLP((train.inputs[0].numel(), _HIDDEN, teacher.on["train"].shape[-1]))


def _check_pairs(
    student_logits: Tensor | None, teacher_unlabelled: Tensor | None, student_unlabelled: Tensor | None
) -> None:
    """The student is known wherever the teacher is, or nowhere."""
    there = {
        "student_logits": student_logits is not None,
        "teacher_unlabelled": teacher_unlabelled is not None,
        "student_unlabelled": student_unlabelled is not None,
    }
    if there["student_unlabelled"] != (there["student_logits"] and there["teacher_unlabelled"]):
        lacking = ", ".join(name for name, is_there in there.items() if not is_there)
        raise ValueError(f"{lacking} lacking: a student and unlabelled points go together; give all three")


def _side_by_side(role: str, teacher: Tensor | None, student: Tensor | None) -> Tensor | None:
    """The logits by which a point is known; −∞, which rules a class out, as the least number there is."""
    known = []
    for name, logits in (("teacher", teacher), ("student", student)):
        if logits is not None:
            check_logits(f"{name} logits on {role}", logits)
            known.append(logits.detach().double().cpu())
    if not known:
        return None
    if len(known[0]) != len(known[-1]):
        rows = f"{len(known[0])} and {len(known[-1])}"
        raise ValueError(f"teacher and student logits on {role} have {rows} rows; give the same points")
    joined = torch.cat(known, -1)
    return joined.clamp_min(torch.finfo(joined.dtype).min)
