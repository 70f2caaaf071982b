"""Students of soft and hard labels together, and the effective logits that they are said to end at."""

from __future__ import annotations

import torch

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.transfer_risk.worlds import contrast, two_columns
from kdtheory.losses import distillation
from kdtheory.networks import MLP
from kdtheory.ntk.effective_logits import distillation_slope, effective_logits, overruling_soft_ratio
from kdtheory.ntk.linear import LinearKernel
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.transfer_risk import interpolant

PAIRS = [(ratio, temperature) for ratio in (0.3, 0.5, 0.8, 1.0) for temperature in (1.0, 2.0, 3.0)]


@experiment
def students_of_soft_and_hard_labels(run: Run, /, *, weight_decay: float = 0.0) -> Rows:
    """Linear students of 40 features, started from zero, and nets of width 64, one for each of twelve pairs
    (ρ, T): logits on their 10 points, and the weights of the linear ones. The teacher's logits are within ±3,
    and labels contradict it on some points.
    """
    points = torch.randn(10, 40, dtype=torch.float64, generator=run.stream.child("points").torch())
    teacher = torch.linspace(-3, 3, 10, dtype=torch.float64)
    labels = (teacher > 0).long()
    labels[[0, 4, 7]] = 1 - labels[[0, 4, 7]]
    layer, net = MLP((40, 2), bias=False), MLP((40, 64, 2), "tanh")
    zero = torch.zeros(len(PAIRS), layer.size, dtype=torch.float64)
    start = net.init(run.stream.child("nets"), members=len(PAIRS), dtype=torch.float64)
    linear, nets = (
        train(
            architecture,
            points,
            labels,
            teacher_probs=two_columns(teacher),
            loss=distillation,
            settings={
                "weight": torch.tensor([ratio for ratio, _ in PAIRS]),
                "temperature": torch.tensor([temperature for _, temperature in PAIRS]),
                "temperature_squared": False,
            },
            members=len(PAIRS),
            stream=run.stream,
            recipe=Recipe(
                steps=400,
                learning_rate=rate,
                optimizer="sgd",
                momentum=0.95,
                weight_decay=weight_decay,
                dtype=torch.float64,
            ),
            initial=initial,
            device="cpu",
        )
        for architecture, initial, rate in ((layer, zero, 0.3), (net, start, 0.1))
    )
    return Rows(
        points=points,
        labels=labels,
        teacher=teacher,
        linear=contrast(linear.logits(points)),
        nets=contrast(nets.logits(points)),
        weights=contrast(linear.params.unflatten(-1, (2, 40)).mT),
    )


@experiment
def ends_of_soft_and_hard_labels(run: Run, /) -> Rows:
    """The effective logits of these points, and the smallest weights that reach them."""
    rows = students_of_soft_and_hard_labels.rows(run)
    ends = [effective_logits(rows.teacher, rows.labels, soft_ratio=r, temperature=t) for r, t in PAIRS]
    reached = [interpolant(LinearKernel(), rows.points, end).coefficients for end in ends]
    return Rows(logits=torch.stack(ends), weights=torch.stack(reached) @ rows.points)


@experiment
def logits_at_the_overruling_ratio(run: Run, /, *, side: float = -1.0) -> Rows:
    """40 random logits of a teacher up to 10 (times `side`), the label 1 and temperatures 0.5 to 5: the
    effective logit and the slope of the loss at zero for the threshold ρ, and the effective logits' signs for
    a ρ one per cent below and above.
    """
    at, slopes, beside = [], [], []
    generator = run.stream.torch()
    for _ in range(run.size(quick=40, full=400)):
        size, hot = torch.rand(2, 1, dtype=torch.float64, generator=generator)
        logit, label = side * (0.1 + 9.9 * size), torch.ones(1, dtype=torch.long)
        temperature, zero = float(0.5 * 10**hot), torch.zeros(1, dtype=torch.float64)
        ratio = float(overruling_soft_ratio(logit, temperature=temperature))
        at.append(effective_logits(logit, label, soft_ratio=ratio, temperature=temperature))
        slopes.append(distillation_slope(zero, logit, label, soft_ratio=ratio, temperature=temperature))
        close = [
            effective_logits(logit, label, soft_ratio=min(1.0, share * ratio), temperature=temperature)
            for share in (0.99, 1.01)
        ]
        beside.append(torch.cat(close).sign())
    return Rows(logit=torch.cat(at), slope=torch.cat(slopes), signs=torch.stack(beside))
