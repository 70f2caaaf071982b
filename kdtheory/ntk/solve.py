"""The one place where Gram matrices are factorised: K = LLᵀ, or a sentence that says why not.

The square of a pivot, L_ii², is the squared distance of φ(x_i) from the span of the points before it. Where
it is as small as rounding, relative to K(x_i, x_i), whatever would be solved with L is noise: a repeated
point, a point of norm zero, or more points than the kernel has features (in floating point). That is an error
here and not a number; `jitter` is the documented cure.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.types import at_least_float32
from kdtheory.validate import check_finite

__all__ = ["cholesky"]

_ROUNDINGS = 4


@door
def cholesky(gram: Float[Tensor, "n n"], /, *, jitter: float = 0.0) -> Float[Tensor, "n n"]:
    """The lower L with LLᵀ = K + jitter·κ·I, where κ is the mean of the diagonal of K.

    Args:
        gram: K, symmetric and positive definite; float32 or float64.
        jitter: what is added to the diagonal, relative to its mean; 0 factorises K itself. Something like
            1e-10 in float64 makes a Gram matrix with repeated points regular, and changes what is solved: it
            is kernel ridge regression with that ridge.

    Returns:
        L, on the device and in the precision of K.

    Raises:
        ValueError: K is not square, not finite or not symmetric, `jitter` is negative, or K + jitter·κ·I is
            not positive definite in this precision; the message names the first row at which it is not.

    >>> cholesky(torch.tensor([[4.0, 2.0], [2.0, 5.0]]))
    tensor([[2., 0.],
            [1., 2.]])
    """
    check_finite("gram", gram)
    (gram,) = at_least_float32(gram)
    if not 0 <= jitter < torch.inf:
        raise ValueError(f"jitter = {jitter} must be finite and at least 0")
    plain, epsilon = gram.detach(), torch.finfo(gram.dtype).eps
    scale = plain.diagonal().abs()
    if float((plain - plain.mT).abs().max()) > 100 * epsilon * float(scale.max()):
        raise ValueError("gram is not symmetric; give K(X), or (K + Kᵀ)/2 if it was put together by hand")
    ridge = jitter * float(scale.mean())
    factor: Tensor
    factor, info = torch.linalg.cholesky_ex(gram + ridge * torch.eye(len(gram)).to(gram) if ridge else gram)
    if int(info):
        raise ValueError(_singular(int(info) - 1, "is not positive definite", jitter))
    pivots = factor.detach().diagonal().square()
    lost = pivots <= _ROUNDINGS * len(gram) * epsilon * (scale + ridge)
    if bool(lost.any()):
        raise ValueError(_singular(int(lost.int().argmax()), "is singular up to rounding", jitter))
    return factor


def _singular(row: int, what: str, jitter: float) -> str:
    return (
        f"gram {what} (row {row} lies in the span of those before it, jitter = {jitter:g}); drop repeated "
        "points and points of norm zero, use float64, or give a larger jitter, such as 1e-10 in float64"
    )
