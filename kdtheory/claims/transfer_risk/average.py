"""Chapter 6.7: the transfer risk averaged over Gaussian oracles, exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Equality, Evidence, Joint
from kdtheory.claims.wrong import arguments, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.transfer_risk.average import (
    BANDS,
    average_risk_of_nets,
    nets_of_many_oracles,
    single_features,
    students_of_many_oracles,
)
from kdtheory.transfer_risk import average_transfer_risk, misjudging_probability

SOURCE = "ji2020knowledge"
GAUSSIAN = "Δw_* is an isotropic Gaussian on the features: z_* is a Gaussian process with covariance K."
SPARSE = Control("sparse oracles: one feature and its sign", oracles=single_features)
MARGIN = 0.05


def _linear_in_power(power: Tensor, diagonal: Tensor, /) -> Tensor:
    return (power / diagonal.sqrt()).mean(-1) / torch.pi


@claim(
    section="6.7",
    formula=r"\mathbb E\,R_n = \tfrac1\pi\,\mathbb E_x \angle(\varphi(x), \operatorname{span}\varphi(X))"
    r" = \tfrac1\pi\,\mathbb E_x \arcsin\frac{P_n(x)}{\sqrt{K(x,x)}}",
    source=SOURCE,
    place="derived here",
    assumes=(GAUSSIAN, "The teacher is perfect."),
    experiment=(students_of_many_oracles, nets_of_many_oracles, average_risk_of_nets),
    control=SPARSE,
    mutants=(
        Mutant("1/2π", average_transfer_risk, scaled(0.5)),
        Mutant("the sine for the angle", average_transfer_risk, _linear_in_power),
    ),
    cost=2,
)
def gaussian_oracles_have_an_exact_average_risk(kernels: Rows, nets: Rows, told: Rows, /) -> Evidence:
    """Over oracles drawn from the isotropic Gaussian on the features the transfer risk is, in the mean, the
    angle of a fresh feature to the span of those seen, over π.

    Within 5 per cent; for nets, which are linear in their weights only nearly, within 10.
    """
    cases = {
        "circle": (kernels.circle_risk, kernels.circle_average, MARGIN),
        "images": (kernels.images_risk, kernels.images_average, MARGIN),
        "nets": (nets.risk, told.average, 2 * MARGIN),
    }
    return Joint(
        parts={
            name: Equality.of(risk, average.expand_as(risk), margin=margin)
            for name, (risk, average, margin) in cases.items()
        }
    )


@claim(
    section="6.7",
    formula=r"\Pr[\operatorname{sign} z_*(x) \ne \operatorname{sign} z_s(x) \mid X, z]"
    r" = \Phi(-|z_s(x)|/P_n(x))",
    source=SOURCE,
    place="derived here",
    assumes=(GAUSSIAN, "The teacher is perfect."),
    experiment=students_of_many_oracles,
    control=SPARSE,
    mutants=(
        Mutant("P_n² for P_n", misjudging_probability, arguments(lambda student, power: (student, power**2))),
        Mutant("both tails", misjudging_probability, scaled(2.0)),
    ),
    cost=2,
)
def misjudged_points_are_foretold_by_the_power_function(rows: Rows, /) -> Evidence:
    """Given the data, the chance that a point is misjudged is Φ(−|z_s|/P_n): among points of like chance as
    many are misjudged as it says.

    Within 10 per cent in each band.
    """
    parts = {}
    for name in ("circle", "images"):
        both = zip(BANDS, rows[f"{name}_misjudged"], rows[f"{name}_foretold"], strict=True)
        for (low, high), seen, told in both:
            effect = max(float(told.mean()), 1e-12)
            parts[f"{name}, {low:g} to {high:g}"] = Equality.of(seen, told, margin=2 * MARGIN, effect=effect)
    return Joint(parts=parts)
