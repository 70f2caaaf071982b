"""Finite worlds in which error and disagreement are sums: calibrated ensembles, farthest predictors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.bounds.calibrated_ensembles import ensemble_disagreement, ensemble_error
from kdtheory.bounds.triangle import farthest_predictor
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.streams import Stream


@experiment
def calibrated_ensembles(run: Run, /, *, sharpness: float = 1.0) -> Rows:
    """40 worlds of 6 groups of 4 points and 3 classes: in each group the networks' shares are one, and the
    posterior varies around them, with the shares for its mean; the mean error of a network, and how often two
    of them differ. Then the shares are those to the power of `sharpness`, in proportion; and both where they
    are squared once more.
    """
    told = []
    for world in range(run.size(quick=40, full=400)):
        shares, posterior, weights = _calibrated_world(run.stream.child(world))
        row: list[float] = []
        for power in (sharpness, 2 * sharpness):
            raised = shares**power
            raised = raised / raised.sum(-1, keepdim=True)
            row.append(float(ensemble_error(raised, posterior, weights)))
            row.append(float(ensemble_disagreement(raised, weights)))
        told.append(row)
    columns = torch.tensor(told, dtype=torch.float64).T
    names = ("error", "disagreement", "error_when_squared", "disagreement_when_squared")
    return Rows(**dict(zip(names, columns, strict=True)))


def that_errs_the_most(witness: Tensor, labels: Tensor, weights: Tensor, seen: Tensor) -> Tensor:
    """The predictor that leaves the witness at a fifth of the mass, and errs as often as it can."""
    return farthest_predictor(witness, labels, weights, seen, classes=4, apart=0.2)


def that_is_right_where_the_witness_errs(
    witness: Tensor, labels: Tensor, weights: Tensor, seen: Tensor
) -> Tensor:
    """The predictor that leaves the witness wherever that errs."""
    found = farthest_predictor(witness, witness, weights, seen, classes=4, apart=0.2)
    return torch.where(witness != labels, labels, found)


@experiment
def farthest_predictors(
    run: Run, /, *, predictor: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = that_errs_the_most
) -> Rows:
    """40 worlds of 50 points and 4 classes, 10 of them without mass, whose labels were seen; witnesses that
    err at a third of the points, and a predictor: its error, the witness's, how often they differ, and its
    errors where labels were seen.
    """
    told = []
    for world in range(run.size(quick=40, full=400)):
        generator = run.stream.child(world).torch()
        weights = torch.rand(50, dtype=torch.float64, generator=generator)
        seen = torch.arange(50) < 10
        weights = weights.masked_fill(seen, 0.0)
        weights = weights / weights.sum()
        labels = torch.randint(4, (50,), generator=generator)
        wrong = torch.rand(50, generator=generator) < 1 / 3
        witness = torch.where(wrong, (labels + 1) % 4, labels)
        found = predictor(witness, labels, weights, seen)
        errors = [float(weights[said != labels].sum()) for said in (found, witness)]
        told.append((*errors, float(weights[found != witness].sum()), float((found != labels)[seen].sum())))
    error, of_witness, apart, seen_errors = torch.tensor(told, dtype=torch.float64).T
    return Rows(error=error, of_witness=of_witness, apart=apart, seen_errors=seen_errors)


def _calibrated_world(stream: Stream) -> tuple[Tensor, Tensor, Tensor]:
    """Shares, posterior and weights of 24 points."""
    generator = stream.torch()

    def random(*shape: int) -> Tensor:
        return torch.rand(*shape, dtype=torch.float64, generator=generator)

    shares = 0.1 + random(6, 1, 3)
    shares = shares / shares.sum(-1, keepdim=True)
    weights = 0.1 + random(6, 4, 1)
    weights = weights / weights.sum()
    moves = random(6, 4, 3)
    moves = moves - moves.mean(-1, keepdim=True)
    moves = moves - (weights * moves).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
    most = (shares / moves.neg().clamp_min(1e-12)).amin((1, 2), keepdim=True)
    posterior = shares + 0.9 * most * moves
    return shares.expand(6, 4, 3).reshape(24, 3), posterior.reshape(24, 3), weights.reshape(24)
