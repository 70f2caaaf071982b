"""The head nearest to a teacher, and what it gains, against scikit-learn and by hand."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from kdtheory.losses import kl_divergence
from kdtheory.streams import Stream
from kdtheory.weak_to_strong import distilled_head, head_logits, misfits

F64 = torch.float64


def sample(n: int = 60, d: int = 3, k: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = Stream(0).torch()
    features = torch.randn(n, d, dtype=F64, generator=generator)
    return features, (1.5 * torch.randn(n, k, dtype=F64, generator=generator)).softmax(-1)


def test_the_head_is_that_of_a_weighted_logistic_regression() -> None:
    features, probs = sample()
    rows, labels = features.repeat_interleave(4, 0), torch.arange(4).repeat(60)
    model = LogisticRegression(C=1e12, tol=1e-12, max_iter=10_000)
    model.fit(rows.numpy(), labels.numpy(), sample_weight=probs.flatten().numpy())
    theirs = torch.from_numpy(model.predict_proba(features.numpy()))
    ours = head_logits(distilled_head(features, probs), features).softmax(-1)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_pythagoras_for_every_head() -> None:
    features, probs = sample()
    teacher = probs.log()
    student = head_logits(distilled_head(features, probs), features)
    for seed in range(5):
        other = head_logits(torch.randn(4, 4, dtype=F64, generator=Stream(seed).torch()), features)
        whole = kl_divergence(other, teacher).mean()
        parts = kl_divergence(student, teacher).mean() + kl_divergence(other, student).mean()
        torch.testing.assert_close(parts, whole, rtol=1e-12, atol=0)


def test_a_teacher_that_is_a_head_has_no_misfit_and_another_has() -> None:
    features, probs = sample()
    head = torch.randn(4, 4, dtype=F64, generator=Stream(3).torch())
    found = misfits(features, {"head": head_logits(head, features).softmax(-1), "other": probs.float()})
    assert found["head"] < 1e-15
    assert found["other"] > 0.1


def test_rank_deficient_features_have_the_same_student() -> None:
    features, probs = sample()
    doubled = torch.cat((features, features), 1)
    one, two = (head_logits(distilled_head(some, probs), some) for some in (features, doubled))
    torch.testing.assert_close(one.softmax(-1), two.softmax(-1), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("features", "probs", "words"),
    [
        (torch.zeros(2, 1), torch.tensor([[0.0, 1.0], [0.5, 0.5]]), "soften the teacher"),
        (torch.full((2, 1), torch.nan), torch.full((2, 2), 0.5), "features"),
        (torch.zeros(2, 1), torch.full((2, 2), 0.4), "a sum of one"),
        (torch.full((2, 1), 1e200, dtype=torch.float64), torch.full((2, 2), 0.5), "scale them"),
    ],
)
def test_what_is_refused(features: torch.Tensor, probs: torch.Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        distilled_head(features, probs)
    with pytest.raises(ValueError, match="at least one"):
        misfits(torch.zeros(2, 1), {})


@pytest.mark.parametrize(("nearly", "digits"), [(1e-4, 1e-8), (1e-6, 1e-6), (1e-9, 1e-3)])
def test_a_teacher_that_is_nearly_certain_has_its_head_far_out(nearly: float, digits: float) -> None:
    """With as many weights as points the head is the teacher: its logits are the log-odds, to the digits that
    1 − p has."""
    rare = torch.tensor([nearly, 0.5, 1e-3 * nearly], dtype=torch.float64)
    teacher = torch.stack([1 - rare, rare], 1)
    features = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    logits = head_logits(distilled_head(features, teacher), features)
    assert torch.allclose(logits[:, 0] - logits[:, 1], (1 - rare).log() - rare.log(), rtol=digits)
