"""Chapter 8.3: teachers of whom only the largest probabilities were kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.losses import Tail, TopK, kl_divergence, top_k, top_k_divergence
from kdtheory.streams import Stream

CLASSES = 7


def _kept_at_another_temperature(logits: Tensor, /, *, kept: int, _true: Callable[..., TopK] = top_k) -> TopK:
    return TopK(_true(logits / 2, kept=kept).log_probs, logits.topk(kept, -1).indices)


def _renormalised(
    student_logits: Tensor,
    teacher: TopK,
    /,
    *,
    tail: Tail = "bucket",
    _true: Callable[..., Tensor] = top_k_divergence,
) -> Tensor:
    return _true(student_logits, teacher, tail="renormalised")


def _twice(*sides: object, _true: Callable[..., Tensor] = top_k_divergence, **settings: object) -> Tensor:
    return 2 * _true(*sides, **settings)


@claim(
    section="8.3",
    formula=r"\mathrm{KL}_K = \sum_{i\le K} p_i\ln\frac{p_i}{q_i} + (1-P_K)\ln\frac{1-P_K}{1-Q_K},\qquad"
    r"0 \le \mathrm{KL}_K \le \mathrm{KL}_{K+1} \le \mathrm{KL}(p\|q)",
    source="cover2006elements",
    place="derived here, by data processing",
    assumes=("The probabilities kept are those of the whole law.",),
    control=(
        Control("the classes that were not kept are left out", tail="bare"),
        Control("the K are renormalised", tail="renormalised"),
    ),
    uses=(top_k_divergence, top_k),
    mutants=(
        Mutant("the K are renormalised", top_k_divergence, _renormalised),
        Mutant("kept at T = 2", top_k, _kept_at_another_temperature),
        Mutant("twice the divergence", top_k_divergence, _twice),
    ),
    power=Scaled(top_k_divergence),
)
def truncated_teacher_needs_its_tail(setting: Setting, /, *, tail: Tail = "bucket") -> Evidence:
    """With the classes that were not kept as one more class, the divergence from a teacher's K largest
    probabilities is never negative, grows with K up to KL(p‖q), and is KL(p‖q) where p/q is constant on the
    rest. The bare sum over the K is no divergence.

    How it's judged: random teachers and students on 7 classes, every K from 1 to 7; inequalities with a slack
    of 1e-12, equality to 1e-10 for students that keep the teacher's odds on the rest.
    """
    student, teacher = _logits(setting.stream, setting.size(quick=200, full=2000))
    by_size = [
        top_k_divergence(student, top_k(teacher, kept=kept), tail=tail) for kept in range(1, CLASSES + 1)
    ]
    some = top_k(teacher, kept=3)
    moved = teacher.scatter_add(-1, some.indices, student[:, :3])
    whole = kl_divergence(student, teacher)
    grown = torch.stack(by_size)
    return Joint(
        parts={
            "not negative": Inequality.of(-grown, torch.zeros_like(grown), slack=1e-12),
            "grows": Inequality.of(grown[:-1], grown[1:], slack=1e-12),
            "at most the whole": Inequality.of(grown, whole.expand_as(grown), slack=1e-12),
            "equality": Identity.of(
                top_k_divergence(moved, some, tail=tail), kl_divergence(moved, teacher), tolerance=1e-10
            ),
        }
    )


def _logits(stream: Stream, trials: int) -> tuple[Tensor, Tensor]:
    student, teacher = torch.randn(2, trials, CLASSES, dtype=torch.float64, generator=stream.torch())
    return student, 2 * teacher
