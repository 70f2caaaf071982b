"""The case that is certified: what teacher and student say on the points of each role, and what is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from kdtheory.certify.nets import ReluNet, relu_net, said_on
from kdtheory.certify.workshop import Workshop
from kdtheory.networks import MLP
from kdtheory.roles import Role, Unlabelled, tensor_of
from kdtheory.validate import check_labels, check_logits

__all__ = ["REASONS", "Case", "Said", "said_by"]

REASONS = {
    "train": "no training labels were given",
    "holdout": "no hold-out labels were given",
    "unlabelled": "no unlabelled points were given",
    "student": "no student was given",
    "teacher's norms": "the teacher is not a module made of Linear layers with ReLU between them",
    "student's norms": "the student is not a module made of Linear layers with ReLU between them",
    "student's class": "it needs a hold-out, or a student made of Linear and ReLU layers",
    "witness holdout": "no such witness was asked for",
    "witness coded": "no such witness was asked for",
    "witness stochastic": "no such witness was asked for",
    "an MLP": "the witness's architecture is no MLP, which a stochastic one must be",
}
"""Why a bound does not apply: one sentence for each thing that it may need."""


@dataclass(frozen=True, eq=False)
class Said:
    """A predictor by its logits on the points of each role, and its layers if they are known.

    Args:
        on: role ↦ logits.
        net: the layers.
        input_norm: (Σ‖x_i‖²)^½ of the training points, as the net takes them.
    """

    on: dict[str, Float[Tensor, "_ k"]]
    net: ReluNet | None = None
    input_norm: float = 0.0


@dataclass(frozen=True, eq=False)
class Case:
    """Everything that a bound may ask for.

    Args:
        teacher: f.
        student: g, or None.
        labels: role ↦ labels, for "train" and "holdout".
        gammas: candidates of γ; each pays for their number.
        fixed: whether architectures, γ and shares were fixed before the labelled points were seen.
        inputs: role ↦ points, where they are known.
        workshop: makes the witnesses that were asked for.
        repeats: two roles ↦ how many rows they have in common, where the caller lets them.
    """

    teacher: Said
    student: Said | None
    labels: dict[str, Int[Tensor, "_"]]
    gammas: tuple[float, ...]
    fixed: bool
    inputs: dict[str, Shaped[Tensor, "_ *shape"]] = field(default_factory=dict)
    workshop: Workshop | None = None
    repeats: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def has(self, need: str, /) -> bool:
        """Whether one of the things named in `REASONS` is there."""
        student, workshop = self.student, self.workshop
        if need in ("train", "holdout"):
            return need in self.labels
        if need == "unlabelled":
            return "unlabelled" in self.teacher.on
        if need == "student":
            return student is not None
        if need == "teacher's norms":
            return self.teacher.net is not None
        if need == "student's norms":
            return student is not None and student.net is not None
        if need == "student's class":
            return self.has("holdout") or (self.has("train") and self.has("student's norms"))
        if need == "an MLP":
            return workshop is not None and isinstance(workshop.architecture, MLP)
        return workshop is not None and need.removeprefix("witness ") in workshop.plan.kinds

    def lack(self, needs: tuple[str, ...], /) -> str | None:
        """Why it cannot be done; None where nothing is lacking."""
        return next((REASONS[need] for need in needs if not self.has(need)), None)


def said_by(
    name: str, predictor: nn.Module | Mapping[str, Any], points: Mapping[str, Role], /, *, batch_size: int
) -> Said:
    """What a module, or a mapping from roles to logits, says on the points.

    Raises:
        ValueError: it is neither, logits are lacking or unusable, or do not fit the points or their labels.
    """
    if isinstance(predictor, nn.Module):
        inputs = {role: part.inputs for role, part in points.items() if isinstance(part.inputs, Tensor)}
        if lacking := [role for role in points if role not in inputs]:
            raise ValueError(f"{name} is a module, and points of {lacking[0]} are known by logits alone")
        on = {
            role: said_on(predictor, part, name=name, batch_size=batch_size) for role, part in inputs.items()
        }
    elif isinstance(predictor, Mapping):
        on = {role: _given(name, predictor, role, len(part)) for role, part in points.items()}
    else:
        kind = type(predictor).__name__
        raise ValueError(f"{name} is a {kind}; give an nn.Module, or a mapping from roles to logits")
    for role, logits in on.items():
        check_logits(f"{name} logits on {role}", logits)
        if not isinstance(part := points[role], Unlabelled):
            check_labels(f"{role} labels", part.labels, logits.shape[-1])
    if len(classes := {logits.shape[-1] for logits in on.values()}) > 1:
        raise ValueError(f"{name} has {sorted(classes)} classes on different points; give one number")
    if not isinstance(predictor, nn.Module) or "train" not in points:
        return Said(on)
    net = relu_net(predictor, inputs["train"], on["train"])
    return Said(on, net, net.input_norm(inputs["train"]) if net else 0.0)


def _given(name: str, logits: Mapping[str, Any], role: str, points: int) -> Tensor:
    if logits.get(role) is None:
        raise ValueError(f"{name} has no logits for {role!r}; give them, or leave those points out")
    table = tensor_of(f"{name} logits on {role}", logits[role]).double().cpu()
    if table.ndim != 2 or len(table) != points:
        shown = tuple(table.shape)
        raise ValueError(f"{name} logits on {role} have shape {shown}; give {points} rows of k classes")
    return table
