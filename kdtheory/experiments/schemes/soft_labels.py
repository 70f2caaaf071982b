"""Learning from a teacher's answers: from their names, the probability of each, or all probabilities."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.worlds import relabelled_world
from kdtheory.networks import MLP
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.risk.finite_domain import (
    FEEDBACK,
    partial_label_limit,
    total_variation,
    total_variation_bound,
    transferred,
)
from kdtheory.streams import Stream

SWEEPS = {
    "n": [(17, 9, n) for n in (500, 1000, 2000, 4000, 8000)],
    "|A|": [(9, answers, 8000) for answers in (17, 33, 65, 129)],
    "|S|": [(inputs, 9, 8000) for inputs in (17, 33, 65, 129)],
}
"""|S|, |A| and n."""


def even_law(inputs: int, answers: int, _n: int, /) -> tuple[Tensor, Tensor]:
    """ρ and π, all even: names of answers tell least."""
    return torch.full((inputs,), 1 / inputs), torch.full((inputs, answers), 1 / answers)


def half_rare_answers(inputs: int, answers: int, n: int, /) -> tuple[Tensor, Tensor]:
    """Answers of probability |S|/n or none at all, half of each, beside one that is likely."""
    teacher = torch.zeros(inputs, answers)
    teacher[:, 1 : 1 + (answers - 1) // 2] = inputs / n
    teacher[:, 0] = 1 - teacher.sum(-1)
    return torch.full((inputs,), 1 / inputs), teacher


def rare_inputs(inputs: int, answers: int, n: int, /) -> tuple[Tensor, Tensor]:
    """Inputs of mass 1/n beside one that is likely."""
    weights = torch.full((inputs,), 1 / n)
    weights[0] = 1 - (inputs - 1) / n
    return weights, torch.eye(answers)[torch.arange(inputs) % answers]


LAWS = (even_law, half_rare_answers, rare_inputs)


def as_told(counts: Tensor, teacher: Tensor, /, *, feedback: str) -> Tensor:
    """Learn from the feedback."""
    return transferred(counts, teacher, feedback=feedback)


def from_names_alone(counts: Tensor, teacher: Tensor, /, *, feedback: str) -> Tensor:
    """Learn from the names of the answers, whatever else the feedback tells."""
    return transferred(counts, teacher, feedback="hard")


@experiment
def errors_of_learners(run: Run, /, *, learner: Callable[..., Tensor] = as_told) -> Rows:
    """The total-variation error of what is learned from hard, partial and soft labels over n (500 to 8,000),
    |A| and |S| (17 to 129), and its bound: the largest over three laws, of which one is the hardest for each
    kind of label, of the mean over 50 samples; 16 times, each time of all kinds of labels from the same
    samples.
    """
    replicates = run.size(quick=16, full=80)
    sizes = {point: None for sweep in SWEEPS.values() for point in sweep}
    errors = {point: _errors(*point, learner, replicates, run.stream.child(*point)) for point in sizes}
    found = {name: torch.stack([errors[point] for point in sweep], -1) for name, sweep in SWEEPS.items()}
    bounds = [
        [total_variation_bound(inputs=s, answers=a, n=n, feedback=feedback) for s, a, n in sizes]
        for feedback in FEEDBACK
    ]
    means = torch.stack([errors[point].mean(1) for point in sizes], 1)
    return Rows(**found, mean=means, bound=torch.tensor(bounds))


def _errors(
    inputs: int, answers: int, n: int, learner: Callable[..., Tensor], replicates: int, stream: Stream
) -> Tensor:
    """The worst error of each kind of label in each replicate: nearly without bias."""
    errors = []
    for place, law in enumerate(LAWS):
        weights, teacher = law(inputs, answers, n)
        joint = (weights[:, None] * teacher).double().flatten()
        generator = stream.child(place).numpy()
        draws = generator.multinomial(n, (joint / joint.sum()).numpy(), size=(replicates, 50))
        counts = torch.from_numpy(draws).int().unflatten(-1, (inputs, answers))
        learned = [learner(counts, teacher, feedback=feedback) for feedback in FEEDBACK]
        errors.append(torch.stack([total_variation(one, teacher, weights).mean(-1) for one in learned]))
    return torch.stack(errors).amax(0)


@experiment
def net_of_partial_labels(run: Run, /, *, power: float = 1.0) -> Rows:
    """Probabilities that a net learns on 40 real images with 20,000 labels each, sampled from a teacher (a
    net at temperature 3) and weighed by its probability to a power; and the teacher's probabilities.
    """
    world = relabelled_world(run)
    chosen = torch.randperm(world.num_atoms, generator=run.stream.child("images").torch())[:40]
    inputs, teacher = world.inputs[chosen], world.probs[chosen]
    counts = run.stream.child("labels").numpy().multinomial(20_000, teacher.numpy())
    worth = torch.from_numpy(counts) / 20_000 * teacher**power

    def weighted(logits: Tensor, probs: Tensor, _labels: Tensor | None) -> Tensor:
        return cross_entropy(logits.mT, probs.mT, reduction="none")

    net = train(
        MLP((world.dim, 128, world.num_classes)),
        inputs,
        teacher_probs=worth / worth.sum(-1, keepdim=True),
        loss=weighted,
        members=1,
        stream=run.stream.child("net"),
        recipe=Recipe(steps=1500, learning_rate=0.005, schedule="cosine"),
        device=run.device,
    )
    return Rows(
        learned=net.logits(inputs)[0].cpu().double().softmax(-1), teacher=teacher, gradient=net.gradient_norm
    )


@experiment
def distances_of_partial_labels(run: Run, /, *, power: float = 1.0) -> Rows:
    """The mean total variation between what this net has learned and the limit, and from the teacher."""
    rows = net_of_partial_labels.given(power=power).rows(run)
    even = torch.full((len(rows.teacher),), 1 / len(rows.teacher), dtype=torch.float64)
    return Rows(
        off=total_variation(rows.learned, partial_label_limit(rows.teacher), even),
        away=total_variation(rows.learned, rows.teacher, even),
        gradient=rows.gradient,
    )
