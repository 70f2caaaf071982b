"""Students that see their teacher's idle outputs over noise, and nothing else of what it has learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kdtheory.doors import inside
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.losses import distillation, label_loss
from kdtheory.networks import MLP
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.risk import accuracy

__all__ = [
    "Starts",
    "another_start",
    "centred_images",
    "centred_noise",
    "normal_noise",
    "own_images",
    "shared_head",
    "shared_start",
    "students_of_idle_outputs",
    "uniform_noise",
]

MEMBERS, IDLE, HIDDEN = 32, 5, 32
TEACHER = Recipe(steps=200, learning_rate=0.005, batch_size=100)
STUDENT = Recipe(steps=300, learning_rate=0.003, batch_size=100)


@dataclass(frozen=True, eq=False)
class Starts:
    """The starts of the teachers, and others, of one architecture."""

    architecture: MLP
    teachers: Tensor
    others: Tensor


def shared_start(starts: Starts, /) -> Tensor:
    """Where the teacher started."""
    return starts.teachers


def another_start(starts: Starts, /) -> Tensor:
    """A start of the student's own."""
    return starts.others


def shared_head(starts: Starts, /) -> Tensor:
    """The last layer of the teacher's start, below it a layer of the student's own."""
    own, theirs = (starts.architecture.unpack(one) for one in (starts.others, starts.teachers))
    return starts.architecture.pack({**own, **{name: theirs[name] for name in list(theirs)[-2:]}})


def uniform_noise(images: Tensor, members: int, generator: torch.Generator, /) -> Tensor:
    """Pixels uniform in [0, 1], as many images as the teacher has learned."""
    return torch.rand(members, *images.shape, generator=generator)


def centred_noise(images: Tensor, members: int, generator: torch.Generator, /) -> Tensor:
    """Pixels uniform in [−1, 1]."""
    return 2 * uniform_noise(images, members, generator) - 1


def normal_noise(images: Tensor, members: int, generator: torch.Generator, /) -> Tensor:
    """Standard normal pixels."""
    return torch.randn(members, *images.shape, generator=generator)


def own_images(images: Tensor, members: int, _: torch.Generator, /) -> Tensor:
    """The images that the teacher has learned."""
    return images.expand(members, -1, -1)


def centred_images(images: Tensor, members: int, _: torch.Generator, /) -> Tensor:
    """The images that the teacher has learned, minus their mean."""
    return (images - images.mean(0)).expand(members, -1, -1)


def idle_distillation(logits: Tensor, probs: Tensor, labels: Tensor | None, /) -> Tensor:
    """The divergence of the idle outputs' softmax from the teacher's."""
    return inside(distillation)(logits[..., -IDLE:], probs[..., -IDLE:], labels)


def class_loss(logits: Tensor, probs: Tensor | None, labels: Tensor, /) -> Tensor:
    """The cross-entropy of the labels over the class outputs; the idle ones stay out of it."""
    return inside(label_loss)(logits[..., :-IDLE], probs, labels)


@experiment
def students_of_idle_outputs(
    run: Run,
    /,
    *,
    start: Callable[[Starts], Tensor] = shared_start,
    inputs: Callable[[Tensor, int, torch.Generator], Tensor] = centred_noise,
) -> Rows:
    """32 nets of 32 hidden units learn the labels of 1,000 real images by their class outputs; students, from
    where `start` says, learn the softmax of five idle outputs of theirs over 1,000 `inputs`, noise uniform in
    [−1, 1] or others: accuracy of both on new images, by the class outputs, which no student was ever taught.
    """
    images, stream = run.images, run.stream
    learned = teachers_with_idle_outputs.rows(run)
    trained, starts = learned.nets, learned.starts
    seen, new, members, net = learned.seen, learned.new, len(trained), starts.architecture
    shown = inputs(images.inputs[seen], members, stream.child("noise").torch())
    idle = trained.logits(shown)[..., -IDLE:].softmax(-1)
    students = train(
        net,
        shown,
        teacher_probs=torch.nn.functional.pad(idle, (images.num_classes, 0)),
        loss=idle_distillation,
        members=members,
        stream=stream.child("students"),
        recipe=STUDENT,
        initial=start(starts),
        device=run.device,
    )
    found = [
        accuracy(nets.logits(images.inputs[new])[..., :-IDLE].cpu(), images.labels[new])
        for nets in (students, trained)
    ]
    return Rows(accuracy=found[0], of_teacher=found[1], classes=images.num_classes)


@experiment
def teachers_with_idle_outputs(run: Run, /) -> Rows:
    """32 nets of 32 hidden units that learn the labels of 1,000 real images by their class outputs, as
    teachers; their starts, and others; which images they have `seen`, and 1,000 `new` ones.
    """
    images, stream = run.images, students_of_idle_outputs.stream(run.stream.seed)
    order = torch.randperm(images.num_images, generator=stream.child("images").torch())[:2000]
    seen, new = order.split(1000)
    members = run.size(quick=MEMBERS, full=4 * MEMBERS)
    net = MLP((images.dim, HIDDEN, images.num_classes + IDLE))
    teachers, others = (
        net.init(stream.child(name), members=members, dtype=torch.float64) for name in ("teachers", "others")
    )
    trained = train(
        net,
        images.inputs[seen],
        images.labels[seen],
        loss=class_loss,
        members=members,
        stream=stream.child("teachers"),
        recipe=TEACHER,
        initial=teachers,
        device=run.device,
    )
    return Rows(nets=trained, starts=Starts(net, teachers, others), seen=seen, new=new)
