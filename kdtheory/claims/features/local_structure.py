"""Chapter 2.1, local structure preserving: the printed rows, the mended ones, and what they do not see."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, Identity, Joint, WorstRatio
from kdtheory.claims.verdict import Verdict
from kdtheory.claims.wrong import given, swapped
from kdtheory.experiments import Rows
from kdtheory.experiments.features.local_structure import (
    local_structure_losses_of_moved_features,
    mended,
    printed_local_structure,
    rows_of_local_structures,
)
from kdtheory.experiments.features.moved import stretched
from kdtheory.losses.features import SIMILARITIES, local_structure_loss

NEIGHBOURS = "Every example has at least one neighbour."


def _exp_put_back(features: Tensor, /, *, edges: Tensor) -> Tensor:
    weights = (features[:, None] - features[None]).square().sum(-1).exp() * edges
    return weights / weights.sum(-1, keepdim=True)


def _no_exp_at_all(features: Tensor, /, *, edges: Tensor) -> Tensor:
    squares = (features[:, None] - features[None]).square().sum(-1) * edges
    return squares / squares.sum(-1, keepdim=True)


@claim(
    section="2.1",
    formula=r"LS_{ij} = \frac{e^{\lVert z_i - z_j\rVert_2^2}}{\sum_{j:(j,i)\in\mathcal E}\lVert z_i - z_j"
    r"\rVert_2^2};\qquad \text{mended: }"
    r" LS_{ij} = \frac{e^{s(z_i, z_j)}}{\sum_{j:(j,i)\in\mathcal E} e^{s(z_i, z_j)}},\ \sum_j LS_{ij} = 1",
    source="shen2021deep",
    place="Section 3.2",
    assumes=(NEIGHBOURS,),
    experiment=rows_of_local_structures,
    control=Control(
        "the denominator has its exponential", structure=mended, similarities=tuple(SIMILARITIES)
    ),
    mutants=(
        Mutant("the exponential is put back", printed_local_structure, _exp_put_back),
        Mutant("neither part has its exponential", printed_local_structure, _no_exp_at_all),
    ),
    expect=Verdict.REFUTED,
    loose="refuted from afar: a factor leaves it refuted",
    cost=1.5,
)
def printed_local_structure_has_rows_that_sum_to_one(rows: Rows, /) -> Evidence:
    """As printed: the local structure e^{‖z_i − z_j‖²}/Σ‖z_i − z_j‖² is a distribution over the neighbours of
    each example, so that its rows sum to one and two of them can be compared by a divergence.

    The printed denominator lacks the exponential; with it the rows sum to one, for each of the four
    similarities of Yang et al. (2020), and the search finds no divergence below zero.
    """
    parts: dict[str, Evidence] = {}
    for name, sums, ratio in zip(rows.similarity, rows.sum, rows.searched, strict=True):
        parts[name] = Identity.of(sums, torch.ones_like(sums), tolerance=1e-12)
        parts[f"{name}, divergence"] = WorstRatio(attempts=rows.attempts, ratio=ratio, must_reach=0.999)
    return Joint(parts=parts)


@claim(
    section="2.1",
    formula=r"\mathcal L = \tfrac1n\textstyle\sum_i \mathrm{KL}(LS^s_i \,\|\, LS^t_i),\quad"
    r" \mathcal L(Qz^s + b, z^t) = \mathcal L(z^s, z^t)",
    source="yang2020distilling",
    place="derived here",
    assumes=(NEIGHBOURS, "For the inner product and the polynomial there is no translation b."),
    experiment=local_structure_losses_of_moved_features,
    control=Control(
        "the coordinates are stretched unequally", for_distances=(stretched,), for_products=(stretched,)
    ),
    mutants=(
        Mutant("inner products in place of distances", local_structure_loss, given(similarity="linear")),
        Mutant("the divergence is reversed", local_structure_loss, swapped()),
    ),
)
def local_structure_ignores_rotation_and_translation(rows: Rows, /) -> Evidence:
    """The local-structure loss is the mean divergence of the student's rows from the teacher's, and does not
    change when the student's features are rotated; nor, with the Euclidean and the RBF similarity, when they
    are moved.
    """
    parts: dict[str, Evidence] = {}
    for name in SIMILARITIES:
        loss, moved = rows[f"{name}_loss"], rows[f"{name}_moved"]
        parts[f"{name}, value"] = Identity.of(loss, rows[f"{name}_divergence"], tolerance=1e-9)
        parts[f"{name}, moved"] = Identity.of(moved, loss.expand_as(moved), tolerance=1e-9)
    return Joint(parts=parts)
