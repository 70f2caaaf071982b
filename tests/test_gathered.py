"""Many batches as one: the same from files as from memory, and never held whole."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from kdtheory import Stream, certify, gathered
from kdtheory.batches import Batches
from kdtheory.role_rows import check_rows
from kdtheory.roles import HoldOut, Train, Unlabelled
from kdtheory.types import tensor_of

proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")


def anonymous() -> int:
    """Bytes of memory that no file backs."""
    told = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in told if line.startswith("RssAnon")).split()[1]) * 1024


@pytest.fixture(params=[2**28, 1, 200])
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """All in memory, each batch in the file, and a few at once."""
    monkeypatch.setattr(gathered, "_HELD", request.param)
    return request.param


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool],
)
def test_what_loaders_give_is_the_same_wherever_it_is_kept(
    dtype: torch.dtype, held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    x = torch.from_numpy(Stream(0).numpy().standard_normal((37, 2, 3)) * 50).abs().to(dtype)
    y = torch.arange(37) % 5
    found = Train.of(DataLoader(TensorDataset(x, y), batch_size=5))
    assert found.inputs.dtype == dtype
    assert torch.equal(found.inputs, x)
    assert torch.equal(found.labels, y)
    assert not list(tmp_path.iterdir()), "the files have no names any more"
    found.inputs[0] = 0  # and may be written to
    assert torch.equal(Unlabelled.of(DataLoader(x, batch_size=4)).inputs, x)


def test_batches_of_many_parts_and_ignored_labels(held: int) -> None:
    x, mask, y = torch.rand(20, 3), torch.arange(40).reshape(20, 2), torch.arange(20) % 4
    loader = [{"x": x[i : i + 6], "mask": mask[i : i + 6], "labels": y[i : i + 6]} for i in range(0, 20, 6)]
    found = Train.of(Batches(loader, ignore_index=3))
    kept = y != 3
    parts = found.called_with.named
    assert torch.equal(parts["x"], x[kept])
    assert torch.equal(parts["mask"], mask[kept])
    assert torch.equal(found.labels, y[kept])


def test_batches_of_two_types_or_shapes_are_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered, "_HELD", 1)
    y = torch.zeros(2, dtype=torch.long)
    with pytest.raises(ValueError, match=r"float32 and torch\.float64; give one type"):
        Train.of([(torch.ones(2, 3), y), (torch.ones(2, 3).double(), y)])
    with pytest.raises(ValueError, match="pad sequences"):
        Train.of([(torch.ones(2, 3), y), (torch.ones(2, 4), y)])


class Made(Dataset):
    """Rows that are made as they are asked for."""

    reads = 0

    def __len__(self) -> int:
        return 4000

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        Made.reads += 1
        return torch.full((2500,), float(place)), place % 2


@proc
def test_a_loader_is_read_once_and_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """40 MB, of which 4 MB are held at once."""
    monkeypatch.setattr(gathered, "_HELD", 2**21)
    Made.reads, net = 0, nn.Linear(2500, 2)
    before = anonymous()
    held = HoldOut.of(DataLoader(Made(), batch_size=100))
    check_rows(held)
    found = certify(net, holdout=held, fixed_in_advance=True, batch_size=100)
    assert anonymous() - before < 20e6
    assert Made.reads == 4000
    assert found.points["holdout"] == 4000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(3_000_000, dtype=np.float32).reshape(3000, 1000))
    return path


@proc
def test_a_mapped_file_is_not_copied(file: Path) -> None:
    check_rows(HoldOut.of(np.ones((3, 2), np.float32), [0, 1, 0]), may_repeat=["holdout"])
    before = anonymous()
    held = HoldOut.of(np.load(file, mmap_mode="r"), np.zeros(3000, int))
    check_rows(held)
    assert anonymous() - before < 4e6


@pytest.mark.parametrize("part", [slice(None), slice(7, 90), slice(0, 90, 2), 5, ([3, 1],)])
def test_a_view_of_a_mapped_file_is_that_view_and_the_file_stays(part: object, file: Path) -> None:
    found, bytes_before = tensor_of("x", np.load(file, mmap_mode="r")[part]), file.read_bytes()
    assert np.array_equal(found.numpy(), np.load(file)[part])
    found.zero_()
    assert file.read_bytes() == bytes_before


def test_a_file_that_was_replaced_is_read_as_it_was(file: Path) -> None:
    mapped = np.load(file, mmap_mode="r")
    os.rename(file, file.with_name("old.npy"))
    np.save(file, np.zeros((3000, 1000), np.float32))
    assert np.array_equal(tensor_of("x", mapped).numpy(), mapped)
    file.unlink()
    assert np.array_equal(tensor_of("x", mapped).numpy(), mapped)
