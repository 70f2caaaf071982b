"""Kernels of infinite width one pair of points at a time, 50 digits, straight from the recursion."""

from __future__ import annotations

from collections.abc import Sequence

import mpmath as mp


def precise_mlp_kernel(
    x: Sequence[float],
    y: Sequence[float],
    *,
    hidden: int,
    activation: str,
    weight_std: float,
    bias_std: float,
    kind: str,
) -> mp.mpf:
    """K and Θ by their definitions, in the cosine."""
    with mp.workdps(50):
        weight, bias = mp.mpf(weight_std) ** 2, mp.mpf(bias_std) ** 2
        products = [
            mp.fsum(mp.mpf(a) * mp.mpf(b) for a, b in zip(*pair, strict=True)) / len(x)
            for pair in ((x, x), (y, y), (x, y))
        ]
        p, q, k = (weight * product + bias for product in products)
        tangent = k
        for _ in range(hidden):
            p, q, k, slope = _activated(p, q, k, activation)
            p, q, k = (weight * product + bias for product in (p, q, k))
            tangent = k + weight * slope * tangent
        return tangent if kind == "ntk" else k


def _activated(p: mp.mpf, q: mp.mpf, k: mp.mpf, activation: str) -> tuple[mp.mpf, mp.mpf, mp.mpf, mp.mpf]:
    if activation == "identity":
        return p, q, k, mp.mpf(1)
    if activation == "relu":
        cosine = max(mp.mpf(-1), min(mp.mpf(1), k / mp.sqrt(p * q)))
        angle = mp.acos(cosine)
        covariance = mp.sqrt(p * q) * (mp.sin(angle) + (mp.pi - angle) * cosine) / (2 * mp.pi)
        return p / 2, q / 2, covariance, (mp.pi - angle) / (2 * mp.pi)
    determinant = (1 + 2 * p) * (1 + 2 * q)
    variances = [2 / mp.pi * mp.asin(2 * v / (1 + 2 * v)) for v in (p, q)]
    covariance = 2 / mp.pi * mp.asin(2 * k / mp.sqrt(determinant))
    return *variances, covariance, 4 / mp.pi / mp.sqrt(determinant - 4 * k * k)
