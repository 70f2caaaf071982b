"""Chapter 1, response: the distillation loss as printed, as mended, its gradient, what it does not see."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.claims.verdict import Verdict
from kdtheory.claims.wrong import given, scaled, swapped
from kdtheory.experiments import Rows
from kdtheory.experiments.response.image_logits import of_student
from kdtheory.experiments.response.loss import (
    cross_entropies_of_images,
    gradients_of_the_cross_entropy,
    gradients_of_the_distillation_loss,
    losses_of_shifted_logits,
    on_the_labels,
)
from kdtheory.losses import cross_entropy, entropy, kd_gradient, kd_loss, kl_divergence, tempered_softmax
from kdtheory.losses.softmax import per_example


def gradient_without_t(*arrays: Tensor, temperature: Any, weight: Any, **_options: Any) -> Tensor:
    """λ(φ_T(z_s) − φ_T(z_t)) + (1−λ)(φ_1(z_s) − e_y): the factor T is forgotten."""
    student_logits, teacher_logits, labels = arrays
    soft, target = (tempered_softmax(z, temperature=temperature) for z in (student_logits, teacher_logits))
    hard = student_logits.softmax(-1) - torch.nn.functional.one_hot(labels, student_logits.shape[-1])
    share = per_example(weight, student_logits)
    return share * (soft - target) + (1 - share) * hard


def _gradient_of_the_hard_term_only(*arrays: Tensor, weight: float, **_options: Any) -> Tensor:
    return (1 - weight) * arrays[0]


def _without_the_softmax(*arrays: Tensor, temperature: float, reduction: str, **_options: Any) -> Tensor:
    student, teacher, labels = arrays
    soft = -(teacher / temperature * student / temperature).sum(-1)
    return soft - student.gather(-1, labels.unsqueeze(-1)).squeeze(-1)


@claim(
    section="1.2",
    formula=r"\mathrm{CE}(p_t, p_s) = 0 \text{ when } p_s = p_t;\qquad"
    r"\text{mended: } \mathrm{CE}(p_t, p_s) = H(p_t) \text{ when } p_s = p_t",
    source="shen2021deep",
    place="Section 3.1",
    assumes=("The teacher is not one-hot.",),
    experiment=cross_entropies_of_images.given(share=0.0),
    control=Control("what is paid is the teacher's entropy", share=1.0),
    mutants=(Mutant("the entropy is forgotten: it is KL", cross_entropy, kl_divergence),),
    expect=Verdict.REFUTED,
    reading="“when CE = 0, student learns well” is read as: a student that has learned well has CE = 0",
    loose="refuted from afar: a factor leaves it refuted",
)
def cross_entropy_is_zero_when_the_student_has_learned(rows: Rows, /) -> Evidence:
    """The notes say that the student learns well when the cross-entropy CE(p_t, p_s) is 0. Read as a mark
    that such a student reaches: a student that equals its teacher pays 0.

    Such a student still pays the teacher's entropy H(p_t), so that the cross-entropy of a soft teacher is
    never 0; what reaches 0 is the divergence KL(p_t‖p_s) = CE − H. As an implication, from CE = 0 to a
    student that has learned, the sentence is true, and empty: of a soft teacher CE = 0 never happens.
    """
    return Identity.of(
        rows.paid_by_the_teacher, rows.floor, tolerance=1e-10, effect=math.log(rows.classes),
        notes={"mean entropy of the teacher": float(rows.entropy.mean())},
    )  # fmt: skip


@claim(
    section="1.2",
    formula=r"\mathrm{CE}(p_t, p_s) - H(p_t) = \mathrm{KL}(p_t\|p_s) \ge 0",
    source="shen2021deep",
    place="Section 3.1; derived here",
    experiment=cross_entropies_of_images,
    control=Control("the floor is the student's entropy", whose=of_student),
    mutants=(
        Mutant("the student comes first in the cross-entropy", cross_entropy, swapped()),
        Mutant("the entropy is taken in bits", entropy, scaled(1 / math.log(2))),
    ),
)
def cross_entropy_has_the_entropy_of_the_teacher_for_its_floor(rows: Rows, /) -> Evidence:
    """No student pays less cross-entropy than the teacher's entropy, CE(p_t, p_s) ≥ H(p_t), and what it pays
    above that is the divergence KL(p_t‖p_s).
    """
    return Joint(
        parts={
            "a floor": Inequality.of(rows.floor, rows.paid, slack=1e-12),
            "above it": Identity.of(rows.paid - rows.floor, rows.divergence, tolerance=1e-10),
        }
    )


@claim(
    section="1.2",
    formula=r"\mathcal L_{CE}\bigl(p(f_t(x),T),\,p(f_t(x),T)\bigr),\qquad"
    r"\text{mended: } \mathcal L_{CE}\bigl(p(f_t(x),T),\,p(f_s(x),T)\bigr)",
    source="shen2021deep",
    place="Section 3.1",
    assumes=("T > 0, and the logits are finite.",),
    experiment=gradients_of_the_cross_entropy,
    control=Control("the second argument is the student's law", learner=of_student),
    mutants=(Mutant("the soft term has no gradient", kd_gradient, _gradient_of_the_hard_term_only),),
    expect=Verdict.REFUTED,
    loose="refuted from afar: a factor leaves it refuted",
)
def printed_response_loss_teaches_the_student(rows: Rows, /) -> Evidence:
    """As printed, with the teacher twice: the loss CE(p(f_t, T), p(f_t, T)) teaches the student, its
    gradient in the student's logits being (φ_T(z_s) − φ_T(z_t))/T.

    Errors are relative to 1/T. The printed loss does not contain the student, so its gradient is 0; with the
    student as second argument the gradient is the one stated.
    """
    return Identity.of(rows.found, rows.stated, tolerance=1e-10, effect=1.0)


@claim(
    section="1.4",
    formula=r"\frac{\partial L}{\partial z_s} = \lambda T\bigl(\varphi_T(z_s) - \varphi_T(z_t)\bigr)"
    r" + (1-\lambda)\bigl(\varphi_1(z_s) - e_y\bigr)",
    source="hinton2015distilling",
    place="derived here",
    assumes=("0 ≤ λ ≤ 1 and T > 0.",),
    experiment=gradients_of_the_distillation_loss,
    control=Control("λ is read as the weight of the labels", reading=on_the_labels),
    mutants=(
        Mutant("the gradient lacks its factor T", kd_gradient, gradient_without_t),
        Mutant("the divergence is reversed", kd_loss, given(soft="reverse_kl")),
        Mutant("the loss lacks its factor T²", kd_loss, given(temperature_squared=False)),
    ),
)
def kd_gradient_is_the_closed_form(rows: Rows, /) -> Evidence:
    """The loss λT²·KL(φ_T(z_t)‖φ_T(z_s)) + (1−λ)·CE(e_y, φ_1(z_s)) has the gradient
    λT(φ_T(z_s) − φ_T(z_t)) + (1−λ)(φ_1(z_s) − e_y) in the student's logits; λ weighs the teacher.

    With λ on the labels instead the two differ wherever λ is not 1/2.
    """
    return Identity.of(rows.found, rows.stated, tolerance=1e-10)


@claim(
    section="1.4",
    formula=r"L(z_s + a\mathbf 1, z_t + b\mathbf 1, y) = L(z_s, z_t, y),\quad a, b \in \mathbb R",
    source="hinton2015distilling",
    place="derived here",
    assumes=("The soft term is one of laws: of φ_T(z_s) and φ_T(z_t).",),
    experiment=losses_of_shifted_logits,
    control=Control("the soft term is the squared distance of the logits", terms=("mse_logits",)),
    mutants=(
        Mutant("the logits are matched, not their laws", kd_loss, given(soft="mse_logits")),
        Mutant("there is no softmax", kd_loss, _without_the_softmax),
    ),
    loose="an invariance: a factor scales both sides alike",
)
def response_losses_ignore_a_constant_added_to_the_logits(rows: Rows, /) -> Evidence:
    """Distillation by responses, with any soft term that compares laws, does not change when a constant is
    added to all logits of an example, on either side; matching the logits themselves does.
    """
    sides = zip(rows.term, rows.after, rows.before, strict=True)
    return Joint(parts={name: Identity.of(after, before, tolerance=1e-9) for name, after, before in sides})
