"""Chapter 8.1: which sums of next-token divergences are divergences of sequences."""

from __future__ import annotations

import torch

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.claims.wrong import arguments, given, swapped
from kdtheory.experiments import Rows
from kdtheory.experiments.sequences.laws import (
    HORIZON,
    over_the_students_prefixes,
    over_the_teachers_prefixes,
    sums_of_next_token_divergences,
    total_variations_of_sequences,
)
from kdtheory.sequences import SequenceLaw, next_token_sum, sequence_divergence

SOURCE = "cover2006elements"
AUTOREGRESSIVE = "Both laws are autoregressive on the same sequences of a fixed length."
_STOPPED_EARLY = Mutant(
    "the sum stops one step early",
    next_token_sum,
    arguments(lambda *laws: tuple(SequenceLaw(law.steps[:-1]) for law in laws)),
)


@claim(
    section="8.1",
    formula=r"\mathrm{KL}(P\|Q) = \sum_t \mathbb E_{y_{<t}\sim P}\,\mathrm{KL}(p_t\|q_t),\qquad"
    r"\mathrm{KL}(Q\|P) = \sum_t \mathbb E_{y_{<t}\sim Q}\,\mathrm{KL}(q_t\|p_t)",
    source=SOURCE,
    place="Theorem 2.5.3",
    assumes=(AUTOREGRESSIVE,),
    experiment=sums_of_next_token_divergences,
    control=Control(
        "each divergence is summed over the prefixes of the other law",
        forward=over_the_students_prefixes,
        reverse=over_the_teachers_prefixes,
    ),
    mutants=(
        _STOPPED_EARLY,
        Mutant("the divergence of sequences is the other one", sequence_divergence, swapped()),
        Mutant("every sum is over the teacher's prefixes", next_token_sum, given(prefixes="teacher")),
    ),
    power=Scaled(next_token_sum),
)
def token_divergences_sum_to_those_of_sequences_over_the_right_prefixes(rows: Rows, /) -> Evidence:
    """Summed over the teacher's prefixes, KL(teacher‖student) of the next token is that of whole sequences;
    so is KL(student‖teacher) over the student's prefixes. The two mixed cells are no divergence of them.

    Equality to 1e-12 of the largest. "mixed": either cell is off both divergences of whole sequences, by a
    hundredth of them on average.
    """
    wholes = torch.stack([rows.forward_whole, rows.reverse_whole])
    off = (rows.mixed[:, None] - wholes).abs().mean(-1) / wholes.mean(-1)
    return Joint(
        parts={
            "teacher to student": Identity.of(rows.forward_sum, rows.forward_whole, tolerance=1e-12),
            "student to teacher": Identity.of(rows.reverse_sum, rows.reverse_whole, tolerance=1e-12),
            "mixed": Inequality.of(torch.full_like(off, 0.01), off),
        }
    )


@claim(
    section="8.1",
    formula=r"\mathrm{TV}(P,Q) \le \sum_t \mathbb E_{y_{<t}\sim Q}\,\mathrm{TV}(p_t,q_t)",
    source=SOURCE,
    place="derived here",
    assumes=(AUTOREGRESSIVE,),
    experiment=total_variations_of_sequences,
    control=Control("a mean over the tokens in place of their sum", share=1 / HORIZON),
    mutants=(_STOPPED_EARLY,),
    power=Scaled(next_token_sum),
)
def total_variation_of_sequences_is_at_most_the_sum_over_tokens(rows: Rows, /) -> Evidence:
    """The total variation of two laws of sequences is at most the sum of those of their next tokens, over
    the prefixes of either law; it is attained where the laws differ in their last token only.

    Where the laws are the same but for the last token, both sides must be equal to 1e-12.
    """
    return Joint(
        parts={
            "bound": Inequality.of(rows.distance, rows.sum, slack=1e-12),
            "attained": Identity.of(rows.last_sum, rows.last_distance, tolerance=1e-12),
        }
    )
