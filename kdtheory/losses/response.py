"""The distillation loss: a softened term between student and teacher, and the cross-entropy of the labels.

    L = λ T² D(φ_T(z_s), φ_T(z_t)) + (1−λ) CE(e_y, φ_1(z_s))

z_s, z_t are the logits of student and teacher [*batch k], y the labels [*batch], T the temperature, λ the
weight of the *teacher*, D the soft term (Hinton, Vinyals, Dean 2015: the cross-entropy or, with the same
gradient, KL(p_t‖p_s)). What the codes in use do otherwise is an option here and an entry of
`kdtheory.losses.CONVENTIONS`.

Temperature and weights are numbers, or tensors that broadcast against the example axes: [members, 1]
against logits [members, n, k] gives each member of a population its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.doors import door, passing
from kdtheory.losses._response_checks import check_logits_and_labels, check_settings, soft_term, term_of_kept
from kdtheory.losses.divergences import ACCURATE_TERMS, SOFT_TERMS, SoftTerm
from kdtheory.losses.softmax import Setting, per_example, tempered_softmax
from kdtheory.losses.truncated import Tail, TopK
from kdtheory.types import told, widened
from kdtheory.validate import check_labels, check_logits, check_one_of, check_probs

__all__ = ["Reduction", "distillation", "kd_gradient", "kd_loss", "label_loss", "soft_label_loss"]

Reduction = Literal["batchmean", "mean", "sum", "none"]

_REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "batchmean": torch.mean,
    "mean": torch.mean,
    "sum": torch.sum,
    "none": lambda losses: losses,
}


@door
def kd_loss(
    student_logits: Float[Tensor, "*batch k"],
    teacher_logits: Float[Tensor, "*batch k"] | TopK,
    labels: Int[Tensor, "*batch"] | None,
    /,
    *,
    temperature: Setting,
    weight: Setting,
    hard_weight: Setting | None = None,
    soft: str | SoftTerm = "kl",
    tail: Tail = "bucket",
    temperature_squared: bool = True,
    reduction: Reduction = "batchmean",
) -> Float[Tensor, "..."]:
    """L = λT²·KL(φ_T(z_t)‖φ_T(z_s)) + (1−λ)·CE(e_y, φ_1(z_s)), a mean over the batch (Hinton et al. 2015).

    λ weighs the teacher. T² keeps the soft gradient of order one as T grows; without it that gradient falls
    like 1/T². At λ = 1 the loss is 0 iff φ_T(z_s) = φ_T(z_t), if the soft term is a divergence; a
    cross-entropy stops at T² times the teacher's entropy. A weight given as the number 0 leaves its term
    out altogether.

    Args:
        student_logits: z_s.
        teacher_logits: z_t; gradients flow into it too, so detach it where the teacher is fixed. Or a `TopK`,
            its largest probabilities at this temperature, for "kl" and "reverse_kl".
        labels: y; None where no hard term is wanted, and then its weight must be 0.
        temperature: T > 0, number or tensor over the example axes.
        weight: λ, the weight of the soft term; in [0, 1] unless `hard_weight` is given.
        hard_weight: the weight of the hard term, 1 − λ unless given; any two weights ≥ 0 are then free.
        soft: a name in `SOFT_TERMS` (kl, reverse_kl, cross_entropy, jsd, mse_logits, mse_probs), or a
            function of the student logits and the teacher logits, both already divided by T, to one loss
            per example, for example ``functools.partial(jensen_shannon, beta=0.1)``.
        tail: of a `TopK`, what becomes of the classes that were not kept, as in `top_k_divergence`.
        temperature_squared: multiply the soft term by T².
        reduction: "batchmean" means over the examples; "mean" means the soft term over examples *and*
            classes as ``torch.nn.functional.kl_div(reduction="mean")`` and ``mse_loss`` do, a soft gradient
            k times smaller; "sum" sums over the examples; "none" returns one loss per example [*batch].

    Raises:
        ValueError: a setting is out of its range, the shapes differ, or logits or labels are unusable.

    >>> student, teacher = torch.zeros(1, 4), torch.tensor([[0.0, 0.0, -torch.inf, -torch.inf]])
    >>> kd_loss(student, teacher, torch.tensor([0]), temperature=3.0, weight=0.5).exp().log2()
    tensor(5.5000)
    """
    term = soft_term(soft, ACCURATE_TERMS)
    if isinstance(teacher_logits, TopK):
        term = term_of_kept(student_logits, teacher_logits, soft, tail, temperature)
        teacher_logits = student_logits
    check_logits_and_labels(student_logits, teacher_logits, labels)
    check_settings(student_logits.shape[:-1], temperature, weight, hard_weight)
    if labels is None and bool(
        (torch.as_tensor(1 - weight if hard_weight is None else hard_weight, device="cpu") != 0).any()
    ):
        raise ValueError("labels = None leaves the hard term without labels; give labels, or weight = 1")
    check_one_of("reduction", reduction, tuple(_REDUCTIONS))
    losses = _per_example_losses(
        student_logits,
        teacher_logits,
        labels,
        temperature=temperature,
        weight=weight,
        hard_weight=hard_weight,
        soft=term,
        soft_scale=1 / student_logits.shape[-1] if reduction == "mean" else 1.0,
        temperature_squared=temperature_squared,
    )
    return _REDUCTIONS[reduction](losses)


@door
def kd_gradient(
    student_logits: Float[Tensor, "*batch k"],
    teacher_logits: Float[Tensor, "*batch k"],
    labels: Int[Tensor, "*batch"],
    /,
    *,
    temperature: Setting,
    weight: Setting,
    temperature_squared: bool = True,
) -> Float[Tensor, "*batch k"]:
    """∂L/∂z_s = λT(φ_T(z_s) − φ_T(z_t)) + (1−λ)(φ_1(z_s) − e_y), the gradient of each example's loss.

    The gradient of `kd_loss` with soft term KL or cross-entropy and reduction "none" or "sum"; divide by
    the number of examples for "batchmean". Without T² the soft part is λ/T times the difference.

    Args:
        student_logits: z_s.
        teacher_logits: z_t.
        labels: y.
        temperature: T > 0, number or tensor over the example axes.
        weight: λ in [0, 1], the weight of the teacher.
        temperature_squared: whether the loss carries T².

    Raises:
        ValueError: a setting is out of its range, the shapes differ, or logits or labels are unusable.

    >>> student, teacher = torch.zeros(2), torch.tensor([1.0, 9.0]).log()
    >>> kd_gradient(student, teacher, torch.tensor(1), temperature=2.0, weight=0.5)
    tensor([ 0.5000, -0.5000])
    """
    check_logits_and_labels(student_logits, teacher_logits, labels)
    check_settings(student_logits.shape[:-1], temperature, weight, None)
    given = student_logits
    student_logits, teacher_logits = widened(student_logits, teacher_logits, temperature=temperature)
    soft = tempered_softmax(student_logits, temperature=temperature)
    soft = soft - tempered_softmax(teacher_logits, temperature=temperature)
    hard = student_logits.softmax(-1) - torch.nn.functional.one_hot(labels.long(), student_logits.shape[-1])
    t = per_example(temperature, student_logits)
    share = per_example(weight, student_logits)
    return told(share * (t if temperature_squared else 1 / t) * soft + (1 - share) * hard, given)


@door
@passing
def distillation(
    student_logits: Float[Tensor, "*#batch k"],
    teacher_probs: Float[Tensor, "*#batch k"] | None,
    labels: Int[Tensor, "*#batch"] | None,
    /,
    *,
    temperature: Setting = 1.0,
    weight: Setting = 1.0,
    soft: str | SoftTerm = "kl",
    temperature_squared: bool = True,
) -> Float[Tensor, "..."]:
    """The loss of `kd_loss` for each example, from teacher probabilities p_t: φ_T(z_t) = softmax(ln p_t / T).

    This is the form that training wants: teachers hand over probabilities (an ensemble's mean, a Bayes
    posterior), and nothing is checked that would cost a pass over the data at each step; NaN in, NaN out.
    Example axes broadcast, so one teacher serves all members of a population. Logits are known up to a
    constant only, so ``soft="mse_logits"`` is refused.

    Args:
        student_logits: z_s.
        teacher_probs: p_t, rows summing to one; zeros are allowed. May be None at λ = 0.
        labels: y; may be None at λ = 1.
        temperature: T > 0, number or tensor over the example axes.
        weight: λ in [0, 1], the weight of the teacher.
        soft: as in `kd_loss`.
        temperature_squared: multiply the soft term by T².

    Raises:
        ValueError: a setting given as a number is out of its range, or `soft` is not known or not usable
            here.

    >>> distillation(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), None, temperature=4.0).exp().log2()
    tensor([16.])
    """
    if soft == "mse_logits":
        raise ValueError("soft = 'mse_logits' needs the teacher's logits, not probabilities; use kd_loss")
    batch: tuple[int, ...] = student_logits.shape[:-1]
    if teacher_probs is not None and teacher_probs.shape[:-1] != batch:
        batch = np.broadcast_shapes(batch, teacher_probs.shape[:-1])
    check_settings(batch, temperature, weight, None)
    if labels is None and (isinstance(weight, Tensor) or weight != 1):
        raise ValueError("labels = None leaves the hard term without labels; give labels, or weight = 1")
    if teacher_probs is None and not _is_zero(weight):
        raise ValueError(
            "teacher_probs = None leaves the soft term without a teacher; give one, or weight = 0"
        )
    return _per_example_losses(
        student_logits,
        student_logits if teacher_probs is None else widened(teacher_probs)[0].log(),
        labels,
        temperature=temperature,
        weight=weight,
        hard_weight=None,
        soft=soft_term(soft, SOFT_TERMS),
        soft_scale=1.0,
        temperature_squared=temperature_squared,
    )


@door
@passing
def label_loss(
    student_logits: Float[Tensor, "*#batch k"],
    teacher_probs: Float[Tensor, "*#batch k"] | None,
    labels: Int[Tensor, "*#batch"],
    /,
) -> Float[Tensor, "..."]:
    """CE(e_y, φ_1(z_s)) = −ln φ_1(z_s)_y for each example: what a student trained on labels alone minimises.

    `distillation` at λ = 0, for training without a teacher: the same arguments, and logits are not checked.

    Raises:
        ValueError: a label that is no class.

    >>> label_loss(torch.zeros(2, 8), None, torch.tensor([0, 7])).exp()
    tensor([8., 8.])
    """
    if not labels.numel():
        check_labels("labels", labels, student_logits.shape[-1])
    batch = np.broadcast_shapes(labels.shape, student_logits.shape[:-1])
    (student_logits,) = widened(student_logits)
    logs = student_logits.log_softmax(-1).expand(*batch, -1)
    try:
        right = logs.gather(-1, labels.long().expand(batch).unsqueeze(-1))
    except RuntimeError:  # what the CPU says of a label that is no class, without a look at all at every step
        check_labels("labels", labels, student_logits.shape[-1])
        raise
    return -right.squeeze(-1)


@door
def soft_label_loss(
    student_logits: Float[Tensor, "*batch k"], probs: Float[Tensor, "*batch k"], /
) -> Float[Tensor, "*batch"]:
    """CE(p, φ_1(z_s)) = −Σ_j p_j ln φ_1(z_s)_j, the cross-entropy with a probability vector for its label.

    With p = e_y it is the ordinary cross-entropy; for training, `distillation` with
    ``soft="cross_entropy"`` is the same number without the checks.

    Raises:
        ValueError: the shapes differ, logits are unusable, or a row of `probs` is not a probability vector.

    >>> soft_label_loss(torch.zeros(4), torch.tensor([0.1, 0.2, 0.3, 0.4])).exp()
    tensor(4.)
    """
    check_logits("student_logits", student_logits)
    check_probs("probs", probs)
    student_logits, probs = widened(student_logits, probs)
    return SOFT_TERMS["cross_entropy"](student_logits, probs.log())


def _per_example_losses(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor | None,
    *,
    temperature: Setting,
    weight: Setting,
    hard_weight: Setting | None,
    soft: SoftTerm,
    soft_scale: float,
    temperature_squared: bool,
) -> Tensor:
    """The one definition of the loss: λ T² D + μ CE for each example, terms with weight 0 left out."""
    student, teacher = student_logits, teacher_logits
    student_logits, teacher_logits = widened(student, teacher, temperature=temperature)
    t, share, rest = (
        value.to(student_logits) if isinstance(value, Tensor) else value
        for value in (temperature, weight, 1 - weight if hard_weight is None else hard_weight)
    )
    losses = student_logits.new_zeros(student_logits.shape[:-1])
    if not _is_zero(rest) and labels is not None:
        losses = losses + rest * label_loss(student_logits, None, labels)
    if not _is_zero(share):
        factor = share * soft_scale * (t * t if temperature_squared else 1)
        over = per_example(t, student_logits)
        losses = losses + factor * soft(
            _over(student_logits, over, student), _over(teacher_logits, over, teacher)
        )
    return told(losses, student)


def _over(logits: Tensor, temperature: Setting, given: Tensor) -> Tensor:
    """z/T; what was widened is a copy that nobody else reads, and is divided in its place."""
    if logits.dtype is given.dtype or isinstance(temperature, Tensor):
        return logits / temperature
    return logits.div_(temperature)


def _is_zero(value: Setting) -> bool:
    return not isinstance(value, Tensor) and value == 0
