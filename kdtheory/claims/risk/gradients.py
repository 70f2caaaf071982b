"""Chapter 4.5: Bayes labels take the label noise out of the stochastic gradient (Menon et al., 2021)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Equality, Evidence, Identity, Joint
from kdtheory.claims.wrong import arguments, value
from kdtheory.experiments import Rows
from kdtheory.experiments.risk.gradients import gradients_under_a_teacher
from kdtheory.experiments.worlds import scrambled
from kdtheory.risk.gradients import network_gradient_noise


def _half_way_to_hard(*world: Any) -> tuple[Any, ...]:
    *rest, probs, weights = world
    hard = torch.nn.functional.one_hot(probs.argmax(-1), probs.shape[-1]).to(probs.dtype)
    return (*rest, (probs + hard) / 2, weights)


@claim(
    section="4.5",
    formula=r"\operatorname{tr}\operatorname{Cov}(\nabla\,\text{one-hot})"
    r" - \operatorname{tr}\operatorname{Cov}(\nabla\,\text{Bayes})"
    r" = \mathbb E_x \operatorname{tr}\operatorname{Cov}_{y|x}(\nabla_\theta\,\ell(f(x))_y)",
    source="menon2021statistical",
    place="derived here",
    assumes=("θ does not depend on the minibatch.", "The teacher gives the Bayes class-probabilities p*."),
    experiment=gradients_under_a_teacher,
    control=Control("the teacher's rows p*(x) are given to the wrong x", teacher=scrambled),
    mutants=(
        Mutant(
            "the label noise is not centred",
            network_gradient_noise,
            value(lambda noise: replace(noise, label_noise=noise.one_hot)),
        ),
        Mutant("p* is half-way to hard labels", network_gradient_noise, arguments(_half_way_to_hard)),
    ),
    power=Scaled(network_gradient_noise, entry="label_noise"),
    cost=2,
)
def bayes_labels_remove_the_label_noise_of_the_gradient(rows: Rows, /) -> Evidence:
    """At a fixed network, Bayes labels remove from the covariance of a stochastic gradient exactly the part
    that comes from drawing the labels.

    On minibatches within 15 %.
    """
    measured = rows.minibatch_gap
    return Joint(
        parts={
            "exact": Identity.of(rows.gap, rows.noise, tolerance=1e-9),
            "minibatches": Equality.of(measured, rows.noise[0].expand_as(measured), margin=0.15),
        }
    )
