"""Empirical risks against explicit loops, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from kdtheory.risk import accuracy, distilled_losses, distilled_risk, one_hot_losses, one_hot_risk

N, K = 5, 3


@pytest.fixture
def losses() -> torch.Tensor:
    return torch.rand(4, N, K, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.tensor([0, 2, 1, 2, 0])


@pytest.fixture
def probs() -> torch.Tensor:
    draw = torch.rand(N, K, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return draw / draw.sum(-1, keepdim=True)


def test_risks_equal_loops(losses: torch.Tensor, labels: torch.Tensor, probs: torch.Tensor) -> None:
    for member in range(4):
        table = losses[member].tolist()
        one_hot = sum(table[i][labels[i]] for i in range(N)) / N
        soft = sum(float(probs[i, y]) * table[i][y] for i in range(N) for y in range(K)) / N
        assert float(one_hot_risk(losses, labels)[member]) == pytest.approx(one_hot, rel=1e-14)
        assert float(distilled_risk(losses, probs)[member]) == pytest.approx(soft, rel=1e-14)


def test_one_hot_teacher_is_the_one_hot_risk(losses: torch.Tensor, labels: torch.Tensor) -> None:
    teacher = torch.nn.functional.one_hot(labels, K).double()
    assert torch.equal(distilled_losses(losses, teacher), one_hot_losses(losses, labels))


def test_members_and_replicates_broadcast(losses: torch.Tensor, labels: torch.Tensor) -> None:
    many = labels.repeat(7, 1)[:, None]  # seven replicates of the labels against four members
    assert one_hot_risk(losses, many).shape == (7, 4)
    assert torch.equal(one_hot_risk(losses, many)[3], one_hot_risk(losses, labels))


def test_teacher_may_be_more_precise_than_the_student(losses: torch.Tensor, probs: torch.Tensor) -> None:
    assert distilled_risk(losses.float(), probs).dtype == torch.float64
    assert one_hot_risk(losses.float(), torch.zeros(N, dtype=torch.long)).dtype == torch.float32


def test_bad_input_is_named(losses: torch.Tensor, labels: torch.Tensor, probs: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="labels spans 0 to 3"):
        one_hot_risk(losses, labels + torch.tensor([0, 1, 0, 0, 0]))
    with pytest.raises(ValueError, match="teacher_probs"):
        distilled_risk(losses, probs * 1.1)
    with pytest.raises(ValueError, match="losses holds 1 NaN or infinite"):
        one_hot_risk(losses[0].where(losses[0] < losses[0].max(), torch.nan), labels)
    with pytest.raises(ValueError, match="empty"):
        one_hot_risk(losses[:, :0], labels[:0])


def test_accuracy_counts_the_points_whose_label_is_likeliest() -> None:
    logits = torch.randn(2, 40, 5, generator=torch.Generator().manual_seed(3))
    labels = torch.arange(40) % 5
    rows = [list(zip(member.tolist(), labels.tolist(), strict=True)) for member in logits]
    right = [sum(max(range(5), key=row.__getitem__) == y for row, y in member) for member in rows]
    assert accuracy(logits, labels).tolist() == [count / 40 for count in right]
    assert accuracy(logits, logits.argmax(-1)).tolist() == [1, 1]
