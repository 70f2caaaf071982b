"""Chapter 8.3: teachers of whom only the largest probabilities were kept."""

from __future__ import annotations

import torch

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.claims.wrong import arguments, given, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.sequences.laws import bare, renormalised, truncated_divergences
from kdtheory.losses import top_k, top_k_divergence


@claim(
    section="8.3",
    formula=r"\mathrm{KL}_K = \sum_{i\le K} p_i\ln\frac{p_i}{q_i} + (1-P_K)\ln\frac{1-P_K}{1-Q_K},\qquad"
    r"0 \le \mathrm{KL}_K \le \mathrm{KL}_{K+1} \le \mathrm{KL}(p\|q)",
    source="cover2006elements",
    place="derived here, by data processing",
    assumes=("The probabilities kept are those of the whole law.",),
    experiment=truncated_divergences,
    control=(
        Control("the classes that were not kept are left out", divergence=bare),
        Control("the K are renormalised", divergence=renormalised),
    ),
    mutants=(
        Mutant("the K are renormalised", top_k_divergence, given(tail="renormalised")),
        Mutant("kept at T = 2", top_k, arguments(lambda logits: logits / 2)),
        Mutant("nine tenths of the divergence", top_k_divergence, scaled(0.9)),
    ),
    power=Scaled(top_k_divergence),
)
def truncated_teacher_needs_its_tail(rows: Rows, /) -> Evidence:
    """With the classes that were not kept as one more class, the divergence from a teacher's K largest
    probabilities is never negative, grows with K up to KL(p‖q), and is KL(p‖q) where p/q is constant on the
    rest. The bare sum over the K is no divergence.

    Inequalities with a slack of 1e-12, equality (there, and where all classes are kept) to 1e-10.
    """
    grown = rows.by_size
    return Joint(
        parts={
            "not negative": Inequality.of(-grown, torch.zeros_like(grown), slack=1e-12),
            "grows": Inequality.of(grown[:-1], grown[1:], slack=1e-12),
            "at most the whole": Inequality.of(grown, rows.whole.expand_as(grown), slack=1e-12),
            "equality": Identity.of(
                torch.stack([rows.moved, grown[-1]]),
                torch.stack([rows.moved_whole, rows.whole]),
                tolerance=1e-10,
            ),
        }
    )
