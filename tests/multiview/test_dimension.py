"""Plain torch networks in R^d: coverage, controls and kernels, which claims judge in the orthogonal limit."""

from __future__ import annotations

from dataclasses import replace
from math import comb

import pytest
import torch
from torch import Tensor
from torch.func import jacrev
from torch.nn.functional import one_hot

from kdtheory.experiments.multiview.designs import BINARY, NO_RACE, Design
from kdtheory.multiview import (
    Comparison,
    compare_plain,
    missed_share,
    missed_view_probability,
    span_coordinates,
)
from kdtheory.risk import accuracy
from kdtheory.streams import Stream


def plain(design: Design, *, dim: int, members: int, stream: Stream) -> Comparison:
    """Networks trained on labels; their students take a single step."""
    plan = replace(design.plan, student_steps=1)
    sized = design.in_world(patch_dim=dim)
    return compare_plain(
        sized.world, sized.network, plan, members=members, students=1, self_students=1, stream=stream,
        test_points=100, stratified=True, device="cpu",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("design", "lacks"),
    [
        (NO_RACE.in_world(noise_norm=1.2), False),
        (BINARY.in_world(single_view=0.0, noise_norm=1.2), False),
        (BINARY.in_world(noise_norm=1.2), True),
    ],
    ids=["q = 2", "no single views", "neither"],
)
def test_without_race_or_single_views_one_network_lacks_nothing(design: Design, lacks: bool) -> None:
    """Claim 7.7: accuracy 0.99 alone and nothing for an ensemble to gain; by the same code, otherwise not."""
    found = plain(design, dim=4000, members=4, stream=Stream(0).child("controls"))
    single = float(found.single_accuracy.mean())
    assert (single < 0.97) == lacks
    assert (single >= 0.99 and found.ensemble_accuracy - single < 0.01) != lacks


def fair_coins(networks: int, size: int) -> tuple[float, float]:
    """Mean and variance of the share of ensembles that miss a view, each network with one at random."""
    heads = torch.arange(networks + 1)
    chances = torch.tensor([comb(networks, int(k)) / 2**networks for k in heads], dtype=torch.float64)
    shares = torch.tensor(
        [(comb(int(k), size) + comb(networks - int(k), size)) / comb(networks, size) for k in heads],
        dtype=torch.float64,
    )
    mean = float(chances @ shares)
    return mean, float(chances @ (shares - mean).square())


@pytest.mark.slow
def test_ensembles_miss_views_by_the_closed_form() -> None:
    """Claim 7.2 at d = 16,000: over the networks with exactly one view of a label, within four standard
    errors of fair coins of (1/2)^{N−1}, and away from (1/2)^N at N = 2.
    """
    sets = [
        plain(BINARY, dim=16_000, members=20, stream=Stream(0).child("coverage", r)).single.held
        for r in range(2)
    ]
    for size in (1, 2, 3, 4):
        shares, variances = [], []
        for held in sets:
            for label in range(2):
                one = held[held[:, label].sum(-1) == 1, label]
                shares.append(float(missed_share(one[:, None], size=size)))
                mean, variance = fair_coins(len(one), size)
                assert mean == pytest.approx(missed_view_probability(size))
                variances.append(variance)
        error = sum(variances) ** 0.5 / len(variances)
        found = sum(shares) / len(shares)
        assert abs(found - missed_view_probability(size)) <= 4 * error + 1e-12
        if size == 2:
            assert abs(found - 0.5**size) > 4 * error


@pytest.fixture(scope="module")
def linearised() -> tuple[dict[bool, Tensor], Tensor]:
    """Logits of six networks in R^d linearised at init_std 0.3: the start's output taken off, or kept."""
    world, stream = BINARY.in_world(patch_dim=16_000).world, Stream(0).child("linearised")
    points, test = world.stratified(40, stream.child("train")), world.stratified(20, stream.child("test"))
    inputs, fresh = span_coordinates(
        world, world.patches(points, stream.child("train")), world.patches(test, stream.child("test"))
    )
    dims = [part.shape[-1] // world.num_patches for part in (inputs, fresh)]
    network = replace(BINARY.network, init_std=0.3, patch_dim=dims[1])
    wide = inputs.new_zeros(40, world.num_patches, dims[1])
    wide[..., : dims[0]] = inputs.unflatten(-1, (world.num_patches, -1))
    both = torch.cat([wide.flatten(1), fresh]).double()
    target = one_hot(points.labels, 2).double()
    logits: dict[bool, list[Tensor]] = {True: [], False: []}
    for theta in network.init(stream.child("nets"), members=6, dtype=torch.float64):
        start = network.logits(theta[None], both)[0]
        jacobian = jacrev(lambda t: network.logits(t[None], both)[0])(theta)
        kernel = torch.einsum("ict,jct->cij", jacobian, jacobian[:40])
        rate = 1 / torch.linalg.eigvalsh(kernel[:, :40]).max()
        for centred, kept in logits.items():
            first, alpha = start * (not centred), torch.zeros(40, 2, dtype=torch.float64)
            for _ in range(1000):
                now = first[:40] + torch.einsum("cij,jc->ic", kernel[:, :40], alpha)
                alpha += rate * (target - now.softmax(-1))
            kept.append(first[40:] + torch.einsum("cij,jc->ic", kernel[:, 40:], alpha))
    return {centred: torch.stack(kept) for centred, kept in logits.items()}, test.labels


@pytest.mark.slow
def test_linearised_networks_lack_no_view(linearised: tuple[dict[bool, Tensor], Tensor]) -> None:
    """Claim 7.5 at d = 16,000: with the start's output taken off, one is accurate and six gain nothing."""
    logits, labels = linearised
    single = float(accuracy(logits[True], labels).mean())
    assert single >= 0.99
    assert abs(float(accuracy(logits[True].mean(0), labels)) - single) < 0.01


@pytest.mark.slow
def test_an_ensemble_averages_out_what_a_large_start_says(
    linearised: tuple[dict[bool, Tensor], Tensor],
) -> None:
    """With the start's output kept, noise patches of fresh points mislead one network, and six less."""
    logits, labels = linearised
    single = float(accuracy(logits[False], labels).mean())
    assert single < 0.98
    assert float(accuracy(logits[False].mean(0), labels)) > single + 0.01
