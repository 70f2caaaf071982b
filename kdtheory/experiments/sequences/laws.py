"""Random laws of sequences and of tokens: their divergences, truncated teachers, and estimators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.losses import TopK, kl_divergence, top_k, top_k_divergence
from kdtheory.sequences import (
    Moments,
    SequenceLaw,
    estimator_moments,
    next_token_sum,
    sequence_divergence,
    sequence_total_variation,
)
from kdtheory.sequences.divergences import Direction

__all__ = [
    "bare",
    "gradients_on_an_earlier_students_samples",
    "k1",
    "k2",
    "k3",
    "moments_on_the_students_samples",
    "over_the_students_prefixes",
    "over_the_teachers_prefixes",
    "renormalised",
    "score",
    "sums_of_next_token_divergences",
    "total_variations_of_sequences",
    "truncated_divergences",
    "variances_of_the_estimators",
    "with_its_tail",
]

VOCABULARY, HORIZON = 5, 4
TOKENS, OFF_POLICY = 6, 0.4
CLASSES = 7

Cell = Direction | Literal["total_variation"]
Sum = Callable[[SequenceLaw, SequenceLaw, Cell], Tensor]


def over_the_teachers_prefixes(teacher: SequenceLaw, student: SequenceLaw, direction: Cell) -> Tensor:
    """The sum of next-token divergences, prefixes drawn from the teacher."""
    return next_token_sum(teacher, student, prefixes="teacher", direction=direction)


def over_the_students_prefixes(teacher: SequenceLaw, student: SequenceLaw, direction: Cell) -> Tensor:
    """The sum of next-token divergences, prefixes drawn from the student."""
    return next_token_sum(teacher, student, prefixes="student", direction=direction)


def _pairs(run: Run) -> Iterator[tuple[SequenceLaw, SequenceLaw]]:
    for trial in range(run.size(quick=20, full=200)):
        yield (
            SequenceLaw.random(VOCABULARY, HORIZON, run.stream.child(trial, "teacher")),
            SequenceLaw.random(VOCABULARY, HORIZON, run.stream.child(trial, "student")),
        )


@experiment
def sums_of_next_token_divergences(
    run: Run,
    /,
    *,
    forward: Sum = over_the_teachers_prefixes,
    reverse: Sum = over_the_students_prefixes,
) -> Rows:
    """20 pairs of random laws of 4 tokens from a vocabulary of 5: sums of next-token divergences in both
    directions over the prefixes named, the divergences of all 625 sequences, and the sums over the prefixes
    of the law that each divergence does not average over.
    """
    rows = [
        torch.stack(
            [
                forward(teacher, student, "teacher_to_student"),
                sequence_divergence(teacher, student, direction="teacher_to_student"),
                over_the_students_prefixes(teacher, student, "teacher_to_student"),
                reverse(teacher, student, "student_to_teacher"),
                sequence_divergence(teacher, student, direction="student_to_teacher"),
                over_the_teachers_prefixes(teacher, student, "student_to_teacher"),
            ]
        )
        for teacher, student in _pairs(run)
    ]
    forward_sum, forward_whole, first, reverse_sum, reverse_whole, second = torch.stack(rows, 1)
    return Rows(
        forward_sum=forward_sum,
        forward_whole=forward_whole,
        reverse_sum=reverse_sum,
        reverse_whole=reverse_whole,
        mixed=torch.stack([first, second]),
    )


@experiment
def total_variations_of_sequences(run: Run, /, *, share: float = 1.0) -> Rows:
    """20 pairs of random laws of 4 tokens from a vocabulary of 5: the total variation of whole sequences, and
    `share` times the sums of those of next tokens over the prefixes of either law; and pairs that have the
    same laws but for the last token.
    """
    distances, sums, last_sums, last_distances = [], [], [], []
    for teacher, student in _pairs(run):
        last = SequenceLaw((*teacher.steps[:-1], student.steps[-1]))
        for summed in (over_the_teachers_prefixes, over_the_students_prefixes):
            distances.append(sequence_total_variation(teacher, student))
            sums.append(share * summed(teacher, student, "total_variation"))
        last_sums.append(share * over_the_students_prefixes(teacher, last, "total_variation"))
        last_distances.append(sequence_total_variation(teacher, last))
    return Rows(
        distance=torch.stack(distances),
        sum=torch.stack(sums),
        last_sum=torch.stack(last_sums),
        last_distance=torch.stack(last_distances),
    )


def with_its_tail(student: Tensor, teacher: TopK) -> Tensor:
    """The classes that were not kept as one more class."""
    return top_k_divergence(student, teacher, tail="bucket")


def bare(student: Tensor, teacher: TopK) -> Tensor:
    """The classes that were not kept left out."""
    return top_k_divergence(student, teacher, tail="bare")


def renormalised(student: Tensor, teacher: TopK) -> Tensor:
    """The classes that were kept renormalised."""
    return top_k_divergence(student, teacher, tail="renormalised")


@experiment
def truncated_divergences(
    run: Run, /, *, divergence: Callable[[Tensor, TopK], Tensor] = with_its_tail
) -> Rows:
    """200 random teachers and students on 7 classes: the divergence from the K largest probabilities of the
    teacher, K = 1 to 7, and the whole one; and both for students that keep the teacher's odds on what is
    left out at K = 3.
    """
    trials = run.size(quick=200, full=2000)
    student, teacher = torch.randn(2, trials, CLASSES, dtype=torch.float64, generator=run.stream.torch())
    teacher = 2 * teacher
    some = top_k(teacher, kept=3)
    moved = teacher.scatter_add(-1, some.indices, student[:, :3])
    return Rows(
        by_size=torch.stack(
            [divergence(student, top_k(teacher, kept=kept)) for kept in range(1, CLASSES + 1)]
        ),
        whole=kl_divergence(student, teacher),
        moved=divergence(moved, some),
        moved_whole=kl_divergence(moved, teacher),
    )


def k1(student: Tensor, teacher: Tensor, /, **how: object) -> Moments:
    """−ln r."""
    return estimator_moments(student, teacher, estimator="k1", **how)  # type: ignore[arg-type]


def k2(student: Tensor, teacher: Tensor, /, **how: object) -> Moments:
    """½(ln r)²."""
    return estimator_moments(student, teacher, estimator="k2", **how)  # type: ignore[arg-type]


def k3(student: Tensor, teacher: Tensor, /, **how: object) -> Moments:
    """r − 1 − ln r."""
    return estimator_moments(student, teacher, estimator="k3", **how)  # type: ignore[arg-type]


def score(student: Tensor, teacher: Tensor, /, **how: object) -> Moments:
    """k1 held fixed times ∇ln q."""
    return estimator_moments(student, teacher, estimator="score", **how)  # type: ignore[arg-type]


def _draws(run: Run) -> Tensor:
    """Logits of student, teacher and earlier student, one set a trial."""
    trials = run.size(quick=60, full=600)
    drawn = torch.randn(trials, 3, TOKENS, dtype=torch.float64, generator=run.stream.torch())
    drawn[:, 2] = drawn[:, 0] + OFF_POLICY * drawn[:, 2]
    return drawn


def _gradient(loss: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    leaf = at.clone().requires_grad_()
    return torch.autograd.grad(loss(leaf).sum(), leaf)[0]


@experiment
def moments_on_the_students_samples(run: Run, /, *, estimator: Callable[..., Moments] = k1) -> Rows:
    """60 random pairs of laws on 6 tokens: the estimator's mean and its mean gradient in the student's logits
    over tokens that the student drew, summed over the vocabulary, and KL(q‖p) with its gradient.
    """
    student, teacher, _ = _draws(run).unbind(1)
    found = [estimator(s, t) for s, t in zip(student, teacher, strict=True)]
    return Rows(
        value=torch.stack([one.value for one in found]),
        gradient=torch.stack([one.gradient for one in found]),
        divergence=kl_divergence(teacher, student),
        divergence_gradient=_gradient(partial(kl_divergence, teacher), student),
    )


@experiment
def variances_of_the_estimators(run: Run, /, *, power: float = 1.0) -> Rows:
    """12 pairs of laws on 6 tokens, the student's logits ε to this `power` from the teacher's along a random
    way, ε = 2⁻³ … 2⁻⁷: variances of k1 and k3 at one token that the student drew, and of the gradients of all
    estimators; and of k1 and k3 where the way is three times as long as at ε = 1. All of them beside their
    half mean square over two independent tokens, in closed form.
    """
    epsilons = 0.5 ** torch.arange(3, 8, dtype=torch.float64)
    sizes = [*(epsilons**power).tolist(), 3.0]
    draws = _draws(run)[::5]
    found: dict[str, list[list[Moments]]] = {
        name: [[one(teacher + size * way, teacher) for size in sizes] for way, teacher, _ in draws]
        for name, one in (("k1", k1), ("k2", k2), ("k3", k3), ("score", score))
    }
    values, gradients = (
        {
            name: torch.tensor([[float(getattr(m, what)) for m in row] for row in rows], dtype=torch.float64)
            for name, rows in found.items()
        }
        for what in ("variance", "gradient_variance")
    )
    return Rows(
        epsilon=epsilons,
        values={name: values[name][:, :-1] for name in ("k1", "k3")},
        gradients={name: one[:, :-1] for name, one in gradients.items()},
        far={name: values[name][:, -1] for name in ("k1", "k3")},
        all=torch.stack([*values.values(), *gradients.values()]),
        by_pairs=torch.stack(
            [
                torch.stack([_variances_by_pairs(teacher + size * way, teacher) for size in sizes], 1)
                for way, teacher, _ in draws
            ],
            1,
        ),
    )


def _variances_by_pairs(student: Tensor, teacher: Tensor) -> Tensor:
    """½E|k(y) − k(y′)|² of k1, k2, k3 and k1 again, and of their gradients by the algebra of the softmax."""
    q, log_ratio = student.softmax(-1), teacher.log_softmax(-1) - student.log_softmax(-1)
    surplus = torch.expm1(log_ratio)
    values = torch.stack([-log_ratio, log_ratio.square() / 2, surplus - log_ratio, -log_ratio])
    score = torch.eye(TOKENS, dtype=q.dtype) - q  # ∇ln q(y)
    times = torch.stack([torch.ones_like(q), -log_ratio, -surplus, -log_ratio])
    rows = torch.cat([values[..., None].expand(-1, -1, TOKENS) / TOKENS**0.5, times[..., None] * score])
    found: Tensor = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").square() @ q @ q / 2
    return found


@experiment
def gradients_on_an_earlier_students_samples(run: Run, /, *, corrected: bool = True) -> Rows:
    """60 random pairs of laws on 6 tokens: mean gradients of the estimators in the student's logits over
    tokens that an earlier student drew (its logits 0.4 off), weighed by q/q_old where `corrected`, and the
    gradients of both divergences.
    """
    draws = _draws(run)
    student, teacher, _ = draws.unbind(1)
    return Rows(
        **{
            name: torch.stack(
                [estimator(s, t, sampler_logits=old, corrected=corrected).gradient for s, t, old in draws]
            )
            for name, estimator in (("k1", k1), ("k2", k2), ("k3", k3), ("score", score))
        },
        reverse=_gradient(partial(kl_divergence, teacher), student),
        forward=_gradient(lambda leaf: kl_divergence(leaf, teacher), student),
    )
