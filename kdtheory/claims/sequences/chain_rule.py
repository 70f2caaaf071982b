"""Chapter 8.1: which sums of next-token divergences are divergences of sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.sequences import SequenceLaw, next_token_sum, sequence_divergence, sequence_total_variation
from kdtheory.sequences.divergences import Direction, Prefixes
from kdtheory.streams import Stream

SOURCE, PLACE = "cover2006elements", "Theorem 2.5.3"
VOCABULARY, HORIZON = 5, 4
_BOTH: tuple[Prefixes, Prefixes] = ("teacher", "student")
AUTOREGRESSIVE = "Both laws are autoregressive on the same sequences of a fixed length."


def _stopped_early(
    teacher: SequenceLaw,
    student: SequenceLaw,
    /,
    *,
    _true: Callable[..., Tensor] = next_token_sum,
    **names: str,
) -> Tensor:
    return _true(SequenceLaw(teacher.steps[:-1]), SequenceLaw(student.steps[:-1]), **names)


def _laws_swapped(
    teacher: SequenceLaw,
    student: SequenceLaw,
    /,
    *,
    _true: Callable[..., Tensor] = sequence_divergence,
    **names: str,
) -> Tensor:
    return _true(student, teacher, **names)


def _pairs(stream: Stream, trials: int) -> Iterator[tuple[SequenceLaw, SequenceLaw]]:
    for trial in range(trials):
        yield (
            SequenceLaw.random(VOCABULARY, HORIZON, stream.child(trial, "teacher")),
            SequenceLaw.random(VOCABULARY, HORIZON, stream.child(trial, "student")),
        )


@claim(
    section="8.1",
    formula=r"\mathrm{KL}(P\|Q) = \sum_t \mathbb E_{y_{<t}\sim P}\,\mathrm{KL}(p_t\|q_t),\qquad"
    r"\mathrm{KL}(Q\|P) = \sum_t \mathbb E_{y_{<t}\sim Q}\,\mathrm{KL}(q_t\|p_t)",
    source=SOURCE,
    place=PLACE,
    assumes=(AUTOREGRESSIVE,),
    control=Control(
        "each divergence is summed over the prefixes of the other law", forward="student", reverse="teacher"
    ),
    uses=(next_token_sum, sequence_divergence),
    mutants=(
        Mutant("the sum stops one step early", next_token_sum, _stopped_early),
        Mutant("the divergence of sequences is the other one", sequence_divergence, _laws_swapped),
    ),
    power=Scaled(next_token_sum),
)
def token_divergences_sum_to_those_of_sequences_over_the_right_prefixes(
    setting: Setting, /, *, forward: Prefixes = "teacher", reverse: Prefixes = "student"
) -> Evidence:
    """Summed over the teacher's prefixes, KL(teacher‖student) of the next token is that of whole sequences;
    so is KL(student‖teacher) over the student's prefixes. The two mixed cells are no divergence of them.

    How it's judged: random laws of 4 tokens from a vocabulary of 5, all 625 sequences summed; equality to
    1e-12 of the largest.
    """
    cells: tuple[tuple[Direction, Prefixes], ...] = (
        ("teacher_to_student", forward),
        ("student_to_teacher", reverse),
    )
    rows = {
        direction: [
            (
                next_token_sum(teacher, student, prefixes=prefixes, direction=direction),
                sequence_divergence(teacher, student, direction=direction),
            )
            for teacher, student in _pairs(setting.stream, setting.size(quick=20, full=200))
        ]
        for direction, prefixes in cells
    }
    return Joint(
        parts={
            direction.replace("_", " "): Identity.of(
                *(torch.stack(side) for side in zip(*pairs, strict=True)), tolerance=1e-12
            )
            for direction, pairs in rows.items()
        }
    )


@claim(
    section="8.1",
    formula=r"\mathrm{TV}(P,Q) \le \sum_t \mathbb E_{y_{<t}\sim Q}\,\mathrm{TV}(p_t,q_t)",
    source=SOURCE,
    place="derived here",
    assumes=(AUTOREGRESSIVE,),
    control=Control("a mean over the tokens in place of their sum", per_token=True),
    uses=(next_token_sum, sequence_total_variation),
    mutants=(Mutant("the sum stops one step early", next_token_sum, _stopped_early),),
    power=Scaled(next_token_sum),
)
def total_variation_of_sequences_is_at_most_the_sum_over_tokens(
    setting: Setting, /, *, per_token: bool = False
) -> Evidence:
    """The total variation of two laws of sequences is at most the sum of those of their next tokens, over
    the prefixes of either law; it is attained where the laws differ in their last token only.

    How it's judged: random laws of 4 tokens from a vocabulary of 5, all sequences summed, under the prefixes
    of each; and pairs with the same laws but for the last token, where both sides must be equal to 1e-12.
    """
    share = 1 / HORIZON if per_token else 1.0
    distances, sums, attained = [], [], []
    for teacher, student in _pairs(setting.stream, setting.size(quick=20, full=200)):
        last = SequenceLaw((*teacher.steps[:-1], student.steps[-1]))
        for prefixes in _BOTH:
            distances.append(sequence_total_variation(teacher, student))
            sums.append(share * _summed(teacher, student, prefixes))
        attained.append((share * _summed(teacher, last, "student"), sequence_total_variation(teacher, last)))
    left, right = (torch.stack(side) for side in zip(*attained, strict=True))
    return Joint(
        parts={
            "bound": Inequality.of(torch.stack(distances), torch.stack(sums), slack=1e-12),
            "attained": Identity.of(left, right, tolerance=1e-12),
        }
    )


def _summed(teacher: SequenceLaw, student: SequenceLaw, prefixes: Prefixes) -> Tensor:
    return next_token_sum(teacher, student, prefixes=prefixes, direction="total_variation")
