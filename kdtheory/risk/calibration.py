"""How far a teacher's probabilities are from what they promise, exact on a finite world."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.risk._doors import check_world

__all__ = ["calibration_error"]


def calibration_error(
    teacher_probs: Float[Tensor, "s k"], probs: Float[Tensor, "s k"], weights: Float[Tensor, "s"], /
) -> Float[Tensor, ""]:
    """E ½‖p^t(x) − E[p*(x′) | p^t(x′) = p^t(x)]‖₁, in [0, 1]; 0 for a calibrated teacher.

    Calibration in the strict (canonical) sense, of the whole vector and not of its largest entry; the set of
    atoms with one forecast is a cell, so that rows must agree bit for bit to share one. The Bayes teacher is
    calibrated, and so is E[p* | cell] for every partition of the atoms into cells.

    Args:
        teacher_probs: p^t(x) on the atoms.
        probs: p*(x).
        weights: the mass of each atom.

    Raises:
        ValueError: `teacher_probs`, `probs` or `weights` are no probabilities of fitting size.

    >>> truth, half = torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([0.5, 0.5])
    >>> calibration_error(truth, truth, half), calibration_error(truth.mean(0).expand(2, 2), truth, half)
    (tensor(0.), tensor(0.))
    >>> calibration_error(torch.tensor([[1.0, 0.0], [0.9, 0.1]]), truth, half)  # ½ · 0.4
    tensor(0.2000)
    """
    check_world(teacher_probs, probs, weights)
    check_world(probs, teacher_probs, weights, name="teacher_probs")
    forecasts, cell = torch.unique(teacher_probs, dim=0, return_inverse=True)
    mass = weights.new_zeros(len(forecasts)).index_add(0, cell, weights)
    outcome = torch.zeros_like(forecasts).index_add(0, cell, weights[:, None] * probs)
    gaps = (mass[:, None] * forecasts - outcome).abs().sum(-1) / 2
    total: Tensor = gaps.sum()
    return total
