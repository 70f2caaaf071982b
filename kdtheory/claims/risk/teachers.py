"""Chapter 4.3: the risk on a teacher's labels has a variance and a bias (Menon et al., 2021)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.problems import random_finite_world
from kdtheory.risk.empirical import distilled_risk
from kdtheory.risk.population import population_risk
from kdtheory.risk.teacher import TeacherBiasVariance, teacher_bias_variance
from kdtheory.streams import Stream


def _teacher_variance_not_over_n(
    *tables: Tensor, n: int, _true: Callable[..., TeacherBiasVariance] = teacher_bias_variance
) -> TeacherBiasVariance:
    parts = _true(*tables, n=n)
    return replace(parts, variance=n * parts.variance)


def _teacher_half_the_bias(
    *tables: Tensor, n: int, _true: Callable[..., TeacherBiasVariance] = teacher_bias_variance
) -> TeacherBiasVariance:
    parts = _true(*tables, n=n)
    return replace(parts, bias=parts.bias / 2)


def _teacher_max_norm(
    *tables: Tensor, n: int, _true: Callable[..., TeacherBiasVariance] = teacher_bias_variance
) -> TeacherBiasVariance:
    parts = _true(*tables, n=n)
    return replace(parts, loss_norm=tables[0].abs().amax((-1, -2)).expand_as(parts.bias))


@claim(
    section="4.3",
    formula=r"\mathbb E(\tilde R - R)^2"
    r" = \tfrac1N \operatorname{Var}[p^{t\top}\ell] + (\mathbb E[(p^t - p^*)^\top\ell])^2"
    r" \le \tfrac1N \operatorname{Var}[p^{t\top}\ell] + C^2 (\mathbb E\lVert p^t - p^*\rVert_2)^2",
    source="menon2021statistical",
    assumes=("f does not depend on the sample.", "The teacher does not depend on the sample."),
    control=Control("the teacher is fitted to the same sample", teacher="fitted to the sample"),
    uses=(distilled_risk, population_risk, teacher_bias_variance),
    mutants=(
        Mutant("the variance is not divided by N", teacher_bias_variance, _teacher_variance_not_over_n),
        Mutant("half the bias", teacher_bias_variance, _teacher_half_the_bias),
        Mutant("C from the largest entry of ℓ", teacher_bias_variance, _teacher_max_norm),
    ),
    place="derived here",
)
def teacher_error_is_variance_plus_squared_bias(
    setting: Setting, /, *, teacher: str = "fixed in advance"
) -> Evidence:
    """A teacher's risk misses the true risk by a variance that falls as 1/N and a squared bias that does not,
    and the bias is at most C times the teacher's mean distance from p*.

    All samples of N = 3 points of random worlds are enumerated. In half of the worlds the teacher's error is
    parallel to the losses, which have one norm everywhere, so that the bound is attained. A teacher fitted to
    the sample (label frequencies, add-one smoothed) makes the same computation wrong, averaged over its
    samples.
    """
    trials = setting.size(quick=30, full=300)
    rows = [_teacher_errors(setting.stream.child(trial), trial % 2 == 0, teacher) for trial in range(trials)]
    error, exact, bound = torch.tensor(rows, dtype=torch.float64).T
    return Joint(
        parts={
            "identity": Identity.of(error, exact, tolerance=1e-9),
            "bound": Inequality.of(error, bound, slack=1e-12),
        }
    )


def _teacher_errors(stream: Stream, parallel: bool, teacher: str) -> tuple[float, float, float]:
    """E(R̃ − R)² over all samples, its exact value, and the bound."""
    world = random_finite_world(stream.child("world"), atoms=3, num_classes=3, dim=1, concentration=5.0)
    losses = torch.randn(3, 3, dtype=torch.float64, generator=stream.child("losses").torch())
    other = random_finite_world(stream.child("teacher"), atoms=3, num_classes=3, dim=1).probs
    if parallel:
        losses = losses - losses.mean(-1, keepdim=True)
        losses = losses / losses.norm(dim=-1, keepdim=True)
        other = world.probs + 0.9 * world.probs.min() * losses
    samples = world.enumerate_samples(3)
    if teacher == "fixed in advance":
        teachers = other.expand(len(samples.atoms), 3, 3)
    else:
        teachers = _label_frequencies(samples.atoms, samples.labels)
    rows = torch.arange(len(samples.atoms))[:, None]
    risks = distilled_risk(losses[samples.atoms], teachers[rows, samples.atoms])
    truth = population_risk(losses, world.probs, world.weights)
    parts = teacher_bias_variance(losses, teachers, world.probs, world.weights, n=3)
    columns = (risks - truth).square(), parts.mean_squared_error, parts.bound
    error, exact, bound = (float(samples.probability @ column) for column in columns)
    return error, exact, bound


def _label_frequencies(atoms: Tensor, labels: Tensor) -> Tensor:
    """p^t(x)_y = (count of (x, y) + 1)/(count of x + k), one teacher a sample; 3 atoms, 3 classes."""
    seen = torch.nn.functional.one_hot(3 * atoms + labels, 9).sum(1).unflatten(-1, (3, 3))
    frequencies: Tensor = (seen + 1.0).double() / (seen.sum(-1, keepdim=True) + 3.0)
    return frequencies
