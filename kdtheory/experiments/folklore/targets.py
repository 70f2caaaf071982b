"""Targets of a student in its teacher's place: laws over the classes made from the teacher's own.

Each takes the teacher's law at the temperature of the student, [*batch k], and a stream, and gives a law.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.streams import Stream

__all__ = [
    "as_told",
    "flat_rest",
    "in_bits",
    "shuffled_rest",
    "three_largest_and_a_flat_rest",
    "three_largest_renormalised",
]


def as_told(law: Tensor, stream: Stream, /) -> Tensor:
    """All that the teacher says."""
    return law


def flat_rest(law: Tensor, stream: Stream, /) -> Tensor:
    """The largest probability, and the rest in even shares."""
    return _kept(law, 1, rest=1.0)


def shuffled_rest(law: Tensor, stream: Stream, /) -> Tensor:
    """The largest probability in its place, and the others in an order of chance, drawn for each example."""
    top = law.argmax(-1, keepdim=True)
    keys = torch.rand(law.shape, generator=stream.torch()).to(law.device)
    places = keys.scatter(-1, top, -1.0).argsort(-1)
    ranks = law.argsort(-1, descending=True)
    return torch.zeros_like(law).scatter(-1, places, law.gather(-1, ranks))


def three_largest_renormalised(law: Tensor, stream: Stream, /) -> Tensor:
    """The three largest probabilities, over their sum; the others are zero."""
    return _kept(law, 3, rest=0.0)


def three_largest_and_a_flat_rest(law: Tensor, stream: Stream, /) -> Tensor:
    """The three largest probabilities as they are, and the rest in even shares."""
    return _kept(law, 3, rest=1.0)


def in_bits(logits: Tensor, bits: int, /) -> Tensor:
    """The logits of each example, [*batch k], rounded to 2^bits levels from its least to its largest."""
    low, high = logits.amin(-1, keepdim=True), logits.amax(-1, keepdim=True)
    step = (high - low) / (2**bits - 1)
    rounded: Tensor = low + ((logits - low) / step).round() * step
    return rounded


def _kept(law: Tensor, count: int, *, rest: float) -> Tensor:
    """The `count` largest as they are, the share `rest` of what is left spread evenly, all over its sum."""
    values, places = law.topk(count, -1)
    share = rest * (1 - values.sum(-1, keepdim=True)).clamp_min(0) / (law.shape[-1] - count)
    told = share.expand_as(law).scatter(-1, places, values)
    normalised: Tensor = told / told.sum(-1, keepdim=True)
    return normalised
