"""Losses of half-precision logits and features: processor time against that of float32, in the same run.

Each loss is computed forward and backward, in float32 and in each half precision, of the same numbers and
shapes; the types take turns, so that whatever else the machine does meets them alike. A ratio is the median
over the turns of time by time. Half precision is widened to float32 once on the way in, so that it costs one
cast each way on top of the float32 loss.

To look at: the median ratio over losses and shapes is at most 1.1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kdtheory.losses import jensen_shannon, kd_loss, kl_divergence, reverse_kl_divergence
from kdtheory.losses.features import attention_transfer, hint_loss
from kdtheory.losses.relations import (
    correlation_congruence,
    probabilistic_transfer,
    relational_angle_loss,
    relational_distance_loss,
    similarity_preserving,
)
from kdtheory.plots import PALETTE, legend_above
from kdtheory.streams import Stream

CLAIMS: tuple[str, ...] = ()
CONFIG: dict[str, Any] = {
    "logits": ((256, 100), (256, 1000)),
    "features": ((32, 256), (64, 512)),
    "dtypes": ("bfloat16", "float16"),
    "turns": 51,
}
SMALL: dict[str, Any] = CONFIG | {"logits": ((32, 20),), "features": ((8, 16),), "turns": 3}

Loss = Callable[[Tensor, Tensor], Tensor]
_LOGITS: dict[str, Loss] = {
    "kd_loss": lambda s, t: kd_loss(
        s, t, torch.zeros(len(s), dtype=torch.long, device=s.device), temperature=4.0, weight=0.9
    ),
    "kl": lambda s, t: kl_divergence(s, t).mean(),
    "reverse_kl": lambda s, t: reverse_kl_divergence(s, t).mean(),
    "jsd": lambda s, t: jensen_shannon(s, t).mean(),
}
_FEATURES: dict[str, Loss] = {
    "hint": hint_loss,
    "rkd_distance": relational_distance_loss,
    "rkd_angle": relational_angle_loss,
    "similarity": similarity_preserving,
    "congruence": correlation_congruence,
    "pkt": probabilistic_transfer,
    "attention": lambda s, t: attention_transfer(s[:, :, None, None], t[:, :, None, None], power=2.0),
}


def run(
    stream: Stream,
    *,
    logits: Sequence[tuple[int, int]],
    features: Sequence[tuple[int, int]],
    dtypes: Sequence[str],
    turns: int,
) -> list[dict[str, Any]]:
    """Rows: loss, shape and type; milliseconds in it and in float32, and the ratio.

    Args:
        stream: where the numbers come from.
        logits: shapes, examples by classes.
        features: shapes, examples by numbers in a feature.
        dtypes: types of half precision.
        turns: how often each is timed.
    """
    rows = []
    for losses, shapes in ((_LOGITS, logits), (_FEATURES, features)):
        for shape in shapes:
            numbers = torch.from_numpy(stream.child(*shape).numpy().standard_normal((2, *shape)))
            for name, loss in losses.items():
                calls = {dtype: _step(loss, numbers, getattr(torch, dtype)) for dtype in ("float32", *dtypes)}
                times = _timed(calls, turns)
                for dtype in dtypes:
                    rows.append(
                        {"loss": name, "examples": shape[0], "width": shape[1], "dtype": dtype}
                        | {
                            "ms": 1e3 * np.median(times[dtype]),
                            "float32_ms": 1e3 * np.median(times["float32"]),
                        }
                        | {"ratio": float(np.median(times[dtype] / times["float32"]))}
                    )
    return rows


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """The ratio of each loss, and the median of all."""
    places = {name: place for place, name in enumerate(dict.fromkeys(rows["loss"]))}
    for (dtype, part), color in zip(rows.groupby("dtype"), ("blue", "orange"), strict=False):
        ax.plot(part["ratio"], part["loss"].map(places), "o", color=PALETTE[color], label=str(dtype))
    ax.axvline(rows["ratio"].median(), color=PALETTE["black"], label="median")
    ax.set_yticks(list(places.values()), list(places))
    ax.set_xlabel("time, of the float32 loss")
    legend_above(ax, columns=3)


def _step(loss: Loss, numbers: Tensor, dtype: torch.dtype) -> Callable[[], None]:
    student, teacher = numbers.to(dtype)
    student = student.requires_grad_()
    return partial(_forward_backward, loss, student, teacher)


def _forward_backward(loss: Loss, student: Tensor, teacher: Tensor) -> None:
    torch.autograd.grad(loss(student, teacher), student)


def _timed(calls: dict[str, Callable[[], None]], turns: int) -> dict[str, np.ndarray]:
    """Processor seconds of each call at each turn, after one that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(turns + 1):
        for name, call in calls.items():
            start = process_time()
            call()
            if turn:
                found[name].append(process_time() - start)
    return {name: np.array(seconds) for name, seconds in found.items()}


if __name__ == "__main__":
    table = pd.DataFrame(run(Stream(0), **CONFIG))
    sys.stdout.write(table.round(3).to_string() + "\n")
    sys.stdout.write(f"median ratio {table['ratio'].median():.3f}\n")
