"""Back through dense layers that are joined by pointwise activations: δ ← (δ W) ∘ a′(z)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from kdtheory.ntk._threads import shared_out
from kdtheory.ntk._tiles import Array, by_numpy

__all__ = ["Chain"]

_ROWS = 512  # of a product on one thread


@dataclass(frozen=True, eq=False)
class Chain:
    """The weights from the output layer down, and the slopes of the activation below each of them.

    Args:
        weights: W of every layer but the lowest: k × w_L, w_L × w_{L−1}, …
        slopes: a′ of the activations, times the scale of the weights above them: n × w_L, n × w_{L−1}, …
    """

    weights: Sequence[Tensor]
    slopes: Sequence[Tensor]

    def signals(self, outputs: slice) -> list[Tensor]:
        """δ of the layers from the second hidden one (from above) down, n × g × w each.

        On the CPU a block of points goes through all layers at a time.
        """
        if len(self.slopes) < 2:
            return []
        first, *others = self.slopes
        count = len(range(*outputs.indices(len(self.weights[0]))))
        made = [slope.new_empty(len(slope), count, slope.shape[1]) for slope in others]
        if not by_numpy(first):
            _fill(made, self.weights, self.slopes, outputs, slice(None))
            return made
        to, weights, slopes = ([t.numpy() for t in part] for part in (made, self.weights, self.slopes))
        rows = max(1, _ROWS // count)
        blocks = [slice(at, at + rows) for at in range(0, len(first), rows)]
        shared_out(lambda block: _fill(to, weights, slopes, outputs, block), blocks)
        return made

    def lowest(self, signals: Sequence[Tensor], outputs: slice) -> Tensor:
        """δ of the lowest layer, n × g × w, from the `signals` of these outputs."""
        if signals:
            return signals[-1]
        return self.slopes[0][:, None] * self.weights[0][outputs]


def _fill(
    made: Sequence[Array], weights: Sequence[Array], slopes: Sequence[Array], outputs: slice, rows: slice
) -> None:
    delta = slopes[0][rows][:, None] * weights[0][outputs]
    for out, weight, slope in zip(made, weights[1:], slopes[1:], strict=True):
        n, count, width = delta.shape
        pulled = (delta.reshape(n * count, width) @ weight).reshape(n, count, -1)
        delta = out[rows]
        delta[...] = pulled
        delta *= slope[rows][:, None]
