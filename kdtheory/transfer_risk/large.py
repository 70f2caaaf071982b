"""Learning curves of more points than a Gram matrix has room for, with the interval that this costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.ntk.iterative import iterative_solution
from kdtheory.ntk.kernel import Kernel
from kdtheory.progress import Progress
from kdtheory.transfer_risk.bounds import transfer_risk
from kdtheory.transfer_risk.curves import checked_sizes
from kdtheory.transfer_risk.functions import KernelFunction

__all__ = ["LargeTransferCurve", "large_transfer_curve"]

_BLOCK = 2048
_COLUMNS = ("risk", "low", "high", "norm_low", "norm_high", "residual", "error")


@door
@dataclass(frozen=True, eq=False)
class LargeTransferCurve:
    """The transfer risk against n, of students that are known up to an error; one entry for each size.

    Args:
        sizes: n.
        risk: R_n of the approximate student on the fresh points.
        low, high: R_n of the exact student is between them: a point is decided where |z̃_s| is larger than
            the error allows.
        norm_low, norm_high: ‖Δŵ_n‖ = √(zᵀA⁻¹z) is between them.
        residual: ‖z − Aα‖/‖z‖.
        error: of the student in the kernel's norm, at most.
        iterations: steps of conjugate gradients.
    """

    sizes: tuple[int, ...]
    risk: Float[Tensor, "s"]
    low: Float[Tensor, "s"]
    high: Float[Tensor, "s"]
    norm_low: Float[Tensor, "s"]
    norm_high: Float[Tensor, "s"]
    residual: Float[Tensor, "s"]
    error: Float[Tensor, "s"]
    iterations: tuple[int, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row for each size."""
        columns = {name: getattr(self, name).tolist() for name in _COLUMNS}
        return pd.DataFrame({"n": self.sizes, **columns, "iterations": self.iterations})


@door
def large_transfer_curve(
    kernel: Kernel,
    inputs: Float[Tensor, "n *shape"],
    oracle: KernelFunction,
    fresh: Float[Tensor, "m *shape"],
    /,
    *,
    sizes: Sequence[int],
    jitter: float,
    targets: Float[Tensor, "n"] | None = None,
    landmarks: int = 1000,
    tolerance: float = 1e-2,
    kept_mb: float = 256.0,
    jobs: int = 1,
    progress: Progress = None,
) -> LargeTransferCurve:
    """R_n as `transfer_curve` with the same jitter has it, without the Gram matrix, within [low, high].

    Each n is solved by itself: sizes that double cost a third more than the largest alone.

    Args:
        kernel: K.
        inputs: X.
        oracle: Δw_*.
        fresh: the points on which R_n is taken.
        sizes: the n, ascending.
        jitter: relative to the mean of K(x, x) over the first max(sizes) points; positive here.
        targets: what the students learn; z_*(X) where not given.
        landmarks, tolerance, kept_mb, jobs, progress: as in `kdtheory.ntk.iterative_solution`; the smaller
            the tolerance, the narrower the interval.

    Raises:
        ValueError: as `iterative_solution`, or the sizes do not ascend within the points.

    >>> from kdtheory.ntk.linear import LinearKernel
    >>> from kdtheory.transfer_risk.functions import linear_function
    >>> one = torch.tensor([1.0, 1.0], dtype=torch.float64)
    >>> curve = large_transfer_curve(LinearKernel(), torch.eye(2, dtype=torch.float64), linear_function(one),
    ...     torch.tensor([[1.0, 0.5], [-1.0, 3.0]], dtype=torch.float64), sizes=(1, 2), jitter=1e-6)
    >>> curve.low.tolist(), curve.high.tolist()
    ([0.5, 0.0], [0.5, 0.0])
    """
    sizes = checked_sizes(sizes, len(inputs))
    inputs = inputs[: sizes[-1]]
    taught = oracle(inputs) if targets is None else targets[: sizes[-1]]
    truth, lengths = (values.detach().cpu().double() for values in (oracle(fresh), kernel.diagonal(fresh)))
    roots, scale = lengths.sqrt(), float(kernel.diagonal(inputs).detach().double().mean())
    columns: dict[str, list[float]] = {name: [] for name in _COLUMNS}
    iterations = []
    for n in sizes:
        found = iterative_solution(
            kernel, inputs[:n], taught[:n], jitter=jitter, scale=scale, landmarks=landmarks,
            tolerance=tolerance, kept_mb=kept_mb, jobs=jobs, progress=progress,
        )  # fmt: skip
        student = _outputs(kernel, inputs[:n], found.coefficients, fresh)
        wrong, sure = student.sign() != truth.sign(), student.abs() > found.error * roots
        shares = [float(event.double().mean()) for event in (wrong & sure, wrong | ~sure)]
        norms = [value**0.5 for value in found.squared_norm]
        told = (float(transfer_risk(student, truth)), *shares, *norms, found.residual, found.error)
        for column, value in zip(columns.values(), told, strict=True):
            column.append(value)
        iterations.append(found.iterations)
    tensors = {name: torch.tensor(column, dtype=torch.float64) for name, column in columns.items()}
    return LargeTransferCurve(sizes, **tensors, iterations=tuple(iterations))


@torch.no_grad()
def _outputs(kernel: Kernel, inputs: Tensor, coefficients: Tensor, fresh: Tensor) -> Tensor:
    """Σ_i α_i K(x, x_i) at the fresh points."""
    out = torch.zeros(len(fresh), dtype=torch.float64)
    for points, part in zip(inputs.split(_BLOCK), coefficients.split(_BLOCK), strict=True):
        out += kernel(fresh, points).cpu().double() @ part
    return out
