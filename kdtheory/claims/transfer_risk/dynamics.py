"""Chapter 6.2: training of a linearised network in closed form, and what the notes print instead."""

from __future__ import annotations

import torch

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Identity, MeanInequality
from kdtheory.claims.verdict import Verdict
from kdtheory.claims.wrong import arguments, given, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.transfer_risk.dynamics import (
    all_together,
    linear_models_in_training,
    nets_after_a_few_steps,
)
from kdtheory.ntk.linearised import linearised_training, relative_deviation, weight_change


@claim(
    section="6.2",
    formula=r"u(t) = y + e^{-\eta H t}(u(0) - y),\quad"
    r" f_t(x) = f_0(x) + k_x^\top H^{-1}(I - e^{-\eta H t})(y - u(0))",
    source="jacot2018neural",
    place="the dynamics of least-squares regression",
    assumes=("The network is linear in its weights, so that H does not move.", "Squared loss, ½Σ(f − y)²."),
    experiment=linear_models_in_training,
    control=Control("H moves while training goes on", drift=0.5),
    mutants=(
        Mutant("the rate is forgotten", linearised_training, given(rate=1.0)),
        Mutant(
            "half of the residual",
            linearised_training,
            arguments(lambda gram, targets, initial: (gram, (targets + initial) / 2, initial)),
        ),
        Mutant(
            "H without its off-diagonal",
            linearised_training,
            arguments(lambda gram, *others: (torch.diag(gram.diagonal()), *others)),
        ),
        Mutant(
            "the coefficients are forgotten in Δw",
            weight_change,
            arguments(lambda outputs, params, coefficients: (outputs, params, torch.ones_like(coefficients))),
        ),
    ),
    power=Scaled(weight_change),
)
def linearised_training_follows_its_closed_form(rows: Rows, /) -> Evidence:
    """Gradient flow of a linear model on the squared loss follows the closed form at every time: on its
    training points, on others, and in its weights.
    """
    return Identity.of(rows.closed, rows.integrated, tolerance=1e-6)


@claim(
    section="6.2",
    formula=r"\frac{d f(\theta_t, x_i)}{dt} = -\eta H_{ii}(t)\,(f(\theta_t, x_i) - y_i)",
    source="shen2021deep",
    place="Section 8",
    assumes=("Two-layer nets close to their start, squared loss.",),
    experiment=nets_after_a_few_steps,
    control=Control("H acts on the vector of all outputs", acting=all_together),
    mutants=(Mutant("a hundredth of the distance", relative_deviation, scaled(0.01)),),
    expect=Verdict.REFUTED,
    reading="“df(θ_t, x_t)/dt = −H(t)(f(θ_t, x_t) − y)” is read as an equation for the one point x_t, though"
    " the same sentence makes H(t) a matrix over the points",
    loose="refuted from afar: a factor leaves it refuted",
)
def each_output_decays_on_its_own(rows: Rows, /) -> Evidence:
    """As the notes print it, df(θ_t, x_t)/dt = −H(t)(f(θ_t, x_t) − y) for a single point: every output decays
    by itself. The outputs so predicted are those of trained nets.

    Within 5 per cent. With H on the vector of all outputs it is a few millionths.
    """
    return MeanInequality.of(rows.deviation, torch.full_like(rows.deviation, 0.05))
