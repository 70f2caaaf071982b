"""Chapter 6.4: the effective logits of a student of soft and hard labels (Ji & Zhu, 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Identity, Joint
from kdtheory.claims.wrong import constant, given
from kdtheory.experiments import Rows
from kdtheory.experiments.transfer_risk.effective import (
    ends_of_soft_and_hard_labels,
    logits_at_the_overruling_ratio,
    students_of_soft_and_hard_labels,
)
from kdtheory.ntk.effective_logits import effective_logits, overruling_soft_ratio

SOURCE = "ji2020knowledge"


def _mixed_probabilities(
    teacher: Tensor, labels: Tensor, /, *, soft_ratio: float, temperature: float
) -> Tensor:
    return torch.logit(soft_ratio * torch.sigmoid(teacher / temperature) + (1 - soft_ratio) * labels, 1e-9)


@claim(
    section="6.4",
    formula=r"L'(z) = \tfrac{\rho}{T}(\sigma(z/T) - \sigma(z_t/T)) + (1-\rho)(\sigma(z) - y) = 0"
    r"\text{ at } z_{\mathrm{eff}},\quad \Delta\hat w = \varphi(X)\,\Theta^{-1}(z_{\mathrm{eff}} - f_0(X))",
    source=SOURCE,
    place="the effective logit",
    assumes=("The student can fit its points, and training has converged.", "0 < ρ ≤ 1."),
    experiment=(students_of_soft_and_hard_labels, ends_of_soft_and_hard_labels),
    control=Control("the student's weights are decayed", weight_decay=0.02),
    mutants=(
        Mutant("the temperature is forgotten", effective_logits, given(temperature=1.0)),
        Mutant("a factor T² in the soft term", effective_logits, given(temperature_squared=True)),
        Mutant("the logit of the mixed labels", effective_logits, _mixed_probabilities),
        Mutant("the hard labels are forgotten", effective_logits, given(soft_ratio=1.0)),
    ),
    cost=2,
)
def students_of_soft_and_hard_labels_converge_to_effective_logits(students: Rows, ends: Rows, /) -> Evidence:
    """A student that minimises ρ·CE(soft) + (1 − ρ)·CE(hard) and can fit its points ends at the one root of
    the loss's slope on each of them, and a linear student there with the smallest weights that do so.

    Within 1 per cent.
    """
    return Joint(
        parts={
            "linear": Identity.of(students.linear, ends.logits, tolerance=0.01),
            "weights": Identity.of(students.weights, ends.weights, tolerance=0.01),
            "nets": Identity.of(students.nets, ends.logits, tolerance=0.01),
        }
    )


@claim(
    section="6.4",
    formula=r"\operatorname{sign} z_{\mathrm{eff}} = \operatorname{sign}(y - \tfrac12)"
    r"\iff \rho < \frac{1}{1 + \tanh(|z_t|/2T)/T}\quad\text{where } z_t \text{ is wrong}",
    source=SOURCE,
    place="derived here",
    assumes=("The teacher's logit has the wrong sign.",),
    experiment=logits_at_the_overruling_ratio,
    control=Control("the teacher is right", side=1.0),
    mutants=(
        Mutant("one half for every teacher", overruling_soft_ratio, constant(0.5)),
        Mutant("the threshold at T = 1", overruling_soft_ratio, given(temperature=1.0)),
        Mutant("the temperature is forgotten", effective_logits, given(temperature=1.0)),
    ),
    power=Scaled(overruling_soft_ratio, towards="less"),
)
def hard_label_overrules_a_wrong_teacher_below_a_threshold(rows: Rows, /) -> Evidence:
    """Where the teacher is wrong the student sides with the hard label if and only if the soft ratio is below
    1/(1 + tanh(|z_t|/2T)/T).

    At the threshold the effective logit is zero and so is the slope there; one per cent below it the logit
    has the label's sign, one per cent above the teacher's.
    """
    sides = torch.tensor([[1.0, -1.0]]).expand_as(rows.signs)
    found = torch.cat([rows.logit, rows.slope])
    return Joint(
        parts={
            "zero at the threshold": Identity.of(found, torch.zeros_like(found), tolerance=1e-9, effect=1.0),
            "sides": Identity.of(rows.signs, sides, tolerance=1e-9),
        }
    )
