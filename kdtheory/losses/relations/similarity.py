"""Similarities of all pairs of examples: similarity-preserving, correlation congruence, PKT.

f_i are the features of example i, flattened; the two sides may differ in width. An example whose features
vanish has no direction: its similarities are 0, and no gradient comes from them.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.losses._doors import check_features, check_paired_rows, product, rows_of, unit_vectors
from kdtheory.losses._precision import CLOSE, excess
from kdtheory.validate import check_at_least, check_positive

__all__ = [
    "correlation_congruence",
    "correlation_kernel",
    "probabilistic_transfer",
    "row_similarities",
    "similarity_preserving",
    "similarity_probs",
]

_FLOOR = 1e-7
_OPPOSITE = 8  # roundings, by which the weight of an opposite example may differ from 0
_MOST_ORDER, _MOST_NATS = 170, 700.0  # of factorials and powers that are numbers


@door
def row_similarities(features: Float[Tensor, "b *d"], /) -> Float[Tensor, "b b"]:
    """G_{i·} = Q Qᵀ_{i·}/‖Q Qᵀ_{i·}‖₂, the inner products of each example, of norm one a row.

    Raises:
        ValueError: `features` are not finite.

    >>> row_similarities(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    tensor([[1., 0.],
            [0., 1.]])
    """
    check_features("features", features)
    rows = rows_of(features)
    return unit_vectors(product(rows, rows.mT))


@door
def similarity_preserving(
    student_features: Float[Tensor, "b *student"], teacher_features: Float[Tensor, "b *teacher"], /
) -> Float[Tensor, ""]:
    """(1/b²) ‖G_T − G_S‖_F², similarity-preserving distillation (Tung & Mori 2019).

    Of one pair of layers, where the paper sums over several. It ignores rotations and the scale of either
    side, not translations.

    Raises:
        ValueError: the batches differ, fewer than two examples, or not finite.

    >>> apart, alike = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[3.0, 4.0], [3.0, 4.0]])
    >>> similarity_preserving(alike, apart)  # (2/4)((1 − √½)² + ½) = 1 − √½
    tensor(0.2929)
    """
    check_paired_rows(student_features, teacher_features, least=2)
    gaps = row_similarities(student_features) - row_similarities(teacher_features)
    return gaps.square().mean()


@door
def correlation_kernel(
    features: Float[Tensor, "b *d"], /, *, gamma: float = 0.4, order: int | None = 2
) -> Float[Tensor, "b b"]:
    """Σ_{p≤P} e^{−2γ} (2γ)^p/p! ⟨f_i, f_j⟩^p of normalised features; P → ∞: exp(−γ‖f_i − f_j‖²).

    Peng et al., *Correlation Congruence for Knowledge Distillation* (2019): a Gaussian kernel by its Taylor
    series at ⟨f_i, f_j⟩ = 0.

    Args:
        features: f, normalised here.
        gamma: γ > 0.
        order: P ≥ 0; None takes the kernel itself.

    Raises:
        ValueError: γ ≤ 0, P < 0, a term of the series that no float holds, or not finite.

    >>> correlation_kernel(torch.tensor([[1.0, 0.0], [0.0, 5.0]]), order=None).log()  # −0.4 · 2
    tensor([[ 0.0000, -0.8000],
            [-0.8000,  0.0000]])
    """
    check_features("features", features)
    check_positive("gamma", gamma)
    rows = unit_vectors(rows_of(features))
    cosines = product(rows, rows.mT)
    if order is None:
        return (2 * gamma * (cosines - 1)).exp()
    check_at_least("order", order, 0)
    if order > _MOST_ORDER or order * math.log(2 * gamma) > _MOST_NATS:
        raise ValueError(
            f"order = {order} at gamma = {gamma} has terms beyond any float; give a smaller one, or None, "
            "the kernel itself"
        )
    terms = [(2 * gamma) ** p / math.factorial(p) * cosines**p for p in range(order + 1)]
    return math.exp(-2 * gamma) * torch.stack(terms).sum(0)


@door
def correlation_congruence(
    student_features: Float[Tensor, "b *student"],
    teacher_features: Float[Tensor, "b *teacher"],
    /,
    *,
    gamma: float = 0.4,
    order: int | None = 2,
) -> Float[Tensor, ""]:
    """(1/b²) ‖C_S − C_T‖_F², C the correlation kernel: correlation congruence (Peng et al. 2019).

    A widely copied code of this name takes products of neighbouring differences instead, another loss. It
    ignores rotations and the length of each example's features.

    Args:
        student_features, teacher_features: f on each side.
        gamma, order: γ and P of `correlation_kernel`.

    Raises:
        ValueError: as `correlation_kernel`, the batches differ, or fewer than two examples.

    >>> apart, alike = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[3.0, 4.0], [3.0, 4.0]])
    >>> correlation_congruence(alike, apart, order=None)  # (1 − e^{−0.8})²/2
    tensor(0.1516)
    """
    check_paired_rows(student_features, teacher_features, least=2)
    student, teacher = (
        correlation_kernel(side, gamma=gamma, order=order) for side in (student_features, teacher_features)
    )
    return (student - teacher).square().mean()


@door
def similarity_probs(
    features: Float[Tensor, "b *d"], /, *, with_itself: bool = False
) -> Float[Tensor, "b b"]:
    """p_{j|i} = K(f_i, f_j)/Σ_{l≠i} K(f_i, f_l), K = (cos + 1)/2: the chance of each neighbour, row by row.

    Passalis & Tefas, *Learning Deep Representations with Probabilistic Knowledge Transfer* (2018).

    Args:
        features: f.
        with_itself: count l = i as well, as published code does.

    Raises:
        ValueError: fewer than two examples, not finite, or an example opposite to all others.

    >>> similarity_probs(torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]))[0]  # ½ and 1
    tensor([0.0000, 0.3333, 0.6667])
    """
    check_features("features", features)
    check_at_least("the number of examples", len(features), 2)
    rows = unit_vectors(rows_of(features))
    weights = (product(rows, rows.mT) + 1) / 2
    weights = weights.where(weights > _OPPOSITE * torch.finfo(weights.dtype).eps, 0)
    if not with_itself:
        weights = weights * ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    totals = weights.sum(1, keepdim=True)
    if not bool((totals > 0).all()):
        raise ValueError("features of some example are opposite to all others; no neighbour has any weight")
    return weights / totals


@door
def probabilistic_transfer(
    student_features: Float[Tensor, "b *student"],
    teacher_features: Float[Tensor, "b *teacher"],
    /,
    *,
    with_itself: bool = False,
) -> Float[Tensor, ""]:
    """(1/b) Σ_i Σ_j p_{j|i} ln(p_{j|i}/q_{j|i}), p of the teacher, q of the student: PKT.

    Passalis & Tefas (2018), who print the sum over i; codes take the mean over the b² entries and count
    i = j. Probabilities are floored at 1e-7 inside the logarithm, where codes add 1e-7 to each, which counts
    once the b² probabilities are small. It ignores rotations and the length of each example's features.

    Args:
        student_features, teacher_features: f on each side.
        with_itself: as in `similarity_probs`.

    Raises:
        ValueError: as `similarity_probs`, or the batches differ.

    >>> line, corner = torch.eye(3), torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    >>> probabilistic_transfer(corner, line)  # rows (⅓, ⅔), (½, ½), (⅔, ⅓) against (½, ½): (ln 9/8)/3
    tensor(0.0393)
    """
    check_paired_rows(student_features, teacher_features, least=2)
    q, p = (similarity_probs(side, with_itself=with_itself) for side in (student_features, teacher_features))
    gaps = p.clamp_min(_FLOOR).log() - q.clamp_min(_FLOOR).log()
    # Of rows that nearly agree Σ p φ(−gap), positive term by term: both rows sum to one.
    seen = gaps.detach().masked_fill((p <= 0) & (q <= 0), 0)
    exact = ((p > _FLOOR) & (q > _FLOOR)) | ((p <= 0) & (q <= 0))
    near = ((seen.abs() < CLOSE) & exact).all(1, keepdim=True)
    return torch.where(near, p * excess(-gaps.where(near, 0)), p * gaps).sum(1).mean()
