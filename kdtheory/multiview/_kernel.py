"""The steps of one network in the orthogonal limit, compiled.

Everything is element-wise. A feature's weight takes few values, so what each feature at each weight adds to
each logit is tabulated once a step; a noise patch has a product of its own with every channel. Letters: n
points, k classes, C channels, F features, W distinct feature weights, L products kept per point and class.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numba import njit

__all__ = ["descend"]


def _power(t: float, exponent: int) -> float:
    """t^e for e ≤ 7 by squares, without a branch that depends on t."""
    square = t * t
    product = t if exponent & 1 else 1.0
    if exponent & 2:
        product *= square
    if exponent & 4:
        product *= square * square
    return product


def _tabulate(table: Any, views: Any, weights: Any, power: int, threshold: float) -> None:
    """table[c, f, w] = Σ_r a(weight_w·u_{c,r,f})."""
    k, channels, features = views.shape
    for c in range(k):
        for f in range(features):
            for w in range(len(weights)):
                total = 0.0
                for r in range(channels):
                    x = max(views[c, r, f] * weights[w] / threshold, 0.0)
                    t = min(x, 1.0)
                    total += power_of(t, power - 1) * t / power + (x - t)
                table[c, f, w] = threshold * total


def _forward(
    logits: Any, memory: Any, counts: Any, table: Any, places: Any, power: int, threshold: float
) -> None:
    """logits[i, c] = Σ_j a(z_icj) + Σ_f table[c, f, place of the weight], places < 0 for a weight of 0."""
    n, k = logits.shape
    for i in range(n):
        for c in range(k):
            total = 0.0
            for j in range(counts[i, c]):
                x = max(memory[i, c, j] / threshold, 0.0)
                t = min(x, 1.0)
                total += power_of(t, power - 1) * t / power + (x - t)
            total *= threshold
            for f in range(places.shape[1]):
                if places[i, f] >= 0:
                    total += table[c, f, places[i, f]]
            logits[i, c] = total


def _add_pull(pull: Any, logits: Any, target: Any, share: float, temperature: float, cap: float) -> None:
    """pull += share·T·(target − softmax(min(z, cap)/T)) where z ≤ cap: minus the gradient of T²·CE."""
    n, k = logits.shape
    probs = np.empty(k)
    for i in range(n):
        top = -np.inf
        for c in range(k):
            top = max(top, min(logits[i, c], cap))
        total = 0.0
        for c in range(k):
            probs[c] = np.exp((min(logits[i, c], cap) - top) / temperature)
            total += probs[c]
        for c in range(k):
            if logits[i, c] <= cap:
                pull[i, c] += share * temperature * (target[i, c] - probs[c] / total)


def _remember(
    memory: Any, counts: Any, pull: Any, step: float, square_norm: float, power: int, threshold: float
) -> None:
    """z_icj += step·s²·pull_ic·a′(z_icj): the noise patches are orthogonal to all else."""
    n, k = pull.shape
    for i in range(n):
        for c in range(k):
            gain = step * square_norm * pull[i, c]
            for j in range(counts[i, c]):
                x = memory[i, c, j] / threshold
                slope = power_of(min(max(x, 0.0), 1.0), power - 1)
                memory[i, c, j] += gain * slope if x > 0.0 else 0.0


def _learn(
    views: Any, pull: Any, places: Any, weights: Any, step: float, power: int, threshold: float
) -> None:
    """u_{c,r,f} += step·Σ_w weight_w·a′(weight_w·u_{c,r,f})·Σ_{i at weight w} pull_ic."""
    k, channels, features = views.shape
    total = np.zeros((k, features, len(weights)))
    for i in range(len(pull)):
        for c in range(k):
            for f in range(features):
                if places[i, f] >= 0:
                    total[c, f, places[i, f]] += pull[i, c]
    for c in range(k):
        for r in range(channels):
            for f in range(features):
                gain = 0.0
                for w in range(len(weights)):
                    x = views[c, r, f] * weights[w] / threshold
                    if x > 0.0:
                        gain += total[c, f, w] * weights[w] * power_of(min(x, 1.0), power - 1)
                views[c, r, f] += step * gain


def _descend(
    views: Any,
    memory: Any,
    counts: Any,
    places: Any,
    weights: Any,
    labels: Any,
    teacher: Any,
    share: float,
    temperature: float,
    cap: float,
    power: int,
    threshold: float,
    square_norm: float,
    output: float,
    rate: float,
    steps: int,
) -> None:
    """`steps` of gradient descent on (1/n) Σ_i (share·T²·CE(teacher) + (1 − share)·CE(label)), in place."""
    n, k = labels.shape
    table = np.empty((k, views.shape[2], len(weights)))
    logits, pull = np.empty((n, k)), np.empty((n, k))
    for _ in range(steps):
        tabulate(table, views, weights, power, threshold)
        forward(logits, memory, counts, table, places, power, threshold)
        logits *= output
        pull[:] = 0.0
        if share < 1.0:
            add_pull(pull, logits, labels, 1.0 - share, 1.0, np.inf)
        if share > 0.0:
            add_pull(pull, logits, teacher, share, temperature, cap)
        step = rate * output / n
        remember(memory, counts, pull, step, square_norm, power, threshold)
        learn(views, pull, places, weights, step, power, threshold)


def _compiled(function: Any) -> Any:
    """The plain function compiled: a wrapper that checks its types, as the tests put on, cannot be."""
    return njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz", "arcp"})(
        inspect.unwrap(function)
    )


power_of = _compiled(_power)
tabulate, forward, add_pull = _compiled(_tabulate), _compiled(_forward), _compiled(_add_pull)
remember, learn = _compiled(_remember), _compiled(_learn)
descend = _compiled(_descend)
