"""Rademacher complexity Rad_n(H) = E_ε sup_h (1/n)Σ_i ε_i h(x_i), given the points: exact, and by sampling.

A class enters as its supremum: the function that maps signs ε [draws, n] to sup_h Σ_i ε_i h(x_i) [draws].
`finite_class` and `linear_class` make it for two kinds of class. The vector form of a class of functions to
R^k (Maurer, 2016), Rad^vec_n(F) = (1/n) E sup_f Σ_i Σ_j ε_ij f_j(x_i), is the same with n·k signs, divided
by n: pass `points=n`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from kdtheory.doors import door
from kdtheory.streams import Stream
from kdtheory.types import told
from kdtheory.validate import check_at_least, check_finite, check_fraction, check_one_of, check_positive

__all__ = [
    "RademacherEstimate",
    "exact_rademacher",
    "finite_class",
    "linear_class",
    "sampled_rademacher",
    "vector_linear_class",
]

Supremum = Callable[[Tensor], Tensor]

_MOST_SIGNS = 20
_NUMBERS_AT_ONCE = 2**22


@door
@dataclass(frozen=True)
class RademacherEstimate:
    """A Monte Carlo estimate with its interval.

    Args:
        value: the mean over draws.
        standard_error: of that mean.
        low, high: Student's interval at the confidence asked for.
        draws: how many sign vectors.
    """

    value: float
    standard_error: float
    low: float
    high: float
    draws: int


@door
def exact_rademacher(supremum: Supremum, signs: int, /, *, points: int | None = None) -> float:
    """Rad_n(H) = 2^−n Σ_{ε ∈ {±1}^n} sup_h (1/n)Σ_i ε_i h(x_i), every ε.

    Args:
        supremum: ε [draws, signs] to sup_h Σ ε h [draws], float64.
        signs: how many, at most 20; for the vector form n·k.
        points: n, what the sum is divided by; `signs` where not given.

    Raises:
        ValueError: `signs` outside 1 to 20, or `points` below 1.

    >>> exact_rademacher(finite_class(torch.tensor([[1.0, 1.0], [-1.0, -1.0]])), 2)  # E|ε_1 + ε_2|/2
    0.5
    """
    check_at_least("signs", signs, 1)
    if signs > _MOST_SIGNS:
        raise ValueError(f"signs = {signs}: 2^{signs} vectors are too many; sample instead, or give ≤ 20")
    check_at_least("points", signs if points is None else points, 1)
    every = torch.arange(2**signs)[:, None] >> torch.arange(signs) & 1
    total = supremum(2 * every.double() - 1)
    return float(total.mean()) / (points or signs)


@door
def sampled_rademacher(
    supremum: Supremum,
    signs: int,
    /,
    *,
    draws: int,
    stream: Stream,
    points: int | None = None,
    confidence: float = 0.95,
    dtype: torch.dtype = torch.float64,
) -> RademacherEstimate:
    """The mean of sup_h (1/n)Σ ε_i h(x_i) over random signs, with Student's interval.

    Signs are unpacked from random bytes, eight a byte, so that the class's matrix product is what takes time.

    Args:
        supremum: ε [draws, signs] to sup_h Σ ε h [draws].
        signs: how many; for the vector form n·k.
        draws: how many sign vectors, at least 2.
        stream: where they come from.
        points: n, what the sum is divided by; `signs` where not given.
        confidence: of the interval.
        dtype: of the signs; float32 is twice as quick.

    Raises:
        ValueError: `signs` or `points` < 1, `draws` < 2, or the confidence is outside (0, 1).

    >>> estimate = sampled_rademacher(finite_class(torch.ones(1, 5)), 5, draws=1000, stream=Stream(0))
    >>> estimate.low < 0.0 < estimate.high  # one function: no complexity
    True
    """
    check_at_least("signs", signs, 1)
    check_at_least("draws", draws, 2)
    check_fraction("confidence", confidence, open_interval=True)
    size = signs if points is None else points
    check_at_least("points", size, 1)
    with torch.no_grad():
        total = torch.cat([supremum(part).double() for part in _sign_vectors(draws, signs, stream, dtype)])
    values = total.numpy() / size
    error = float(values.std(ddof=1) / np.sqrt(draws))
    half = float(stats.t.ppf(0.5 + confidence / 2, draws - 1)) * error
    mean = float(values.mean())
    return RademacherEstimate(mean, error, mean - half, mean + half, draws)


@door
def finite_class(values: Float[Tensor, "functions n"], /) -> Supremum:
    """sup_h Σ_i ε_i h(x_i) = max over rows of ε·h, for a class given by its values on the points.

    Raises:
        ValueError: there is no function, or a value is not finite.

    >>> finite_class(torch.tensor([[1.0, 2.0], [0.0, 3.0]]))(torch.tensor([[1.0, -1.0]]))
    tensor([-1.])
    """
    check_finite("values", values)
    kept: dict[torch.dtype, Tensor] = {}

    def supremum(signs: Tensor) -> Tensor:
        _check_signs(signs, values.shape[1])
        rows = kept.setdefault(signs.dtype, values.detach().to(signs.dtype).T.contiguous())
        return told((signs @ rows).amax(-1), values)

    return supremum


@door
def linear_class(inputs: Float[Tensor, "n d"], /, *, radius: float, norm: str = "l2") -> Supremum:
    """sup_{‖w‖≤B} Σ_i ε_i w·x_i = B·‖Σ_i ε_i x_i‖₂ for ‖w‖₂ ≤ B, and B·‖Σ_i ε_i x_i‖_∞ for ‖w‖₁ ≤ B.

    Args:
        inputs: the points.
        radius: B.
        norm: of w: "l2" or "l1".

    Raises:
        ValueError: B is not positive and finite, the norm is not known, or an input is not finite.

    >>> linear_class(torch.tensor([[3.0, 4.0]]), radius=2.0, norm="l1")(torch.ones(1, 1))
    tensor([8.])
    """
    check_finite("inputs", inputs)
    check_positive("radius", radius)
    check_one_of("norm", norm, ("l1", "l2"))
    order = 2.0 if norm == "l2" else torch.inf

    def supremum(signs: Tensor) -> Tensor:
        _check_signs(signs, len(inputs))
        total: Tensor = (signs @ inputs.detach().to(signs)).norm(order, dim=-1)
        return radius * told(total, inputs)

    return supremum


@door
def vector_linear_class(inputs: Float[Tensor, "n d"], /, *, radius: float, outputs: int) -> Supremum:
    """sup_{‖W‖_F≤B} Σ_ij ε_ij (Wx_i)_j = B·‖Σ_i ε_i x_iᵀ‖_F, signs ε [draws, n·k] point by point.

    Args:
        inputs: the points.
        radius: B.
        outputs: k, the rows of W.

    Raises:
        ValueError: B is not positive and finite, k < 1, or an input is not finite.

    >>> vector_linear_class(torch.tensor([[3.0, 4.0]]), radius=1.0, outputs=4)(torch.ones(1, 4))
    tensor([10.])
    """
    check_finite("inputs", inputs)
    check_positive("radius", radius)
    check_at_least("outputs", outputs, 1)

    def supremum(signs: Tensor) -> Tensor:
        _check_signs(signs, len(inputs) * outputs)
        # One matrix product, rows made contiguous: torch's batched one is several times slower here.
        own = signs.unflatten(-1, (inputs.shape[0], outputs)).transpose(-1, -2).reshape(-1, inputs.shape[0])
        products = own @ inputs.detach().to(signs)
        total: Tensor = products.reshape(len(signs), -1).norm(dim=-1)
        return radius * told(total, inputs)

    return supremum


def _check_signs(signs: Tensor, count: int) -> None:
    if signs.ndim != 2 or signs.shape[1] != count:
        raise ValueError(f"signs has shape {tuple(signs.shape)}; this class takes draws × {count}")


def _sign_vectors(draws: int, signs: int, stream: Stream, dtype: torch.dtype) -> Iterator[Tensor]:
    generator, rows = stream.numpy(), max(1, _NUMBERS_AT_ONCE // signs)
    of_byte = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) * 2.0 - 1
    of_byte = of_byte.astype(torch.empty(0, dtype=dtype).numpy().dtype)
    for start in range(0, draws, rows):
        count = min(rows, draws - start)
        raw = np.frombuffer(generator.bytes(-(-count * signs // 8)), dtype=np.uint8)
        yield torch.from_numpy(of_byte.take(raw, axis=0)).view(-1)[: count * signs].view(count, signs)
