"""Chapter 4.4: students trained on one-hot, on Bayes and on imperfect teachers' labels (Menon et al., 2021).

Students minimise the empirical or the distilled risk of the log loss plus λ‖θ‖²/2, from the same
initialisations and on the same points; the excess risk is exact, over all images. Since λ decides much, every
student is judged at the best λ of a grid, chosen by its true risk: the comparison is between labels and not
between regularisers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Inequality, Joint, MeanInequality, OutOfScope, Rate
from kdtheory.experiments.worlds import distilled_log_loss, relabelled_world
from kdtheory.losses import label_loss
from kdtheory.losses.labelwise import log_loss, zero_one_loss
from kdtheory.networks import MLP
from kdtheory.populations import Loss, Population, train
from kdtheory.problems import FiniteWorld, TeacherWorld, kernel_teacher, linear_teacher
from kdtheory.risk.calibration import calibration_error
from kdtheory.risk.empirical import distilled_losses
from kdtheory.risk.population import excess_risk, population_risk
from kdtheory.streams import Stream
from kdtheory.types import Sample

CONVERGED = "The students have converged: gradient norm at most 0.1."
TOLERANCE = 0.1
SCHEDULE = ((120, 0.02), (40, 0.002), (240, 0.01), (40, 0.001), (480, 0.005), (80, 0.0005))
DECAYS = (1e-3, 1e-2)


def _teacher_by_its_argmax(losses: Tensor, teacher_probs: Tensor, /) -> Tensor:
    return losses.gather(-1, teacher_probs.argmax(-1, keepdim=True)).squeeze(-1)


def _teacher_of_the_next_point(losses: Tensor, teacher_probs: Tensor, /) -> Tensor:
    return (teacher_probs.roll(1, -2) * losses).sum(-1)


def _excess_upside_down(*tables: Tensor, _true: Callable[..., Tensor] = excess_risk) -> Tensor:
    excess: Tensor = -_true(*tables)
    return excess


def _one_minus_the_risk(*tables: Tensor, _true: Callable[..., Tensor] = population_risk) -> Tensor:
    return 1 - _true(*tables)


def _root_of_the_excess(*tables: Tensor, _true: Callable[..., Tensor] = excess_risk) -> Tensor:
    return _true(*tables).clamp_min(0).sqrt()


@dataclass(frozen=True)
class _Students:
    """Students at the best weight decay of the grid, each by its true risk.

    Args:
        excess: R(f) − R(f*) of the log loss, the smallest over the grid.
        error: Pr[argmax f(x) ≠ y] at that decay.
        gradient: the largest final gradient norm over students and grid.
    """

    excess: Tensor
    error: Tensor
    gradient: float


def _students(setting: Setting, world: FiniteWorld, sample: Sample, teacher: Tensor | None) -> _Students:
    """One network for each sample [members n], on its labels or on a teacher's; always the same starts."""
    best = log_loss(world.probs.log())
    excesses, errors, gradients = [], [], []  # one entry a decay
    for decay in DECAYS:
        nets = _trained(setting, sample, teacher, decay)
        logits = nets.logits(world.inputs).cpu().double()
        excesses.append(excess_risk(log_loss(logits), best, world.probs, world.weights))
        errors.append(population_risk(zero_one_loss(logits), world.probs, world.weights))
        gradients.append(float(nets.gradient_norm.max()))
    chosen = torch.stack(excesses).min(0)
    error = torch.stack(errors).gather(0, chosen.indices[None])[0]
    return _Students(chosen.values, error, max(gradients))


def _trained(setting: Setting, sample: Sample, teacher: Tensor | None, decay: float) -> Population:
    """Adam by the schedule, as far as convergence asks; tanh, whose gradient norm can vanish."""
    architecture = MLP((sample.inputs.shape[-1], 32, sample.probs.shape[-1]), activation="tanh")
    initial = None
    for steps, rate in SCHEDULE:
        nets = train(
            architecture,
            sample.inputs,
            sample.labels,
            teacher_probs=None if teacher is None else teacher.float(),
            loss=label_loss if teacher is None else distilled_log_loss,
            members=len(sample.inputs),
            stream=setting.stream.child("students"),
            steps=steps,
            learning_rate=rate,
            weight_decay=decay,
            initial=initial,
            device=setting.device,
        )
        if rate <= 0.002 and bool(nets.converged(TOLERANCE).all()):
            break
        initial = nets.params
    return nets


def _if_converged(evidence: Evidence, gradient: float) -> Evidence:
    if gradient > TOLERANCE:
        return OutOfScope(assumption=CONVERGED, because=f"the largest gradient norm is {gradient:.2g}")
    return evidence


@claim(
    section="4.4",
    formula=r"\mathbb E\,R(\hat f_{\text{Bayes}}) < \mathbb E\,R(\hat f_{\text{one-hot}})\text{ at every } N",
    source="menon2021statistical",
    assumes=(CONVERGED,),
    control=Control("the teacher's rows p*(x) are given to the wrong x", posterior="scrambled"),
    uses=(label_loss, distilled_losses, excess_risk),
    mutants=(
        Mutant("each point is given the teacher of another", distilled_losses, _teacher_of_the_next_point),
        Mutant("the excess has the wrong sign", excess_risk, _excess_upside_down),
    ),
    power=Scaled(excess_risk),
    loose="An order is claimed and no constant; both excess risks are measured alike.",
    cost=4,
)
def students_of_bayes_labels_have_less_excess_risk(
    setting: Setting, /, *, posterior: str = "true"
) -> Evidence:
    """At every sample size a network trained on the Bayes probabilities of N points has less excess risk than
    the same network trained on one-hot labels of the same points.

    Real images with redrawn labels, N = 40, 100, 250; 16 pairs of students at each; log loss.
    """
    world, members = relabelled_world(setting), setting.size(quick=16, full=100)
    parts: dict[str, Evidence] = {}
    gradient = 0.0
    for n in (40, 100, 250):
        sample = world.sample((members, n), setting.stream.child("samples", n))
        teacher = sample.probs if posterior == "true" else sample.probs.roll(1, -2)
        one_hot = _students(setting, world, sample, None)
        distilled = _students(setting, world, sample, teacher)
        gradient = max(gradient, one_hot.gradient, distilled.gradient)
        notes = {"error, one-hot": float(one_hot.error.mean()), "error, Bayes": float(distilled.error.mean())}
        parts[f"N = {n}"] = MeanInequality.of(distilled.excess, one_hot.excess, notes=notes)
    return _if_converged(Joint(parts=parts, notes={"largest gradient norm": gradient}), gradient)


@claim(
    section="4.4",
    formula=r"\frac{R(\hat f_{\text{Bayes}}) - R^*}{R(\hat f_{\text{one-hot}}) - R^*} \sim \lambda_N^2\,N:"
    r"\quad N^{-1} \text{ for } \lambda_N = 1/N,\ N \text{ for } \lambda_N = \lambda",
    source="menon2021statistical",
    place="rates derived here",
    assumes=(CONVERGED, "p* lies in the class of the students, which are linear."),
    control=Control("p* lies outside the students' class", truth="kernel"),
    uses=(label_loss, distilled_losses, excess_risk),
    mutants=(
        Mutant("the teacher's argmax for its probabilities", distilled_losses, _teacher_by_its_argmax),
        Mutant("the root of the excess", excess_risk, _root_of_the_excess),
    ),
    power=Scaled(excess_risk),
    loose="A factor common to all excess risks does not change a rate; an exponent half as large is noticed.",
    cost=10,
)
def weight_decay_decides_whether_bayes_labels_give_a_faster_rate(
    setting: Setting, /, *, truth: str = "linear"
) -> Evidence:
    """Where p* lies in the students' class, the excess risk of students of Bayes labels over that of students
    of one-hot labels goes like λ²N in the weight decay λ: it falls like 1/N if λ = 1/N, and grows like N if λ
    is constant. Bayes labels give a faster rate only where the decay falls faster than N^{−1/2}.

    Bayes labels leave the bias of the decay alone, an excess of order λ²; one-hot labels add a variance of
    order 1/N. Linear soft-max students, decay 1/N and 0.01, Gaussian inputs in five dimensions, three
    classes; the slope of the log ratio on log N over N = 60, 190 and 600, one slope for each of 32 pairs,
    within 0.35 of −1 and +1; risks on 2,000 fresh inputs. With p* outside the class both stall at one bias.
    """
    world = _teacher_world(truth)
    pool = world.sample(2000, setting.stream.child("pool"))
    members, sizes = setting.size(quick=32, full=200), (60, 190, 600)
    sample = world.sample((members, sizes[-1]), setting.stream.child("samples"))
    parts, gradients = {}, []
    for name, decays, slope in (
        ("decay 1/N", [1 / n for n in sizes], -1.0),
        ("constant decay", [0.01] * len(sizes), 1.0),
    ):
        ratios = []
        for n, decay in zip(sizes, decays, strict=True):
            excesses = []
            for loss in (distilled_log_loss, label_loss):
                nets = _linear_students(setting, sample, n, loss, decay)
                excesses.append(_excess_on_pool(nets.logits(pool.inputs).cpu(), pool))
                gradients.append(float(nets.gradient_norm.max()))
            ratios.append(excesses[0] / excesses[1])
        means = {str(n): float(ratio.mean()) for n, ratio in zip(sizes, ratios, strict=True)}
        parts[name] = Rate.of(
            torch.tensor(sizes),
            torch.stack(ratios, 1),
            expected=slope,
            margin=0.35,
            notes={"mean ratio": means},
        )
    return _if_converged(Joint(parts=parts), max(gradients))


def _teacher_world(truth: str) -> TeacherWorld:
    stream = Stream(0).child("worlds", truth)
    if truth == "linear":
        return linear_teacher(stream, dim=5, num_classes=3, scale=2.0)
    return kernel_teacher(stream, dim=5, num_classes=3, scale=2.0, bandwidth=2.0)


def _linear_students(setting: Setting, sample: Sample, n: int, loss: Loss, weight_decay: float) -> Population:
    """Convex: a hundred steps of gradient descent with momentum from zero come to the minimum."""
    architecture, members = MLP((5, 3)), len(sample.inputs)
    return train(
        architecture,
        sample.inputs[:, :n],
        sample.labels[:, :n],
        teacher_probs=sample.probs[:, :n],
        loss=loss,
        members=members,
        stream=setting.stream.child("students"),
        steps=100,
        learning_rate=0.5,
        optimizer="sgd",
        momentum=0.9,
        weight_decay=weight_decay,
        initial=torch.zeros(members, architecture.size, dtype=torch.float64),
        device=setting.device,
        dtype=torch.float64,
    )


def _excess_on_pool(logits: Tensor, pool: Sample) -> Tensor:
    weights = torch.full((len(pool.probs),), 1 / len(pool.probs), dtype=torch.float64)
    return excess_risk(log_loss(logits), log_loss(pool.probs.log()), pool.probs, weights)


@claim(
    section="4.4",
    formula=r"\text{accuracy}(p^A) > \text{accuracy}(p^B)\ \text{ and }\ "
    r"\mathbb E\,R(\hat f_A) > \mathbb E\,R(\hat f_B)",
    source="menon2021statistical",
    assumes=(CONVERGED,),
    control=Control("the accurate teacher is calibrated too", sharpening=1.0),
    uses=(distilled_losses, excess_risk, population_risk),
    mutants=(
        Mutant("the teacher's argmax for its probabilities", distilled_losses, _teacher_by_its_argmax),
        Mutant("the excess has the wrong sign", excess_risk, _excess_upside_down),
        Mutant("accuracy for error", population_risk, _one_minus_the_risk),
    ),
    power=Scaled(excess_risk),
    loose="An order is claimed and no constant; both excess risks are measured alike.",
    cost=2,
)
def accurate_overconfident_teacher_distils_worse_than_a_calibrated_one(
    setting: Setting, /, *, sharpening: float = 3.0
) -> Evidence:
    """A teacher with the accuracy of the Bayes classifier but over-confident probabilities distils worse, in
    log loss, than a less accurate teacher that is calibrated.

    A: p* to the power 3, normalised: every argmax is right. B: the mean of p* over cells of about four
    images that lie close together, which is calibrated exactly, and loses accuracy. Real images with redrawn
    labels, N = 300, 16 pairs of students; log loss, on which calibration counts: the students' errors are
    noted beside.
    """
    world = relabelled_world(setting)
    members = setting.size(quick=16, full=100)
    sample = world.sample((members, 300), setting.stream.child("samples"))
    assert sample.atoms is not None  # a finite world says which
    sharp = (sharpening * world.probs.log()).softmax(-1)
    coarse = _cell_means(world, world.num_atoms // 4)
    students = [_students(setting, world, sample, probs[sample.atoms]) for probs in (sharp, coarse)]
    quality = [_quality(world, probs) for probs in (sharp, coarse)]
    notes = {
        f"{name}: {what}": value
        for name, own, judged in zip("AB", students, quality, strict=True)
        for what, value in {**judged, "students' error": float(own.error.mean())}.items()
    }
    parts = {
        "B is less accurate": Inequality.of([quality[1]["accuracy"]], [quality[0]["accuracy"] - 0.001]),
        "A distils worse": MeanInequality.of(students[1].excess, students[0].excess),
    }
    return _if_converged(Joint(parts=parts, notes=notes), max(own.gradient for own in students))


def _cell_means(world: FiniteWorld, cells: int) -> Tensor:
    """E[p* | cell], cells by the nearest of some of the images: a calibrated forecast."""
    places = torch.randperm(world.num_atoms, generator=Stream(0).child("worlds", "cells").torch())[:cells]
    inputs = world.inputs.double()
    cell = torch.cdist(inputs, inputs[places]).argmin(-1)
    mass = torch.zeros(cells, dtype=torch.float64).index_add(0, cell, world.weights)
    total = torch.zeros(cells, world.num_classes, dtype=torch.float64)
    total = total.index_add(0, cell, world.weights[:, None] * world.probs)
    means: Tensor = (total / mass.clamp_min(1e-300)[:, None])[cell]
    return means


def _quality(world: FiniteWorld, probs: Tensor) -> dict[str, float]:
    error = population_risk(zero_one_loss(probs.log()), world.probs, world.weights)
    return {
        "accuracy": 1 - float(error),
        "confidence": float(world.expectation(probs.amax(-1))),
        "calibration error": float(calibration_error(probs, world.probs, world.weights)),
    }
