"""The losses of the codes in use, executed beside `CONVENTIONS` on the same logits.

A row is one case of one entry: logits of rows (12 × 7) or of tokens (3 × 5 × 7, four of whose labels are
−100), with labels or without, at T = 1 and 4, in double precision at the code's defaults and at other
settings, and in float32, bfloat16 and float16. `value` and `gradient` are differences between the two sides,
the latter the largest over the student's logits, relative to the code's own; a case agrees where both are
below 1e-6 (1e-5 in float32). In half precision most codes compute in it and `kd_loss` does not, so that the
difference is the code's rounding; `negative` marks a loss that comes out below zero. `surely wrong` has
logits 25 apart.

The environment variable KDTHEORY_CODES names a folder with an environment for each code, `NAME/bin/python`;
with the value "pip" they are made in a temporary folder, one after the other, by pip, and removed. Without
it the columns of the codes are empty. Entries that are no package, or one that cannot be imported beside a
torch for CPUs (KD-Lib), are not here: `Convention.checked` says what they were derived from.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import torch
from _environments import FOLDER, asked, python_of

from kdtheory.losses import CONVENTIONS
from kdtheory.plots import PALETTE
from kdtheory.streams import Stream

CLAIMS: tuple[str, ...] = ()
CONFIG: dict[str, Any] = {
    "codes": (
        "torchdistill",
        "textbrewer",
        "trl",
        "keras",
        "liger",
        "modelopt",
        "silverspoon",
        "neural_compressor",
    ),
    "temperatures": (1.0, 4.0),
    "dtypes": ("float64", "float32", "bfloat16", "float16"),
    "jobs": 8,
}
SMALL: dict[str, Any] = {"codes": ("textbrewer",), "temperatures": (4.0,), "dtypes": ("float64",)}
SIZE = (16 / 2.54, 7.0)

_PINS: Mapping[str, tuple[str, ...]] = {
    "torchdistill": ("torchdistill==1.1.5",),
    "textbrewer": ("textbrewer==0.2.1.post1",),
    "trl": ("trl==1.16.0",),
    "keras": ("keras==3.15.1", "torch"),
    "liger": ("liger-kernel==0.8.5",),
    "modelopt": ("nvidia-modelopt==0.47.0", "huggingface_hub", "requests"),
    "silverspoon": ("silverspoon-kd==0.1.0",),
    "neural_compressor": ("neural-compressor==2.6", "torch"),
}
_BESIDE: Mapping[str, tuple[str, ...]] = {
    "neural_compressor": ("six", "setuptools<81"),
}
"""The packages that a code needs and does not name, or cannot be installed with what it says."""
_SETTINGS: Mapping[str, tuple[dict[str, float], ...]] = {
    "torchdistill": ({}, {"alpha": 0.1}, {"alpha": 0.0}, {"alpha": 0.3, "beta": 0.9}),
    "textbrewer_ce": ({}, {"hard_label_weight": 1.5}),
    "textbrewer_mse": ({}, {"hard_label_weight": 1.5}),
    "trl_jsd": ({}, {"beta": 0.1}),
    "keras": ({}, {"student_loss_weight": 0.1}),
    "keras_default": ({}, {"student_loss_weight": 0.1}),
    "liger_jsd": ({}, {"weight_soft_loss": 1.0, "weight_hard_loss": 0.0, "beta": 0.1}, {"beta": 0.0}),
    "silverspoon_kl": ({}, {"alpha": 0.3}),
    "silverspoon_jsd": ({}, {"alpha": 0.3, "beta": 0.1}),
    "neural_compressor_ce": ({}, {"hard": 0.25, "soft": 0.75}),
    "neural_compressor_kl": ({}, {"hard": 0.25, "soft": 0.75}),
}
_ENTRIES: Mapping[str, tuple[str, ...]] = {
    "torchdistill": ("torchdistill", "torchdistill_soft_only"),
    "textbrewer": ("textbrewer_ce", "textbrewer_mse"),
    "trl": ("trl_forward", "trl_jsd", "trl_reverse"),
    "keras": ("keras", "keras_default"),
    "liger": ("liger_jsd",),
    "modelopt": ("modelopt", "modelopt_batchmean"),
    "silverspoon": ("silverspoon_kl", "silverspoon_jsd"),
    "neural_compressor": ("neural_compressor_ce", "neural_compressor_kl"),
}
_BARE = ("torchdistill_soft_only", "modelopt", "modelopt_batchmean", "silverspoon_kl", "silverspoon_jsd")
"""Entries that are asked without labels; the others take them."""
_TOLERANCE = {"float64": 1e-6, "float32": 1e-5}


def run(
    stream: Stream,
    *,
    codes: tuple[str, ...],
    temperatures: tuple[float, ...],
    dtypes: tuple[str, ...],
    jobs: int,
) -> list[dict[str, Any]]:
    """Rows: code, version, entry, case; the code's value, the differences of value and gradient, agreement.

    Args:
        stream: where logits and labels come from.
        codes: the codes to be executed.
        temperatures: T of the cases.
        dtypes: precisions; settings other than the defaults are tried in the first alone.
        jobs: codes at a time.
    """
    arrays = _arrays(stream)
    cases = {
        code: [case for entry in _ENTRIES[code] for case in _cases(code, entry, temperatures, dtypes)]
        for code in codes
    }
    with ThreadPoolExecutor(jobs) as pool:
        told = dict(zip(codes, pool.map(lambda code: _theirs(code, arrays, cases[code]), codes), strict=True))
    return [
        _row(code, case, arrays, told[code], place)
        for code in codes
        for place, case in enumerate(cases[code])
    ]


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """The larger of the two differences of every case, by entry and precision, and the line of 1e-6."""
    shown = rows[rows["points"] != "surely wrong"]
    names = list(dict.fromkeys(shown["entry"]))
    colors = dict(zip(CONFIG["dtypes"], ("blue", "orange", "green", "vermillion"), strict=True))
    for dtype, part in shown.groupby("dtype", sort=False):
        worst = part[["value", "gradient"]].max(axis=1).clip(lower=1e-17)
        place = [names.index(entry) for entry in part["entry"]]
        ax.plot(worst, place, "o", color=PALETTE[colors[str(dtype)]], markersize=4, alpha=0.6, label=dtype)
    ax.axvline(1e-6, color=PALETTE["black"], linewidth=0.8, linestyle="--", label="$10^{-6}$")
    ax.set_xscale("log")
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel("difference to the code, relative")
    ax.legend()


def _arrays(stream: Stream) -> dict[str, np.ndarray]:
    draws = stream.numpy()
    arrays: dict[str, np.ndarray] = {}
    for name, shape in {"rows": (12, 7), "tokens": (3, 5, 7)}.items():
        for side in ("student", "teacher"):
            arrays[f"{side}_{name}"] = 2 * draws.standard_normal(shape)
        arrays[f"labels_{name}"] = draws.integers(7, size=shape[:-1])
    arrays["labels_tokens"][[0, 0, 1, 2], [0, 1, 0, 4]] = -100
    arrays["student_surely wrong"] = np.array([[25.0, 0.0, 0.0]])
    arrays["teacher_surely wrong"] = np.array([[0.0, 25.0, 0.0]])
    arrays["labels_surely wrong"] = np.array([1])
    return arrays


def _cases(
    code: str, entry: str, temperatures: tuple[float, ...], dtypes: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    shapes = {"trl": ("tokens",), "liger": ("tokens",)}.get(code, ("rows",))
    labels = (True, False) if code == "trl" else (entry not in _BARE,)
    settings = _SETTINGS.get(entry, ({},))
    for dtype in dtypes:
        for chosen in settings if dtype == dtypes[0] else settings[:1]:
            for temperature in temperatures:
                for with_labels in (True,) if entry == "silverspoon_kl" and chosen else labels:
                    yield {"entry": entry, "shape": shapes[0], "labels": with_labels or "alpha" in chosen,
                           "temperature": temperature, "dtype": dtype, "settings": chosen}  # fmt: skip
    if code != "trl" and code != "liger":
        yield {"entry": entry, "shape": "surely wrong", "labels": entry not in _BARE, "temperature": 1.0,
               "dtype": dtypes[0], "settings": {}}  # fmt: skip


def _row(
    code: str, case: Mapping[str, Any], arrays: Mapping[str, np.ndarray], told: Any, place: int
) -> dict[str, Any]:
    settings = ", ".join(f"{name}={value}" for name, value in case["settings"].items())
    row = {
        "code": code, "version": told and told["version"], "entry": case["entry"], "points": case["shape"],
        "labels": case["labels"], "temperature": case["temperature"], "dtype": case["dtype"],
        "settings": settings or "defaults", "theirs": None, "value": None, "gradient": None, "agrees": None,
        "negative": None,
    }  # fmt: skip
    if told is None:
        return row
    value, gradient = _ours(case, arrays)
    theirs, pulls = told["cases"][place]["value"], np.array(told["cases"][place]["gradient"])
    apart = abs(value - theirs) / max(abs(theirs), 1e-12)
    pulled = float(np.abs(gradient - pulls).max() / max(np.abs(pulls).max(), 1e-12))
    if not math.isfinite(theirs):
        return row | {"theirs": "no number", "agrees": False}
    limit = _TOLERANCE.get(case["dtype"], 1e-6)
    return row | {
        "theirs": float(f"{theirs:.9g}"), "value": float(f"{apart:.2g}"), "gradient": float(f"{pulled:.2g}"),
        "agrees": bool(apart < limit and pulled < limit), "negative": theirs < 0,
    }  # fmt: skip


def _ours(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> tuple[float, np.ndarray]:
    """The value and the gradient by `CONVENTIONS`, from the logits as the code gets them."""
    dtype, shape = getattr(torch, case["dtype"]), case["shape"]
    student, teacher = (
        torch.from_numpy(arrays[f"{side}_{shape}"]).to(dtype) for side in ("student", "teacher")
    )
    student.requires_grad_()
    labels = torch.from_numpy(arrays[f"labels_{shape}"]) if case["labels"] else None
    entry = CONVENTIONS[case["entry"]]
    loss = entry.loss(student, teacher, labels, temperature=case["temperature"], **case["settings"])
    (gradient,) = torch.autograd.grad(loss, student)
    return float(loss.detach()), gradient.double().flatten().numpy()


def _theirs(code: str, arrays: Mapping[str, np.ndarray], cases: list[dict[str, Any]]) -> Any:
    """The losses that the code gives in the cases, or None where there is no such code."""
    with python_of(code, _PINS[code], _BESIDE.get(code, ())) as python:
        flat = ({**case, **case["settings"]} for case in cases)
        return python and asked(python, "_losses_of_codes.py", code, arrays, flat)


if __name__ == "__main__":
    table = pd.DataFrame(run(Stream(0), **CONFIG))
    sys.stdout.write(table.to_string(index=False) + "\n")
    if not os.environ.get(FOLDER):
        sys.stdout.write(f"no code was asked for; set {FOLDER} to a folder of environments, or to pip\n")
