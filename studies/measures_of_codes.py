"""Feature losses, calibration errors, masks and factors of other codes beside kdtheory's, on the same arrays.

A row is one case of one entry of a code. `value` and `gradient` are the differences between the nearest
measure of kdtheory and the code's, relative to the code's, or to 1 where it is a calibration error; the
gradient, of a loss, is that in the student's features, its largest entries compared. A case agrees where
both are below 1e-6 (1e-5 in float32). Where the convention is another one, `convention` says which,
`factor` is theirs over ours where that is one number, and the columns that end in `_converted` compare
again once theirs is made from kdtheory's, by that factor or by the conversion in `_entries_of_losses.py`
and `_entries_of_counts.py`; they are empty where nothing of kdtheory's gives it. Circles in the figure are
the largest differences of each entry in double precision, dots those after its conversion, and the dashed
line is 1e-6. b are the examples, with D numbers each, or C channels of HW positions; flow matrices are m ×
n.

RepDistiller and mdistiller are no packages: their losses are derived again from their sources at the
commits in `version`, under the names of the functions in `_rederived_losses.py`; mdistiller's have the
weights of its configuration. Contrastive losses keep memories of all examples and are no functions of two
batches; they are not here, nor are KDSVD and OFD. nncf makes no two layers of one.

torch, scipy and scikit-learn are those that run the study. For the others the environment variable
KDTHEORY_CODES names a folder with an environment for each, `NAME/bin/python`; with the value "pip" they are
made in a temporary folder, one after the other, by pip, and removed. Without it their columns are empty.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import torch
from _entries_of_counts import CALIBRATION, LOW_RANK, PRUNING
from _entries_of_losses import REDERIVED, TORCHDISTILL, Entry
from _environments import FOLDER, asked, python_of

from kdtheory.plots import PALETTE, legend_above, panel_letter
from kdtheory.streams import Stream

CLAIMS: tuple[str, ...] = ()
CONFIG: dict[str, Any] = {
    "codes": (
        "torchdistill",
        "repdistiller",
        "mdistiller",
        "torchmetrics",
        "netcal",
        "torch",
        "torch_pruning",
        "nncf",
        "scipy",
        "scikit_learn",
        "tensorly",
    ),
    "dtypes": ("float64", "float32"),
}
SMALL: dict[str, Any] = {"codes": ("repdistiller", "torch", "netcal"), "dtypes": ("float64",)}
SIZE = (16 / 2.54, 8.6)
PANELS = 2

_PINS: Mapping[str, tuple[str, ...]] = {
    "torchdistill": ("torchdistill==1.1.5",),
    "torchmetrics": ("torchmetrics==1.9.0",),
    "netcal": ("netcal==1.4.0",),
    "torch_pruning": ("torch-pruning==1.6.1",),
    "nncf": ("nncf==3.4.0", "torch"),
    "tensorly": ("tensorly==0.10.0", "packaging", "torch"),
}
"""What pip is given; a code without a pin is of the environment that runs this."""
_AREAS: Mapping[str, tuple[Entry, ...]] = {
    "losses": TORCHDISTILL + REDERIVED,
    "calibration": CALIBRATION,
    "pruning": PRUNING,
    "low rank": LOW_RANK,
}
_IN_ONE_PRECISION = ("pruning", "low rank")
_AFTER = (("_converted", ".", "blue", "after the conversion"),)
_TOLERANCE = {"float64": 1e-6, "float32": 1e-5}
_OURS = ("ours", "value", "gradient", "agrees")
_CONVERTED = ("factor", "value_converted", "gradient_converted", "agrees_converted")


def run(stream: Stream, *, codes: tuple[str, ...], dtypes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows: area, code, version, entry, case, quantity; values, differences as they are and once converted.

    Args:
        stream: where the arrays come from.
        codes: the codes to be executed.
        dtypes: precisions of losses and calibration errors; masks and factors are made in the first.
    """
    arrays = _arrays(stream)
    rows = []
    for code in codes:
        asked = list(_cases(code, dtypes))
        told = _theirs(code, arrays, [case for _, case in asked])
        rows += [_row(entry, case, arrays, told, place) for place, (entry, case) in enumerate(asked)]
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """The largest differences of every entry in double precision, as it is and after the conversion."""
    exact = rows[(rows["dtype"] == "float64") | rows["entry"].str.contains("float32")]
    losses = exact["area"] == "losses"
    parts = {"losses of features": exact[losses], "errors, masks, factors": exact[~losses]}
    for ax, letter, (title, part) in zip(axes, "ab", parts.items(), strict=True):
        _draw_one(ax, part)
        panel_letter(ax, letter, title)
    legend_above(axes[0], columns=2)


def _draw_one(ax: Any, part: pd.DataFrame) -> None:
    """A line for each entry, below its code."""
    lines: list[tuple[str, str]] = []
    for code, own in part.groupby("code", sort=False):
        lines += [(str(code), ""), *((str(code), name) for name in dict.fromkeys(own["entry"]))]
    places = {line: place for place, line in enumerate(lines)}
    none = part.groupby(["code", "entry"])["ours"].count() == 0
    for end, marker, color, label in (("", "o", "orange", "as it is"), *_AFTER):
        worst = part[[f"value{end}", f"gradient{end}"]].astype(float).max(axis=1)
        most = worst.groupby([part["code"], part["entry"]]).max().dropna().clip(lower=1e-17)
        ax.plot(most, [places[line] for line in most.index], marker, color=PALETTE[color], markersize=5,
                label=label, zorder=3 + len(end), fillstyle="full" if end else "none")  # fmt: skip
    for line in none[none].index if part["theirs"].notna().any() else ():
        ax.annotate("nothing like it", (1e-17, places[line]), va="center", fontsize=7.1, color="0.4")
    ax.axvline(1e-6, color=PALETTE["black"], linewidth=0.8, linestyle="--", label="$10^{-6}$")
    ax.set_xscale("log")
    ax.set_xlim(2e-18, 1e4)
    ax.set_ylim(len(lines) - 0.4, -0.6)
    ax.set_yticks(range(len(lines)), [name or code.replace("_", "-") for code, name in lines], fontsize=7.1)
    for tick, (_, name) in zip(ax.get_yticklabels(), lines, strict=True):
        tick.set_fontweight("normal" if name else "bold")
    ax.set_xlabel("relative difference")


def _arrays(stream: Stream) -> dict[str, np.ndarray]:
    """The arrays of every kind of points, named `POINTS/ARRAY`."""
    draws = stream.numpy()
    normal, b = draws.standard_normal, 8
    kinds: dict[str, dict[str, np.ndarray]] = {
        "rows": {"student": normal((b, 6)), "teacher": normal((b, 9))},
        "maps": {"student": normal((b, 5, 6, 6)), "teacher": normal((b, 5, 6, 6))},
        "maps of two sizes": {"student": normal((b, 5, 8, 8)), "teacher": normal((b, 5, 4, 4))},
        "layers": {"student": normal((b, 5, 4, 4)), "student_before": normal((b, 3, 4, 4)),
                   "teacher": normal((b, 5, 4, 4)), "teacher_before": normal((b, 3, 4, 4))},
        "layers of two sizes": {"student": normal((b, 5, 4, 4)), "student_before": normal((b, 3, 8, 8)),
                                "teacher": normal((b, 5, 4, 4)), "teacher_before": normal((b, 3, 8, 8))},
        "net": {"first": normal((10, 12)), "second": 3 * normal((4, 10))},
        "matrix": {"matrix": normal((60, 40))},
        "kernel": {"kernel": normal((8, 5, 3, 3))},
    }  # fmt: skip
    kinds["magnitudes"] = {key: np.abs(values) for key, values in kinds["maps"].items()}
    kinds["maps after a ReLU"] = {key: np.maximum(values, 0) for key, values in kinds["maps"].items()}
    rows = {"student": normal((b, 6)), "teacher": normal((b, 6))}
    lengths = {key: np.linalg.norm(values, axis=1, keepdims=True) for key, values in rows.items()}
    kinds["unit rows"] = {key: values / lengths[key] for key, values in rows.items()}
    kinds["two alike"] = {key: values.copy() for key, values in kinds["rows"].items()}
    kinds["two alike"]["teacher"][1] = kinds["two alike"]["teacher"][0]
    kinds["net"] = {key: values.astype(np.float32) for key, values in kinds["net"].items()}
    kinds["equal weights"] = {key: np.round(values) for key, values in kinds["net"].items()}
    kinds |= _forecasts(draws)
    return {f"{kind}/{key}": values for kind, given in kinds.items() for key, values in given.items()}


def _forecasts(draws: np.random.Generator) -> dict[str, dict[str, np.ndarray]]:
    """Probabilities of five classes, or two, and labels: the likeliest class of three points in five."""

    def labelled(probs: np.ndarray) -> dict[str, np.ndarray]:
        drawn = draws.integers(probs.shape[1], size=len(probs))
        return {"probs": probs, "labels": np.where(draws.random(len(probs)) < 0.5, probs.argmax(1), drawn)}

    def with_confidence(confidence: np.ndarray) -> np.ndarray:
        probs = np.repeat((1 - confidence)[:, None] / 4, 5, axis=1)
        probs[np.arange(len(probs)), draws.integers(5, size=len(probs))] = confidence
        return probs

    def softmax(logits: np.ndarray) -> np.ndarray:
        shares = np.exp(logits)
        return shares / shares.sum(1, keepdims=True)

    tenths, sure = draws.integers(3, 10, size=200) / 10, draws.uniform(0.3, 0.999, size=200)
    tenths[::2] = draws.uniform(0.3, 0.999, size=100)
    sure[::3] = 1
    edges = labelled(with_confidence(tenths))
    edges["labels"][1::2] = edges["probs"][1::2].argmax(1)  # right on an edge, so that its bin counts
    return {
        "forecasts": labelled(softmax(2 * draws.standard_normal((300, 5)))),
        "two classes": labelled(softmax(2 * draws.standard_normal((300, 2)))),
        "few bins": labelled(
            with_confidence(draws.choice([0.33, 0.97], size=200) + draws.uniform(0, 0.01, 200))
        ),
        "on edges": edges,
        "some sure": labelled(with_confidence(sure)),
    }


def _cases(code: str, dtypes: tuple[str, ...]) -> Iterator[tuple[Entry, dict[str, Any]]]:
    for area, entries in _AREAS.items():
        for entry in (entry for entry in entries if entry.code == code):
            tried = dtypes[:1] if area in _IN_ONE_PRECISION else dtypes
            for dtype in (dtype for dtype in tried if entry.dtypes is None or dtype in entry.dtypes):
                told = {"area": area, "entry": entry.name.split(",")[0], "dtype": dtype}
                for (points, settings), quantity in product(entry.cases, entry.quantities):
                    yield entry, {**told, "points": points, "settings": dict(settings), "quantity": quantity}


def _row(
    entry: Entry, case: Mapping[str, Any], arrays: Mapping[str, np.ndarray], told: Any, place: int
) -> dict:
    settings = ", ".join(f"{name}={value}" for name, value in case["settings"].items())
    row = {
        "area": case["area"], "code": entry.code, "version": told and told["version"], "entry": entry.name,
        "points": case["points"], "settings": settings or "defaults", "dtype": case["dtype"],
        "quantity": case["quantity"], "theirs": None, **dict.fromkeys(_OURS), "convention": entry.convention,
        **dict.fromkeys(_CONVERTED),
    }  # fmt: skip
    if told is None:
        return row
    theirs = told["cases"][place]
    limit, least = _TOLERANCE[case["dtype"]], 1.0 if case["area"] == "calibration" else 1e-12
    row["theirs"] = float(f"{theirs['value']:.9g}")
    if entry.ours is None:
        return row
    given = _given(case, arrays)
    ours = _measured(given, entry.ours)
    row |= {"ours": float(f"{ours['value']:.9g}"), **_apart(ours, theirs, limit, least)}
    factor = entry.factor and entry.factor(given)
    exact = entry.exact or (entry.factor and (lambda given: factor * entry.ours(given)))
    if exact is not None:
        apart = _apart(_measured(_given(case, arrays), exact), theirs, limit, least)
        row |= {
            "factor": factor and float(f"{factor:.9g}"),
            **{f"{key}_converted": it for key, it in apart.items()},
        }
    return row


def _given(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> SimpleNamespace:
    """The arrays of the case, as the code gets them."""
    dtype, points = getattr(torch, case["dtype"]), f"{case['points']}/"
    found = {key.removeprefix(points): torch.from_numpy(values) for key, values in arrays.items()
             if key.startswith(points)}  # fmt: skip
    found = {key: values.to(dtype) if values.is_floating_point() else values for key, values in found.items()}
    if "student" in found:
        found["student"].requires_grad_()
    return SimpleNamespace(settings=case["settings"], quantity=case["quantity"], **found)


def _measured(given: SimpleNamespace, measure: Any) -> dict[str, Any]:
    value = measure(given)
    if not hasattr(given, "student"):
        return {"value": float(value), "gradient": None}
    (gradient,) = torch.autograd.grad(value, given.student)
    return {"value": float(value.detach()), "gradient": gradient.double().flatten().numpy()}


def _apart(ours: Mapping[str, Any], theirs: Mapping[str, Any], limit: float, least: float) -> dict[str, Any]:
    """The relative differences of value and gradient, and whether they are rounding."""
    value = _relative(ours["value"], theirs["value"], least)
    pulled = (
        None
        if theirs["gradient"] is None
        else _relative(ours["gradient"], np.array(theirs["gradient"]), least)
    )
    return {
        "value": float(f"{value:.2g}"),
        "gradient": pulled if pulled is None else float(f"{pulled:.2g}"),
        "agrees": bool(value < limit and (pulled is None or pulled < limit)),
    }


def _relative(ours: Any, theirs: Any, least: float) -> float:
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), least))


def _theirs(code: str, arrays: Mapping[str, np.ndarray], cases: Iterable[Mapping[str, Any]]) -> Any:
    """What the code gives in the cases, or None where there is no such code."""
    script = "_measures_of_other_codes.py"
    if code not in _PINS:
        return asked(sys.executable, script, code, arrays, cases)
    with python_of(code, _PINS[code]) as python:
        return python and asked(python, script, code, arrays, cases)


if __name__ == "__main__":
    table = pd.DataFrame(run(Stream(0), **CONFIG))
    sys.stdout.write(table.to_string(index=False) + "\n")
    if not os.environ.get(FOLDER):
        sys.stdout.write(f"no code was asked for; set {FOLDER} to a folder of environments, or to pip\n")
