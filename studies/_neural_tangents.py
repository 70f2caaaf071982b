"""The rival's side of `benchmark_kernels`: neural-tangents in a process and an environment of its own.

Called as `python _neural_tangents.py INPUTS.npz CASE.json`; prints one JSON object: the seconds of every run
after a first one, the memory of that one beyond what is held when all is compiled, and the most that the
process has held.
"""

import json
import os
import sys
import time
from pathlib import Path

from _process import memory_of

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
    compiled = jax.jit(lambda x: kernel(x, None, "ntk")).lower(inputs).compile()
    return lambda: jax.block_until_ready(compiled(inputs))


def pooled_convnet(inputs):
    layers = [
        layer
        for _ in range(case["hidden"])
        for layer in (stax.Conv(1, (3, 3), padding="SAME", W_std=STD), stax.Relu())
    ]
    kernel = stax.serial(*layers, stax.GlobalAvgPool(), stax.Dense(1, W_std=STD))[2]
    compiled = jax.jit(lambda x: kernel(x, None, "ntk")).lower(inputs).compile()
    return lambda: jax.block_until_ready(compiled(inputs))


def empirical(inputs):
    widths = case["widths"]
    layers = [layer for width in widths[1:-1] for layer in (stax.Dense(width, W_std=STD), stax.Relu())]
    init, apply, _ = stax.serial(*layers, stax.Dense(widths[-1], W_std=STD))
    _, params = init(jax.random.PRNGKey(0), inputs.shape)
    axes = (-1,) if case["form"] == "trace" else ()
    kernel = nt.empirical_ntk_fn(
        apply, trace_axes=axes, vmap_axes=0, implementation=nt.NtkImplementation.STRUCTURED_DERIVATIVES
    )
    compiled = jax.jit(lambda x, p: kernel(x, None, p)).lower(inputs, params).compile()
    return lambda: jax.block_until_ready(compiled(inputs, params))


def main():
    inputs = jax.numpy.asarray(np.load(sys.argv[1])["inputs"].astype(case["dtype"]))
    work = {"mlp": infinite_mlp, "conv": pooled_convnet, "empirical": empirical}[case["kind"]](inputs)
    memory, peak = memory_of(work)
    seconds = []
    for _ in range(case["repeats"]):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    told = {"seconds": seconds, "memory": memory, "peak": peak, "version": nt.__version__}
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    main()
