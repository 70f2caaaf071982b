"""The empirical tangent kernel of one network, Θ_op(x, x′) = ⟨∂f_o/∂θ(x), ∂f_p/∂θ(x′)⟩."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from kdtheory._autocast import own_precision
from kdtheory.doors import door
from kdtheory.networks import Inputs, Pick, check_alone, check_ready, left_as_it_was, outputs_in
from kdtheory.ntk._all_outputs import by_outputs, fill_all_outputs
from kdtheory.ntk._contraction import fill_each_output, fill_mean
from kdtheory.ntk._factors import Factors
from kdtheory.ntk._jacobian import jacobian_factors
from kdtheory.ntk._layerwise import layerwise_factors, obstacle
from kdtheory.ntk._points import check_fits, checked_pair
from kdtheory.ntk._stacked import checked_stack, stacked_gram
from kdtheory.ntk._tiles import Target, empty_matrix
from kdtheory.validate import check_at_least, check_one_of

__all__ = ["EmpiricalKernel", "SlowKernelWarning"]

_NUMBERS_AT_ONCE = 2**26
_ASKED = 32


class SlowKernelWarning(UserWarning):
    """The layerwise form does not apply to a module, whose kernel is taken from whole Jacobians."""


class _Outputs(nn.Module):
    """The output of a module, as a table."""

    def __init__(self, module: nn.Module, pick: Pick | None) -> None:
        super().__init__()
        self.module, self.pick = module, pick

    def forward(self, rows: Tensor) -> Tensor:
        return outputs_in(self.module(rows), examples=len(rows), pick=self.pick, by="pick")


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
        module: maps n × … to n × k, each example on its own; it is called as it is, in its own precision, and
            left as it was.
        output: one output, or None for the mean over all: the convention of neural-tangents' trace.
        method: "layerwise", "jacobian", or "auto" for the first that applies.
        pick: where the outputs are in what the module gives, if that is neither a tensor nor has `.logits`: a
            place, a key, or a function, such as ``lambda logits: logits[:, -1]`` of a model of sequences.

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

    def __init__(
        self,
        module: nn.Module,
        /,
        *,
        output: int | None = None,
        method: str = "auto",
        pick: Pick | None = None,
    ) -> None:
        check_one_of("method", method, ("auto", "layerwise", "jacobian"))
        if output is not None:
            check_at_least("output", output, 0)
        _check_precision(module)
        if not any(part.requires_grad for part in module.parameters()):
            raise ValueError(
                "module has no parameter that requires a gradient, so that its kernel is zero (quantised and "
                "packed weights have none)"
            )
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        self.module, self.output, self.method, self.pick = module, output, method, pick
        self._called: nn.Module = module
        self.route: str | None = None
        self.because = ""
        self._check_mode()

    @sdpa_kernel(SDPBackend.MATH)  # the only form of attention that torch maps over rows
    def __call__(
        self, rows: Shaped[Tensor, "n *shape"], columns: Shaped[Tensor, "m *shape"] | None = None, /
    ) -> Float[Tensor, "n m"]:
        """The Gram matrix K(x_i, x′_j); without `columns` that of the rows, exactly symmetric.

        Raises:
            ValueError: the points are not finite or not alike, the module does not make n × k of them, each
                row from its own alone, the matrix does not fit in memory, or "layerwise" does not apply.
        """
        with self._asked(rows, columns, power=0) as (rows, columns, like, _):
            gram = empty_matrix(like, len(rows), len(rows if columns is None else columns))
            for here, there, left, right in self._block_pairs(rows, columns, 1):
                target = Target(gram, here, there, columns is None)
                if self.output is None:
                    fill_mean(target, left, right)
                else:
                    fill_each_output([target], left, right, range(self.output, self.output + 1))
        return gram

    def diagonal(self, rows: Shaped[Tensor, "n *shape"], /) -> Float[Tensor, "n"]:
        """K(x_i, x_i), in time and memory linear in n."""
        with self._asked(rows, rows[:1], power=0) as (rows, _, like, k):
            outputs = range(k) if self.output is None else [self.output]
            single, total = like.new_ones(1), like.new_zeros(len(rows))
            for here in _slices(len(rows), self._rows_at_once(rows, 1)):
                factors = self._factors(rows[here])
                for output in outputs:
                    total[here] += factors.along(single, slice(output, output + 1))
        return total / len(outputs)

    def per_output(
        self, rows: Shaped[Tensor, "n *shape"], columns: Shaped[Tensor, "m *shape"] | None = None, /
    ) -> Float[Tensor, "n m k"]:
        """Θ_oo(x_i, x′_j) for every output o, a view of k matrices n × m."""
        with self._asked(rows, columns, power=1) as (rows, columns, like, k):
            n, m = len(rows), len(rows if columns is None else columns)
            gram = empty_matrix(like, k * n, m).view(k, n, m)
            for here, there, left, right in self._block_pairs(rows, columns, k):
                targets = [Target(one, here, there, columns is None) for one in gram]
                fill_each_output(targets, left, right, range(k))
        return gram.permute(1, 2, 0)

    def full(
        self, rows: Shaped[Tensor, "n *shape"], columns: Shaped[Tensor, "m *shape"] | None = None, /
    ) -> Float[Tensor, "n m k k"]:
        """Θ_op(x_i, x′_j) for every pair of outputs, a view of a matrix n k × m k.

        `full(rows).transpose(1, 2).flatten(2).flatten(0, 1)` is that matrix, without a copy.
        """
        with self._asked(rows, columns, power=2) as (rows, columns, like, k):
            gram = empty_matrix(like, len(rows) * k, len(rows if columns is None else columns) * k)
            for here, there, left, right in self._block_pairs(rows, columns, k):
                wide, long = (slice(part.start * k, part.stop * k) for part in (here, there))
                fill_all_outputs(Target(gram, wide, long, columns is None), left, right)
        return by_outputs(gram, k).transpose(1, 2)

    def stacked(
        self, parameters: Mapping[str, Tensor], rows: Float[Tensor, "*members n d"], /
    ) -> Float[Tensor, "members n n k k"]:
        """Θ_op(x_i, x_j), as `full`, of many members at once: the module with other parameters.

        For chains of dense layers and pointwise activations; one product a layer serves all members.

        Args:
            parameters: by name, members × shape, as `torch.func.stack_module_state` gives them.
            rows: points that all members share, or members × n × d, their own.

        Raises:
            ValueError: the module is no such chain, the parameters are not its own, or points are not finite.

        >>> three = {"0.weight": torch.randn(3, 1, 2), "0.bias": torch.randn(3, 1)}
        >>> kernel = EmpiricalKernel(nn.Sequential(nn.Linear(2, 1)))
        >>> kernel.stacked(three, torch.tensor([[1.0, 2.0]])).flatten()  # x·x + 1, whatever the weights
        tensor([6., 6., 6.])
        """
        checked_pair(rows, None)
        module, own = checked_stack(self.module, parameters, rows)
        return stacked_gram(module, parameters, own)

    @contextmanager
    def _asked(
        self, rows: Tensor, columns: Tensor | None, *, power: int
    ) -> Iterator[tuple[Any, Any, Tensor, int]]:
        """Points as the module takes them, a parameter, and k; all that can be wrong is looked at.

        The module is called where gradients are recorded and nothing is cast, whatever the caller's mode, and
        is then as it was.
        """
        own = next(self._trained).device.type
        with torch.inference_mode(False), own_precision(own), left_as_it_was(self.module):
            (rows, columns), like = self._taken(rows, columns), next(self._trained)
            k = self._check(rows, columns, like, power=power)
            yield rows, columns, like.detach().new_empty(0), k

    @property
    def _trained(self) -> Iterator[Tensor]:
        return (part for part in self.module.parameters() if part.requires_grad)

    def _taken(self, rows: Tensor, columns: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Copies without a graph, for the module may write on them; whole numbers of a table stay whole."""
        (own,) = Inputs((rows,)).like(self.module).args
        return own, None if columns is None else Inputs((columns,)).like(self.module).args[0]

    def _check(self, rows: Tensor, columns: Tensor | None, like: Tensor, *, power: int) -> int:
        """All that can be wrong, with k^power matrices to be made, and which route it is; k."""
        checked_pair(rows, columns, whole=True)
        self._check_mode()
        k = self._outputs(rows, columns)
        if self.output is not None and self.output >= k:
            raise ValueError(f"output = {self.output} does not exist; the module has {k}")
        check_fits(k**power * len(rows) * len(rows if columns is None else columns), like)
        if self.route is None:
            self._choose_route(_telling(rows[:_ASKED]))
        return k

    @torch.no_grad()
    def _outputs(self, rows: Tensor, columns: Tensor | None) -> int:
        """k, of a module that gives n × k for n rows, each from its own alone."""
        if len(rows) < _ASKED:  # a row is asked in company, and be it a row of zeros
            rows = torch.cat([rows, rows.new_zeros(1, *rows.shape[1:]) if columns is None else columns])

        def ask(part: Inputs) -> Tensor:
            return part.outputs(self.module, pick=self.pick, name="module", by="pick")

        some = Inputs((rows[:_ASKED],))
        outputs = ask(some)
        if outputs.ndim != 2:
            shape = tuple(outputs.shape)
            cure = "pick one place of a sequence by pick=…, as lambda logits: logits[:, -1]"
            raise ValueError(f"module gives outputs of shape {shape}; it must make n × k of n rows: {cure}")
        check_alone(ask, some, outputs, name="module")
        with torch.enable_grad():
            given = self.module(rows[:1].clone())
            if not outputs_in(given, examples=1, pick=self.pick, by="pick").requires_grad:
                raise ValueError("module gives outputs without a gradient; compute them without no_grad")
        plain = isinstance(given, Tensor) and given.ndim == 2 and self.pick is None
        self._called = self.module if plain else _Outputs(self.module, self.pick)
        return int(outputs.shape[1])

    def _choose_route(self, row: Tensor) -> None:
        self.because = "" if self.method == "jacobian" else obstacle(self._called, row.clone())
        if self.because and self.method == "layerwise":
            raise ValueError(f"method = 'layerwise' does not apply: {self.because}; use 'auto' or 'jacobian'")
        if self.because:
            warnings.warn(
                f"the kernel is taken from whole Jacobians, which is slow: {self.because}. "
                "method='jacobian' asks for this and does not warn",
                SlowKernelWarning,
                stacklevel=6,
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
        made = jacobian_factors if self.route == "jacobian" else layerwise_factors
        return made(self._called, rows.clone())

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


def _check_precision(module: nn.Module) -> None:
    check_ready(module, "module")
    for part in module.parameters():
        kind: Any = part.dtype if part.layout is torch.strided else part.layout
        if kind not in (torch.float32, torch.float64) and part.requires_grad:
            raise ValueError(f"module has parameters of {kind}; give dense ones of float32, module.float()")
        if part.is_inference():
            cure = "make it outside, or give kdtheory.networks.copied(module)"
            raise ValueError(f"module was made in inference mode and cannot be differentiated; {cure}")


def _telling(rows: Tensor) -> Tensor:
    """The largest of some rows, or ones: at zero the gradients that tell the routes apart may be zero too."""
    if not rows.is_floating_point():
        return rows[:1]
    sizes = rows.flatten(1).abs().amax(1)
    largest = int(sizes.argmax())
    return rows[largest : largest + 1] if bool(sizes[largest]) else torch.ones_like(rows[:1])


def _slices(n: int, size: int) -> Iterator[slice]:
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
