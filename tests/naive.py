"""Slow, obvious rivals of the library's functions: one sample, one term, one step at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import mpmath
import torch
from torch import Tensor


def all_samples(
    weights: Tensor, probs: Tensor, n: int
) -> Iterator[tuple[float, tuple[int, ...], tuple[int, ...]]]:
    """Every sample of size n of a finite world: its probability, its atoms, its labels."""
    atoms, classes = probs.shape
    pairs = [(x, y) for x in range(atoms) for y in range(classes)]
    for sample in itertools.product(pairs, repeat=n):
        chance = 1.0
        for x, y in sample:
            chance *= float(weights[x]) * float(probs[x, y])
        yield chance, tuple(x for x, _ in sample), tuple(y for _, y in sample)


def risk_moments(
    value: Callable[[int, int], float], weights: Tensor, probs: Tensor, n: int
) -> tuple[float, float]:
    """Mean and variance of (1/n) Σ value(x_i, y_i) over all samples, one sample at a time."""
    first = second = 0.0
    for chance, atoms, labels in all_samples(weights, probs, n):
        mean = sum(value(x, y) for x, y in zip(atoms, labels, strict=True)) / n
        first += chance * mean
        second += chance * mean * mean
    return first, second - first * first


def precise_softmax(logits: list[float], temperature: float = 1.0) -> list[mpmath.mpf]:
    """softmax(z/T), 50 digits, one class at a time; a logit of −∞ has probability zero."""
    with mpmath.workdps(50):
        weights = [mpmath.exp(mpmath.mpf(z) / mpmath.mpf(temperature)) for z in logits]
        return [weight / mpmath.fsum(weights) for weight in weights]


def precise_entropy(probs: list[mpmath.mpf]) -> mpmath.mpf:
    """−Σ p ln p, 50 digits, 0·ln 0 = 0."""
    with mpmath.workdps(50):
        return -mpmath.fsum(p * mpmath.log(p) for p in probs if p > 0)


def precise_kl(first: list[mpmath.mpf], second: list[mpmath.mpf]) -> mpmath.mpf:
    """KL(first‖second), 50 digits."""
    with mpmath.workdps(50):
        return mpmath.fsum(p * mpmath.log(p / q) for p, q in zip(first, second, strict=True) if p > 0)


def precise_bernoulli_kl(p: float, q: float) -> mpmath.mpf:
    """kl(p‖q) of two Bernoulli laws, 100 digits."""
    with mpmath.workdps(100):
        p, q = mpmath.mpf(p), mpmath.mpf(q)
        if (p > 0 and q == 0) or (p < 1 and q == 1):
            return mpmath.inf
        first = p * mpmath.log(p / q) if p else mpmath.mpf(0)
        return first + ((1 - p) * mpmath.log((1 - p) / (1 - q)) if p < 1 else 0)


def precise_kl_inverse(p: float, level: float) -> mpmath.mpf:
    """sup{q : kl(p‖q) ≤ c} by bisection, 50 digits."""
    with mpmath.workdps(50):
        low, high = mpmath.mpf(p), mpmath.mpf(1)
        for _ in range(160):
            middle = (low + high) / 2
            low, high = (middle, high) if precise_bernoulli_kl(p, middle) <= level else (low, middle)
        return low


def precise_binomial_limit(successes: int, trials: int, log_delta: float) -> mpmath.mpf:
    """sup{q : P[Bin(n, q) ≤ k] ≥ δ} by bisection on the sum of all k + 1 terms, 50 digits."""
    with mpmath.workdps(50):
        coefficients = [mpmath.binomial(trials, j) for j in range(successes + 1)]
        delta, low, high = mpmath.exp(log_delta), mpmath.mpf(0), mpmath.mpf(1)
        for _ in range(140):
            q = (low + high) / 2
            tail = sum(c * q**j * (1 - q) ** (trials - j) for j, c in enumerate(coefficients))
            low, high = (q, high) if tail >= delta else (low, q)
        return low


def precise_binomial_limit_near_one(failures: int, trials: int, log_delta: float) -> mpmath.mpf:
    """sup{q : P[Bin(n, q) ≤ n − r] ≥ δ}, r ≥ 1, by bisection on the sum of the r terms above, 80 digits."""
    with mpmath.workdps(80):
        delta, low, high = mpmath.exp(log_delta), mpmath.mpf(0), mpmath.mpf(1)
        for _ in range(240):
            miss = (low + high) / 2
            above = sum(
                mpmath.binomial(trials, j) * miss**j * (1 - miss) ** (trials - j) for j in range(failures)
            )
            low, high = (miss, high) if 1 - above < delta else (low, miss)
        return 1 - high


def precise_binomial_tail(successes: int, trials: int, q: float) -> mpmath.mpf:
    """P[Bin(n, q) ≤ k] = I_{1−q}(n−k, k+1) by its continued fraction (Lentz), 40 digits."""
    with mpmath.workdps(40):
        a, b, y = mpmath.mpf(trials - successes), mpmath.mpf(successes + 1), mpmath.mpf(q)
        x = 1 - y
        front = mpmath.exp(
            a * mpmath.log(x) + b * mpmath.log(y) - mpmath.log(a)
            + mpmath.loggamma(a + b) - mpmath.loggamma(a) - mpmath.loggamma(b)
        )  # fmt: skip
        numerator, denominator = mpmath.mpf(1), 1 / (1 - (a + b) * x / (a + 1))
        value, m, change = denominator, 1, mpmath.mpf(2)
        while abs(change - 1) > mpmath.mpf("1e-30"):
            for odd in (False, True):
                term = (
                    -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
                    if odd
                    else m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
                )
                denominator, numerator = 1 / (1 + term * denominator), 1 + term / numerator
                change = denominator * numerator
                value *= change
            m += 1
        return front * value


def precise_effective_logit(teacher: float, label: int, ratio: float, temperature: float) -> mpmath.mpf:
    """The root of (ρ/T)(σ(z/T) − σ(z_t/T)) + (1 − ρ)(σ(z) − y) by bisection, 400 digits."""
    with mpmath.workdps(400):
        rho, hot, z_t = (mpmath.mpf(value) for value in (ratio, temperature, teacher))

        def sigmoid(x: mpmath.mpf) -> mpmath.mpf:
            return 1 / (1 + mpmath.exp(-x))

        def slope(z: mpmath.mpf) -> mpmath.mpf:
            return rho / hot * (sigmoid(z / hot) - sigmoid(z_t / hot)) + (1 - rho) * (sigmoid(z) - label)

        low, high = (z_t, mpmath.mpf(800)) if label else (mpmath.mpf(-800), z_t)
        for _ in range(70):
            middle = (low + high) / 2
            low, high = (middle, high) if slope(middle) < 0 else (low, middle)
        return low


def gradient_descent_outputs(
    own: Tensor, other: Tensor, targets: Tensor, start: Tensor, rate: float, steps: int
) -> tuple[Tensor, Tensor]:
    """Outputs on training and other points after gradient descent on the weights, one step at a time."""
    moved = own.new_zeros(own.shape[1])
    begin, beside = start[: len(own)], start[len(own) :]
    for _ in range(steps):
        moved = moved - rate * own.T @ (begin + own @ moved - targets)
    return begin + own @ moved, beside + other @ moved


def projected_student(features: Tensor, targets: Tensor) -> Tensor:
    """The shortest weights with φ(X)w = z, by least squares on the features."""
    return torch.linalg.lstsq(features, targets[:, None], driver="gelsd").solution[:, 0]


def distance_to_span(feature: Tensor, features: Tensor) -> float:
    """‖φ(x) − its projection on the rows‖, by least squares."""
    combination = torch.linalg.lstsq(features.T, feature[:, None], driver="gelsd").solution[:, 0]
    return float((feature - features.T @ combination).norm())
