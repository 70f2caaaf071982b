"""Softmax margins: φ_γ(v) = softmax(v/γ), how it bounds the error, and how far two predictors' φ_γ are apart.

v ∈ R^k logits, y the label, γ > 0 the margin scale (not the temperature of distillation). f and g are two
predictors; the distance between them is symmetric, so it does not matter which one is the student. All from
Hsu, Ji, Telgarsky & Wang (2021); their Φ is the ℓ1 norm, twice the label-free error here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from kdtheory.doors import door
from kdtheory.types import at_least_float32, at_most_one, told, widened
from kdtheory.validate import (
    check_at_least,
    check_finite,
    check_labels,
    check_logits,
    check_one_of,
    check_positive,
)

__all__ = [
    "confidence_lipschitz",
    "distillation_error",
    "label_free_distillation_error",
    "margin_surrogate",
    "margin_surrogate_lipschitz",
    "multiclass_margin",
    "softmax_confidence",
    "softmax_distance",
    "softmax_distance_lipschitz",
]

_BLOCK = 2**17


@door
def softmax_confidence(
    logits: Float[Tensor, "*batch k"], labels: Int[Tensor, "*batch"], /, *, gamma: float
) -> Float[Tensor, "*batch"]:
    """φ_γ(v)_y = exp(v_y/γ) / Σ_j exp(v_j/γ).

    Where the argmax of v is not y, ties counted as errors or not, it is at most ½; so 1[argmax v ≠ y] ≤
    2(1 − φ_γ(v)_y) for every γ > 0.

    Raises:
        ValueError: γ is not positive and finite, logits hold NaN or +∞, or a label is out of range.

    >>> softmax_confidence(torch.tensor([0.0, 2.0]).log1p(), torch.tensor(1), gamma=0.5)  # 9/(1 + 9)
    tensor(0.9000)
    """
    _check_pair(logits, labels)
    check_positive("gamma", gamma)
    return _by_blocks(
        lambda part, y: _softened(part, gamma).gather(-1, y[..., None]).squeeze(-1), logits, labels
    )


@door
def multiclass_margin(
    logits: Float[Tensor, "*batch k"], labels: Int[Tensor, "*batch"], /
) -> Float[Tensor, "*batch"]:
    """m = v_y − max_{j≠y} v_j: positive where y is the only argmax; √2-Lipschitz in ‖·‖₂, 2 in ‖·‖_∞.

    Raises:
        ValueError: logits hold NaN or +∞, or a label is out of range.

    >>> multiclass_margin(torch.tensor([[1.0, 4.0, 2.0]]), torch.tensor([1]))
    tensor([2.])
    """
    _check_pair(logits, labels)

    def margins(part: Tensor, y: Tensor) -> Tensor:
        others = part.masked_fill(one_hot(y, part.shape[-1]).bool(), -math.inf).amax(-1)
        return at_least_float32(part.gather(-1, y[..., None]).squeeze(-1))[0] - others

    return _by_blocks(margins, logits, labels)


@door
def margin_surrogate(
    margins: Float[Tensor, "*batch"], /, *, gamma: float, num_classes: int
) -> Float[Tensor, "*batch"]:
    """σ(ln(k−1) − m/γ) ≥ 1 − φ_γ(v)_y, with equality where all other logits are equal; 1/(4γ)-Lipschitz in m.

    Raises:
        ValueError: γ is not positive and finite, k < 2, or a margin is not finite.

    >>> margin_surrogate(torch.tensor(1.0), gamma=1 / math.log(6), num_classes=3)  # 2/(2 + 6)
    tensor(0.2500)
    """
    check_positive("gamma", gamma)
    check_at_least("num_classes", num_classes, 2)
    check_finite("margins", margins)
    (margins,) = widened(margins, temperature=gamma)
    return torch.sigmoid(math.log(num_classes - 1) - margins / gamma)


@door
def softmax_distance(
    student_logits: Float[Tensor, "*batch k"], teacher_logits: Float[Tensor, "*batch k"], /, *, gamma: float
) -> Float[Tensor, "*batch"]:
    """½‖φ_γ(u) − φ_γ(v)‖₁, the total variation between two softened outputs, in [0, 1].

    What f inherits from g at a point: 1 − φ_γ(f)_y ≤ 1 − φ_γ(g)_y + ½‖φ_γ(f) − φ_γ(g)‖₁ for every y.

    Raises:
        ValueError: γ is not positive and finite, shapes differ, or logits hold NaN or +∞.

    >>> softmax_distance(torch.tensor([0.0, 0.0]), torch.tensor([0.0, 3.0]).log1p(), gamma=1.0)  # 4/5 − 1/2
    tensor(0.3000)
    """
    _check_twins(student_logits, teacher_logits)
    check_positive("gamma", gamma)
    return _by_blocks(
        lambda u, v: at_most_one((_softened(u, gamma) - _softened(v, gamma)).abs().sum(-1) / 2),
        student_logits,
        teacher_logits,
    )


@door
def distillation_error(
    student_logits: Float[Tensor, "n k"],
    teacher_logits: Float[Tensor, "n k"],
    labels: Int[Tensor, "n"],
    /,
    *,
    gamma: float,
) -> Float[Tensor, ""]:
    """Φ_{γ,n}(f, g) = (1/n) Σ_i |φ_γ(f(x_i))_{y_i} − φ_γ(g(x_i))_{y_i}|, as printed.

    At most the label-free error on the same points. The lecture notes (Shen et al., 2021) print the softmax
    with Σ_{i=1}^k exp(f(x_i)j/γ): the index i and the product are misprints for Σ_j exp(f(x_i)_j/γ).

    Raises:
        ValueError: γ is not positive and finite, shapes differ, logits hold NaN or +∞, a label out of range.

    >>> teacher = torch.tensor([[0.0, 3.0]]).log1p()
    >>> distillation_error(torch.zeros(1, 2), teacher, torch.tensor([0]), gamma=1.0)
    tensor(0.3000)
    """
    _check_twins(student_logits, teacher_logits)
    student = softmax_confidence(student_logits, labels, gamma=gamma)
    return (student - softmax_confidence(teacher_logits, labels, gamma=gamma)).abs().mean()


@door
def label_free_distillation_error(
    student_logits: Float[Tensor, "n k"], teacher_logits: Float[Tensor, "n k"], /, *, gamma: float
) -> Float[Tensor, ""]:
    """Φ^TV_{γ,m}(f, g) = (1/m) Σ_i ½‖φ_γ(f(z_i)) − φ_γ(g(z_i))‖₁ ∈ [0, 1]: needs no labels.

    Tends to the share of points where f and g disagree as γ → 0+ (where neither has a tie), and to 0 as
    γ → ∞. Half of what Hsu et al. (2021) call Φ.

    Raises:
        ValueError: γ is not positive and finite, shapes differ, or logits hold NaN or +∞.

    >>> label_free_distillation_error(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), gamma=1e-3)
    tensor(1.)
    """
    return softmax_distance(student_logits, teacher_logits, gamma=gamma).mean()


@door
def softmax_distance_lipschitz(*, gamma: float, norm: str) -> float:
    """½‖φ_γ(u) − φ_γ(v)‖₁ ≤ ‖u−v‖_∞/(2γ) and ≤ ‖u−v‖₂/(2√2 γ), neither improvable.

    The derivative along w is (1/2γ)Σp_i|w_i − w̄| ≤ sd_p(w)/(2γ), and a standard deviation is at most half
    the range of w, which is at most 2‖w‖_∞ and at most √2‖w‖₂. Attained at u → v, two equal logits.

    Args:
        gamma: γ.
        norm: of u − v: "sup" or "euclidean".

    Raises:
        ValueError: γ is not positive and finite, or the norm is not one of the two.

    >>> softmax_distance_lipschitz(gamma=0.25, norm="sup")
    2.0
    """
    check_positive("gamma", gamma)
    check_one_of("norm", norm, ("sup", "euclidean"))
    return 1 / (2 * gamma) if norm == "sup" else 1 / (2 * math.sqrt(2) * gamma)


@door
def confidence_lipschitz(*, gamma: float) -> float:
    """|φ_γ(u)_y − φ_γ(v)_y| ≤ (√2/4γ)‖u−v‖₂, not improvable.

    The gradient of φ_y is (φ_y/γ)(e_y − φ), of norm at most (φ_y(1 − φ_y)/γ)·√2.

    Raises:
        ValueError: γ is not positive and finite.

    >>> round(confidence_lipschitz(gamma=1.0) ** 2, 6)
    0.125
    """
    check_positive("gamma", gamma)
    return math.sqrt(2) / (4 * gamma)


@door
def margin_surrogate_lipschitz(*, gamma: float) -> float:
    """|σ(ln(k−1) − a/γ) − σ(ln(k−1) − b/γ)| ≤ |a−b|/(4γ), not improvable: σ' ≤ ¼.

    Raises:
        ValueError: γ is not positive and finite.

    >>> margin_surrogate_lipschitz(gamma=0.5)
    0.5
    """
    check_positive("gamma", gamma)
    return 1 / (4 * gamma)


def _by_blocks(values: Callable[[Tensor, Tensor], Tensor], logits: Tensor, others: Tensor) -> Tensor:
    """One value for each row, a block of rows at a time: what is held beside the logits stays small."""
    rows = max(1, _BLOCK // max(1, logits[:1].numel()))
    if logits.ndim < 2 or len(logits) <= rows:
        return values(logits, others)
    parts = zip(logits.split(rows), others.split(rows), strict=True)
    return torch.cat([values(*part) for part in parts])


def _softened(logits: Tensor, gamma: float) -> Tensor:
    (wide,) = widened(logits, temperature=gamma)
    shifted = (wide - wide.amax(-1, keepdim=True).detach()) / gamma
    # Torch's softmax over a short last axis is several times slower than over the first one.
    return told(shifted.movedim(-1, 0).softmax(0).movedim(0, -1), logits)


def _check_pair(logits: Tensor, labels: Tensor) -> None:
    check_logits("logits", logits)
    check_labels("labels", labels, logits.shape[-1])


def _check_twins(student_logits: Tensor, teacher_logits: Tensor) -> None:
    check_logits("student_logits", student_logits)
    check_logits("teacher_logits", teacher_logits)
