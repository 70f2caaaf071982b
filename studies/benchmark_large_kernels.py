"""Kernels in files against kernels in memory, and transfer risk without the matrix against exact solutions.

*In a file*: the ReLU tangent kernel of n points, float32, written block by block by `stored_gram`, against
the same matrix in memory. *Without the matrix*: the transfer risk of students of n points, digits blended
within their class and blurred by noise, by preconditioned conjugate gradients in float32, against
scikit-learn's `KernelRidge` with the matrix in memory, in double precision. The students are the same: ridge
regression of the oracle's values with that jitter. Low and high enclose the exact student's risk, whose value
is in the table too.

Seconds are those of the processors, so that other work on the machine counts little, and *wall_seconds* those
of the clock. Memory is what a call holds at most beyond the level before it, pages of a mapped file included.
*Extrapolated* is where the power of n that the exact risks follow would be.

To look at: at 20,000 points a file costs little more time than memory (at 5,000 the writing is most of it)
and holds a small part of it; the interval holds the exact risk, and n² is nowhere held: without the matrix a
student of 10,000 points is solved in a fraction of the time, as blocks that find room are kept from step to
step, and one of 100,000 at all.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _process import memory_of
from sklearn.kernel_ridge import KernelRidge

from kdtheory.datasets import digits
from kdtheory.ntk import InfiniteMLP
from kdtheory.plots import PALETTE, counts_axis, panel_letter
from kdtheory.stored_gram import stored_gram
from kdtheory.streams import Stream
from kdtheory.transfer_risk import KernelFunction, interpolant, large_transfer_curve

CLAIMS: tuple[str, ...] = ()
PANELS = 2
CONFIG: dict[str, Any] = {
    "stored": (5000, 10_000, 20_000, 40_000),
    "dim": 64,
    "depth": 8,
    "transfer": (2500, 5000, 10_000, 20_000, 100_000),
    "exact_up_to": 20_000,
    "landmarks": 500,
    "points_a_landmark": 33,
    "jitter": 1e-2,
    "tolerance": 1e-2,
    "noise": 0.5,
    "fresh": 4000,
    "repeats": 2,
}
SMALL: dict[str, Any] = {
    "stored": (300, 600), "transfer": (200, 400), "exact_up_to": 200, "landmarks": 50, "fresh": 100,
    "repeats": 1,
}  # fmt: skip

_DEEP = 2**0.5
_ORACLE = InfiniteMLP(3, weight_std=_DEEP)
_POOL = 1000
_Measured = tuple[float, float, int]


def run(
    stream: Stream,
    *,
    stored: Sequence[int],
    dim: int,
    depth: int,
    transfer: Sequence[int],
    exact_up_to: int,
    landmarks: int,
    points_a_landmark: int,
    jitter: float,
    tolerance: float,
    noise: float,
    fresh: int,
    repeats: int,
) -> list[dict[str, Any]]:
    """Rows: part, n, seconds and memory of this package's way and of the rival, ratios, risks.

    Args:
        stream: where points come from.
        stored: n of kernels in files.
        dim, depth: of these points, and hidden layers.
        transfer: n of transfer curves.
        exact_up_to: the largest n that the rival solves.
        landmarks, jitter, tolerance: as `large_transfer_curve` takes them.
        points_a_landmark: of so many points at least one is a landmark.
        noise: of the blur, in standard deviations of a pixel.
        fresh: points on which the risk is taken.
        repeats: of kernels in files and in memory; the least counts.
    """
    rows = [_stored(stream.child("stored", n), n, dim, depth, repeats) for n in stored]
    world = _World.drawn(stream.child("digits"), max(transfer), fresh, noise)
    how = {"jitter": jitter, "tolerance": tolerance}
    curve = [
        _transferred(world, n, how | {"landmarks": max(landmarks, n // points_a_landmark)}, exact_up_to)
        for n in transfer
    ]
    return rows + _extrapolated(curve)


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Time and memory of both ways over n, of both parts."""
    for ax, letter, (part, other) in zip(axes, "ab", _NAMES.items(), strict=True):
        table = rows[rows["part"] == part]
        for side, color, name in (("", "blue", part), ("rival_", "black", other)):
            for column, line, unit in (("seconds", "o-", "s"), ("memory_mb", "s--", "MB")):
                ax.plot(
                    table["points"], table[side + column].clip(lower=0.1), line, color=PALETTE[color],
                    label=f"{name}, {unit}",
                )  # fmt: skip
        ax.set_yscale("log")
        counts_axis(ax, table["points"], label="points")
        panel_letter(ax, letter, part)
        ax.set_ylim(top=1000 * ax.get_ylim()[1])  # room for the key
        ax.legend(loc="upper left", fontsize="small")


_NAMES = {"in a file": "in memory", "without the matrix": "KernelRidge"}


def _stored(stream: Stream, n: int, dim: int, depth: int, repeats: int) -> dict[str, Any]:
    kernel = InfiniteMLP(depth, weight_std=_DEEP)
    points = torch.from_numpy(stream.numpy().standard_normal((n, dim))).float()
    kernel(points[:64])  # loads what is compiled

    def to_a_file() -> None:
        with tempfile.TemporaryDirectory() as folder:
            stored_gram(kernel, points, Path(folder) / "gram.npy", progress=False)

    measured = [
        [_measured(to_a_file), _measured(lambda: kernel(points))] for _ in range(repeats)
    ]  # the sides in turns
    own, rival = (min(side) for side in zip(*measured, strict=True))
    return _row("in a file", n, own, rival)


class _World:
    """Augmented digits, an oracle of one half of the labels against the other, and fresh points."""

    def __init__(self, inputs: torch.Tensor, fresh: torch.Tensor, oracle: KernelFunction) -> None:
        self.inputs, self.fresh, self.oracle = inputs, fresh, oracle

    @classmethod
    def drawn(cls, stream: Stream, n: int, fresh: int, noise: float) -> _World:
        x, y = digits().inputs.flatten(1).double(), digits().labels
        generator = stream.numpy()
        by_class = [np.flatnonzero((y == label).numpy()) for label in range(10)]
        first = generator.integers(0, len(x), n + fresh)
        second = np.array([generator.choice(by_class[int(y[place])]) for place in first])
        share = torch.from_numpy(generator.random((n + fresh, 1)))
        made = share * x[first] + (1 - share) * x[second]
        made += noise * float(x.std()) * torch.from_numpy(generator.standard_normal(made.shape))
        pool = generator.permutation(len(x))[:_POOL]
        signs = torch.where(y[pool] % 2 > 0, 1.0, -1.0).double()
        return cls(made[:n], made[n:], interpolant(_ORACLE, x[pool], signs))


def _transferred(world: _World, n: int, settings: dict[str, Any], exact_up_to: int) -> dict[str, Any]:
    single = KernelFunction(_ORACLE, world.oracle.anchors.float(), world.oracle.coefficients.float())
    inputs, found = world.inputs[:n], []

    def without() -> None:
        curve = large_transfer_curve(
            _ORACLE, inputs.float(), single, world.fresh.float(), sizes=(n,), progress=False, **settings
        )
        found.append(curve)

    measured = _measured(without)
    (curve,) = found
    told = {
        name: round(float(getattr(curve, name)), 6) for name in ("risk", "low", "high", "residual", "error")
    }
    told |= {"iterations": curve.iterations[0], "exact_risk": None}
    if n > exact_up_to:
        return _row("without the matrix", n, measured, None) | told
    exact = []

    def ridge() -> None:
        gram = _ORACLE(inputs).numpy()
        regression = KernelRidge(
            alpha=settings["jitter"] * float(gram.diagonal().mean()), kernel="precomputed"
        )
        regression.fit(gram, world.oracle(inputs).numpy())
        exact.append(regression.predict(_ORACLE(world.fresh, inputs).numpy()))

    rival = _measured(ridge)
    wrong = np.sign(exact[0]) != np.sign(world.oracle(world.fresh).numpy())
    told["exact_risk"] = round(float(wrong.mean()), 6)
    return _row("without the matrix", n, measured, rival) | told


def _extrapolated(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, and beside risks that no exact solution has the power of n that the exact ones follow."""
    exact = [(row["points"], row["exact_risk"]) for row in rows if row["exact_risk"]]
    for row in rows:
        missing = row["exact_risk"] is None and len(exact) > 1
        slope, level = np.polyfit(*np.log(exact).T, 1) if missing else (0.0, 0.0)
        row["extrapolated_risk"] = float(np.exp(level) * row["points"] ** slope) if missing else None
    return rows


def _row(part: str, n: int, own: _Measured, rival: _Measured | None) -> dict[str, Any]:
    seconds, wall, memory = own
    return {
        "part": part, "points": n, "seconds": round(seconds, 3), "wall_seconds": round(wall, 3),
        "memory_mb": round(memory / 1e6, 1),
        "rival_seconds": rival and round(rival[0], 3),
        "rival_memory_mb": rival and round(rival[2] / 1e6, 1),
        "seconds_ratio": rival and round(seconds / rival[0], 3),
        "memory_ratio": rival and round(memory / rival[2], 4),
    }  # fmt: skip


def _measured(call: Callable[[], object]) -> _Measured:
    """Seconds of the processors, seconds of the clock, and bytes."""
    busy, start = time.process_time(), time.perf_counter()
    memory, _ = memory_of(call)
    return time.process_time() - busy, time.perf_counter() - start, memory


if __name__ == "__main__":
    sys.stdout.write(pd.DataFrame(run(Stream(0), **CONFIG)).to_string(index=False) + "\n")
