"""Chapter 2.1, local structure preserving: the printed rows, the mended ones, and what they do not see."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Joint, WorstRatio
from kdtheory.claims.features.moved import MOVES, drawn
from kdtheory.claims.verdict import Verdict
from kdtheory.losses.features import SIMILARITIES, local_structure, local_structure_loss
from kdtheory.search import worst_case

NEIGHBOURS = "Every example has at least one neighbour."


def printed_local_structure(features: Tensor, /, *, edges: Tensor) -> Tensor:
    """e^{‖z_i − z_j‖²} / Σ_{j:(j,i)∈E} ‖z_i − z_j‖², as the notes print it."""
    squares = (features[:, None] - features[None]).square().sum(-1)
    return squares.exp() * edges / (squares * edges).sum(-1, keepdim=True)


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
    assumes=(NEIGHBOURS,),
    control=Control("the denominator has its exponential", rows="mended"),
    uses=(printed_local_structure, local_structure),
    mutants=(
        Mutant("the exponential is put back", printed_local_structure, _exp_put_back),
        Mutant("neither part has its exponential", printed_local_structure, _no_exp_at_all),
    ),
    expect=Verdict.REFUTED,
    loose="refuted from afar: a factor leaves it refuted",
)
def printed_local_structure_has_rows_that_sum_to_one(
    setting: Setting, /, *, rows: str = "printed"
) -> Evidence:
    """As printed: the local structure e^{‖z_i − z_j‖²}/Σ‖z_i − z_j‖² is a distribution over the neighbours of
    each example, so that its rows sum to one and two of them can be compared by a divergence.

    How it's judged: the row sums for features drawn at random and random graphs, and a search for a student
    whose divergence Σ LS^s ln(LS^s/LS^t) from its teacher is negative. The printed denominator lacks the
    exponential; with it the rows sum to one, for each of the four similarities of Yang et al. (2020), and no
    divergence is below zero.
    """
    parts: dict[str, Evidence] = {}
    for name in SIMILARITIES if rows == "mended" else ("euclidean",):
        sums = []
        for trial in range(setting.size(quick=20, full=200)):
            features, edges = _graph(setting, trial)
            if rows == "mended":
                sums.append(local_structure(features, edges=edges, similarity=name).sum(-1))
            else:
                sums.append(printed_local_structure(features, edges=edges).sum(-1))
        found = torch.stack(sums)
        parts[name] = Identity.of(found, torch.ones_like(found), tolerance=1e-12)
        parts[f"{name}, divergence"] = _least_divergence(setting, name, rows)
    return Joint(parts=parts)


def _least_divergence(setting: Setting, name: str, rows: str) -> WorstRatio:
    """The largest e^{−KL} over students of 5 examples in the plane; 1 where they equal their teacher."""
    attempts = setting.size(quick=8, full=64)
    edges = ~torch.eye(5, dtype=torch.bool)
    teacher = drawn(setting.stream.child("search", name, "teacher"), 5, 2) / 2

    def structure(features: Tensor) -> Tensor:
        if rows == "printed":
            return printed_local_structure(features, edges=edges)[edges]
        return local_structure(features, edges=edges, similarity=name)[edges]

    target = structure(teacher)

    def ratio(points: Tensor) -> Tensor:
        students = torch.stack([structure(point) for point in points.unflatten(1, (5, 2))])
        divergence: Tensor = (students * (students / target).log()).sum(-1) / 5
        return (-divergence).exp()

    starts = drawn(setting.stream.child("search", name, "starts"), attempts, 10) / 2
    found = worst_case(ratio, starts, steps=100, polished=1)
    return WorstRatio(attempts=attempts, ratio=found.ratio, must_reach=0.999)


def _always_linear(
    *sides: Tensor, similarity: str, _true: Callable[..., Tensor] = local_structure_loss
) -> Tensor:
    return _true(*sides, similarity="linear")


def _teacher_first(
    student: Tensor, teacher: Tensor, /, *, similarity: str,
    _true: Callable[..., Tensor] = local_structure_loss,
) -> Tensor:  # fmt: skip
    return _true(teacher, student, similarity=similarity)


@claim(
    section="2.1",
    formula=r"\mathcal L = \tfrac1n\textstyle\sum_i \mathrm{KL}(LS^s_i \,\|\, LS^t_i),\quad"
    r" \mathcal L(Qz^s + b, z^t) = \mathcal L(z^s, z^t)",
    source="yang2020distilling",
    assumes=(NEIGHBOURS, "For the inner product and the polynomial there is no translation b."),
    control=Control("the coordinates are stretched unequally", moves=("stretch",)),
    uses=(local_structure_loss, local_structure),
    mutants=(
        Mutant("inner products in place of distances", local_structure_loss, _always_linear),
        Mutant("the divergence is reversed", local_structure_loss, _teacher_first),
    ),
)
def local_structure_ignores_rotation_and_translation(
    setting: Setting, /, *, moves: tuple[str, ...] = ("rotation", "translation")
) -> Evidence:
    """The local-structure loss is the mean divergence of the student's rows from the teacher's, and does not
    change when the student's features are rotated; nor, with the Euclidean and the RBF similarity, when they
    are moved.

    How it's judged: the loss for features drawn at random, before and after, for each similarity; and its
    value against Σ_j LS^s ln(LS^s/LS^t) from the rows themselves.
    """
    parts: dict[str, Evidence] = {}
    for name in SIMILARITIES:
        told, values, moved, plain = [], [], [], []
        for trial in range(setting.size(quick=10, full=100)):
            student, teacher = _features(setting, trial)
            loss = local_structure_loss(student, teacher, similarity=name)
            told.append(loss)
            values.append(_divergence(student, teacher, name))
            for move in moves:
                if move == "translation" and name in ("linear", "polynomial"):
                    continue
                place = setting.stream.child("moves", trial)
                moved.append(local_structure_loss(MOVES[move](student, place), teacher, similarity=name))
                plain.append(loss)
        parts[f"{name}, value"] = Identity.of(torch.stack(told), torch.stack(values), tolerance=1e-9)
        parts[f"{name}, moved"] = Identity.of(torch.stack(moved), torch.stack(plain), tolerance=1e-9)
    return Joint(parts=parts)


def _graph(setting: Setting, trial: int) -> tuple[Tensor, Tensor]:
    """Features of 12 examples and a random graph that includes a ring."""
    here = setting.stream.child("graphs", trial)
    features = drawn(here.child("features"), 12, 4) / 2
    edges = torch.rand(12, 12, generator=here.child("edges").torch()) < 0.3
    ring = torch.eye(12, dtype=torch.bool).roll(1, 0)
    return features, (edges | ring) & ~torch.eye(12, dtype=torch.bool)


def _features(setting: Setting, trial: int) -> tuple[Tensor, Tensor]:
    here = setting.stream.child("features", trial)
    return drawn(here.child("student"), 12, 4) / 2, drawn(here.child("teacher"), 12, 6) / 2


def _divergence(student: Tensor, teacher: Tensor, similarity: str) -> Tensor:
    p, q = (local_structure(side, similarity=similarity) for side in (student, teacher))
    off = ~torch.eye(len(p), dtype=torch.bool)
    return (p[off] * (p[off] / q[off]).log()).sum() / len(p)
