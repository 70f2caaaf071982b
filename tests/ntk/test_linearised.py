"""Linearised training against an integrator, a loop over steps, and its limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import gradient_descent_outputs
from scipy.integrate import solve_ivp

from kdtheory.ntk.linearised import linearised_training, relative_deviation, weight_change


def problem(seed: int, n: int = 6, features: int = 9) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(n + 2, features, dtype=torch.float64, generator=generator)
    start, targets = torch.randn(2, n + 2, dtype=torch.float64, generator=generator)
    return drawn[:n], drawn[n:], start, targets[:n]


@pytest.mark.parametrize("time", [0.01, 0.7, 20.0])
def test_flow_equals_an_integrator_on_and_off_the_training_points(time: float) -> None:
    own, other, start, targets = problem(0)
    gram, cross = (own @ own.T).numpy(), (other @ own.T).numpy()
    rate = 0.3

    def velocity(_: float, outputs: np.ndarray) -> np.ndarray:
        residual = outputs[:6] - targets.numpy()
        return -rate * np.concatenate([gram @ residual, cross @ residual])

    path = solve_ivp(velocity, (0, time), start.numpy(), "DOP853", rtol=1e-11, atol=1e-13)
    run = linearised_training(own @ own.T, targets, start[:6], rate=rate)
    found = torch.cat([run.outputs(time), run.predict(other @ own.T, start[6:], time=time)])
    torch.testing.assert_close(found, torch.from_numpy(path.y[:, -1]), rtol=0, atol=1e-8)


@pytest.mark.parametrize("steps", [0, 1, 7, 300])
def test_discrete_training_equals_a_loop_over_steps(steps: int) -> None:
    own, other, start, targets = problem(1)
    rate = 1.5 / float(torch.linalg.eigvalsh(own @ own.T)[-1])  # some directions overshoot
    run = linearised_training(own @ own.T, targets, start[:6], rate=rate, discrete=True)
    near, far = gradient_descent_outputs(own, other, targets, start, rate, steps)
    torch.testing.assert_close(run.outputs(steps), near, rtol=0, atol=1e-11)
    torch.testing.assert_close(run.predict(other @ own.T, start[6:], time=steps), far, rtol=0, atol=1e-11)


def test_start_and_end_are_exact() -> None:
    own, other, start, targets = problem(2)
    run = linearised_training(own @ own.T, targets, start[:6])
    assert torch.equal(run.outputs(0.0), start[:6])
    assert torch.equal(run.predict(other @ own.T, start[6:], time=0.0), start[6:])
    assert torch.equal(run.outputs(math.inf), targets)
    shortest = torch.linalg.pinv(own) @ (targets - start[:6])
    torch.testing.assert_close(
        run.predict(other @ own.T, start[6:], time=math.inf), start[6:] + other @ shortest
    )
    torch.testing.assert_close(run.squared_distance(math.inf), shortest.square().sum())


def test_points_that_coincide_move_together_and_stop_at_their_mean() -> None:
    own, other, start, targets = problem(3)
    own = torch.cat([own, own[:1]])
    start, targets = torch.cat([start[:6], start[:1]]), torch.cat([targets, targets[:1] + 2])
    run = linearised_training(own @ own.T, targets, start)
    for time in (0.5, 1e6, math.inf):
        outputs = run.outputs(time)
        assert float(outputs[0] - outputs[6]) == pytest.approx(0, abs=1e-10)
    assert float(outputs[0]) == pytest.approx(float(targets[0]) + 1, abs=1e-9)
    assert bool(
        torch.isfinite(run.predict(other @ own.T, torch.zeros_like(other[:, 0]), time=math.inf)).all()
    )


def test_small_times_keep_their_digits() -> None:
    own, _, start, targets = problem(4)
    run = linearised_training(own @ own.T, targets, start[:6])
    torch.testing.assert_close(run.coefficients(1e-12) / 1e-12, targets - start[:6], rtol=1e-9, atol=0)


def test_several_outputs_are_trained_each_by_itself() -> None:
    own, other, start, targets = problem(5)
    both = torch.stack([targets, -3 * targets], 1)
    begin = torch.stack([start[:6], start[:6]], 1)
    run = linearised_training(own @ own.T, both, begin)
    single = linearised_training(own @ own.T, both[:, 1], begin[:, 1])
    torch.testing.assert_close(run.outputs(0.4)[:, 1], single.outputs(0.4))
    torch.testing.assert_close(run.squared_distance(0.4)[1], single.squared_distance(0.4))
    cross = other @ own.T
    together = run.predict(cross, torch.zeros(2, 2, dtype=torch.float64), time=3.0)
    torch.testing.assert_close(
        together[:, 1], single.predict(cross, torch.zeros(2, dtype=torch.float64), time=3.0)
    )


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), time=st.floats(0, 50))
def test_the_loss_never_grows_and_the_weights_agree(seed: int, time: float) -> None:
    own, _, start, targets = problem(seed)
    run = linearised_training(own @ own.T, targets, start[:6])
    early, late = ((run.outputs(t) - targets).norm() for t in (time, time + 1))
    assert float(late) <= float(early) * (1 + 1e-9) + 1e-9
    moved = weight_change(own.matmul, torch.zeros_like(own[0]), run.coefficients(time))
    torch.testing.assert_close(start[:6] + own @ moved, run.outputs(time), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(moved.square().sum(), run.squared_distance(time), rtol=1e-8, atol=1e-8)
    with torch.inference_mode():
        assert torch.equal(weight_change(own.matmul, torch.zeros(9).to(own), run.coefficients(time)), moved)


def test_single_precision_is_kept() -> None:
    own, _, start, targets = (part.float() for part in problem(6))
    run = linearised_training(own @ own.T, targets, start[:6])
    assert run.outputs(0.3).dtype == torch.float32
    double = linearised_training((own @ own.T).double(), targets.double(), start[:6].double())
    torch.testing.assert_close(run.outputs(0.3).double(), double.outputs(0.3), rtol=1e-4, atol=1e-5)


EYE, ONES, ZEROS = (f(2) for f in (torch.eye, torch.ones, torch.zeros))


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: linearised_training(-EYE, ONES, ZEROS), "not positive semi-definite"),
        (lambda: linearised_training(EYE + torch.ones(2, 2).triu(1), ONES, ZEROS), "not symmetric"),
        (lambda: linearised_training(EYE * math.nan, ONES, ZEROS), "gram holds"),
        (lambda: linearised_training(EYE, ONES * math.inf, ZEROS), "targets holds"),
        (lambda: linearised_training(EYE, ONES, ZEROS, rate=0.0), "rate = 0"),
        (lambda: linearised_training(EYE, torch.ones(3), torch.zeros(3)), "n = 2 in gram"),
        (lambda: linearised_training(EYE, ONES, ZEROS).outputs(-1.0), "time = -1"),
        (lambda: linearised_training(EYE, ONES, ZEROS).outputs(math.nan), "time = nan"),
        (lambda: linearised_training(EYE, ONES, ZEROS, discrete=True).outputs(0.5), "time = 0.5"),
        (
            lambda: linearised_training(EYE, ONES, ZEROS, rate=2.0, discrete=True).outputs(math.inf),
            "diverges",
        ),
        (lambda: linearised_training(EYE, ONES, ZEROS).predict(torch.ones(3, 2), ONES, time=1.0), "cross"),
        (lambda: weight_change(lambda w: w, ONES, torch.ones(3)), "outputs"),
        (lambda: relative_deviation(ONES, ONES, ONES), "has not moved"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_refused_by_name(call, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        call()
