"""The division of the training points into those that witnesses learn from and those that test them.

It is public: whoever tunes a recipe, or the teacher itself, on the first part alone may use it for witnesses
that the second part tests.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader

from kdtheory.doors import door
from kdtheory.roles import Train
from kdtheory.streams import Stream
from kdtheory.validate import check_fraction

__all__ = ["LEAST_TESTED", "Division", "divided", "split"]

LEAST_TESTED = 8
"""A PAC-Bayes bound needs eight points."""


@door
class Division(NamedTuple):
    """Row numbers of the training points.

    Args:
        learned: A, the rows whose labels witnesses learn from, and on which everything may be tuned.
        tested: B, the rows whose labels test them.
    """

    learned: Int[Tensor, "a"]
    tested: Int[Tensor, "b"]


@door
def split(train: Any, /, *, held_out: float = 0.1, stream: Stream) -> Division:
    """The rows A and B of the training points that `certify` will use with the same stream.

    A network, a recipe, γ or shares that were chosen on A alone were fixed without the labels of B, so that
    `fixed_in_advance=True` is true of them. With `prior=p` coded and stochastic students are tested on
    `held_out=1 − p`, and these divisions are nested: the smaller B lies in the larger, so that what was tuned
    outside the larger saw neither.

    Args:
        train: the training points as they will be given to `certify`, in the same order; of a DataLoader,
            which may shuffle, `Train.of(loader)`, made once.
        held_out: as in `WitnessPlan`, or 1 − p.
        stream: the one that `certify` will be given.

    Raises:
        ValueError: `train` is a DataLoader, or the share leaves fewer than eight points to test by, or none
            to learn from.

    >>> learned, tested = split((torch.zeros(80, 2), torch.zeros(80).long()), stream=Stream(0))
    >>> len(learned), len(tested), len({*learned.tolist(), *tested.tolist()})
    (72, 8, 80)
    """
    if isinstance(train, DataLoader):
        raise ValueError(
            "train is a DataLoader, which may give another order next time; make points = Train.of(loader) "
            "once, and give them to split and to certify"
        )
    return divided(len(Train.of(train)), held_out, stream=stream, name="held_out")


def divided(size: int, share: float, /, *, stream: Stream, name: str) -> Division:
    """Row numbers below `size`, divided at random without a look at the rows; B has `share` of them.

    Rows that repeat others are divided like any: where they are independent draws, B would be no sample of
    the law if copies of A's rows were kept out of it; where they are copies, they must be dropped before.

    Raises:
        ValueError: the share leaves fewer than eight rows to test by, or none to learn from.
    """
    check_fraction(name, share, open_interval=True)
    held = round(share * size)
    if not LEAST_TESTED <= held <= size - 1:
        few = f"of {size} training points must leave {LEAST_TESTED} or more to test by"
        raise ValueError(f"{name} = {share:g} {few}, and one or more to learn from")
    order = torch.from_numpy(stream.child("split").numpy().permutation(size))
    return Division(order[held:], order[:held])
