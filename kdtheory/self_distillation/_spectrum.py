"""A kernel matrix in its eigenbasis, checked once at the door."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.types import at_least_float32
from kdtheory.validate import check_finite

__all__ = ["check_eigenvalues", "check_rows", "eigenbasis"]


def eigenbasis(kernel: Tensor, *, name: str = "kernel") -> tuple[Tensor, Tensor]:
    """Eigenvalues d_1 ≤ … ≤ d_K and Vᵀ, the eigenvectors as columns: G = Vᵀ D V.

    Raises:
        ValueError: not square, not symmetric, not finite, or negative beyond rounding.
    """
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1]:
        raise ValueError(f"{name} has shape {tuple(kernel.shape)}; give a square matrix")
    check_finite(name, kernel)
    (kernel,) = at_least_float32(kernel)
    plain = kernel.detach()
    scale, eps = float(plain.abs().max()), torch.finfo(kernel.dtype).eps
    off = float((plain - plain.mT).abs().max())
    if off > 100 * eps * scale:
        raise ValueError(f"{name} is not symmetric (by {off:.3g}); give the mean of it and its transpose")
    values, vectors = torch.linalg.eigh(kernel)
    if (least := float(values[0].detach())) < -100 * eps * scale * len(values):
        raise ValueError(f"{name} has eigenvalue {least:.3g} < 0; give a positive semi-definite one")
    return values.clamp_min(0), vectors


def check_eigenvalues(eigenvalues: Tensor, *, positive: bool) -> None:
    """A vector of eigenvalues ≥ 0, or > 0 where a condition number is asked for."""
    if eigenvalues.ndim != 1:
        raise ValueError(f"eigenvalues has shape {tuple(eigenvalues.shape)}; give a vector")
    check_finite("eigenvalues", eigenvalues)
    least = float(eigenvalues.detach().min())
    if least < 0 or (positive and least == 0):
        wanted = "> 0: drop the null space" if positive else "≥ 0"
        raise ValueError(f"eigenvalues reach down to {least:.3g}; they must be {wanted}")


def check_rows(name: str, rows: Tensor, count: int) -> None:
    """`rows` is finite and has one row for each of `count` points."""
    check_finite(name, rows)
    if rows.shape[0] != count:
        raise ValueError(f"{name} has {rows.shape[0]} rows for {count} points; give one for each")
