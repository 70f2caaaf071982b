"""Gram matrices in files: the kernel's, made once, gone on with after a kill, and never mixed of two."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from kdtheory import Stream
from kdtheory import stored_gram as module
from kdtheory.ntk import EmpiricalKernel, InfiniteMLP, LinearKernel
from kdtheory.stored_gram import stored_gram

KERNEL = InfiniteMLP(2, bias_std=0.1)
BLOCKS = 21  # of 6 × 6 with their mirrors


def points(n: int = 41, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.from_numpy(Stream(seed).numpy().standard_normal((n, 3))).to(dtype)


class Ends:
    """The kernel, until it was asked so many times."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, rows: Tensor, columns: Tensor | None = None, /) -> Tensor:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return KERNEL(rows, columns)

    def diagonal(self, rows: Tensor, /) -> Tensor:
        return KERNEL.diagonal(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("jobs", [1, 2])
def test_the_file_holds_the_matrix(dtype: torch.dtype, jobs: int, tmp_path: Path) -> None:
    x, told = points(dtype=dtype), []
    found = stored_gram(KERNEL, x, tmp_path / "a" / "gram.npy", block_size=7, jobs=jobs,
                        progress=lambda *done: told.append(done))  # fmt: skip
    truth = KERNEL(x).numpy()
    assert (found.dtype, found.flags.writeable) == (truth.dtype, False)
    assert np.allclose(found, truth, rtol=20 * np.finfo(truth.dtype).eps)
    assert (found == found.T).all()
    assert (np.load(tmp_path / "a" / "gram.npy") == found).all()
    assert told == [(done, BLOCKS) for done in range(BLOCKS + 1)]


@pytest.mark.parametrize("after", [0, 1, 8, 20])
def test_a_call_goes_on_where_another_was_broken_off(after: int, tmp_path: Path) -> None:
    x, path, again = points(), tmp_path / "gram.npy", Ends(10**6)
    with contextlib.suppress(KeyboardInterrupt):
        stored_gram(Ends(after), x, path, block_size=7)
    found = stored_gram(again, x, path, block_size=7)
    assert 10**6 - again.left == BLOCKS - after + (after > 0)  # one is looked at again
    assert np.allclose(found, KERNEL(x).numpy(), rtol=1e-14)
    before = again.left
    stored_gram(again, x, path, block_size=7)
    assert before - again.left == 1


@pytest.mark.parametrize("place", [(0, 40), (40, 0), (20, 20)])
def test_a_block_that_was_not_kept_is_made_again(place: tuple[int, int], tmp_path: Path) -> None:
    x, path = points(), tmp_path / "gram.npy"
    stored_gram(KERNEL, x, path, block_size=7)
    there = np.load(path, mmap_mode="r+")
    there[place] = 0
    there.flush()
    found = stored_gram(KERNEL, x, path, block_size=7)
    assert np.allclose(found, KERNEL(x).numpy(), rtol=1e-14)


def test_what_is_asked_must_be_what_was_begun(tmp_path: Path) -> None:
    x, path = points(), tmp_path / "gram.npy"
    with contextlib.suppress(KeyboardInterrupt):
        stored_gram(Ends(3), x, path, block_size=7)
    for kernel, rows, size, said in (
        (KERNEL, points(seed=1), 7, "begun with points"),
        (KERNEL, x[:40], 7, "begun with points"),
        (KERNEL, x, 8, "begun with block = 7, not 8"),
        (InfiniteMLP(2, bias_std=0.11), x, 7, "another kernel"),
        (LinearKernel(), x, 7, "another kernel"),
    ):
        with pytest.raises(ValueError, match=said):
            stored_gram(kernel, rows, path, block_size=size)
    (tmp_path / "other.npy").write_bytes(b"mine")
    with pytest.raises(ValueError, match="no record of how it was made"):
        stored_gram(KERNEL, x, tmp_path / "other.npy")
    assert (tmp_path / "other.npy").read_bytes() == b"mine"
    for bad in ({"block_size": 0}, {"jobs": 0}):
        with pytest.raises(ValueError, match=r"block_size|jobs"):
            stored_gram(KERNEL, x, tmp_path / "new.npy", **bad)
    assert not (tmp_path / "new.npy").exists()


def without(record: dict) -> str:
    return json.dumps({name: value for name, value in record.items() if name != "finished"})


@pytest.mark.parametrize(
    ("name", "damaged", "said"),
    [
        ("gram.npy.json", lambda text: text[:40], "is not JSON"),
        ("gram.npy.json", lambda text: without(json.loads(text)), "finished is None, and must be an object"),
        (
            "gram.npy.json",
            lambda text: json.dumps({**json.loads(text), "finished": [1]}),
            "must be an object",
        ),
        ("gram.npy.json", lambda text: json.dumps({**json.loads(text), "finished": {"0,0": "a"}}), "a whole"),
        ("gram.npy", lambda _: "", r"is no \.npy file that can be written"),
        ("gram.npy", lambda _: "mine" * 100, r"is no \.npy file that can be written"),
    ],
)
def test_what_was_damaged_is_refused_in_words(
    name: str, damaged: Callable[[str], str], said: str, tmp_path: Path
) -> None:
    stored_gram(KERNEL, points(), tmp_path / "gram.npy", block_size=7)
    place = tmp_path / name
    place.write_text(damaged(place.read_text(encoding="latin-1")), encoding="latin-1")
    with pytest.raises(ValueError, match=said):
        stored_gram(KERNEL, points(), tmp_path / "gram.npy", block_size=7)


class Asks:
    """The kernel, which is asked for the same file meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, rows: Tensor, columns: Tensor | None = None, /) -> Tensor:
        with pytest.raises(ValueError, match="in use by another call"):
            stored_gram(LinearKernel(), points(), self.path, block_size=7)
        return KERNEL(rows, columns)

    def diagonal(self, rows: Tensor, /) -> Tensor:
        return KERNEL.diagonal(rows)


def test_two_calls_do_not_write_one_file(tmp_path: Path) -> None:
    found = stored_gram(Asks(tmp_path / "gram.npy"), points(), tmp_path / "gram.npy", block_size=7)
    assert np.allclose(found, KERNEL(points()).numpy(), rtol=1e-14)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="writes to /dev/full")
def test_a_full_disk_is_said_before_and_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, path = points(), tmp_path / "gram.npy"
    with monkeypatch.context() as small:
        small.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(total=10**9, free=13_447))
        with pytest.raises(ValueError, match=r"needs 1\.34e-05 GB, and 1\.34e-05 GB are free"):
            stored_gram(KERNEL, x, path, block_size=7)
    assert not path.exists()
    with monkeypatch.context() as small:
        small.setattr(module, "in_place", lambda _: open("/dev/full", "r+b", buffering=0))  # noqa: SIM115
        with pytest.raises(ValueError, match="No space left on device\\); make room, and call again"):
            stored_gram(KERNEL, x, path, block_size=7)
    assert np.allclose(stored_gram(KERNEL, x, path, block_size=7), KERNEL(x).numpy(), rtol=1e-14)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_stored_gram as t
from kdtheory import stored_gram as module
module._PAUSE = 0.0
def kill(done, total):
    if done == 9:
        os.kill(os.getpid(), signal.SIGKILL)
module.stored_gram(t.KERNEL, t.points(), Path(sys.argv[1]), block_size=7, progress=kill)
"""


def test_a_killed_process_leaves_what_it_had_recorded(tmp_path: Path) -> None:
    path, again = tmp_path / "gram.npy", Ends(10**6)
    told = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(Path(__file__).parent)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False,
    )  # fmt: skip
    assert told.returncode == -signal.SIGKILL
    assert len(json.loads((tmp_path / "gram.npy.json").read_text())["finished"]) == 8
    found = stored_gram(again, points(), path, block_size=7)
    assert 10**6 - again.left == BLOCKS - 8 + 1
    assert np.allclose(found, KERNEL(points()).numpy(), rtol=1e-14)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_the_file_is_not_held_in_memory(tmp_path: Path) -> None:
    def resident() -> int:
        told = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in told if line.startswith("VmRSS")).split()[1]) * 1024

    x = points(3000, dtype=torch.float32)
    stored_gram(KERNEL, x[:100], tmp_path / "warm.npy")
    before, most = resident(), 0

    def look(done: int, total: int) -> None:
        nonlocal most
        most = max(most, resident() - before)

    stored_gram(KERNEL, x, tmp_path / "gram.npy", block_size=256, progress=look)
    size = (tmp_path / "gram.npy").stat().st_size
    assert size > 36e6
    assert most < size / 4, f"{most / 1e6:.1f} MB of a file of {size / 1e6:.1f} MB"


def test_the_file_has_the_type_of_the_values_and_not_of_the_points(tmp_path: Path) -> None:
    half, single = points(9).half(), points(9, dtype=torch.float32)
    brain = single.bfloat16()
    module = torch.nn.Linear(3, 2).double()  # K = x·x′ + 1, in the module's precision
    for name, kernel, rows, dtype in (
        ("half", LinearKernel(), half, np.float32),
        ("brain", LinearKernel(), brain, np.float32),
        ("module", EmpiricalKernel(module), single, np.float64),
    ):
        for _ in range(2):  # made, and gone on with
            found = stored_gram(kernel, rows, tmp_path / name, block_size=4)
            assert found.dtype == dtype
            assert np.allclose(found, kernel(rows).numpy(), rtol=1e-6)
