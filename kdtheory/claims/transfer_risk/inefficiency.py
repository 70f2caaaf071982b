"""Chapter 6.9: data inefficiency of soft and hard labels, and teachers that are wrong now and then."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Joint, MeanInequality
from kdtheory.claims.transfer_risk.worlds import contrast, two_columns, unit_images
from kdtheory.losses import distillation, label_loss
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
SHARE, WRONG = 0.2, 0.1
MIXED = 0.4
GAIN = 0.05
LESS = 0.005


def _wrong_sign(norms: Tensor, /, *, _true: Callable[..., Tensor] = data_inefficiency) -> Tensor:
    return -_true(norms)


def _teacher_alone(teacher: Tensor, labels: Tensor, /, **_: float) -> Tensor:
    return teacher


def _labels_reversed(
    teacher: Tensor, labels: Tensor, /, *, soft_ratio: float,
    _true: Callable[..., Tensor] = effective_logits,
) -> Tensor:  # fmt: skip
    return _true(teacher, 1 - labels, soft_ratio=soft_ratio)


def _agreement(student: Tensor, oracle: Tensor, /, *, _true: Callable[..., Tensor] = transfer_risk) -> Tensor:
    return 1 - _true(student, oracle)


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


def image_teacher(setting: Setting, /, *, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images, the logits of a net trained on which half of the classes they are of, and the halves."""
    inputs, signs = unit_images(setting.images, setting.stream.child("images"), most=most)
    halves = (signs > 0).long()
    net = train(
        MLP((inputs.shape[1], 32, 2)),
        inputs.float(),
        halves,
        loss=label_loss,
        members=1,
        stream=setting.stream.child("net"),
        recipe=Recipe(steps=150, learning_rate=0.01),
        device="cpu",
    )
    return inputs, contrast(net.logits(inputs.float())[0].double()), halves


@claim(
    section="6.9",
    formula=r"I(n) = n\,[\ln \mathbb E\|\Delta\hat w_{n+1}\| - \ln \mathbb E\|\Delta\hat w_n\|],\quad"
    r" I_{\text{soft}}(n) < I_{\text{hard}}(n)",
    source="ji2020knowledge",
    assumes=(
        "The teacher's logits are smooth in the kernel.",
        "Hard labels are those of the teacher's sign.",
    ),
    control=Control("the soft labels are dealt out to the wrong points", dealt="shuffled"),
    uses=(data_inefficiency, effective_logits, nested_students),
    mutants=(
        Mutant("the wrong sign", data_inefficiency, _wrong_sign),
        Mutant("the hard labels are forgotten", effective_logits, _teacher_alone),
    ),
    loose="an order of two inefficiencies, which a factor scales alike; a few per cent on one would turn it",
    tuned_on=(100, 101, 102, 103, 104, 105),
    cost=4,
)
def soft_labels_are_less_data_inefficient(setting: Setting, /, *, dealt: str = "right") -> Evidence:
    """The weights of students of soft labels grow more slowly with n than those of students of nearly hard
    labels (soft ratio 0.05): data inefficiency is smaller, by 0.005 at least.

    The mean of I(n) over n = 50 to 119, means over 10 orders of the points; 24 oracles in six dimensions, and
    the logits of a net on 24 random sets of real images.
    """
    groups, parts = setting.size(quick=24, full=80), {}
    images, logits, _ = image_teacher(setting, most=1200)
    for name in ("six dimensions", "images"):
        soft, hard = [], []
        for group in range(groups):
            stream = setting.stream.child(name, group)
            if name == "images":
                rows = torch.randperm(len(images), generator=stream.torch())[:240]
                points, teacher = images[rows], logits[rows]
            else:
                points = gaussian_points(240, stream.child("points"))
                teacher = smooth_teacher(stream)(points)
            values = _inefficiencies(points, teacher, dealt, stream)
            soft.append(values[0])
            hard.append(values[1])
        parts[name] = MeanInequality.of(torch.stack(soft), torch.stack(hard), slack=-LESS)
    return Joint(parts=parts)


def _inefficiencies(points: Tensor, teacher: Tensor, dealt: str, stream: Stream) -> Tensor:
    """The mean of I over n = 50 … 119 for soft ratios 1 and 0.05."""
    given = teacher[torch.randperm(len(teacher), generator=stream.child("deal").torch())]
    labels = (teacher > 0).long()
    targets = torch.stack(
        [
            given if dealt == "shuffled" else teacher,
            effective_logits(teacher, labels, soft_ratio=0.05),
        ],
        1,
    )
    gram, diagonal = KERNEL(points), KERNEL.diagonal(points[:1])
    norms = []
    for order in range(10):
        rows = torch.randperm(len(points), generator=stream.child("order", order).torch())[:120]
        students = nested_students(
            gram[rows][:, rows], targets[rows], gram[rows][:, :1], diagonal, sizes=range(1, 121)
        )
        norms.append(students.squared_norms.sqrt())
    grown = torch.stack(norms).unbind(-1)
    return torch.stack([data_inefficiency(own)[49:].mean() for own in grown])


@claim(
    section="6.9",
    formula=r"\exists\,\rho < 1:\ \mathbb E\,R_n(\rho) \le \mathbb E\,R_n(1) - 0.05"
    r"\quad\text{where the teacher is wrong on 20 per cent of the points}",
    source="ji2020knowledge",
    assumes=(
        "Hard labels are those of the oracle's sign, 10 per cent of them flipped, wherever that falls.",
    ),
    control=Control("the teacher is perfect", share=0.0),
    uses=(effective_logits, flipped_teacher, nested_students, transfer_risk),
    mutants=(
        Mutant("the hard labels are forgotten", effective_logits, _teacher_alone),
        Mutant("the hard labels are reversed", effective_logits, _labels_reversed),
        Mutant("agreement for disagreement", transfer_risk, _agreement),
    ),
    loose="a threshold on a difference of risks, half of what is seen: no constant enters",
    tuned_on=(100, 101, 102, 103, 104, 105, 5000),
    cost=7,
)
def hard_labels_correct_an_imperfect_teacher(setting: Setting, /, *, share: float = SHARE) -> Evidence:
    """If the teacher's sign is flipped on 20 per cent of the points, the transfer risk of students of soft
    ratio 0.4 is smaller than that of students of the teacher alone, by 0.05 at least, although the hard
    labels are themselves wrong on 10 per cent of the points.

    Kernel students of 100 points in six dimensions, and of 200 real images whose oracle is a net; nets of
    width 64 trained by torch on 60 points. 32 draws, paired. It is not said that both together beat the hard
    labels alone; the notes have the risk at a soft ratio of 0.05 beside the others.
    """
    draws = setting.size(quick=32, full=100)
    images, logits, _ = image_teacher(setting, most=700)
    risks: dict[str, list[Tensor]] = {"six dimensions": [], "images": []}
    for draw in range(draws):
        stream = setting.stream.child("draws", draw)
        points = gaussian_points(400, stream.child("points"))
        risks["six dimensions"].append(_risks(points, smooth_teacher(stream)(points), 100, share, stream))
        rows = torch.randperm(len(images), generator=stream.child("rows").torch())[:600]
        risks["images"].append(_risks(images[rows], logits[rows], 200, share, stream))
    tables = {name: torch.stack(found) for name, found in risks.items()}
    notes = {f"{name}: nearly hard labels alone": float(table[:, 2].mean()) for name, table in tables.items()}
    tables["nets"] = _net_risks(setting, share)
    parts: dict[str, Evidence] = {
        name: MeanInequality.of(table[:, 0], table[:, 1], slack=-GAIN) for name, table in tables.items()
    }
    return Joint(parts=parts, notes=notes)


def _labels(oracle: Tensor, stream: Stream) -> Tensor:
    """1 where the oracle is positive, the other way round on a random tenth."""
    flipped = torch.rand(oracle.shape, generator=stream.child("labels").torch()) < WRONG
    return ((oracle > 0) ^ flipped).long()


def _risks(points: Tensor, oracle: Tensor, n: int, share: float, stream: Stream) -> Tensor:
    """R_n of students with soft ratio 0.4, 1 and 0.05."""
    teacher = flipped_teacher(oracle[:n], share=share, stream=stream.child("flipped"))
    labels = _labels(oracle[:n], stream)
    ratios = (MIXED, 1.0, 0.05)
    targets = torch.stack([effective_logits(teacher, labels, soft_ratio=rho) for rho in ratios], 1)
    gram = KERNEL(points)
    students = nested_students(gram[:n, :n], targets, gram[:n, n:], gram.diagonal()[n:], sizes=(n,))
    return transfer_risk(students.outputs[0].mT, oracle[n:].expand(len(ratios), -1))


def _net_risks(setting: Setting, share: float) -> Tensor:
    """The first two of nets trained by torch, each on a sample and a teacher of its own."""
    members, stream = setting.size(quick=32, full=60), setting.stream.child("nets")
    points = torch.stack([gaussian_points(360, stream.child("points", m)) for m in range(members)])
    oracle = torch.stack([smooth_teacher(stream.child(m))(points[m]) for m in range(members)])
    teacher = flipped_teacher(oracle[:, :60], share=share, stream=stream.child("flipped"))
    risks = []
    for rho in (MIXED, 1.0):
        students = train(
            MLP((DIM, 64, 2)),
            points[:, :60],
            _labels(oracle[:, :60], stream),
            teacher_probs=two_columns(teacher),
            loss=distillation,
            settings={"weight": rho},
            members=members,
            stream=stream.child("students"),
            recipe=Recipe(steps=400, learning_rate=0.02),
            device="cpu",
        )
        risks.append(transfer_risk(contrast(students.logits(points[:, 60:])).double(), oracle[:, 60:]))
    return torch.stack(risks, 1)
