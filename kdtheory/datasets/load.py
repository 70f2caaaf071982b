"""The data that a run is given: a folder of its user's, or the embedded digits."""

from __future__ import annotations

from os import PathLike

from kdtheory.datasets.idx import idx_folder
from kdtheory.datasets.images import Images, digits

__all__ = ["load_images"]


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
