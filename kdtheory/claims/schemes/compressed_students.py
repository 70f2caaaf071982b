"""Chapter 3.6: what distillation brings back of what compression lost."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, MeanInequality, OutOfScope
from kdtheory.compression.sparse import kept_weights
from kdtheory.losses import distillation, label_loss
from kdtheory.networks import MLP
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
from kdtheory.risk import accuracy
from kdtheory.streams import Stream

__all__ = ["label_trained"]

CONVERGED = "The distilled nets have converged: gradient norm at most 0.1."


def _of_the_next_image(
    logits: Tensor,
    teacher_probs: Tensor,
    labels: Tensor | None,
    /,
    *,
    temperature: float,
    weight: float,
    _true: Callable[..., Tensor] = distillation,
) -> Tensor:
    return _true(logits, teacher_probs.roll(1, -2), labels, temperature=temperature, weight=weight)


@claim(
    section="3.6",
    formula=r"\text{acc}(\text{pruned, then distilled}) - \text{acc}(\text{pruned})"
    r" > \tfrac12 \bigl(\text{acc}(\text{teacher}) - \text{acc}(\text{pruned})\bigr)",
    source="hinton2015distilling",
    assumes=(CONVERGED,),
    control=Control("the teacher is a net that was never trained", teacher="untrained"),
    uses=(kept_weights, distillation),
    mutants=(Mutant("the teacher's answers to the next image", distillation, _of_the_next_image),),
    tuned_on=(0, 1, 2, 3, 4),
    loose="which weights stay is a mask, and a factor on a loss does not move its minimum",
    cost=11,
)
def distillation_brings_back_what_pruning_lost(
    setting: Setting, /, *, teacher: str = "trained", share: float = 0.1
) -> Evidence:
    """A net with 90 of 100 weights pruned by magnitude loses accuracy; distilled from the net it was cut
    from, with its zeros held, it is back by more than half of what it lost.

    With 95 of 100 pruned, `share=0.05`, about half comes back.

    8 nets of 64 ReLU units trained on the labels of 400 real images; on the same images distilled at
    temperature 2 from the teacher alone; accuracy on all other images, at the last step.
    """
    members = setting.size(quick=8, full=40)
    x, y, test_x, test_y = _split_images(setting, setting.stream.child("split"), 400)
    nets = label_trained(setting, (64,), members=members, data=(x, y))
    kept = kept_weights(nets.architecture, nets.params, share=share)
    pruned = nets.params * kept
    probs = nets.logits(x).softmax(-1)
    if teacher == "untrained":
        start = nets.architecture.init(setting.stream.child("untrained"), members=members)
        probs = nets.architecture.logits(start, x).softmax(-1)
    students = train(
        nets.architecture,
        x,
        teacher_probs=probs,
        loss=distillation,
        settings={"temperature": 2.0, "weight": 1.0},
        members=members,
        stream=setting.stream,
        recipe=Recipe(steps=600, learning_rate=0.02, schedule="cosine"),
        initial=pruned,
        kept=kept,
        device=setting.device,
    )
    before = accuracy(nets.architecture.logits(pruned, test_x.to(pruned)).cpu(), test_y)
    after = accuracy(students.logits(test_x).cpu(), test_y)
    whole, gradient = accuracy(nets.logits(test_x).cpu(), test_y), float(students.gradient_norm.max())
    notes = {
        "teachers": float(whole.mean()),
        "pruned": float(before.mean()),
        "distilled": float(after.mean()),
        "largest gradient norm": gradient,
    }
    if gradient > 0.1:
        return OutOfScope(assumption=CONVERGED, because=f"the largest gradient norm is {gradient:.2g}")
    return MeanInequality.of((whole + before) / 2, after, notes=notes)


def _split_images(setting: Setting, stream: Stream, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs and labels of `count` images, and of the others (at most 2,000)."""
    images = setting.images
    order = torch.randperm(images.num_images, generator=stream.torch())
    train_rows, test_rows = order[:count], order[count : count + 2000]
    x, y = images.inputs, images.labels
    return x[train_rows], y[train_rows], x[test_rows], y[test_rows]


def label_trained(
    setting: Setting,
    hidden: tuple[int, ...],
    *,
    members: int,
    bias: bool = True,
    data: tuple[Tensor, Tensor] | None = None,
) -> Population:
    """Nets trained on the labels of the given images, or of the first thousand."""
    x, y = data or (setting.images.inputs[:1000], setting.images.labels[:1000])
    return train(
        MLP((x.shape[-1], *hidden, setting.images.num_classes), bias=bias),
        x,
        y,
        loss=label_loss,
        members=members,
        stream=setting.stream.child("nets"),
        recipe=Recipe(steps=150, learning_rate=0.01),
        device=setting.device,
    )
