"""Real data with no download at run time: the embedded digits, or any folder of IDX files by path."""

from __future__ import annotations

from kdtheory.datasets.idx import idx_folder, read_idx
from kdtheory.datasets.images import Images, digits
from kdtheory.datasets.load import load_images

__all__ = ["Images", "digits", "idx_folder", "load_images", "read_idx"]
