"""Chapter 2.4 and 2.5, relations: what each of them does not see, and what that means for the logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.claims.features.moved import MOVES, drawn
from kdtheory.experiments.response.image_logits import image_logits
from kdtheory.losses import kl_divergence
from kdtheory.losses.relations import (
    correlation_congruence,
    flow_matrix_loss,
    probabilistic_transfer,
    relational_angle_loss,
    relational_distance_loss,
    similarity_preserving,
)

_Loss = Callable[[Tensor, Tensor], Tensor]


def _distances(features: Tensor) -> Tensor:
    return torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")


def _not_over_their_mean(student: Tensor, teacher: Tensor, /) -> Tensor:
    return smooth_l1_loss(_distances(student), _distances(teacher))


def _inner_products(student: Tensor, teacher: Tensor, /) -> Tensor:
    return smooth_l1_loss(student @ student.mT, teacher @ teacher.mT)


def _sides_not_normalised(student: Tensor, teacher: Tensor, /) -> Tensor:
    first, second = (side[None] - side[:, None] for side in (student, teacher))
    return smooth_l1_loss(first @ first.mT, second @ second.mT)


@claim(
    section="2.4",
    formula=r"s_i = cQt_i + b,\ c > 0,\ Q^\top Q = I \ \Rightarrow\ \mathcal L_{RKD\text{-}D} ="
    r" \mathcal L_{RKD\text{-}A} = 0",
    source="park2019relational",
    assumes=("Some two examples differ.",),
    control=Control("the features are sheared", moves=("shear",)),
    uses=(relational_distance_loss, relational_angle_loss),
    mutants=(
        Mutant("distances are not divided by their mean", relational_distance_loss, _not_over_their_mean),
        Mutant("inner products for distances", relational_distance_loss, _inner_products),
        Mutant("the sides of the angle are not normalised", relational_angle_loss, _sides_not_normalised),
    ),
    loose="a loss of zero: a factor leaves it zero",
)
def relational_losses_are_zero_under_every_similarity(
    setting: Setting, /, *, moves: tuple[str, ...] = ("rotation", "translation", "scale")
) -> Evidence:
    """The distance-wise and the angle-wise relational loss are both zero where the student's features are a
    similarity of the teacher's: rotated, moved and scaled.

    How it's judged: teachers are logits on real images, students the same after random moves, one after the
    other; against 1, the loss's own unit. A shear changes both.
    """
    distances, angles = [], []
    for trial in range(setting.size(quick=5, full=50)):
        teacher = _batch(setting, trial)
        student = _moved(teacher, moves, setting, trial)
        distances.append(relational_distance_loss(student, teacher))
        angles.append(relational_angle_loss(student, teacher))
    return Joint(
        parts={
            name: Identity.of(torch.stack(losses), torch.zeros(len(losses)), tolerance=1e-12, effect=1.0)
            for name, losses in (("distances", distances), ("angles", angles))
        }
    )


def _response(student: Tensor, teacher: Tensor, /) -> Tensor:
    return kl_divergence(student, teacher).mean()


def _of_the_features_themselves(student: Tensor, teacher: Tensor, /) -> Tensor:
    return (student - teacher).square().mean()


KNOWLEDGE = ("distances", "angles", "similarities")


@claim(
    section="2.4",
    formula=r"z_s = Pz_t,\ P \text{ a permutation of the classes} \ \Rightarrow\ \mathcal L_{R}(z_s, z_t) = 0"
    r"\ \text{ and }\ \Pr[\arg\max z_s = \arg\max z_t] = 0",
    source="park2019relational",
    assumes=("No two logits of an example are equal.", "No class keeps its place."),
    control=(
        Control("the loss is the divergence of the responses", knowledge=("responses",)),
        Control("every class keeps its place", moved=0),
    ),
    uses=(relational_distance_loss, relational_angle_loss, similarity_preserving),
    mutants=(
        Mutant("differences of the logits", relational_distance_loss, _of_the_features_themselves),
        Mutant("the same for angles", relational_angle_loss, _of_the_features_themselves),
        Mutant("the same for similarities", similarity_preserving, _of_the_features_themselves),
    ),
    loose="a loss of zero: a factor leaves it zero",
)
def zero_relation_loss_does_not_mean_equal_logits(
    setting: Setting, /, *, knowledge: tuple[str, ...] = KNOWLEDGE, moved: int = 1
) -> Evidence:
    """A student can have relation losses of zero on its logits and agree with its teacher on no example: its
    logits are the teacher's with the classes permuted.

    How it's judged: logits on real images, the classes moved on by one; the relational, angular and
    similarity-preserving losses against 1, and the share of examples on which both choose one class. The
    divergence of the responses, by contrast, is zero only for equal laws; and where every class keeps its
    place both agree everywhere.
    """
    losses: dict[str, _Loss] = {
        "distances": relational_distance_loss,
        "angles": relational_angle_loss,
        "similarities": similarity_preserving,
        "responses": _response,
    }
    teachers = [_batch(setting, trial) for trial in range(setting.size(quick=5, full=50))]
    pairs = [(teacher.roll(moved, -1), teacher) for teacher in teachers]
    parts: dict[str, Evidence] = {}
    for name in knowledge:
        values = torch.stack([losses[name](*pair) for pair in pairs])
        parts[f"{name}: zero"] = Identity.of(values, torch.zeros_like(values), tolerance=1e-12, effect=1.0)
    agreement = torch.stack([(s.argmax(-1) == t.argmax(-1)).double().mean() for s, t in pairs])
    parts["agree nowhere"] = Inequality.of(agreement, torch.zeros_like(agreement))
    return Joint(parts=parts)


def _gram_matrices(student: Tensor, teacher: Tensor, /) -> Tensor:
    return (student @ student.mT - teacher @ teacher.mT).square().mean()


def _without_normalisation(student: Tensor, teacher: Tensor, /) -> Tensor:
    first, second = ((-0.01 * _distances(side).square()).exp() for side in (student, teacher))
    return (first - second).square().mean()


def _first_coordinate_counts_double(
    student: Tensor, teacher: Tensor, /, *, _true: _Loss = probabilistic_transfer
) -> Tensor:
    weighted = student.clone()
    weighted[:, 0] *= 2
    return _true(weighted, teacher)


@claim(
    section="2.5",
    formula=r"\mathcal L(\{c_i Q s_i\}, t) = \mathcal L(s, t),\quad Q^\top Q = I,\ c_i > 0"
    r"\ (c_i = c \text{ for similarity-preserving})",
    source="tung2019similarity",
    control=Control("the student's features are moved", moves=("translation",)),
    uses=(similarity_preserving, correlation_congruence, probabilistic_transfer),
    mutants=(
        Mutant("the rows are not normalised", similarity_preserving, _gram_matrices),
        Mutant("the features are not normalised", correlation_congruence, _without_normalisation),
        Mutant("a coordinate counts double", probabilistic_transfer, _first_coordinate_counts_double),
    ),
    loose="an invariance: a factor scales both sides alike",
)
def similarity_losses_ignore_rotation_and_length(
    setting: Setting, /, *, moves: tuple[str, ...] = ("rotation", "scale", "scale of each example")
) -> Evidence:
    """Similarity-preserving distillation, correlation congruence and probabilistic transfer do not change
    when the student's features are rotated and scaled; the latter two, which normalise each example, not even
    when every example is scaled by itself. None of them ignores a translation, as relational distances do.

    How it's judged: losses between two sets of logits on real images, before and after; similarity-preserving
    is spared the separate scales.
    """
    found: dict[str, tuple[list[Tensor], list[Tensor]]] = {}
    for trial in range(setting.size(quick=5, full=50)):
        student, teacher = _batch(setting, trial), _batch(setting, trial + 1000)
        moved = _moved(student, moves, setting, trial)
        together = tuple(move for move in moves if move != "scale of each example")
        losses = {
            "congruence": (correlation_congruence(moved, teacher), correlation_congruence(student, teacher)),
            "transfer": (probabilistic_transfer(moved, teacher), probabilistic_transfer(student, teacher)),
            "similarity": (
                similarity_preserving(_moved(student, together, setting, trial), teacher),
                similarity_preserving(student, teacher),
            ),
        }
        for name, pair in losses.items():
            for side, value in zip(found.setdefault(name, ([], [])), pair, strict=True):
                side.append(value)
    return Joint(
        parts={
            name: Identity.of(torch.stack(sides[0]), torch.stack(sides[1]), tolerance=1e-8)
            for name, sides in found.items()
        }
    )


def _flows_of_the_next_position(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    /,
    *,
    _true: Callable[..., Tensor] = flow_matrix_loss,
) -> Tensor:
    first, second = student
    return _true((first, second.flatten(2).roll(1, -1).reshape(second.shape)), teacher)


@claim(
    section="2.5",
    formula=r"G_{ij} = \tfrac{1}{HW}\textstyle\sum_{xy} F^1_{i,x,y} F^2_{j,x,y}"
    r"\ \text{ does not depend on the order of the positions}",
    source="yim2017gift",
    control=Control("each layer has an order of its own", orders=2),
    uses=(flow_matrix_loss,),
    mutants=(Mutant("the second layer is a position behind", flow_matrix_loss, _flows_of_the_next_position),),
    loose="an invariance: a factor scales both sides alike",
)
def flow_matrix_ignores_the_order_of_positions(setting: Setting, /, *, orders: int = 1) -> Evidence:
    """The flow-matrix loss between two layers does not change when the positions of both of the student's
    maps are permuted alike.

    How it's judged: random maps of 3 × 4 positions, 5 and 6 channels, before and after a random permutation.
    """
    before, after = [], []
    for trial in range(setting.size(quick=20, full=200)):
        here = setting.stream.child("flows", trial)
        student, teacher = (
            (drawn(here.child(side, 1), 2, 5, 3, 4), drawn(here.child(side, 2), 2, 6, 3, 4))
            for side in ("student", "teacher")
        )
        first = torch.randperm(12, generator=here.child("order", 0).torch())
        second = torch.randperm(12, generator=here.child("order", orders - 1).torch())
        permuted = tuple(
            maps.flatten(2)[..., order].reshape(maps.shape)
            for maps, order in zip(student, (first, second), strict=True)
        )
        before.append(flow_matrix_loss(student, teacher))
        after.append(flow_matrix_loss((permuted[0], permuted[1]), teacher))
    return Identity.of(torch.stack(after), torch.stack(before), tolerance=1e-12)


def _batch(setting: Setting, trial: int) -> Tensor:
    """A teacher's logits on 24 real images."""
    here = replace(setting, stream=setting.stream.child("batches", trial))
    return image_logits(here, 24, spread=1.5)[1]


def _moved(features: Tensor, moves: tuple[str, ...], setting: Setting, trial: int) -> Tensor:
    for move in moves:
        features = MOVES[move](features, setting.stream.child("moves", move, trial))
    return features
