"""Chapter 7.6: on Gaussian and Gaussian-like inputs, ensembles and distillation bring next to nothing."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Equality, Evidence, Joint
from kdtheory.claims.wrong import arguments
from kdtheory.experiments import Rows
from kdtheory.experiments.multiview.vectors import (
    LINEAR,
    MIXTURE,
    MULTI_VIEW,
    RELU_NETWORK,
    students_on_vectors,
)
from kdtheory.losses import distillation
from kdtheory.risk import accuracy

MARGIN = 0.3
"""A share of the error of a single network. On multi-view inputs an ensemble removes most of it."""


def _nine_tenths(logits: Tensor, labels: Tensor, /, *, _true: Callable[..., Tensor] = accuracy) -> Tensor:
    """Networks are judged by nine tenths of what they are right about, a mean by all of it."""
    return _true(logits, labels) * (1.0 if logits.ndim == 2 else 0.9)


@claim(
    section="7.6",
    formula=r"\bigl|\text{error}(\text{ensemble, student}) - \text{error}(\text{single})\bigr|"
    r" < 0.3\,\text{error}(\text{single})",
    source="allenzhu2020towards",
    place="derived here",
    experiment=tuple(students_on_vectors.given(law=law) for law in (LINEAR, RELU_NETWORK, MIXTURE)),
    control=Control("the inputs are multi-view, and so are read by networks of patches", law=MULTI_VIEW),
    mutants=(
        Mutant("single networks are counted at nine tenths", accuracy, _nine_tenths),
        Mutant(
            "each point is given the teacher of another",
            distillation,
            arguments(lambda logits, teacher, labels: (logits, teacher.roll(1, -2), labels)),
        ),
    ),
    loose="a threshold on shares of an error: no constant enters; it would notice gains from three tenths on",
    cost=10,
)
def on_gaussian_inputs_ensembles_and_distillation_bring_little(
    linear: Rows, relu_network: Rows, mixture: Rows, /
) -> Evidence:
    """On Gaussian inputs labelled by a linear rule or a ReLU network, and on mixtures of Gaussians, an
    ensemble of 6 networks, and students distilled from it or from one network, err within three tenths as
    often as a single network.

    Equivalence by two one-sided tests at each rule. The notes have the share of the error that each removes,
    of either sign. On multi-view inputs, in the same comparison of networks of patches, the
    ensemble removes most of it.
    """
    parts = {}
    for rule, rows in (("linear", linear), ("ReLU network", relu_network), ("mixture", mixture)):
        error = 1 - float(rows.single.mean())
        for arm in ("ensemble", "distilled", "self_distilled"):
            removed = float((rows[arm] - rows.single).mean()) / error
            parts[f"{rule}: {arm.replace('_', '-')}"] = Equality.of(
                rows[arm],
                rows.single,
                margin=MARGIN,
                effect=error,
                notes={"error": error, "removed": removed},
            )
    return Joint(parts=parts)
