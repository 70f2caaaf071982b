"""IDX files, the format of MNIST, Fashion-MNIST and EMNIST: two zero bytes, an element code, the number of
axes, each axis as a big-endian 32-bit size, then the elements, big-endian, last axis fastest.

Nothing is ever unpickled, and no more is read than the header promises (and one byte, to see that it ends).
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from io import BufferedIOBase
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kdtheory.datasets.images import Images
from kdtheory.doors import door
from kdtheory.validate import check_one_of

__all__ = ["DEEPEST", "idx_folder", "read_idx"]

# The element codes of the format's description (LeCun, Cortes and Burges, the MNIST page).
_ELEMENTS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_SPLITS = {"train": ("train",), "test": ("t10k", "test")}
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 22
_MOST_BYTES = 1 << 34
_MOST_AXES = 32
DEEPEST = 3
"""Levels of folders that are looked through."""
_QMNIST_COLUMNS = 8


@door
def idx_folder(path: str | PathLike[str], /, *, split: str = "train") -> Images:
    """The images and labels of one split in a folder of IDX files, plain or gzipped, pixels x/255 ∈ [0, 1].

    Files are found by name: `train-images-idx3-ubyte`, `t10k-labels-idx1-ubyte.gz`,
    `emnist-balanced-train-images-idx3-ubyte.gz`, `train-images.idx3-ubyte` and the like; where a file lies
    there both plain and gzipped, the plain one is read. Where the folder itself holds none, the folders below
    it are looked through: torchvision's `MNIST/raw`, Kaggle's folder for each file; images and labels are
    taken from one level. Labels of eight columns
    are QMNIST's, whose first is the class. Classes are renumbered 0, …, k − 1 in the order of
    their values in the training labels (EMNIST's letters start at 1), or in the split's own where the
    folder holds no training labels. Pixels keep their stored order: EMNIST stores its images transposed.

    Args:
        path: the folder.
        split: "train" or "test" (files named `t10k` or `test`).

    Returns:
        The split, named `folder/split`.

    Raises:
        ValueError: the folder or a file is missing, more than one file fits, a file is not IDX, damaged,
            truncated or too long, images and labels are exchanged or differ in number, there is no image,
            all labels are the same, or a label of the test split never occurs in training.
    """
    check_one_of("split", split, tuple(_SPLITS))
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise ValueError(f"data = {str(path)!r} is not a folder; give the folder that holds the IDX files")
    depth = _depth(folder, split)
    images_file, labels_file = (_find(folder, split, kind, depth) for kind in ("images", "labels"))
    pixels, values = _images_array(images_file), _labels_array(labels_file)
    if len(pixels) != len(values):
        counts = f"{images_file.name} has {len(pixels)} images and {labels_file.name} {len(values)} labels"
        raise ValueError(f"{counts}; take both files from one data set and one split")
    classes = np.unique(_training_values(folder, split, depth, values))
    labels = _renumbered(values, classes, labels_file.name)
    inputs = torch.from_numpy(pixels.reshape(len(pixels), -1)).to(torch.float32) / 255
    name = f"{folder.resolve().name}/{split}"
    return Images(inputs, torch.from_numpy(labels), len(classes), name, pixels.shape[1:])


@door
def read_idx(path: str | PathLike[str], /) -> NDArray[np.generic]:
    """The array of one IDX file, gzipped or not (seen from its first bytes, whatever its name).

    Returns:
        The elements in the machine's byte order, with the axes that the header states.

    Raises:
        ValueError: not an IDX file, an element code that the format does not know, fewer or more bytes than
            the header promises, or a damaged gzip stream.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(
            f"{file} is {'a folder' if file.is_dir() else 'not there'}; give the path of an IDX file"
        )
    with file.open("rb") as raw:
        zipped = raw.read(2) == _GZIP
        raw.seek(0)
        if not zipped:
            return _parse(raw, file.name)
        try:
            with gzip.GzipFile(fileobj=raw) as stream:
                return _parse(stream, file.name)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{file.name} is a damaged gzip file ({error}); fetch it again") from error


def _parse(stream: BufferedIOBase, name: str) -> NDArray[np.generic]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[3] == 0:
        raise ValueError(f"{name} starts with bytes {magic.hex(' ') or '(none)'}: this is not an IDX file")
    if magic[2] not in _ELEMENTS:
        raise ValueError(f"{name} has element code 0x{magic[2]:02x}; IDX knows 08, 09, 0b, 0c, 0d and 0e")
    if magic[3] > _MOST_AXES:
        raise ValueError(f"{name} promises an array of {magic[3]} axes; at most {_MOST_AXES} are read")
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise ValueError(f"{name} is truncated: it ends inside its header; fetch it again")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    element = np.dtype(_ELEMENTS[magic[2]])
    promised = math.prod(shape) * element.itemsize
    if promised > _MOST_BYTES:
        raise ValueError(f"{name} promises {promised:,} bytes; at most {_MOST_BYTES:,} are read")
    body = _read_at_most(stream, promised + 1)
    if len(body) < promised:
        found = f"{len(body):,} of the {promised:,} bytes that its header promises"
        raise ValueError(f"{name} is truncated: it holds {found}; fetch it again")
    if len(body) > promised:
        raise ValueError(f"{name} goes on after the {promised:,} bytes that its header promises")
    return np.frombuffer(body, element).astype(element.newbyteorder("="), copy=False).reshape(shape)


def _read_at_most(stream: BufferedIOBase, count: int) -> bytearray:
    """Up to `count` bytes, in pieces: a header that lies about its size must not reserve memory for it."""
    body = bytearray()
    while len(body) < count and (piece := stream.read(min(_CHUNK, count - len(body)))):
        body += piece
    return body


def _depth(folder: Path, split: str) -> int:
    """The nearest level that has any file of a split: those of a level further down are of another set."""
    for depth in range(DEEPEST):
        if any(_matches(folder, split, kind, depth) for kind in ("images", "labels")):
            return depth
    return 0


def _find(folder: Path, split: str, kind: str, depth: int) -> Path:
    """The one file of `kind` ("images" or "labels") for `split`."""
    found = _matches(folder, split, kind, depth)
    if not found:
        example = f"{_SPLITS[split][0]}-{kind}-idx{3 if kind == 'images' else 1}-ubyte(.gz)"
        there = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5]) or "nothing"
        raise ValueError(
            f"{str(folder)!r} has no {kind} file for split = {split!r}, such as {example}; it holds {there}"
        )
    if len(found) > 1:
        names = ", ".join(file.relative_to(folder).as_posix() for file in found)
        raise ValueError(
            f"{str(folder)!r} has several {kind} files ({names}); move one pair to its own folder"
        )
    return found[0]


def _matches(folder: Path, split: str, kind: str, depth: int) -> list[Path]:
    """The files of a kind at a level: 0 is the folder itself."""
    prefixes = "|".join(_SPLITS[split])
    pattern = re.compile(
        rf"(.*[-_.])?({prefixes})[-_.]{kind}[-_.]idx\d-(ubyte|byte|short|int)(\.gz)?", re.IGNORECASE
    )
    below = sorted(folder.glob("/".join(["*"] * (depth + 1))))
    files = [file for file in below if pattern.fullmatch(file.name) and file.is_file()]
    return [file for file in files if file.suffix != ".gz" or file.with_suffix("") not in files]


def _images_array(file: Path) -> NDArray[np.uint8]:
    array = read_idx(file)
    if array.ndim < 2:
        raise ValueError(f"{file.name} has {array.ndim} axis, as labels have; an images file has 2 or more")
    if array.dtype != np.uint8:
        raise ValueError(
            f"{file.name} has elements of {array.dtype}; pixels must be unsigned bytes (code 08)"
        )
    if array.size == 0:
        raise ValueError(f"{file.name} has shape {array.shape}: there is no pixel in it")
    return array.astype(np.uint8, copy=False)


def _labels_array(file: Path) -> NDArray[np.int64]:
    array = read_idx(file)
    if array.ndim == 2 and array.shape[1] == _QMNIST_COLUMNS:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{file.name} has {array.ndim} axes, as images have; a labels file has 1")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{file.name} has elements of {array.dtype}; labels must be whole numbers")
    return array.astype(np.int64)


def _training_values(folder: Path, split: str, depth: int, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The labels that define the classes: both splits of a folder must number them alike."""
    if split == "train" or not _matches(folder, "train", "labels", depth):
        return values
    return _labels_array(_find(folder, "train", "labels", depth))


def _renumbered(values: NDArray[np.int64], classes: NDArray[np.int64], name: str) -> NDArray[np.int64]:
    if len(classes) < 2:
        raise ValueError(f"{name}: every label is {classes.tolist()}; there must be two classes or more")
    labels = np.searchsorted(classes, values)
    strange = classes[np.minimum(labels, len(classes) - 1)] != values
    if bool(strange.any()):
        raise ValueError(f"{name} has label {values[strange][0]}, which never occurs in the training labels")
    return labels.astype(np.int64)
