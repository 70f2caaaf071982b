"""The case that is certified: what teacher and student say on the points of each role, and what is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from kdtheory.certify.nets import ReluNet, relu_net, said_on
from kdtheory.certify.ship import Shipyard
from kdtheory.certify.word import Word
from kdtheory.certify.workshop import Workshop
from kdtheory.networks import MLP, Inputs, Pick
from kdtheory.roles import Arguments, Role, Unlabelled
from kdtheory.types import tensor_of
from kdtheory.validate import check_labels, check_logits

__all__ = ["REASONS", "Case", "Said", "said_by"]

REASONS = {
    "train": "no training labels were given",
    "holdout": "no hold-out labels were given",
    "labels": "no labels were given",
    "unlabelled": "no unlabelled points were given",
    "student": "no student was given",
    "teacher module": "the teacher is not a module: its layers are not known",
    "student module": "the student is not a module: its layers are not known",
    "student class": "it needs a hold-out, or a student that is a module",
    "witness holdout": "no such witness was asked for",
    "witness coded": "no such witness was asked for",
    "witness stochastic": "no such witness was asked for",
    "an MLP": "the witness's architecture is no MLP, which a stochastic one must be",
}
"""Why a bound does not apply: one sentence for each thing that it may need, all in the caller's hand."""


@dataclass(frozen=True, eq=False)
class Said:
    """A predictor by its logits on the points of each role, and its layers if they are known.

    Args:
        on: role ↦ logits.
        module: whether it was given as one.
        net: the layers of a plain ReLU net.
        input_norm: (Σ‖x_i‖²)^½ of the training points, as the net takes them.
    """

    on: dict[str, Float[Tensor, "_ k"]]
    module: bool = False
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
        word: what the caller says of how all this came about.
        inputs: role ↦ points, where they are known.
        workshop: makes the witnesses that were asked for.
        counts: (a, b) ↦ how many rows of role a are rows of b, and (a, a) ↦ how many repeat an earlier one,
            where the caller lets them.
        ships: whether networks to ship were asked for.
    """

    teacher: Said
    student: Said | None
    labels: dict[str, Int[Tensor, "_"]]
    gammas: tuple[float, ...]
    word: Word
    inputs: dict[str, Shaped[Tensor, "_ *shape"] | Arguments] = field(default_factory=dict)
    workshop: Workshop | None = None
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    ships: bool = False

    @cached_property
    def shipyard(self) -> Shipyard | None:
        """Makes the networks to ship."""
        return Shipyard(self.workshop) if self.ships and self.workshop is not None else None

    def flat(self, role: str, /) -> Float[Tensor, "_ d"]:
        """The points of a role as vectors, float64."""
        points = self.inputs[role]
        assert isinstance(points, Tensor)  # a plain ReLU net took them
        return points.double().flatten(1)

    def has(self, need: str, /) -> bool:
        """Whether one of the things named in `REASONS` is there."""
        student, workshop = self.student, self.workshop
        if need in ("train", "holdout"):
            return need in self.labels
        if need == "labels":
            return bool(self.labels)
        if need == "unlabelled":
            return "unlabelled" in self.teacher.on
        if need == "student":
            return student is not None
        if need == "teacher module":
            return self.teacher.module
        if need == "student module":
            return student is not None and student.module
        if need == "student class":
            return self.has("holdout") or (self.has("train") and self.has("student module"))
        if need == "an MLP":
            return workshop is not None and isinstance(workshop.architecture, MLP)
        return workshop is not None and need.removeprefix("witness ") in workshop.plan.kinds

    def lack(self, needs: tuple[str, ...], /) -> str | None:
        """Why it cannot be done; None where nothing is lacking."""
        return next((REASONS[need] for need in needs if not self.has(need)), None)


def said_by(
    name: str,
    predictor: nn.Module | Mapping[str, Any],
    points: Mapping[str, Role],
    /,
    *,
    batch_size: int,
    pick: Pick | None = None,
) -> Said:
    """The logits of a module, or of a mapping from roles to logits, on the points.

    Raises:
        ValueError: it is neither, logits are lacking or unusable, or do not fit the points or their labels.
    """
    if isinstance(predictor, nn.Module):
        on = {
            role: said_on(predictor, _inputs(name, part), name=name, batch_size=batch_size, pick=pick)
            for role, part in points.items()
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
    if not isinstance(predictor, nn.Module):
        return Said(on)
    if "train" not in points:
        return Said(on, True)
    inputs = {role: part.inputs for role, part in points.items() if isinstance(part.inputs, Tensor)}
    net = (
        relu_net(predictor, [(part, on[role]) for role, part in inputs.items()], pick=pick)
        if inputs
        else None
    )
    return Said(on, True, net, net.input_norm(inputs["train"]) if net else 0.0)


def _inputs(name: str, points: Role) -> Inputs:
    if (inputs := points.called_with) is None:
        raise ValueError(f"{name} is a module, and points of {points.role} are known by logits alone")
    return inputs


def _given(name: str, logits: Mapping[str, Any], role: str, points: int) -> Tensor:
    if logits.get(role) is None:
        raise ValueError(f"{name} has no logits for {role!r}; give them, or leave those points out")
    table = tensor_of(f"{name} logits on {role}", logits[role]).double().cpu()
    if table.ndim != 2 or len(table) != points:
        shown = tuple(table.shape)
        raise ValueError(f"{name} logits on {role} have shape {shown}; give {points} rows of k classes")
    return table
