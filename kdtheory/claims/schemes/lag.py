"""Chapter 3.4: a student lags where its teacher was slow (Nagarajan et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.experiments.schemes.image_kernels import centred_targets, regression, some_images
from kdtheory.networks import MLP
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
from kdtheory.self_distillation.lag import (
    flow_filter,
    nagarajan23_lag,
    student_filter,
    time_at_progress,
)

SOURCE = "nagarajan2023student"


def _twice_the_time(
    eigenvalues: Tensor, /, *, time: float, _true: Callable[..., Tensor] = flow_filter
) -> Tensor:
    return _true(eigenvalues, time=2 * time)


def _exponential(eigenvalues: Tensor, /, *, time: float) -> Tensor:
    return torch.exp(-time * eigenvalues)


def _teacher_twice(
    eigenvalues: Tensor,
    /,
    *,
    student_time: float,
    teacher_time: float,
    _true: Callable[..., Tensor] = flow_filter,
) -> Tensor:
    return _true(eigenvalues, time=student_time + teacher_time)


def _lag_with_its_sign_changed(
    eigenvalues: Tensor,
    /,
    *,
    student_time: float,
    teacher_time: float,
    _true: Callable[..., Tensor] = nagarajan23_lag,
) -> Tensor:
    return -_true(eigenvalues, student_time=student_time, teacher_time=teacher_time)


@claim(
    section="3.4",
    formula=r"a_{t_s}(d)\,a_{t_t}(d) < a_\tau(d)\ \text{ for } 0 < d < d_{\max},\quad"
    r" a_{t_s}(d_{\max})\,a_{t_t}(d_{\max}) = a_\tau(d_{\max}),\quad a_t(d) = 1 - e^{-td}",
    source=SOURCE,
    assumes=("Gradient flow from zero on the squared loss of a linear model.",),
    control=Control("equal progress on the lowest direction", matched="lowest"),
    uses=(student_filter, flow_filter, time_at_progress, nagarajan23_lag),
    mutants=(
        Mutant("the student goes on from its teacher", student_filter, _teacher_twice),
        Mutant("e^{−td}, what is left, for what is fitted", flow_filter, _exponential),
        Mutant("the lag with its sign changed", nagarajan23_lag, _lag_with_its_sign_changed),
    ),
)
def student_lags_on_every_lower_eigendirection(setting: Setting, /, *, matched: str = "top") -> Evidence:
    """When a student has come as far as its teacher once had along the top eigendirection, it is behind what
    the teacher then had along every lower one: distillation exaggerates the bias of gradient descent.

    The spectrum of 60 real images, 30 pairs of training times from 0.05 to 20 over the matched eigenvalue,
    with the progress of the student between one and 99 per cent.
    """
    inputs, _ = some_images(setting, setting.stream.child("images"), 60)
    spectrum = torch.linalg.eigvalsh(inputs @ inputs.mT)
    values = spectrum[spectrum > 1e-3 * spectrum[-1]]
    draws = torch.rand(setting.size(quick=30, full=300), 2, generator=setting.stream.child("times").torch())
    behind, ahead, lags, gaps = [], [], [], []
    place = -1 if matched == "top" else 0
    for student, teacher in (0.05 * 400 ** draws.double() / values[place]).tolist():
        times = {"student_time": student, "teacher_time": teacher}
        product = student_filter(values, **times)
        if not 0.01 < float(product[place]) < 0.99:
            continue
        tau = time_at_progress(float(values[place]), progress=float(product[place]))
        then = flow_filter(values, time=tau)
        lower = torch.arange(len(values)) != place % len(values)
        behind.append(product[lower])
        ahead.append(then[lower])
        lags.append(nagarajan23_lag(values, **times))
        gaps.append(then - product)
    return Joint(
        parts={
            "behind": Inequality.of(torch.cat(behind), torch.cat(ahead) * (1 - 1e-6), slack=1e-12),
            "lag": Identity.of(torch.cat(lags), torch.cat(gaps), tolerance=1e-9),
        }
    )


@claim(
    section="3.4",
    formula=r"V f_{t_s}(X) = a_{t_s}(D)\,a_{t_t}(D)\,V y",
    source=SOURCE,
    assumes=("A linear net, trained from zero by small steps of gradient descent on the squared loss.",),
    control=Control("the student is trained on the labels, not on the teacher's outputs", learns="labels"),
    uses=(student_filter, flow_filter),
    mutants=(
        Mutant("the student goes on from its teacher", student_filter, _teacher_twice),
        Mutant("twice the time", flow_filter, _twice_the_time),
    ),
)
def linear_nets_trained_in_two_stages_are_filtered_twice(
    setting: Setting, /, *, learns: str = "outputs"
) -> Evidence:
    """A linear net trained for a while on the outputs of another that was itself stopped early has fitted,
    along each eigendirection, the product of what the two fitted of their targets.

    Populations of 4 nets on 60 real images of their own, 400 and 200 steps of size 0.01 over the largest
    curvature; along all directions, within 1 per cent of the targets' size.
    """
    members = setting.size(quick=4, full=40)
    drawn = [some_images(setting, setting.stream.child(i), 60) for i in range(members)]
    inputs = torch.stack([x for x, _ in drawn])
    targets = torch.stack([centred_targets(y, setting.images.num_classes) for _, y in drawn])
    spectrum, vectors = torch.linalg.eigh(inputs @ inputs.mT)
    spectrum = spectrum.clamp_min(0)
    step = 0.01 / float(spectrum.max())
    teachers = _descended(setting, inputs, targets, step, 400).logits(inputs)
    learned = teachers if learns == "outputs" else targets
    students = _descended(setting, inputs, learned, step, 200).logits(inputs)
    share = student_filter(spectrum, student_time=200 * step, teacher_time=400 * step)
    expected = vectors @ (share[..., None] * (vectors.mT @ targets))
    return Identity.of(students, expected, tolerance=0.01)


def _descended(setting: Setting, inputs: Tensor, targets: Tensor, step: float, steps: int) -> Population:
    """Gradient descent on ½‖y − Xβ‖² from zero; the training's mean over n points is undone by its step."""
    members, n, dim = inputs.shape
    probs, half_squared = regression(targets)
    architecture = MLP((dim, targets.shape[-1]), bias=False)
    return train(
        architecture,
        inputs,
        teacher_probs=probs,
        loss=half_squared,
        members=members,
        stream=setting.stream,
        recipe=Recipe(steps=steps, learning_rate=step * n, optimizer="sgd", dtype=torch.float64),
        initial=torch.zeros(members, architecture.size, dtype=torch.float64),
        device="cpu",
    )
