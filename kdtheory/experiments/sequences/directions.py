"""Where the losses of the codes in use lead: their mean gradients beside those of the two divergences."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.losses import kl_divergence, reverse_kl_divergence
from kdtheory.sequences.conventions import SEQUENCE_CONVENTIONS, SequenceConvention

__all__ = ["as_documented", "gradients_of_sequence_codes", "the_other_way"]

TOKENS = 6
DIVERGENCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "teacher_to_student": kl_divergence,
    "student_to_teacher": reverse_kl_divergence,
}
Told = Callable[[SequenceConvention], str]


def as_documented(convention: SequenceConvention, /) -> str:
    """The divergence that the table names."""
    return str(convention.descends)


def the_other_way(convention: SequenceConvention, /) -> str:
    """The other one."""
    return next(name for name in DIVERGENCES if name != convention.descends)


@experiment
def gradients_of_sequence_codes(run: Run, /, *, direction: Told = as_documented) -> Rows:
    """40 pairs of Gaussian logits of six tokens: for each code that descends a divergence, the mean gradient
    of its loss and that of the divergence which `direction` names; for the others how far their gradient is
    from the nearer multiple of either, as a share of its size.
    """
    student, teacher = torch.randn(
        2, run.size(quick=40, full=400), TOKENS, dtype=torch.float64, generator=run.stream.torch()
    )
    ways = {name: _gradient(loss, student, teacher) for name, loss in DIVERGENCES.items()}
    named = {key: one for key, one in SEQUENCE_CONVENTIONS.items() if one.descends is not None}
    others = [one for one in SEQUENCE_CONVENTIONS.values() if one.descends is None]
    found = {key: one.gradient(student, teacher) for key, one in named.items()}
    wanted = {key: ways[direction(one)] for key, one in named.items()}
    left = [min(_left(one.gradient(student, teacher), way) for way in ways.values()) for one in others]
    return Rows(codes=tuple(named), **found, wanted=wanted, left=torch.tensor(left, dtype=torch.float64))


def _gradient(loss: Callable[[Tensor, Tensor], Tensor], student: Tensor, teacher: Tensor) -> Tensor:
    leaf = student.clone().requires_grad_()
    return torch.autograd.grad(loss(leaf, teacher).sum(), leaf)[0]


def _left(found: Tensor, way: Tensor) -> float:
    """‖way − its best multiple of what was found‖ over ‖way‖, of all examples together; 1 for a gradient of
    0.
    """
    size = found.square().sum()
    if float(size) <= 1e-20:
        return 1.0
    rest = way - (way * found).sum() / size * found
    return float(rest.norm() / way.norm())
