"""Estimators of the reverse KL(q‖p) from the student's own samples y ∼ q, and what their gradients are.

With r = p(y)/q(y): k1 = −ln r, k2 = ½(ln r)², k3 = r − 1 − ln r (Schulman, "Approximating KL divergence",
2020). E k1 = E k3 = KL(q‖p); E k2 is not. Differentiated as they stand, with the sampling held fixed,

    E ∇k1 = 0,   E ∇k2 = ∇KL(q‖p),   E ∇k3 = ∇KL(p‖q), the *forward* divergence,

and E[k1·∇ln q] = ∇KL(q‖p), k1 held fixed (the score function). Gradients derived here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.types import told, widened
from kdtheory.validate import check_logits, check_one_of, check_same_shape

__all__ = ["ESTIMATORS", "Moments", "estimator_moments", "kl_estimate", "kl_surrogate"]

_VALUES: dict[str, Callable[[Tensor], Tensor]] = {
    "k1": lambda log_ratio: -log_ratio,
    "k2": lambda log_ratio: log_ratio.square() / 2,
    "k3": lambda log_ratio: torch.expm1(log_ratio) - log_ratio,
}
ESTIMATORS = ("k1", "k2", "k3", "score")
"""Names of what can be differentiated: three values, and k1 through the score function."""


@door
def kl_estimate(
    student_log_probs: Float[Tensor, "*batch"],
    teacher_log_probs: Float[Tensor, "*batch"],
    /,
    *,
    estimator: str,
) -> Float[Tensor, "*batch"]:
    """k1, k2 or k3 at sampled tokens, from ln q(y) and ln p(y): an estimate of KL(q‖p) for each.

    A teacher that rules the token out (−∞) makes k1, k2 and k3 infinite.

    Args:
        student_log_probs: ln q(y), finite: the student drew y.
        teacher_log_probs: ln p(y).
        estimator: "k1" (unbiased, of either sign), "k2" (biased, ≥ 0) or "k3" (unbiased, ≥ 0).

    Raises:
        ValueError: shapes differ, a value is NaN or +∞, ln q(y) = −∞, or an unknown estimator.

    >>> kl_estimate(torch.tensor(0.5).log(), torch.tensor(0.25).log(), estimator="k3")  # ½ − 1 + ln 2
    tensor(0.1931)
    """
    check_one_of("estimator", estimator, tuple(_VALUES))
    q, p = _checked(student_log_probs, teacher_log_probs)
    return told(_VALUES[estimator](p - q), student_log_probs)


@door
def kl_surrogate(
    student_log_probs: Float[Tensor, "*batch"],
    teacher_log_probs: Float[Tensor, "*batch"],
    /,
    *,
    estimator: str,
    sampler_log_probs: Float[Tensor, "*batch"] | None = None,
) -> Float[Tensor, "*batch"]:
    """A loss for each sampled token whose gradient is the estimator's, y held fixed.

    "k2" and "score" descend the reverse KL(q‖p); "k3" descends the forward KL(p‖q), although its value
    estimates the reverse one; "k1" goes nowhere on average.

    Args:
        student_log_probs: ln q(y), with a gradient.
        teacher_log_probs: ln p(y); held fixed.
        estimator: "k1", "k2", "k3", or "score": k1 held fixed times ln q(y).
        sampler_log_probs: ln q_old(y) where y was drawn from an earlier student: the loss is weighed by
            q(y)/q_old(y), held fixed. Without it off-policy samples give the gradient of something else.

    Raises:
        ValueError: as `kl_estimate`, or a sampler that could not have drawn a token.
    """
    check_one_of("estimator", estimator, ESTIMATORS)
    q, p = _checked(student_log_probs, teacher_log_probs.detach())
    losses = (q - p).detach() * q if estimator == "score" else _VALUES[estimator](p - q)
    if sampler_log_probs is not None:
        old = _checked(student_log_probs, sampler_log_probs.detach(), "sampler_log_probs")[1]
        if not bool(torch.isfinite(old).all()):
            raise ValueError("sampler_log_probs must be finite: the sampler drew these tokens")
        losses = (q - old).detach().exp() * losses
    return told(losses, student_log_probs)


@door
@dataclass(frozen=True, eq=False)
class Moments:
    """The mean of one sample of an estimator, exactly.

    Args:
        value: E k (for "score" that of k1).
        variance: Var k.
        gradient: E ∇k in the student's logits.
        gradient_variance: Σ_v Var (∇k)_v, the trace of its covariance.

    Raises:
        ValueError: one of them is NaN, as of logits whose squares leave their type.
    """

    value: Float[Tensor, ""]
    variance: Float[Tensor, ""]
    gradient: Float[Tensor, " v"]
    gradient_variance: Float[Tensor, ""]

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if bool(torch.isnan(value).any()):
                raise ValueError(f"{name} has no value: the logits leave the range of their type; scale them")


@door
def estimator_moments(
    student_logits: Float[Tensor, " v"],
    teacher_logits: Float[Tensor, " v"],
    /,
    *,
    estimator: str,
    sampler_logits: Float[Tensor, " v"] | None = None,
    corrected: bool = True,
) -> Moments:
    """Mean and variance of an estimator and of its gradient over y ∼ q, by summing over the vocabulary.

    Tokens that are never drawn (logit −∞, as those that are masked) count for nothing.

    Args:
        student_logits: of q.
        teacher_logits: of p.
        estimator: a name in `ESTIMATORS`.
        sampler_logits: of the law that y is drawn from; the student's own where not given.
        corrected: weigh by q/q_old where there is a sampler.

    Raises:
        ValueError: logits of different shapes or NaN, an unknown estimator, a token that is drawn and that
            the student rules out, or a moment that is not finite, as where the teacher rules one out.
    """
    check_one_of("estimator", estimator, ESTIMATORS)
    named = {"student": student_logits, "teacher": teacher_logits, "sampler": sampler_logits}
    for name, given_logits in named.items():
        if given_logits is not None:
            check_logits(f"{name}_logits", given_logits)
    check_same_shape("student_logits", student_logits, "teacher_logits", teacher_logits)
    logits, p = student_logits.detach().double(), teacher_logits.detach().double().log_softmax(-1)
    sampler = (logits if sampler_logits is None else sampler_logits.detach().double()).log_softmax(-1)
    drawn = torch.isfinite(sampler)
    p, sampler, tokens = p[drawn], sampler[drawn], drawn.nonzero()
    leaf = logits.expand(len(tokens), -1).clone().requires_grad_()  # a row for the gradient at each token
    q = leaf.log_softmax(-1).gather(-1, tokens)[:, 0]
    given = None if sampler_logits is None or not corrected else sampler
    losses = kl_surrogate(q, p, estimator=estimator, sampler_log_probs=given)
    gradients, law = torch.autograd.grad(losses.sum(), leaf)[0], sampler.exp()
    values = kl_estimate(q.detach(), p, estimator="k1" if estimator == "score" else estimator)
    values = values if given is None else (q.detach() - sampler).exp() * values
    value, gradient = law @ values, law @ gradients
    return Moments(
        value,
        law @ (values - value).square(),
        gradient,
        law @ (gradients - gradient).square().sum(-1),
    )


def _checked(
    student_log_probs: Tensor, other_log_probs: Tensor, name: str = "teacher_log_probs"
) -> list[Tensor]:
    check_same_shape("student_log_probs", student_log_probs, name, other_log_probs)
    q, other = widened(student_log_probs, other_log_probs)
    if not bool(torch.isfinite(q).all()):
        raise ValueError("student_log_probs must be finite: the student drew these tokens")
    if bool((torch.isnan(other) | torch.isposinf(other)).any()):
        raise ValueError(f"{name} must not be NaN or +∞; give log-probabilities")
    return [q, other]
