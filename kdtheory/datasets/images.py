"""Labelled images as flat vectors in [0, 1], and the small real set that needs no download."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.doors import door
from kdtheory.validate import check_at_least, check_labels

__all__ = ["Images", "digits"]


@door
@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images, each one flat vector.

    Args:
        inputs: the pixels, scaled to [0, 1], one image a row.
        labels: the class of each image, in 0 to `num_classes` − 1.
        num_classes: k, the number of classes of the data set.
        name: what a report calls the data.
        shape: the axes of one image before it was flattened; None where it had none.

    Raises:
        ValueError: no image, pixels outside [0, 1], a label out of range, or counts that disagree.

    >>> two = Images(torch.tensor([[0.0, 1.0], [0.5, 0.5]]), torch.tensor([0, 1]), 2, "two")
    >>> two.num_images, two.dim, len(two.digest)
    (2, 2, 64)
    """

    inputs: Float[Tensor, "n d"]
    labels: Int[Tensor, "m"]
    num_classes: int
    name: str
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.inputs.ndim != 2 or self.inputs.numel() == 0:
            shown = tuple(self.inputs.shape)
            raise ValueError(f"inputs has shape {shown}; give n ≥ 1 rows of d ≥ 1 pixels")
        if not bool(((self.inputs >= 0) & (self.inputs <= 1)).all()):
            low, high = float(self.inputs.min()), float(self.inputs.max())
            raise ValueError(f"inputs spans {low:.6g} to {high:.6g} or holds NaN; scale pixels to [0, 1]")
        if self.labels.shape != self.inputs.shape[:1]:
            counts = f"{len(self.inputs)} images and labels of shape {tuple(self.labels.shape)}"
            raise ValueError(f"{counts}; give one label for each image")
        check_at_least("num_classes", self.num_classes, 2)
        check_labels("labels", self.labels, self.num_classes)
        if self.shape is not None and math.prod(self.shape) != self.dim:
            raise ValueError(f"shape = {self.shape} does not multiply to the {self.dim} pixels of a row")

    @property
    def num_images(self) -> int:
        """n, the number of images."""
        return self.inputs.shape[0]

    @property
    def dim(self) -> int:
        """d, the number of pixels of one image."""
        return self.inputs.shape[1]

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of pixels, labels and their sizes: the same data has the same digest anywhere."""
        kept = self.inputs.detach().cpu().contiguous()
        pixels = (kept.float() if kept.dtype == torch.bfloat16 else kept).numpy()  # numpy has no bfloat16
        labels = self.labels.cpu().to(torch.int64).contiguous().numpy()
        sizes = f"{pixels.shape} {pixels.dtype.name} {self.num_classes};"
        content = hashlib.sha256(sizes.encode())
        content.update(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).data)
        content.update(labels.astype("<i8", copy=False).data)
        return content.hexdigest()


@door
def digits() -> Images:
    """The 1,797 handwritten digits of 8 × 8 pixels embedded in scikit-learn, pixels x/16 ∈ [0, 1].

    The test part of Alpaydin and Kaynak, *Optical Recognition of Handwritten Digits* (UCI, 1998), in its
    stored order.

    >>> images = digits()
    >>> images.num_images, images.dim, images.num_classes, images.shape
    (1797, 64, 10, (8, 8))
    """
    pixels, classes = _digits()
    inputs = torch.from_numpy(pixels / 16).to(torch.float32)
    labels = torch.from_numpy(classes).to(torch.long)
    return Images(inputs, labels, 10, "digits", (8, 8))


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels and classes, from the file that scikit-learn reads: importing it takes a second and more."""
    home = find_spec("sklearn")
    for folder in home.submodule_search_locations or () if home else ():
        if (file := Path(folder, "datasets", "data", "digits.csv.gz")).is_file():
            table = np.loadtxt(file, delimiter=",")
            return table[:, :-1], table[:, -1]
    from sklearn.datasets import load_digits  # a version that keeps the file elsewhere

    return load_digits(return_X_y=True)  # type: ignore[no-any-return]
