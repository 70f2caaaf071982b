"""What makes good values of single arguments, for the table of `fuzz_recipes`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from fuzz_values import LABELLED, NET, SAYS, Arguments
from torch import Tensor, nn

from kdtheory import coding, compare
from kdtheory.losses.truncated import TopK, top_k
from kdtheory.sequences import SequenceLaw
from kdtheory.streams import Stream

Maker = Callable[[Arguments], Any]
INDICES = torch.tensor([[0, 2, 1], [4, 1, 0]])
_FOLDER = TemporaryDirectory(prefix="fuzz")
_FILES: list[Path] = []


def rows(columns: int = 4, least: int = 6) -> Maker:
    return lambda draw: draw.normal(least, columns).to(draw.dtype)


def laws(*shape: int) -> Maker:
    return lambda draw: draw.normal(*shape).softmax(-1).to(draw.dtype)


def losses(*shape: int) -> Maker:
    return lambda draw: draw.normal(*shape).sigmoid().to(draw.dtype)


def vector(size: int) -> Maker:
    return lambda draw: draw.normal(size).to(draw.dtype)


def positive(size: int) -> Maker:
    return lambda draw: draw.normal(size).abs().add(0.1).float()


def wrong(draw: Arguments) -> Tensor:
    """0 and 1."""
    return (draw.normal(*draw.one_of((20,), (30,))) > 0.5).to(draw.dtype)


def matrices(draw: Arguments) -> tuple[Tensor, ...]:
    return tuple(draw.normal(4, 4).to(draw.dtype) for _ in range(2))


def maps(draw: Arguments) -> Tensor:
    return draw.normal(3, 2, 3, 3).to(draw.dtype)


def cohort(draw: Arguments) -> Tensor:
    return draw.normal(*draw.shape("*batch"), 6).to(draw.dtype)


def steps(draw: Arguments) -> tuple[Tensor, ...]:
    return law(draw).steps


def always(value: Any) -> Maker:
    return lambda draw: value


def number(value: float) -> Maker:
    return lambda draw: torch.tensor(value, dtype=draw.dtype)


def one(*choices: Any) -> Maker:
    """One of several values, or of what several makers make."""

    def make(draw: Arguments) -> Any:
        chosen = draw.one_of(*choices)
        return chosen(draw) if inspect.isfunction(chosen) else chosen

    return make


def own_params(*members: int) -> Maker:
    """Parameters of the architecture whose method is called, or of the first argument."""
    return lambda draw: draw.normal(*members, draw.owner.size).to(draw.dtype)


def named_params(draw: Arguments) -> Mapping[str, Tensor]:
    named: Mapping[str, Tensor] = draw.owner.unpack(draw.normal(draw.owner.size))
    return named


def own_rows(draw: Arguments) -> Tensor:
    shape = getattr(draw.owner, "input_shape", None) or (4,)
    return draw.normal(6, *shape).to(draw.dtype)


def law(draw: Arguments) -> SequenceLaw:
    return SequenceLaw.random(2, 2, Stream(draw.random.randrange(9)))


def kept(draw: Arguments) -> TopK:
    return top_k(draw.normal(*draw.shape("*batch k")), kept=2)


def logits_or_kept(axes: str) -> Maker:
    def make(draw: Arguments) -> Any:
        logits = draw.normal(*draw.shape(axes)).to(draw.dtype)
        return draw.one_of(logits, logits, top_k(logits, kept=2))

    return make


def plan(draw: Arguments) -> compare.LabelPlan:
    return LABELLED


def files() -> list[Path]:
    """A table of each kind, labels, and a folder of IDX files, written once."""
    if not _FILES:
        folder = Path(_FOLDER.name)
        numbers = np.random.default_rng(0).normal(size=(6, 3))
        pd.DataFrame(numbers, columns=["a", "b", "c"]).to_csv(folder / "logits.csv", index=False)
        np.save(folder / "logits.npy", numbers)
        np.save(folder / "labels.npy", np.arange(6) % 3)
        np.savez(folder / "logits.npz", numbers)
        pixels, classes = np.zeros((6, 2, 2), np.uint8), (np.arange(6) % 3).astype(np.uint8)
        for split in ("train", "t10k"):
            _write_idx(folder / f"{split}-images-idx3-ubyte", pixels)
            _write_idx(folder / f"{split}-labels-idx1-ubyte", classes)
        _FILES.extend(folder / name for name in ("logits.csv", "logits.npy", "logits.npz", "labels.npy"))
        (folder / "told.json").write_text('{"schema": 1}')
        (folder / "line.py").write_text('"""A title."""\n')
        (folder / "papers.bib").write_text("@book{own2026, title = {T}, author = {A, B}, year = {2026}}\n")
        _FILES.extend(folder / name for name in ("told.json", "line.py", "papers.bib"))
        _FILES.extend((folder / "t10k-labels-idx1-ubyte", folder))
    return _FILES


def _write_idx(path: Path, array: np.ndarray) -> None:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(head + array.tobytes())


def file(*names: str) -> Maker:
    """The path of one of them, as a text or a path."""

    def make(draw: Arguments) -> Any:
        wanted = draw.one_of(*names)
        chosen = next(path for path in files() if path.name == wanted or (path.is_dir() and not wanted))
        return draw.one_of(chosen, str(chosen))

    return make


def answers(draw: Arguments) -> tuple[np.ndarray, np.ndarray]:
    indices = np.array(plan(draw).indices)
    return indices, SAYS[indices]


def coded_network(draw: Arguments) -> str:
    return coding.encode_network(coding.quantise(draw.normal(NET.size), architecture=NET, levels=5))


def two_layers(draw: Arguments) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


def logits_of_roles(draw: Arguments) -> dict[str, Tensor]:
    return {"train": draw.normal(20, 3), "holdout": draw.normal(20, 3), "unlabelled": draw.normal(9, 3)}
