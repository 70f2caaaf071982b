"""The rival's side of `benchmark_kernels`: neural-tangents in a process and an environment of its own.

Called as `python _neural_tangents.py INPUTS.npz CASE.json`; prints one JSON object: the seconds of every run
after one that compiles, and the most memory that the process has held.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

case = json.loads(Path(sys.argv[2]).read_text())
os.environ["JAX_ENABLE_X64"] = "1" if case["dtype"] == "float64" else "0"

import jax  # noqa: E402
import neural_tangents as nt  # noqa: E402
import numpy as np  # noqa: E402
from neural_tangents import stax  # noqa: E402

STD = 2**0.5


def infinite_mlp(inputs):
    layers = [layer for _ in range(case["hidden"]) for layer in (stax.Dense(1, W_std=STD), stax.Relu())]
    kernel = stax.serial(*layers, stax.Dense(1, W_std=STD))[2]
    jitted = jax.jit(lambda x: kernel(x, None, "ntk"))
    return lambda: jitted(inputs)


def pooled_convnet(inputs):
    layers = [
        layer
        for _ in range(case["hidden"])
        for layer in (stax.Conv(1, (3, 3), padding="SAME", W_std=STD), stax.Relu())
    ]
    kernel = stax.serial(*layers, stax.GlobalAvgPool(), stax.Dense(1, W_std=STD))[2]
    jitted = jax.jit(lambda x: kernel(x, None, "ntk"))
    return lambda: jitted(inputs)


def empirical(inputs):
    widths = case["widths"]
    layers = [layer for width in widths[1:-1] for layer in (stax.Dense(width, W_std=STD), stax.Relu())]
    init, apply, _ = stax.serial(*layers, stax.Dense(widths[-1], W_std=STD))
    _, params = init(jax.random.PRNGKey(0), inputs.shape)
    axes = (-1,) if case["form"] == "trace" else ()
    kernel = nt.empirical_ntk_fn(
        apply, trace_axes=axes, vmap_axes=0, implementation=nt.NtkImplementation.STRUCTURED_DERIVATIVES
    )
    jitted = jax.jit(lambda x, p: kernel(x, None, p))
    return lambda: jitted(inputs, params)


def main():
    inputs = jax.numpy.asarray(np.load(sys.argv[1])["inputs"].astype(case["dtype"]))
    work = {"mlp": infinite_mlp, "conv": pooled_convnet, "empirical": empirical}[case["kind"]](inputs)
    jax.block_until_ready(work())
    seconds = []
    for _ in range(case["repeats"]):
        start = time.perf_counter()
        jax.block_until_ready(work())
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "peak": peak(), "version": nt.__version__}))  # noqa: T201


def peak():
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (text for text in status.read_text().splitlines() if text.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
