"""Kernel systems too large for their matrix: conjugate gradients without it, and what they leave open.

A = Θ + s·I with Θ = K(X, X) and s = jitter·κ, κ the mean of its diagonal. With landmarks C among the points,
F = K(X, C)·L⁻ᵀ, LLᵀ = K(C, C), is Nyström's approximation (Williams & Seeger, 2001): FFᵀ ⪯ Θ, so that
P = FFᵀ + s·I ⪯ A. It preconditions (Frangella, Tropp & Udell, 2023, with landmarks for their sketch), and it
certifies: for every α with residual r = z − Aα

    ‖α − A⁻¹z‖²_A = rᵀA⁻¹r ≤ rᵀP⁻¹r,

and the functions f̃ = Σα_iK(·, x_i) and f = Σ(A⁻¹z)_iK(·, x_i) are within √(rᵀP⁻¹r)·√K(x, x) at every x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor

from kdtheory.doors import door
from kdtheory.ntk.kernel import Kernel
from kdtheory.progress import Progress, Tell, told
from kdtheory.types import at_least_float32
from kdtheory.validate import check_at_least, check_finite, check_positive
from kdtheory.workers import spread, workers_elsewhere

__all__ = ["IterativeSolution", "gram_product", "iterative_solution"]

_BLOCK = 1024
_ROUNDINGS = 10


@door
@dataclass(frozen=True, eq=False)
class IterativeSolution:
    """α ≈ A⁻¹z, A = Θ + s·I, and how far from it.

    Args:
        coefficients: α, in double precision.
        ridge: s.
        residual: ‖z − Aα‖/‖z‖.
        error: at least ‖α − A⁻¹z‖_A = √(rᵀA⁻¹r): the function differs from the exact one by at most
            error·√K(x, x) at x, and in the kernel's norm by at most `error`.
        squared_norm: an interval that holds zᵀA⁻¹z.
        iterations: products with the matrix on the way.
        converged: whether `error` came down to what was asked.
    """

    coefficients: Float[Tensor, "n"]
    ridge: float
    residual: float
    error: float
    squared_norm: tuple[float, float]
    iterations: int
    converged: bool


@door
def iterative_solution(
    kernel: Kernel,
    rows: Float[Tensor, "n *shape"],
    targets: Float[Tensor, "n"],
    /,
    *,
    jitter: float,
    scale: float | None = None,
    landmarks: int = 1000,
    tolerance: float = 1e-2,
    most: int = 500,
    kept_mb: float = 256.0,
    jobs: int = 1,
    progress: Progress = None,
) -> IterativeSolution:
    """α with (Θ + jitter·κ·I)α ≈ z, in memory of n·landmarks numbers and `kept_mb`.

    Blocks of Θ for which there is no room are computed at each step and dropped.

    `error` is a certificate of the matrix as it is computed in the precision of the points, up to the
    rounding of sums: in float32 the entries themselves are off by about 1e-6 of them. Rounded entries may
    take ρ = 2ε√(max K(x, x)·ΣK(x, x)) from an eigenvalue, ε that of the precision; hence the jitter must be
    more than that, and the error has a factor 1/√(1 − ρ/s).

    Args:
        kernel: K.
        rows: X.
        targets: z.
        jitter: s/κ > 0.
        scale: κ; the mean of K(x_i, x_i) where not given.
        landmarks: points that make the preconditioner, evenly spaced among the rows; more of them, up to
            about n/5, are fewer steps and a smaller `error` for the same residual.
        tolerance: when to end: at `error` ≤ tolerance·√(zᵀA⁻¹z).
        most: steps after which it ends all the same.
        kept_mb: megabytes of blocks that are kept from step to step, half of Θ where they all find room; 0
            keeps none. Workers keep none.
        jobs: worker processes; 1 leaves the work to the threads that torch may use. Within
            `kdtheory.clusters.on_cluster`, all workers there.
        progress: called with (steps, `most`). None shows a bar on a terminal and in a notebook, True a line
            now and then elsewhere, False nothing.

    Raises:
        ValueError: an entry is not finite, there is not one target for each point, a number is out of range,
            the jitter is no more than rounding takes, or every target is zero.

    >>> from kdtheory.ntk import LinearKernel
    >>> found = iterative_solution(LinearKernel(), torch.eye(2), torch.tensor([3.0, 4.0]), jitter=1.0)
    >>> found.coefficients.float(), found.ridge  # (I + I)α = z
    (tensor([1.5000, 2.0000]), 1.0)
    """
    check_finite("targets", targets)
    if len(targets) != len(rows):
        raise ValueError(f"targets has {len(targets)} entries for {len(rows)} points; give one for each")
    for name, value in (("jitter", jitter), ("tolerance", tolerance)):
        check_positive(name, value)
    for name, count in (("landmarks", landmarks), ("most", most)):
        check_at_least(name, count, 1)
    z = targets.detach().cpu().double().numpy()
    if not z.any():
        raise ValueError("targets are all zero, and so is the solution; give others")
    own = kernel.diagonal(rows).detach()
    ridge = jitter * (float(own.double().mean()) if scale is None else scale)
    check_positive("scale", ridge)
    lost = 2 * torch.finfo(own.dtype).eps * float(own.max() * own.double().sum()) ** 0.5 / ridge
    if lost >= 1:
        raise ValueError(
            f"jitter = {jitter:g} is lost in the rounding of the kernel's {own.dtype}; give more than "
            f"{jitter * lost:.2g}, or points in float64"
        )
    if not kept_mb >= 0:
        raise ValueError(f"kept_mb is {kept_mb:g}; give 0 or more megabytes")
    kept = _Kept(kernel, rows, kept_mb)
    near = _Nystroem.of(kernel, rows, min(landmarks, len(rows)), ridge)

    def product(vector: np.ndarray, dtype: torch.dtype = near.features.dtype) -> np.ndarray:
        v = torch.from_numpy(vector).to(dtype)
        return _product(kept, v, jobs).numpy() + ridge * vector

    with told(progress, "steps") as tell:
        alpha, steps = _descended(product, near, z, tolerance, most, tell)
    residual = z - product(alpha, torch.float64)
    error = near.energy(residual) / (1 - lost) ** 0.5
    # αᵀ(2z − Aα) = zᵀA⁻¹z − rᵀA⁻¹r.
    low = float(alpha @ (z + residual))
    return IterativeSolution(
        torch.from_numpy(alpha),
        ridge,
        float(np.linalg.norm(residual) / np.linalg.norm(z)),
        error,
        (max(low, 0.0), low + error**2),
        steps,
        error <= 2 * tolerance * max(low, 0.0) ** 0.5,
    )


@door
def gram_product(
    kernel: Kernel, rows: Float[Tensor, "n *shape"], vector: Float[Tensor, "n"], /, *, jobs: int = 1
) -> Float[Tensor, "n"]:
    """K(X, X)v, each block of the matrix computed, used for both of its sides, and dropped.

    Args:
        kernel: K.
        rows: X.
        vector: v; products of blocks are in its precision, float32 at least, and on its device, their sums in
            double precision.
        jobs: as in `iterative_solution`.

    >>> from kdtheory.ntk import LinearKernel
    >>> gram_product(LinearKernel(), torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 1.0])).tolist()
    [3.0, 6.0]
    """
    check_finite("vector", vector)
    (vector,) = at_least_float32(vector)
    return _product(_Kept(kernel, rows, 0.0), vector, jobs).to(vector.device)


class _Kept:
    """Blocks of a kernel's matrix, computed when they are asked for, and kept as far as there is room."""

    def __init__(self, kernel: Kernel, rows: Tensor, megabytes: float) -> None:
        self.kernel, self.rows, self._room = kernel, rows, megabytes * 1e6
        self._blocks: dict[tuple[int, int], Tensor] = {}

    def block(self, i: slice, j: slice) -> Tensor:
        there = self._blocks.get((i.start, j.start))
        if there is None:
            there = self.kernel(self.rows[i], None if i == j else self.rows[j]).cpu()
            if there.nbytes <= self._room:
                self._room -= there.nbytes
                self._blocks[i.start, j.start] = there
        return there


@torch.no_grad()
def _product(kept: _Kept, vector: Tensor, jobs: int) -> Tensor:
    if jobs == 0:
        raise ValueError("jobs = 0 leaves nobody to work; give 1 or more, or -1 for all cores")
    rows = kept.rows
    out = torch.zeros(len(rows), dtype=torch.float64)
    starts = range(0, len(rows), _BLOCK)
    if jobs == 1 and workers_elsewhere() is None:
        for start in starts:
            out[start:] += _strip(kept, vector, _BLOCK, start)
        return out
    shared = kept.kernel, rows, vector, _BLOCK
    parts = dict(spread(_strip_elsewhere, [(start,) for start in starts], jobs=jobs, shared=shared))
    for start in starts:  # in one order, so that the sum is that of one process
        out[start:] += parts[start]
    return out


@torch.no_grad()
def _strip_elsewhere(
    kernel: Kernel, rows: Tensor, vector: Tensor, size: int, start: int
) -> tuple[int, Tensor]:
    return start, _strip(_Kept(kernel, rows, 0.0), vector, size, start)


def _strip(kept: _Kept, vector: Tensor, size: int, start: int) -> Tensor:
    """The share of one row's blocks, from the diagonal on, and of their mirrors in the entries from it on."""
    n = len(vector)
    own = slice(start, min(start + size, n))
    out = torch.zeros(n - start, dtype=torch.float64)
    for first in range(start, n, size):
        other = slice(first, min(first + size, n))
        block = kept.block(own, other).to(vector)
        out[: own.stop - start] += (block @ vector[other]).cpu().double()
        if first != start:
            out[first - start : other.stop - start] += (block.mT @ vector[own]).cpu().double()
    return out


def _runs(n: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK))


class _Near(Exception):
    """The iteration is where it was to go."""


def _descended(
    product: Callable[[np.ndarray], np.ndarray],
    near: _Nystroem,
    z: np.ndarray,
    tolerance: float,
    most: int,
    tell: Tell,
) -> tuple[np.ndarray, int]:
    """SciPy's conjugate gradients from zero; their own r·P⁻¹r says when to end."""
    at, steps = np.zeros_like(z), 0

    def moved(alpha: np.ndarray) -> None:
        nonlocal at, steps
        at, steps = alpha.copy(), steps + 1
        tell(steps, most)

    def preconditioned(residual: np.ndarray) -> np.ndarray:
        pulled = near.inverse(residual)
        # αᵀAα = αᵀz on the way.
        if steps and float(residual @ pulled) <= tolerance**2 * float(at @ z):
            raise _Near
        return pulled

    shape = (len(z), len(z))
    operators = [LinearOperator(shape, matvec=f, dtype=z.dtype) for f in (product, preconditioned)]
    with suppress(_Near):
        cg(operators[0], z, rtol=0.0, atol=0.0, maxiter=most, M=operators[1], callback=moved)
    return at, steps


@dataclass(frozen=True, eq=False)
class _Nystroem:
    """P = FFᵀ + s·I, with the Cholesky factor of FᵀF + s·I."""

    features: Tensor
    factor: Tensor
    ridge: float

    @classmethod
    @torch.no_grad()
    def of(cls, kernel: Kernel, rows: Tensor, landmarks: int, ridge: float) -> _Nystroem:
        chosen = torch.linspace(0, len(rows) - 1, landmarks, dtype=torch.float64).long().unique()
        points = rows[chosen]
        gram = kernel(points).cpu()
        # What is added to K(C, C) makes FFᵀ smaller still; landmarks may all be points of norm zero.
        trace = float(gram.diagonal().double().sum()) or ridge
        rounding = _ROUNDINGS * torch.finfo(gram.dtype).eps * trace
        size, identity = len(chosen), torch.eye(len(chosen), dtype=torch.float64)
        lower = torch.linalg.cholesky(gram.double() + rounding * identity)
        whitening = torch.linalg.solve_triangular(lower, identity, upper=False).mT
        features, inner = gram.new_empty(len(rows), size), ridge * identity
        for part in _runs(len(rows)):
            values = kernel(rows[part], points).cpu().double() @ whitening
            features[part] = values.to(features)
            inner += features[part].double().mT @ features[part].double()
        return cls(features, torch.linalg.cholesky(inner), ridge)

    def inverse(self, vector: np.ndarray) -> np.ndarray:
        """P⁻¹v = (v − F(FᵀF + s·I)⁻¹Fᵀv)/s."""
        v = torch.from_numpy(np.ascontiguousarray(vector))
        inside = torch.zeros(len(self.factor), dtype=torch.float64)
        for part in _runs(len(v)):
            inside += self.features[part].double().mT @ v[part]
        inside = torch.cholesky_solve(inside[:, None], self.factor)[:, 0]
        out = v.clone()
        for part in _runs(len(v)):
            out[part] -= self.features[part].double() @ inside
        found: np.ndarray = (out / self.ridge).numpy()
        return found

    def energy(self, residual: np.ndarray) -> float:
        """√(rᵀP⁻¹r) ≥ √(rᵀA⁻¹r); ∞ where rounding has left less than r·r over the trace of FFᵀ, and s."""
        found = float(residual @ self.inverse(residual))
        most = float(torch.linalg.vector_norm(self.features, dtype=torch.float64)) ** 2 + self.ridge
        return found**0.5 if found >= float(residual @ residual) / most / 2 else math.inf
