"""The noise of stochastic gradients at fixed networks, on the labels and on a teacher's probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.worlds import Teacher, bayes, relabelled_world
from kdtheory.losses import label_loss
from kdtheory.losses.labelwise import log_loss
from kdtheory.networks import MLP
from kdtheory.populations import Population, train
from kdtheory.problems import FiniteWorld
from kdtheory.recipe import Recipe
from kdtheory.risk.empirical import distilled_risk, one_hot_risk
from kdtheory.risk.gradients import network_gradient_noise
from kdtheory.risk.population import population_risk

BATCH = 32


@experiment
def noise_of_network_gradients(run: Run, /, *, teacher: Teacher = bayes) -> Rows:
    """Three nets trained on 200 real images with redrawn labels: the traces of the gradient's covariance over
    all images and labels, from Jacobians: on labels, on the teacher's probabilities, and the label noise.
    """
    world, nets = relabelled_world(run), _three_nets(run)
    found = [
        network_gradient_noise(
            nets.architecture.logits, member, world.inputs.double(), teacher(world), world.weights
        )
        for member in nets.params.cpu().double()
    ]
    return Rows(
        params=nets.params.cpu(),
        **{
            name: torch.stack([getattr(noise, name) for noise in found])
            for name in ("one_hot", "distilled", "label_noise")
        },
    )


@experiment
def gradients_under_a_teacher(run: Run, /, *, teacher: Teacher = bayes) -> Rows:
    """At three nets trained on 200 real images with redrawn labels: how much smaller the trace of the
    gradient's covariance is on the teacher's probabilities than on labels, and the label noise; at the first,
    on 2,000 batches of 32 images, 32 times the difference of the squared distances from the full gradient of
    the gradients on labels and on the teacher's probabilities of the same images.
    """
    own = noise_of_network_gradients.rows(run)
    taught = noise_of_network_gradients.given(teacher=teacher).rows(run)
    world = relabelled_world(run)
    gaps = _minibatch_gaps(run, world, teacher(world).float(), own.params[0])
    return Rows(gap=own.one_hot - taught.distilled, noise=own.label_noise, minibatch_gap=gaps)


def _three_nets(run: Run) -> Population:
    world = relabelled_world(run)
    training = world.sample((3, 200), run.stream.child("training"))
    return train(
        MLP((world.dim, 16, world.num_classes)),
        training.inputs,
        training.labels,
        loss=label_loss,
        members=3,
        stream=run.stream.child("nets"),
        recipe=Recipe(steps=100, learning_rate=0.01),
        device=run.device,
    )


def _minibatch_gaps(run: Run, world: FiniteWorld, teacher: Tensor, params: Tensor) -> Tensor:
    """B(‖∇R̂ − ∇R‖² − ‖∇R̂_* − ∇R‖²), one entry a batch of B = 32."""
    logits = MLP((world.dim, 16, world.num_classes)).logits
    whole = params.double().requires_grad_()
    risk = population_risk(log_loss(logits(whole, world.inputs.double())), world.probs, world.weights)
    centre = torch.autograd.grad(risk, whole)[0].float()
    gaps = []
    for chunk in range(run.size(quick=4, full=32)):
        batch = world.sample((500, BATCH), run.stream.child("batches", chunk))
        copies = params.expand(500, -1).clone().requires_grad_()  # a copy for each batch: its own gradient
        losses = log_loss(logits(copies, batch.inputs))
        noises = []
        for risks in (one_hot_risk(losses, batch.labels), distilled_risk(losses, teacher[batch.atoms])):
            (gradients,) = torch.autograd.grad(risks.sum(), copies, retain_graph=True)
            noises.append((gradients - centre).double().square().sum(-1))
        gaps.append(BATCH * (noises[0] - noises[1]))
    return torch.cat(gaps)
