"""The empirical tangent kernel of one network, Θ_op(x, x′) = ⟨∂f_o/∂θ(x), ∂f_p/∂θ(x′)⟩."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import overload

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kdtheory.doors import door
from kdtheory.networks import Inputs, mixes_examples
from kdtheory.ntk._all_outputs import by_outputs, fill_all_outputs
from kdtheory.ntk._contraction import fill_each_output, fill_mean
from kdtheory.ntk._factors import Factors
from kdtheory.ntk._jacobian import jacobian_factors
from kdtheory.ntk._layerwise import layerwise_factors, obstacle
from kdtheory.ntk._points import check_fits, checked_pair
from kdtheory.ntk._tiles import Target, empty_matrix
from kdtheory.validate import check_at_least, check_one_of

__all__ = ["EmpiricalKernel", "SlowKernelWarning"]

_NUMBERS_AT_ONCE = 2**26


class SlowKernelWarning(UserWarning):
    """The layerwise form does not apply to a module, whose kernel is taken from whole Jacobians."""


@door
class EmpiricalKernel:
    """Θ(x, x′) = (1/k) Σ_o ⟨∂f_o/∂θ(x), ∂f_o/∂θ(x′)⟩ of a module with k outputs, or that of one output.

    The sum runs over the parameters that require a gradient, as they are at the time of the call. For modules
    made of `nn.Linear`, `NTKLinear`, `nn.Conv2d`, normalisation within an example or with fixed statistics,
    and functions without parameters, the kernel is a sum over layers of Gram matrices of activations times
    Gram matrices of backpropagated gradients (a structured derivative in the sense of Novak, Sohl-Dickstein,
    Schoenholz 2022): no Jacobian is formed. Any other module goes through torch.func, block by block. After
    the first call `route` and `because` say which of the two it is and why; where "auto" has to take the slow
    one it warns.

    Args:
        module: maps n × … to n × k, each example on its own; it must not change its parameters.
        output: one output, or None for the mean over all: the convention of neural-tangents' trace.
        method: "layerwise", "jacobian", or "auto" for the first that applies.

    Raises:
        ValueError: no parameter requires a gradient, batch statistics or dropout are active, or the method is
            not known.

    >>> kernel = EmpiricalKernel(nn.Linear(2, 3))
    >>> kernel(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))  # x·x′ + 1, whatever the weights
    tensor([[ 6., 12.],
            [12., 26.]])
    >>> kernel.route
    'layerwise'
    """

    def __init__(self, module: nn.Module, /, *, output: int | None = None, method: str = "auto") -> None:
        check_one_of("method", method, ("auto", "layerwise", "jacobian"))
        if output is not None:
            check_at_least("output", output, 0)
        if not any(p.requires_grad for p in module.parameters()):
            raise ValueError("module has no parameter that requires a gradient, so that its kernel is zero")
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        self.module, self.output, self.method = module, output, method
        self.route: str | None = None
        self.because = ""
        self._check_mode()

    def __call__(
        self, rows: Float[Tensor, "n *shape"], columns: Float[Tensor, "m *shape"] | None = None, /
    ) -> Float[Tensor, "n m"]:
        """The Gram matrix K(x_i, x′_j); without `columns` that of the rows, exactly symmetric.

        Raises:
            ValueError: the points are not finite, alike and of the module's precision and device, the module
                does not make n × k of them, the matrix does not fit in memory, or "layerwise" does not apply.
        """
        rows, columns = _own(rows), _own(columns)
        self._check(rows, columns, power=0)
        gram = empty_matrix(rows, len(rows), len(rows if columns is None else columns))
        for here, there, left, right in self._block_pairs(rows, columns, 1):
            target = Target(gram, here, there, columns is None)
            if self.output is None:
                fill_mean(target, left, right)
            else:
                fill_each_output([target], left, right, range(self.output, self.output + 1))
        return gram

    def diagonal(self, rows: Float[Tensor, "n *shape"], /) -> Float[Tensor, "n"]:
        """K(x_i, x_i), in time and memory linear in n."""
        rows = _own(rows)
        k = self._check(rows, rows[:1], power=0)
        outputs = range(k) if self.output is None else [self.output]
        single, total = rows.new_ones(1), rows.new_zeros(len(rows))
        for here in _slices(len(rows), self._rows_at_once(rows, 1)):
            factors = self._factors(rows[here])
            for output in outputs:
                total[here] += factors.along(single, slice(output, output + 1))
        return total / len(outputs)

    def per_output(
        self, rows: Float[Tensor, "n *shape"], columns: Float[Tensor, "m *shape"] | None = None, /
    ) -> Float[Tensor, "n m k"]:
        """Θ_oo(x_i, x′_j) for every output o, a view of k matrices n × m."""
        rows, columns = _own(rows), _own(columns)
        k = self._check(rows, columns, power=1)
        n, m = len(rows), len(rows if columns is None else columns)
        gram = empty_matrix(rows, k * n, m).view(k, n, m)
        for here, there, left, right in self._block_pairs(rows, columns, k):
            targets = [Target(one, here, there, columns is None) for one in gram]
            fill_each_output(targets, left, right, range(k))
        return gram.permute(1, 2, 0)

    def full(
        self, rows: Float[Tensor, "n *shape"], columns: Float[Tensor, "m *shape"] | None = None, /
    ) -> Float[Tensor, "n m k k"]:
        """Θ_op(x_i, x′_j) for every pair of outputs, a view of a matrix n k × m k.

        `full(rows).transpose(1, 2).flatten(2).flatten(0, 1)` is that matrix, without a copy.
        """
        rows, columns = _own(rows), _own(columns)
        k = self._check(rows, columns, power=2)
        gram = empty_matrix(rows, len(rows) * k, len(rows if columns is None else columns) * k)
        for here, there, left, right in self._block_pairs(rows, columns, k):
            wide, long = (slice(part.start * k, part.stop * k) for part in (here, there))
            fill_all_outputs(Target(gram, wide, long, columns is None), left, right)
        return by_outputs(gram, k).transpose(1, 2)

    def _check(self, rows: Tensor, columns: Tensor | None, *, power: int) -> int:
        """All that can be wrong, with k^power matrices to be made, and which route it is; k."""
        checked_pair(rows, columns)
        self._check_mode()
        like = next(self.module.parameters())
        if (rows.dtype, rows.device) != (like.dtype, like.device):
            raise ValueError(
                f"rows are {rows.dtype} on {rows.device}, the module {like.dtype} on {like.device}; move one"
            )
        k = self._outputs(rows)
        if self.output is not None and self.output >= k:
            raise ValueError(f"output = {self.output} does not exist; the module has {k}")
        check_fits(k**power * len(rows) * len(rows if columns is None else columns), rows)
        if self.route is None:
            self._choose_route(rows[:1])
        return k

    @torch.no_grad()
    def _outputs(self, rows: Tensor) -> int:
        """k, of a module that gives n × k for n rows, each from its own alone."""
        try:
            outputs = self.module(rows[:1].clone())
        except (RuntimeError, TypeError, IndexError, NotImplementedError) as error:
            why = str(error).strip().partition("\n")[0]
            raise ValueError(f"module does not take rows of shape {tuple(rows.shape)}: {why}") from error
        if not isinstance(outputs, Tensor):
            kind = type(outputs).__name__
            raise ValueError(f"module makes a {kind} of one row; wrap it to make n × k of n rows")
        if outputs.ndim != 2 or len(outputs) != 1:
            raise ValueError(f"module makes {tuple(outputs.shape)} of one row; it must make n × k of n rows")
        if mixes_examples(self.module, Inputs((rows,))):
            raise ValueError(
                "module gives a row other outputs with other rows around it, or from call to call; the "
                "kernel is that of rows alone: call module.eval(), and take no statistics over the batch"
            )
        return int(outputs.shape[1])

    def _choose_route(self, row: Tensor) -> None:
        self.because = "" if self.method == "jacobian" else obstacle(self.module, row.clone())
        if self.because and self.method == "layerwise":
            raise ValueError(f"method = 'layerwise' does not apply: {self.because}; use 'auto' or 'jacobian'")
        if self.because:
            warnings.warn(
                f"the kernel is taken from whole Jacobians, which is slow: {self.because}. "
                "method='jacobian' asks for this and does not warn",
                SlowKernelWarning,
                stacklevel=4,
            )
        self.route = "jacobian" if self.because or self.method == "jacobian" else "layerwise"

    def _check_mode(self) -> None:
        for name, layer in self.module.named_modules():
            dropout = isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0
            batch = isinstance(layer, nn.modules.batchnorm._BatchNorm)
            if (layer.training and (dropout or batch)) or (batch and layer.running_mean is None):
                raise ValueError(
                    f"{name or 'the module'} is a {type(layer).__name__} that mixes examples or is random; "
                    "call module.eval(), with running statistics"
                )

    def _factors(self, rows: Tensor) -> Factors:
        return (jacobian_factors if self.route == "jacobian" else layerwise_factors)(
            self.module, rows.clone()
        )

    def _rows_at_once(self, rows: Tensor, outputs: int) -> int:
        """As many as keep what is held of them, with the signals of so many outputs, within bounds."""
        factors = self._factors(rows[:1])
        most = _NUMBERS_AT_ONCE // max(1, factors.numbers(outputs))
        # Sums over outputs are kept for each pair of points and each layer.
        return max(1, min(most, math.isqrt(_NUMBERS_AT_ONCE // len(factors.layers))))

    def _block_pairs(
        self, rows: Tensor, columns: Tensor | None, outputs: int
    ) -> Iterator[tuple[slice, slice, Factors, Factors]]:
        size = self._rows_at_once(rows, outputs)
        for here in _slices(len(rows), size):
            left = self._factors(rows[here])
            if columns is None:
                yield here, here, left, left
            for there in _slices(len(rows if columns is None else columns), size):
                if columns is not None:
                    yield here, there, left, self._factors(columns[there])
                elif there.start > here.start:
                    yield here, there, left, self._factors(rows[there])


@overload
def _own(points: Tensor) -> Tensor: ...
@overload
def _own(points: None) -> None: ...
def _own(points: Tensor | None) -> Tensor | None:
    """A copy without a graph: the module may write on it."""
    return None if points is None else points.detach().clone()


def _slices(n: int, size: int) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
