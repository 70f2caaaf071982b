"""Chapter 8.5: what a student on frozen features gains over its teacher is how much it disagrees with it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity
from kdtheory.losses import kl_divergence, label_loss
from kdtheory.networks import MLP
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream
from kdtheory.weak_to_strong import distilled_head, head_logits

SOURCE = "charikar2024quantifying"
IMAGES, FEATURES, OTHERS = 300, 16, 12


def _few_steps(
    features: Tensor, teacher_probs: Tensor, /, *, _true: Callable[..., Tensor] = distilled_head
) -> Tensor:
    return 0.99 * _true(features, teacher_probs)


def _without_the_bias(head: Tensor, features: Tensor, /) -> Tensor:
    return features.to(head) @ head[:-1]


def _reversed(first: Tensor, second: Tensor, /, *, _true: Callable[..., Tensor] = kl_divergence) -> Tensor:
    return _true(second, first)


@claim(
    section="8.5",
    formula=r"\mathrm{KL}(p\|q) = \mathrm{KL}(p\|S) + \mathrm{KL}(S\|q)"
    r"\quad\text{for every softmax-linear } q",
    source=SOURCE,
    place="derived here, for the log loss",
    assumes=(
        "The student is softmax-linear on fixed features, distilled at T = 1 to convergence.",
        "The other networks are softmax-linear on the same features.",
    ),
    control=Control("the student is distilled at T = 2", temperature=2.0),
    uses=(distilled_head, head_logits, kl_divergence),
    mutants=(
        Mutant("one per cent short of convergence", distilled_head, _few_steps),
        Mutant("the bias is left out", head_logits, _without_the_bias),
        Mutant("the reverse divergence", kl_divergence, _reversed),
    ),
    power=Scaled(distilled_head),
)
def distilled_head_gains_exactly_its_misfit(setting: Setting, /, *, temperature: float = 1.0) -> Evidence:
    """A head distilled from a teacher on frozen features is nearer than its teacher to every network with
    such a head, by exactly the misfit KL(teacher‖student), on the sample.

    How it's judged: 300 real images; teacher, a net of 32 units trained on 150 of their labels; features,
    16 random ReLU units; the other networks, 12 random heads and the one fitted to the labels' smoothed law.
    Both sides to 1e-10 of the largest. At T = 2 the student is stationary for another divergence.
    """
    features, teacher, labels = _images(setting, setting.stream)
    probs = (teacher / temperature).softmax(-1)
    student = temperature * distilled_head(features, probs)
    heads = [
        torch.randn(student.shape, dtype=torch.float64, generator=setting.stream.child("head", n).torch())
        for n in range(setting.size(quick=OTHERS, full=10 * OTHERS))
    ]
    smoothed = 0.9 * torch.nn.functional.one_hot(labels, teacher.shape[-1]).double() + 0.1 / teacher.shape[-1]
    heads.append(distilled_head(features, smoothed))
    inside = head_logits(student, features)
    misfit = kl_divergence(inside, teacher).mean()
    logits = [head_logits(head, features) for head in heads]
    whole = torch.stack([kl_divergence(each, teacher).mean() for each in logits])
    rest = torch.stack([kl_divergence(each, inside).mean() for each in logits])
    return Identity.of(misfit + rest, whole, tolerance=1e-10, notes={"misfit": float(misfit)})


def _images(setting: Setting, stream: Stream) -> tuple[Tensor, Tensor, Tensor]:
    """Frozen features, a teacher's logits, and labels on a sample of real images, float64."""
    images = setting.images
    chosen = torch.randperm(images.num_images, generator=stream.child("images").torch())[:IMAGES]
    inputs, labels = images.inputs[chosen], images.labels[chosen]
    half = IMAGES // 2
    teacher = train(
        MLP((images.dim, 32, images.num_classes)),
        inputs[:half],
        labels[:half],
        loss=label_loss,
        members=1,
        stream=stream.child("teacher"),
        recipe=Recipe(steps=100, learning_rate=0.01),
        device="cpu",
    )
    weights = torch.randn(
        images.dim, FEATURES, dtype=torch.float64, generator=stream.child("features").torch()
    )
    features = (inputs.double() @ weights / images.dim**0.5).relu()
    return features, teacher.logits(inputs)[0].double(), labels
