"""The embedded digits, and IDX folders written here byte by byte, whole and broken in every way."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from kdtheory.datasets import Images, digits, idx_folder, load_images, load_splits, read_idx
from kdtheory.streams import Stream

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 3, 5)).astype(np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 4


def idx_bytes(array: np.ndarray, code: str = "u1") -> bytes:
    """The rival writer: struct, one element at a time, from the format's description."""
    letter = {"u1": "B", "i1": "b", "i2": "h", "i4": "i", "f4": "f", "f8": "d"}[code]
    header = struct.pack(">BBBB", 0, 0, CODES[code], array.ndim) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    return header + b"".join(struct.pack(f">{letter}", value) for value in array.ravel().tolist())


def write_pair(
    folder: Path, images: np.ndarray = PIXELS, labels: np.ndarray = LABELS, *, split: str = "train"
):
    (folder / f"{split}-images-idx3-ubyte").write_bytes(idx_bytes(images))
    (folder / f"{split}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))


def test_digits_are_the_embedded_set_scaled_by_sixteen():
    images, bunch = digits(), load_digits()
    assert torch.equal(images.inputs.to(torch.float64) * 16, torch.from_numpy(bunch.data))
    assert torch.equal(images.labels, torch.from_numpy(bunch.target).to(torch.long))
    assert (images.num_images, images.dim, images.num_classes, images.shape) == (1797, 64, 10, (8, 8))
    assert (images.inputs.dtype, float(images.inputs.max())) == (torch.float32, 1.0)


def test_images_of_any_precision_have_a_digest():
    pixels, labels = torch.tensor([[0.0, 0.5], [1.0, 0.25]]), torch.tensor([0, 1])
    found = {
        dtype: Images(pixels.to(dtype), labels, 2, "two").digest for dtype in (torch.bfloat16, torch.float32)
    }
    assert len({*found.values()}) == 1


def test_digits_are_the_same_where_scikit_learn_keeps_the_file_elsewhere(monkeypatch):
    stored = digits()
    monkeypatch.setattr("kdtheory.datasets.images.find_spec", lambda name: None)
    assert digits().digest == stored.digest


def test_load_images_is_digits_without_a_folder_and_the_training_split_with_one(tmp_path):
    write_pair(tmp_path)
    assert load_images().digest == load_images(None).digest == digits().digest
    assert load_images(tmp_path).digest == load_images(str(tmp_path)).digest == idx_folder(tmp_path).digest


def test_digest_is_the_sha256_of_the_content_and_of_nothing_else():
    inputs, labels = torch.tensor([[0.0, 1.0], [0.25, 0.5]]), torch.tensor([1, 0])
    content = b"(2, 2) float32 3;" + struct.pack("<4f", 0.0, 1.0, 0.25, 0.5) + struct.pack("<2q", 1, 0)
    images = Images(inputs, labels, 3, "a")
    assert images.digest == hashlib.sha256(content).hexdigest()
    assert images.digest == Images(inputs.T.contiguous().T, labels.to(torch.int32), 3, "b", (2, 1)).digest
    others = (
        Images(inputs.flip(0), labels, 3, "a"),
        Images(inputs, labels.flip(0), 3, "a"),
        Images(inputs, labels, 2, "a"),
        Images(inputs.reshape(2, 2).repeat(1, 2), labels, 3, "a"),
    )
    assert len({images.digest, *(other.digest for other in others)}) == 5


@pytest.mark.parametrize(
    ("inputs", "labels", "classes", "shape", "message"),
    [
        (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), 2, None, "n ≥ 1 rows"),
        (torch.full((2, 4), 1.5), torch.tensor([0, 1]), 2, None, r"spans 1\.5 to 1\.5"),
        (torch.full((2, 4), float("nan")), torch.tensor([0, 1]), 2, None, "holds NaN"),
        (torch.zeros(2, 4), torch.tensor([0, 1, 1]), 2, None, "one label for each image"),
        (torch.zeros(2, 4), torch.tensor([0, 2]), 2, None, "labels must lie in 0 to 1"),
        (torch.zeros(2, 4), torch.tensor([0, 0]), 1, None, "num_classes = 1"),
        (torch.zeros(2, 4), torch.tensor([0, 1]), 2, (3, 3), "does not multiply to the 4 pixels"),
    ],
)
def test_images_refuse_content_that_is_no_data_set(inputs, labels, classes, shape, message):
    with pytest.raises(ValueError, match=message):
        Images(inputs, labels, classes, "bad", shape)


@pytest.mark.parametrize("code", list(CODES))
@pytest.mark.parametrize("zipped", [False, True])
def test_read_idx_gives_back_what_was_written(tmp_path, code, zipped):
    array = np.array([[-3, 0, 7], [100, 1, 2]]).astype(code) if code != "u1" else PIXELS
    content = idx_bytes(array, code)
    file = tmp_path / "anything"
    file.write_bytes(gzip.compress(content) if zipped else content)
    read = read_idx(file)
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype
    assert read.dtype.isnative


@pytest.mark.parametrize(
    "names",
    [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte"),
        ("emnist-balanced-train-images-idx3-ubyte.gz", "emnist-balanced-train-labels-idx1-ubyte.gz"),
        ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte.gz"),
        ("t10k-images.idx3-ubyte.gz", "t10k-labels.idx1-ubyte"),
        ("emnist-letters-test-images-idx3-ubyte", "emnist-letters-test-labels-idx1-ubyte"),
    ],
)
def test_a_folder_is_read_under_every_name_in_use(tmp_path, names):
    for name, array in zip(names, (PIXELS, LABELS), strict=True):
        content = idx_bytes(array)
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    (tmp_path / "readme.txt").write_text("nothing to see")
    split = "train" if "train" in names[0] else "test"
    images = idx_folder(tmp_path, split=split)
    expected = np.float32(PIXELS.reshape(12, 15)) / np.float32(255)
    np.testing.assert_array_equal(images.inputs.numpy(), expected)
    assert images.labels.tolist() == LABELS.tolist()
    assert (images.num_classes, images.shape, images.name) == (4, (3, 5), f"{tmp_path.name}/{split}")


def test_plain_and_gzipped_copies_of_one_file_are_one_file(tmp_path):
    write_pair(tmp_path)
    plain = idx_folder(tmp_path).digest
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(PIXELS)))
    assert idx_folder(tmp_path).digest == plain


def test_classes_are_numbered_from_zero_and_alike_in_both_splits(tmp_path):
    write_pair(tmp_path, labels=LABELS + 1)
    write_pair(tmp_path, PIXELS[:2], np.array([4, 2], dtype=np.uint8), split="t10k")
    train, test = idx_folder(tmp_path), idx_folder(tmp_path, split="test")
    assert train.labels.tolist() == LABELS.tolist()
    assert (train.num_classes, test.num_classes, test.labels.tolist()) == (4, 4, [3, 1])


def test_a_test_split_alone_numbers_its_own_classes(tmp_path):
    write_pair(tmp_path, PIXELS[:3], np.array([9, 5, 9], dtype=np.uint8), split="t10k")
    assert idx_folder(tmp_path, split="test").labels.tolist() == [1, 0, 1]


def test_a_label_that_training_never_shows_is_refused(tmp_path):
    write_pair(tmp_path)
    write_pair(tmp_path, PIXELS[:2], np.array([0, 7], dtype=np.uint8), split="t10k")
    with pytest.raises(ValueError, match="has label 7, which never occurs in the training labels"):
        idx_folder(tmp_path, split="test")


def images_file(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "train-images-idx3-ubyte").write_bytes(content)


def labels_file(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "train-labels-idx1-ubyte").write_bytes(content)


def exchanged(folder: Path) -> None:
    write_pair(folder, LABELS, PIXELS)


GOOD = idx_bytes(PIXELS)
ZIPPED = gzip.compress(GOOD)
BROKEN = {
    "no images file": (lambda f: (f / "train-images-idx3-ubyte").unlink(), "has no images file"),
    "no labels file": (lambda f: (f / "train-labels-idx1-ubyte").unlink(), "has no labels file"),
    "a folder by that name": (
        lambda f: ((f / "train-images-idx3-ubyte").unlink(), (f / "train-images-idx3-ubyte").mkdir()),
        "has no images file",
    ),
    "two images files": (
        lambda f: (f / "emnist-digits-train-images-idx3-ubyte").write_bytes(GOOD),
        "several images files",
    ),
    "empty file": (images_file(b""), r"starts with bytes \(none\)"),
    "not idx": (images_file(b"\x89PNG" + GOOD), "89 50 4e 47: this is not an IDX file"),
    "a pickle": (images_file(b"\x80\x04\x95\x00" + GOOD), "this is not an IDX file"),
    "no axis": (images_file(b"\0\0\x08\0"), "this is not an IDX file"),
    "unknown code": (images_file(b"\0\0\x0a\x03" + GOOD[4:]), "element code 0x0a"),
    "short header": (images_file(GOOD[:10]), "ends inside its header"),
    "truncated": (images_file(GOOD[:-1]), "179 of the 180 bytes"),
    "header that lies": (
        images_file(GOOD[:4] + b"\xff" * 12 + GOOD[16:]),
        "promises 79,228,162,.* bytes; at most",
    ),
    "axes beyond counting": (
        images_file(b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\1"),
        "promises an array of 255 axes",
    ),
    "too long": (images_file(GOOD + b"\0"), "goes on after the 180 bytes"),
    "not bytes": (images_file(idx_bytes(PIXELS[:, :1], "i2")), "elements of int16"),
    "float labels": (labels_file(idx_bytes(LABELS, "f4")), "elements of float32"),
    "exchanged": (exchanged, "1 axis, as labels have"),
    "labels that are images": (labels_file(GOOD), "3 axes, as images have"),
    "counts differ": (labels_file(idx_bytes(LABELS[:-1])), "12 images and train-labels-idx1-ubyte 11 labels"),
    "no image": (images_file(idx_bytes(PIXELS[:0])), "there is no pixel"),
    "no pixel": (images_file(idx_bytes(PIXELS[:, :0])), "there is no pixel"),
    "one class": (labels_file(idx_bytes(LABELS * 0)), "two classes or more"),
    "gzip cut off": (images_file(ZIPPED[:-12]), "damaged gzip"),
    "gzip without its checksum": (images_file(ZIPPED[:-8]), "damaged gzip"),
    "gzip with a flipped bit": (
        images_file(ZIPPED[:-8] + bytes([ZIPPED[-8] ^ 1]) + ZIPPED[-7:]),
        "damaged gzip",
    ),
    "gzip header alone": (images_file(ZIPPED[:2] + b"\0" * 20), "damaged gzip"),
    "gzip of something else": (
        images_file(gzip.compress(b"hello, world")),
        "68 65 6c 6c: this is not an IDX",
    ),
    "gzip body garbled": (images_file(ZIPPED[:12] + b"\xff" * 40 + ZIPPED[52:]), "damaged gzip"),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_broken_folder_is_refused_with_the_reason(tmp_path, name):
    write_pair(tmp_path)
    damage, message = BROKEN[name]
    damage(tmp_path)
    with pytest.raises(ValueError, match=message):
        idx_folder(tmp_path)


def test_what_is_no_folder_or_no_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        load_images(tmp_path / "missing")
    (tmp_path / "file").write_bytes(GOOD)
    with pytest.raises(ValueError, match="is not a folder"):
        idx_folder(tmp_path / "file")
    with pytest.raises(ValueError, match="split = 'dev' is not known"):
        idx_folder(tmp_path, split="dev")


def test_splits_are_drawn_from_both_files_together(tmp_path):
    write_pair(tmp_path)
    write_pair(tmp_path, PIXELS[:5], LABELS[:5], split="t10k")
    files = [idx_folder(tmp_path, split=split) for split in ("train", "test")]
    learned, others = load_splits(tmp_path, stream=Stream(0))
    assert (learned.num_images, others.num_images) == (12, 5)
    assert (learned.name, learned.shape) == (tmp_path.name, (3, 5))

    def rows(parts):
        return sorted(
            (*image.tolist(), int(label))
            for p in parts
            for image, label in zip(p.inputs, p.labels, strict=True)
        )

    assert rows((learned, others)) == rows(files)
    drawn = [load_splits(tmp_path, stream=Stream(seed))[1] for seed in range(20)]
    assert any(rows([one]) != rows([files[1]]) for one in drawn)
    write_pair(tmp_path, PIXELS[:5, :2], LABELS[:5], split="t10k")
    with pytest.raises(ValueError, match="15 and 10 pixels in its files"):
        load_splits(tmp_path, stream=Stream(0))


def test_qmnist_folders_have_labels_of_eight_columns(tmp_path):
    columns = np.c_[LABELS, np.zeros((12, 7))].astype(np.int32)
    (tmp_path / "qmnist-train-images-idx3-ubyte").write_bytes(idx_bytes(PIXELS))
    packed = gzip.compress(idx_bytes(columns, "i4"))
    (tmp_path / "qmnist-train-labels-idx2-int.gz").write_bytes(packed)
    assert idx_folder(tmp_path).labels.tolist() == LABELS.tolist()


def test_files_in_the_folders_of_torchvision_and_kaggle_are_found(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    write_pair(raw)
    assert idx_folder(tmp_path).digest == idx_folder(raw).digest
    other = tmp_path / "FashionMNIST" / "raw"
    other.mkdir(parents=True)
    write_pair(other)
    with pytest.raises(ValueError, match="several images files"):
        idx_folder(tmp_path)
    kaggle = tmp_path / "kaggle"
    for kind in ("images-idx3", "labels-idx1"):
        name = f"train-{kind}-ubyte"
        (kaggle / name).mkdir(parents=True)
        (kaggle / name / name).write_bytes((raw / name).read_bytes())
    assert idx_folder(kaggle).digest == idx_folder(raw).digest


def test_images_and_labels_are_of_one_level(tmp_path):
    """What lies further down is of another set: its labels are nobody's here, and number no class."""
    below = tmp_path / "other"
    below.mkdir()
    write_pair(below, labels=(LABELS + 1) % 4 + 3)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(GOOD)
    with pytest.raises(ValueError, match="has no labels file"):
        idx_folder(tmp_path)
    write_pair(tmp_path, split="t10k")
    assert idx_folder(tmp_path, split="test").labels.tolist() == LABELS.tolist()


def test_a_folder_without_files_says_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"no images file .*; it holds notes.txt"):
        idx_folder(tmp_path)


@pytest.mark.parametrize(("path", "message"), [(".", "is a folder"), ("nowhere", "is not there")])
def test_what_is_no_file_is_refused(tmp_path, path, message):
    with pytest.raises(ValueError, match=message):
        read_idx(tmp_path / path)
