"""Kernels of infinite width against 50 digits, neural-tangents, random nets and themselves."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from naive_kernels import precise_mlp_kernel
from numpy.polynomial.chebyshev import chebval
from scipy import stats

from kdtheory.ntk import InfiniteMLP, fill_gram
from kdtheory.ntk._points import prepared
from kdtheory.ntk._recursion import Layers, diagonals, propagated
from kdtheory.ntk._relu_pass import typed_constants
from kdtheory.ntk._relu_series import angle_series
from kdtheory.ntk.infinite_mlp import _by_blocks
from kdtheory.types import torch_threads

STORED = np.load(Path(__file__).with_name("neural_tangents_values.npz"), allow_pickle=False)
ACTIVATIONS = ("relu", "erf", "identity")


def points(n: int, dim: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def relative_to_scale(kernel: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    scale = truth.diagonal().sqrt()
    return (kernel - truth).abs() / (scale[:, None] * scale)


@pytest.mark.parametrize(("activation", "hidden"), list(itertools.product(ACTIVATIONS, (1, 3, 8))))
@pytest.mark.parametrize("bias_std", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["ntk", "nngp"])
def test_fifty_digits(activation: str, hidden: int, bias_std: float, kind: str) -> None:
    x = points(4, 3)
    x = torch.cat([x, x[:1] + 1e-6 / 3**0.5])
    settings = {"activation": activation, "weight_std": 1.5, "bias_std": bias_std, "kind": kind}
    kernel = InfiniteMLP(hidden, **settings)
    exact = [
        [float(precise_mlp_kernel(a, b, hidden=hidden, **settings)) for b in x.tolist()] for a in x.tolist()
    ]
    truth = torch.tensor(exact, dtype=torch.float64)
    found = kernel(x)
    # Where K passes through zero no relative error can be small, so errors are held against √(KK′) as well.
    error = torch.minimum((found / truth - 1).abs(), relative_to_scale(found, truth))
    assert float(error.max()) < 1e-13
    assert float(error[0, 4]) < 1e-14  # nearly the same point
    assert float((found.diagonal() / truth.diagonal() - 1).abs().max()) < 4e-15
    assert torch.equal(found, found.mT)
    assert torch.equal(kernel.diagonal(x), found.diagonal())


def test_digits_of_neighbours_are_those_of_the_angle() -> None:
    """K(x,x) − K(x,x′) itself is right, where a cosine would leave nothing of it."""
    x = points(1, 4)
    for step in (1e-3, 1e-5, 1e-7):
        pair = torch.cat([x, x + step * points(1, 4, seed=1)])
        settings = {"activation": "relu", "weight_std": 2**0.5, "bias_std": 0.0, "kind": "ntk"}
        found = InfiniteMLP(3, **settings)(pair)
        a, b = pair.tolist()
        gap = float(
            precise_mlp_kernel(a, a, hidden=3, **settings) - precise_mlp_kernel(a, b, hidden=3, **settings)
        )
        assert float(found[0, 0] - found[0, 1]) == pytest.approx(gap, rel=1e-13 / step)


@pytest.mark.parametrize("name", [name for name in STORED.files if name.startswith("mlp")])
def test_neural_tangents(name: str) -> None:
    _, activation, hidden, weight_std, bias_std, kind = name.split()
    kernel = InfiniteMLP(
        int(hidden),
        activation=activation,
        weight_std=float(weight_std),
        bias_std=float(bias_std),
        kind=kind,
    )
    x, truth = torch.from_numpy(STORED["points"]), torch.from_numpy(STORED[name])
    off = ~torch.eye(len(x), dtype=torch.bool)
    assert torch.allclose(kernel(x)[off], truth[off], rtol=1e-10, atol=1e-12)
    assert torch.allclose(kernel(x), truth, rtol=1e-6)  # its diagonal is off by arccos near one
    assert torch.allclose(kernel(x[:2], x[2:]), truth[:2, 2:], rtol=1e-10, atol=1e-12)


def test_covariance_of_random_nets() -> None:
    """E f(x)f(x′) over 40,000 nets of one hidden unit each, which the sum over units leaves unchanged."""
    x, generator = points(3, 2), torch.Generator().manual_seed(3)
    units = 40_000
    weights = torch.randn(units, 2, dtype=torch.float64, generator=generator)
    biases = torch.randn(units, 1, dtype=torch.float64, generator=generator)
    hidden = (1.3 / 2**0.5 * weights @ x.mT + 0.4 * biases).relu()
    samples = 1.3**2 * hidden[:, :, None] * hidden[:, None] + 0.4**2
    error = samples.std(0) / units**0.5
    kernel = InfiniteMLP(1, weight_std=1.3, bias_std=0.4, kind="nngp")(x)
    assert ((samples.mean(0) - kernel).abs() <= stats.norm.isf(1e-6) * error).all()


@pytest.mark.parametrize("bias_std", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fused_pass_is_the_recursion_in_torch(bias_std: float, dtype: torch.dtype) -> None:
    """Several blocks and strips, ragged, against the operations that a GPU runs."""
    kernel = InfiniteMLP(4, weight_std=1.4, bias_std=bias_std)
    x, y = points(700, 6, dtype), points(530, 6, dtype, seed=1)
    left, right = prepared(x), prepared(y)
    tolerance = 20 * torch.finfo(dtype).eps
    found, truth = kernel(x), _by_blocks(left, left, kernel._layers)
    assert float(relative_to_scale(found, truth).max()) < tolerance
    assert torch.equal(found, found.mT)
    assert torch.allclose(kernel(x, y), _by_blocks(left, right, kernel._layers), rtol=10 * tolerance)


@pytest.mark.parametrize("hidden", [1, 3, 8, 32])
@pytest.mark.parametrize("kind", ["ntk", "nngp"])
@pytest.mark.parametrize("bias_std", [0.0, 0.3])
def test_fifty_digits_at_all_angles(hidden: int, kind: str, bias_std: float) -> None:
    """From nearly equal to nearly opposite points: both ends of the angle are branch points of the cosine."""
    near = [1e-9, 1e-7, 1e-5, 1e-3, 0.03, 0.05, 0.2, 0.7, 1.4]
    pairs = [(1.0, 0.0), *((side, angle) for angle in near for side in (1.0, -1.0))]
    x = torch.tensor(pairs, dtype=torch.float64)
    settings = {"activation": "relu", "weight_std": 1.3, "bias_std": bias_std, "kind": kind}
    kernel = InfiniteMLP(hidden, **settings)
    truth = torch.tensor(
        [[float(precise_mlp_kernel(pairs[0], y, hidden=hidden, **settings)) for y in pairs[1:]]],
        dtype=torch.float64,
    )
    in_torch = _by_blocks(prepared(x[:1]), prepared(x[1:]), kernel._layers)
    scale = kernel.diagonal(x[:1]).sqrt() * kernel.diagonal(x[1:]).sqrt()
    for found in (kernel(x[:1], x[1:]), in_torch, kernel(x)[:1, 1:]):
        # One hidden layer without bias passes through zero, where no relative error can be small.
        reference = scale if hidden == 1 and not bias_std else truth
        assert float(((found - truth) / reference).abs().max()) < 2e-14


@pytest.mark.parametrize("hidden", [1, 2, 3, 8, 32, 128, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_series_in_the_angle_is_the_recursion(hidden: int, dtype: type) -> None:
    """Its coefficients between the points of interpolation; and few of them, whatever the depth."""
    for tangent in (True, False):
        layers = Layers(hidden, "relu", 1.7, 0.0, tangent)
        series = angle_series(layers, np.dtype(dtype))
        v = np.linspace(-1, 1, 4001)
        half = np.pi / 4 + np.arcsin(v / 2**0.5)
        gaps = tuple(torch.from_numpy(2 * f(half) ** 2)[:, None] for f in (np.sin, np.cos))
        one, ones = torch.ones(1, dtype=torch.float64), torch.ones(len(v), dtype=torch.float64)
        roots = diagonals(ones, layers)[0], diagonals(one, layers)[0]
        truth = propagated(gaps, (ones, one), roots, layers)[:, 0] / (roots[0][-1] * roots[1][-1])
        error = np.abs(chebval(v, series.astype(np.float64)) - truth.numpy()) / truth.numpy().max()
        assert error.max() < (10 + hidden) * np.finfo(dtype).eps
        assert len(series) <= 40 + 14 * hidden**0.5
        assert series.dtype == dtype


def test_number_of_threads_changes_no_digit() -> None:
    found = []
    for threads in (1, 3):
        with torch_threads(threads):
            found.append(InfiniteMLP(2)(points(600, 5)))
            assert torch.get_num_threads() == threads
    assert torch.equal(*found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arcsine_polynomial(dtype: type) -> None:
    coefficients = np.array(typed_constants(np.dtype(dtype))[0], dtype=np.float64)
    r = np.linspace(1e-9, 0.5, 10_001)
    value = np.polynomial.polynomial.polyval(4 * r - 1, coefficients)
    assert np.abs(value / (np.arcsin(np.sqrt(r)) / np.sqrt(r)) - 1).max() < (
        1e-7 if dtype == np.float32 else 1e-15
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_points_of_norm_zero(activation: str) -> None:
    x = torch.cat([torch.zeros(2, 3, dtype=torch.float64), points(2, 3)])
    kernel = InfiniteMLP(2, activation=activation)(x)
    assert (kernel[:2] == 0).all()
    assert (kernel[2:, 2:] != 0).all()
    settings = {"activation": activation, "weight_std": 1.2, "bias_std": 0.5, "kind": "ntk"}
    with_bias = InfiniteMLP(2, **settings)(x)
    for i, j in itertools.product(range(4), repeat=2):
        truth = float(precise_mlp_kernel(x[i].tolist(), x[j].tolist(), hidden=2, **settings))
        assert float(with_bias[i, j]) == pytest.approx(truth, rel=1e-13)


def test_laws() -> None:
    x = points(5, 4)
    kernel = InfiniteMLP(3, weight_std=2**0.5)
    assert torch.allclose(kernel(3 * x), 9 * kernel(x), rtol=1e-13)  # homogeneous of degree two
    rotation = torch.linalg.qr(points(4, 4, seed=2)).Q
    assert torch.allclose(kernel(x @ rotation), kernel(x), rtol=1e-12)
    assert torch.allclose(kernel(x.reshape(5, 2, 2)), kernel(x), rtol=0, atol=0)
    norms = x.square().sum(1) / 4
    assert torch.allclose(kernel.diagonal(x), 4 * 2 * norms, rtol=1e-14)  # (L + 1)·K
    assert float(torch.linalg.eigvalsh(kernel(points(60, 4)))[0]) > 0
    assert torch.allclose(InfiniteMLP(0)(x), x @ x.mT / 4, rtol=1e-12)


def test_gram_by_blocks_into_a_file(tmp_path: Path) -> None:
    x, kernel = points(23, 3), InfiniteMLP(2, bias_std=0.1)
    out = np.lib.format.open_memmap(tmp_path / "gram.npy", mode="w+", dtype=np.float64, shape=(23, 23))
    fill_gram(kernel, x, out, block_size=7)
    out.flush()
    assert np.allclose(np.load(tmp_path / "gram.npy"), kernel(x).numpy(), rtol=1e-14)
    assert (out == out.T).all()
    with pytest.raises(ValueError, match="make it 23 × 23"):
        fill_gram(kernel, x, out[:5])


def test_gram_by_blocks_with_the_backend_of_the_caller() -> None:
    """Threads here; the same door takes joblib's dask backend."""
    x, kernel, out = points(23, 3), InfiniteMLP(2, bias_std=0.1), np.empty((23, 23))
    with joblib.parallel_config("threading"):
        fill_gram(pickle.loads(pickle.dumps(kernel)), x, out, block_size=7, jobs=2)
    assert np.allclose(out, kernel(x).numpy(), rtol=1e-14)


@pytest.mark.parametrize("activation", ["erf", "relu", "identity"])
def test_long_points_in_float32(activation: str) -> None:
    x, kernel = 1e15 * points(12, 5), InfiniteMLP(2, activation=activation, bias_std=1e12)
    assert torch.allclose(kernel(x.float()).double(), kernel(x), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("bias_std", [0.0, 0.3])
@pytest.mark.parametrize("size", [1e-153, 1e-140, 1e140, 1e153])
def test_lengths_at_the_ends_of_the_range(size: float, bias_std: float) -> None:
    """Where products of rows overflow or underflow; half of the rows are of another size."""
    x, sizes = points(12, 5), torch.ones(12, 1, dtype=torch.float64)
    x[3], x[4], x[5] = x[2], -x[2], 0
    sizes[::2] = size
    if bias_std:
        sizes[:] = size  # the bias is of one size
    found = InfiniteMLP(3, bias_std=bias_std * size)(x * sizes)
    truth = InfiniteMLP(3, bias_std=bias_std)(x)
    assert torch.allclose(found / sizes / sizes.T, truth, rtol=1e-13, atol=0)


@pytest.mark.parametrize(("dim", "dtype"), [(2, torch.float64), (800, torch.float64), (800, torch.float32)])
def test_extra_memory_is_the_matrix_and_little_more(dim: int, dtype: torch.dtype, memory_of) -> None:
    """On top of n² numbers, blocks that do not grow with n, and no copy of the points."""
    x, kernel = points(2000, dim, dtype), InfiniteMLP(2)
    kernel(x[:600])  # compiled code
    assert memory_of(lambda: kernel(x)) < 1.2 * 2000**2 * x.element_size()


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (lambda: InfiniteMLP(1, activation="swish"), "activation"),
        (lambda: InfiniteMLP(-1), "hidden_layers"),
        (lambda: InfiniteMLP(1, weight_std=0.0), "weight_std"),
        (lambda: InfiniteMLP(1, bias_std=-1.0), "bias_std"),
        (lambda: InfiniteMLP(1, kind="both"), "kind"),
        (lambda: InfiniteMLP(1)(torch.tensor([[float("nan")]])), "NaN"),
        (lambda: InfiniteMLP(1)(torch.ones(2, 3, dtype=torch.float16)), "float32 or float64"),
        (lambda: InfiniteMLP(1)(torch.ones(2, 3), torch.ones(2, 4)), "must be the same"),
        (lambda: InfiniteMLP(1)(torch.ones(2, 3), torch.ones(2, 3, dtype=torch.float64)), "alike"),
        (lambda: InfiniteMLP(1)(torch.full((2, 3), 1e25)), "overflow"),
        (lambda: InfiniteMLP(1)(torch.ones(1, 1).expand(10_000_000, 1)), "fill_gram"),
    ],
)
def test_bad_input(bad, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        bad()
