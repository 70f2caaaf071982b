"""Whoever may depend on a sample does so as badly as possible: worlds small enough to be enumerated.

Each adversary returns the probability of failure, exactly. A limit is given as a table over what is seen.

`limits[k, l]` is the limit where k of n labelled points were errors of g and f ≠ g at l of m unlabelled ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

RISKS = np.linspace(0.01, 0.99, 99)


def fixed_pair_failure(limits: np.ndarray, p: float, q: float) -> float:
    """P[limit < p + q], f and g fixed before both samples."""
    n, m = (size - 1 for size in limits.shape)
    chance = np.outer(stats.binom.pmf(range(n + 1), n, p), stats.binom.pmf(range(m + 1), m, q))
    return float(chance[limits < p + q].sum())


def informed_predictor_failure(limits: np.ndarray, p: float) -> float:
    """max P[limit < p + q(k)], where f is chosen after the labelled points were seen.

    f errs wherever it leaves g, and g errs at p elsewhere: any q(k) ≤ 1 − p, one for each k, the worst of
    which is found by trying all of a grid and the steps of the limits themselves.
    """
    n, m = (size - 1 for size in limits.shape)
    seen = stats.binom.pmf(range(n + 1), n, p)
    worst = []
    for row in limits:
        steps = np.clip(np.concatenate([row - p + 1e-9, RISKS]), 0, 1 - p)
        missed = row[None] < p + steps[:, None]
        worst.append((stats.binom.pmf(np.arange(m + 1), m, steps[:, None]) * missed).sum(-1).max())
    return float(seen @ worst)


def chosen_message_failure(limits: np.ndarray, risks: np.ndarray) -> float:
    """max P[the limit of the message that was sent < p + q], where any of several messages may be sent.

    The messages' errors on the n points are independent binomials of risks p_j; `limits[j, k, l]` is the
    limit where message j was sent. The sender sees all counts and then also chooses f, as
    `informed_predictor` does.
    """
    messages, n, m = limits.shape[0], limits.shape[1] - 1, limits.shape[2] - 1
    chance = np.zeros((messages, n + 1))  # of failure, where message j is sent at count k
    for j, k in np.ndindex(messages, n + 1):
        row, p = limits[j, k], risks[j]
        steps = np.clip(np.concatenate([row - p + 1e-9, RISKS]), 0, 1 - p)
        missed = row[None] < p + steps[:, None]
        chance[j, k] = (stats.binom.pmf(np.arange(m + 1), m, steps[:, None]) * missed).sum(-1).max()
    # E max_j chance[j, K_j]: by the distribution function of the maximum over independent counts.
    levels = np.unique(chance)
    below = np.ones(len(levels))
    for j in range(messages):
        pmf = stats.binom.pmf(range(n + 1), n, risks[j])
        below *= ((chance[j][None] <= levels[:, None]) * pmf).sum(-1)
    return float((levels * np.diff(below, prepend=0.0)).sum())


def peeking_guess_failure(limit: Callable[[float, float], float], n: int) -> float:
    """max P[limit(ê, guess) < ē] of progressive validation, the guess being the mean seen.

    Each point's predictor is chosen after the points before it: its risk is one of a grid, or zero. By
    dynamic programming over what is left, the state being errors and the sum of risks so far, both in steps
    of the grid.
    """
    grid = np.linspace(0, 1, 41)
    step = grid[1]
    bounds = np.array([limit(k / n, k / n) for k in range(n + 1)])
    sums = np.arange(n * (len(grid) - 1) + 1) * step
    value = (bounds[:, None] < sums[None] / n - 1e-12).astype(float)  # [errors, sum of risks] after n points
    for _ in range(n):
        best = np.zeros_like(value)
        for j, risk in enumerate(grid):
            right = np.full_like(value, 0.0)
            right[:, : value.shape[1] - j] = value[:, j:]
            wrong = np.zeros_like(value)
            wrong[:-1] = right[1:]
            best = np.maximum(best, risk * wrong + (1 - risk) * right)
        value = best
    return float(value[0, 0])
