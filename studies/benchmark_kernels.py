"""Tangent kernels against neural-tangents at its best, and against the bare Gram product.

Each line of the table is one kernel of one set of points: the median time over the repeats after one run
that warms up, on the CPU with all threads, both sides in processes of their own, one after the other, on the
same inputs. Memory, of both sides: what the first call on all points holds beyond the level before it, when
all is loaded and compiled; and the most that the whole process has held until then. *Bare* is X·Xᵀ by NumPy;
for an empirical kernel the products of the sum over its layers, those of backpropagation included, where
the traced one takes of the last hidden layer no more than one. Of a product with its own transpose NumPy
makes one half and copies it.

The rival is neural-tangents 0.6.5 jitted, its structured derivatives for empirical kernels, with jax and
jaxlib 0.4.23, NumPy < 2 and SciPy < 1.12; on newer ones it does not import or loses that mode. The
environment variable KDTHEORY_NEURAL_TANGENTS names the Python that has it; with the value "pip" an
environment is made in a temporary folder, by pip. Without it the rival's columns are empty, and the
comparison is with the bare product alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _environments import made
from torch import nn
from torch.func import functional_call, jacrev, vmap

from kdtheory.networks import NTKLinear
from kdtheory.ntk import EmpiricalKernel, InfiniteConvNet, InfiniteMLP
from kdtheory.plots import PALETTE, legend_above
from kdtheory.streams import Stream

CLAIMS: tuple[str, ...] = ()
CONFIG: dict[str, Any] = {
    "points": 4000,
    "dims": (64, 784),
    "depths": (2, 8),
    "images": 100,
    "side": 8,
    "nets": ((64, 512, 512, 10), (784, 1024, 1024, 10)),
    "net_points": 1000,
    "jacobian_points": 200,
    "repeats": 5,
}
SMALL: dict[str, Any] = CONFIG | {
    "points": 300,
    "dims": (8,),
    "images": 6,
    "side": 4,
    "nets": ((8, 16, 16, 3),),
    "net_points": 40,
    "jacobian_points": 20,
    "repeats": 2,
}

RIVAL = "KDTHEORY_NEURAL_TANGENTS"
_PINS = ("neural-tangents==0.6.5", "jax==0.4.23", "jaxlib==0.4.23", "numpy<2", "scipy<1.12")
_STD = 2**0.5


def run(
    stream: Stream,
    *,
    points: int,
    dims: Sequence[int],
    depths: Sequence[int],
    images: int,
    side: int,
    nets: Sequence[Sequence[int]],
    net_points: int,
    jacobian_points: int,
    repeats: int,
) -> list[dict[str, Any]]:
    """Rows: case, precision, seconds of ours, of the bare product and of the rivals, ratios, memory.

    Args:
        stream: where points come from; they do not matter here.
        points: of the fully connected kernels.
        dims: dimensions of these points.
        depths: hidden layers of the fully connected kernels.
        images: of the convolutional kernel: three layers, average pooling, one channel.
        side: pixels on a side of these images.
        nets: widths of the networks of empirical kernels, float32.
        net_points: of empirical kernels.
        jacobian_points: of the comparison with contracted Jacobians of torch.func.
        repeats: of each time.
    """
    cases = [
        {"kind": "mlp", "hidden": depth, "shape": (points, dim), "dtype": dtype}
        for dim in dims
        for depth in depths
        for dtype in ("float32", "float64")
    ]
    cases += [
        {"kind": "conv", "hidden": 3, "shape": (images, side, side, 1), "dtype": dtype}
        for dtype in ("float32", "float64")
    ]
    for form, count in (("trace", net_points), ("full", net_points), ("jacobian", jacobian_points)):
        cases += [
            {
                "kind": "empirical",
                "form": form,
                "widths": tuple(net),
                "shape": (count, net[0]),
                "dtype": "float32",
            }
            for net in nets
        ]
    with _rival() as python:
        return [_row(case | {"repeats": repeats}, stream, python) for case in cases]


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """How many times faster than the rival, and than torch's Jacobians; and how near to the bare product."""
    shown = rows.iloc[::-1].reset_index(drop=True)
    sides = {
        "bare_seconds": ("bare product", PALETTE["black"], "|"),
        "neural_tangents_seconds": ("neural-tangents", PALETTE["orange"], "^"),
        "jacobian_seconds": ("contracted Jacobians, torch.func", PALETTE["sky"], "s"),
    }
    ax.axvline(1, color=PALETTE["blue"], linewidth=1.4, label="this package")
    for column, (label, color, marker) in sides.items():
        ratio = shown[column].astype(float) / shown["seconds"]
        if ratio.notna().any():
            ax.plot(ratio, shown.index, marker, color=color, label=label)
    ax.set_xscale("log")
    names = [f"{case}, {kind[5:]} bit" for case, kind in zip(shown["case"], shown["dtype"], strict=True)]
    ax.set_yticks(shown.index, names, fontsize=7.1)
    ax.set_xlabel("time, in units of this package's")
    ax.set_ylabel("")
    legend_above(ax, columns=2)


def _row(case: dict[str, Any], stream: Stream, python: str | None) -> dict[str, Any]:
    inputs = stream.child(str(case["shape"])).numpy().standard_normal(case["shape"]).astype(case["dtype"])
    ours = _own(case, inputs)
    row = {"case": _name(case), "dtype": case["dtype"], "seconds": _rounded(ours["seconds"]),
           "memory_mb": round(ours["memory"] / 1e6), "process_mb": round(ours["peak"] / 1e6)}  # fmt: skip
    bare = None if case["kind"] == "conv" else _median(_bare(case, inputs), case["repeats"])
    theirs = _theirs(case, inputs, python) if python and case.get("form") != "jacobian" else None
    other = {"bare": bare, "neural_tangents": theirs and float(np.median(theirs["seconds"])),
             "jacobian": ours.get("jacobian")}  # fmt: skip
    for name, seconds in other.items():
        row[f"{name}_seconds"] = seconds and _rounded(seconds)
        row[f"{name}_ratio"] = seconds and round(seconds / ours["seconds"], 3)
    for name, held in (("memory", "memory"), ("process", "peak")):
        row[f"neural_tangents_{name}_mb"] = theirs and round(theirs[held] / 1e6)
    row["rival"] = f"neural-tangents {theirs['version']}" if theirs else "none"
    return row


def _bare(case: Mapping[str, Any], inputs: np.ndarray) -> Callable[[], object]:
    """The matrix products alone, on numbers of the right shapes."""
    if case["kind"] == "mlp":
        return lambda: inputs @ inputs.T
    n, (_, *hidden, outputs) = len(inputs), case["widths"]
    weights = [np.ones((inside, out), inputs.dtype) for inside, out in pairwise(case["widths"])]
    layers = [inputs, *(np.ones((n, width), inputs.dtype) for width in hidden)]
    # Of the last hidden layer the Gram matrix of slopes is enough where outputs are summed over.
    traced = case["form"] != "full"
    pulled = [np.ones((n * outputs, width), inputs.dtype) for width in hidden]
    stacked = [p.reshape(n, -1) if traced else p for p in pulled[:-1]]
    stacked.append(layers[-1] if traced else pulled[-1])

    def products() -> None:
        for layer, weight in zip(layers, weights, strict=True):
            layer @ weight
        for delta, weight in zip(pulled[1:], weights[1:-1], strict=True):
            delta @ weight.T
        for matrix in (*layers, *stacked):
            matrix @ matrix.T

    return products


def _name(case: Mapping[str, Any]) -> str:
    n = case["shape"][0]
    if case["kind"] == "mlp":
        return f"ReLU NTK, depth {case['hidden']}, {n} × {case['shape'][1]}"
    if case["kind"] == "conv":
        return f"pooled convolutional NTK, {n} images of {case['shape'][1]}²"
    return f"empirical {case['form']}, {'-'.join(map(str, case['widths']))}, {n} points"


def _own(case: Mapping[str, Any], inputs: np.ndarray) -> dict[str, float]:
    """This package's side, in a fresh process, so that its memory is its own."""
    program = (
        "import sys, json; sys.path[:0] = json.loads(sys.argv[3]); import benchmark_kernels as b; b.child()"
    )
    here = json.dumps([str(Path(__file__).parent), *sys.path])
    return _in_process([sys.executable, "-c", program], case, inputs, here)


def _theirs(case: Mapping[str, Any], inputs: np.ndarray, python: str) -> dict[str, Any]:
    return _in_process([python, str(Path(__file__).with_name("_neural_tangents.py"))], case, inputs)


def _in_process(
    command: list[str], case: Mapping[str, Any], inputs: np.ndarray, *more: str
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "inputs.npz", inputs=inputs)
        (Path(folder) / "case.json").write_text(json.dumps(case))
        arguments = [str(Path(folder) / name) for name in ("inputs.npz", "case.json")]
        told = subprocess.run([*command, *arguments, *more], capture_output=True, text=True, check=False)
    if told.returncode:
        raise ValueError(f"{command[0]} failed on {_name(case)}: {told.stderr[-2000:]}")
    return json.loads(told.stdout.splitlines()[-1])


def child() -> None:
    """One case of this package, in the process that was started for it."""
    from _process import memory_of  # the folder of this file is on the path of that process alone

    case = json.loads(Path(sys.argv[2]).read_text())
    inputs = torch.from_numpy(np.load(sys.argv[1])["inputs"])
    work = _work(case, inputs)
    work(inputs[: min(4, len(inputs))])  # loads what is compiled
    memory, peak = memory_of(lambda: work(inputs))
    found = {"seconds": _median(lambda: work(inputs), case["repeats"]), "memory": memory, "peak": peak}
    if case.get("form") == "jacobian":
        module = _net(case["widths"])
        found["jacobian"] = _median(lambda: _contracted(module, inputs), case["repeats"])
    sys.stdout.write(json.dumps(found) + "\n")


def _work(case: Mapping[str, Any], inputs: torch.Tensor) -> Callable[[torch.Tensor], object]:
    if case["kind"] == "mlp":
        return InfiniteMLP(case["hidden"], weight_std=_STD)
    if case["kind"] == "conv":
        kernel = InfiniteConvNet(case["hidden"], pooling="average", weight_std=_STD)
        return lambda images: kernel(images.movedim(3, 1))
    empirical = EmpiricalKernel(_net(case["widths"]))
    return empirical.full if case["form"] == "full" else empirical


def _net(widths: Sequence[int]) -> nn.Module:
    generator, layers = torch.Generator().manual_seed(0), []
    for inside, out in pairwise(widths):
        layers += [NTKLinear(inside, out, weight_std=_STD, generator=generator), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _contracted(module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """The method of torch's tutorial on tangent kernels, traced: Jacobians of every point, then a product."""
    params = {name: p.detach() for name, p in module.named_parameters()}
    jacobians = vmap(jacrev(lambda p, x: functional_call(module, p, (x[None],))[0]), (None, 0))(
        params, inputs
    )
    parts = [torch.einsum("nkp,mkp->nm", j.flatten(2), j.flatten(2)) for j in jacobians.values()]
    return torch.stack(parts).sum(0) / len(next(iter(jacobians.values()))[0])


def _median(work: Callable[[], object], repeats: int) -> float:
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def _rounded(seconds: float) -> float:
    return float(f"{seconds:.3g}")


@contextmanager
def _rival() -> Iterator[str | None]:
    """The Python that has the rival, made on the spot where that is asked for."""
    asked = os.environ.get(RIVAL, "")
    if asked != "pip":
        yield asked or None
        return
    with made(_PINS) as python:
        yield python


if __name__ == "__main__":
    table = pd.DataFrame(run(Stream(0), **CONFIG))
    sys.stdout.write(table.to_string(index=False) + "\n")
    if not os.environ.get(RIVAL):
        sys.stdout.write(f"neural-tangents was not asked for; set {RIVAL} to its python, or to pip\n")
