"""Arguments for any door, from the types and names of its parameters: good ones, and odd ones of each kind.

Good ones fit together: an axis named in two shapes has one length, rows of probabilities sum to one, labels
are classes. Odd ones are what people give by mistake.
"""

from __future__ import annotations

import collections.abc
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from fuzz_names import COUNTS, RATES, WORDS
from torch import Tensor, nn

from kdtheory import (
    MLP,
    Stream,
    batches,
    bounds,
    compare,
    compression,
    datasets,
    multiview,
    networks,
    ntk,
    problems,
    roles,
    rows,
    schemes,
    transfer_risk,
)
from kdtheory.certify import LABEL_RECIPE, Certificates, WitnessPlan, certify_logits
from kdtheory.checkpoints import Checkpoint
from kdtheory.claims import REGISTRY, Claim, Plan
from kdtheory.claims.finding import Finding
from kdtheory.coding import QuantisedNetwork, quantise
from kdtheory.experiments import Experiment, Rows, Run
from kdtheory.iterates import TailAverage
from kdtheory.ledger import verify
from kdtheory.losses import CONVENTIONS, Convention, label_loss
from kdtheory.networks import Architecture
from kdtheory.ntk import Kernel, LinearKernel
from kdtheory.populations import Population
from kdtheory.recipe import Recipe
from kdtheory.schemes.objective import Objective
from kdtheory.stochastic import GaussianPosterior

F32, F64 = torch.float32, torch.float64
NET = MLP((4, 3))
SAYS, DIFFERS = np.array([0, 1, 0, 1, 0, 1, 0, 1] * 4), np.array([0, 1, 0, 1, 0, 1, 1, 0] * 4)
LABELLED = compare.plan_labels(SAYS, DIFFERS, labels=3, seed=1)
WORLD = problems.MultiViewWorld(patch_dim=4, noise_patches=1)
PATCHES = networks.PatchNetwork(2, 5, 4, channels=2, init_std=0.1)
LENGTHS = {
    "d1": (4,),
    "d2": (4,),
    "size": (NET.size,),
    "p": (NET.size,),
    "pd": (PATCHES.input_shape[0],),
    "peers_k": (6,),
    "k": (3,),
    "c": (2,),
    "d": (4,),
    "dim": (4,),
    "members": (2,),
    "h": (2,),
    "w": (2,),
    "f": (4,),
}


class Arguments:
    """What one call is given: lengths are drawn once for a name, and all numbers from one seed."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.owner: Any = None
        self.lengths: dict[str, tuple[int, ...]] = {}
        self.dtype = random.choice((F32, F64))
        self.numbers = torch.Generator().manual_seed(random.randrange(2**31))

    def one_of(self, *choices: Any) -> Any:
        return choices[self.random.randrange(len(choices))]

    def length(self, axis: str) -> tuple[int, ...]:
        """Of an axis as jaxtyping writes it: a name, a number, *any number of them, #one that may be 1."""
        name = axis.lstrip("#*?").split("=")[-1]
        if name.isdigit():
            return (int(name),)
        if axis.startswith(("*", "#*", "*#")) or name == "...":
            free = {"shape": (4,), "d": (4,), "student": (4,), "teacher": (4,), "own": ()}
            return self.lengths.setdefault("*" + name, free.get(name) or self.one_of((), (), (2,)))
        if name == "_":
            return (3,)
        return self.lengths.setdefault(name, (self.one_of(*LENGTHS.get(name, (3, 5, 6))),))

    def shape(self, axes: str) -> tuple[int, ...]:
        return tuple(size for axis in axes.split() for size in self.length(axis))

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, dtype=F64, generator=self.numbers)


def real(draw: Arguments, name: str, shape: tuple[int, ...]) -> Tensor:
    """Real numbers as an argument of this name has them."""
    drawn = draw.normal(*shape)
    if name in {"kernel", "gram"}:
        drawn = drawn @ drawn.mT / len(drawn) + torch.eye(len(drawn), dtype=F64)
    elif name in {"probs", "teacher_probs", "weights", "teacher", "estimate"} and drawn.ndim:
        drawn = drawn.softmax(-1)
    elif name in {"values", "errors", "disagreements", "gibbs_risk", "variance", "probability"}:
        drawn = drawn.sigmoid()
    elif name == "eigenvalues":
        drawn = drawn.abs().add(0.1).sort(-1, descending=True)[0]
    elif name in {"losses", "power", "diagonal", "residual_norm", "std", "norms", "squared_norms", "angles",
                  "oracle", "risk", "bayes_losses", "prior_std"}:  # fmt: skip
        drawn = drawn.abs().clamp(0.01, 1.5)
    elif name in {"covariance", "covariances"}:
        drawn = torch.eye(shape[-1], dtype=F64).expand(shape).clone()
    return drawn.to(draw.dtype)


def module(draw: Arguments) -> nn.Module:
    with Stream(draw.random.randrange(9)).default():
        return draw.one_of(
            nn.Sequential(nn.Linear(4, 3)), nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
        )


def points(draw: Arguments) -> tuple[Tensor, Tensor]:
    return draw.normal(20, 4).float(), torch.arange(20) % 3


def tail(draw: Arguments) -> bounds.RiskTail:
    flags = {"fixed_in_advance": True, "independent_draws": True}
    return bounds.holdout_tail((draw.normal(30).sigmoid() > 0.8).double(), **flags)


def bound(draw: Arguments) -> bounds.Bound:
    flags = {"fixed_in_advance": True, "independent_draws": True}
    return bounds.clopper34_holdout((draw.normal(30) > 0.8).double(), delta=0.05, **flags)


def population(draw: Arguments, architecture: Any = NET) -> Population:
    params = architecture.init(Stream(0), members=2)
    return Population(architecture, params, torch.rand(2), torch.rand(2), 1)


def posterior(draw: Arguments) -> GaussianPosterior:
    mean = draw.normal(NET.size).float()
    return GaussianPosterior(NET, mean, torch.full_like(mean, 0.1), torch.zeros_like(mean))


def limit_start(draw: Arguments) -> multiview.LimitPopulation:
    return multiview.limit_start(
        PATCHES, WORLD.views(6, Stream(1)), noise_norm=1.0, members=2, stream=Stream(2)
    )


def student_of(draw: Arguments) -> transfer_risk.KernelFunction:
    return transfer_risk.linear_function(draw.normal(4).to(draw.dtype))


TRAINING = {"recipe": Recipe(steps=2), "device": "cpu"}


def fitted(stream: Stream) -> schemes.Trained:
    draw = Arguments(Random(0))
    return schemes.fit(module(draw), points(draw), **TRAINING, stream=stream)


@lru_cache(maxsize=1)
def once_fitted() -> schemes.Trained:
    return fitted(Stream(0))


@lru_cache(maxsize=1)
def found() -> Finding:
    """What the ledger says of a claim that costs little."""
    return verify("kd_gradient_is_the_closed_form", Plan(mutants=False), progress=False)[0]


TYPES: dict[Any, Callable[[Arguments], Any]] = {
    Stream: lambda draw: Stream(draw.random.randrange(5)),
    nn.Module: module,
    nn.Sequential: module,
    Architecture: lambda draw: NET,
    MLP: lambda draw: NET,
    Kernel: lambda draw: draw.one_of(LinearKernel(), ntk.InfiniteMLP(1)),
    Population: population,
    GaussianPosterior: posterior,
    QuantisedNetwork: lambda draw: quantise(draw.normal(NET.size), architecture=NET, levels=5),
    bounds.Bound: bound,
    bounds.RiskTail: tail,
    bounds.NetNorms: lambda draw: bounds.net_norms([draw.normal(3, 4)]),
    bounds.normal_sums.TwoSamples: lambda draw: bounds.normal_sums.TwoSamples(2, 10, 3, 20),
    transfer_risk.KernelFunction: student_of,
    transfer_risk.AngleTail: lambda draw: transfer_risk.angle_tail(draw.normal(5).sigmoid()),
    networks.PatchNetwork: lambda draw: PATCHES,
    problems.MultiViewWorld: lambda draw: WORLD,
    problems.Views: lambda draw: WORLD.views(6, Stream(1)),
    problems.World: lambda draw: WORLD,
    problems.TeacherLogits: lambda draw: problems.LinearLogits(draw.normal(3, 4)),
    multiview.ComparisonPlan: lambda draw: multiview.ComparisonPlan(
        n=6, recipe=Recipe(steps=2, learning_rate=2.0, optimizer="sgd"), student_steps=2
    ),
    multiview.LimitPopulation: limit_start,
    multiview.LazyPopulation: lambda draw: multiview.train_lazy(
        limit_start(draw), WORLD.views(6, Stream(1)), steps=2
    ),
    datasets.Images: lambda draw: datasets.Images(
        draw.normal(9, 4).sigmoid(), torch.arange(9) % 3, 3, "drawn"
    ),
    datasets.ReadArray: lambda draw: datasets.ReadArray(draw.normal(5, 3).numpy()),
    Recipe: lambda draw: draw.one_of(Recipe(steps=2), Recipe(steps=2, learning_rate=0.1, optimizer="sgd")),
    schemes.Loop: lambda draw: schemes.Loop(),
    schemes.Validation: lambda draw: schemes.Validation(data=points(draw)),
    schemes.Term: lambda draw: schemes.labels_term(),
    schemes.Batches: lambda draw: schemes.Batches(points(draw)),
    networks.Inputs: lambda draw: networks.Inputs((draw.normal(5, 4).float(),)),
    torch.Generator: lambda draw: draw.numbers,
    ntk.EmpiricalKernel: lambda draw: ntk.EmpiricalKernel(module(draw)),
    problems.FiniteWorld: lambda draw: problems.random_finite_world(Stream(0), atoms=3, num_classes=3, dim=4),
    problems.GaussianMixture: lambda draw: problems.gaussian_mixture(draw.normal(3, 4), std=1.0),
    problems.KernelLogits: lambda draw: problems.KernelLogits(draw.normal(2, 3), draw.normal(2, 4), 1.0),
    Convention: lambda draw: CONVENTIONS[draw.one_of(*CONVENTIONS)],
    compare.LabelPlan: lambda draw: LABELLED,
    compare.Comparison: lambda draw: compare.compare(
        {"holdout": SAYS}, {"holdout": DIFFERS}, holdout=SAYS, fixed_in_advance=True
    ),
    transfer_risk.TransferCurve: lambda draw: transfer_risk.transfer_curve(
        LinearKernel(),
        draw.normal(4, 4),
        transfer_risk.linear_function(draw.normal(4)),
        draw.normal(3, 4),
        sizes=(1, 2),
    ),
    transfer_risk.LargeTransferCurve: lambda draw: transfer_risk.large_transfer_curve(
        LinearKernel(),
        draw.normal(4, 4),
        transfer_risk.linear_function(draw.normal(4)),
        draw.normal(3, 4),
        sizes=(1, 2),
        jitter=0.1,
    ),
    schemes.Comparison: lambda draw: schemes.compare(
        {"fit": fitted, "again": fitted},
        points(draw),
        seeds=2,
        stream=Stream(0),
        device="cpu",
    ),
    roles.HoldOut: lambda draw: roles.HoldOut(*points(draw)),
    roles.Train: lambda draw: roles.Train(*points(draw)),
    compression.Perturbation: lambda draw: compression.neyshabur18_perturbation(
        [draw.normal(3, 4)], [draw.normal(3, 4)], input_norm=1.0
    ),
    rows.EqualRows: lambda draw: rows.EqualRows({"one": draw.normal(3, 2)}),
    WitnessPlan: lambda draw: WitnessPlan(kinds=("holdout",), recipe=LABEL_RECIPE.but(steps=2)),
    Certificates: lambda draw: certify_logits(
        draw.normal(30, 3), torch.arange(30) % 3, fixed_in_advance=True
    ),
    schemes.Trained: lambda draw: once_fitted(),
    TailAverage: lambda draw: TailAverage([draw.normal(3).float()], 0.5, 4),
    batches.Batch: lambda draw: batches.Batch(
        networks.Inputs((draw.normal(5, 4).float(),)), torch.arange(5) % 3
    ),
    Objective: lambda draw: Objective(
        module(draw),
        module(draw),
        losses=schemes.hinton(2.0, 0.5),
        example=draw.normal(5, 4).float(),
        stream=Stream(0),
    ),
    Experiment: lambda draw: Experiment("drawn", lambda run, /, *, n=3: Rows(n=n), {"n": 3}),
    Run: lambda draw: Run(Stream(0)),
    Rows: lambda draw: Rows(n=[10, 20], error=[0.5, 0.25]),
    Claim: lambda draw: REGISTRY["kd_gradient_is_the_closed_form"],
    Plan: lambda draw: Plan(mutants=False),
    Finding: lambda draw: found(),
    torch.dtype: lambda draw: draw.one_of(F32, F64),
    torch.device: lambda draw: torch.device("cpu"),
    Path: lambda draw: Path("nowhere"),
}
NAMED: dict[str, Callable[[Arguments], Any]] = {
    "train": points,
    "holdout": points,
    "data": points,
    "test": points,
    "unlabelled": lambda draw: draw.normal(9, 4).float(),
    "soft": lambda draw: draw.one_of("kl", "jsd", "cross_entropy"),
    "output": lambda draw: draw.normal(5, 3),
    "pick": lambda draw: None,
    "args": lambda draw: (draw.normal(5, 4).float(),),
    "array": lambda draw: draw.normal(5, 3).numpy(),
    "inputs": lambda draw: draw.normal(9, 4).float(),
    "values": lambda draw: draw.normal(5).sigmoid(),
    "path": lambda draw: draw.one_of("nowhere", "0", Path("."), Path(__file__)),
    "loss": lambda draw: label_loss,
    "role": lambda draw: roles.HoldOut(*points(draw)),
    "first": lambda draw: roles.HoldOut(*points(draw)),
    "second": lambda draw: roles.Unlabelled(draw.normal(9, 4).float()),
    "schemes": lambda draw: {"fit": fitted},
    "losses": lambda draw: schemes.hinton(2.0, 0.5),
    "ranks": lambda draw: 1,
    "augmentation": lambda draw: None,
    "schedule": lambda draw: "constant",
    "multipliers": lambda draw: lambda settings: (1.0, 0.0),
    "optimizer": lambda draw: "sgd",
    "checkpoint": lambda draw: Checkpoint(path="nowhere", resume=draw.one_of(True, False)),
}
CALLABLES: dict[str, Callable[[Arguments], Any]] = {
    "loss": lambda draw: label_loss,
    "change": lambda draw: lambda tensor: tensor,
    "similarity": lambda draw: draw.one_of("euclidean", "rbf"),
    "supremum": lambda draw: bounds.finite_class(draw.normal(2, 3)),
    "tail": lambda draw: lambda angle: min(1.0, max(0.0, 1 - angle / 2)),
    "log_growth": lambda draw: lambda n: math.log1p(n),
    "value_at": lambda draw: lambda n: 3 / n**0.5,
    "projection": lambda draw: draw.one_of(None, nn.Identity()),
    "value": lambda draw: draw.one_of(None, nn.Identity()),
    "callbacks": lambda draw: lambda now: now.step == 2,
    "make": lambda draw: lambda: nn.Sequential(nn.Linear(4, 3)),
    "factory": lambda draw: lambda: nn.Sequential(nn.Linear(4, 3)),
    "outputs": lambda draw: lambda params: params.sum() * torch.ones(3, dtype=params.dtype),
    "ratio": lambda draw: lambda point: point.square().sum(-1).sin(),
    "logits": lambda draw: lambda params, inputs: inputs[..., :3] * params.sum(),
}


def good(draw: Arguments, name: str, kind: Any, default: Any = inspect.Parameter.empty) -> Any:
    """A value that a parameter of this name and type means."""
    if default is not inspect.Parameter.empty and (draw.random.random() < 0.5 or name == "progress"):
        return default
    if kind is Any and name in NAMED:
        return NAMED[name](draw)
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if getattr(kind, "dim_str", None) is not None:
        return tensor(draw, name, kind)
    if origin is typing.Annotated:
        return good(draw, name, inside[0])
    if kind is npt.ArrayLike:
        return draw.one_of(0.3, np.array([0.1, 0.4]))
    if origin in (typing.Union, types.UnionType) and name in NAMED and int not in inside:
        return NAMED[name](draw)
    if origin in (typing.Union, types.UnionType):
        return good(draw, name, draw.one_of(*inside))
    if origin is typing.Literal:
        return draw.one_of(*inside)
    if origin is collections.abc.Callable or kind is Callable:
        if name not in CALLABLES and name in NAMED:
            return NAMED[name](draw)
        return CALLABLES[name](draw) if name in CALLABLES else default_of(name, default)
    if origin is collections.abc.Mapping or kind is Mapping:
        return NAMED[name](draw) if name in NAMED else {}
    if origin is tuple and inside and inside[-1] is not ...:
        return tuple(good(draw, name, each) for each in inside)
    if origin in (collections.abc.Sequence, collections.abc.Iterable, list, tuple, collections.abc.Iterator):
        return several(draw, name, inside[0] if inside else Any)
    return plain(draw, name, kind, default)


def default_of(name: str, default: Any) -> Any:
    if default is inspect.Parameter.empty:
        raise LookupError(f"no function is known for a parameter named {name}")
    return default


def several(draw: Arguments, name: str, each: Any) -> Any:
    if name in {"widths", "sizes"} and each is int:
        return draw.one_of((4, 3), (2, 3)) if name == "widths" else (2, 3)
    return tuple(good(draw, name, each) for _ in range(draw.one_of(1, 2)))


def plain(draw: Arguments, name: str, kind: Any, default: Any) -> Any:
    if kind in (types.NoneType, None):
        return None
    if kind is bool:
        return draw.one_of(True, True, False)
    if kind is int:
        return draw.one_of(*COUNTS.get(name, (1, 2, 3)))
    if kind is float:
        return draw.one_of(*RATES.get(name, (0.5, 1.0, 2.0)))
    if kind is str:
        return draw.one_of(*WORDS.get(name, ("name",)))
    if kind is Tensor:
        return draw.normal(3, 4).to(draw.dtype)
    if kind is np.ndarray:
        return np.empty((3, 3))
    if kind in TYPES:
        return TYPES[kind](draw)
    if kind is pd.DataFrame:
        return pd.DataFrame({"step": [0, 1], "loss": [1.0, 0.5]})
    if kind is npt.ArrayLike:
        return draw.one_of(0.3, np.array([0.1, 0.4]))
    return default_of(name, default)


def tensor(draw: Arguments, name: str, kind: Any) -> Any:
    """A tensor or array of the shape that a jaxtyping annotation names."""
    shape, dtypes = draw.shape(kind.dim_str), kind.dtypes if isinstance(kind.dtypes, list | tuple) else Any
    if dtypes is not Any and "bool" in dtypes and "float32" not in dtypes:
        made = draw.normal(*shape) > 0
    elif dtypes is not Any and not any("float" in one for one in dtypes):
        made = torch.randint(2 if name == "labels" else 3, shape, generator=draw.numbers)
    else:
        made = real(draw, name, shape)
    return made.numpy() if kind.array_type is np.ndarray else made
