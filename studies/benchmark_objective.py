"""The cost of an objective in a plain loop, against the same loss written by hand.

A row is one pair of networks, student and teacher, and one batch. By hand: both forward passes, the teacher's
without gradients, λT²·`kl_div` + (1−λ)·`cross_entropy` of torch, the backward pass. Ours: the same by
`kdtheory.schemes.Objective` and `hinton`, with what it looks at in a batch and in the logits. The two take
turns, on one thread, so that whatever else the machine does meets both; seconds are of the processor. The
cost beside the networks is nearly the same whatever their size, so that the ratio falls as the step grows.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter
from torch import Tensor, nn

from kdtheory.plots import PALETTE
from kdtheory.schemes import Objective, hinton
from kdtheory.streams import Stream
from kdtheory.types import torch_threads

CLAIMS: tuple[str, ...] = ()
CONFIG: dict[str, Any] = {
    "cases": (
        ("dense", 64, 256, 28, 128),
        ("dense", 512, 2048, 28, 256),
        ("convolutional", 8, 32, 8, 128),
        ("convolutional", 16, 32, 16, 128),
        ("convolutional", 16, 64, 16, 128),
    ),
    "temperature": 4.0,
    "weight": 0.9,
    "repeats": 21,
}
SMALL: dict[str, Any] = {"cases": (("dense", 8, 16, 4, 16), ("convolutional", 2, 4, 4, 16)), "repeats": 3}

_CLASSES = 10


def run(
    stream: Stream,
    *,
    cases: tuple[tuple[str, int, int, int, int], ...],
    temperature: float,
    weight: float,
    repeats: int,
) -> list[dict[str, Any]]:
    """Rows: networks, milliseconds of a step by hand and by the objective, their ratio and difference.

    Args:
        stream: where networks and inputs are drawn.
        cases: kind, width of the student, width of the teacher, pixels on a side, examples in a batch.
        temperature, weight: of the loss.
        repeats: turns of each.
    """
    with torch_threads(1):
        return [
            _row(stream.child(str(case)), case, temperature=temperature, weight=weight, repeats=repeats)
            for case in cases
        ]


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """The ratio over the milliseconds of a step by hand, and the line of 1.05."""
    for (kind, part), color in zip(rows.groupby("kind"), (PALETTE["blue"], PALETTE["orange"]), strict=False):
        ax.plot(part["by_hand_ms"], part["ratio"], "o-", color=color, label=str(kind))
    ax.axhline(1.05, color=PALETTE["black"], linewidth=0.8, linestyle="--", label="1.05")
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("a step by hand (ms)")
    ax.set_ylabel("time of the objective's step over it")
    ax.legend()


def _row(
    stream: Stream, case: tuple[str, int, int, int, int], *, temperature: float, weight: float, repeats: int
) -> dict[str, Any]:
    kind, small, large, side, examples = case
    with stream.default():
        student, teacher = (_net(kind, width, side) for width in (small, large))
        x, y = torch.randn(examples, 1, side, side), torch.randint(_CLASSES, (examples,))
    teacher.eval()
    objective = Objective(student, teacher, losses=hinton(temperature=temperature, weight=weight))

    def by_hand() -> Tensor:
        logits = student(x)
        with torch.no_grad():
            taught = F.softmax(teacher(x) / temperature, -1)
        soft = F.kl_div(F.log_softmax(logits / temperature, -1), taught, reduction="batchmean")
        return weight * temperature**2 * soft + (1 - weight) * F.cross_entropy(logits, y)

    ours, theirs = _in_turns(student, (lambda: objective((x, y))["loss"], by_hand), repeats)
    return {
        "kind": kind, "student": small, "teacher": large, "side": side, "examples": examples,
        "by_hand_ms": round(1e3 * theirs, 3), "objective_ms": round(1e3 * ours, 3),
        "ratio": round(ours / theirs, 3), "difference_ms": round(1e3 * (ours - theirs), 3),
    }  # fmt: skip


def _net(kind: str, width: int, side: int) -> nn.Module:
    if kind == "dense":
        hidden = nn.Linear(side * side, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, _CLASSES))
    blocks = [
        nn.Sequential(nn.Conv2d(inside, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        for inside in (1, width, width)
    ]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, _CLASSES))


def _in_turns(student: nn.Module, losses: tuple[Callable[[], Tensor], ...], repeats: int) -> list[float]:
    """The median seconds of the processor for each loss and its backward pass."""
    seconds: list[list[float]] = [[] for _ in losses]
    for turn in range(repeats + 2):
        for loss, noted in zip(losses, seconds, strict=True):
            student.zero_grad()
            start = time.process_time()
            loss().backward()
            if turn > 1:  # the first two warm up
                noted.append(time.process_time() - start)
    return [statistics.median(noted) for noted in seconds]


if __name__ == "__main__":
    table = pd.DataFrame(run(Stream(0), **CONFIG))
    sys.stdout.write(table.to_string(index=False) + "\n")
