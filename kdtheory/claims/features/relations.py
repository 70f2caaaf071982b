"""Chapter 2.4 and 2.5, relations: what each of them does not see, and what that means for the logits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.claims.wrong import Wrong, arguments
from kdtheory.experiments import Rows
from kdtheory.experiments.features.moved import sheared, translated
from kdtheory.experiments.features.relations import (
    flow_losses_of_permuted_positions,
    relation_losses_of_permuted_classes,
    relational_losses_of_moved_logits,
    responses,
    similarity_losses_of_moved_logits,
)
from kdtheory.losses.relations import (
    correlation_congruence,
    flow_matrix_loss,
    probabilistic_transfer,
    relational_angle_loss,
    relational_distance_loss,
    similarity_preserving,
)

ZERO = "a loss of zero: a factor leaves it zero"
INVARIANCE = "an invariance: a factor scales both sides alike"


def _distances(features: Tensor) -> Tensor:
    return torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")


def _on_both_sides(of: Callable[[Tensor], Tensor], loss: Callable[[Tensor, Tensor], Tensor]) -> Wrong:
    """Another loss: between a relation of the student and that of the teacher."""
    return Wrong(lambda _: lambda student, teacher, /: loss(of(student), of(teacher)))


def _squared(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).square().mean()


def _gram(features: Tensor) -> Tensor:
    return features @ features.mT


def _sides(features: Tensor) -> Tensor:
    return _gram(features[None] - features[:, None])


def _kernel(features: Tensor) -> Tensor:
    return (-0.01 * _distances(features).square()).exp()


def _itself(features: Tensor) -> Tensor:
    return features


def _first_coordinate_twice(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cat([2 * student[:, :1], student[:, 1:]], 1), teacher


def _second_layer_a_position_behind(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor]
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    first, second = student
    return (first, second.flatten(2).roll(1, -1).reshape(second.shape)), teacher


@claim(
    section="2.4",
    formula=r"s_i = cQt_i + b,\ c > 0,\ Q^\top Q = I \ \Rightarrow\ \mathcal L_{RKD\text{-}D} ="
    r" \mathcal L_{RKD\text{-}A} = 0",
    source="park2019relational",
    place="derived here",
    assumes=("Some two examples differ.",),
    experiment=relational_losses_of_moved_logits,
    control=Control("the features are sheared", moves=(sheared,)),
    mutants=(
        Mutant(
            "distances are not divided by their mean",
            relational_distance_loss,
            _on_both_sides(_distances, smooth_l1_loss),
        ),
        Mutant(
            "inner products for distances", relational_distance_loss, _on_both_sides(_gram, smooth_l1_loss)
        ),
        Mutant(
            "the sides of the angle are not normalised",
            relational_angle_loss,
            _on_both_sides(_sides, smooth_l1_loss),
        ),
    ),
    loose=ZERO,
)
def relational_losses_are_zero_under_every_similarity(rows: Rows, /) -> Evidence:
    """The distance-wise and the angle-wise relational loss are both zero where the student's features are a
    similarity of the teacher's: rotated, moved and scaled.

    Against 1, the loss's own unit. A shear changes both.
    """
    return Joint(
        parts={
            name: Identity.of(rows[name], torch.zeros_like(rows[name]), tolerance=1e-12, effect=1.0)
            for name in ("distances", "angles")
        }
    )


@claim(
    section="2.4",
    formula=r"z_s = Pz_t,\ P \text{ a permutation of the classes} \ \Rightarrow\ \mathcal L_{R}(z_s, z_t) = 0"
    r"\ \text{ and }\ \Pr[\arg\max z_s = \arg\max z_t] = 0",
    source="park2019relational",
    place="derived here",
    assumes=("No two logits of an example are equal.", "No class keeps its place."),
    experiment=relation_losses_of_permuted_classes,
    control=(
        Control("the loss is the divergence of the responses", losses=(responses,)),
        Control("every class keeps its place", places=0),
    ),
    mutants=(
        Mutant("differences of the logits", relational_distance_loss, _on_both_sides(_itself, _squared)),
        Mutant("the same for angles", relational_angle_loss, _on_both_sides(_itself, _squared)),
        Mutant("the same for similarities", similarity_preserving, _on_both_sides(_itself, _squared)),
    ),
    loose=ZERO,
)
def zero_relation_loss_does_not_mean_equal_logits(rows: Rows, /) -> Evidence:
    """A student can have relation losses of zero on its logits and agree with its teacher on no example: its
    logits are the teacher's with the classes permuted.

    Losses against 1. The divergence of the responses, by contrast, is zero only for equal laws; and where
    every class keeps its place both agree everywhere.
    """
    parts: dict[str, Evidence] = {
        f"{name}: zero": Identity.of(losses, torch.zeros_like(losses), tolerance=1e-12, effect=1.0)
        for name, losses in zip(rows.name, rows.loss, strict=True)
    }
    nowhere = Inequality.of(rows.agreement, torch.zeros_like(rows.agreement))
    return Joint(parts={**parts, "agree nowhere": nowhere})


@claim(
    section="2.5",
    formula=r"\mathcal L(\{c_i Q s_i\}, t) = \mathcal L(s, t),\quad Q^\top Q = I,\ c_i > 0"
    r"\ (c_i = c \text{ for similarity-preserving})",
    source="tung2019similarity",
    place="derived here",
    experiment=similarity_losses_of_moved_logits,
    control=Control("the student's features are moved", together=(translated,), apart=()),
    mutants=(
        Mutant("the rows are not normalised", similarity_preserving, _on_both_sides(_gram, _squared)),
        Mutant("the features are not normalised", correlation_congruence, _on_both_sides(_kernel, _squared)),
        Mutant("a coordinate counts double", probabilistic_transfer, arguments(_first_coordinate_twice)),
    ),
    loose=INVARIANCE,
)
def similarity_losses_ignore_rotation_and_length(rows: Rows, /) -> Evidence:
    """Similarity-preserving distillation, correlation congruence and probabilistic transfer do not change
    when the student's features are rotated and scaled; the latter two, which normalise each example, not even
    when every example is scaled by itself. None of them ignores a translation, as relational distances do.
    """
    return Joint(
        parts={
            name: Identity.of(rows[f"{name}_after"], rows[f"{name}_before"], tolerance=1e-8)
            for name in ("congruence", "transfer", "similarity")
        }
    )


@claim(
    section="2.5",
    formula=r"G_{ij} = \tfrac{1}{HW}\textstyle\sum_{xy} F^1_{i,x,y} F^2_{j,x,y}"
    r"\ \text{ does not depend on the order of the positions}",
    source="yim2017gift",
    place="derived here",
    experiment=flow_losses_of_permuted_positions,
    control=Control("each layer has an order of its own", orders=2),
    mutants=(
        Mutant(
            "the second layer is a position behind",
            flow_matrix_loss,
            arguments(_second_layer_a_position_behind),
        ),
    ),
    loose=INVARIANCE,
)
def flow_matrix_ignores_the_order_of_positions(rows: Rows, /) -> Evidence:
    """The flow-matrix loss between two layers does not change when the positions of both of the student's
    maps are permuted alike.
    """
    return Identity.of(rows.after, rows.before, tolerance=1e-12)
