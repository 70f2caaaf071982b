"""Laws of sequences by enumeration: chain rule, estimators, drafts; and sampling against the tables."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import nn

from kdtheory.losses import kl_divergence
from kdtheory.sequences import (
    ESTIMATORS,
    SequenceLaw,
    acceptance,
    acceptance_lower_limits,
    estimator_moments,
    greedy_acceptance,
    kl_estimate,
    kl_surrogate,
    negative_log_acceptance,
    next_token_sum,
    sequence_divergence,
    sequence_total_variation,
    speculative_law,
    tokens_per_cycle,
    total_variation,
)
from kdtheory.streams import Stream

CELLS = list(product(("teacher", "student"), ("teacher_to_student", "student_to_teacher")))


def two_laws(seed: int = 0) -> tuple[SequenceLaw, SequenceLaw]:
    stream = Stream(seed)
    return SequenceLaw.random(4, 3, stream.child("p")), SequenceLaw.random(4, 3, stream.child("q"))


def test_two_cells_of_four_are_the_divergence_of_sequences() -> None:
    teacher, student = two_laws()
    whole = {way: sequence_divergence(teacher, student, direction=way) for _, way in CELLS}
    owner = {"teacher_to_student": "teacher", "student_to_teacher": "student"}
    for prefixes, way in CELLS:
        cell = next_token_sum(teacher, student, prefixes=prefixes, direction=way)
        off = min(float((cell - value).abs()) for value in whole.values())
        if owner[way] == prefixes:
            torch.testing.assert_close(cell, whole[way], rtol=1e-13, atol=0)
        else:
            assert off > 1e-3, (prefixes, way)


def test_divergence_by_a_loop_over_sequences() -> None:
    teacher, student = two_laws(1)
    total = 0.0
    for tokens in product(range(4), repeat=3):
        row = torch.tensor([tokens])
        p, q = teacher.log_probs(row).sum(), student.log_probs(row).sum()
        total += float(p.exp() * (p - q))
    assert float(sequence_divergence(teacher, student, direction="teacher_to_student")) == pytest.approx(
        total
    )


@pytest.mark.parametrize("prefixes", ["teacher", "student"])
def test_total_variation_of_sequences_is_at_most_the_sum(prefixes: str) -> None:
    for seed in range(10):
        laws = two_laws(seed)
        most = next_token_sum(*laws, prefixes=prefixes, direction="total_variation")
        assert 0 < sequence_total_variation(*laws) <= most


def test_samples_have_the_law_of_the_table() -> None:
    teacher, _ = two_laws()
    tokens = teacher.sample(40_000, Stream(3))
    assert bool((tokens == teacher.sample(40_000, Stream(3))).all())
    shares = torch.bincount((tokens * torch.tensor([16, 4, 1])).sum(1), minlength=64) / len(tokens)
    assert (shares - teacher.joint().flatten()).abs().max() < 5 * (0.25 / len(tokens)) ** 0.5


class Causal(nn.Module):
    """Next-token logits from the last two tokens, so that the table can be written down by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(4, 4, 5, generator=Stream(8).torch()))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        before = torch.cat((torch.zeros_like(tokens[:, :1]), tokens[:, :-1]), 1)
        return self.table[before, tokens]


def test_the_law_of_a_net_is_read_prefix_by_prefix() -> None:
    net = Causal()
    law = SequenceLaw.of_net(net, vocabulary=4, horizon=3, start=(1, 2))
    by_hand = net.table.detach()[..., :4].double().softmax(-1)
    torch.testing.assert_close(law.steps[0], by_hand[1, 2])
    torch.testing.assert_close(law.steps[1], by_hand[2])
    torch.testing.assert_close(law.steps[2], by_hand)
    torch.testing.assert_close(law.joint().sum(), torch.tensor(1.0, dtype=torch.float64))


def acausal(tokens: torch.Tensor) -> torch.Tensor:
    """Logits that look at the last token."""
    return tokens[:, -1:, None] * torch.arange(3.0).expand(*tokens.shape, 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SequenceLaw(()), "number of steps"),
        (lambda: SequenceLaw((torch.full((2,), 0.5), torch.full((3, 2), 0.5))), "an axis for each token"),
        (lambda: SequenceLaw((torch.tensor(1.0),)), "the law of the first token"),
        (lambda: SequenceLaw.of_net(acausal, vocabulary=3, horizon=3), "tokens after it"),
        (lambda: SequenceLaw((torch.tensor([0.5, 0.6]),)), "a sum of one"),
        (lambda: SequenceLaw.random(50, 10, Stream(0)), "at most"),
        (lambda: two_laws()[0].log_probs(torch.zeros(2, 5, dtype=torch.long)), "n × 3"),
        (lambda: two_laws()[0].log_probs(torch.full((2, 3), 4)), "0 to 3"),
        (lambda: SequenceLaw.of_net(lambda x: x, vocabulary=2, horizon=2), "n × L × V"),
        (
            lambda: sequence_divergence(
                two_laws()[0], SequenceLaw.random(3, 3, Stream(0)), direction="teacher_to_student"
            ),
            "same sequences",
        ),
    ],
)
def test_what_is_refused(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]


def logits(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = Stream(seed).torch()
    student, teacher = torch.randn(2, 6, dtype=torch.float64, generator=generator)
    return student, teacher


def gradient_of(direction: str, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    leaf = student.clone().requires_grad_()
    pair = (leaf, teacher) if direction == "forward" else (teacher, leaf)
    return torch.autograd.grad(kl_divergence(*pair), leaf)[0]


def test_values_and_gradients_of_the_estimators() -> None:
    student, teacher = logits(0)
    reverse = kl_divergence(teacher, student)
    found = {name: estimator_moments(student, teacher, estimator=name) for name in ESTIMATORS}
    for name in ("k1", "k3", "score"):
        torch.testing.assert_close(found[name].value, reverse, rtol=1e-12, atol=0)
    assert abs(found["k2"].value - reverse) > 1e-2
    wanted = {
        "k1": torch.zeros(6, dtype=torch.float64),
        "k2": gradient_of("reverse", student, teacher),
        "k3": gradient_of("forward", student, teacher),
        "score": gradient_of("reverse", student, teacher),
    }
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name].gradient, gradient, rtol=1e-10, atol=1e-14)
    assert found["k3"].variance < found["k1"].variance


def test_off_policy_samples_need_the_ratio() -> None:
    student, teacher = logits(1)
    old = student + 0.3 * torch.randn(6, dtype=torch.float64, generator=Stream(5).torch())
    wanted = gradient_of("reverse", student, teacher)
    right = estimator_moments(student, teacher, estimator="k2", sampler_logits=old)
    wrong = estimator_moments(student, teacher, estimator="k2", sampler_logits=old, corrected=False)
    torch.testing.assert_close(right.gradient, wanted, rtol=1e-10, atol=1e-14)
    assert (wrong.gradient - wanted).abs().max() > 1e-3


def test_moments_are_those_of_samples() -> None:
    student, teacher = logits(2)
    q, p = student.log_softmax(-1), teacher.log_softmax(-1)
    drawn = torch.multinomial(q.exp(), 200_000, replacement=True, generator=Stream(6).torch())
    for name in ("k1", "k2", "k3"):
        values = kl_estimate(q[drawn], p[drawn], estimator=name)
        exact = estimator_moments(student, teacher, estimator=name)
        assert abs(values.mean() - exact.value) < 5 * (exact.variance / len(drawn)).sqrt()
        assert float(values.var()) == pytest.approx(float(exact.variance), rel=0.1)


def test_estimates_of_half_precision_and_of_excluded_tokens() -> None:
    low = kl_estimate(torch.tensor([-1.0]).half(), torch.tensor([-1.001]).half(), estimator="k3")
    assert low.dtype == torch.float32
    assert 0 <= low < 1e-3
    assert kl_estimate(torch.zeros(1), torch.tensor([-torch.inf]), estimator="k1") == torch.inf
    with pytest.raises(ValueError, match="the student drew these tokens"):
        kl_surrogate(torch.tensor([-torch.inf]), torch.zeros(1), estimator="k1")
    with pytest.raises(ValueError, match="the sampler drew these tokens"):
        kl_surrogate(*torch.zeros(2, 1), estimator="k2", sampler_log_probs=torch.tensor([-torch.inf]))
    with pytest.raises(ValueError, match="drafts = 100000 is more"):
        tokens_per_cycle(0.5, drafts=100_000)


def test_the_law_of_speculative_decoding_is_the_targets() -> None:
    for seed in range(20):
        student, teacher = logits(seed)
        q, p = student.softmax(-1), teacher.softmax(-1)
        torch.testing.assert_close(speculative_law(q, p), p, rtol=1e-12, atol=1e-15)
        alpha = acceptance(student, teacher)
        torch.testing.assert_close(alpha, 1 - total_variation(student, teacher), rtol=1e-12, atol=0)
        torch.testing.assert_close(negative_log_acceptance(student, teacher), -alpha.log())
        assert all(limit <= alpha for limit in acceptance_lower_limits(student, teacher))


def test_another_law_in_the_ratio_gives_another_law() -> None:
    student, teacher = logits(3)
    q, p = student.softmax(-1), teacher.softmax(-1)
    sharper = (student / 0.5).softmax(-1)
    found = speculative_law(q, p, assumed=sharper)
    torch.testing.assert_close(found.sum(), torch.tensor(1.0, dtype=torch.float64))
    assert (found - p).abs().sum() / 2 > 0.01


def test_draft_losses_where_nothing_is_shared_and_where_all_is() -> None:
    apart = torch.tensor([0.0, -torch.inf]), torch.tensor([-torch.inf, 0.0])
    assert negative_log_acceptance(*apart) == torch.inf
    assert acceptance(*apart) == 0
    for gap in (20.0, 200.0):  # e^{−200} is no float32: α is 0, its logarithm is not, nor what it teaches
        draft = torch.tensor([[0.0, -gap], [0.0, -torch.inf]], requires_grad=True)
        losses = negative_log_acceptance(draft, torch.tensor([[-gap, 0.0], [-torch.inf, 0.0]]))
        torch.testing.assert_close(losses, torch.tensor([gap - math.log(2), math.inf]))
        (gradient,) = torch.autograd.grad(losses.sum(), draft)
        torch.testing.assert_close(gradient, torch.tensor([[0.5, -0.5], [0.0, 0.0]]))
    same = torch.zeros(3, requires_grad=True)
    (gradient,) = torch.autograd.grad(negative_log_acceptance(same, torch.zeros(3)), same)
    assert bool(torch.isfinite(gradient).all())
    assert bool(greedy_acceptance(torch.eye(3), torch.eye(3)).all())


def test_tokens_of_a_cycle_by_simulation() -> None:
    accepted = torch.rand(100_000, 4, generator=Stream(9).torch()) < 0.7
    simulated = 1 + accepted.long().cumprod(1).sum(1).double()
    assert float(simulated.mean()) == pytest.approx(float(tokens_per_cycle(0.7, drafts=4)), rel=0.01)
    assert (
        tokens_per_cycle(torch.tensor(0.5).half(), drafts=9).item() == 2 - 2**-9
    )  # no number of half precision
    assert tokens_per_cycle(1, drafts=2).dtype == torch.float32


def test_laws_of_rare_sequences_and_of_half_precision_keep_their_digits() -> None:
    """P(y) below what the type holds: 1e-60 in float32, 1e-8 in float16."""
    rare = torch.tensor([1e-30, 1.0])
    for dtype, tiny in ((torch.float32, 1e-30), (torch.float16, 1e-4)):
        rare, even = (torch.tensor(pair, dtype=dtype) for pair in ([tiny, 1.0], [0.5, 0.5]))
        laws = [SequenceLaw((row, row.expand(2, 2))) for row in (even, rare)]
        first = float(rare[0])
        wanted = math.log(0.5 * (1 + first) / first) + math.log(0.5 * (1 + first))
        for value in (
            sequence_divergence(*laws, direction="teacher_to_student"),
            next_token_sum(*laws, prefixes="teacher", direction="teacher_to_student"),
        ):
            assert value.dtype == torch.float32
            assert float(value) == pytest.approx(wanted, rel=1e-5)
    assert laws[1].log_probs(torch.zeros(1, 2, dtype=torch.long)).dtype == torch.float32
    assert float(laws[1].joint()[0, 0]) == pytest.approx(float(rare[0]) ** 2, rel=1e-3)


def test_prefixes_that_never_come_count_for_nothing() -> None:
    first = torch.tensor([1.0, 0.0], dtype=torch.float64)
    teacher = SequenceLaw((first, torch.tensor([[0.5, 0.5], [1.0, 0.0]], dtype=torch.float64)))
    student = SequenceLaw((first, torch.tensor([[0.25, 0.75], [0.0, 1.0]], dtype=torch.float64)))
    for prefixes, way in CELLS:
        found = float(next_token_sum(teacher, student, prefixes=prefixes, direction=way))
        p, q = (0.5, 0.25) if way == "teacher_to_student" else (0.25, 0.5)
        assert found == pytest.approx(p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))


def test_masked_tokens_count_for_nothing_in_the_moments() -> None:
    student, teacher = logits(4)
    masked = [
        torch.cat([some, torch.tensor([-torch.inf], dtype=torch.float64)]) for some in (student, teacher)
    ]
    for name in ESTIMATORS:
        whole, part = (
            estimator_moments(*masked, estimator=name),
            estimator_moments(student, teacher, estimator=name),
        )
        torch.testing.assert_close(whole.value, part.value)
        torch.testing.assert_close(whole.variance, part.variance)
        torch.testing.assert_close(whole.gradient[:-1], part.gradient, atol=1e-12, rtol=1e-9)
        assert whole.gradient[-1] == 0
        torch.testing.assert_close(whole.gradient_variance, part.gradient_variance)


def test_chances_do_not_exceed_one_by_rounding() -> None:
    rows = torch.randn(2000, 50, generator=Stream(11).torch())
    alpha = acceptance(rows, rows)
    assert float(alpha.max()) <= 1
    assert bool((tokens_per_cycle(alpha, drafts=3) <= 4).all())
    assert float(negative_log_acceptance(rows, rows).min()) >= 0
    apart = rows.clone(), rows.clone()
    apart[0][:, :25], apart[1][:, 25:] = -torch.inf, -torch.inf
    assert float(total_variation(*apart).max()) <= 1
    q = rows.softmax(-1)
    p = q.clone()
    p[:, 0] += 1e-7
    q[:, 0], p[:, 1] = 0, p[:, 1] + 1e-7
    laws = [row / row.sum(-1, keepdim=True) for row in (q, p)]
    assert float(speculative_law(*laws).min()) >= 0
    for law in rows[:200].softmax(-1):
        first, second = (SequenceLaw((torch.cat(halves),)) for halves in ((law, 0 * law), (0 * law, law)))
        assert float(sequence_total_variation(first, second)) <= 1
        assert float(next_token_sum(first, second, prefixes="teacher", direction="total_variation")) <= 1


def test_the_limits_of_acceptance_have_a_gradient_where_the_laws_are_one() -> None:
    draft = torch.randn(4, 5, dtype=torch.float64, generator=Stream(12).torch()).requires_grad_()
    for place in range(2):
        limit = acceptance_lower_limits(draft, draft.detach())[place]
        (gradient,) = torch.autograd.grad(limit.sum(), draft)
        assert float(gradient.abs().max()) < 1e-9
