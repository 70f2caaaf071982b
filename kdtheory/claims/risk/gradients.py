"""Chapter 4.5: Bayes labels take the label noise out of the stochastic gradient (Menon et al., 2021)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Equality, Evidence, Identity, Joint
from kdtheory.experiments.worlds import relabelled_world
from kdtheory.losses import label_loss
from kdtheory.losses.labelwise import log_loss
from kdtheory.networks import MLP
from kdtheory.populations import Population, train
from kdtheory.problems import FiniteWorld
from kdtheory.risk.empirical import distilled_risk, one_hot_risk
from kdtheory.risk.gradients import GradientNoise, network_gradient_noise
from kdtheory.risk.population import population_risk

_Noise = Callable[..., GradientNoise]


def _noise_not_centred(*world: Any, _true: _Noise = network_gradient_noise) -> GradientNoise:
    noise = _true(*world)
    return replace(noise, label_noise=noise.one_hot)


def _noise_of_harder_labels(*world: Any, _true: _Noise = network_gradient_noise) -> GradientNoise:
    *rest, probs, weights = world
    hard = torch.nn.functional.one_hot(probs.argmax(-1), probs.shape[-1]).to(probs.dtype)
    return _true(*rest, (probs + hard) / 2, weights)


@claim(
    section="4.5",
    formula=r"\operatorname{tr}\operatorname{Cov}(\nabla\,\text{one-hot})"
    r" - \operatorname{tr}\operatorname{Cov}(\nabla\,\text{Bayes})"
    r" = \mathbb E_x \operatorname{tr}\operatorname{Cov}_{y|x}(\nabla_\theta\,\ell(f(x))_y)",
    source="menon2021statistical",
    assumes=("θ does not depend on the minibatch.", "The teacher gives the Bayes class-probabilities p*."),
    control=Control("the teacher's rows p*(x) are given to the wrong x", posterior="scrambled"),
    uses=(network_gradient_noise, one_hot_risk, distilled_risk),
    mutants=(
        Mutant("the label noise is not centred", network_gradient_noise, _noise_not_centred),
        Mutant("p* is half-way to hard labels", network_gradient_noise, _noise_of_harder_labels),
    ),
    power=Scaled(network_gradient_noise, entry="label_noise"),
    place="derived here",
    cost=5,
)
def bayes_labels_remove_the_label_noise_of_the_gradient(
    setting: Setting, /, *, posterior: str = "true"
) -> Evidence:
    """At a fixed network, Bayes labels remove from the covariance of a stochastic gradient exactly the part
    that comes from drawing the labels.

    "exact": three traces over all images and labels, from the Jacobians of three nets trained on 200 redrawn
    labels. "minibatches": gradients by autograd on 2,000 batches of 32, one-hot against p* on the same
    images; the difference of their squared distances from the full gradient is the label noise over 32,
    within 15 %.
    """
    world, nets = relabelled_world(setting), _three_nets(setting)
    teacher = world.probs if posterior == "true" else world.probs.roll(1, 0)
    params, logits, inputs = nets.params.cpu().double(), nets.architecture.logits, world.inputs.double()
    rows = []
    for member in params:
        noise = network_gradient_noise(logits, member, inputs, world.probs, world.weights)
        soft = noise
        if posterior != "true":
            soft = network_gradient_noise(logits, member, inputs, teacher, world.weights)
        rows.append((noise.one_hot - soft.distilled, noise.label_noise))
    gaps, exact = torch.tensor(rows, dtype=torch.float64).T
    measured = _minibatch_gaps(setting, world, teacher, params[0], logits)
    return Joint(
        parts={
            "exact": Identity.of(gaps, exact, tolerance=1e-9),
            "minibatches": Equality.of(measured, exact[0].expand_as(measured), margin=0.15),
        }
    )


def _three_nets(setting: Setting) -> Population:
    world = relabelled_world(setting)
    training = world.sample((3, 200), setting.stream.child("training"))
    return train(
        MLP((world.dim, 16, world.num_classes)),
        training.inputs,
        training.labels,
        loss=label_loss,
        members=3,
        stream=setting.stream.child("nets"),
        steps=100,
        learning_rate=0.01,
        device=setting.device,
    )


def _minibatch_gaps(
    setting: Setting, world: FiniteWorld, teacher: Tensor, params: Tensor, logits: Callable[..., Tensor]
) -> Tensor:
    """B(‖∇R̂ − ∇R‖² − ‖∇R̂_* − ∇R‖²), one entry a batch of B = 32."""
    whole = params.clone().requires_grad_()
    risk = population_risk(log_loss(logits(whole, world.inputs.double())), world.probs, world.weights)
    (centre,) = torch.autograd.grad(risk, whole)
    gaps = []
    for chunk in range(setting.size(quick=4, full=32)):
        batch = world.sample((500, 32), setting.stream.child("batches", chunk))
        copies = params.expand(500, -1).clone().requires_grad_()  # a copy for each batch: its own gradient
        losses = log_loss(logits(copies, batch.inputs.double()))
        risks = one_hot_risk(losses, batch.labels), distilled_risk(losses, teacher[batch.atoms])
        noises = []
        for risk in risks:
            (gradients,) = torch.autograd.grad(risk.sum(), copies, retain_graph=True)
            noises.append((gradients - centre).square().sum(-1))
        gaps.append(32 * (noises[0] - noises[1]))
    return torch.cat(gaps)
