"""Chapter 1, conventions: the losses of the codes in use, and the generalised Jensen–Shannon divergence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint, Rate, WorstRatio
from kdtheory.claims.response.image_logits import batch_errors, image_logits
from kdtheory.claims.response.wrong_losses import (
    gradient_without_t,
    loss_reversed,
    loss_with_weights_swapped,
    loss_without_t_squared,
)
from kdtheory.losses import CONVENTIONS, jensen_shannon, kd_gradient, kd_loss, kl_divergence
from kdtheory.search import worst_case

AGREEING = tuple(sorted(name for name, entry in CONVENTIONS.items() if entry.differs is None))
SHARES = [10.0**-power for power in range(3, 9)]


def _best_pair(gradient: Tensor, soft: Tensor, hard: Tensor) -> Tensor:
    """The multiples of the two reference gradients that come closest: what a rescaling could do at best."""
    # By the normal equations, in sums that come out alike at every place in memory, as LAPACK's need not.
    ss, sh, hh = ((soft * soft).sum(), (soft * hard).sum(), (hard * hard).sum())
    sg, hg = (soft * gradient).sum(), (hard * gradient).sum()
    return torch.stack([hh * sg - sh * hg, ss * hg - sh * sg]) / (ss * hh - sh * sh)


@claim(
    section="1.5",
    formula=r"\nabla L_{\text{code}} = a\,\nabla\bigl(T^2\,\mathrm{KL}(\varphi_T(z_t)\|\varphi_T(z_s))\bigr)"
    r" + b\,\nabla\mathrm{CE}(e_y, \varphi_1(z_s))",
    source="hinton2015distilling",
    assumes=("T > 0, and the logits are finite.",),
    control=Control("the soft term is the squared distance of the softmaxes", codes=("kd_lib",)),
    uses=(kd_loss, kd_gradient),
    mutants=(
        Mutant("T² is forgotten", kd_loss, loss_without_t_squared),
        Mutant("the weights of teacher and labels are swapped", kd_loss, loss_with_weights_swapped),
        Mutant("the reference gradient lacks its factor T", kd_gradient, gradient_without_t),
        Mutant("the divergence is reversed", kd_loss, loss_reversed),
    ),
)
def codes_in_use_agree_after_rescaling(setting: Setting, /, *, codes: tuple[str, ...] = AGREEING) -> Evidence:
    """The distillation losses of the codes in use (with T² or without, divergence or cross-entropy, the
    weight on the teacher or on the labels) have one gradient after a rescaling, the one that is documented
    for each.

    How it's judged: automatic differentiation of each code's loss on a batch of real images, at T = 1/2, 2
    and 4. The pair (a, b) that comes closest, by least squares, must reproduce the gradient from those of the
    two reference terms, and must be the documented pair. No pair fits the squared distance of softmaxes: it
    is another loss, and the pair that its weights would stand for is not the one that comes closest.
    """
    batch = image_logits(setting, setting.size(quick=100, full=1000), spread=3.0)
    rows = [_rescaled(name, t, *batch) for name in codes for t in (0.5, 2.0, 4.0)]
    found, fitted, best, stated = (torch.stack(column) for column in zip(*rows, strict=True))
    return Joint(
        parts={
            "some pair fits": Identity.of(fitted, found, tolerance=1e-10),
            "the pair is the documented one": Identity.of(best, stated, tolerance=1e-10),
        }
    )


def _rescaled(name: str, temperature: float, *batch: Tensor) -> tuple[Tensor, ...]:
    """A code's gradient, over its norm, what the best pair makes of it, that pair, and the documented one."""
    student, teacher, labels = batch
    code = replace(CONVENTIONS[name], differs=None)  # the pair of a code that has none: as if it agreed
    leaf = student.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(code.loss(leaf, teacher, labels, temperature=temperature), leaf)
    soft, hard = (
        kd_gradient(student, teacher, labels, temperature=temperature, weight=weight) / len(student)
        for weight in (1.0, 0.0)
    )
    best = _best_pair(gradient, soft, hard)
    pair = code.rescaling(temperature=temperature, num_classes=student.shape[-1])
    stated = torch.tensor(pair, dtype=torch.float64)
    size, fitted = gradient.norm(), best[0] * soft + best[1] * hard
    return gradient / size, fitted / size, best / stated.norm(), stated / stated.norm()


def _weights_swapped(
    *logits: Tensor,
    beta: float,
    continuous: bool = False,
    _true: Callable[..., Tensor] = jensen_shannon,
) -> Tensor:
    return _true(*logits, beta=beta, continuous=not continuous)


def _limit_at_the_endpoint(
    *logits: Tensor, beta: float, continuous: bool = False, _true: Callable[..., Tensor] = jensen_shannon
) -> Tensor:
    return _true(*logits, beta=max(beta, 1e-12), continuous=continuous)


def _mixture_of_logarithms(
    student_logits: Tensor, teacher_logits: Tensor, /, *, beta: float, continuous: bool = False
) -> Tensor:
    log_s, log_t = student_logits.log_softmax(-1), teacher_logits.log_softmax(-1)
    if beta == 0:
        return kl_divergence(student_logits, teacher_logits)
    log_m = beta * log_t + (1 - beta) * log_s
    weight = 1 - beta if continuous else beta
    to_mixture = weight * log_t.exp() * (log_t - log_m) + (1 - weight) * log_s.exp() * (log_s - log_m)
    return to_mixture.sum(-1)


@claim(
    section="1.5",
    formula=r"\mathrm{JSD}_\beta = \beta\,\mathrm{KL}(p_t\|m) + (1-\beta)\,\mathrm{KL}(p_s\|m) "
    r"\le \beta\,\mathrm{KL}(p_t\|p_s),\qquad m = \beta p_t + (1-\beta)p_s",
    source="agarwal2024onpolicy",
    assumes=("Student and teacher allow the same classes.",),
    control=Control("the two weights are swapped: the continuous form", continuous=True),
    uses=(jensen_shannon,),
    mutants=(
        Mutant("the two weights are swapped", jensen_shannon, _weights_swapped),
        Mutant("the mixture is one of logarithms", jensen_shannon, _mixture_of_logarithms),
        Mutant("the endpoint is the limit", jensen_shannon, _limit_at_the_endpoint),
    ),
)
def generalised_jsd_jumps_at_its_endpoint(setting: Setting, /, *, continuous: bool = False) -> Evidence:
    """The generalised Jensen–Shannon loss vanishes like β as β → 0, below β·KL(p_t‖p_s), although its
    endpoint β = 0 is set to KL(p_t‖p_s): near the end, β is a step size and not a direction.

    How it's judged: on logits on real images. The loss over β = 10⁻³ … 10⁻⁸ has slope 1 ± 0.05 in β, one
    slope per batch; it never exceeds β·KL(p_t‖p_s), since the mixture m is nearer to both in the mean than
    p_s is, and a search over logits of three classes at β = 10⁻³ comes within 1 per cent and does not exceed
    it either; at β = 0 it is KL(p_t‖p_s). With the weights swapped it tends to KL(p_t‖p_s) without a jump:
    slope 0.
    """
    student, teacher, _ = image_logits(setting, setting.size(quick=240, full=2400), spread=1.5)
    losses = torch.stack(
        [jensen_shannon(student, teacher, beta=beta, continuous=continuous) for beta in SHARES]
    )
    forward = kl_divergence(student, teacher)
    endpoint = jensen_shannon(student, teacher, beta=0.0, continuous=continuous)
    limits = torch.tensor(SHARES, dtype=torch.float64).unsqueeze(-1) * forward
    slopes = torch.stack([batch_errors(row) for row in losses], dim=1)
    return Joint(
        parts={
            "vanishes like β": Rate.of(SHARES, slopes, expected=1.0, margin=0.05),
            "below β·KL": Inequality.of(losses, limits, slack=1e-12),
            "searched": _hardest_pair(setting, continuous),
            "is KL at β = 0": Identity.of(endpoint, forward, tolerance=1e-12),
        }
    )


def _hardest_pair(setting: Setting, continuous: bool) -> Evidence:
    """The largest JSD_β over β·KL(p_t‖p_s); it tends to 1 − β where the two are close."""
    attempts = setting.size(quick=20, full=200)
    starts = torch.randn(attempts, 6, dtype=torch.float64, generator=setting.stream.child("search").torch())

    def ratio(points: Tensor) -> Tensor:
        student, teacher = points[:, :3], points[:, 3:]
        loss = jensen_shannon(student, teacher, beta=SHARES[0], continuous=continuous)
        return loss / (SHARES[0] * kl_divergence(student, teacher).clamp_min(1e-4))

    found = worst_case(ratio, starts)
    return WorstRatio(attempts=attempts, ratio=found.ratio, must_reach=0.99)
