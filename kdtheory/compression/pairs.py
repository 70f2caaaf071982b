"""Two layers of low rank that stand for one, and are read like it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from kdtheory.doors import door

__all__ = ["LowRank"]

_READ: dict[str, int | None] = {
    **dict.fromkeys(("in_features", "in_channels", "num_embeddings", "padding_idx", "embedding_dim"), 0),
    **dict.fromkeys(("scale_grad_by_freq", "max_norm", "norm_type", "sparse"), 0),
    **dict.fromkeys(("out_features", "out_channels"), 1),
    **dict.fromkeys(("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode"), None),
    **dict.fromkeys(("output_padding", "transposed"), None),
}
"""What is read of a layer ↦ the part of a pair that has it; None: the one that is not of size 1."""


@door
class LowRank(nn.Sequential):
    """Two layers in place of one; `weight` and `bias` are those of the one, for whoever reads them.

    Attention reads the weights of its output projection, a tied decoder those of the embedding, and many a
    forward pass how many features a layer takes or makes.
    """

    def __getattr__(self, name: str) -> Any:
        parts = list(self.__dict__.get("_modules", {}).values())
        if len(parts) < 2 or name not in _READ:
            return super().__getattr__(name)
        if name == "embedding_dim":
            return parts[1].out_features
        place = _READ[name]
        if place is None:
            place = int(isinstance(parts[1], nn.modules.conv._ConvTransposeNd))
        return getattr(parts[place], name)

    @property
    def weight(self) -> Tensor:
        """The product of the two, of the one layer's shape."""
        parts: list[Any] = list(self)
        first: Tensor = parts[0].weight  # not the parameter, which may have a mask
        second: Tensor = parts[1].weight
        if isinstance(self[0], nn.Embedding):
            return first @ second.mT
        if isinstance(self[1], nn.modules.conv._ConvTransposeNd):
            return (first.flatten(1).mT @ second.flatten(1)).reshape(-1, *second.shape[1:])
        return (second.flatten(1) @ first.flatten(1)).reshape(-1, *first.shape[1:])

    @property
    def bias(self) -> Tensor | None:
        """That of the second layer."""
        bias: Tensor | None = getattr(self[1], "bias", None)
        return bias
