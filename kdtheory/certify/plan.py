"""Which witnesses to train, and how: fixed before anything is trained or tested."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.networks import Architecture
from kdtheory.validate import check_at_least, check_finite, check_fraction, check_one_of, check_positive

__all__ = ["WITNESSES", "ShipPlan", "WitnessPlan"]

WITNESSES = ("holdout", "coded", "stochastic")
_EPOCHS, _DISTILLED_EPOCHS, _LEAST_STEPS = 10, 3, 1000


@door
@dataclass(frozen=True, eq=False)
class WitnessPlan:
    """Which witnesses to train, and how: fixed without the labels of B, or `fixed_in_advance` is False.

    A certificate through a witness is the witness's risk plus its disagreement with the teacher. What makes
    networks of one shape agree is a recipe that is stable: the same start, a falling rate, a mean of the last
    iterates. All of it is the default but the start, which only the teacher's maker knows.

    Args:
        kinds: of `WITNESSES`.
        architecture: None takes the teacher's own widths if it is a plain ReLU net, else one hidden layer of
            256; a stochastic witness must be an `MLP`.
        initial: parameters that every network starts from, such as those that the teacher started from. That
            they saw no training label is the caller's word, and printed; the teacher's own are refused. None
            draws each its own.
        members: how many hold-out witnesses, to be averaged.
        held_out: the share of the training points in B.
        augmentation: n examples to c·n, all of them one version after the other, fixed in advance; networks
            that are trained on labels are trained on all c versions. None is the examples alone.
        steps: of Adam, for the networks trained on labels; None takes 10 epochs, at least 1000 steps.
        distilled_steps: of Adam, for a stochastic student; None takes 3 epochs, at least 1000 steps.
        learning_rate, batch_size: of all of them.
        weight_decay, schedule, averaged: of `train`, for the networks trained on labels.
        centre_may_be_sent: whether a coded witness may be its prior alone, where no difference pays for its
            bits.
        rounds: how often each point of B is tested by a fresh draw of the stochastic witness.

    Raises:
        ValueError: a kind is not known, or a number is out of its range.
    """

    kinds: tuple[str, ...] = WITNESSES
    architecture: Architecture | None = None
    initial: Float[Tensor, "size"] | None = None
    members: int = 3
    held_out: float = 0.1
    augmentation: Callable[[Tensor], Tensor] | None = None
    steps: int | None = None
    distilled_steps: int | None = None
    learning_rate: float = 1e-3
    batch_size: int | None = 128
    weight_decay: float = 0.0
    schedule: str = "cosine"
    averaged: float = 0.5
    centre_may_be_sent: bool = True
    rounds: int = 10

    def __post_init__(self) -> None:
        check_at_least("number of kinds", len(self.kinds), 1)
        for kind in self.kinds:
            check_one_of("witness", kind, WITNESSES)
        check_fraction("held_out", self.held_out, open_interval=True)
        check_positive("learning_rate", self.learning_rate)
        check_at_least("members", self.members, 1)
        check_at_least("rounds", self.rounds, 1)
        for name in ("steps", "distilled_steps"):
            if (value := getattr(self, name)) is not None:
                check_at_least(name, value, 1)
        if self.initial is not None:
            check_finite("initial", self.initial)

    def label_steps(self, examples: int, /) -> int:
        """Steps of each network that is trained on that many labels."""
        return self.steps or self.steps_of(_EPOCHS, examples)

    def student_steps(self, examples: int, /) -> int:
        """Steps of each student that is distilled on that many points."""
        return self.distilled_steps or self.steps_of(_DISTILLED_EPOCHS, examples)

    def examples(self, inputs: Tensor, labels: Tensor, /) -> tuple[Tensor, Tensor]:
        """All versions of the examples, with their labels.

        Raises:
            ValueError: the augmentation does not make a multiple of the examples, of the same shape.
        """
        if self.augmentation is None:
            return inputs, labels
        versions = self.augmentation(inputs)
        times, left = divmod(len(versions), len(inputs))
        if left or not times or versions.shape[1:] != inputs.shape[1:]:
            raise ValueError(
                f"augmentation makes {tuple(versions.shape)} of {tuple(inputs.shape)}; it must make c·n "
                "examples of n, of the same shape"
            )
        return versions, labels.repeat(times)

    @property
    def recipe(self) -> dict[str, Any]:
        """How networks are trained on labels, as `train` takes it."""
        return {
            "learning_rate": self.learning_rate,
            "batch_size": self.batch_size,
            "weight_decay": self.weight_decay,
            "schedule": self.schedule,
            "averaged": self.averaged,
        }

    def steps_of(self, epochs: int, examples: int, /) -> int:
        """Steps of so many epochs, at least 1000."""
        return max(_LEAST_STEPS, math.ceil(epochs * examples / (self.batch_size or examples)))


@door
@dataclass(frozen=True, eq=False)
class ShipPlan:
    """How the distilled network to ship is made: fixed without the labels of B, as the witnesses are.

    It starts and descends as the plan of the witnesses says; its loss is T²·KL(φ_T(witness) ‖ φ_T(network)).

    Args:
        architecture: None takes the witnesses' own; another one, as a smaller one, has a start of its own.
        steps: of Adam; None takes 10 epochs of the points of A and the unlabelled ones, at least 1000 steps.
        temperature: T.

    Raises:
        ValueError: a number is out of its range.
    """

    architecture: Architecture | None = None
    steps: int | None = None
    temperature: float = 4.0

    def __post_init__(self) -> None:
        check_positive("temperature", self.temperature)
        if self.steps is not None:
            check_at_least("steps", self.steps, 1)

    def steps_after(self, plan: WitnessPlan, examples: int, /) -> int:
        """Steps on that many points, with the batches of the witnesses' plan."""
        return self.steps or plan.steps_of(_EPOCHS, examples)
