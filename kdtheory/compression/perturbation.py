"""How far the outputs of a ReLU net move when its weights do (Neyshabur, Bhojanapalli & Srebro 2018).

The net is x ↦ W_L ρ(… ρ(W_1 x)), ρ the ReLU, without biases; a bias is the weight of an input that is always
one (`kdtheory.bounds.norms.homogeneous_layers`). Its layers become W_i + U_i, with t_i = ‖U_i‖₂/‖W_i‖₂ in
spectral norm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.validate import check_at_least, check_finite, check_logits, check_positive, check_same_shape

__all__ = ["Perturbation", "neyshabur18_perturbation", "predictions_unchanged"]


@door
@dataclass(frozen=True)
class Perturbation:
    """Bounds on |f_{W+U}(x) − f_W(x)|₂ and the terms they are made of.

    Args:
        norm_product: Π‖W_i‖₂.
        ratios: t_1, …, t_L.
        input_norm: the largest ‖x‖₂ they are meant for.
    """

    norm_product: float
    ratios: tuple[float, ...]
    input_norm: float

    @property
    def assumption_met(self) -> bool:
        """‖U_i‖₂ ≤ ‖W_i‖₂/L for every layer; without it `value` is no bound."""
        return max(self.ratios) <= 1 / len(self.ratios)

    @property
    def value(self) -> float:
        """e·‖x‖₂·Π‖W_i‖₂·Σt_i (Lemma 2)."""
        return math.e * self.input_norm * self.norm_product * math.fsum(self.ratios)

    @property
    def refined(self) -> float:
        """‖x‖₂·Π‖W_i‖₂·(Π(1 + t_i) − 1) ≤ `value` where that holds; a bound for any U (derived here).

        Layer by layer the outputs differ by at most e_i = ‖W_i + U_i‖₂e_{i−1} + ‖U_i‖₂·‖x‖₂Π_{j<i}‖W_j‖₂.
        """
        growth = math.expm1(math.fsum(math.log1p(ratio) for ratio in self.ratios))
        return self.input_norm * self.norm_product * growth


@door
def neyshabur18_perturbation(
    weights: Sequence[Float[Tensor, "_ _"]],
    perturbations: Sequence[Float[Tensor, "_ _"]],
    /,
    *,
    input_norm: float,
) -> Perturbation:
    """|f_{W+U}(x) − f_W(x)|₂ ≤ e·‖x‖₂·Π‖W_i‖₂·Σ‖U_i‖₂/‖W_i‖₂ if ‖U_i‖₂ ≤ ‖W_i‖₂/L.

    Neyshabur, Bhojanapalli & Srebro (2018), Lemma 2. It says nothing about a prediction where it exceeds the
    margin (`predictions_unchanged`), which for trained nets it does unless the perturbation is small.

    Args:
        weights: W_1, …, W_L.
        perturbations: U_1, …, U_L.
        input_norm: ‖x‖₂, or the largest of several.

    Raises:
        ValueError: there is no layer, not one U for each W and of its shape, a W that is zero, or an entry
            that is not finite.

    >>> bound = neyshabur18_perturbation([2 * torch.eye(1), torch.eye(1)], [torch.eye(1), torch.zeros(1, 1)],
    ...                                  input_norm=1.0)
    >>> bound.ratios, bound.refined, bound.value == math.e  # the output goes from 2 to 3
    ((0.5, 0.0), 1.0, True)
    """
    check_at_least("number of layers", len(weights), 1)
    check_positive("input_norm", input_norm)
    if len(weights) != len(perturbations):
        raise ValueError(f"{len(weights)} weights and {len(perturbations)} perturbations; give one for each")
    norms, ratios = [], []
    for weight, change in zip(weights, perturbations, strict=True):
        check_same_shape("a weight", weight, "its perturbation", change)
        check_finite("weights", weight)
        check_finite("perturbations", change)
        norms.append(float(torch.linalg.matrix_norm(weight.detach().double(), ord=2)))
        check_positive("the norm of a weight", norms[-1])
        ratios.append(float(torch.linalg.matrix_norm(change.detach().double(), ord=2)) / norms[-1])
    return Perturbation(math.prod(norms), tuple(ratios), input_norm)


@door
def predictions_unchanged(logits: Float[Tensor, "*batch k"], /, *, change: float) -> Bool[Tensor, "*batch"]:
    """Where no change of the logits by `change` or less (Euclidean) can alter the argmax: margin > √2·change.

    Raises:
        ValueError: logits are unusable, or the change is negative.

    >>> predictions_unchanged(torch.tensor([[3.0, 1.0], [3.0, 2.5]]), change=1.0)
    tensor([ True, False])
    """
    check_logits("logits", logits)
    if not change >= 0:
        raise ValueError(f"change = {change} must be ≥ 0")
    top = logits.topk(2, -1).values.double()  # a difference that is rounded up would be too large
    return top[..., 0] - top[..., 1] > math.sqrt(2) * change
