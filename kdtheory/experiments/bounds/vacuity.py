"""Bounds over classes of nets: of nets that memorise noise, and of students beside their teachers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kdtheory.bounds.margins import label_free_distillation_error
from kdtheory.bounds.norm_margin import bartlett17_margin, golowich18_margin
from kdtheory.bounds.norms import NetNorms, homogeneous_layers, net_norms
from kdtheory.bounds.vc import bartlett19_log_growth, relu_net_size, vapnik71
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.worlds import distilled_log_loss
from kdtheory.losses import label_loss
from kdtheory.networks import MLP
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe

FEWEST = 600
Widths = tuple[int, ...]
SHAPES: tuple[Widths, ...] = (
    (2, 16, 3), (64, 32, 10), (64, 128, 10), (784, 128, 10), (784, 512, 512, 10)
)  # fmt: skip
_MEMORISER = (100, 64, 2)
_SETTINGS: dict[str, Any] = {"delta": 0.05, "fixed_in_advance": True, "independent_draws": True}


def of_the_class(widths: Sequence[int], n: int, /) -> float:
    """ln of the growth function of all nets of a shape on n points."""
    return bartlett19_log_growth(widths, n=n)


def of_one_net(_widths: Sequence[int], _n: int, /) -> float:
    """ln of the growth function of a single net."""
    return 0.0


def as_they_are(norms: NetNorms, /) -> NetNorms:
    """The norms of a net."""
    return norms


def as_ones(norms: NetNorms, /) -> NetNorms:
    """All norms 1."""
    one = (1.0,) * len(norms.frobenius)
    return replace(norms, frobenius=one, spectral=one)


def of_the_teacher(probs: Tensor, /) -> Tensor:
    """The teacher's softened outputs as targets."""
    return probs


def uniform(probs: Tensor, /) -> Tensor:
    """Targets that say nothing."""
    return torch.full_like(probs, 1 / probs.shape[-1])


@experiment
def memorisers_of_noise(run: Run, /, *, n: int = 200, widths: Widths = _MEMORISER) -> Rows:
    """Three nets trained for 150 steps on coin-flip labels of n noise points, 200 or so many, of norm about
    one, so that their true error is exactly ½; with the points and the labels.
    """
    generator = run.stream.child("noise").torch()
    points = torch.randn(n, widths[0], generator=generator) / widths[0] ** 0.5
    labels = torch.randint(2, (n,), generator=generator)
    settings: dict[str, Any] = {
        "members": 3,
        "recipe": Recipe(steps=150, learning_rate=0.01),
        "device": run.device,
    }
    stream = run.stream.child("memorisers")
    nets = train(MLP(widths), points, labels, loss=label_loss, stream=stream, **settings)
    return Rows(points=points, labels=labels, nets=nets, logits=nets.logits(points).double().cpu())


@experiment
def vc_bounds(run: Run, /, *, growth: Callable[[Sequence[int], int], float] = of_the_class) -> Rows:
    """The true error and the VC bound, δ = 0.05, its `growth` that of the class or of one net: of the nets
    that memorise 200 noise points; and, with no error seen and the largest there is in truth, of nets of five
    shapes on n = W, W/2 and W/10 points.
    """
    noise = memorisers_of_noise.rows(run)
    seen = (noise.logits.argmax(-1) != noise.labels).double().mean(-1).tolist()
    cases: list[tuple[Widths, int, float, float]] = [(_MEMORISER, 200, each, 0.5) for each in seen]
    cases += [(widths, relu_net_size(widths) // part, 0.0, 1.0) for widths in SHAPES for part in (1, 2, 10)]
    bounds = [
        vapnik71(each, n=n, log_growth=partial(growth, widths), **_SETTINGS).value
        for widths, n, each, _ in cases
    ]
    return Rows(error=[case[-1] for case in cases], bound=bounds)


@experiment
def norm_bounds_of_memorisers(run: Run, /, *, read: Callable[[NetNorms], NetNorms] = as_they_are) -> Rows:
    """The margin bounds by Frobenius and by spectral norms, γ = 6, δ = 0.05, of nets that memorise 400 noise
    points in 400 dimensions with larger margins. `read`: what is made of their norms.
    """
    noise = memorisers_of_noise.given(n=400, widths=(400, 32, 2)).rows(run)
    norms = [read(net_norms(_layers(noise.nets, member))) for member in range(len(noise.logits))]
    settings = {"input_norm": _norm(noise.points), "gamma": 6.0, **_SETTINGS}
    pairs = list(zip(noise.logits, norms, strict=True))
    return Rows(
        Frobenius=[golowich18_margin(z, noise.labels, norms=each, **settings).value for z, each in pairs],
        spectral=[bartlett17_margin(z, noise.labels, norms=each, **settings).value for z, each in pairs],
    )


@experiment
def teachers_of_some_images(run: Run, /) -> Rows:
    """Ten teachers with three hidden layers of 32 on 300 real images; or, where there are fewer than 600, how
    many images there are.
    """
    images = run.images
    if images.num_images < FEWEST:
        return Rows(images=images.num_images)
    chosen = torch.randperm(images.num_images, generator=run.stream.child("images").torch())
    inputs, points = images.inputs.flatten(1), chosen[:300]
    labels, fresh = images.labels[points], inputs[chosen[300:1300]]
    shape = MLP((inputs.shape[1], 32, 32, 32, images.num_classes))
    teachers = _trained(run, shape, inputs[points], labels, "teachers")
    return Rows(
        images=images.num_images,
        points=inputs[points],
        labels=labels,
        fresh=fresh,
        shape=shape,
        probs=teachers.logits(inputs[points]).softmax(-1).cpu(),
        on_fresh=teachers.logits(fresh).cpu().double(),
        log_bound=_log_bounds(teachers, inputs[points], labels),
    )


@experiment
def students_of_some_images(run: Run, /, *, weight_decay: float = 1e-3) -> Rows:
    """A student of the labels of the same images for each teacher, of its shape and trained alike."""
    teachers = teachers_of_some_images.rows(run)
    nets = _trained(
        run, teachers.shape, teachers.points, teachers.labels, "students", weight_decay=weight_decay
    )
    return _beside(nets, teachers)


@experiment
def students_of_teachers(
    run: Run,
    /,
    *,
    targets: Callable[[Tensor], Tensor] = of_the_teacher,
    weight_decay: float = 1e-3,
) -> Rows:
    """Ten teachers on 300 real images, a student of each one's `targets` and one of the labels, of its shape
    and trained alike with one weight decay: log₁₀ of the teacher's Frobenius bound at γ = 1, of each
    student's with 2Φ^TV added, and Φ^TV at γ = 1, on images that nobody trained on. Of fewer than 600 images,
    their number.
    """
    teachers = teachers_of_some_images.rows(run)
    if teachers.images < FEWEST:
        return teachers
    own = students_of_some_images.given(weight_decay=weight_decay).rows(run)
    nets = _trained(
        run,
        teachers.shape,
        teachers.points,
        None,
        "students",
        loss=distilled_log_loss,
        teacher_probs=targets(teachers.probs),
        weight_decay=weight_decay,
    )
    distilled = _beside(nets, teachers)
    return Rows(
        images=teachers.images,
        teacher=teachers.log_bound,
        distilled=distilled.log_bound,
        of_labels=own.log_bound,
        distance=distilled.distance,
    )


def _trained(
    run: Run,
    shape: MLP,
    points: Tensor,
    labels: Tensor | None,
    name: str,
    weight_decay: float = 0.0,
    **settings: Any,
) -> Population:
    return train(
        shape,
        points,
        labels,
        members=run.size(quick=10, full=40),
        recipe=Recipe(steps=200, learning_rate=0.01, weight_decay=weight_decay),
        stream=run.stream.child(name),
        device=run.device,
        **{"loss": label_loss, **settings},
    )


def _beside(nets: Population, teachers: Rows) -> Rows:
    """Φ^TV of each pair at γ = 1 on fresh points, and log₁₀ of the student's bound with twice that added."""
    pairs = zip(nets.logits(teachers.fresh).cpu().double(), teachers.on_fresh, strict=True)
    distance = torch.stack([label_free_distillation_error(g, f, gamma=1.0) for g, f in pairs])
    bound = 10 ** _log_bounds(nets, teachers.points, teachers.labels) + 2 * distance
    return Rows(distance=distance, log_bound=bound.log10())


def _layers(nets: Population, member: int) -> list[Tensor]:
    named = {name: value.double() for name, value in nets.architecture.unpack(nets.params[member]).items()}
    weights = [value for name, value in named.items() if name.endswith("weight")]
    return homogeneous_layers(weights, [value for name, value in named.items() if name.endswith("bias")])


def _norm(points: Tensor) -> float:
    """‖X‖_F of the points with a coordinate 1 added for the bias."""
    return math.sqrt(float(points.double().square().sum()) + len(points))


def _log_bounds(nets: Population, points: Tensor, labels: Tensor) -> Tensor:
    """log₁₀ of the Frobenius margin bound of each member at γ = 1."""
    settings = {"input_norm": _norm(points), "gamma": 1.0, **_SETTINGS}
    found = [
        golowich18_margin(logits, labels, norms=net_norms(_layers(nets, member)), **settings).value
        for member, logits in enumerate(nets.logits(points).double().cpu())
    ]
    return torch.tensor(found, dtype=torch.float64).log10()
