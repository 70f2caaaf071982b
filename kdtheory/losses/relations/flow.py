"""The flow between two layers (FSP): Gram matrices of their feature maps (Yim, Joo, Bae, Kim 2017)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.losses._doors import check_maps, product, same_size
from kdtheory.types import at_least_float32, promoted
from kdtheory.validate import check_same_shape

__all__ = ["flow_matrix", "flow_matrix_loss"]

Layers = tuple[Float[Tensor, "b m h w"], Float[Tensor, "b n h2 w2"]]


@door
def flow_matrix(
    first: Float[Tensor, "b m h w"], second: Float[Tensor, "b n h2 w2"], /
) -> Float[Tensor, "b m n"]:
    """G_{ij} = (1/HW) Σ_{xy} F¹_{i,x,y} F²_{j,x,y}, the flow of the solution procedure between two layers.

    Yim et al., *A Gift from Knowledge Distillation* (2017). Of two sizes the larger map is averaged down to
    the smaller, as in published code; the paper takes maxima. The order of the positions does not count.

    Args:
        first: F¹.
        second: F², of the same examples.

    Raises:
        ValueError: they are no maps, not finite, or of different examples.

    >>> import torch
    >>> flow_matrix(torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[3.0, 4.0]]]]))  # (3 + 8)/2
    tensor([[[5.5000]]])
    """
    check_maps("first", first)
    check_maps("second", second)
    if len(first) != len(second):
        raise ValueError(f"first has {len(first)} examples and second {len(second)}; give the same examples")
    one, other = (maps.flatten(2) for maps in same_size(*promoted(*at_least_float32(first, second))))
    return product(one, other.mT) / one.shape[-1]


@door
def flow_matrix_loss(student_features: Layers, teacher_features: Layers, /) -> Float[Tensor, ""]:
    """(1/b) Σ_b ‖G^T − G^S‖_F², the flow matrices of a pair of layers on each side (Yim et al. 2017).

    Codes mean over the m·n entries, which is this over m·n. The layers of both sides need equal numbers of
    channels, not equal sizes.

    Args:
        student_features: two layers of the student, the earlier one first.
        teacher_features: two layers of the teacher.

    Raises:
        ValueError: as `flow_matrix`, or the two matrices differ in shape.

    >>> import torch
    >>> one = torch.ones(1, 1, 2, 2)
    >>> flow_matrix_loss((one, 3 * one), (one, one))
    tensor(4.)
    """
    student, teacher = flow_matrix(*student_features), flow_matrix(*teacher_features)
    check_same_shape("the student's flow matrix", student, "the teacher's", teacher)
    return (student - teacher).square().sum((1, 2)).mean()
