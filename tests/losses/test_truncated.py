"""Truncated teachers and the reduction of tokens."""

from __future__ import annotations

import pytest
import torch

from kdtheory.losses import (
    TopK,
    kd_loss,
    kl_divergence,
    reduce_tokens,
    reverse_kl_divergence,
    token_kd_loss,
    top_k,
    top_k_divergence,
)
from kdtheory.streams import Stream


def logits(*shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = Stream(seed).torch()
    student, teacher = torch.randn(2, *shape, dtype=torch.float64, generator=generator)
    return student, 2 * teacher


def test_with_its_tail_the_divergence_grows_to_the_whole_one() -> None:
    student, teacher = logits(200, 8)
    last = torch.zeros(200, dtype=torch.float64)
    for kept in range(1, 9):
        found = top_k_divergence(student, top_k(teacher, kept=kept))
        assert bool((found >= last - 1e-12).all())
        last = found
    torch.testing.assert_close(last, kl_divergence(student, teacher))
    torch.testing.assert_close(
        top_k_divergence(student, top_k(teacher, kept=8), reverse=True),
        reverse_kl_divergence(student, teacher),
    )


def test_the_bare_sum_goes_below_zero_and_the_renormalised_one_is_blind() -> None:
    student, teacher = logits(200, 6)
    kept = top_k(teacher, kept=2)
    assert float(top_k_divergence(student, kept, tail="bare").min()) < -0.05
    q = student.scatter(-1, kept.indices, kept.log_probs - 5)  # the same two odds, nearly all mass elsewhere
    torch.testing.assert_close(
        top_k_divergence(q, kept, tail="renormalised"),
        torch.zeros(200, dtype=torch.float64),
        atol=1e-12,
        rtol=0,
    )
    assert float(top_k_divergence(q, kept).min()) > 0.1


def test_equality_where_the_ratio_is_constant_on_the_rest() -> None:
    _, teacher = logits(50, 7)
    kept = top_k(teacher, kept=3)
    student = teacher.scatter_add(
        -1, kept.indices, torch.randn(50, 3, dtype=torch.float64, generator=Stream(4).torch())
    )
    torch.testing.assert_close(top_k_divergence(student, kept), kl_divergence(student, teacher))


def test_temperature_is_that_of_the_teacher() -> None:
    student, teacher = logits(20, 5)
    whole = top_k(teacher, kept=5, temperature=3.0)
    torch.testing.assert_close(top_k_divergence(student, whole), kl_divergence(student / 3, teacher / 3))


def test_half_precision_teachers() -> None:
    student, teacher = logits(30, 100)
    stored = top_k(teacher.half(), kept=10)
    half = TopK(stored.log_probs.half(), stored.indices)
    exact = top_k_divergence(student, top_k(teacher.half().double(), kept=10))
    torch.testing.assert_close(top_k_divergence(student, half), exact, rtol=0.02, atol=2e-3)
    assert top_k_divergence(student.half(), half).dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: top_k(torch.zeros(2, 3), kept=4), "more than the 3 classes"),
        (lambda: top_k(torch.zeros(2, 3), kept=0), "kept"),
        (lambda: TopK(torch.zeros(2, 2), torch.tensor([[0, 1], [1, 2]])), "no log-probabilities"),
        (lambda: TopK(torch.full((1, 2), -2.0), torch.tensor([[1, 1]])), "repeat"),
        (lambda: TopK(torch.full((1, 2), -2.0), torch.tensor([[-1, 1]])), "class numbers"),
        (lambda: top_k_divergence(torch.zeros(3, 4), top_k(torch.zeros(2, 4), kept=1)), "give the same"),
        (
            lambda: top_k_divergence(torch.zeros(1, 2), TopK(torch.tensor([[-1.0]]), torch.tensor([[5]]))),
            "indices reach 5",
        ),
        (
            lambda: top_k_divergence(
                torch.zeros(1, 3), top_k(torch.zeros(1, 3), kept=1), tail="bare", reverse=True
            ),
            "no bare form",
        ),
        (
            lambda: reduce_tokens(torch.zeros(2, 3), torch.zeros(2, 3).bool(), reduction="per_token"),
            "without",
        ),
    ],
)
def test_what_is_refused(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]


def test_reductions_by_hand_and_what_is_masked_does_not_matter() -> None:
    losses = torch.tensor([[1.0, 2.0, torch.nan], [4.0, torch.inf, torch.nan]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    found = {way: reduce_tokens(losses, mask, reduction=way) for way in ("sum", "per_sequence", "per_token")}
    assert {way: float(value) for way, value in found.items()} == {
        "sum": 3.5,
        "per_sequence": 2.75,
        "per_token": pytest.approx(7 / 3),
    }
    assert reduce_tokens(losses, mask, reduction="none").tolist() == [[1, 2, 0], [4, 0, 0]]
    for way in ("sum", "per_sequence", "per_token"):
        with pytest.raises(ValueError, match="without a token"):
            reduce_tokens(losses[:0], reduction=way)


def test_kd_loss_takes_what_was_kept_of_a_teacher() -> None:
    student, teacher = logits(12, 6)
    labels = torch.arange(12) % 6
    whole = {"temperature": 2.0, "weight": 0.7}
    kept = top_k(teacher, kept=6, temperature=2.0)
    torch.testing.assert_close(
        kd_loss(student, kept, labels, **whole), kd_loss(student, teacher, labels, **whole)
    )
    some = top_k(teacher, kept=2, temperature=2.0)
    soft = 0.7 * 4 * top_k_divergence(student, some)
    hard = 0.3 * torch.nn.functional.cross_entropy(student, labels)
    torch.testing.assert_close(kd_loss(student, some, labels, **whole), soft.mean() + hard)
    with pytest.raises(ValueError, match="cannot be softened afterwards"):
        kd_loss(student, some, labels, temperature=1.0, weight=0.7)
    with pytest.raises(ValueError, match="needs the whole teacher"):
        kd_loss(student, some, labels, soft="jsd", **whole)
    for temperature in (torch.tensor(2.0), torch.full((12,), 2.0, dtype=torch.float64)):
        told = kd_loss(student, some, labels, temperature=temperature, weight=0.7)
        torch.testing.assert_close(told, kd_loss(student, some, labels, **whole))
    with pytest.raises(ValueError, match="cannot be softened afterwards"):
        kd_loss(student, some, labels, temperature=1 + torch.arange(12.0), weight=0.7)


@pytest.mark.parametrize("kept", [None, 3])
def test_token_losses_are_the_loss_of_each_token_that_counts(kept: int | None) -> None:
    student, teacher = logits(4, 5, 6)
    given = teacher if kept is None else top_k(teacher, kept=kept, temperature=2.0)
    mask = torch.arange(5) < torch.tensor([5, 3, 1, 4])[:, None]
    labels = torch.where(mask, 2, -100)
    rows = {"temperature": 2.0, "weight": 0.4}
    per_token = token_kd_loss(student, given, labels, mask=mask, **rows)
    flat = teacher[mask] if kept is None else top_k(teacher[mask], kept=kept, temperature=2.0)
    torch.testing.assert_close(per_token, kd_loss(student[mask], flat, labels[mask], **rows))
    per_sequence = token_kd_loss(student, given, labels, mask=mask, reduction="per_sequence", **rows)
    assert not torch.isclose(per_token, per_sequence)
    padded = student.where(mask[..., None], torch.nan).requires_grad_()  # as −∞ in padding leaves a network
    filled = given if kept else teacher.where(mask[..., None], -torch.inf)
    found = token_kd_loss(padded, filled, labels, mask=mask, **rows)
    torch.testing.assert_close(found, per_token)
    (gradient,) = torch.autograd.grad(found, padded)
    assert not bool(gradient[~mask].any())
    assert bool(torch.isfinite(gradient).all())
    nothing = token_kd_loss(padded, given, labels, mask=mask & False, reduction="none", **rows)
    assert not bool(torch.autograd.grad(nothing.sum(), padded)[0].any())
    assert not bool(nothing.any())
    if isinstance(given, TopK):
        with pytest.raises(ValueError, match="they must be the same"):
            token_kd_loss(student, top_k(teacher[:, 1:], kept=3, temperature=2.0), labels, mask=mask, **rows)


def test_half_precision_is_summed_in_float32() -> None:
    losses = torch.ones(70, 1000, dtype=torch.float16)
    for reduction in ("per_token", "per_sequence"):
        found = reduce_tokens(losses, reduction=reduction)
        assert found.dtype == torch.float32
        assert found == 1
    assert reduce_tokens(70 * losses, reduction="sum") == 70_000


def test_the_tail_of_a_peaked_teacher_is_seen_in_its_own_digits() -> None:
    p = torch.tensor([1 - 3e-10, 2e-10, 1e-10], dtype=torch.float64)
    kept = TopK(p[:2].log(), torch.tensor([0, 1]))
    student = torch.tensor([0.5, 0.25, 0.25])
    q = student.double()
    exact = (q * (q / p).log()).sum()
    found = top_k_divergence(student.log(), kept, reverse=True)
    torch.testing.assert_close(found, exact.float(), rtol=1e-5, atol=0)


def test_no_class_kept_is_refused() -> None:
    with pytest.raises(ValueError, match="classes kept"):
        TopK(torch.zeros(3, 0), torch.zeros(3, 0, dtype=torch.long))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kept", [2, 3, 5])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_masked_vocabulary_is_one_of_the_tokens_that_are_left(
    dtype: torch.dtype, kept: int, reverse: bool
) -> None:
    """Three tokens of six; what rounding leaves of the teacher beside them is no class."""
    rows = [torch.randn(20, 6, generator=Stream(seed).torch()).to(dtype) for seed in (1, 2)]
    for some in rows:
        some[:, 3:] = -torch.inf
    student, teacher = rows[0].clone().requires_grad_(), rows[1]
    found = top_k_divergence(student, top_k(teacher, kept=kept), reverse=reverse)
    few = rows[0][:, :3].clone().requires_grad_()
    wanted = top_k_divergence(few, top_k(teacher[:, :3], kept=min(kept, 3)), reverse=reverse)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(found.sum(), student)
    torch.testing.assert_close(
        gradient[:, :3], torch.autograd.grad(wanted.sum(), few)[0], rtol=1e-2, atol=1e-5
    )
    assert not gradient[:, 3:].any()
