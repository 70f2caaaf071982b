"""The data that a run is given: a folder of its user's, or the embedded digits."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike

import torch

from kdtheory.datasets.idx import idx_folder
from kdtheory.datasets.images import Images, digits
from kdtheory.streams import Stream

__all__ = ["load_images", "load_splits"]

_DIGITS_TO_LEARN = 1200


def load_images(data: str | PathLike[str] | None = None, /) -> Images:
    """The training images of the IDX folder `data`; the embedded digits where it is None.

    Args:
        data: a folder as `idx_folder` reads it, or None.

    Raises:
        ValueError: as `idx_folder`.

    >>> load_images().name
    'digits'
    """
    return digits() if data is None else idx_folder(data, split="train")


def load_splits(data: str | PathLike[str] | None, /, *, stream: Stream) -> tuple[Images, Images]:
    """Images to learn from and images to judge by, each in random order.

    The two splits of an IDX folder; of the embedded digits 1,200 at random and the other 597.

    Args:
        data: a folder as `idx_folder` reads it, or None for the digits.
        stream: where the orders come from.

    Raises:
        ValueError: as `idx_folder`.

    >>> [images.num_images for images in load_splits(None, stream=Stream(0))]
    [1200, 597]
    """
    if data is not None:
        splits = (idx_folder(data, split=split) for split in ("train", "test"))
        first, second = (_shuffled(images, stream.child(images.name)) for images in splits)
        return first, second
    images = _shuffled(digits(), stream.child("digits"))
    return _part(images, slice(_DIGITS_TO_LEARN)), _part(images, slice(_DIGITS_TO_LEARN, None))


def _shuffled(images: Images, stream: Stream) -> Images:
    order = torch.from_numpy(stream.numpy().permutation(images.num_images))
    return replace(images, inputs=images.inputs[order], labels=images.labels[order])


def _part(images: Images, rows: slice) -> Images:
    return replace(images, inputs=images.inputs[rows], labels=images.labels[rows])
