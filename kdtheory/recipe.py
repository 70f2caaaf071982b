"""How networks are trained: one value, whatever is trained.

θ_{s+1} = θ_s − η·f(s/S)·direction_s for s < S steps; f is the schedule, the direction SGD's or Adam's on a
batch. The result is θ_S, or the mean of the last ⌈averaged·S⌉ iterates.

Five trainings take a `Recipe`: populations (`kdtheory.train`), modules (`kdtheory.schemes`), the orthogonal
limit of multi-view data (`kdtheory.multiview.train_limit`), Gaussian posteriors
(`kdtheory.stochastic.train_posterior`), and through these the witnesses of a certificate. What it says
depends on none of them: no architecture, data, loss, start or device. It is a value: it prints, compares,
hashes, and is made into another by `but`. It looks at itself once, where it is made. A training that cannot
do what a recipe says refuses it by `check_honoured`, from the one table `HONOURED`: no field is passed over.

Names ("adam", "cosine") mean the same in each training; torch's own factories are for modules alone, since
a population is one tensor to its optimiser, so that what looks at a whole tensor would mix its members.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kdtheory.doors import door
from kdtheory.types import rounded_up
from kdtheory.validate import check_at_least, check_fraction, check_one_of, check_positive

__all__ = ["HONOURED", "SCHEDULES", "Recipe"]

OptimizerFactory = Callable[..., torch.optim.Optimizer]
ScheduleFactory = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]


def _cosine(done: float) -> float:
    return (1 + math.cos(math.pi * done)) / 2


SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": _cosine,
    "linear": lambda done: 1 - done,
}
"""Share of the steps that are done ↦ factor of the learning rate; cosine after Loshchilov & Hutter (2017)."""

_OPTIMIZERS: Mapping[str, OptimizerFactory] = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}

_LOW = (torch.bfloat16, torch.float16)
_LARGEST = 1e30

HONOURED: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "a population": {"optimizer": tuple(_OPTIMIZERS), "schedule": tuple(SCHEDULES), "autocast": (None,)},
    "a module": {"batch_size": (None,), "dtype": (None,)},
    "a posterior": {
        "optimizer": tuple(_OPTIMIZERS),
        "schedule": tuple(SCHEDULES),
        "weight_decay": (0.0,),
        "clip_norm": (None,),
        "averaged": (0.0,),
        "autocast": (None,),
    },
    "the orthogonal limit": {
        "optimizer": ("sgd",),
        "schedule": ("constant",),
        "momentum": (0.0,),
        "weight_decay": (0.0,),
        "clip_norm": (None,),
        "averaged": (0.0,),
        "batch_size": (None,),
        "autocast": (None,),
        "dtype": (None, torch.float32, torch.float64),
    },
}
"""For each training the fields of which it takes some values alone, and these values."""

_INSTEAD = {
    ("a module", "batch_size"): "; the DataLoader makes the batches, so say it there",
    ("a module", "dtype"): "; convert the module and its data, as by module.double()",
    ("a population", "autocast"): "; all of it is computed in dtype",
    ("a posterior", "weight_decay"): "; the divergence from the prior is its penalty",
}


@door
@dataclass(frozen=True, kw_only=True, repr=False)
class Recipe:
    """How long, how fast, and by which optimiser networks are trained.

    With T = 4 a student needs several times the steps of one that learns from labels: look at the gradient
    norm of what comes out before two schemes are compared.

    Args:
        steps: optimiser steps S, one a batch; exactly one of `steps` and `epochs` is given.
        epochs: passes over the examples, ⌈n/batch_size⌉ steps each, or as many as the loader has batches.
        least_steps: with `epochs`, at least so many steps, however few the examples.
        learning_rate: η, the step size at the start.
        optimizer: "adam" or "sgd", with torch's defaults otherwise; for modules also a factory, called as
            ``optimizer(parameters, lr=learning_rate)``, such as `torch.optim.AdamW`.
        schedule: f: "constant", "linear" to 0, or "cosine" to 0, (1 + cos πt)/2 after a share t; for modules
            also a factory that makes a torch scheduler of the optimiser, stepped once a step.
        momentum: of "sgd".
        weight_decay: λ of the penalty λ‖θ‖²/2, in both named optimisers.
        clip_norm: c; before each step the gradient g becomes g·min(1, c/(‖g‖ + 1e-6)), the norm over all
            parameters of one network (Pascanu et al. 2013), before any weight decay; None leaves it.
        averaged: the share of the steps, the last ones, over whose parameters the result is a mean (Polyak &
            Juditsky 1992); 0 takes those after the last step.
        batch_size: rows per step; None takes all, every step.
        dtype: precision of parameters and data; None is what is usual there: float32 for populations and
            posteriors, float64 in the orthogonal limit, a module's own.
        autocast: torch.bfloat16 or torch.float16, in which a step computes those of a module's layers that
            gain by it, the teacher's too; parameters keep their own. With float16 the loss is scaled, and a
            step whose scaled gradient overflows is left out, by `torch.amp.GradScaler`.

    Raises:
        ValueError: a number is out of its range, a name is not known, both or neither of `steps` and `epochs`
            are given, or a field is for another optimiser.

    >>> short = Recipe(epochs=3, batch_size=32, schedule="cosine")
    >>> short.steps_for(100)  # 4 batches an epoch
    12
    >>> short.but(steps=5, learning_rate=0.1)
    Recipe(steps=5, learning_rate=0.1, schedule='cosine', batch_size=32)
    >>> short.check_honoured("the orthogonal limit")
    Traceback (most recent call last):
    ValueError: optimizer = 'adam' is not for the orthogonal limit; give 'sgd'
    """

    steps: int | None = None
    epochs: float | None = None
    least_steps: int = 0
    learning_rate: float = 1e-3
    optimizer: str | OptimizerFactory = "adam"
    schedule: str | ScheduleFactory = "constant"
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float | None = None
    averaged: float = 0.0
    batch_size: int | None = None
    dtype: torch.dtype | None = None
    autocast: torch.dtype | None = None

    def __post_init__(self) -> None:
        self._check_length()
        check_positive("learning_rate", self.learning_rate)
        self._check_optimizer()
        for name in ("learning_rate", "weight_decay"):
            if (value := getattr(self, name)) > _LARGEST:
                raise ValueError(f"{name} = {value} must be at most {_LARGEST:g}, or steps leave float32")
        if isinstance(self.schedule, str):
            check_one_of("schedule", self.schedule, tuple(SCHEDULES))
        check_fraction("averaged", self.averaged)
        if self.clip_norm is not None:
            check_positive("clip_norm", self.clip_norm)
        if self.batch_size is not None:
            check_at_least("batch_size", self.batch_size, 1)
        if self.dtype is not None and not self.dtype.is_floating_point:
            raise ValueError(f"dtype = {self.dtype} has no fractions; give torch.float32 or torch.float64")
        if self.autocast not in (None, *_LOW):
            raise ValueError(
                f"autocast = {self.autocast} is no low precision; give {' or '.join(map(str, _LOW))}"
            )

    def __repr__(self) -> str:
        """The fields that are not as usual."""
        told = (
            f"{entry.name}={getattr(self, entry.name)!r}"
            for entry in dataclasses.fields(self)
            if getattr(self, entry.name) != entry.default
        )
        return f"Recipe({', '.join(told)})"

    def but(self, **changes: Any) -> Recipe:
        """The recipe with some fields replaced; steps take the place of epochs, and epochs that of steps.

        Raises:
            ValueError: there is no such field, or what comes out is no recipe.
        """
        for name in changes:
            check_one_of("field", name, tuple(entry.name for entry in dataclasses.fields(self)))
        if changes.get("steps") is not None:
            changes = {"epochs": None, "least_steps": 0, **changes}
        elif changes.get("epochs") is not None:
            changes = {"steps": None, **changes}
        return dataclasses.replace(self, **changes)

    def steps_for(self, examples: int, /) -> int:
        """S for so many examples: `steps`, or max(least_steps, ⌈epochs·⌈n/batch_size⌉⌉).

        Raises:
            ValueError: no example.
        """
        check_at_least("examples", examples, 1)
        return self.steps_of(math.ceil(examples / (self.batch_size or examples)))

    def in_steps(self, examples: int, /) -> Recipe:
        """The recipe with its length in steps, as many as it takes for so many examples.

        Raises:
            ValueError: no example.
        """
        return self.but(steps=self.steps_for(examples))

    def steps_of(self, batches: int, /) -> int:
        """S where an epoch has so many batches.

        Raises:
            ValueError: no batch, or more steps than there are numbers.
        """
        check_at_least("batches", batches, 1)
        if self.epochs is None:
            assert self.steps is not None
            return self.steps
        if self.epochs * batches == math.inf:
            raise ValueError(
                f"epochs = {self.epochs} of {batches} batches are no number of steps; give fewer"
            )
        return max(self.least_steps, rounded_up(self.epochs * batches))

    def check_honoured(self, by: str, /) -> None:
        """A training can do all that the recipe says.

        Args:
            by: a key of `HONOURED`.

        Raises:
            ValueError: it cannot; field, value and cure are named.
        """
        check_one_of("by", by, tuple(HONOURED))
        for name, allowed in HONOURED[by].items():
            value = getattr(self, name)
            if value not in allowed:
                cure = " or ".join(map(repr, allowed)) + _INSTEAD.get((by, name), "")
                raise ValueError(f"{name} = {value!r} is not for {by}; give {cure}")

    @property
    def factor(self) -> Callable[[float], float]:
        """f of a named schedule: share of the steps that are done ↦ factor of the learning rate.

        Raises:
            ValueError: the schedule is a factory of torch's.
        """
        if not isinstance(self.schedule, str):
            raise ValueError("schedule is a factory, which torch steps; give a name")
        return SCHEDULES[self.schedule]

    def optimizer_of(self, parameters: Iterable[Tensor], /, **how: Any) -> torch.optim.Optimizer:
        """The optimiser of some parameters, at the learning rate of the start.

        Args:
            parameters: what it changes.
            how: further arguments of torch's optimiser, such as ``fused=True``.
        """
        if not isinstance(self.optimizer, str):
            return self.optimizer(parameters, lr=self.learning_rate, **how)
        if self.optimizer == "sgd":
            how["momentum"] = self.momentum
        make = _OPTIMIZERS[self.optimizer]
        if not (parameters := list(parameters)):
            raise ValueError("parameters is empty; give at least one tensor to change")
        if not all(each.is_leaf for each in parameters):
            raise ValueError("parameters holds what was computed from others; give leaves, each.detach()")
        return make(parameters, lr=self.learning_rate, weight_decay=self.weight_decay, **how)

    def _check_length(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            said = f"steps = {self.steps} and epochs = {self.epochs}"
            raise ValueError(f"{said}: exactly one says how long to train; give that one alone")
        if self.steps is not None:
            check_at_least("steps", self.steps, 0)
        if self.epochs is not None:
            check_positive("epochs", self.epochs)
        check_at_least("least_steps", self.least_steps, 0)
        if self.least_steps and self.steps is not None:
            raise ValueError(f"least_steps = {self.least_steps} is for epochs; with steps leave it at 0")

    def _check_optimizer(self) -> None:
        check_fraction("momentum", self.momentum)
        if self.weight_decay:
            check_positive("weight_decay", self.weight_decay)
        if isinstance(self.optimizer, str):
            check_one_of("optimizer", self.optimizer, tuple(_OPTIMIZERS))
            if self.momentum and self.optimizer == "adam":
                raise ValueError(
                    f"momentum = {self.momentum} is for optimizer='sgd'; leave it at 0 with 'adam'"
                )
            return
        for name in ("momentum", "weight_decay"):
            if value := getattr(self, name):
                raise ValueError(
                    f"{name} = {value} is for a named optimizer; give it to the factory, "
                    f"partial(optimizer, {name}={value})"
                )
        if isinstance(self.optimizer, functools.partial) and "lr" in self.optimizer.keywords:
            raise ValueError(
                f"optimizer has lr={self.optimizer.keywords['lr']} of its own; give learning_rate= instead"
            )
