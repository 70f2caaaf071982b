"""Kernel systems without their matrix: the exact solution, within what is said to be open."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from kdtheory.ntk import InfiniteMLP, LinearKernel, gram_product, iterative, iterative_solution
from kdtheory.streams import Stream
from kdtheory.transfer_risk import KernelFunction, large_transfer_curve, transfer_curve

KERNEL = InfiniteMLP(3, weight_std=2**0.5)


def points(n: int, seed: int = 0, dim: int = 12, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.from_numpy(Stream(seed).numpy().standard_normal((n, dim))).to(dtype)


def oracle(dtype: torch.dtype = torch.float64) -> KernelFunction:
    coefficients = torch.from_numpy(Stream(9).numpy().standard_normal(15))
    return KernelFunction(KERNEL, points(15, seed=8, dtype=dtype), coefficients.to(dtype))


def exact(x: Tensor, z: Tensor, jitter: float) -> tuple[Tensor, Tensor]:
    """A and A⁻¹z."""
    gram = KERNEL(x)
    whole = gram + jitter * gram.diagonal().mean() * torch.eye(len(x), dtype=x.dtype)
    return whole, torch.linalg.solve(whole, z)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iterative, "_BLOCK", 96)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("n", [96, 200])
def test_products_are_those_of_the_matrix(n: int, jobs: int) -> None:
    x, v = points(n), points(n, seed=2, dim=1)[:, 0]
    torch.testing.assert_close(gram_product(KERNEL, x, v, jobs=jobs), KERNEL(x) @ v, rtol=1e-12, atol=1e-12)


class Counted(InfiniteMLP):
    """A kernel that counts the entries that it is asked for."""

    entries = 0

    def __call__(self, rows: Tensor, columns: Tensor | None = None, /) -> Tensor:
        self.entries += len(rows) * len(rows if columns is None else columns)
        return super().__call__(rows, columns)


@pytest.mark.parametrize("room", [0, 3, 6, 100])
def test_blocks_are_kept_as_far_as_there_is_room_and_change_no_digit(room: int) -> None:
    x = points(288)
    z = oracle()(x)
    settings = {"jitter": 1e-3, "landmarks": 20, "tolerance": 1e-3}
    plain = iterative_solution(KERNEL, x, z, **settings, kept_mb=0.0)
    kernel, block = Counted(3, weight_std=2**0.5), 96 * 96
    found = iterative_solution(kernel, x, z, **settings, kept_mb=room * 8 * block / 1e6)
    assert torch.equal(found.coefficients, plain.coefficients)
    assert found.error == plain.error
    assert found.iterations == plain.iterations >= 5
    kept = min(room, 6)  # of the six blocks on and above the diagonal
    products = found.iterations + 1
    before = 20 * 20 + 20 * len(x)  # for the preconditioner
    assert kernel.entries == before + block * (kept + (6 - kept) * products)


@pytest.mark.parametrize("landmarks", [3, 60, 160])
@pytest.mark.parametrize("jitter", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("tolerance", [1e-1, 1e-4])
def test_the_error_is_certified_and_not_by_far_too_large(
    landmarks: int, jitter: float, tolerance: float
) -> None:
    x = points(160)
    z = oracle()(x)
    whole, truth = exact(x, z, jitter)
    found = iterative_solution(KERNEL, x, z, jitter=jitter, landmarks=landmarks, tolerance=tolerance)
    apart = found.coefficients - truth
    own = float(apart @ whole @ apart) ** 0.5
    squared = float(z @ truth)
    slack = 1e-7 * squared**0.5  # where all is solved, rounding is left
    assert own <= found.error + slack
    assert found.converged
    assert found.error <= 2 * tolerance * squared**0.5
    if own > slack:
        eigen = float(torch.linalg.eigvalsh(whole)[-1]) / found.ridge
        assert found.error <= own * eigen**0.5  # what landmarks can lose, at most
        if landmarks >= 60 and jitter >= 1e-3:
            assert found.error <= 20 * own
    low, high = found.squared_norm
    assert low - slack * squared**0.5 <= squared <= high + slack * squared**0.5
    assert found.residual == pytest.approx(
        float((z - whole @ found.coefficients).norm() / z.norm()), rel=1e-6
    )
    fresh = points(200, seed=3)
    off = (KERNEL(fresh, x) @ apart).abs()
    assert bool((off <= (found.error + slack) * KERNEL.diagonal(fresh).sqrt()).all())


def test_more_landmarks_are_fewer_steps() -> None:
    x = points(160)
    z = oracle()(x)
    steps = [
        iterative_solution(KERNEL, x, z, jitter=1e-4, landmarks=m, tolerance=1e-3).iterations
        for m in (1, 16, 80, 160)
    ]
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] <= 3


def test_steps_that_do_not_suffice_are_said() -> None:
    x = points(300)
    told: list[tuple[int, int]] = []
    found = iterative_solution(KERNEL, x, oracle()(x), jitter=1e-6, landmarks=5, tolerance=1e-6, most=4,
                               progress=lambda *steps: told.append(steps))  # fmt: skip
    assert (found.converged, found.iterations, told) == (False, 4, [(n, 4) for n in range(1, 5)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("noise", [0.0, 0.5])
@pytest.mark.parametrize("tolerance", [0.3, 1e-2, 1e-4])
def test_the_interval_holds_the_exact_transfer_risk(
    dtype: torch.dtype, noise: float, tolerance: float
) -> None:
    sizes, jitter = (50, 200), 1e-3
    x, fresh = points(200), points(500, seed=3)
    targets = None
    if noise:
        targets = oracle()(x) + noise * points(200, seed=4, dim=1)[:, 0]
    curve = transfer_curve(KERNEL, x, oracle(), fresh, sizes=sizes, jitter=jitter, targets=targets)
    found = large_transfer_curve(
        KERNEL, x.to(dtype), oracle(dtype), fresh.to(dtype), sizes=sizes, jitter=jitter, landmarks=60,
        tolerance=tolerance, targets=None if targets is None else targets.to(dtype),
    )  # fmt: skip
    assert found.sizes == sizes
    assert bool((found.low <= curve.risk).all() and (curve.risk <= found.high).all())
    assert bool((found.low <= found.risk).all() and (found.risk <= found.high).all())
    rounding = 1e-5 if dtype == torch.float32 else 1e-10
    assert bool((found.norm_low <= curve.norm * (1 + rounding)).all())
    assert bool((curve.norm <= found.norm_high * (1 + rounding)).all())
    if tolerance == 1e-4:
        assert float((found.high - found.low).max()) <= 0.02
        assert float((found.risk - curve.risk).abs().max()) <= 0.002
    assert float((found.high - found.low).max()) > 0 or tolerance < 0.3
    assert list(found.to_frame()["n"]) == list(sizes)


def test_an_error_half_as_large_would_not_hold() -> None:
    """With a large ridge the certificate is all but the error itself."""
    x = points(160)
    z = oracle()(x)
    whole, truth = exact(x, z, 1.0)
    found = iterative_solution(KERNEL, x, z, jitter=1.0, landmarks=120, tolerance=1e-2)
    apart = found.coefficients - truth
    assert found.error / 2 < float(apart @ whole @ apart) ** 0.5 <= found.error


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"jitter": 0.0}, "jitter"),
        ({"jitter": -1.0}, "jitter"),
        ({"jitter": 1.0, "tolerance": 0.0}, "tolerance"),
        ({"jitter": 1.0, "landmarks": 0}, "landmarks"),
        ({"jitter": 1.0, "most": 0}, "most"),
        ({"jitter": 1.0, "scale": 0.0}, "scale"),
        ({"jitter": 1.0, "jobs": 0}, "jobs"),
        ({"jitter": 1.0, "kept_mb": -1.0}, "kept_mb"),
        ({"jitter": 1.0, "kept_mb": float("nan")}, "kept_mb"),
    ],
)
def test_bad_settings_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        iterative_solution(LinearKernel(), torch.eye(3), torch.ones(3), **settings)


def test_bad_targets_are_refused() -> None:
    for targets, said in ((torch.zeros(3), "all zero"), (torch.ones(2), "one for each|n = 3"),
                          (torch.full((3,), torch.nan), "NaN|finite")):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            iterative_solution(LinearKernel(), torch.eye(3), targets, jitter=1.0)


@pytest.mark.slow
def test_the_interval_holds_the_exact_risk_of_four_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iterative, "_BLOCK", 2048)
    x, fresh = points(4000, dim=64), points(1000, seed=3, dim=64)
    teacher = KernelFunction(KERNEL, points(15, seed=8, dim=64), oracle().coefficients)
    for jitter in (1e-2, 1e-4):
        curve = transfer_curve(KERNEL, x, teacher, fresh, sizes=(1000, 4000), jitter=jitter)
        found = large_transfer_curve(
            KERNEL, x, teacher, fresh, sizes=(1000, 4000), jitter=jitter, tolerance=1e-3
        )
        assert bool((found.low <= curve.risk).all() and (curve.risk <= found.high).all())
        assert float((found.high - found.low).max()) <= 0.02
        assert float((found.risk - curve.risk).abs().max()) <= 0.002


@pytest.mark.parametrize("n", [100, 300])
@pytest.mark.parametrize("jitter", [1e-4, 3e-5, 1e-5])
@pytest.mark.parametrize("kernel", [KERNEL, LinearKernel()])
def test_the_error_is_certified_where_rounding_takes_from_eigenvalues(
    kernel: InfiniteMLP | LinearKernel, jitter: float, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of points that are there twice a matrix in float32 has eigenvalues below zero."""
    monkeypatch.setattr(iterative, "_BLOCK", 2048)
    x = points(n, dim=6, dtype=torch.float32)
    x[n // 2 :] = x[: n // 2]
    z = points(n, seed=1, dim=1)[:, 0]
    found = iterative_solution(kernel, x, z, jitter=jitter, landmarks=n, tolerance=1e-3)
    whole = kernel(x).double() + found.ridge * torch.eye(n, dtype=torch.float64)
    truth = torch.linalg.solve(whole, z)
    apart = found.coefficients - truth
    assert float(torch.linalg.eigvalsh(whole)[0]) < found.ridge
    assert float(apart @ whole @ apart) ** 0.5 <= found.error
    assert found.squared_norm[0] <= float(z @ truth) <= found.squared_norm[1]
    with pytest.raises(
        ValueError, match=r"lost in the rounding of the kernel's torch\.float32; give more than"
    ):
        iterative_solution(kernel, x, z, jitter=1e-6)


@pytest.mark.parametrize("jitter", [1e-16, 1e-19])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_jitter_below_the_rounding_is_refused(dtype: torch.dtype, jitter: float) -> None:
    x = points(40, dtype=dtype)
    with pytest.raises(ValueError, match="is lost in the rounding"):
        iterative_solution(KERNEL, torch.cat([x, x]), torch.ones(80), jitter=jitter)


def test_an_error_that_rounding_has_made_negative_is_no_certificate() -> None:
    near = iterative._Nystroem.of(KERNEL, points(30), 30, 1e-14)
    wrong = dataclasses.replace(near, factor=near.factor / 2)  # v − F(…)⁻¹Fᵀv comes out as about −3v
    residual = points(30, seed=3, dim=1)[:, 0].numpy()
    assert float(residual @ wrong.inverse(residual)) < 0
    assert wrong.energy(residual) == torch.inf
    assert near.energy(0 * residual) == 0


def test_landmarks_may_all_be_points_of_norm_zero() -> None:
    x = torch.cat([torch.zeros(2, 12), points(6)])
    z = torch.arange(8.0, dtype=torch.float64)
    found = iterative_solution(LinearKernel(), x, z, jitter=0.1, landmarks=1, tolerance=1e-8)
    matrix = x @ x.mT + found.ridge * torch.eye(8, dtype=torch.float64)
    off = found.coefficients - torch.linalg.solve(matrix, z)
    assert float((off @ matrix @ off).sqrt()) <= found.error <= 1e-6


def test_half_precision_is_solved_in_that_of_the_kernel() -> None:
    x, z = points(50, dtype=torch.float16), points(50, seed=1, dim=1)[:, 0].float()
    half = iterative_solution(LinearKernel(), x, z, jitter=1e-2, landmarks=5, tolerance=1e-4)
    single = iterative_solution(LinearKernel(), x.float(), z, jitter=1e-2, landmarks=5, tolerance=1e-4)
    assert half.converged
    assert half.iterations == single.iterations
    assert torch.allclose(half.coefficients, single.coefficients, rtol=1e-5, atol=1e-6)
