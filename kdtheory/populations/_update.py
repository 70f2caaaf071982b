"""A step of a recipe's optimiser on one tensor, by the functions that torch's own optimisers call.

An optimiser of torch's looks for hooks and groups of parameters at every step, and the first of a process
loads torch's compiler, a second and a half; here is one tensor, and the hot loop has thousands of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from kdtheory.recipe import Recipe

__all__ = ["update_of"]

_BETAS, _EPS = (0.9, 0.999), 1e-8  # torch's defaults


def update_of(recipe: Recipe, weights: Tensor, gradient: Tensor, /) -> Callable[[float], None]:
    """A function of the learning rate that moves `weights` by what `gradient` holds when it is called."""
    if recipe.optimizer == "sgd":
        momentum: list[Tensor | None] = [None]
        step = partial(
            sgd, [weights], [gradient], momentum, fused=True, weight_decay=recipe.weight_decay,
            momentum=recipe.momentum, dampening=0.0, nesterov=False, maximize=False,
        )  # fmt: skip
    else:
        moments, done = (torch.zeros_like(weights), torch.zeros_like(weights)), weights.new_zeros(())
        step = partial(
            adam, [weights], [gradient], [moments[0]], [moments[1]], [], [done.float()], fused=True,
            amsgrad=False, beta1=_BETAS[0], beta2=_BETAS[1], weight_decay=recipe.weight_decay, eps=_EPS,
            maximize=False,
        )  # fmt: skip
    return lambda rate: step(lr=rate)
