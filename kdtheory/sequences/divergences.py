"""Divergences of sequence laws, and sums of next-token divergences over the prefixes of one of them.

KL(P‖Q) = Σ_t E_{y<t ∼ P} KL(p_t‖q_t) and KL(Q‖P) = Σ_t E_{y<t ∼ Q} KL(q_t‖p_t): the forward divergence
belongs to the teacher's prefixes, the reverse one to the student's. The two mixed cells are no divergence of
P and Q.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.losses import kl_divergence
from kdtheory.sequences.laws import SequenceLaw
from kdtheory.types import at_most_one, widened
from kdtheory.validate import check_one_of

__all__ = ["Direction", "Prefixes", "next_token_sum", "sequence_divergence", "sequence_total_variation"]

Direction = Literal["teacher_to_student", "student_to_teacher"]
"""KL(teacher‖student), called forward, mode-covering, log_target of `kl_div(log q, log p)`; and
KL(student‖teacher), called reverse, mode-seeking."""
Prefixes = Literal["teacher", "student"]
_DIRECTIONS = ("teacher_to_student", "student_to_teacher")


@door
def sequence_divergence(
    teacher: SequenceLaw, student: SequenceLaw, /, *, direction: Direction
) -> Float[Tensor, ""]:
    """KL(P‖Q) or KL(Q‖P) of the laws of whole sequences, summed over all V^H of them, in nats.

    Args:
        teacher: P.
        student: Q.
        direction: "teacher_to_student" is KL(P‖Q), the forward one; "student_to_teacher" the reverse one.

    Raises:
        ValueError: laws on different spaces, or an unknown direction.
    """
    _check_pair(teacher, student)
    check_one_of("direction", direction, _DIRECTIONS)
    laws = teacher.log_joint().flatten(), student.log_joint().flatten()
    first, second = laws if direction == "teacher_to_student" else laws[::-1]
    return kl_divergence(second, first)


@door
def sequence_total_variation(teacher: SequenceLaw, student: SequenceLaw, /) -> Float[Tensor, ""]:
    """TV(P, Q) = ½ Σ_y |P(y) − Q(y)|, at most Σ_t E_{y<t∼Q} TV(p_t, q_t), and the same with P.

    Raises:
        ValueError: laws on different spaces.
    """
    _check_pair(teacher, student)
    return at_most_one((teacher.joint() - student.joint()).abs().sum() / 2)


@door
def next_token_sum(
    teacher: SequenceLaw,
    student: SequenceLaw,
    /,
    *,
    prefixes: Prefixes,
    direction: Direction | Literal["total_variation"],
) -> Float[Tensor, ""]:
    """Σ_t E_{y<t} D(p_t, q_t), D a divergence of next-token laws, over the prefixes of one of the two.

    This is what token-wise distillation descends: on a fixed corpus or on the teacher's samples
    (prefixes = "teacher", off-policy), or on the student's own (prefixes = "student", on-policy). With
    prefixes of the law that comes first in the divergence it is the divergence of sequences (chain rule);
    else it is none.

    Args:
        teacher: P, with next-token laws p_t.
        student: Q, with q_t.
        prefixes: whose.
        direction: "teacher_to_student" is KL(p_t‖q_t), "student_to_teacher" KL(q_t‖p_t); "total_variation"
            ½ Σ |p_t − q_t|, whose sum is an upper bound of TV(P, Q) under either's prefixes.

    Raises:
        ValueError: laws on different spaces, or an unknown name.
    """
    _check_pair(teacher, student)
    check_one_of("prefixes", prefixes, ("teacher", "student"))
    check_one_of("direction", direction, (*_DIRECTIONS, "total_variation"))
    weights = (teacher if prefixes == "teacher" else student).prefixes()
    terms = [  # a prefix that never comes counts for nothing, and its distance may be infinite
        (weight * _distance(p, q, direction).where(weight > 0, 0)).sum()
        for weight, p, q in zip(weights, teacher.steps, student.steps, strict=True)
    ]
    return torch.stack(terms).sum()


def _distance(p: Tensor, q: Tensor, direction: str) -> Tensor:
    p, q = widened(p, q)
    if direction == "total_variation":
        return at_most_one((p - q).abs().sum(-1) / 2)
    first, second = (p, q) if direction == "teacher_to_student" else (q, p)
    return kl_divergence(second.log(), first.log())


def _check_pair(teacher: SequenceLaw, student: SequenceLaw) -> None:
    if (teacher.vocabulary, teacher.horizon) != (student.vocabulary, student.horizon):
        raise ValueError(
            f"teacher has vocabulary {teacher.vocabulary} and horizon {teacher.horizon}, student "
            f"{student.vocabulary} and {student.horizon}; give laws on the same sequences"
        )
