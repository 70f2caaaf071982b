"""Disagreement beside error: sums over finite worlds against drawn networks; what is farthest; bad input."""

from __future__ import annotations

import pytest
import torch

from kdtheory.bounds.calibrated_ensembles import (
    ensemble_disagreement,
    ensemble_error,
    jiang22_disagreement,
)
from kdtheory.bounds.triangle import farthest_predictor

SHARES = torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]], dtype=torch.float64)
POSTERIOR = torch.tensor([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]], dtype=torch.float64)
WEIGHTS = torch.tensor([0.25, 0.75], dtype=torch.float64)


def test_sums_are_those_over_pairs_of_networks_and_labels() -> None:
    apart = sum(
        float(WEIGHTS[x] * SHARES[x, i] * SHARES[x, j])
        for x in range(2) for i in range(3) for j in range(3) if i != j
    )  # fmt: skip
    wrong = sum(
        float(WEIGHTS[x] * SHARES[x, i] * POSTERIOR[x, j])
        for x in range(2) for i in range(3) for j in range(3) if i != j
    )  # fmt: skip
    assert float(ensemble_disagreement(SHARES, WEIGHTS)) == pytest.approx(apart)
    assert float(ensemble_error(SHARES, POSTERIOR, WEIGHTS)) == pytest.approx(wrong)
    assert float(ensemble_error(SHARES, SHARES, WEIGHTS)) == pytest.approx(apart), "calibrated point by point"


def test_it_is_a_heuristic_even_of_a_calibrated_recipe() -> None:
    rows = torch.arange(200).expand(3, -1) < torch.tensor([[20], [30], [40]])
    for calibrated in (False, True):
        bound = jiang22_disagreement(rows, delta=0.05, calibrated=calibrated)
        assert bound.kind == "heuristic"
        assert bound.terms["disagreement"] == pytest.approx(0.15)
        assert bound.value == pytest.approx(sum(bound.terms.values()))


def test_what_is_farthest_is_right_where_it_was_seen_and_leaves_the_witness_where_that_is_right() -> None:
    witness, labels = torch.tensor([0, 1, 1, 0, 1]), torch.tensor([0, 1, 0, 1, 1])
    weights = torch.tensor([0.4, 0.3, 0.3, 0.0, 0.0])
    seen = torch.tensor([False, False, False, True, True])
    found = farthest_predictor(witness, labels, weights, seen, classes=2, apart=0.35)
    assert found.tolist() == [0, 0, 1, 1, 1]
    none = farthest_predictor(witness, labels, weights, ~seen & False, classes=2, apart=0.0)
    assert torch.equal(none[:3], witness[:3])


def test_bad_input() -> None:
    points = torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([0.5, 0.5])
    with pytest.raises(ValueError, match="has mass"):
        farthest_predictor(*points, torch.tensor([True, False]), classes=2, apart=0.1)
    with pytest.raises(ValueError, match="apart"):
        farthest_predictor(*points, torch.zeros(2).bool(), classes=2, apart=1.5)
    with pytest.raises(ValueError, match="posterior"):
        ensemble_error(SHARES, POSTERIOR * 2, WEIGHTS)
    with pytest.raises(ValueError, match="calibrated"):
        jiang22_disagreement(torch.zeros(5), delta=0.05, calibrated="yes")
