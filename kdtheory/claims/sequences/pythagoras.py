"""Chapter 8.5: what a student on frozen features gains over its teacher is how much it disagrees with it."""

from __future__ import annotations

from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.claims.wrong import scaled, swapped
from kdtheory.experiments import Rows
from kdtheory.experiments.sequences.learning import heads_on_frozen_features
from kdtheory.losses import kl_divergence
from kdtheory.weak_to_strong import distilled_head, head_logits


def _without_the_bias(head: Tensor, features: Tensor, /) -> Tensor:
    return features.to(head) @ head[:-1]


@claim(
    section="8.5",
    formula=r"\mathrm{KL}(p\|q) = \mathrm{KL}(p\|S) + \mathrm{KL}(S\|q)"
    r"\quad\text{for every softmax-linear } q",
    source="charikar2024quantifying",
    place="derived here, for the log loss",
    assumes=(
        "The student is softmax-linear on fixed features, distilled at T = 1 to convergence.",
        "The other networks are softmax-linear on the same features.",
    ),
    experiment=heads_on_frozen_features,
    control=Control("the student is distilled at T = 2", temperature=2.0),
    mutants=(
        Mutant("one per cent short of convergence", distilled_head, scaled(0.99)),
        Mutant("the bias is left out", head_logits, _without_the_bias),
        Mutant("the reverse divergence", kl_divergence, swapped()),
    ),
    power=Scaled(distilled_head),
    cost=2,
)
def distilled_head_gains_exactly_its_misfit(rows: Rows, /) -> Evidence:
    """A head distilled from a teacher on frozen features is nearer than its teacher to every network with
    such a head, by exactly the misfit KL(teacher‖student), on the sample.

    Both sides to 1e-10 of the largest. At T = 2 the student is stationary for another divergence. "squares":
    the same in squared distances of logits, for the head of least squares (Charikar et al.); "convex": where
    weights may not be negative the gain is the misfit or more.
    """
    sides = rows.misfit + rows.from_student, rows.from_teacher
    misfit, mine, theirs = rows.squares
    least, own, others = rows.cone
    return Joint(
        parts={
            "log loss": Identity.of(*sides, tolerance=1e-10, notes={"misfit": float(rows.misfit)}),
            "squares": Identity.of(misfit + mine, theirs, tolerance=1e-10),
            "convex": Inequality.of(least + own, others, slack=1e-9),
        }
    )
