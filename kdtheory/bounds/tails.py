"""P-values of every risk that a witness may have, from n labelled points.

P₁(p) is super-uniform where p is the witness's risk: P[P₁(p) ≤ u] ≤ u for every u, over the labelled points.
It falls with p and ln P₁ is concave, so that {p : P₁(p) ≥ u} is an interval [0, limit].

- errors of a g fixed before n points, k of them: P[Bin(n, p) ≤ k];
- losses in [0, 1], mean ê: e^{−n·kl(ê‖p)} for p > ê (Chernoff; Hoeffding 1963), else 1. It is h(ê) for an h
that
  rises, and P[ê ≤ x] ≤ h(x): so P[h(ê) ≤ u] ≤ u;
- a g coded in b bits: min(1, 2^b·P[Bin(n, p) ≤ k]), at whatever message was sent: the messages' chances of
  falling to u are at most u·2^{−b} each, and Σ 2^{−b} ≤ 1 (Kraft);
- g ~ Q: min(1, 2√n·e^{KL(Q‖P) − n·kl(ê_Q‖p)}), at whatever Q: its inverse is at most E_P e^{n·kl(ê‖e)}/2√n,
of
  mean at most one (Maurer 2004), and Markov's inequality.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from jaxtyping import Float, Shaped
from torch import Tensor

from kdtheory.bounds.assumptions import CODED, DRAWN, FIXED, FRESH, PRIOR
from kdtheory.bounds.holdout import IN_UNIT_INTERVAL, unit_mean, zero_or_one
from kdtheory.bounds.occam import occam_log_delta
from kdtheory.bounds.pac_bayes import maurer04_log_moment, sampled_risk_limit
from kdtheory.doors import door
from kdtheory.inversion import (
    bernoulli_kl,
    binomial_upper_limits,
    kl_upper_inverse,
    log_binomial_tail,
    outer_binomial_limits,
)
from kdtheory.validate import check_at_least, check_flags, check_fraction

__all__ = ["RiskTail", "coded_tail", "holdout_tail", "pac_bayes_tail"]

Levels = Float[np.ndarray, "*levels"]


@door
@dataclass(frozen=True)
class RiskTail:
    """ln P₁(p) = min(0, excess + ln P[Bin(n, p) ≤ k]), or with −n·kl(ê‖p) for the last term where p > ê.

    Args:
        name: what the witness is, for the name of a bound.
        mean: ê = k/n, or an upper limit of it.
        points: n.
        exact: whether the losses are 0 and 1, and the tail the binomial one.
        excess: nats that are paid for the choice of g or Q.
        excess_name: what they are paid for.
        spent: δ already spent on `mean`, where it is a limit.
        terms: what `mean` is made of.
        assumptions, quantities: as in `Bound`.

    Raises:
        ValueError: a number out of its range, or an exact tail of a mean that is no count over n.

    >>> tail = RiskTail("coin", 0.0, 10, True, assumptions={"fixed": True})
    >>> round(tail.log_at(0.5) / math.log(2), 9)  # 2^{−10}
    -10.0
    >>> round(float(tail.limits(-math.log(4))), 6)  # 1 − 4^{−1/10}
    0.129449
    """

    name: str
    mean: float
    points: int
    exact: bool
    assumptions: Mapping[str, bool]
    excess: float = 0.0
    excess_name: str = ""
    spent: float = 0.0
    terms: Mapping[str, float] = field(default_factory=dict)
    quantities: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fraction("mean", self.mean)
        check_at_least("points", self.points, 1)
        check_flags(**self.assumptions)
        if not 0 <= self.excess < math.inf:
            raise ValueError(f"excess = {self.excess} nats must be finite and at least 0")
        if not 0 <= self.spent < 1:
            raise ValueError(f"spent = {self.spent} must lie in [0, 1)")
        if self.exact and not math.isclose(self.mean * self.points, self.events, rel_tol=1e-12):
            raise ValueError(
                f"mean = {self.mean} is no count of {self.points} points; give k/n, or exact=False"
            )
        for name in ("terms", "assumptions", "quantities"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def events(self) -> int:
        """k, where the losses are 0 and 1."""
        return round(self.mean * self.points)

    def log_at(self, p: float, /) -> float:
        """ln P₁(p) ≤ 0, rounded up.

        Raises:
            ValueError: p outside [0, 1].
        """
        check_fraction("p", p)
        if not self.exact:
            return min(0.0, self.excess - self.points * float(bernoulli_kl(self.mean, max(p, self.mean))))
        k, n = float(self.events), float(self.points)
        if k == n or p == 0:
            return 0.0
        if p == 1:
            return -math.inf
        return min(0.0, self.excess + float(log_binomial_tail(*(np.array([a]) for a in (k, n, p)))[0][0]))

    def limits(self, log_level: Levels | float, /, *, rough: bool = False) -> Levels:
        """sup{p : ln P₁(p) ≥ level} for levels ≤ 0, rounded outward; concave in the level.

        Args:
            log_level: ln u.
            rough: by a normal bound, about one event further out.
        """
        nats = self.excess - np.asarray(log_level, dtype=float)
        if not self.exact:
            return kl_upper_inverse(self.mean, nats / self.points)
        inside = np.where(nats > 0, -nats, -1.0)
        if rough:
            some = outer_binomial_limits(self.events, self.points, inside)
        else:
            some = binomial_upper_limits(self.events, self.points, log_delta=inside)
        found: Levels = np.where(nats > 0, some, float(self.events == self.points))  # a tail of one: p = 0
        return found


@door
def holdout_tail(
    values: Shaped[Tensor, "n"], /, *, fixed_in_advance: bool, independent_draws: bool
) -> RiskTail:
    """P[Bin(n, p) ≤ k] where all losses are 0 or 1, e^{−n·kl(ê‖p)} where they lie between.

    Args:
        values: the losses of the witness; their means over several, point by point, for a random one of them.
        fixed_in_advance: whether the witnesses were fixed before the points were drawn.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: no point, a loss outside [0, 1], or a flag that is neither True nor False.

    >>> import torch
    >>> tail = holdout_tail(torch.zeros(8), fixed_in_advance=True, independent_draws=True)
    >>> round(tail.log_at(0.75) / math.log(2), 9)  # ¼⁸
    -16.0
    """
    check_flags(fixed_in_advance=fixed_in_advance, independent_draws=independent_draws)
    mean, n = unit_mean("values", values)
    exact = bool(((values == 0) | (values == 1)).all())
    assumptions = {DRAWN: independent_draws, IN_UNIT_INTERVAL: True, FIXED: fixed_in_advance}
    quantities = {"points": n, **({"errors": round(mean * n)} if exact else {})}
    terms = {"empirical risk": mean}
    return RiskTail("holdout", mean, n, exact, assumptions, terms=terms, quantities=quantities)


@door
def coded_tail(
    errors: Shaped[Tensor, "n"], /, *, bits: float, coded_beforehand: bool, independent_draws: bool
) -> RiskTail:
    """min(1, 2^b·P[Bin(n, p) ≤ k]), for all messages at once.

    Args:
        errors: 0 or 1 (or booleans) at each point.
        bits: b, all that has to be sent counted.
        coded_beforehand: whether the code was fixed before the points were drawn; the witness need not be.
        independent_draws: whether the points are independent draws.

    Raises:
        ValueError: no point, a value other than 0 and 1, b negative, or a flag neither True nor False.

    >>> import torch
    >>> tail = coded_tail(torch.zeros(8), bits=6, coded_beforehand=True, independent_draws=True)
    >>> round(tail.log_at(0.75) / math.log(2), 9)  # 2⁶·¼⁸
    -10.0
    """
    check_flags(coded_beforehand=coded_beforehand, independent_draws=independent_draws)
    mean, n = unit_mean("errors", zero_or_one("errors", errors))
    excess = -occam_log_delta(bits, delta=0.5) - math.log(2)
    return RiskTail(
        "coded",
        mean,
        n,
        True,
        {DRAWN: independent_draws, IN_UNIT_INTERVAL: True, CODED: coded_beforehand},
        excess=max(0.0, excess),
        excess_name="code length",
        terms={"empirical risk": mean},
        quantities={"points": n, "errors": round(mean * n), "bits": bits},
    )


@door
def pac_bayes_tail(
    values: Shaped[Tensor, "rounds n"],
    /,
    *,
    divergence: float,
    delta_sampling: float,
    prior_fixed: bool,
    fresh_draws: bool,
    independent_draws: bool,
    priors: int = 1,
) -> RiskTail:
    """min(1, J·2√n·e^{KL(Q‖P) − n·kl(ê‖p)}) for all Q at once, ê an upper limit of ê_Q at its own δ.

    p is the Gibbs risk. `maurer04_pac_bayes_kl` is the limit that it has alone.

    Args:
        values: the loss in [0, 1] of a fresh g ~ Q at each point, in each round.
        divergence: KL(Q‖P) in nats.
        delta_sampling: δ of the limit of ê_Q.
        prior_fixed: whether the prior was fixed before the points were drawn (learned on others, at most).
        fresh_draws: whether every value has a g of its own, drawn for it.
        independent_draws: whether the points are independent draws.
        priors: J, the number of priors that P was chosen from with the points in view.

    Raises:
        ValueError: n < 8, no round, a loss outside [0, 1], a negative divergence, J < 1, a δ outside (0, 1),
        or
            a flag neither True nor False.

    >>> import torch
    >>> tail = pac_bayes_tail(torch.zeros(1, 16), divergence=0.0, delta_sampling=0.01, prior_fixed=True,
    ...                       fresh_draws=True, independent_draws=True)
    >>> round(tail.excess / math.log(2), 9)  # 2√16
    3.0
    """
    check_flags(prior_fixed=prior_fixed, fresh_draws=fresh_draws, independent_draws=independent_draws)
    check_at_least("priors", priors, 1)
    if not 0 <= divergence < math.inf:
        raise ValueError(f"divergence = {divergence} must be finite and at least 0")
    n = values.shape[1]
    gibbs, (mean, _) = (
        sampled_risk_limit(values, delta=delta_sampling),
        unit_mean("values", values.reshape(-1)),
    )
    return RiskTail(
        "stochastic",
        gibbs,
        n,
        False,
        {DRAWN: independent_draws, IN_UNIT_INTERVAL: True, PRIOR: prior_fixed, FRESH: fresh_draws},
        excess=divergence + math.log(priors) + maurer04_log_moment(n),
        excess_name="divergence",
        spent=delta_sampling,
        terms={"sampled Gibbs risk": mean, "sampling of g": gibbs - mean},
        quantities={"points": n, "rounds": values.shape[0], "divergence": divergence, "priors": priors},
    )
