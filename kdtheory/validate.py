"""Checks of input at the public door: a `ValueError` that names argument, value and cure.

Shapes are stated as jaxtyping annotations and checked by type under test; the checks here are of meaning,
and of the shapes whose mismatch would broadcast silently into a wrong number.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory._near import near
from kdtheory.types import at_least_float32

__all__ = [
    "check_at_least",
    "check_finite",
    "check_flags",
    "check_floating",
    "check_fraction",
    "check_labels",
    "check_logits",
    "check_not_probs",
    "check_one_label_each",
    "check_one_of",
    "check_positive",
    "check_probs",
    "check_same_shape",
    "check_weight",
    "check_weights",
    "check_whole_labels",
]

_EXACT = 2**53
"""Whole numbers up to here are floats."""
_BY_CHANCE = 10
"""Rows that do not sum to one by chance."""


def check_positive(name: str, value: float | Tensor) -> None:
    """`value` (a number, or every entry of a tensor) is finite and > 0."""
    inside = (value > 0) & (value < torch.inf)
    if not bool(inside.all() if hasattr(inside, "all") else inside):
        raise ValueError(f"{name} = {_shown(value)} must be finite and greater than 0")


def check_fraction(name: str, value: float | Tensor, *, open_interval: bool = False) -> None:
    """`value` lies in [0, 1], or in (0, 1) where the interval is open."""
    inside = (value > 0) & (value < 1) if open_interval else (value >= 0) & (value <= 1)
    if not bool(inside.all() if hasattr(inside, "all") else inside):
        raise ValueError(f"{name} = {_shown(value)} must lie in {'(0, 1)' if open_interval else '[0, 1]'}")


def check_at_least(name: str, value: int, least: int, *, most: float = _EXACT) -> None:
    """`value` is a whole number ≥ `least`, and of what is counted at most 2^53: larger ones are no floats."""
    if isinstance(value, bool) or value % 1 != 0 or value < least:  # ∞ % 1 is NaN
        raise ValueError(f"{name} = {value} must be a whole number of at least {least}")
    if value > most:
        digits = int(math.log10(value)) + 1
        raise ValueError(f"{name} is a number of {digits} digits; give at most {most:.0e}")


def check_finite(name: str, values: Tensor) -> None:
    """There is at least one entry, and none is NaN or infinite."""
    if values.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(values.shape)}: it is empty; give at least one entry")
    extremes = torch.stack(torch.aminmax(values.detach()))  # NaN comes through; no copy of the values is made
    if not bool(torch.isfinite(extremes).all()):
        bad = int((~torch.isfinite(values)).sum())
        raise ValueError(f"{name} holds {bad} NaN or infinite entries; clean them first")


def check_flags(**flags: object) -> None:
    """Each is True or False: a word that was given, and not a text that would pass for True."""
    for name, value in flags.items():
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{name} = {value!r} must be True or False: say whether it was so")


def check_one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    """`value` is one of the named choices."""
    if value not in choices:
        raise ValueError(
            f"{name} = {value!r} is not known; choose one of {', '.join(choices)}{near(value, choices)}"
        )


def check_logits(name: str, logits: Float[Tensor, "*batch k"]) -> None:
    """Two classes and one row or more; no NaN, no +∞; −∞ (a class ruled out) only beside finite entries."""
    check_floating(name, logits)
    if logits.ndim == 0 or logits.shape[-1] < 2:
        raise ValueError(f"{name} has shape {tuple(logits.shape)}; its last axis must be 2 classes or more")
    if logits.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(logits.shape)}: there is no row; give at least one")
    low, high = (float(end) for end in torch.aminmax(logits.detach()))  # NaN comes through; nothing is copied
    if not high < math.inf or (low == -math.inf and bool(torch.isneginf(logits.detach().amax(-1)).any())):
        bad = torch.isnan(logits) | (logits == math.inf) | torch.isneginf(logits).all(-1, keepdim=True)
        raise ValueError(
            f"{name} holds NaN, +inf or a row of -inf ({int(bad.sum())} entries); clean them first"
        )


def check_floating(name: str, values: Tensor) -> None:
    """Real numbers in floating point, of two bytes or more."""
    if not values.dtype.is_floating_point or values.element_size() < 2:
        raise ValueError(f"{name} has dtype {values.dtype}; give floating-point numbers, {name}.float()")


def check_probs(name: str, probs: Float[Tensor, "*batch k"]) -> None:
    """Every row is a probability vector: entries ≥ 0, sum one within what its type can hold."""
    check_floating(name, probs)
    if probs.ndim == 0 or probs.shape[-1] < 2:
        raise ValueError(f"{name} has shape {tuple(probs.shape)}; its last axis must be 2 classes or more")
    if probs.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(probs.shape)}: there is no row; give at least one")
    if not bool((probs >= 0).all()):
        raise ValueError(
            f"{name} has negative or NaN entries (least: {float(probs.min()):.3g}); give values ≥ 0"
        )
    off = float((at_least_float32(probs.detach())[0].sum(-1) - 1).abs().max())
    if off > _off_one(probs):
        raise ValueError(f"{name}: a row misses a sum of one by {off:.3g}; normalise the rows first")


def check_not_probs(name: str, logits: Float[Tensor, "*batch k"]) -> None:
    """Rows are no probability vectors: of logits, ten rows or more never all sum to one by chance."""
    rows = at_least_float32(logits.detach())[0].flatten(0, -2)
    if len(rows) < _BY_CHANCE or rows.shape[-1] < 2 or not bool((rows >= 0).all()):
        return
    if bool(((rows.sum(-1) - 1).abs() <= _off_one(logits)).all()) and not bool((rows == rows[0]).all()):
        raise ValueError(f"{name} gives probabilities, not logits; leave out its last softmax, or take ln p")


def check_labels(name: str, labels: Int[Tensor, "*batch"], num_classes: int) -> None:
    """Whole numbers in {0, …, num_classes − 1}, at least one of them."""
    if labels.dtype.is_floating_point or labels.dtype == torch.bool or labels.is_complex():
        raise ValueError(f"{name} has dtype {labels.dtype}; give whole class numbers (torch.long)")
    if labels.numel() == 0:
        raise ValueError(f"{name} is empty; give at least one label")
    low, high = (int(end) for end in torch.aminmax(labels.long()))
    if low < 0 or high >= num_classes:
        cure = "; leave out the points to ignore" if low == -100 else ""
        raise ValueError(f"{name} spans {low} to {high}; labels must lie in 0 to {num_classes - 1}{cure}")


def check_same_shape(first: str, a: Tensor, second: str, b: Tensor) -> None:
    """`a` and `b` have one shape: nothing broadcasts unnoticed."""
    if a.shape != b.shape:
        raise ValueError(
            f"{first} has shape {tuple(a.shape)} and {second} {tuple(b.shape)}; they must be the same"
        )


def check_weight(name: str, weight: float) -> None:
    """`weight`, a share of δ or of a prior, lies in (0, 1]."""
    if not 0 < weight <= 1:
        raise ValueError(f"{name} = {weight} must lie in (0, 1]")


def check_weights(name: str, weights: Float[Tensor, "*batch s"]) -> None:
    """Masses of one atom or more on the last axis: entries ≥ 0, sum one within what their type can hold."""
    check_floating(name, weights)
    if weights.ndim == 0 or weights.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(weights.shape)}; give the mass of at least one atom")
    if not bool((weights >= 0).all()):
        raise ValueError(
            f"{name} has negative or NaN entries (least: {float(weights.min()):.3g}); give masses ≥ 0"
        )
    off = float((at_least_float32(weights.detach())[0].sum(-1) - 1).abs().max())
    if off > _off_one(weights):
        raise ValueError(f"{name} misses a sum of one by {off:.3g}; normalise the masses first")


def check_whole_labels(name: str, labels: Tensor, /) -> None:
    """Labels are of a type of whole number.

    Raises:
        ValueError: they are not; with the cure for one-hot rows and columns.
    """
    if labels.dtype.is_floating_point or labels.dtype == torch.bool or labels.is_complex():
        cure = ", labels.argmax(-1) of one-hot rows" if labels.ndim == 2 else ", labels.long()"
        cure = ", labels[:, 0].long()" if labels.ndim == 2 and labels.shape[1] == 1 else cure
        shown = f"{name} are {labels.dtype} of shape {tuple(labels.shape)}"
        raise ValueError(f"{shown}; give one whole class number each{cure}")


def check_one_label_each(name: str, labels: Tensor, /) -> None:
    """Class numbers are a row: one for each point.

    Raises:
        ValueError: they have more axes, or none; with the cure for one-hot rows and columns.
    """
    if labels.ndim != 1:
        cure = ", labels.argmax(-1) of one-hot rows" if labels.ndim == 2 else ""
        cure = ", labels[..., 0] of a column" if labels.shape[1:] == (1,) else cure
        shape = tuple(labels.shape)
        raise ValueError(f"{name} have shape {shape}; give one class number for each point{cure}")


def _off_one(probs: Tensor) -> float:
    """How far from one a sum may be: 1e-6, 1e-4 in float32, the step at one in half precision."""
    return {torch.float64: 1e-6, torch.float32: 1e-4}.get(probs.dtype, torch.finfo(probs.dtype).eps)


def _shown(value: float | Tensor) -> str:
    if isinstance(value, Tensor) and value.numel() > 1:
        return f"[{float(value.min()):.6g} … {float(value.max()):.6g}]"
    return f"{float(value):.6g}"
