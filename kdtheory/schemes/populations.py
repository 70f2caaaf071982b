"""The schemes for whole populations: many students at once, each with a start (and data) of its own.

Thin over `kdtheory.populations.train`. A population that learns from
labels alone is `train(…, loss=label_loss)`.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from kdtheory.doors import door
from kdtheory.losses import distillation, label_loss
from kdtheory.losses.mutual import PeerDivergence, mean_peer_divergence, mutual_loss
from kdtheory.networks import Architecture
from kdtheory.populations import Population, train
from kdtheory.progress import Progress
from kdtheory.recipe import Recipe
from kdtheory.schemes.cohort import Cohort
from kdtheory.streams import Stream
from kdtheory.validate import check_at_least

__all__ = ["born_again", "distil", "ensemble_probs", "mutual"]


@door
def ensemble_probs(teachers: Population, inputs: Float[Tensor, "..."], /) -> Float[Tensor, "n k"]:
    """(1/M) Σ_m φ_1(z_m): the mean probabilities of all members on shared inputs.

    Raises:
        ValueError: as `Population.logits`.
    """
    return teachers.logits(inputs).softmax(-1).mean(0)


@door
def distil(
    architecture: Architecture,
    inputs: Float[Tensor, "..."],
    labels: Int[Tensor, "..."] | None,
    teacher_probs: Float[Tensor, "..."],
    /,
    *,
    temperature: float,
    weight: float,
    members: int,
    stream: Stream,
    recipe: Recipe,
    initial: Float[Tensor, "members size"] | None = None,
    kept: Bool[Tensor, "members size"] | None = None,
    device: str | torch.device = "auto",
    progress: Progress = None,
) -> Population:
    """Offline: λT²·KL(φ_T(z_t)‖φ_T(z_s)) + (1−λ)·CE(e_y, φ_1(z_s)) for every member.

    Args:
        architecture, inputs, labels, members, stream, recipe, initial, kept, device, progress: as in `train`.
        teacher_probs: n × k for all, or members × n × k, each member's own.
        temperature: T.
        weight: λ, of the teacher.

    Raises:
        ValueError: as `train` and `kdtheory.losses.distillation`; or `training` names what is none of
            them, or the scheme's own.
    """
    return train(
        architecture,
        inputs,
        labels,
        teacher_probs=teacher_probs,
        loss=distillation,
        settings={"temperature": temperature, "weight": weight},
        members=members,
        stream=stream,
        recipe=recipe,
        initial=initial,
        kept=kept,
        device=device,
        progress=progress,
    )


@door
def born_again(
    architecture: Architecture,
    inputs: Float[Tensor, "..."],
    labels: Int[Tensor, "..."],
    /,
    *,
    rounds: int,
    temperature: float = 1.0,
    weight: float = 0.5,
    members: int,
    stream: Stream,
    recipe: Recipe,
    device: str | torch.device = "auto",
    progress: Progress = None,
) -> list[Population]:
    """Self: a population on labels, then `rounds` fresh ones, member i taught by member i of the one before.

    Args:
        rounds: 1 or more.
        temperature, weight: as in `distil`; the defaults are ours.
        architecture, inputs, labels, members, stream, recipe, device, progress: as in `train`; round t
            starts at `stream.child(t)`.

    Returns:
        rounds + 1 populations, the one on labels first.

    Raises:
        ValueError: `rounds` < 1, or as `distil`.
    """
    check_at_least("rounds", rounds, 1)
    how: dict[str, Any] = {"members": members, "recipe": recipe, "device": device, "progress": progress}
    line = [train(architecture, inputs, labels, loss=label_loss, stream=stream.child(0), **how)]
    for turn in range(1, rounds + 1):
        probs = line[-1].logits(inputs).softmax(-1)
        line.append(
            distil(
                architecture, inputs, labels, probs,
                temperature=temperature, weight=weight, stream=stream.child(turn), **how,
            )
        )  # fmt: skip
    return line


@door
def mutual(
    architecture: Architecture,
    inputs: Float[Tensor, "..."],
    labels: Int[Tensor, "..."],
    /,
    *,
    peers: int = 2,
    weight: float = 1.0,
    temperature: float = 1.0,
    divergence: PeerDivergence = mean_peer_divergence,
    members: int,
    stream: Stream,
    recipe: Recipe,
    device: str | torch.device = "auto",
    progress: Progress = None,
) -> Population:
    """Online: `members` cohorts of K students that teach each other (Zhang et al. 2018).

    Args:
        peers: K.
        weight, temperature, divergence: as in `kdtheory.losses.mutual.mutual_loss`.
        architecture, inputs, labels, members, stream, recipe, device, progress: as in `train`.

    Returns:
        A population of `Cohort`s: ``logits(x).unflatten(-1, (peers, -1))`` has the peers apart, and peer 0
        started where a population of single students would have.

    Raises:
        ValueError: as `train` and `mutual_loss`.
    """
    settings = {"peers": peers, "weight": weight, "temperature": temperature, "divergence": divergence}
    return train(
        Cohort(architecture, peers),
        inputs,
        labels,
        loss=mutual_loss,
        settings=settings,
        members=members,
        stream=stream,
        recipe=recipe,
        device=device,
        progress=progress,
    )
