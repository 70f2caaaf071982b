"""Students of soft and of hard labels, of teachers that are right or wrong now and then."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.transfer_risk.worlds import contrast, two_columns, unit_images
from kdtheory.losses import label_loss
from kdtheory.networks import MLP
from kdtheory.ntk import InfiniteMLP
from kdtheory.ntk.effective_logits import effective_logits
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream
from kdtheory.transfer_risk import (
    KernelFunction,
    data_inefficiency,
    flipped_teacher,
    nested_students,
    transfer_risk,
)

KERNEL = InfiniteMLP(2, weight_std=2**0.5)
DIM = 6
WRONG, MIXED, NEARLY_HARD = 0.1, 0.4, 0.05


def gaussian_points(size: int, stream: Stream, /) -> Tensor:
    """Isotropic points in six dimensions."""
    return torch.randn(size, DIM, dtype=torch.float64, generator=stream.torch())


def smooth_teacher(stream: Stream, /) -> KernelFunction:
    """Logits of size about 3: three features with Gaussian weights."""
    anchors = gaussian_points(3, stream.child("anchors"))
    weights = torch.randn(3, dtype=torch.float64, generator=stream.child("weights").torch())
    teacher = KernelFunction(KERNEL, anchors, weights)
    size = teacher(gaussian_points(200, stream.child("size"))).square().mean().sqrt()
    return KernelFunction(KERNEL, anchors, 3 * weights / size)


def image_teacher(run: Run, /, *, most: int) -> tuple[Tensor, Tensor]:
    """Images, and the logits of a net trained on which half of the classes they are of."""
    inputs, signs = unit_images(run.images, run.stream.child("images"), most=most)
    net = train(
        MLP((inputs.shape[1], 32, 2)),
        inputs.float(),
        (signs > 0).long(),
        loss=label_loss,
        members=1,
        stream=run.stream.child("net"),
        recipe=Recipe(steps=150, learning_rate=0.01),
        device="cpu",
    )
    return inputs, contrast(net.logits(inputs.float())[0].double())


@experiment
def images_with_a_teacher(run: Run, /) -> Rows:
    """1,200 real images, and the logits of a net that tells the halves of the classes apart."""
    images, logits = image_teacher(run, most=1200)
    return Rows(images=images, logits=logits)


def _worlds(run: Run, draws: int, *, points: int, images: int) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """Points and what a teacher says of them, for each draw: in six dimensions, and random real images."""
    inputs, logits = images_with_a_teacher.rows(run).values()
    streams = [run.stream.child("draws", draw) for draw in range(draws)]

    def drawn() -> Iterator[tuple[Tensor, Tensor]]:
        for stream in streams:
            own = gaussian_points(points, stream.child("points"))
            yield own, smooth_teacher(stream)(own)

    rows = [torch.randperm(len(inputs), generator=s.child("rows").torch())[:images] for s in streams]
    return {"six dimensions": list(drawn()), "images": [(inputs[own], logits[own]) for own in rows]}


@experiment(tuned_on=(100, 101, 102, 103, 104, 105))
def inefficiencies_of_soft_and_hard_labels(run: Run, /, *, moved: int = 0) -> Rows:
    """24 oracles in six dimensions, and the logits of a net on 24 random sets of real images: the data
    inefficiency of students of soft labels and of nearly hard ones (soft ratio 0.05), the mean of I(n) over
    n = 50 to 119, from means over 10 orders of the points. Soft labels are dealt to the point `moved` places
    further on.
    """
    columns = {}
    for name, drawn in _worlds(run, run.size(quick=24, full=80), points=240, images=240).items():
        teachers = torch.stack([teacher for _, teacher in drawn])
        labels = (teachers > 0).long()
        hard = effective_logits(teachers, labels, soft_ratio=NEARLY_HARD)
        targets = torch.stack([teachers.roll(moved, 1), hard], -1)
        places = enumerate(zip(drawn, targets, strict=True))
        columns[name] = torch.stack(
            [_inefficiencies(points, own, run.stream.child(name, i)) for i, ((points, _), own) in places]
        )
    return Rows(**columns)


def _inefficiencies(points: Tensor, targets: Tensor, stream: Stream) -> Tensor:
    gram, diagonal = KERNEL(points), KERNEL.diagonal(points[:1])
    norms = []
    for order in range(10):
        rows = torch.randperm(len(points), generator=stream.child(order).torch())[:120]
        own = gram[rows][:, rows]
        students = nested_students(own, targets[rows], own[:, :1], diagonal, sizes=(120,))
        norms.append(students.whitened.square().cumsum(0).sqrt())  # of the students of 1 to 120 points
    grown = torch.stack(norms).unbind(-1)
    return torch.stack([data_inefficiency(own)[49:].mean() for own in grown])


@experiment(tuned_on=(100, 101, 102, 103, 104, 105, 5000))
def students_of_teachers_that_err(run: Run, /, *, share: float = 0.2) -> Rows:
    """The sign of the teacher is flipped on a share of the points, hard labels are wrong on another tenth:
    the risks of students with soft ratio 0.4, 1 and 0.05. 32 draws of 100 points in six dimensions and of 200
    real images whose oracle is a net, with 300 and 400 fresh ones.
    """
    columns = {}
    worlds = _worlds(run, run.size(quick=32, full=100), points=400, images=600)
    for (name, drawn), n in zip(worlds.items(), (100, 200), strict=True):
        oracles = torch.stack([oracle for _, oracle in drawn])
        stream = run.stream.child(name)
        teachers = flipped_teacher(oracles[:, :n], share=share, stream=stream.child("flipped"))
        labels = _labels(oracles[:, :n], stream)
        ratios = (MIXED, 1.0, NEARLY_HARD)
        targets = torch.stack([effective_logits(teachers, labels, soft_ratio=rho) for rho in ratios], -1)
        columns[name] = torch.stack(
            [_risks(*own, wanted) for own, wanted in zip(drawn, targets, strict=True)]
        )
    return Rows(**columns)


def _labels(oracle: Tensor, stream: Stream) -> Tensor:
    """1 where the oracle is positive, the other way round on a random tenth."""
    flipped = torch.rand(oracle.shape, generator=stream.child("labels").torch()) < WRONG
    return ((oracle > 0) ^ flipped).long()


def _risks(points: Tensor, oracle: Tensor, targets: Tensor) -> Tensor:
    """R_n of the students of each column of targets."""
    seen, fresh = points[: len(targets)], points[len(targets) :]
    diagonal = KERNEL.diagonal(fresh)
    students = nested_students(KERNEL(seen), targets, KERNEL(seen, fresh), diagonal, sizes=(len(targets),))
    values = students.outputs[0].mT
    return transfer_risk(values, oracle[len(targets) :].expand_as(values))


@experiment(tuned_on=(100, 101, 102, 103, 104, 105, 5000))
def nets_of_teachers_that_err(run: Run, /, *, share: float = 0.2) -> Rows:
    """Risks for soft ratios 0.4 and 1 of 32 nets of width 64 each, trained by torch on 60 points in
    six dimensions, with a sample and a teacher of their own; 300 fresh points.
    """
    members, stream = run.size(quick=32, full=60), run.stream
    points = torch.stack([gaussian_points(360, stream.child("points", m)) for m in range(members)])
    oracle = torch.stack([smooth_teacher(stream.child(m))(points[m]) for m in range(members)])
    teacher = flipped_teacher(oracle[:, :60], share=share, stream=stream.child("flipped"))
    hard = one_hot(_labels(oracle[:, :60], stream), 2).float()
    soft = two_columns(teacher)
    architecture = MLP((DIM, 64, 2))
    start = architecture.init(stream.child("students"), members=members)
    students = train(
        architecture,
        points[:, :60].repeat(2, 1, 1),
        # ρ·CE(soft) + (1 − ρ)·CE(hard) is the cross-entropy with the mixture of the two.
        teacher_probs=torch.cat([MIXED * soft + (1 - MIXED) * hard, soft]),
        loss=_soft_labels_loss,
        members=2 * members,
        stream=stream,
        recipe=Recipe(steps=400, learning_rate=0.02),
        initial=start.repeat(2, 1),
        device="cpu",
    )
    outputs = contrast(students.logits(points[:, 60:].repeat(2, 1, 1))).double()
    risk = transfer_risk(outputs, oracle[:, 60:].repeat(2, 1)).unflatten(0, (2, -1))
    return Rows(risk=risk.mT)


def _soft_labels_loss(logits: Tensor, probs: Tensor, _labels: Tensor | None) -> Tensor:
    return cross_entropy(logits.mT, probs.mT, reduction="none")
