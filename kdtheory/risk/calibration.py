"""How far probabilities are from what they promise: exact on a finite world, in bins on labelled points."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.doors import door
from kdtheory.risk._doors import check_world
from kdtheory.types import at_least_float32, at_most_one, promoted
from kdtheory.validate import check_at_least, check_labels, check_one_of, check_probs

__all__ = ["calibration_error", "top_label_calibration_error"]


@door
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
    like, *_ = given = promoted(*at_least_float32(teacher_probs, probs, weights))
    # Sums one after another: of many points they lose float32's digits.
    teacher_probs, probs, weights = (array.double() for array in given)
    forecasts, cell = torch.unique(teacher_probs, dim=0, return_inverse=True)
    mass = weights.new_zeros(len(forecasts)).index_add(0, cell, weights)
    outcome = torch.zeros_like(forecasts).index_add(0, cell, weights[:, None] * probs)
    gaps = (mass[:, None] * forecasts - outcome).abs().sum(-1) / 2
    total: Tensor = at_most_one(gaps.sum()).to(like)
    return total


@door
def top_label_calibration_error(
    probs: Float[Tensor, "n k"], labels: Int[Tensor, "n"], /, *, bins: int = 15, norm: str = "l1"
) -> Float[Tensor, ""]:
    """Σ_b (n_b/n) |accuracy_b − confidence_b| over bins of the largest probability (Guo et al. 2017, ECE).

    Bins ((b − 1)/B, b/B] of equal width, their ends as `probs` can hold them; other codes have
    [(b − 1)/B, b/B). An estimate: biased upward on few points, and blind to all but the largest entry; the
    strict error of a known world is `calibration_error`.

    Args:
        probs: what is forecast.
        labels: what came.
        bins: how many.
        norm: "l1", the sum above; "l2", (Σ_b (n_b/n) (accuracy_b − confidence_b)²)^½ (Kumar, Liang, Ma 2019,
            without their correction of the bias); "max", the largest gap of a bin with points (Guo's MCE).

    Raises:
        ValueError: a row is no probability vector, labels do not fit, `bins` < 1, or the norm is not known.

    >>> forecast = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    >>> top_label_calibration_error(forecast, torch.tensor([0, 1, 1]))  # (2/3)|½ − 0.9| + (1/3)|1 − 0.6|
    tensor(0.4000)
    >>> top_label_calibration_error(forecast, torch.tensor([0, 0, 1]), norm="max")  # |1 − 0.9| and |1 − 0.6|
    tensor(0.4000)
    """
    check_one_of("norm", norm, ("l1", "l2", "max"))
    check_probs("probs", probs)
    check_labels("labels", labels, probs.shape[-1])
    check_at_least("bins", bins, 1)
    confidence, chosen = at_least_float32(probs)[0].max(-1)
    # Compared with the ends themselves: confidence · B rounds across them (0.07 · 100 > 7).
    ends = torch.arange(1, bins + 1, dtype=torch.float64, device=probs.device) / bins
    place = torch.searchsorted(ends.to(probs.dtype).to(confidence), confidence).clamp_max(bins - 1)
    gap = (chosen == labels).double() - confidence.double()
    sums = gap.new_zeros(bins).index_add(0, place, gap)
    if norm == "l1":
        return (sums.abs().sum() / len(probs)).to(confidence)
    counts = gap.new_zeros(bins).index_add(0, place, torch.ones_like(gap))
    gaps = (sums / counts.clamp_min(1)).abs()
    if norm == "max":
        return gaps.amax().to(confidence)
    # Not the root of a sum, whose gradient at zero is no number.
    root: Tensor = torch.linalg.vector_norm((counts / len(probs)).sqrt() * gaps)
    return root.to(confidence)
