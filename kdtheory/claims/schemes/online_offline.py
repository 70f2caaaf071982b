"""Chapter 3.1: students of a teacher against students of labels; students that teach each other.

Real images; every comparison is paired over students that share a sample and a start; accuracy is that after
the last step, on images that nothing was trained on. The rate falls to a tenth for the last quarter of the
steps of Adam, in claims on teachers to a hundredth for the last fifty. With T = 4 a student takes several
times the steps that labels take; here all are given what the slowest needs. Last come fifty steps of plain
gradient descent, whose mean gradient shows convergence: at a minimum of a net of ReLUs, where units switch,
the gradient of a single step need not vanish.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Joint, MeanInequality, OutOfScope
from kdtheory.experiments.response.image_logits import image_logits
from kdtheory.losses import distillation, label_loss
from kdtheory.losses.mutual import divergence_from_mean_peer, mean_peer_divergence, mutual_loss
from kdtheory.networks import MLP, Architecture
from kdtheory.populations import Population, train
from kdtheory.risk import accuracy
from kdtheory.schemes.cohort import Cohort

CONVERGED = (
    "The students have converged: their mean gradient over the last 50 steps has a norm of at most 0.02,"
    " of a divergence without its factor λT²."
)
TOLERANCE = 0.02
STAGES = ((600, 0.01), (150, 0.001), (50, 0.0001))
FEWER = ((300, 0.01), (100, 0.001))
LAST_STEPS, LAST_RATE = 50, 0.001
_TEMPERATURE, _WEIGHT = 4.0, 0.9


class _Students(NamedTuple):
    """Trained students, and the norms of their mean gradients over the last steps."""

    nets: Population
    gradient: Tensor


class _Ground(NamedTuple):
    """The images of a claim: a pool to learn from, a test part, and each student's rows of the pool."""

    pool: Tensor
    labels: Tensor
    test: Tensor
    test_labels: Tensor
    rows: Tensor
    classes: int

    def accuracy(self, students: _Students) -> Tensor:
        """Of each student, on the test part, after the last step."""
        return accuracy(students.nets.logits(self.test).cpu(), self.test_labels)

    def mlp(self, hidden: int) -> MLP:
        """One hidden layer of ReLU units between pixels and classes."""
        return MLP((self.pool.shape[1], hidden, self.classes))


def _ground(setting: Setting, members: int, size: int) -> _Ground:
    images, stream = setting.images, setting.stream.child("images")
    order = torch.randperm(images.num_images, generator=stream.torch())[:2000]
    pool, test = order[:1000], order[1000:]
    generator = stream.child("rows").torch()
    rows = torch.stack([torch.randperm(len(pool), generator=generator)[:size] for _ in range(members)])
    return _Ground(
        images.inputs[pool], images.labels[pool], images.inputs[test], images.labels[test], rows,
        images.num_classes,
    )  # fmt: skip


def _taught(setting: Setting, ground: _Ground, kind: str) -> Tensor:
    """Probabilities on the pool: smoothed labels, or of a net that learned its labels, others, or nothing."""
    stream = setting.stream.child("teacher")
    labels = ground.labels
    if kind == "smoothed":
        return 0.9 * one_hot(labels, ground.classes).float() + 0.1 / ground.classes
    if kind == "shuffled":
        labels = labels[torch.randperm(len(labels), generator=stream.child("shuffle").torch())]
    teacher = train(
        ground.mlp(128),
        ground.pool,
        labels,
        loss=label_loss,
        members=1,
        stream=stream,
        steps=0 if kind == "random" else 300,
        learning_rate=0.01,
        device=setting.device,
    )
    return teacher.logits(ground.pool)[0].softmax(-1).cpu()


def _trained(
    setting: Setting,
    architecture: Architecture,
    ground: _Ground,
    stages: tuple[tuple[int, float], ...] = STAGES,
    **what: Any,
) -> _Students:
    """Students on their own rows of the pool, always from the same starts."""
    go_on = partial(
        train,
        architecture,
        ground.pool[ground.rows],
        ground.labels[ground.rows],
        members=len(ground.rows),
        stream=setting.stream.child("students"),
        device=setting.device,
        **what,
    )
    (steps, rate), *others = stages
    nets = go_on(steps=steps, learning_rate=rate)
    for steps, rate in others:
        nets = go_on(steps=steps, learning_rate=rate, initial=nets.params)
    last = go_on(steps=LAST_STEPS, learning_rate=LAST_RATE, optimizer="sgd", initial=nets.params)
    return _Students(last, (last.params - nets.params).norm(dim=1) / (LAST_STEPS * LAST_RATE))


def _distilled(setting: Setting, ground: _Ground, teacher: str) -> _Students:
    probs = _taught(setting, ground, teacher)[ground.rows]
    settings = {"temperature": _TEMPERATURE, "weight": _WEIGHT}
    return _trained(
        setting, ground.mlp(16), ground, teacher_probs=probs, loss=distillation, settings=settings
    )


def _if_converged(evidence: Evidence, *plain: _Students, distilled: tuple[_Students, ...] = ()) -> Evidence:
    norms = [students.gradient for students in plain]
    norms += [students.gradient / (_WEIGHT * _TEMPERATURE**2) for students in distilled]
    gradient = float(torch.cat(norms).max())
    if not gradient <= TOLERANCE:
        return OutOfScope(assumption=CONVERGED, because=f"the largest norm is {gradient:.2g}")
    return evidence


_Loss = Callable[..., Tensor]


def _teacher_of_the_next_point(
    logits: Tensor, probs: Tensor, labels: Tensor, /, *, _true: _Loss = distillation, **settings: Any
) -> Tensor:
    return _true(logits, probs.roll(1, -2), labels, **settings)


def _teacher_left_out(logits: Tensor, _probs: Tensor, labels: Tensor, /, **_settings: Any) -> Tensor:
    return label_loss(logits, None, labels)


def _least_likely_class(
    logits: Tensor, probs: Tensor, labels: Tensor, /, *, _true: _Loss = distillation, **settings: Any
) -> Tensor:
    return _true(logits, (-probs.clamp_min(1e-6).log()).softmax(-1), labels, **settings)


@claim(
    section="3.1",
    formula=r"\mathbb E\,\mathrm{acc}(\text{student of } \lambda T^2 \mathrm{KL} + (1-\lambda)\mathrm{CE}) >"
    r" \mathbb E\,\mathrm{acc}(\text{student of CE}),\quad \lambda > 0,\ n \text{ small}",
    source="hinton2015distilling",
    assumes=(CONVERGED, "The teacher is well trained, on more points than its students."),
    control=Control("the teacher was trained on shuffled labels", teacher="shuffled"),
    uses=(distillation, label_loss),
    mutants=(
        Mutant("each point is given the teacher of the next", distillation, _teacher_of_the_next_point),
        Mutant("the teacher's probabilities are turned over", distillation, _least_likely_class),
    ),
    loose="a factor on a loss does not move its minimum, and accuracies have no constant",
)
def distilled_students_beat_students_of_labels_at_small_n(
    setting: Setting, /, *, teacher: str = "good"
) -> Evidence:
    """On few points a student distilled with λ > 0 is more accurate than the same student trained on the
    labels of the same points alone.

    Real images, n = 100 of a pool of 1,000 that the teacher (128 hidden units) learned from; 16 pairs of
    students (16 hidden units), T = 4, λ = 0.9; last-step accuracy on the other images.
    """
    ground = _ground(setting, setting.size(quick=16, full=100), 100)
    labelled = _trained(setting, ground.mlp(16), ground, loss=label_loss)
    distilled = _distilled(setting, ground, teacher)
    evidence = MeanInequality.of(ground.accuracy(labelled), ground.accuracy(distilled))
    return _if_converged(evidence, labelled, distilled=(distilled,))


_IGNORANT = ("shuffled", "random", "smoothed")


@claim(
    section="3.1",
    formula=r"\mathbb E\,\mathrm{acc}(\text{student of a teacher of shuffled labels, of a random teacher,"
    r" of smoothed labels}) <"
    r" \mathbb E\,\mathrm{acc}(\text{student of CE})",
    source="hinton2015distilling",
    assumes=(CONVERGED,),
    control=Control("in each one's place is a well-trained teacher", teachers=("good", "good", "good")),
    uses=(distillation, label_loss),
    mutants=(Mutant("the teacher is left out", distillation, _teacher_left_out),),
    tuned_on=(100, 101, 102, 103, 104, 105),
    loose="a factor on a loss does not move its minimum, and accuracies have no constant",
)
def students_of_teachers_that_know_nothing_do_worse(
    setting: Setting, /, *, teachers: tuple[str, ...] = _IGNORANT
) -> Evidence:
    """The gain of distillation is the teacher's knowledge and not a softer target: a teacher trained on
    shuffled labels, one not trained at all and smoothed labels (ε = 0.1) in the place of a teacher make
    students less accurate than labels alone, by a point or more.

    As in the claim on distilled students, with 20 pairs for each teacher.
    """
    ground = _ground(setting, setting.size(quick=20, full=100), 100)
    labelled = _trained(setting, ground.mlp(16), ground, loss=label_loss)
    own = ground.accuracy(labelled)
    taught = {name: _distilled(setting, ground, name) for name in dict.fromkeys(teachers)}
    parts = {
        name: MeanInequality.of(ground.accuracy(taught[teacher]), own, slack=-0.01)
        for name, teacher in zip(_IGNORANT, teachers, strict=True)
    }
    return _if_converged(Joint(parts=parts), labelled, distilled=tuple(taught.values()))


def _pushed_apart(student: Tensor, peers: Tensor, /, *, temperature: float) -> Tensor:
    return -0.3 * mean_peer_divergence(student, peers, temperature=temperature)


def _at_weight(share: float) -> _Loss:
    def heard_less(*arrays: Tensor | None, _true: _Loss = mutual_loss, **settings: Any) -> Tensor:
        return _true(*arrays, **settings | {"weight": share * settings["weight"]})

    return heard_less


@claim(
    section="3.1",
    formula=r"\mathbb E\Pr[\arg\max f_1 = \arg\max f_2 \mid \text{mutual}] >"
    r" \mathbb E\Pr[\arg\max f_1 = \arg\max f_2 \mid \text{independent}] + 0.01",
    source="zhang2018deep",
    assumes=(CONVERGED,),
    control=Control("divergence from the peer is rewarded, at 0.3 of its weight", towards_the_peer=False),
    uses=(mutual_loss, label_loss, mean_peer_divergence),
    mutants=(
        Mutant("the peers are not heard", mutual_loss, _at_weight(0.0)),
        Mutant("the peers are heard at a tenth of the weight", mutual_loss, _at_weight(0.1)),
    ),
    tuned_on=(100, 101, 102, 103, 104, 105),
    loose="a factor on a loss does not move its minimum, and accuracies have no constant",
)
def mutual_learners_agree_more_than_independent_ones(
    setting: Setting, /, *, towards_the_peer: bool = True
) -> Evidence:
    """Two students that learn from the labels and from each other agree on more new points than two that
    learn from the same labels alone, by one in a hundred or more.

    Real images, n = 50; 48 pairs, each compared with the pair of the same starts; w = T = 1.
    """
    ground = _ground(setting, setting.size(quick=48, full=100), 50)
    divergence = mean_peer_divergence if towards_the_peer else _pushed_apart
    cohorts = [
        _trained(
            setting, Cohort(ground.mlp(16), peers=2), ground, FEWER, loss=mutual_loss,
            settings={"peers": 2, "weight": share, "temperature": 1.0, "divergence": divergence},
        )
        for share in (0.0, 1.0)
    ]  # fmt: skip
    agreements = []
    for cohort in cohorts:
        first, second = cohort.nets.logits(ground.test).unflatten(-1, (2, -1)).argmax(-1).unbind(-1)
        agreements.append((first == second).double().mean(-1).cpu())
    return _if_converged(MeanInequality.of(*agreements, slack=-0.01), *cohorts)


def _reversed(student: Tensor, peers: Tensor, /, *, temperature: float) -> Tensor:
    laws = [(side / temperature).log_softmax(-1) for side in (student.expand_as(peers), peers)]
    return (laws[0].exp() * (laws[0] - laws[1])).sum(-1).mean(0)


def _one_peer_only(
    student: Tensor, peers: Tensor, /, *, temperature: float, _true: _Loss = divergence_from_mean_peer
) -> Tensor:
    return _true(student, peers[:1], temperature=temperature)


@claim(
    section="3.1",
    formula=r"\nabla_{z}\,\tfrac{1}{K-1}\textstyle\sum_{l}\mathrm{KL}(p_l\|q) ="
    r" \nabla_{z}\,\mathrm{KL}\bigl(\tfrac{1}{K-1}\sum_l p_l\,\|\,q\bigr)",
    source="zhang2018deep",
    assumes=("No gradient flows into the peers.",),
    control=Control("the peers' logits are averaged, not their probabilities", mean="geometric"),
    uses=(mean_peer_divergence, divergence_from_mean_peer),
    mutants=(
        Mutant("the divergences are reversed", mean_peer_divergence, _reversed),
        Mutant("the ensemble is one peer", divergence_from_mean_peer, _one_peer_only),
    ),
)
def both_forms_of_mutual_learning_have_one_gradient(
    setting: Setting, /, *, mean: str = "arithmetic"
) -> Evidence:
    """The mean of a student's divergences from its peers and its divergence from their mean have the same
    gradient, so that the two forms of deep mutual learning train alike: they differ by the peers' own
    Jensen–Shannon divergence.

    How it's judged: automatic differentiation on logits on real images with three peers, at T = 1 and 3.
    Constants derived here.
    """
    student, teacher, _ = image_logits(setting, setting.size(quick=200, full=2000), spread=3.0)
    peers = torch.stack([teacher, teacher.roll(1, -1) / 2, student.roll(1, 0)])
    ensemble = peers if mean == "arithmetic" else peers.mean(0, keepdim=True)
    found: list[Tensor] = []
    stated: list[Tensor] = []
    for temperature in (1.0, 3.0):
        leaf = student.clone().requires_grad_()
        for gradients, form, heard in (
            (found, mean_peer_divergence, peers),
            (stated, divergence_from_mean_peer, ensemble),
        ):
            value = form(leaf, heard, temperature=temperature).sum()
            gradients.append(torch.autograd.grad(value, leaf)[0])
    return Identity.of(torch.cat(found), torch.cat(stated), tolerance=1e-9)
