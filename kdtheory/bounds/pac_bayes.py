"""PAC-Bayes-kl: the Gibbs risk of a posterior Q over classifiers, from its risk on the sample and KL(Q‖P).

The prior P is fixed before the n points are drawn, or learned on others; Q may depend on everything. e_Q is
the chance that a fresh g ~ Q errs on a fresh point, ê_Q the same on the n points. ê_Q is an integral that is
estimated by drawing g: the estimate's own upper limit takes a share of δ (Langford & Caruana 2001).
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import ArrayLike
from torch import Tensor

from kdtheory.bounds.assumptions import DRAWN, FRESH, PRIOR
from kdtheory.bounds.holdout import IN_UNIT_INTERVAL, unit_mean
from kdtheory.bounds.result import Bound
from kdtheory.doors import door
from kdtheory.inversion import kl_upper_inverse
from kdtheory.types import told
from kdtheory.validate import check_at_least, check_flags, check_fraction, check_positive

__all__ = [
    "gaussian_kl",
    "maurer04_kl_limit",
    "maurer04_log_moment",
    "maurer04_pac_bayes_kl",
    "sampled_risk_limit",
]


@door
def gaussian_kl(
    mean: Float[Tensor, "*batch size"],
    std: Float[Tensor, "*batch size"],
    prior_mean: Float[Tensor, "*#batch size"],
    prior_std: float | Float[Tensor, "*batch"],
    /,
) -> Float[Tensor, "*batch"]:
    """KL(N(μ, diag s²)‖N(μ₀, λ²I)) = ½ Σ_i [(s_i² + (μ_i − μ₀_i)²)/λ² − 1 − 2 ln(s_i/λ)].

    Summed in float64, and told in the type of μ, float32 at least: where s is close to λ the terms cancel.

    Args:
        mean, std: μ and s > 0.
        prior_mean, prior_std: μ₀ and λ > 0.

    Raises:
        ValueError: the shapes of μ and s differ, or an s or λ is not positive.

    >>> import torch
    >>> gaussian_kl(torch.tensor([2.0, 0.0]), torch.ones(2), torch.zeros(2), 1.0)  # ½·2²
    tensor(2.)
    """
    check_positive("std", std)
    check_positive("prior_std", prior_std)
    scale = prior_std[..., None] if isinstance(prior_std, Tensor) else prior_std
    scale = scale.double() if isinstance(scale, Tensor) else scale
    ratio, offset = std.double() / scale, (mean.double() - prior_mean.double()) / scale
    nats = 0.5 * (ratio.square() + offset.square() - 1 - 2 * ratio.log()).sum(-1)
    return told(nats.clamp_min(0), mean)  # near λ the terms cancel: rounding leaves either sign


def maurer04_log_moment(n: int, /) -> float:
    """ln(2√n) ≥ ln E e^{n·kl(ê‖e)}: what it costs that kl is taken where the data say.

    Maurer (2004), for n ≥ 8 independent losses in [0, 1]; √n is a lower bound for some of them.

    Raises:
        ValueError: n < 8.

    >>> maurer04_log_moment(16) / math.log(2)
    3.0
    """
    check_at_least("n", n, 8)
    return math.log(2) + math.log(n) / 2


@door
def maurer04_kl_limit(gibbs_risk: ArrayLike, divergence: ArrayLike, /, *, n: int, delta: float) -> np.ndarray:
    """kl⁻¹(ê_Q, (KL(Q‖P) + ln(2√n/δ))/n), rounded outward.

    Args:
        gibbs_risk: ê_Q in [0, 1], exact or itself an upper limit.
        divergence: KL(Q‖P) in nats; they broadcast.
        n: the number of points, at least 8.
        delta: δ.

    Raises:
        ValueError: ê_Q outside [0, 1], a negative or NaN divergence, n < 8, or δ outside (0, 1).

    >>> float(maurer04_kl_limit(0.0, 0.0, n=16, delta=0.5).round(6))  # 1 − (δ/2√n)^{1/16} = 1 − 2^{−4/16}
    0.159104
    """
    check_fraction("delta", delta, open_interval=True)
    nats = np.asarray(divergence, dtype=float)
    if not bool((nats >= 0).all()):
        raise ValueError("divergence holds negative or NaN entries; a KL divergence is ≥ 0")
    return kl_upper_inverse(gibbs_risk, (nats + maurer04_log_moment(n) - math.log(delta)) / n)


def sampled_risk_limit(values: Shaped[Tensor, "..."], /, *, delta: float) -> float:
    """kl⁻¹(mean, ln(1/δ)/M): upper limit of a mean that M independent draws of values in [0, 1] estimate.

    Langford & Caruana (2001). The draws need not be identically distributed (Hoeffding 1963): one fresh g at
    each of n points gives M = n draws whose means average to ê_Q, and r rounds of it M = r·n.

    Raises:
        ValueError: no draw, a value outside [0, 1], or δ outside (0, 1).
    """
    check_fraction("delta", delta, open_interval=True)
    mean, draws = unit_mean("values", values.reshape(-1))
    return float(kl_upper_inverse(mean, -math.log(delta) / draws))


@door
def maurer04_pac_bayes_kl(
    values: Shaped[Tensor, "rounds n"],
    /,
    *,
    divergence: float,
    delta: float,
    delta_sampling: float,
    prior_fixed: bool,
    fresh_draws: bool,
    independent_draws: bool,
    priors: int = 1,
) -> Bound:
    """kl(ê_Q‖e_Q) ≤ (KL(Q‖P) + ln(2√n/δ))/n, inverted at an upper limit of ê_Q from its draws.

    Maurer (2004). Departures: the one-sided limit of ê_Q has its own δ, one fresh g at each point and round;
    P is the best of J priors fixed beforehand, at δ/J each.

    Args:
        values: the loss in [0, 1] of a fresh g ~ Q at each point, in each round.
        divergence: KL(Q‖P) in nats.
        delta: δ of the theorem.
        delta_sampling: δ of the limit of ê_Q; the bound fails with probability at most the sum of the two.
        prior_fixed: whether the prior was fixed before the points were drawn (learned on others, at most).
        fresh_draws: whether every value has a g of its own, drawn for it.
        independent_draws: whether the points are independent draws.
        priors: J, the number of priors that P was chosen from with the points in view.

    Raises:
        ValueError: n < 8, no round, a loss outside [0, 1], a negative divergence, J < 1, or a δ outside
            (0, 1).

    >>> import torch
    >>> bound = maurer04_pac_bayes_kl(torch.zeros(9, 16), divergence=1.0, delta=0.04, delta_sampling=0.01,
    ...                               prior_fixed=True, fresh_draws=True, independent_draws=True)
    >>> list(bound.terms), round(bound.delta, 3)
    (['sampled Gibbs risk', 'sampling of g', 'radius', 'divergence'], 0.05)
    """
    check_flags(prior_fixed=prior_fixed, fresh_draws=fresh_draws, independent_draws=independent_draws)
    check_at_least("priors", priors, 1)
    check_fraction("delta", delta, open_interval=True)
    n = values.shape[1]
    mean, _ = unit_mean("values", values.reshape(-1))
    gibbs = sampled_risk_limit(values, delta=delta_sampling)

    def limit(size: int, nats: float = divergence + math.log(priors)) -> float:
        return float(maurer04_kl_limit(gibbs, nats, n=size, delta=delta))

    without, value = limit(n, 0.0), limit(n)
    terms = {
        "sampled Gibbs risk": mean,
        "sampling of g": gibbs - mean,
        "radius": without - gibbs,
        "divergence": value - without,
    }
    return Bound(
        "maurer04_pac_bayes_kl",
        value,
        terms,
        delta + delta_sampling,
        {DRAWN: independent_draws, IN_UNIT_INTERVAL: True, PRIOR: prior_fixed, FRESH: fresh_draws},
        value_at=limit,
        least=8,
        over=f"the {n} labelled points and the draws of g",
        quantities={"points": n, "rounds": values.shape[0], "divergence": divergence, "priors": priors},
    )
