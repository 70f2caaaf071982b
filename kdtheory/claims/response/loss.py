"""Chapter 1, response: the distillation loss as printed, as mended, its gradient, what it does not see."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.claims.response.image_logits import image_logits, log_uniform
from kdtheory.claims.response.wrong_losses import gradient_without_t, loss_reversed, loss_without_t_squared
from kdtheory.claims.verdict import Verdict
from kdtheory.losses import SOFT_TERMS, cross_entropy, entropy, kd_gradient, kd_loss, kl_divergence


def _without_the_entropy(student_logits: Tensor, teacher_logits: Tensor, /) -> Tensor:
    return kl_divergence(student_logits, teacher_logits)


def _reversed(*logits: Tensor, _true: Callable[..., Tensor] = cross_entropy) -> Tensor:
    return _true(*logits[::-1])


def _in_bits(logits: Tensor, /, *, _true: Callable[..., Tensor] = entropy) -> Tensor:
    return _true(logits) / math.log(2)


@claim(
    section="1.2",
    formula=r"\mathrm{CE}(p_t, p_s) = 0 \text{ when } p_s = p_t;\qquad"
    r"\text{mended: } \mathrm{CE}(p_t, p_s) = H(p_t) \text{ when } p_s = p_t",
    source="shen2021deep",
    place="Section 3.1",
    assumes=("The teacher is not one-hot.",),
    control=Control("what is paid is the teacher's entropy", floor="entropy"),
    uses=(cross_entropy, entropy),
    mutants=(Mutant("the entropy is forgotten: it is KL", cross_entropy, _without_the_entropy),),
    expect=Verdict.REFUTED,
    reading="“when CE = 0, student learns well” is read as: a student that has learned well has CE = 0",
    loose="refuted from afar: a factor leaves it refuted",
)
def cross_entropy_is_zero_when_the_student_has_learned(
    setting: Setting, /, *, floor: str = "zero"
) -> Evidence:
    """The notes say that the student learns well when the cross-entropy CE(p_t, p_s) is 0. Read as a mark
    that such a student reaches: a student that equals its teacher pays 0.

    How it's judged: for logits on real images, the cross-entropy of a student with p_s = p_t against 0. Such
    a student still pays the teacher's entropy H(p_t), so that the cross-entropy of a soft teacher is never 0;
    what reaches 0 is the divergence KL(p_t‖p_s) = CE − H. As an implication, from CE = 0 to a student that
    has learned, the sentence is true, and empty: of a soft teacher CE = 0 never happens.
    """
    _, teacher, _ = image_logits(setting, setting.size(quick=300, full=3000))
    left = entropy(teacher)
    stated = torch.zeros_like(left) if floor == "zero" else left
    paid = cross_entropy(teacher.clone(), teacher)
    notes = {"mean entropy of the teacher": float(left.mean())}
    return Identity.of(paid, stated, tolerance=1e-10, effect=math.log(teacher.shape[-1]), notes=notes)


@claim(
    section="1.2",
    formula=r"\mathrm{CE}(p_t, p_s) - H(p_t) = \mathrm{KL}(p_t\|p_s) \ge 0",
    source="shen2021deep",
    place="Section 3.1; derived here",
    control=Control("the floor is the student's entropy", of="student"),
    uses=(cross_entropy, entropy, kl_divergence),
    mutants=(
        Mutant("the student comes first in the cross-entropy", cross_entropy, _reversed),
        Mutant("the entropy is taken in bits", entropy, _in_bits),
    ),
)
def cross_entropy_has_the_entropy_of_the_teacher_for_its_floor(
    setting: Setting, /, *, of: str = "teacher"
) -> Evidence:
    """No student pays less cross-entropy than the teacher's entropy, CE(p_t, p_s) ≥ H(p_t), and what it pays
    above that is the divergence KL(p_t‖p_s).

    How it's judged: logits on real images; the floor on every one of them, and the difference against the
    divergence.
    """
    student, teacher, _ = image_logits(setting, setting.size(quick=300, full=3000))
    floor = entropy({"student": student, "teacher": teacher}[of])
    paid = cross_entropy(student, teacher)
    return Joint(
        parts={
            "a floor": Inequality.of(floor, paid, slack=1e-12),
            "above it": Identity.of(paid - floor, kl_divergence(student, teacher), tolerance=1e-10),
        }
    )


def _gradient_of_the_hard_term_only(*arrays: Tensor, weight: float, **_options: Any) -> Tensor:
    return (1 - weight) * arrays[0]


@claim(
    section="1.2",
    formula=r"\mathcal L_{CE}\bigl(p(f_t(x),T),\,p(f_t(x),T)\bigr),\qquad"
    r"\text{mended: } \mathcal L_{CE}\bigl(p(f_t(x),T),\,p(f_s(x),T)\bigr)",
    source="shen2021deep",
    place="Section 3.1",
    assumes=("T > 0, and the logits are finite.",),
    control=Control("the second argument is the student's law", second="student"),
    uses=(cross_entropy, kd_gradient),
    mutants=(Mutant("the soft term has no gradient", kd_gradient, _gradient_of_the_hard_term_only),),
    expect=Verdict.REFUTED,
    loose="refuted from afar: a factor leaves it refuted",
)
def printed_response_loss_teaches_the_student(setting: Setting, /, *, second: str = "teacher") -> Evidence:
    """As printed, with the teacher twice: the loss CE(p(f_t, T), p(f_t, T)) teaches the student, its
    gradient in the student's logits being (φ_T(z_s) − φ_T(z_t))/T.

    How it's judged: automatic differentiation on logits on real images, T log-uniform in [0.2, 20], errors
    relative to 1/T. The printed loss does not contain the student, so its gradient is 0; with the student
    as second argument the gradient is the one stated.
    """
    student, teacher, labels = image_logits(setting, setting.size(quick=300, full=3000))
    temperature = log_uniform(0.2, 20, len(student), setting.stream.child("temperature"))
    student.requires_grad_()
    over = temperature.unsqueeze(-1)
    learner = teacher if second == "teacher" else student
    unseen = 0 * student.sum()  # lets the gradient of a loss without the student be asked for
    loss = (temperature * cross_entropy(learner / over, teacher / over)).sum() + unseen
    (found,) = torch.autograd.grad(loss, student)
    stated = over * kd_gradient(
        student.detach(), teacher, labels, temperature=temperature, weight=1.0, temperature_squared=False
    )
    return Identity.of(found, stated, tolerance=1e-10, effect=1.0)


@claim(
    section="1.4",
    formula=r"\frac{\partial L}{\partial z_s} = \lambda T\bigl(\varphi_T(z_s) - \varphi_T(z_t)\bigr)"
    r" + (1-\lambda)\bigl(\varphi_1(z_s) - e_y\bigr)",
    source="hinton2015distilling",
    assumes=("0 ≤ λ ≤ 1 and T > 0.",),
    control=Control("λ is read as the weight of the labels", weight_on="labels"),
    uses=(kd_loss, kd_gradient),
    mutants=(
        Mutant("the gradient lacks its factor T", kd_gradient, gradient_without_t),
        Mutant("the divergence is reversed", kd_loss, loss_reversed),
        Mutant("the loss lacks its factor T²", kd_loss, loss_without_t_squared),
    ),
)
def kd_gradient_is_the_closed_form(setting: Setting, /, *, weight_on: str = "teacher") -> Evidence:
    """The loss λT²·KL(φ_T(z_t)‖φ_T(z_s)) + (1−λ)·CE(e_y, φ_1(z_s)) has the gradient
    λT(φ_T(z_s) − φ_T(z_t)) + (1−λ)(φ_1(z_s) − e_y) in the student's logits; λ weighs the teacher.

    How it's judged: automatic differentiation of the loss against the closed form, on logits on real
    images, each example with its own T, log-uniform in [0.2, 20], and its own λ, uniform in [0, 1]. With λ
    on the labels instead the two differ wherever λ is not 1/2.
    """
    student, teacher, labels = image_logits(setting, setting.size(quick=300, full=3000))
    temperature = log_uniform(0.2, 20, len(student), setting.stream.child("temperature"))
    weight = torch.rand(len(student), generator=setting.stream.child("weight").torch(), dtype=torch.float64)
    student.requires_grad_()
    read = weight if weight_on == "teacher" else 1 - weight
    loss = kd_loss(student, teacher, labels, temperature=temperature, weight=read, reduction="sum")
    (found,) = torch.autograd.grad(loss, student)
    stated = kd_gradient(student.detach(), teacher, labels, temperature=temperature, weight=weight)
    return Identity.of(found, stated, tolerance=1e-10)


OF_LAWS = tuple(name for name in SOFT_TERMS if name != "mse_logits")


def _logits_matched(*arrays: Tensor | None, _true: Callable[..., Tensor] = kd_loss, **options: Any) -> Tensor:
    return _true(*arrays, **{**options, "soft": "mse_logits"})


def _without_the_softmax(*arrays: Tensor, temperature: float, reduction: str, **_options: Any) -> Tensor:
    student, teacher, labels = arrays
    soft = -(teacher / temperature * student / temperature).sum(-1)
    return soft - student.gather(-1, labels.unsqueeze(-1)).squeeze(-1)


@claim(
    section="1.4",
    formula=r"L(z_s + a\mathbf 1, z_t + b\mathbf 1, y) = L(z_s, z_t, y),\quad a, b \in \mathbb R",
    source="hinton2015distilling",
    assumes=("The soft term is one of laws: of φ_T(z_s) and φ_T(z_t).",),
    control=Control("the soft term is the squared distance of the logits", terms=("mse_logits",)),
    uses=(kd_loss,),
    mutants=(
        Mutant("the logits are matched, not their laws", kd_loss, _logits_matched),
        Mutant("there is no softmax", kd_loss, _without_the_softmax),
    ),
    loose="an invariance: a factor scales both sides alike",
)
def response_losses_ignore_a_constant_added_to_the_logits(
    setting: Setting, /, *, terms: tuple[str, ...] = OF_LAWS
) -> Evidence:
    """Distillation by responses, with any soft term that compares laws, does not change when a constant is
    added to all logits of an example, on either side; matching the logits themselves does.

    How it's judged: the loss of each example at T = 3 and λ = 1/2, for logits on real images, before and
    after constants drawn at random for every example and side.
    """
    student, teacher, labels = image_logits(setting, setting.size(quick=300, full=3000))
    shape = (2, len(labels), 1)
    a, b = 5 * torch.randn(shape, generator=setting.stream.child("constants").torch(), dtype=torch.float64)
    parts: dict[str, Evidence] = {}
    for name in terms:
        before, after = (
            kd_loss(s, t, labels, temperature=3.0, weight=0.5, soft=name, reduction="none")
            for s, t in ((student, teacher), (student + a, teacher + b))
        )
        parts[name] = Identity.of(after, before, tolerance=1e-9)
    return Joint(parts=parts)
