"""Chapter 8.7 and 8.8: linear models that learn from models: errors over rounds, variance of gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Equality, Evidence, Identity, Joint, MeanInequality
from kdtheory.claims.wrong import arguments, scaled, value
from kdtheory.experiments import Rows
from kdtheory.experiments.sequences.learning import errors_over_rounds, variances_of_gradients
from kdtheory.risk import VarianceReduction, variance_reduction
from kdtheory.self_distillation import accumulated_error_limit, replaced_error

GAUSSIAN = "Inputs are Gaussian, fresh in every round, and the noise is independent of them."


def _over_n(rounds: int, /, *, n: int, dim: int, noise_variance: float) -> float:
    return rounds * noise_variance * dim / n


def _of_one_round(*, n: int, dim: int, noise_variance: float) -> float:
    return noise_variance * dim / (n - dim - 1)


class _HalfTheWeight(VarianceReduction):
    @property
    def weight(self) -> Tensor:
        return super().weight / 2


def _with_half_the_weight(found: VarianceReduction, /) -> VarianceReduction:
    return _HalfTheWeight(**vars(found))


@claim(
    section="8.7",
    formula=r"\mathbb E\lVert\hat w_g - w\rVert^2 = g\,\frac{\sigma^2 d}{n-d-1}",
    source="gerstgrasser2024model",
    place="derived here",
    assumes=(GAUSSIAN, "Each round's data replace those before."),
    experiment=errors_over_rounds,
    control=Control("the labels of later rounds carry no noise of their own", noisy_labels=False),
    mutants=(
        Mutant("n in the place of n − d − 1", replaced_error, _over_n),
        Mutant("no growth", replaced_error, arguments(lambda rounds: 1)),
    ),
    power=Scaled(replaced_error),
)
def replaced_data_let_the_error_grow_with_each_round(rows: Rows, /) -> Evidence:
    """Where each round is fitted to fresh inputs that the last fit labels with fresh noise, the expected
    error grows by σ²d/(n−d−1) a round, without end.

    Rounds 2, 4 and 6, within 5 % of the closed form. Where the last fit's own outputs are the labels, the
    first error is passed on and does not grow.
    """
    parts: dict[str, Evidence] = {}
    for number in (2, 4, 6):
        found = rows.error[:, number - 1]
        closed = replaced_error(number, n=rows.n, dim=rows.dim, noise_variance=rows.noise_variance)
        parts[f"round {number}"] = Equality.of(found, torch.full_like(found, closed), margin=0.05)
    return Joint(parts=parts)


@claim(
    section="8.7",
    formula=r"\mathbb E\lVert\hat w_g - w\rVert^2 \le \frac{\pi^2}{6}\,\frac{\sigma^2 d}{n-d-1}"
    r"\quad\text{for all } g",
    source="gerstgrasser2024model",
    place="derived here",
    assumes=(GAUSSIAN, "Each round is fitted to the data of all rounds so far."),
    experiment=errors_over_rounds.given(accumulate=True, points=60, rounds=20, histories=8000),
    control=Control("each round's data replace those before", accumulate=False),
    mutants=(
        Mutant("the limit of one round", accumulated_error_limit, _of_one_round),
        Mutant("0.9 of the limit", accumulated_error_limit, scaled(0.9)),
        Mutant("1.1 of it", accumulated_error_limit, scaled(1.1)),
    ),
    power=Scaled(accumulated_error_limit),
)
def accumulated_data_keep_the_error_bounded(rows: Rows, /) -> Evidence:
    """Where each round is fitted to all data so far, real and made up, the expected error stays below
    (π²/6)·σ²d/(n−d−1) in every round.

    Rounds 3 and 20, of 60 points in 4 dimensions. "attained": in round 20 it is 0.9 of the limit or more, to
    which it grows as rounds and points do.
    """
    limit = accumulated_error_limit(n=rows.n, dim=rows.dim, noise_variance=rows.noise_variance)
    limits = torch.full_like(rows.error[:, 0], limit)
    below = {f"round {g}": MeanInequality.of(rows.error[:, g - 1], limits) for g in (3, 20)}
    return Joint(parts={**below, "attained": MeanInequality.of(0.9 * limits, rows.error[:, 19])})


@claim(
    section="8.8",
    formula=r"\operatorname{Var}(a-\lambda b) = \operatorname{Var}a - 2\lambda\operatorname{Cov}(a,b)"
    r" + \lambda^2\operatorname{Var}b,\quad \lambda^* = \operatorname{Cov}(a,b)/\operatorname{Var}b",
    source="safaryan2023knowledge",
    place="derived here",
    assumes=(
        "The model is linear in its parameters, the loss squared.",
        "The teacher is where the student is.",
    ),
    experiment=variances_of_gradients,
    control=Control("the teacher is at a random point", away=1.0),
    mutants=(
        Mutant("twice the covariance", variance_reduction, scaled(2.0, entry="covariance")),
        Mutant("λ* is halved", variance_reduction, value(_with_half_the_weight)),
    ),
    power=Scaled(variance_reduction, entry="covariance"),
)
def teacher_is_a_control_variate_of_the_gradient(rows: Rows, /) -> Evidence:
    """For a linear model under squared loss the stochastic gradient of distillation with weight λ is
    ∇f_ξ(θ) − λ∇f_ξ(θ_T), whose variance is a parabola in λ; a teacher at the optimum takes all of it away
    there, at λ = 1.

    To 1e-12 of the plain variance. "least": at λ* ± ½ the variance is the same, as λ* is the vertex.
    """
    return Joint(
        parts={
            "parabola": Identity.of(rows.exact, rows.closed, tolerance=1e-12, effect=1.0),
            "least": Identity.of(rows.below, rows.above, tolerance=1e-12, effect=1.0),
            "removed": Identity.of(rows.left, torch.zeros_like(rows.left), tolerance=1e-12, effect=1.0),
        }
    )
