"""Chapter 8.2: estimators of the reverse divergence, their values, and where their gradients lead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Joint
from kdtheory.claims.verdict import Verdict
from kdtheory.losses import kl_divergence
from kdtheory.sequences import Moments, estimator_moments, kl_estimate, kl_surrogate

SOURCE = "schulman2020approximating"
VOCABULARY, OFF_POLICY = 6, 0.4
ON_SAMPLES = "The tokens are drawn from the student."


def _ratio_upside_down(
    student_log_probs: Tensor,
    teacher_log_probs: Tensor,
    /,
    *,
    estimator: str,
    _true: Callable[..., Tensor] = kl_estimate,
) -> Tensor:
    return _true(teacher_log_probs, student_log_probs, estimator=estimator)


def _score_of_the_other_sign(
    *log_probs: Tensor,
    estimator: str,
    sampler_log_probs: Tensor | None = None,
    _true: Callable[..., Tensor] = kl_surrogate,
) -> Tensor:
    sign = -1 if estimator == "score" else 1
    return sign * _true(*log_probs, estimator=estimator, sampler_log_probs=sampler_log_probs)


def _ratio_left_out(
    *log_probs: Tensor,
    estimator: str,
    sampler_log_probs: Tensor | None = None,
    _true: Callable[..., Tensor] = kl_surrogate,
) -> Tensor:
    return _true(*log_probs, estimator=estimator)


def _k3_for_k2(
    *logits: Tensor,
    estimator: str,
    _true: Callable[..., Moments] = estimator_moments,
    **settings: object,
) -> Moments:
    return _true(*logits, estimator="k3" if estimator == "k2" else estimator, **settings)


def _k2_for_k3(
    *logits: Tensor, estimator: str, _true: Callable[..., Moments] = estimator_moments, **settings: object
) -> Moments:
    return _true(*logits, estimator="k2", **settings)


def _halved(
    *logits: Tensor, _true: Callable[..., Moments] = estimator_moments, **settings: object
) -> Moments:
    found = _true(*logits, **settings)
    return replace(found, gradient=found.gradient / 2)


def _draws(setting: Setting) -> Tensor:
    """Logits of student, teacher and earlier student, one set a trial."""
    generator = setting.stream.torch()
    trials = setting.size(quick=60, full=600)
    drawn = torch.randn(trials, 3, VOCABULARY, dtype=torch.float64, generator=generator)
    drawn[:, 2] = drawn[:, 0] + OFF_POLICY * drawn[:, 2]
    return drawn


def _gradient(loss: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    leaf = at.clone().requires_grad_()
    return torch.autograd.grad(loss(leaf), leaf)[0]


def _reverse_gradient(student: Tensor, teacher: Tensor) -> Tensor:
    return _gradient(partial(kl_divergence, teacher), student)


def _forward_gradient(student: Tensor, teacher: Tensor) -> Tensor:
    return _gradient(lambda leaf: kl_divergence(leaf, teacher), student)


@claim(
    section="8.2",
    formula=r"\mathbb E_{y\sim q}\bigl[-\ln r\bigr] = \mathbb E_{y\sim q}\bigl[r - 1 - \ln r\bigr]"
    r" = \mathrm{KL}(q\|p),\quad r = p(y)/q(y)",
    source=SOURCE,
    assumes=(ON_SAMPLES,),
    control=Control("k2, half the squared logarithm of the ratio", unbiased=("k2",)),
    uses=(estimator_moments, kl_estimate),
    mutants=(Mutant("the ratio upside down", kl_estimate, _ratio_upside_down),),
    power=Scaled(kl_estimate),
)
def k1_and_k3_are_unbiased_for_the_reverse_divergence(
    setting: Setting, /, *, unbiased: tuple[str, ...] = ("k1", "k3")
) -> Evidence:
    """From tokens that the student q drew, k1 = −ln r and k3 = r − 1 − ln r, r = p/q, both have the mean
    KL(q‖p); k2 = ½(ln r)² has not.

    How it's judged: random laws on 6 tokens, the mean summed over the vocabulary; equality to 1e-12.
    """
    draws = _draws(setting)
    wanted = torch.stack([kl_divergence(teacher, student) for student, teacher, _ in draws])
    return Joint(
        parts={
            name: Identity.of(
                torch.stack([estimator_moments(s, t, estimator=name).value for s, t, _ in draws]),
                wanted,
                tolerance=1e-12,
            )
            for name in unbiased
        }
    )


@claim(
    section="8.2",
    formula=r"\mathbb E\nabla k_1 = 0,\quad \mathbb E\nabla k_2 = \mathbb E[k_1\nabla\ln q] = "
    r"\nabla\mathrm{KL}(q\|p),\quad \mathbb E\nabla k_3 = \nabla\mathrm{KL}(p\|q)",
    source=SOURCE,
    place="derived here",
    assumes=("The tokens are weighed by q/q_old, where an earlier student drew them.",),
    control=Control("an earlier student drew the tokens, and the ratio is left out", corrected=False),
    uses=(estimator_moments, kl_surrogate),
    mutants=(
        Mutant("the score function with its sign changed", kl_surrogate, _score_of_the_other_sign),
        Mutant("the ratio of student and earlier student is left out", kl_surrogate, _ratio_left_out),
        Mutant("k3 in the place of k2", estimator_moments, _k3_for_k2),
        Mutant("half of each gradient", estimator_moments, _halved),
    ),
    power=Scaled(estimator_moments, entry="gradient"),
)
def gradient_of_an_estimator_is_not_the_gradient_of_what_it_estimates(
    setting: Setting, /, *, corrected: bool = True
) -> Evidence:
    """Differentiated at tokens held fixed, k1 goes nowhere on average, k2 and the score function descend the
    reverse divergence KL(q‖p), and k3 the forward one, KL(p‖q), though its value estimates the reverse one.

    How it's judged: random laws on 6 tokens drawn from an earlier student (its logits 0.4 off) and weighed by
    q/q_old; gradients in the student's logits, summed over the vocabulary, to 1e-10.
    """
    draws = _draws(setting)
    reverse = torch.stack([_reverse_gradient(s, t) for s, t, _ in draws])
    forward = torch.stack([_forward_gradient(s, t) for s, t, _ in draws])
    wanted = {"k1": torch.zeros_like(reverse), "k2": reverse, "k3": forward, "score": reverse}
    return Joint(
        parts={
            name: Identity.of(
                torch.stack(
                    [
                        estimator_moments(
                            s, t, estimator=name, sampler_logits=old, corrected=corrected
                        ).gradient
                        for s, t, old in draws
                    ]
                ),
                gradient,
                tolerance=1e-10,
                effect=float(reverse.abs().max()),
            )
            for name, gradient in wanted.items()
        }
    )


@claim(
    section="8.2",
    formula=r"\mathbb E_{y\sim q}\nabla\bigl[r - 1 - \ln r\bigr] = \nabla\mathrm{KL}(q\|p)",
    source=SOURCE,
    place="as a loss, in training codes",
    assumes=(ON_SAMPLES,),
    control=Control("k2, half the squared logarithm of the ratio", estimator="k2"),
    uses=(estimator_moments, kl_surrogate),
    mutants=(Mutant("k2 in the place of k3", estimator_moments, _k2_for_k3),),
    expect=Verdict.REFUTED,
    power=Scaled(estimator_moments, entry="gradient"),
)
def k3_as_a_loss_descends_the_reverse_divergence(setting: Setting, /, *, estimator: str = "k3") -> Evidence:
    """k3 at tokens that the student drew, differentiated as it stands, has the gradient of the reverse
    divergence KL(q‖p) that it estimates.

    How it's judged: random laws on 6 tokens, gradients in the student's logits summed over the vocabulary, to
    1e-10. Its mean gradient is that of KL(p‖q) instead.
    """
    draws = _draws(setting)
    found = [estimator_moments(s, t, estimator=estimator).gradient for s, t, _ in draws]
    wanted = [_reverse_gradient(s, t) for s, t, _ in draws]
    return Identity.of(torch.stack(found), torch.stack(wanted), tolerance=1e-10)
