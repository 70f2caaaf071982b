"""Local structures of features drawn at random: their rows, divergences, and the loss of moved features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.features.moved import Move, drawn, rotated, translated
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.losses.features import local_structure, local_structure_loss
from kdtheory.search import worst_case

Structure = Callable[[Tensor, Tensor, str], Tensor]


def printed_local_structure(features: Tensor, /, *, edges: Tensor) -> Tensor:
    """e^{‖z_i − z_j‖²} / Σ_{j:(j,i)∈E} ‖z_i − z_j‖², as the notes print it."""
    squares = (features[:, None] - features[None]).square().sum(-1)
    return squares.exp() * edges / (squares * edges).sum(-1, keepdim=True)


def printed(features: Tensor, edges: Tensor, similarity: str) -> Tensor:
    """The printed rows, of distances only."""
    return printed_local_structure(features, edges=edges)


def mended(features: Tensor, edges: Tensor, similarity: str) -> Tensor:
    """The rows with an exponential in the denominator."""
    return local_structure(features, edges=edges, similarity=similarity)


@experiment
def rows_of_local_structures(
    run: Run, /, *, structure: Structure = printed, similarities: tuple[str, ...] = ("euclidean",)
) -> Rows:
    """20 random graphs on 12 examples with random features: the row sums, similarities × graphs × examples;
    and, for students of 5 examples in the plane, the largest e^{−Σ LS^s ln(LS^s/LS^t)/5} that a search of 8
    starts finds, which is 1 where student and teacher are equal.
    """
    graphs = [_graph(run, trial) for trial in range(run.size(quick=20, full=200))]
    attempts = run.size(quick=8, full=64)
    return Rows(
        similarity=similarities,
        sum=torch.stack(
            [torch.stack([structure(*graph, name).sum(-1) for graph in graphs]) for name in similarities]
        ),
        attempts=attempts,
        searched=[_least_divergence(run, structure, name, attempts) for name in similarities],
    )


@experiment
def local_structure_losses_of_moved_features(
    run: Run,
    /,
    *,
    for_distances: tuple[Move, ...] = (rotated, translated),
    for_products: tuple[Move, ...] = (rotated,),
) -> Rows:
    """10 pairs of features of 12 examples, widths 4 and 6, drawn at random: for each similarity the loss, the
    mean divergence of the rows themselves, and the loss after each of the moves; moves × pairs. The moves
    differ between similarities of distances and of inner products.
    """
    columns: dict[str, Tensor] = {}
    pairs = [_features(run, trial) for trial in range(run.size(quick=10, full=100))]
    for names, moves in ((("euclidean", "rbf"), for_distances), (("linear", "polynomial"), for_products)):
        for name in names:
            losses = [local_structure_loss(*pair, similarity=name) for pair in pairs]
            divergences = [_divergence(*pair, name) for pair in pairs]
            moved = [
                local_structure_loss(
                    move(pair[0], run.stream.child("moves", trial)), pair[1], similarity=name
                )
                for move in moves
                for trial, pair in enumerate(pairs)
            ]
            columns[f"{name}_loss"] = torch.stack(losses)
            columns[f"{name}_divergence"] = torch.stack(divergences)
            columns[f"{name}_moved"] = torch.stack(moved).view(len(moves), -1)
    return Rows(**columns)


def _least_divergence(run: Run, structure: Structure, name: str, attempts: int) -> float:
    edges = ~torch.eye(5, dtype=torch.bool)
    target = structure(drawn(run.stream.child("search", name, "teacher"), 5, 2) / 2, edges, name)[edges]

    def ratio(points: Tensor) -> Tensor:
        students = torch.stack(
            [structure(point, edges, name)[edges] for point in points.unflatten(1, (5, 2))]
        )
        divergence: Tensor = (students * (students / target).log()).sum(-1) / 5
        return (-divergence).exp()

    starts = drawn(run.stream.child("search", name, "starts"), attempts, 10) / 2
    return worst_case(ratio, starts, steps=100, polished=1).ratio


def _graph(run: Run, trial: int) -> tuple[Tensor, Tensor]:
    """Features of 12 examples and a random graph that includes a ring."""
    here = run.stream.child("graphs", trial)
    features = drawn(here.child("features"), 12, 4) / 2
    edges = torch.rand(12, 12, generator=here.child("edges").torch()) < 0.3
    ring = torch.eye(12, dtype=torch.bool).roll(1, 0)
    return features, (edges | ring) & ~torch.eye(12, dtype=torch.bool)


def _features(run: Run, trial: int) -> tuple[Tensor, Tensor]:
    here = run.stream.child("features", trial)
    return drawn(here.child("student"), 12, 4) / 2, drawn(here.child("teacher"), 12, 6) / 2


def _divergence(student: Tensor, teacher: Tensor, similarity: str) -> Tensor:
    p, q = (local_structure(side, similarity=similarity) for side in (student, teacher))
    off = ~torch.eye(len(p), dtype=torch.bool)
    return (p[off] * (p[off] / q[off]).log()).sum() / len(p)
