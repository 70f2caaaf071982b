"""What is given with a graph: numbers are read off it without a warning, whichever is read first."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import torch

from kdtheory import compression, ntk, problems, risk, transfer_risk
from kdtheory import self_distillation as sd
from kdtheory.weak_to_strong import misfits


@pytest.fixture
def _always_warned() -> Iterator[None]:
    """Torch warns of a number that is read off a graph once in a process; here each time."""
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    torch.set_warn_always(before)


X = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
Y = X[:, 0]
GRAM = X @ X.mT + torch.eye(6, dtype=torch.float64)
MASSES = Y.softmax(0)
PROBS = X.softmax(-1)
ORACLE = transfer_risk.linear_function(X[0])
LINEAR = ntk.LinearKernel()

CALLS = {
    "kernel_ridge": lambda: sd.kernel_ridge(GRAM, Y, penalty=1.0),
    "contraction": lambda: sd.borup21_contraction(GRAM, penalty=1.0, alpha=0.5),
    "lag": lambda: sd.nagarajan23_lag(MASSES, student_time=1.0, teacher_time=2.0),
    "optimal_mixing": lambda: sd.optimal_mixing(X, Y, penalty=0.1, truth=X[1], covariance=X.mT @ X),
    "design": lambda: sd.fixed_design_mixing(MASSES, Y, penalty=0.1, noise_variance=1.0, n=5),
    "rounds": lambda: sd.mobahi20_rounds(GRAM, Y, error=0.01, rounds=2),
    "multiplier": lambda: sd.mobahi20_multiplier(MASSES, Y, error=1e-4),
    "before collapse": lambda: sd.mobahi20_rounds_before_collapse(MASSES, norm=3.0, error=0.1),
    "projection": lambda: transfer_risk.projection_angle(MASSES, MASSES.sum()),
    "curve": lambda: transfer_risk.transfer_curve(LINEAR, X, ORACLE, X[3:], sizes=(1, 3)),
    "taught curve": lambda: transfer_risk.transfer_curve(LINEAR, X, ORACLE, X[3:], sizes=(1, 3), targets=Y),
    "large curve": lambda: transfer_risk.large_transfer_curve(
        LINEAR, X, ORACLE, X[3:], sizes=(3,), jitter=1e-3
    ),
    "angle": lambda: transfer_risk.angle_between(ORACLE, transfer_risk.linear_function(X[2])),
    "cholesky": lambda: ntk.cholesky(GRAM),
    "linearised": lambda: ntk.linearised_training(GRAM, Y, 0 * Y, discrete=True, rate=0.01).outputs(
        torch.inf
    ),
    "deviation": lambda: ntk.relative_deviation(Y, MASSES, 0 * Y),
    "perturbation": lambda: compression.neyshabur18_perturbation([X], [0.01 * X], input_norm=1.0),
    "world": lambda: problems.FiniteWorld(X, MASSES, PROBS).bayes_error,
    "hidden": lambda: risk.hidden_mass(MASSES, PROBS, n=3, feedback="soft"),
    "misfits": lambda: misfits(X[:, :1], {"teacher": PROBS}),
}


@pytest.mark.usefixtures("_always_warned")
@pytest.mark.parametrize("name", CALLS)
def test_numbers_are_read_off_a_graph_in_silence(name: str) -> None:
    CALLS[name]()
