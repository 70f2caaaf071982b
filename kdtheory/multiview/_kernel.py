"""The steps of one network in the orthogonal limit, compiled.

Everything is element-wise. A feature's weight takes few values, so what each feature at each weight adds to
each logit is tabulated once a step; a noise patch has a product of its own with every channel. The pass that
moves a product takes its activation at once, where the next step needs it. Letters: n points, k classes,
C channels, F features, W distinct feature weights, L products kept per point and class. C and L are filled up
with zeros, which never move, so that loops over them have no rest.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numba import njit

__all__ = ["LANES", "descend", "pack"]

LANES = 16
"""C and L are filled up to a multiple of this: one or two registers of numbers."""


def _memorise(
    memory: Any, lengths: Any, gains: Any, active: Any, exponent: int, threshold: float, share: float
) -> None:
    """z_icj += gain_ic·t^e with t = min(max(z, 0), ϱ), and active_ic = Σ_j (share·t^e·t + max(z, 0) − t).

    With e = q − 1, t^e = ϱ^e·a′(z), and share = 1/(qϱ^e) the sum is that of a(z). The compiler takes the
    branches on the exponent out of the loop, but only where they stand in it.
    """
    n, k = gains.shape
    zero, one = memory.dtype.type(0), memory.dtype.type(1)
    for i in range(n):
        for c in range(k):
            gain, total = gains[i, c], zero
            for j in range(lengths[i, c]):
                z = memory[i, c, j]
                t = min(max(z, zero), threshold)
                slope = one if exponent or z > zero else zero
                if exponent & 1:
                    slope *= t
                if exponent & 2:
                    slope *= t * t
                if exponent & 4:
                    slope *= (t * t) * (t * t)
                z += gain * slope
                memory[i, c, j] = z
                x = max(z, zero)
                t = min(x, threshold)
                value = t
                if exponent & 1:
                    value *= t
                if exponent & 2:
                    value *= t * t
                if exponent & 4:
                    value *= (t * t) * (t * t)
                total += value * share + (x - t)
            active[i, c] = total


def _learn(
    views: Any, weights: Any, pulls: Any, table: Any, exponent: int, threshold: float, share: float
) -> None:
    """u_fcr += Σ_w weight_w·pulls_fwc·t^e with t = min(max(weight_w·u_fcr, 0), ϱ), and
    table_fwc = Σ_r a(weight_w·u_fcr), as in `_memorise`.
    """
    features, k, channels = views.shape
    zero, one = views.dtype.type(0), views.dtype.type(1)
    push = np.empty(channels, views.dtype)
    for f in range(features):
        for c in range(k):
            push[:] = zero
            for w in range(len(weights)):
                weight, gain = weights[w], weights[w] * pulls[f, w, c]
                for r in range(channels):
                    z = weight * views[f, c, r]
                    t = min(max(z, zero), threshold)
                    slope = one if exponent or z > zero else zero
                    if exponent & 1:
                        slope *= t
                    if exponent & 2:
                        slope *= t * t
                    if exponent & 4:
                        slope *= (t * t) * (t * t)
                    push[r] += gain * slope
            for r in range(channels):
                views[f, c, r] += push[r]
            for w in range(len(weights)):
                weight, total = weights[w], zero
                for r in range(channels):
                    x = max(weight * views[f, c, r], zero)
                    t = min(x, threshold)
                    value = t
                    if exponent & 1:
                        value *= t
                    if exponent & 2:
                        value *= t * t
                    if exponent & 4:
                        value *= (t * t) * (t * t)
                    total += value * share + (x - t)
                table[f, w, c] = total


def _add_pull(pull: Any, logits: Any, target: Any, share: float, temperature: float, cap: float) -> None:
    """pull += share·T·(target − softmax(min(z, cap)/T)) where z ≤ cap: minus the gradient of T²·CE."""
    n, k = logits.shape
    probs = np.empty(k, logits.dtype)
    for i in range(n):
        top, total = min(logits[i, 0], cap), logits.dtype.type(0)
        for c in range(1, k):
            top = max(top, min(logits[i, c], cap))
        for c in range(k):
            probs[c] = np.exp((min(logits[i, c], cap) - top) / temperature)
            total += probs[c]
        for c in range(k):
            if logits[i, c] <= cap:
                pull[i, c] += share * temperature * (target[i, c] - probs[c] / total)


def _descend(
    views: Any,
    memory: Any,
    lengths: Any,
    present: Any,
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
    """`steps` of gradient descent on (1/n) Σ_i (share·T²·CE(teacher) + (1 − share)·CE(label)), in place.

    present_i,fw is 1 where feature f has weight w in point i: what the features add to the logits, and what
    the points pull at them, are its products with the table and with the pull.
    """
    (n, k), of = labels.shape, memory.dtype.type
    step = of(rate * output / (n * threshold ** (power - 1)))
    part, ceiling = of(1 / (power * threshold ** (power - 1))), of(threshold)
    shape = (views.shape[0], len(weights), k)
    table, pulls, turned = np.zeros(shape, views.dtype), np.zeros(shape, views.dtype), present.T.copy()
    active, pull, gains = np.zeros_like(labels), np.zeros_like(labels), np.zeros_like(labels)
    logits, flat, pulled = np.zeros_like(labels), table.reshape(-1, k), pulls.reshape(-1, k)
    for done in range(steps + 1):
        memorise(memory, lengths, gains, active, power - 1, ceiling, part)
        learn(views, weights, pulls, table, power - 1, ceiling, part)
        if done == steps:
            break
        np.dot(present, flat, logits)
        for i in range(n):
            for c in range(k):
                logits[i, c] = of(output) * (logits[i, c] + active[i, c])
                pull[i, c] = of(0)
        if share < 1.0:
            add_pull(pull, logits, labels, of(1.0 - share), of(1.0), of(np.inf))
        if share > 0.0:
            add_pull(pull, logits, teacher, of(share), of(temperature), of(cap))
        for i in range(n):
            for c in range(k):
                pull[i, c] *= step
                gains[i, c] = of(square_norm) * pull[i, c]
        np.dot(turned, pull, pulled)


def _pack(products: Any, kept: Any, counts: Any) -> None:
    """The positive products of each row of n × k × all first in `kept`, and how many there are."""
    n, k, size = products.shape
    for i in range(n):
        for c in range(k):
            place = 0
            for j in range(size):
                kept[i, c, place] = products[i, c, j]
                place += products[i, c, j] > 0
            kept[i, c, place:] = 0
            counts[i, c] = place


def _compiled(function: Any) -> Any:
    """The plain function compiled: a wrapper that checks its types, as the tests put on, cannot be."""
    return njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})(
        inspect.unwrap(function)
    )


memorise, learn, add_pull = _compiled(_memorise), _compiled(_learn), _compiled(_add_pull)
descend = _compiled(_descend)
pack = _compiled(_pack)
