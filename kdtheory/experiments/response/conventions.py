"""The losses of the codes in use, and the generalised Jensen–Shannon divergence, on logits on real images."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.response.image_logits import batch_errors, image_logits
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.losses import CONVENTIONS, jensen_shannon, kd_gradient, kl_divergence
from kdtheory.search import worst_case

AGREEING = tuple(sorted(name for name, entry in CONVENTIONS.items() if entry.differs is None))
SHARES = torch.tensor([10.0**-power for power in range(3, 9)], dtype=torch.float64)


@experiment
def gradients_of_codes(run: Run, /, *, codes: tuple[str, ...] = AGREEING) -> Rows:
    """Automatic differentiation of each code's loss on a batch of 100 real images, at T = 1/2, 2 and 4: the
    gradient and what the best pair (a, b) makes of those of the two reference terms, over the gradient's
    norm; that pair, by least squares, and the documented one, over the norm of the latter.
    """
    batch = image_logits(run, run.size(quick=100, full=1000), spread=3.0)
    rows = [_rescaled(name, t, *batch) for name in codes for t in (0.5, 2.0, 4.0)]
    found, fitted, best, stated = (torch.stack(column) for column in zip(*rows, strict=True))
    return Rows(found=found, fitted=fitted, best=best, stated=stated)


@experiment
def jensen_shannon_losses_near_their_endpoint(run: Run, /, *, continuous: bool = False) -> Rows:
    """240 pairs of logits on real images, β = 10⁻³ … 10⁻⁸: the loss, its root mean square over each of 24
    batches, the loss at β = 0 and the divergence KL(p_t‖p_s); and the largest JSD_β/(β·KL) that a search of
    20 starts finds over logits of three classes at β = 10⁻³.
    """
    student, teacher, _ = image_logits(run, run.size(quick=240, full=2400), spread=1.5)
    losses = torch.stack(
        [jensen_shannon(student, teacher, beta=float(beta), continuous=continuous) for beta in SHARES]
    )
    attempts = run.size(quick=20, full=200)
    starts = torch.randn(attempts, 6, dtype=torch.float64, generator=run.stream.child("search").torch())

    def ratio(points: Tensor) -> Tensor:
        student, teacher = points[:, :3], points[:, 3:]
        loss = jensen_shannon(student, teacher, beta=float(SHARES[0]), continuous=continuous)
        return loss / (SHARES[0] * kl_divergence(student, teacher).clamp_min(1e-4))

    return Rows(
        beta=SHARES,
        loss=losses,
        batch_loss=torch.stack([batch_errors(row) for row in losses], dim=1),
        endpoint=jensen_shannon(student, teacher, beta=0.0, continuous=continuous),
        divergence=kl_divergence(student, teacher),
        attempts=attempts,
        searched=worst_case(ratio, starts).ratio,
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


def _best_pair(gradient: Tensor, soft: Tensor, hard: Tensor) -> Tensor:
    """The multiples of the two reference gradients that come closest: what a rescaling could do at best."""
    # By the normal equations, in sums that come out alike at every place in memory, as LAPACK's need not.
    ss, sh, hh = ((soft * soft).sum(), (soft * hard).sum(), (hard * hard).sum())
    sg, hg = (soft * gradient).sum(), (hard * gradient).sum()
    return torch.stack([hh * sg - sh * hg, ss * hg - sh * sg]) / (ss * hh - sh * sh)
