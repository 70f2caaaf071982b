"""Relational knowledge distillation: distances between two examples, angles between three (Park et al. 2019).

t_i are the features of example i, flattened. Both losses are 0 where the student's features are any
similarity of the teacher's: rotated, reflected, moved, scaled. So zero does not mean equal logits.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from kdtheory.doors import door
from kdtheory.losses._doors import check_features, check_paired_rows, product, rows_of, unit_vectors
from kdtheory.validate import check_at_least

__all__ = [
    "angle_potentials",
    "distance_potentials",
    "relational_angle_loss",
    "relational_distance_loss",
]


@door
def distance_potentials(features: Float[Tensor, "b *d"], /) -> Float[Tensor, "b b"]:
    """ψ_D(t_i, t_j) = ‖t_i − t_j‖₂/μ, μ the mean of the positive distances (Park et al. 2019).

    Raises:
        ValueError: fewer than two examples, not finite, or all examples alike, so that there is no μ.

    >>> distance_potentials(torch.tensor([[0.0], [1.0], [3.0]]))  # μ = (1 + 3 + 2)/3
    tensor([[0.0000, 0.5000, 1.5000],
            [0.5000, 0.0000, 1.0000],
            [1.5000, 1.0000, 0.0000]])
    """
    check_features("features", features)
    check_at_least("the number of examples", len(features), 2)
    rows = rows_of(features)
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    positive = distances > 0
    count = positive.sum()
    if not bool(count):
        raise ValueError("features are the same for all examples, so that no distance is positive")
    return distances / (distances.sum() / count)


@door
def angle_potentials(features: Float[Tensor, "b *d"], /) -> Float[Tensor, "b b b"]:
    """ψ_A(t_i, t_j, t_k) = cos ∠ t_i t_j t_k = ⟨e^{ij}, e^{kj}⟩, at [j, i, k] (Park et al. 2019).

    e^{ij} = (t_i − t_j)/‖t_i − t_j‖₂. The vertex of the angle is t_j, the first axis;
    0, with gradient 0, where t_i or t_k is the vertex itself or coincides with it.

    Raises:
        ValueError: fewer than three examples, or not finite.

    >>> corner = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> angle_potentials(corner)[0, 1, 2], angle_potentials(corner)[1, 0, 2].square()  # 90°; 1/5
    (tensor(0.), tensor(0.2000))
    """
    check_features("features", features)
    check_at_least("the number of examples", len(features), 3)
    rows = rows_of(features)
    longest = torch.linalg.vector_norm(rows, dim=-1).amax()
    directions = unit_vectors(rows[None] - rows[:, None], scale=longest)
    return product(directions, directions.mT)


@door
def relational_distance_loss(
    student_features: Float[Tensor, "b *student"], teacher_features: Float[Tensor, "b *teacher"], /
) -> Float[Tensor, ""]:
    """Mean over the pairs i ≠ j of l_δ(ψ_D(t_i, t_j), ψ_D(s_i, s_j)), l_δ the Huber loss: RKD-D (Park 2019).

    l_δ(x) = x²/2 up to |x| = 1, |x| − 1/2 beyond. The paper prints a sum over pairs; its code means over all
    b² entries with the diagonal, which is (b − 1)/b times this.

    Args:
        student_features: s.
        teacher_features: t; of any width.

    Raises:
        ValueError: the batches differ, fewer than two examples, not finite, or one side has no positive
            distance.

    >>> points = torch.tensor([[0.0], [1.0], [3.0]])
    >>> relational_distance_loss(7 - 2 * points, points)  # reflected, scaled and moved
    tensor(0.)
    """
    check_paired_rows(student_features, teacher_features, least=2)
    student, teacher = distance_potentials(student_features), distance_potentials(teacher_features)
    b = len(student)
    return smooth_l1_loss(student, teacher, reduction="sum") / (b * (b - 1))


@door
def relational_angle_loss(
    student_features: Float[Tensor, "b *student"], teacher_features: Float[Tensor, "b *teacher"], /
) -> Float[Tensor, ""]:
    """Mean over the triples of distinct i, j, k of l_δ(ψ_A(t_i, t_j, t_k), ψ_A(s_i, s_j, s_k)): RKD-A.

    Park et al. (2019), who print a sum over triples; their code means over all b³ entries, which is
    (b − 1)(b − 2)/b² times this.

    Args:
        student_features: s.
        teacher_features: t; of any width.

    Raises:
        ValueError: the batches differ, fewer than three examples, or not finite.

    >>> corner = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> relational_angle_loss(3 * corner.flip(1) + 1, corner)
    tensor(0.)
    """
    check_paired_rows(student_features, teacher_features, least=3)
    student, teacher = angle_potentials(student_features), angle_potentials(teacher_features)
    b = len(student)
    losses = smooth_l1_loss(student, teacher, reduction="none")
    # i = k is an angle of 0 on both sides, unless two examples coincide on one of them: left out.
    total = losses.sum() - losses.diagonal(dim1=1, dim2=2).sum()
    return total / (b * (b - 1) * (b - 2))
