"""The data that a run is given: a folder of its user's, or the embedded digits."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike

import torch

from kdtheory.datasets.idx import idx_folder
from kdtheory.datasets.images import Images, digits
from kdtheory.doors import door
from kdtheory.streams import Stream

__all__ = ["load_images", "load_splits"]

_DIGITS_TO_LEARN = 1200


@door
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


@door
def load_splits(data: str | PathLike[str] | None, /, *, stream: Stream) -> tuple[Images, Images]:
    """Images to learn from and images to judge by, each in random order.

    Of an IDX folder the images of both its files together, as many of them at random as the training file
    has, and the others: so the two are draws of one law whatever the files are, and no published split. Of
    the embedded digits 1,200 at random and the other 597.

    Args:
        data: a folder as `idx_folder` reads it, or None for the digits.
        stream: where the orders come from.

    Raises:
        ValueError: as `idx_folder`, or the files have images of different sizes.

    >>> [images.num_images for images in load_splits(None, stream=Stream(0))]
    [1200, 597]
    """
    learned, pooled = (_DIGITS_TO_LEARN, digits()) if data is None else _pooled(data)
    images = _shuffled(pooled, stream.child(pooled.name))
    return _part(images, slice(learned)), _part(images, slice(learned, None))


def _pooled(data: str | PathLike[str]) -> tuple[int, Images]:
    """How many images the training file has, and those of both files."""
    train, test = (idx_folder(data, split=split) for split in ("train", "test"))
    if train.dim != test.dim:
        raise ValueError(
            f"{data} has {train.dim} and {test.dim} pixels in its files; give images of one size"
        )
    images = Images(
        torch.cat([train.inputs, test.inputs]),
        torch.cat([train.labels, test.labels]),
        max(train.num_classes, test.num_classes),
        train.name.partition("/")[0],
        train.shape,
    )
    return train.num_images, images


def _shuffled(images: Images, stream: Stream) -> Images:
    order = torch.from_numpy(stream.numpy().permutation(images.num_images))
    return replace(images, inputs=images.inputs[order], labels=images.labels[order])


def _part(images: Images, rows: slice) -> Images:
    return replace(images, inputs=images.inputs[rows], labels=images.labels[rows])
