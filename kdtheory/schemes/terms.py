"""Terms of a student's loss: what is compared with what, by which function, with which weight."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from kdtheory.doors import door
from kdtheory.losses import SoftTerm, kd_loss, label_loss
from kdtheory.schemes.sameness import in_words
from kdtheory.streams import Stream
from kdtheory.validate import check_fraction, check_labels, check_positive

__all__ = ["Layers", "Projection", "Term", "hinton", "labels_term", "response_term", "said_of"]

Layers = str | tuple[str, ...]
Projection = Callable[[Tensor, Tensor, Stream], nn.Module]


@door
@dataclass(frozen=True)
class Term:
    """weight · loss(student's, teacher's): one term of what a student minimises.

    Args:
        loss: of what the student and the teacher say on a batch, to a scalar; such as those of
            `kdtheory.losses.features` and `kdtheory.losses.relations`.
        weight: ≥ 0.
        student: the student's layer by its path; "" is its output, the logits. "lstm[0]" is a part of
            what a layer gives; a tuple of paths hands the loss a tuple.
        teacher: the same for the teacher; None hands the loss the labels.
        projection: makes a module that brings the student's features to the teacher's shape and is trained
            along; such as `linear_projection`.

    Raises:
        ValueError: a negative weight, or a projection of several layers or of labels.

    >>> from kdtheory.losses.features import attention_transfer
    >>> Term(attention_transfer, weight=10.0, student="layer1", teacher="layer2.0.relu").weight
    10.0
    """

    loss: Callable[[Any, Any], Tensor]
    weight: float = 1.0
    student: Layers = ""
    teacher: Layers | None = ""
    projection: Projection | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight = {self.weight} must be finite and 0 or more")
        if self.projection and not (isinstance(self.student, str) and isinstance(self.teacher, str)):
            raise ValueError("a projection needs one layer of the student and one of the teacher")


@door
def labels_term(weight: float = 1.0) -> Term:
    """weight · CE(e_y, φ_1(z_s)): the labels."""
    return Term(_label_cross_entropy, weight=weight, teacher=None)


@door
def response_term(temperature: float, weight: float = 1.0, *, soft: str | SoftTerm = "kl") -> Term:
    """weight · T² D(φ_T(z_t), φ_T(z_s)): the teacher's softened logits (Hinton et al. 2015).

    Args:
        temperature: T.
        weight: of the term.
        soft: D, as in `kd_loss`.

    Raises:
        ValueError: T ≤ 0.
    """
    check_positive("temperature", temperature)
    return Term(functools.partial(softened, temperature=temperature, soft=soft), weight=weight)


@door
def hinton(temperature: float, weight: float) -> dict[str, Term]:
    """λT²·KL(φ_T(z_t)‖φ_T(z_s)) + (1−λ)·CE(e_y, φ_1(z_s)) as two named terms (Hinton et al. 2015).

    Args:
        temperature: T > 0.
        weight: λ in [0, 1], the weight of the teacher.

    Raises:
        ValueError: a setting is out of its range.

    >>> {name: term.weight for name, term in hinton(temperature=4.0, weight=0.75).items()}
    {'response': 0.75, 'labels': 0.25}
    """
    check_fraction("weight", weight)
    return {"response": response_term(temperature, weight), "labels": labels_term(1 - weight)}


def said_of(losses: Mapping[str, Term], /) -> str:
    """The terms in words, by which two trainings are told apart.

    >>> said_of({"response": response_term(temperature=4.0, weight=0.75)})
    "response: 0.75 · softened(soft='kl', temperature=4.0) of '' and ''"
    """
    return ", ".join(
        f"{name}: {term.weight} · {in_words(term.loss)} of {term.student!r} and {term.teacher!r}"
        for name, term in losses.items()
    )


def softened(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float, soft: str | SoftTerm
) -> Tensor:
    """The soft term alone, a function of its own so that what holds it can be sent to other processes."""
    return kd_loss(student_logits, teacher_logits, None, temperature=temperature, weight=1.0, soft=soft)


def _label_cross_entropy(student_logits: Tensor, labels: Tensor) -> Tensor:
    check_labels("labels", labels, student_logits.shape[-1])
    return label_loss(student_logits, None, labels).mean()
