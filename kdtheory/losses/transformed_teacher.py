"""Transformed teacher matching: the temperature on the teacher only (Zheng & Yang 2024).

p_T = φ_T(z_t) is a power transform of the teacher's law, p_t^{1/T} normalised; q = φ_1(z_s), q_T =
φ_T(z_s); H is the Shannon entropy and H_α the Rényi entropy. Dropping the temperature on the student's side
adds a Rényi-entropy reward to the usual distillation term.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.losses.divergences import kl_divergence
from kdtheory.losses.softmax import entropy, renyi_entropy
from kdtheory.types import widened
from kdtheory.validate import check_logits, check_positive

__all__ = ["transformed_teacher_matching", "zheng24_terms"]


@door
def transformed_teacher_matching(
    student_logits: Float[Tensor, "*batch k"],
    teacher_logits: Float[Tensor, "*batch k"],
    /,
    *,
    temperature: float,
) -> Float[Tensor, "*batch"]:
    """KL(p_T‖q), p_T = φ_T(z_t), q = φ_1(z_s): a softened teacher, the student as it is (Zheng & Yang 2024).

    Raises:
        ValueError: T is not positive and finite, the shapes differ, or the logits are unusable.

    >>> import torch
    >>> teacher = torch.tensor([1.0, 9.0]).log()
    >>> transformed_teacher_matching(torch.tensor([1.0, 3.0]).log(), teacher, temperature=2.0)
    tensor(0.)
    """
    check_positive("temperature", temperature)
    check_logits("teacher_logits", teacher_logits)
    student_logits, teacher_logits = widened(student_logits, teacher_logits, temperature=temperature)
    return kl_divergence(student_logits, teacher_logits / temperature)


@door
def zheng24_terms(
    student_logits: Float[Tensor, "*batch k"],
    teacher_logits: Float[Tensor, "*batch k"],
    /,
    *,
    temperature: float,
) -> dict[str, Float[Tensor, "*batch"]]:
    """KL(p_T‖q) = T·KL(p_T‖q_T) − (T−1)·H_{1/T}(q) + (T−1)·H(p_T), by terms that sum to it.

    Both sides share −Σ p_T ln q; the rest is T·ln Σ q^{1/T} = (T−1)·H_{1/T}(q). For T > 1 a student matched
    in this way is pushed towards a larger Rényi entropy; the last term does not depend on the student.
    (Zheng & Yang 2024; the constants are derived here.)

    Returns:
        the terms with their signs: "distillation", "renyi_entropy", "teacher_entropy".

    Raises:
        ValueError: T is not positive and finite, the shapes differ, or the logits are unusable.

    >>> import torch
    >>> terms = zheng24_terms(torch.zeros(4), torch.zeros(4), temperature=3.0)
    >>> [round(float(term) / 1.3862944, 4) for term in terms.values()]
    [0.0, -2.0, 2.0]
    """
    check_positive("temperature", temperature)
    check_logits("student_logits", student_logits)
    check_logits("teacher_logits", teacher_logits)
    student_logits, teacher_logits = widened(student_logits, teacher_logits, temperature=temperature)
    softened = kl_divergence(student_logits / temperature, teacher_logits / temperature)
    return {
        "distillation": temperature * softened,
        "renyi_entropy": -(temperature - 1) * renyi_entropy(student_logits, order=1 / temperature),
        "teacher_entropy": (temperature - 1) * entropy(teacher_logits, temperature=temperature),
    }
