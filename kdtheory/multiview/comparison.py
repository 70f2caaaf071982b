"""Single networks, their ensemble, students distilled from it, and from one network: side by side.

The same in both spaces: in the orthogonal limit, and by plain torch networks on d-dimensional patches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.losses import distillation, label_loss
from kdtheory.multiview.coverage import views_held
from kdtheory.multiview.limit import limit_start, train_limit
from kdtheory.networks.patches import PatchNetwork
from kdtheory.populations import Population, train
from kdtheory.problems.multi_view import MultiViewWorld, Views
from kdtheory.recipe import Recipe
from kdtheory.risk import accuracy
from kdtheory.streams import Stream

__all__ = ["Arm", "Comparison", "ComparisonPlan", "compare", "compare_plain", "span_coordinates"]


@door
@dataclass(frozen=True)
class ComparisonPlan:
    """The networks that are compared: those trained on the labels of n stratified points, and their students.

    Args:
        n: training points.
        recipe: of the networks trained on labels, and of the others but for their steps; gradient descent in
            the orthogonal limit, which takes ``optimizer="sgd"``.
        temperature: T of distillation.
        weight: λ of the teacher.
        student_steps: of the distilled networks.
        warm_steps: of the distilled networks on the labels alone before that: a student that has first won a
            view of its own is what the paper's analysis of self-distillation has.
        cap: of the logits under the temperature; see `train_limit`.
    """

    n: int
    recipe: Recipe
    temperature: float = 4.0
    weight: float = 1.0
    student_steps: int = 2000
    warm_steps: int = 0
    cap: float = math.inf


@door
@dataclass(frozen=True, eq=False)
class Arm:
    """Networks trained in one way.

    Args:
        logits: on the fresh points.
        train_logits: on the training points.
        held: which views each network holds of each class.
    """

    logits: Float[Tensor, "members t k"]
    train_logits: Float[Tensor, "members n k"]
    held: Bool[Tensor, "members k v"]


@door
@dataclass(frozen=True, eq=False)
class Comparison:
    """The four of them, on one training set.

    Args:
        single: networks trained on the labels; their mean is the ensemble.
        distilled: fresh networks, distilled from the ensemble on the same points.
        self_distilled: fresh networks, each distilled from one of the single ones; empty where none was
            asked for, and then without accuracies.
        train: the training points.
        test: the fresh points.
    """

    single: Arm
    distilled: Arm
    self_distilled: Arm
    train: Views
    test: Views

    @property
    def single_accuracy(self) -> Float[Tensor, "members"]:
        """Test accuracy of each network trained on the labels."""
        return accuracy(self.single.logits, self.test.labels)

    @property
    def ensemble_accuracy(self) -> float:
        """Test accuracy of the mean of their logits."""
        return float(accuracy(self.single.logits.mean(0), self.test.labels))

    @property
    def distilled_accuracy(self) -> Float[Tensor, "students"]:
        """Test accuracy of each student of the ensemble."""
        return accuracy(self.distilled.logits, self.test.labels)

    @property
    def self_distilled_accuracy(self) -> Float[Tensor, "students"]:
        """Test accuracy of each student of one network."""
        return accuracy(self.self_distilled.logits, self.test.labels)


Trainer = Callable[[str, Tensor | None, int, Recipe], Arm]


@door
def compare(
    world: MultiViewWorld,
    network: PatchNetwork,
    plan: ComparisonPlan,
    /,
    *,
    members: int,
    students: int,
    self_students: int | None = None,
    stream: Stream,
    test_points: int = 1000,
    stratified: bool = False,
) -> Comparison:
    """Train and distil in the orthogonal limit.

    Args:
        world: where the points come from; its patch dimension plays no part.
        network: the architecture of all.
        plan: how many points, how they are trained and distilled.
        members: networks in the ensemble.
        students: of the ensemble.
        self_students: of single networks, at most `members`, 0 for none; as many as `students` where None.
        stream: the training points, the starts, and the fresh points.
        test_points: fresh points.
        stratified: whether they have the exact shares of the world (`MultiViewWorld.stratified`), so that one
            view of each label is worth 1 − μ/2 and no more or less by chance.

    Raises:
        ValueError: more students than members, or a number out of its range.
    """
    points = world.stratified(plan.n, stream.child("train"))
    test = _fresh(world, test_points, stratified, stream)

    def fit(name: str, teacher: Tensor | None, count: int, recipe: Recipe) -> Arm:
        start = limit_start(
            network, points, noise_norm=world.noise_norm, members=count, stream=stream.child(name)
        )
        if teacher is not None and plan.warm_steps:
            start = train_limit(start, points, recipe=recipe.but(steps=plan.warm_steps))
        nets = train_limit(
            start,
            points,
            recipe=recipe,
            teacher_logits=teacher,
            temperature=plan.temperature,
            weight=plan.weight,
            cap=plan.cap,
        )
        held = views_held(nets.projections, num_views=world.num_views, threshold=network.threshold)
        return Arm(nets.logits(test.coefficients), nets.train_logits(points), held)

    alone = students if self_students is None else self_students
    return _compared(fit, plan, points, test, (members, students, alone))


@door
def compare_plain(
    world: MultiViewWorld,
    network: PatchNetwork,
    plan: ComparisonPlan,
    /,
    *,
    members: int,
    students: int,
    self_students: int | None = None,
    stream: Stream,
    test_points: int = 500,
    stratified: bool = False,
    device: str | torch.device = "auto",
) -> Comparison:
    """Train and distil plain torch networks on patches in R^d.

    A network sees a patch only by its products with it, and its start is isotropic: so the patches are given
    by their coordinates in an orthonormal basis of the span of all training and fresh patches, those of the
    training patches first. Descent moves nothing but these, and the others stay at their start: the same law
    of networks at the cost of the dimension of the training patches instead of d.

    Args: as `compare`; the world's and the network's patch dimension is d. The plan's cap must be ∞.

    Raises:
        ValueError: as `compare`, or a finite cap.
    """
    if plan.cap != math.inf:
        raise ValueError(f"cap = {plan.cap} is for the limit; plain students are distilled without one")
    points = world.stratified(plan.n, stream.child("train"))
    test = _fresh(world, test_points, stratified, stream)
    inputs, fresh = span_coordinates(
        world, world.patches(points, stream.child("train")), world.patches(test, stream.child("test"))
    )
    whole, moved = (
        replace(network, patch_dim=part.shape[-1] // world.num_patches) for part in (fresh, inputs)
    )

    def fit(name: str, teacher: Tensor | None, count: int, recipe: Recipe) -> Arm:
        start = whole.unpack(whole.init(stream.child(name), members=count))["weight"]
        nets: Population = train(
            moved,
            inputs,
            points.labels,
            teacher_probs=None if teacher is None else teacher.softmax(-1),
            loss=label_loss if teacher is None else distillation,
            settings={} if teacher is None else {"temperature": plan.temperature, "weight": plan.weight},
            members=count,
            stream=stream.child(name),
            recipe=recipe,
            initial=start[..., : moved.patch_dim].flatten(1),
            device=device,
        )
        weight = moved.unpack(nets.params.cpu())["weight"]
        full = torch.cat([weight, start[..., moved.patch_dim :]], -1).flatten(1)
        logits = torch.cat([whole.logits(one, fresh) for one in full.split(1)])  # few products at a time
        top = weight[..., : world.num_features]
        held = views_held(top, num_views=world.num_views, threshold=network.threshold)
        return Arm(logits.double(), nets.logits(inputs).cpu().double(), held)

    alone = students if self_students is None else self_students
    return _compared(fit, plan, points, test, (members, students, alone))


def _fresh(world: MultiViewWorld, count: int, stratified: bool, stream: Stream) -> Views:
    return (world.stratified if stratified else world.views)(count, stream.child("test"))


@door
def span_coordinates(
    world: MultiViewWorld, train: Float[Tensor, "n pd"], fresh: Float[Tensor, "t pd"], /
) -> tuple[Float[Tensor, "n short"], Float[Tensor, "t longer"]]:
    """Patches by their coordinates in an orthonormal basis of their span, float32.

    Features come first, then what the training patches add, and these are all that they need; then what the
    fresh patches add. As they are where that is no fewer than d.

    >>> world = MultiViewWorld(noise_patches=1, patch_dim=1000)
    >>> train, fresh = (world.sample(3, Stream(seed)).inputs for seed in (0, 1))
    >>> [part.shape[-1] // world.num_patches for part in span_coordinates(world, train, fresh)]  # 4+3, 4+3+3
    [7, 10]
    """
    dim, features = world.patch_dim, world.num_features
    patches = [part.unflatten(-1, (world.num_patches, dim)) for part in (train, fresh)]
    noise = torch.cat([part[:, features:].flatten(0, 1) for part in patches])
    if features + len(noise) >= dim:
        return train.float(), fresh.float()
    basis, upper = torch.linalg.qr(torch.cat([torch.eye(features, dim, dtype=torch.float64), noise]).T)
    basis = basis * upper.diagonal().sign()
    own = features + len(train) * world.noise_patches
    seen, unseen = patches
    return (seen @ basis[:, :own]).flatten(-2).float(), (unseen @ basis).flatten(-2).float()


def _compared(
    fit: Trainer, plan: ComparisonPlan, points: Views, test: Views, counts: tuple[int, int, int]
) -> Comparison:
    members, students, own = counts
    if own > members:
        raise ValueError(f"self_students = {own} is more than members = {members}: each has its own teacher")
    single = fit("single", None, members, plan.recipe)
    teachers, longer = single.train_logits, plan.recipe.but(steps=plan.student_steps)
    distilled = fit("distilled", teachers.mean(0), students, longer)
    if own == 0:
        alone = Arm(single.logits[:0], teachers[:0], single.held[:0])
    else:
        alone = fit("self-distilled", teachers[:own], own, longer)
    return Comparison(single, distilled, alone, points, test)
