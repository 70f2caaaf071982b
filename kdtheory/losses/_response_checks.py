"""What the doors of the distillation loss ask of logits, labels, settings and the soft term."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from kdtheory.losses.divergences import SoftTerm
from kdtheory.losses.softmax import Setting, check_setting
from kdtheory.losses.truncated import Tail, TopK, check_kept, kept_divergence
from kdtheory.validate import check_fraction, check_labels, check_logits, check_one_of, check_positive

__all__ = ["check_logits_and_labels", "check_settings", "soft_term", "term_of_kept"]


def check_settings(
    batch: tuple[int, ...], temperature: Setting, weight: Setting, hard_weight: Setting | None
) -> None:
    check_setting("temperature", temperature, batch)
    check_setting("weight", weight, batch)
    check_positive("temperature", temperature)
    if hard_weight is None:
        check_fraction("weight", weight)
        return
    check_setting("hard_weight", hard_weight, batch)
    for name, value in (("weight", weight), ("hard_weight", hard_weight)):
        tensor = torch.as_tensor(value)
        if not bool((torch.isfinite(tensor) & (tensor >= 0)).all()):
            raise ValueError(f"{name} = {value} must be finite and 0 or more")


def check_logits_and_labels(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor | None) -> None:
    check_logits("student_logits", student_logits)
    check_logits("teacher_logits", teacher_logits)
    if labels is not None:
        check_labels("labels", labels, student_logits.shape[-1])


def soft_term(soft: str | SoftTerm, terms: Mapping[str, SoftTerm]) -> SoftTerm:
    if isinstance(soft, str):
        check_one_of("soft", soft, tuple(terms))
        return terms[soft]
    return soft


def term_of_kept(
    student_logits: Tensor, teacher: TopK, soft: str | SoftTerm, tail: Tail, temperature: Setting
) -> SoftTerm:
    """The soft term of a teacher of whom the largest probabilities were kept."""
    if soft not in ("kl", "reverse_kl"):
        raise ValueError(f"soft = {soft!r} needs the whole teacher; with a TopK give 'kl' or 'reverse_kl'")
    if bool((torch.as_tensor(temperature) != teacher.temperature).any()):
        raise ValueError(
            f"temperature = {temperature} is not that of the TopK, {teacher.temperature}; a truncated law "
            "cannot be softened afterwards"
        )
    reverse = soft == "reverse_kl"
    check_kept(student_logits, teacher, tail, reverse)
    return lambda softened, _: kept_divergence(softened, teacher, tail, reverse)
