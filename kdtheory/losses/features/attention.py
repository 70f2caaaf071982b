"""Where a layer looks: attention transfer, and attention-guided distillation with its masks.

A is a batch of feature maps, b × C × H × W. Every loss is a mean over the examples of the batch; codes often
take one Euclidean norm over the whole batch instead, which weighs examples by how wrong they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.losses._doors import (
    check_maps,
    check_paired_rows,
    check_same_maps,
    rows_of,
    same_size,
    unit_vectors,
)
from kdtheory.types import at_least_float32
from kdtheory.validate import check_one_of, check_positive

__all__ = [
    "MASK_FORMS",
    "attention_guided_loss",
    "attention_map_loss",
    "attention_masked_loss",
    "attention_masks",
    "attention_transfer",
    "channel_attention",
    "spatial_attention",
]


@door
def attention_transfer(
    student_features: Float[Tensor, "b c h w"],
    teacher_features: Float[Tensor, "b c2 h2 w2"],
    /,
    *,
    power: float = 2.0,
) -> Float[Tensor, ""]:
    """(1/b) Σ_b ‖Q_S/‖Q_S‖₂ − Q_T/‖Q_T‖₂‖₂², Q = Σ_c |A_c|^p flattened: activation-based attention transfer.

    Zagoruyko & Komodakis, *Paying More Attention to Attention* (2017). The paper prints the norm without the
    square; its code takes the square and means over the H·W positions, which is this over H·W. Of two sizes
    the larger map is averaged down, as in codes that compare such layers. Numbers of channels may differ. It
    ignores the scale of either map and, at p = 2, any orthogonal mixing of the channels.

    Args:
        student_features: A^S.
        teacher_features: A^T.
        power: p > 0.

    Raises:
        ValueError: the batches differ, they are no maps, an entry is not finite, or p ≤ 0.

    >>> one, other = torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2)
    >>> one[..., 0], other[..., 1] = 5.0, -3.0
    >>> attention_transfer(one, other)  # orthogonal unit vectors
    tensor(2.)
    """
    check_positive("power", power)
    check_maps("student_features", student_features)
    check_maps("teacher_features", teacher_features)
    check_paired_rows(student_features, teacher_features)
    maps = same_size(*at_least_float32(student_features, teacher_features))
    scaled = (rows_of(side, each=True).unflatten(1, side.shape[1:]) for side in maps)
    first, second = (unit_vectors(_powers(side, power).sum(1).flatten(1)) for side in scaled)
    return (first - second).square().sum(1).mean()


def _powers(features: Tensor, power: float) -> Tensor:
    """|A|^p, whose gradient at 0 is 0."""
    magnitudes = features.abs()
    there = magnitudes > 0
    return magnitudes.where(there, 1).pow(power).where(there, 0)


@door
def spatial_attention(features: Float[Tensor, "*b c h w"], /) -> Float[Tensor, "*b h w"]:
    """G^s(A)_{ij} = (1/C) Σ_c |A_{c,i,j}| (Zhang & Ma 2021).

    >>> spatial_attention(torch.tensor([[[1.0, -2.0]], [[3.0, 0.0]]]))
    tensor([[2., 1.]])
    """
    return at_least_float32(features)[0].abs().mean(-3)


@door
def channel_attention(features: Float[Tensor, "*b c h w"], /) -> Float[Tensor, "*b c"]:
    """G^c(A)_c = (1/HW) Σ_{ij} |A_{c,i,j}| (Zhang & Ma 2021).

    >>> channel_attention(torch.tensor([[[1.0, -2.0]], [[3.0, 0.0]]]))
    tensor([1.5000, 1.5000])
    """
    return at_least_float32(features)[0].abs().mean((-2, -1))


def _joint(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return ((student + teacher) / temperature).softmax(-1)


def _averaged(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    return ((student / temperature).softmax(-1) + (teacher / temperature).softmax(-1)) / 2


MASK_FORMS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {"joint": _joint, "averaged": _averaged}
"""How the masks join two attention maps: "joint" as the paper prints, "averaged" as published code does."""


@door
def attention_masks(
    student_features: Float[Tensor, "b c h w"],
    teacher_features: Float[Tensor, "b c h w"],
    /,
    *,
    temperature: float,
    form: str = "joint",
) -> tuple[Float[Tensor, "b h w"], Float[Tensor, "b c"]]:
    """M^s = HW·softmax((G^s(A^S) + G^s(A^T))/T), M^c = C·softmax((G^c(A^S) + G^c(A^T))/T): two masks.

    Zhang & Ma (2021). They sum to HW and to C. "averaged", the form of published code, has the mean of the
    two softmaxes of G/T in place of the softmax of the sum; at T/2 it agrees with "joint" at T up to O(1/T²).

    Args:
        student_features: A^S.
        teacher_features: A^T.
        temperature: T > 0; a small one looks at few places.
        form: a key of `MASK_FORMS`.

    Raises:
        ValueError: the maps differ in shape or are not finite, T ≤ 0, or an unknown form.

    >>> maps = torch.ones(1, 3, 2, 2)
    >>> [mask.unique().tolist() for mask in attention_masks(maps, maps, temperature=0.1)]
    [[1.0], [1.0]]
    """
    check_positive("temperature", temperature)
    check_one_of("form", form, tuple(MASK_FORMS))
    check_same_maps(student_features, teacher_features)
    join, shape = MASK_FORMS[form], student_features.shape
    places, channels = (
        join(attend(student_features).flatten(1), attend(teacher_features).flatten(1), temperature)
        for attend in (spatial_attention, channel_attention)
    )
    return shape[2] * shape[3] * places.unflatten(1, shape[2:]), shape[1] * channels


@door
def attention_map_loss(
    student_features: Float[Tensor, "b c h w"], teacher_features: Float[Tensor, "b c h w"], /
) -> Float[Tensor, ""]:
    """L_AT = ‖G^s(A^S) − G^s(A^T)‖₂ + ‖G^c(A^S) − G^c(A^T)‖₂, a mean over the batch (Zhang & Ma 2021).

    Published code leaves out the absolute values here and projects the student's maps first.

    Raises:
        ValueError: the maps differ in shape or are not finite.

    >>> one = torch.ones(1, 1, 2, 2)
    >>> attention_map_loss(3 * one, one)  # ‖(2, 2, 2, 2)‖ + ‖2‖
    tensor(6.)
    """
    check_same_maps(student_features, teacher_features)
    spatial = spatial_attention(student_features) - spatial_attention(teacher_features)
    channel = channel_attention(student_features) - channel_attention(teacher_features)
    return (_norms(spatial) + _norms(channel)).mean()


@door
def attention_masked_loss(
    student_features: Float[Tensor, "b c h w"],
    teacher_features: Float[Tensor, "b c h w"],
    /,
    *,
    temperature: float,
    form: str = "joint",
) -> Float[Tensor, ""]:
    """L_AM = (Σ_{c,i,j} (A^T − A^S)² M^s_{ij} M^c_c)^½, a mean over the batch (Zhang & Ma 2021).

    The masks are constants: no gradient flows through them, as in published code.

    Args:
        student_features: A^S.
        teacher_features: A^T.
        temperature: T of the masks.
        form: of the masks, a key of `MASK_FORMS`.

    Raises:
        ValueError: as `attention_masks`.

    >>> one = torch.ones(1, 1, 2, 2)
    >>> attention_masked_loss(3 * one, one, temperature=0.1)  # masks of ones: ‖(2, 2, 2, 2)‖
    tensor(4.)
    """
    spatial, channel = attention_masks(student_features, teacher_features, temperature=temperature, form=form)
    weights = (spatial[:, None] * channel[:, :, None, None]).detach()
    student_features, teacher_features = at_least_float32(student_features, teacher_features)
    return _norms((teacher_features - student_features) * weights.sqrt()).mean()


@door
def attention_guided_loss(
    student_features: Float[Tensor, "b c h w"],
    teacher_features: Float[Tensor, "b c h w"],
    /,
    *,
    temperature: float = 0.1,
    form: str = "joint",
    map_weight: float = 1.0,
    mask_weight: float = 1.0,
) -> Float[Tensor, ""]:
    """α L_AT + β L_AM, attention-guided distillation (Zhang & Ma 2021); zero iff the maps are equal (β > 0).

    Args:
        student_features: A^S, projected to the teacher's shape where the two differ.
        teacher_features: A^T.
        temperature: T of the masks; 0.1 is that of published code.
        form: of the masks, a key of `MASK_FORMS`.
        map_weight: α; the weights of published code belong to detectors, the defaults here are ours.
        mask_weight: β.

    Raises:
        ValueError: as `attention_masks`, or a weight is negative or not finite.

    >>> one = torch.ones(1, 1, 2, 2)
    >>> attention_guided_loss(3 * one, one)
    tensor(10.)
    """
    for name, weight in (("map_weight", map_weight), ("mask_weight", mask_weight)):
        if not 0 <= weight < math.inf:
            raise ValueError(f"{name} = {weight} must be finite and at least 0")
    maps = attention_map_loss(student_features, teacher_features)
    masked = attention_masked_loss(student_features, teacher_features, temperature=temperature, form=form)
    return map_weight * maps + mask_weight * masked


def _norms(differences: Tensor) -> Tensor:
    """‖·‖₂ of each example; its gradient at 0 is 0."""
    norms: Tensor = torch.linalg.vector_norm(differences.flatten(1), dim=1)
    return norms
