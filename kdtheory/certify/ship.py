"""Two networks to ship in the teacher's stead, each certified by labels that it has not seen.

The teacher has seen every label, and its certificate pays for how often it leaves a witness. Whoever may ship
another network pays for nothing but the hold-out B of the training points:

- the witness: the mean logits of the networks trained on the labels of A;
- the distilled one: a single network that learns what the witness says, on the points of A and on the
  unlabelled ones. It has seen no label of B, and not the teacher, who has.

Both are tested by the same labels of B, each at its own share of δ. What is tested is the module itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from kdtheory.bounds import Bound
from kdtheory.bounds.holdout import clopper34_holdout
from kdtheory.certify.nets import said_on
from kdtheory.certify.plan import ShipPlan
from kdtheory.certify.workshop import Workshop
from kdtheory.doors import door
from kdtheory.losses import distillation
from kdtheory.networks import Inputs
from kdtheory.populations import Population, train

__all__ = ["MeanLogits", "Shipped", "Shipyard"]

_AT_ONCE = 4096


@door
@dataclass(frozen=True, eq=False)
class Shipped:
    """A network that can be shipped.

    Args:
        network: takes points as they were given to `certify`, and gives logits.
        bound: on its own error, at its share of δ.
    """

    network: nn.Module
    bound: Bound


class MeanLogits(nn.Module):
    """x ↦ (1/w) Σ_j f_j(x), of points in whatever shape they come."""

    def __init__(self, members: list[nn.Module], input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.input_shape = input_shape

    def forward(self, inputs: Shaped[Tensor, "n *shape"]) -> Float[Tensor, "n k"]:
        """The mean of what the members say."""
        rows = inputs.to(next(self.parameters())).reshape(-1, *self.input_shape)
        mean: Tensor = torch.stack([member(rows) for member in self.members]).mean(0)
        return mean


@dataclass(frozen=True, eq=False)
class Shipyard:
    """Makes the networks to ship when they are first asked for.

    Args:
        workshop: trains the witnesses, and knows how the distilled network is to be made.
    """

    workshop: Workshop

    @cached_property
    def witness(self) -> nn.Module:
        """The mean logits of the networks trained on the labels of A."""
        return _module(self.workshop.networks)

    @cached_property
    def distilled(self) -> nn.Module:
        """One network that learns what the witness says, on the points of A and on the unlabelled ones."""
        shop, plan, witness = self.workshop, self.workshop.plan, self.witness
        ship = shop.ship or ShipPlan()
        points = torch.cat([shop.inputs[shop.split.learned], shop.unlabelled])
        points, _ = plan.examples(points, points.new_zeros(len(points), dtype=torch.long))
        with torch.no_grad():
            soft = torch.cat([witness(part).softmax(-1) for part in points.split(_AT_ONCE)])
        architecture = ship.architecture or shop.architecture
        start = None if ship.architecture is not None else plan.initial
        trained = train(
            architecture,
            points.reshape(-1, *architecture.input_shape),
            teacher_probs=soft,
            loss=distillation,
            settings={"temperature": ship.temperature},
            members=1,
            stream=shop.stream.child("shipped"),
            steps=shop.ship_steps,
            initial=None if start is None else start[None],
            device=shop.device,
            progress=shop.relay(shop.all_steps - shop.ship_steps),
            **plan.recipe,
        )
        return _module(trained)

    def bound(self, kind: str, delta: float, /) -> Bound:
        """Pr[network ≠ y] by the labels of B, exact."""
        shop, network = self.workshop, getattr(self, kind)
        rows = shop.split.tested
        said = said_on(network, Inputs((shop.inputs[rows],)), name=f"the {kind} network to ship")
        unseen = shop.unseen("witness_holdout")
        if kind == "distilled":
            unseen = unseen and shop.word.holds("unlabelled_apart")
        return clopper34_holdout(
            said.argmax(-1) != shop.labels[rows],
            delta=delta,
            fixed_in_advance=unseen,
            independent_draws=shop.word.holds("independent"),
        )


def _module(population: Population) -> nn.Module:
    members = [population.module(member) for member in range(len(population))]
    return MeanLogits(members, population.architecture.input_shape).cpu().eval()
