"""Convolutional kernels against neural-tangents, the recursion in torch, 50 digits and their laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from naive_kernels import precise_mlp_kernel

from kdtheory.ntk import InfiniteConvNet, InfiniteMLP
from kdtheory.ntk._conv_recursion import pixels, propagated_images

STORED = np.load(Path(__file__).with_name("neural_tangents_values.npz"), allow_pickle=False)


def images(n: int, *shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(n, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(
        dtype
    )


@pytest.mark.parametrize("name", [name for name in STORED.files if name.startswith("conv")])
def test_neural_tangents(name: str) -> None:
    _, pooling, padding, weight_std, bias_std, kind = name.split()
    kernel = InfiniteConvNet(
        2,
        pooling=pooling,
        padding=padding,
        weight_std=float(weight_std),
        bias_std=float(bias_std),
        kind=kind,
    )
    x, truth = torch.from_numpy(STORED["images"]), torch.from_numpy(STORED[name])
    off = ~torch.eye(len(x), dtype=torch.bool)
    assert torch.allclose(kernel(x)[off], truth[off], rtol=1e-10)
    assert torch.allclose(kernel(x), truth, rtol=1e-6)
    assert torch.allclose(kernel(x[:1], x[1:]), truth[:1, 1:], rtol=1e-10)


@pytest.mark.parametrize("padding", ["zeros", "circular"])
@pytest.mark.parametrize("bias_std", [0.0, 0.3])
@pytest.mark.parametrize("filter_size", [1, 3, 5])
def test_compiled_pass_is_the_recursion_in_torch(padding: str, bias_std: float, filter_size: int) -> None:
    """With empty stripes and a near copy, where u is summed term by term; the torch form always is."""
    x = images(4, 2, 6, 5)
    x[1, :, :3], x[3, :, 0] = 0, 0
    x[2] = x[0] + 1e-6 * x[3]
    y = 1.1 * x[1:] + 0.05
    kernel = InfiniteConvNet(
        3, filter_size, pooling="average", padding=padding, weight_std=1.4, bias_std=bias_std
    )
    near = kernel._filters.neighbours(6, 5)
    left, right = pixels(x), pixels(y)
    i, j = torch.cartesian_prod(torch.arange(4), torch.arange(3)).T
    truth = propagated_images(left[i], right[j], kernel._filters, near).reshape(4, 3)
    assert torch.allclose(kernel(x, y), truth, rtol=1e-13)
    i, j = torch.cartesian_prod(torch.arange(4), torch.arange(4)).T
    truth = propagated_images(left[i], left[j], kernel._filters, near).reshape(4, 4)
    assert torch.allclose(kernel(x), truth, rtol=1e-13)
    assert torch.equal(kernel(x), kernel(x).mT)
    assert torch.allclose(kernel.diagonal(x), truth.diagonal(), rtol=1e-13)


@pytest.mark.parametrize("pooling", ["flatten", "average"])
def test_one_pixel_is_a_fully_connected_net(pooling: str) -> None:
    """On images of one pixel a filter of one is a dense layer; 50 digits for a near copy."""
    x = images(3, 4, 1, 1)
    x[2] = x[0] + 1e-6 / 2
    kernel = InfiniteConvNet(3, 1, pooling=pooling, weight_std=1.3, bias_std=0.2)(x)
    flat = x.flatten(1)
    assert torch.allclose(kernel, InfiniteMLP(3, weight_std=1.3, bias_std=0.2)(flat), rtol=1e-14)
    settings = {"activation": "relu", "weight_std": 1.3, "bias_std": 0.2, "kind": "ntk"}
    truth = precise_mlp_kernel(flat[0].tolist(), flat[2].tolist(), hidden=3, **settings)
    assert float(kernel[0, 2]) == pytest.approx(float(truth), rel=1e-13)


def test_pooling_over_a_circle_ignores_where_things_are() -> None:
    x = images(3, 1, 4, 4)
    kernel = InfiniteConvNet(2, pooling="average", padding="circular")
    assert torch.allclose(kernel(x.roll((1, 2), (2, 3))), kernel(x), rtol=1e-12)
    still = InfiniteConvNet(2, pooling="flatten", padding="circular")
    assert not torch.allclose(still(x, x.roll(1, 3)), still(x), rtol=1e-3)


def test_float32_is_float64_rounded() -> None:
    x = images(5, 1, 8, 8)
    for pooling in ("flatten", "average"):
        kernel = InfiniteConvNet(3, pooling=pooling, weight_std=2**0.5)
        assert torch.allclose(kernel(x.float()).double(), kernel(x), rtol=3e-6)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (lambda: InfiniteConvNet(0), "conv_layers"),
        (lambda: InfiniteConvNet(1, 4), "odd"),
        (lambda: InfiniteConvNet(1, pooling="max"), "pooling"),
        (lambda: InfiniteConvNet(1, padding="reflect"), "padding"),
        (lambda: InfiniteConvNet(1)(torch.ones(2, 3)), "give the axes \\[n c height width\\]"),
        (lambda: InfiniteConvNet(1)(torch.full((1, 1, 2, 2), float("inf"))), "infinite"),
        (lambda: InfiniteConvNet(1)(torch.full((1, 1, 2, 2), 1e25)), "overflow"),
        (lambda: InfiniteConvNet(1)(torch.ones(1, 1, 1, 1).expand(10_000_000, 1, 1, 1)), "fill_gram"),
    ],
)
def test_bad_input(bad, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        bad()
