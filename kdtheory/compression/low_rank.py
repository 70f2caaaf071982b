"""The best approximation of a matrix by one of rank r: W_r = Σ_{i≤r} σ_i u_i v_iᵀ (Eckart & Young 1936).

σ_1 ≥ σ_2 ≥ … are the singular values. No matrix of rank r is nearer to W than W_r, neither in the Frobenius
norm, where it misses by (Σ_{i>r} σ_i²)^½, nor in the spectral norm, where it misses by σ_{r+1}. The factors
hold r(m + n) numbers instead of mn, which is fewer for r < mn/(m + n).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.types import at_least_float32, told
from kdtheory.validate import check_at_least, check_finite, check_one_of

__all__ = ["eckart_young_error", "low_rank_factors", "truncated_svd"]


@door
def truncated_svd(weight: Float[Tensor, "*batch m n"], /, *, rank: int) -> Float[Tensor, "*batch m n"]:
    """W_r = Σ_{i≤r} σ_i u_i v_iᵀ, the nearest matrix of rank r (Eckart & Young 1936).

    Args:
        weight: W, or a batch of matrices.
        rank: r, from 0 to min(m, n).

    Raises:
        ValueError: r is out of its range, or an entry is not finite.

    >>> truncated_svd(torch.diag(torch.tensor([3.0, 2.0, 1.0])), rank=2).diagonal().round(decimals=5)
    tensor([3., 2., 0.])
    """
    left, right = low_rank_factors(weight, rank=rank)
    return left @ right


@door
def low_rank_factors(
    weight: Float[Tensor, "*batch m n"], /, *, rank: int
) -> tuple[Float[Tensor, "*batch m r"], Float[Tensor, "*batch r n"]]:
    """(A, B) with AB = W_r, A = U_r Σ_r^½ and B = Σ_r^½ V_rᵀ: two layers of equal norm.

    Args:
        weight: W, or a batch of matrices.
        rank: r, from 0 to min(m, n).

    Raises:
        ValueError: r is out of its range, or an entry is not finite.

    >>> left, right = low_rank_factors(torch.tensor([[4.0, 0.0], [0.0, 1.0]]), rank=1)
    >>> left.shape, (left @ right).round(decimals=5).tolist()
    (torch.Size([2, 1]), [[4.0, 0.0], [0.0, 0.0]])
    """
    _check(weight, rank)
    left, values, right = torch.linalg.svd(*at_least_float32(weight), full_matrices=False)
    rank = int(rank)
    root = values[..., :rank].sqrt()
    return left[..., :rank] * root[..., None, :], root[..., None] * right[..., :rank, :]


@door
def eckart_young_error(
    weight: Float[Tensor, "*batch m n"], /, *, rank: int, norm: str = "frobenius"
) -> Float[Tensor, "*batch"]:
    """min over rank r of ‖W − W_r‖: (Σ_{i>r} σ_i²)^½ in the Frobenius norm, σ_{r+1} in the spectral one.

    Eckart & Young (1936) for the first; Mirsky (1960) for every unitarily invariant norm.

    Args:
        weight: W, or a batch of matrices.
        rank: r, from 0 to min(m, n).
        norm: "frobenius" or "spectral".

    Raises:
        ValueError: r is out of its range, the norm is not known, or an entry is not finite.

    >>> w = torch.diag(torch.tensor([5.0, 4.0, 3.0]))
    >>> [float(eckart_young_error(w, rank=1, norm=norm)) for norm in ("frobenius", "spectral")]
    [5.0, 4.0]
    """
    check_one_of("norm", norm, ("frobenius", "spectral"))
    _check(weight, rank)
    (weight,) = at_least_float32(weight)
    rest: Tensor = torch.linalg.svdvals(weight)[..., int(rank) :]
    if norm == "frobenius":
        return told(rest.double().square().sum(-1).sqrt(), weight)
    return rest[..., 0] if rest.shape[-1] else weight.new_zeros(weight.shape[:-2])


def _check(weight: Tensor, rank: int) -> None:
    check_finite("weight", weight)
    check_at_least("rank", rank, 0)
    if rank > min(weight.shape[-2:]):
        raise ValueError(
            f"rank = {rank} is more than min(m, n) = {min(weight.shape[-2:])}; take a smaller one"
        )
