"""Chapter 3.1: students of a teacher against students of labels; students that teach each other."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, Identity, Joint, MeanInequality, OutOfScope
from kdtheory.claims.wrong import arguments, given
from kdtheory.experiments import Rows
from kdtheory.experiments.schemes.students import (
    away_from_the_peer,
    geometric_mean,
    gradients_of_mutual_learning,
    independent_pairs,
    mutual_learners,
    smoothed_labels,
    students_of_few_labels,
    students_taught_on_few_points,
    teacher_of_labels,
    teacher_of_shuffled_labels,
    untrained_teacher,
)
from kdtheory.losses import distillation
from kdtheory.losses.mutual import divergence_from_mean_peer, mean_peer_divergence, mutual_loss

CONVERGED = (
    "The students have converged: their mean gradient over the last 50 steps has a norm of at most 0.02,"
    " of a divergence without its factor λT²."
)
TOLERANCE = 0.02
NO_CONSTANT = "a factor on a loss does not move its minimum, and accuracies have no constant"


def _if_converged(evidence: Evidence, *students: Rows) -> Evidence:
    gradient = float(torch.cat([rows.gradient for rows in students]).max())
    if not gradient <= TOLERANCE:
        return OutOfScope(assumption=CONVERGED, because=f"the largest norm is {gradient:.2g}")
    return evidence


@claim(
    section="3.1",
    formula=r"\mathbb E\,\mathrm{acc}(\text{student of } \lambda T^2 \mathrm{KL} + (1-\lambda)\mathrm{CE}) >"
    r" \mathbb E\,\mathrm{acc}(\text{student of CE}),\quad \lambda > 0,\ n \text{ small}",
    source="hinton2015distilling",
    place="found on images; the claim of the paper as a whole",
    assumes=(CONVERGED, "The teacher is well trained, on more points than its students."),
    experiment=(students_of_few_labels, students_taught_on_few_points),
    control=Control("the teacher was trained on shuffled labels", teacher=teacher_of_shuffled_labels),
    mutants=(
        Mutant(
            "each point is given the teacher of the next",
            distillation,
            arguments(lambda logits, probs, labels: (logits, probs.roll(1, -2), labels)),
        ),
        Mutant(
            "the teacher's probabilities are turned over",
            distillation,
            arguments(lambda logits, probs, y: (logits, (-probs.clamp_min(1e-6).log()).softmax(-1), y)),
        ),
    ),
    loose=NO_CONSTANT,
    cost=4,
)
def distilled_students_beat_students_of_labels_at_small_n(labelled: Rows, taught: Rows, /) -> Evidence:
    """On few points a student distilled with λ > 0 is more accurate than the same student trained on the
    labels of the same points alone.
    """
    return _if_converged(MeanInequality.of(labelled.accuracy, taught.accuracy), labelled, taught)


@claim(
    section="3.1",
    formula=r"\mathbb E\,\mathrm{acc}(\text{student of a teacher of shuffled labels, of a random teacher,"
    r" of smoothed labels}) <"
    r" \mathbb E\,\mathrm{acc}(\text{student of CE})",
    source="hinton2015distilling",
    place="found here",
    assumes=(CONVERGED,),
    experiment=(
        students_of_few_labels,
        students_taught_on_few_points.given(teacher=teacher_of_shuffled_labels),
        students_taught_on_few_points.given(teacher=untrained_teacher),
        students_taught_on_few_points.given(teacher=smoothed_labels),
    ),
    control=Control("in each one's place is a well-trained teacher", teacher=teacher_of_labels),
    mutants=(Mutant("the teacher is left out", distillation, given(weight=0.0)),),
    loose=NO_CONSTANT,
    cost=4,
)
def students_of_teachers_that_know_nothing_do_worse(
    labelled: Rows, shuffled: Rows, random: Rows, smoothed: Rows, /
) -> Evidence:
    """The gain of distillation is the teacher's knowledge and not a softer target: a teacher trained on
    shuffled labels, one not trained at all and smoothed labels (ε = 0.1) in the place of a teacher make
    students less accurate than labels alone, by a point or more.
    """
    taught = {"shuffled": shuffled, "random": random, "smoothed": smoothed}
    parts = {
        name: MeanInequality.of(rows.accuracy, labelled.accuracy, slack=-0.01)
        for name, rows in taught.items()
    }
    return _if_converged(Joint(parts=parts), labelled, *taught.values())


@claim(
    section="3.1",
    formula=r"\mathbb E\Pr[\arg\max f_1 = \arg\max f_2 \mid \text{mutual}] >"
    r" \mathbb E\Pr[\arg\max f_1 = \arg\max f_2 \mid \text{independent}] + 0.01",
    source="zhang2018deep",
    place="found on images",
    assumes=(CONVERGED,),
    experiment=(independent_pairs, mutual_learners),
    control=Control(
        "divergence from the peer is rewarded, at 0.3 of the weight", divergence=away_from_the_peer
    ),
    mutants=(
        Mutant("the peers are not heard", mutual_loss, given(weight=0.0)),
        Mutant("the peers are heard at a tenth of the weight", mutual_loss, given(weight=lambda w: 0.1 * w)),
    ),
    loose=NO_CONSTANT,
    cost=6,
)
def mutual_learners_agree_more_than_independent_ones(independent: Rows, mutual: Rows, /) -> Evidence:
    """Two students that learn from the labels and from each other agree on more new points than two that
    learn from the same labels alone, by one in a hundred or more.

    Each pair is compared with the pair of the same starts.
    """
    evidence = MeanInequality.of(independent.agreement, mutual.agreement, slack=-0.01)
    return _if_converged(evidence, independent, mutual)


def _reversed(student: Tensor, peers: Tensor, /, *, temperature: float) -> Tensor:
    laws = [(side / temperature).log_softmax(-1) for side in (student.expand_as(peers), peers)]
    return (laws[0].exp() * (laws[0] - laws[1])).sum(-1).mean(0)


@claim(
    section="3.1",
    formula=r"\nabla_{z}\,\tfrac{1}{K-1}\textstyle\sum_{l}\mathrm{KL}(p_l\|q) ="
    r" \nabla_{z}\,\mathrm{KL}\bigl(\tfrac{1}{K-1}\sum_l p_l\,\|\,q\bigr)",
    source="zhang2018deep",
    place="the two strategies for more students; that their gradients are one is derived here",
    assumes=("No gradient flows into the peers.",),
    experiment=gradients_of_mutual_learning,
    control=Control("the peers' logits are averaged, not their probabilities", ensemble=geometric_mean),
    mutants=(
        Mutant("the divergences are reversed", mean_peer_divergence, _reversed),
        Mutant(
            "the ensemble is one peer",
            divergence_from_mean_peer,
            arguments(lambda student, peers: (student, peers[:1])),
        ),
    ),
)
def both_forms_of_mutual_learning_have_one_gradient(rows: Rows, /) -> Evidence:
    """The mean of a student's divergences from its peers and its divergence from their mean have the same
    gradient, so that the two forms of deep mutual learning train alike: they differ by the peers' own
    Jensen–Shannon divergence.
    """
    found, stated = rows.of_the_mean_divergence, rows.of_the_divergence_from_the_mean
    return Identity.of(found, stated, tolerance=1e-9)
