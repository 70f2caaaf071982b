"""Kernels by neural-tangents 0.6.5, stored beside this script for the tests of agreement.

To be run where neural-tangents is installed (with jax and jaxlib 0.4.23, numpy < 2 and scipy < 1.12):
`python make_neural_tangents_values.py` writes `neural_tangents_values.npz`.
"""

from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import neural_tangents as nt  # noqa: E402
import numpy as np  # noqa: E402
from neural_tangents import stax  # noqa: E402

ACTIVATIONS = {"relu": stax.Relu, "erf": stax.Erf, "identity": stax.Identity}
STDS = ((1.5, 0.0), (1.2, 0.3))


def mlp(hidden, activation, weight_std, bias_std, out=1):
    dense = {"W_std": weight_std, "b_std": bias_std or None, "parameterization": "ntk"}
    layers = [layer for _ in range(hidden) for layer in (stax.Dense(64, **dense), ACTIVATIONS[activation]())]
    return stax.serial(*layers, stax.Dense(out, **dense))


def convnet(depth, pooling, padding, weight_std, bias_std):
    scale = {"W_std": weight_std, "b_std": bias_std or None, "parameterization": "ntk"}
    layers = [
        layer for _ in range(depth) for layer in (stax.Conv(8, (3, 3), padding=padding, **scale), stax.Relu())
    ]
    pool = stax.GlobalAvgPool() if pooling == "average" else stax.Flatten()
    return stax.serial(*layers, pool, stax.Dense(1, **scale))


def main():
    rng = np.random.default_rng(0)
    points, images = rng.standard_normal((6, 5)), rng.standard_normal((4, 5, 4, 2))
    stored = {"points": points, "images": images.transpose(0, 3, 1, 2)}
    for activation in ACTIVATIONS:
        for hidden in (1, 3):
            for weight_std, bias_std in STDS:
                _, _, kernel = mlp(hidden, activation, weight_std, bias_std)
                both = kernel(points, None, ("ntk", "nngp"))
                for kind in ("ntk", "nngp"):
                    stored[f"mlp {activation} {hidden} {weight_std} {bias_std} {kind}"] = getattr(both, kind)
    for pooling in ("average", "flatten"):
        for padding, name in (("SAME", "zeros"), ("CIRCULAR", "circular")):
            for weight_std, bias_std in STDS:
                _, _, kernel = convnet(2, pooling, padding, weight_std, bias_std)
                both = kernel(images, None, ("ntk", "nngp"))
                for kind in ("ntk", "nngp"):
                    stored[f"conv {pooling} {name} {weight_std} {bias_std} {kind}"] = getattr(both, kind)
    init, apply, _ = mlp(2, "relu", 1.5, 0.3, out=3)
    _, params = init(jax.random.PRNGKey(0), points.shape)
    for layer, (weight, bias) in enumerate(p for p in params if p):
        stored[f"weight {layer}"], stored[f"bias {layer}"] = weight.T, bias.reshape(-1)
    stored["empirical trace"] = nt.empirical_ntk_fn(apply)(points, None, params)
    stored["empirical full"] = nt.empirical_ntk_fn(apply, trace_axes=())(points, None, params)
    np.savez(
        Path(__file__).with_name("neural_tangents_values.npz"),
        **{k: np.asarray(v) for k, v in stored.items()},
    )


if __name__ == "__main__":
    main()
