"""Non-local relations: what each position of a map has to do with all others."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.losses._doors import check_maps, check_paired_rows, product
from kdtheory.types import at_least_float32, promoted
from kdtheory.validate import check_same_shape

__all__ = ["dot_products", "non_local_loss", "non_local_relation"]

Pair = Callable[[Tensor, Tensor], Tensor]
Value = Callable[[Tensor], Tensor]


@door
def dot_products(one: Float[Tensor, "*b p c"], other: Float[Tensor, "*b q c"], /) -> Float[Tensor, "*b p q"]:
    """f(a, a′) = ⟨a, a′⟩ for every pair of positions, the pairwise function without parameters."""
    one, other = promoted(*at_least_float32(one, other))
    return product(one, other.mT)


@door
def non_local_relation(
    features: Float[Tensor, "b c h w"],
    /,
    *,
    pair: Pair = dot_products,
    value: Value | None = None,
) -> Float[Tensor, "b c2 h w"]:
    """r_{ij} = (1/HW) Σ_{i′≤H} Σ_{j′≤W} f(A_{·ij}, A_{·i′j′}) g(A_{·i′j′}) (Zhang & Ma 2021).

    A is indexed C × H × W, as in the lecture notes. Equivariant: where the positions of A are permuted, so
    are those of r.

    Args:
        features: A.
        pair: f for all pairs of positions at once, [b, p, c] and [b, q, c] to [b, p, q]; the paper's is
            learned in a non-local module.
        value: g on the positions, [b, q, c] to [b, q, c2]; None is the identity.

    Raises:
        ValueError: `features` are no maps or not finite.

    >>> non_local_relation(torch.tensor([[[[1.0, 2.0]]]]))  # (1/2)(a·1·1 + a·2·2), a = 1, 2
    tensor([[[[2.5000, 5.0000]]]])
    """
    check_maps("features", features)
    own = pair is not dot_products or value is not None  # may have weights, in the type of the features
    positions = (features if own else at_least_float32(features)[0]).flatten(2).mT
    values = positions if value is None else value(positions)
    between = pair(positions, positions)
    relation = product(*promoted(between, values)) / positions.shape[1]
    return at_least_float32(relation)[0].mT.reshape(len(features), -1, *features.shape[2:])


@door
def non_local_loss(
    student_features: Float[Tensor, "b *student"],
    teacher_features: Float[Tensor, "b *teacher"],
    /,
    *,
    pair: Pair = dot_products,
    value: Value | None = None,
) -> Float[Tensor, ""]:
    """‖r^S − r^T‖₂, a mean over the batch: non-local distillation (Zhang & Ma 2021).

    Published code projects the student's relation first and takes one norm over the whole batch.

    Args:
        student_features: A^S.
        teacher_features: A^T, of the same height and width.
        pair: f, as in `non_local_relation`.
        value: g.

    Raises:
        ValueError: the batches differ, they are no maps or not finite, or the relations differ in shape.

    >>> one = torch.ones(1, 1, 2, 2)
    >>> non_local_loss(2 * one, one)  # r = 8 and 1 at each of four positions
    tensor(14.)
    """
    check_paired_rows(student_features, teacher_features)
    student = non_local_relation(student_features, pair=pair, value=value)
    teacher = non_local_relation(teacher_features, pair=pair, value=value)
    check_same_shape("the student's relation", student, "the teacher's relation", teacher)
    norms: Tensor = torch.linalg.vector_norm((student - teacher).flatten(1), dim=1)
    return norms.mean()
