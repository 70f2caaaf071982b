"""Populations against a plain torch loop over the same nets, and against jax.vmap + jit.

Time per model-step (one optimiser step of one net, full batch, cross-entropy on labels, float32, CPU). The
*loop* is what a user would write: an `nn.Sequential`, `F.cross_entropy`, `torch.optim`, one net after the
other, with torch's threads or with one, whichever is faster in that turn; its time per model-step does not
depend on how many nets follow, so one stands for all. *JAX*, where it is installed, is one jitted program:
the scan over the steps of one net, mapped over the members. The sides take turns in the same process; a time
is the median over the repeats, a ratio the median over the repeats of the loop's time over the side's. What
a side does before its first step (compilation, checks, copies) and after its last one is not counted. The
products that a step needs, 2·n·in·out each, are set against torch's rate on a 1024 × 1024 product, measured
between the turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise, product
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from kdtheory.losses import label_loss
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, legend_above, panel_letter
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream
from kdtheory.types import torch_threads

CLAIMS: tuple[str, ...] = ()
CONFIG: dict[str, Any] = {
    "nets": ((64, 128, 10), (2, 64, 64, 2)),
    "members": (8, 64, 512),
    "examples": (200, 1000),
    "optimizers": ("sgd", "adam"),
    "model_steps": 2048,
    "loop_steps": 50,
    "repeats": 7,
}
SMALL: dict[str, Any] = CONFIG | {
    "nets": ((2, 64, 64, 2),),
    "members": (8, 64),
    "examples": (200,),
    "model_steps": 512,
    "loop_steps": 20,
    "repeats": 3,
}
PANELS, ROWS = 2, 2

_RATES = {"sgd": 0.1, "adam": 1e-3}
_SIDES = {
    "loop": (PALETTE["black"], "|", "plain torch loop"),
    "jax": (PALETTE["orange"], "^", "jax.vmap + jit"),
    "population": (PALETTE["blue"], "o", "population"),
}
_GEMM_SIZE = 1024


@dataclass(frozen=True)
class Cell:
    """One line of the table: what is trained, on what."""

    architecture: MLP
    members: int
    optimizer: str
    inputs: Tensor
    labels: Tensor
    start: Tensor

    @property
    def flops(self) -> int:
        """Operations in a model-step's products: forward, weight gradient, input gradient but for layer 1."""
        widths = self.architecture.widths
        layers = [inside * out for inside, out in pairwise(widths)]
        return 2 * len(self.labels) * (3 * sum(layers) - layers[0])


def run(
    stream: Stream,
    *,
    nets: Sequence[tuple[int, ...]],
    members: Sequence[int],
    examples: Sequence[int],
    optimizers: Sequence[str],
    model_steps: int,
    loop_steps: int,
    repeats: int,
) -> list[dict[str, Any]]:
    """Rows: net, n, optimizer, members, side; μs per model-step, ratio to the loop, share of the GEMM rate.

    Args:
        stream: where data and initialisations come from; they do not matter here.
        nets: widths of the nets.
        members: sizes of the populations.
        examples: sizes of the shared sample.
        optimizers: names of the optimisers.
        model_steps: of the population and JAX in one repeat, at least four steps.
        loop_steps: of the loop in one repeat.
        repeats: turns of each side, after one to warm up.
    """
    rows = []
    for widths, n, optimizer, size in product(nets, examples, optimizers, members):
        cell = _cell(stream, MLP(widths), n, optimizer, size)
        facts = {"net": cell.architecture.name, "n": n, "optimizer": optimizer, "members": size}
        times, gemm = _turns(_sides(cell, max(4, model_steps // size), loop_steps), repeats)
        rows += [facts | _summary(side, times, gemm, cell.flops) for side in times]
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """The ratio to the loop in every cell of the table, a panel for each net."""
    nets = list(rows.groupby("net", sort=False))
    for ax, letter, (net, part) in zip(axes, "ab", nets, strict=False):
        cells = list(part.groupby(["n", "optimizer", "members"], sort=False))
        for side, (color, marker, label) in _SIDES.items():
            at = [(line["ratio"].iloc[0], y) for y, (_, cell) in enumerate(cells)
                  if len(line := cell[cell["side"] == side])]  # fmt: skip
            if at:
                ax.plot(*zip(*at, strict=True), marker, color=color, label=label)
        ax.axvline(1, color=PALETTE["black"], linewidth=1)
        ax.set_yticks(range(len(cells)), [f"n = {n}, {opt}, {m}" for (n, opt, m), _ in cells])
        ax.invert_yaxis()
        ax.set_xscale("log")
        ax.set_xticks([1, 2, 3, 4, 6, 8], ["1", "2", "3", "4", "6", "8"])
        ax.minorticks_off()
        ax.set_xlabel("model-steps in the time of one of the loop's")
        panel_letter(ax, letter, f"{net} (sample, optimiser, members)")
    for ax in axes[len(nets) :]:
        ax.set_axis_off()
    legend_above(axes[0], columns=len(rows["side"].unique()))


def _cell(stream: Stream, architecture: MLP, n: int, optimizer: str, members: int) -> Cell:
    inputs = torch.randn(n, architecture.widths[0], generator=stream.child("inputs", n).torch())
    labels = torch.randint(architecture.widths[-1], (n,), generator=stream.child("labels", n).torch())
    start = architecture.init(stream.child("init"), members=members)
    return Cell(architecture, members, optimizer, inputs, labels, start)


def _sides(cell: Cell, steps: int, loop_steps: int) -> dict[str, Callable[[], float]]:
    """For each side a function that runs it once: seconds per model-step."""
    sides = {"population": lambda: _population(cell, steps), "loop": lambda: _loop(cell, loop_steps)}
    if find_spec("jax") is not None:
        sides["jax"] = _jax(cell, steps)
    return sides


def _turns(sides: dict[str, Callable[[], float]], repeats: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Seconds per model-step of each side, and FLOP/s of the large product, turn by turn."""
    for side in sides.values():
        side()
    turns = [[_gemm(), *(side() for side in sides.values())] for _ in range(repeats)]
    gemm, *times = np.array(turns).T
    return dict(zip(sides, times, strict=True)), gemm


def _summary(side: str, times: dict[str, np.ndarray], gemm: np.ndarray, flops: int) -> dict[str, Any]:
    seconds, rate = float(np.median(times[side])), float(np.median(gemm))
    return {
        "side": side,
        "us_per_model_step": round(1e6 * seconds, 1),
        "ratio": round(float(np.median(times["loop"] / times[side])), 2),
        "gflops": round(flops / seconds / 1e9, 1),
        "gemm_gflops": round(rate / 1e9, 1),
        "fraction": round(flops / seconds / rate, 3),
    }


def _clocked(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _gemm() -> float:
    matrix = torch.ones(_GEMM_SIZE, _GEMM_SIZE)
    matrix @ matrix
    return 10 * 2 * _GEMM_SIZE**3 / _clocked(lambda: [matrix @ matrix for _ in range(10)])


def _population(cell: Cell, steps: int) -> float:
    def trained(count: int) -> None:
        train(
            cell.architecture,
            cell.inputs,
            cell.labels,
            loss=label_loss,
            members=cell.members,
            stream=Stream(0),
            recipe=Recipe(steps=count, learning_rate=_RATES[cell.optimizer], optimizer=cell.optimizer),
            initial=cell.start,
            device="cpu",
        )

    return (_clocked(lambda: trained(steps)) - _clocked(lambda: trained(0))) / (steps * cell.members)


def _loop(cell: Cell, steps: int) -> float:
    """The faster of the loop with torch's threads and the loop with one."""
    seconds = []
    for threads in {1, torch.get_num_threads()}:
        with torch_threads(threads):
            seconds.append(_plain(cell, steps))
    return min(seconds)


def _plain(cell: Cell, steps: int) -> float:
    module = cell.architecture.module(cell.start, 0)
    kind = torch.optim.SGD if cell.optimizer == "sgd" else torch.optim.Adam
    optimizer = kind(module.parameters(), lr=_RATES[cell.optimizer])

    def descend(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            F.cross_entropy(module(cell.inputs), cell.labels).backward()
            optimizer.step()

    descend(3)
    return _clocked(lambda: descend(steps)) / steps


def _jax(cell: Cell, steps: int) -> Callable[[], float]:
    """All members in one compiled program; Adam as torch has it."""
    import jax
    import jax.numpy as jnp

    inputs, labels = jnp.asarray(cell.inputs.numpy()), jnp.asarray(cell.labels.numpy())
    start = [jnp.asarray(value.numpy()) for value in cell.architecture.unpack(cell.start).values()]
    rate = _RATES[cell.optimizer]

    def loss(params: Any) -> Any:
        hidden = inputs
        for depth in range(0, len(params), 2):
            hidden = hidden @ params[depth].T + params[depth + 1]
            if depth < len(params) - 2:
                hidden = jax.nn.relu(hidden)
        log_probs = jax.nn.log_softmax(hidden)
        return -jnp.take_along_axis(log_probs, labels[:, None], 1).mean()

    def step(state: Any, count: Any) -> Any:
        params, first, second = state
        gradient = jax.grad(loss)(params)
        if cell.optimizer == "sgd":
            return ([p - rate * g for p, g in zip(params, gradient, strict=True)], first, second), None
        first = [0.9 * m + 0.1 * g for m, g in zip(first, gradient, strict=True)]
        second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradient, strict=True)]
        scale, root = rate / (1 - 0.9**count), jnp.sqrt(1 - 0.999**count)
        moved = [p - scale * m / (jnp.sqrt(v) / root + 1e-8)
                 for p, m, v in zip(params, first, second, strict=True)]  # fmt: skip
        return (moved, first, second), None

    def trained(params: Any) -> Any:
        zeros = [jnp.zeros_like(p) for p in params]
        return jax.lax.scan(step, (params, zeros, zeros), jnp.arange(1.0, steps + 1))[0][0]

    population = jax.jit(jax.vmap(trained))
    return lambda: _clocked(lambda: jax.block_until_ready(population(start))) / (steps * cell.members)


if __name__ == "__main__":
    print(pd.DataFrame(run(Stream(0), **CONFIG)).to_string(index=False))  # noqa: T201
