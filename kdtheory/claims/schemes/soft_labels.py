"""Chapter 3.7: hard, partial and soft labels, and how many of them a learner needs (Zhao & Zhu 2023)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Inequality, Joint, Rate
from kdtheory.experiments.worlds import relabelled_world
from kdtheory.networks import MLP
from kdtheory.populations import train
from kdtheory.risk.finite_domain import (
    hidden_mass,
    partial_label_limit,
    total_variation,
    total_variation_bound,
    transferred,
)
from kdtheory.streams import Stream

SOURCE = "zhao2023towards"
# Exponents of n, |A| and |S| in the error, each for the law that is hardest at that n.
EXPONENTS = {"hard": (-0.5, 0.5, 0.5), "partial": (-1.0, 1.0, 1.0), "soft": (-1.0, 0.0, 1.0)}


def _known_are_not_used(
    counts: Tensor, teacher: Tensor, /, *, feedback: str, _true: Callable[..., Tensor] = transferred
) -> Tensor:
    return _true(counts, teacher, feedback="hard")


def _all_are_told(
    counts: Tensor, teacher: Tensor, /, *, feedback: str, _true: Callable[..., Tensor] = transferred
) -> Tensor:
    return _true(counts, teacher, feedback="soft")


def _sum_without_weights(estimate: Tensor, teacher: Tensor, weights: Tensor, /) -> Tensor:
    return (estimate - teacher).abs().sum((-1, -2)) / 2


def _power(exponent: float) -> Callable[[Tensor], Tensor]:
    def raised(probs: Tensor, /) -> Tensor:
        powers = probs**exponent
        return powers / powers.sum(-1, keepdim=True)

    return raised


@claim(
    section="3.7",
    formula=r"\mathbb E\,\mathrm{TV} \asymp \sqrt{|S||A|/n}\ \text{(hard)},\quad |S||A|/n\ \text{(partial)},"
    r"\quad |S|/n\ \text{(soft)}",
    source=SOURCE,
    assumes=("The input law and the teacher are the hardest ones at each n.",),
    control=Control(
        "the learner of partial and of soft labels looks at the names of the answers alone", learner="hard"
    ),
    uses=(transferred, total_variation, total_variation_bound, hidden_mass),
    power=Scaled(total_variation_bound, towards="less"),
    mutants=(
        Mutant("what is known is not used", transferred, _known_are_not_used),
        Mutant("hard labels tell all probabilities", transferred, _all_are_told),
        Mutant("the input law is left out of the distance", total_variation, _sum_without_weights),
    ),
)
def soft_labels_need_fewer_samples(setting: Setting, /, *, learner: str = "as told") -> Evidence:
    """The total-variation error of what is learned from a teacher's answers falls like √(|S||A|/n) with hard
    labels, |S||A|/n with the probability of the sampled label and |S|/n with full soft labels.

    Slopes in n (500 to 8,000), |A| and |S| (17 to 129) of the worst mean error over three laws, one of which
    is the hardest for each kind of label: even inputs and answers; answers of probability |S|/n or none at
    all, half of each, beside one that is likely; and inputs of mass 1/n beside one that is likely. Slopes
    within 0.12; every error below the explicit bound, of which the largest is 0.88: its constants are an
    eighth too large.
    """
    replicates = setting.size(quick=16, full=80)
    parts: dict[str, Evidence] = {}
    means, bounds = [], []
    for feedback, exponents in EXPONENTS.items():
        sweeps = {
            "n": [(17, 9, n) for n in (500, 1000, 2000, 4000, 8000)],
            "|A|": [(9, a, 8000) for a in (17, 33, 65, 129)],
            "|S|": [(s, 9, 8000) for s in (17, 33, 65, 129)],
        }
        for (name, sweep), expected in zip(sweeps.items(), exponents, strict=True):
            stream = setting.stream.child(feedback, name)
            told = feedback if learner == "as told" else learner
            errors = torch.stack(
                [_errors(*sizes, told, replicates, stream.child(i)) for i, sizes in enumerate(sweep)],
                1,
            )
            along = [sizes[{"|S|": 0, "|A|": 1, "n": 2}[name]] for sizes in sweep]
            parts[f"{feedback}: {name}"] = Rate.of(along, errors, expected=expected, margin=0.12)
            means += errors.mean(0).tolist()
            bounds += [
                total_variation_bound(inputs=s, answers=a, n=n, feedback=feedback) for s, a, n in sweep
            ]
    parts["below the bound"] = Inequality.of(means, bounds, trivial=1.0)
    return Joint(parts=parts)


def hardest_law(inputs: int, answers: int, n: int, feedback: str) -> tuple[Tensor, Tensor]:
    """ρ and π with which n draws tell least."""
    even = torch.full((inputs,), 1 / inputs, dtype=torch.float64)
    if feedback == "hard":
        return even, torch.full((inputs, answers), 1 / answers, dtype=torch.float64)
    if feedback == "soft":
        weights = torch.full((inputs,), 1 / n, dtype=torch.float64)
        weights[0] = 1 - (inputs - 1) / n
        return weights, torch.eye(answers, dtype=torch.float64)[torch.arange(inputs) % answers]
    teacher = torch.zeros(inputs, answers, dtype=torch.float64)
    teacher[:, 1 : 1 + (answers - 1) // 2] = inputs / n
    teacher[:, 0] = 1 - teacher.sum(-1)
    return even, teacher


def _errors(inputs: int, answers: int, n: int, told: str, replicates: int, stream: Stream) -> Tensor:
    """The worst error over the three laws in each replicate, a mean over 50 samples: nearly without bias."""
    errors = []
    for law in EXPONENTS:
        weights, teacher = hardest_law(inputs, answers, n, law)
        joint = (weights[:, None] * teacher).flatten()
        generator = stream.child(law).numpy()
        draws = generator.multinomial(n, (joint / joint.sum()).numpy(), size=(replicates, 50))
        counts = torch.from_numpy(draws).unflatten(-1, (inputs, answers))
        estimate = transferred(counts, teacher, feedback=told)
        errors.append(total_variation(estimate, teacher, weights).mean(-1))
    return torch.stack(errors).amax(0)


@claim(
    section="3.7",
    formula=r"\arg\min_q \mathbb E_{a \sim \pi^*}[-\pi^*(a) \ln q(a)]"
    r" = \frac{\pi^{*2}}{\sum_a \pi^*(a)^2} \ne \pi^*",
    source=SOURCE,
    assumes=("The learner can represent the minimiser, and has converged to 1 per cent.",),
    control=Control("each sampled label counts once, whatever its probability", counted="once"),
    uses=(partial_label_limit,),
    power=Scaled(partial_label_limit, version=lambda factor: _power(2 * factor)),
    mutants=(
        Mutant("π* itself", partial_label_limit, _power(1.0)),
        Mutant("π*^1.9", partial_label_limit, _power(1.9)),
        Mutant("π*^2.1", partial_label_limit, _power(2.1)),
    ),
    cost=4,
)
def cross_entropy_on_partial_labels_learns_the_squared_teacher(
    setting: Setting, /, *, counted: str = "by its probability"
) -> Evidence:
    """A learner that weighs the cross-entropy of a sampled label by the teacher's probability of it does not
    learn the teacher, but its square, normalised.

    A net trained on 40 real images, each with 20,000 labels sampled from a net's probabilities at temperature
    3; compared with the square of the teacher, mean total variation below 0.002 over images (the power 1.9 or
    2.1 in place of the square is further), and further than 0.05 from the teacher itself.
    """
    world = relabelled_world(setting)
    stream = setting.stream
    chosen = torch.randperm(world.num_atoms, generator=stream.child("images").torch())[:40]
    inputs, teacher = world.inputs[chosen], world.probs[chosen]
    counts = stream.child("labels").numpy().multinomial(20_000, teacher.numpy())
    sampled = torch.from_numpy(counts) / 20_000
    worth = sampled * (teacher if counted == "by its probability" else 1.0)
    targets = worth / worth.sum(-1, keepdim=True)

    def weighted(logits: Tensor, probs: Tensor, _labels: Tensor | None) -> Tensor:
        return -(probs * logits.log_softmax(-1)).sum(-1)

    net = train(
        MLP((world.dim, 128, world.num_classes)),
        inputs,
        teacher_probs=targets,
        loss=weighted,
        members=1,
        stream=stream.child("net"),
        steps=1500,
        learning_rate=0.005,
        device=setting.device,
    )
    learned = net.logits(inputs)[0].cpu().double().softmax(-1)
    even = torch.full((40,), 1 / 40, dtype=torch.float64)
    off = float(total_variation(learned, partial_label_limit(teacher), even))
    away = float(total_variation(learned, teacher, even))
    return Joint(
        parts={
            "near the square": Inequality.of([off], [0.002]),
            "away from the teacher": Inequality.of([0.05], [away]),
        },
        notes={"gradient norm": float(net.gradient_norm.max()), "distance": off, "from the teacher": away},
    )
