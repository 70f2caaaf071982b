"""Which witnesses to train, and how: fixed before anything is trained or tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.networks import Architecture
from kdtheory.recipe import Recipe
from kdtheory.validate import check_at_least, check_finite, check_fraction, check_one_of, check_positive

__all__ = ["LABEL_RECIPE", "STUDENT_RECIPE", "WITNESSES", "ShipPlan", "WitnessPlan"]

WITNESSES = ("holdout", "coded", "stochastic")
LABEL_RECIPE = Recipe(epochs=10, least_steps=1000, schedule="cosine", averaged=0.5, batch_size=128)
"""The recipe of networks trained on labels, where the plan says nothing else."""
STUDENT_RECIPE = Recipe(epochs=3, least_steps=1000, batch_size=128)
"""The recipe of a stochastic student, where the plan says nothing else."""


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
        recipe: of the networks trained on labels; epochs are those of the examples without further versions.
            Change some of it by ``LABEL_RECIPE.but(learning_rate=0.01)``.
        students: of a stochastic student; `STUDENT_RECIPE` where nothing is said.
        centre_may_be_sent: whether a coded witness may be its prior alone, where no difference pays for its
            bits.
        rounds: how often each point of B is tested by a fresh draw of the stochastic witness.

    Raises:
        ValueError: a kind is not known, a number is out of its range, or a recipe says more than the training
            of populations or posteriors can do.

    >>> WitnessPlan(kinds=("holdout",), recipe=LABEL_RECIPE.but(steps=300)).recipe
    Recipe(steps=300, schedule='cosine', averaged=0.5, batch_size=128)
    """

    kinds: tuple[str, ...] = WITNESSES
    architecture: Architecture | None = None
    initial: Float[Tensor, "size"] | None = None
    members: int = 3
    held_out: float = 0.1
    augmentation: Callable[[Tensor], Tensor] | None = None
    recipe: Recipe = LABEL_RECIPE
    students: Recipe = STUDENT_RECIPE
    centre_may_be_sent: bool = True
    rounds: int = 10

    def __post_init__(self) -> None:
        check_at_least("number of kinds", len(self.kinds), 1)
        for kind in self.kinds:
            check_one_of("witness", kind, WITNESSES)
        check_fraction("held_out", self.held_out, open_interval=True)
        check_at_least("members", self.members, 1)
        check_at_least("rounds", self.rounds, 1)
        for recipe, trained in ((self.recipe, "a population"), (self.students, "a posterior")):
            recipe.check_honoured(trained)
            check_at_least("steps", recipe.steps_for(1), 1)
        if self.initial is not None:
            check_finite("initial", self.initial)

    def on_labels(self, examples: int, /) -> Recipe:
        """The recipe of networks trained on that many labels, in steps: however many versions there are."""
        return self.recipe.in_steps(examples)

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


@door
@dataclass(frozen=True, eq=False)
class ShipPlan:
    """How the distilled network to ship is made: fixed without the labels of B, as the witnesses are.

    It starts as the witnesses do; its loss is T²·KL(φ_T(witness) ‖ φ_T(network)), on the points of A and the
    unlabelled ones.

    Args:
        architecture: None takes the witnesses' own; another one, as a smaller one, has a start of its own.
        recipe: None takes that of the witnesses.
        temperature: T.

    Raises:
        ValueError: a number is out of its range, or the recipe is not one for populations.
    """

    architecture: Architecture | None = None
    recipe: Recipe | None = None
    temperature: float = 4.0

    def __post_init__(self) -> None:
        check_positive("temperature", self.temperature)
        if self.recipe is not None:
            self.recipe.check_honoured("a population")

    def recipe_after(self, plan: WitnessPlan, examples: int, /) -> Recipe:
        """The recipe of the network on that many points, in steps."""
        return (self.recipe or plan.recipe).in_steps(examples)
