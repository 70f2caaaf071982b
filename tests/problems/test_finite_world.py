"""Finite worlds against loops, exact sums and the frequencies of their own samples."""

from __future__ import annotations

import itertools
import math
import pickle

import pytest
import torch
from scipy import stats

from kdtheory.problems import FiniteWorld, random_finite_world
from kdtheory.streams import Stream

INPUTS = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])
WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
PROBS = torch.tensor([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]], dtype=torch.float64)


def world() -> FiniteWorld:
    return FiniteWorld(INPUTS, WEIGHTS, PROBS)


def test_sample_frequencies_match_the_joint_law():
    drawn, truth = world().sample((100, 2000), Stream(1)), (WEIGHTS[:, None] * PROBS).flatten()
    counts = torch.bincount((drawn.atoms * 3 + drawn.labels).flatten(), minlength=9)
    possible = truth > 0
    assert int(counts[~possible].sum()) == 0
    assert stats.chisquare(counts[possible], 200_000 * truth[possible]).pvalue > 1e-4


def test_members_of_a_population_draw_their_own_samples():
    drawn = world().sample((400, 500), Stream(2))
    shares = (drawn.atoms == 1).double().mean(-1)
    deviations = (shares - 0.5) / math.sqrt(0.25 / 500)
    assert stats.kstest(deviations, "norm").pvalue > 1e-4
    assert len({tuple(row.tolist()) for row in drawn.labels}) == 400


def test_sample_is_consistent_with_its_atoms_and_with_the_posterior():
    drawn = world().sample((3, 4, 5), Stream(3))
    assert drawn.inputs.shape == (3, 4, 5, 2)
    assert torch.equal(drawn.inputs, INPUTS[drawn.atoms])
    assert torch.equal(drawn.probs, world().posterior(drawn.inputs))
    assert (drawn.inputs.dtype, drawn.probs.dtype, drawn.labels.dtype) == (
        torch.float32,
        torch.float64,
        torch.int64,
    )


def test_the_same_stream_gives_the_same_sample_and_another_another():
    first, second, other = (world().sample(50, Stream(seed)) for seed in (4, 4, 5))
    assert torch.equal(first.atoms, second.atoms)
    assert torch.equal(first.labels, second.labels)
    assert not torch.equal(first.atoms, other.atoms)


def test_what_has_probability_zero_is_never_drawn_even_at_the_ends():
    weights = torch.tensor([0.0, 0.3, 0.0, 0.7, 0.0]).double()
    probs = torch.tensor([0.0, 0.1, 0.0, 0.9, 0.0]).double().expand(5, 5)
    drawn = FiniteWorld(torch.arange(5.0)[:, None], weights, probs).sample(200_000, Stream(6))
    assert set(drawn.atoms.unique().tolist()) == set(drawn.labels.unique().tolist()) == {1, 3}


def test_expectation_and_bayes_error_against_loops():
    subject = random_finite_world(Stream(7), atoms=6, num_classes=4, dim=2)
    values = torch.randn(3, 6, generator=Stream(8).torch(), dtype=torch.float64)
    for row, got in zip(values.tolist(), subject.expectation(values).tolist(), strict=True):
        expected = sum(w * v for w, v in zip(subject.weights.tolist(), row, strict=True))
        assert got == pytest.approx(expected, rel=1e-13)
    atoms = zip(subject.weights.tolist(), subject.probs.tolist(), strict=True)
    assert subject.bayes_error == pytest.approx(sum(w * (1 - max(p)) for w, p in atoms), rel=1e-13)
    assert subject.expectation(torch.ones(6, dtype=torch.float32)).dtype == torch.float64


def test_bayes_error_is_what_the_bayes_rule_errs_and_no_rule_errs_less():
    subject = random_finite_world(Stream(9), atoms=4, num_classes=3, dim=1)
    errors = []
    for rule in itertools.product(range(3), repeat=4):
        wrong = 1 - subject.probs[torch.arange(4), torch.tensor(rule)]
        errors.append(float(subject.expectation(wrong)))
    assert min(errors) == pytest.approx(subject.bayes_error, rel=1e-13)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_enumeration_against_loops(n):
    pairs = [(a, y) for a in range(3) for y in range(3) if PROBS[a, y] > 0]
    expected = [
        (chosen, math.prod(float(WEIGHTS[a] * PROBS[a, y]) for a, y in chosen))
        for chosen in itertools.product(pairs, repeat=n)
    ]
    listed = world().enumerate_samples(n)
    got = torch.stack([listed.atoms, listed.labels], -1).tolist()
    assert [tuple(map(tuple, sample)) for sample in got] == [sample for sample, _ in expected]
    assert listed.probability.tolist() == pytest.approx([p for _, p in expected], rel=1e-13)
    assert float(listed.probability.sum()) == pytest.approx(1, rel=1e-13)


def test_enumeration_gives_the_moments_that_independence_gives():
    subject = random_finite_world(Stream(10), atoms=3, num_classes=2, dim=1)
    table = torch.tensor([[1.0, -2.0], [0.5, 3.0], [4.0, 0.0]]).double()
    listed = subject.enumerate_samples(4)
    means = table[listed.atoms, listed.labels].mean(-1)
    mean, square = (float((subject.weights[:, None] * subject.probs * t).sum()) for t in (table, table**2))
    got = float(listed.probability @ means)
    assert got == pytest.approx(mean, rel=1e-12)
    assert float(listed.probability @ (means - got) ** 2) == pytest.approx((square - mean**2) / 4, rel=1e-12)


def test_an_enumeration_too_large_is_refused_before_it_is_made():
    subject = random_finite_world(Stream(11), atoms=10, num_classes=10, dim=1)
    assert subject.enumerate_samples(2).probability.shape == (10_000,)
    with pytest.raises(ValueError, match=r"n = 4: 100\^4 samples exceed 5,000,000"):
        subject.enumerate_samples(4)
    with pytest.raises(ValueError, match="n = 0"):
        subject.enumerate_samples(0)


def test_posterior_knows_atoms_only():
    assert torch.equal(world().posterior(torch.tensor([2.0, 2.0])), world().probs[2])
    assert torch.equal(world().posterior(torch.tensor([[-0.0, 1.0]])), world().probs[:1])
    with pytest.raises(ValueError, match="1 points are no atoms"):
        world().posterior(torch.tensor([[2.0, 2.0], [0.0, 1.0 + 1e-6]]))
    with pytest.raises(ValueError, match="last axis must be the world's dim 2"):
        world().posterior(torch.zeros(4, 3))


def test_a_random_world_follows_its_dirichlet_law():
    concentration, k = 0.5, 4
    subject = random_finite_world(Stream(12), atoms=20_000, num_classes=k, dim=1, concentration=concentration)
    first = stats.beta(concentration, concentration * (k - 1))
    assert stats.kstest(subject.probs[:, 0], first.cdf).pvalue > 1e-4
    assert stats.kstest(subject.weights * 20_000, "expon").pvalue > 1e-4
    assert stats.kstest(subject.inputs[:, 0], "norm").pvalue > 1e-4
    again = random_finite_world(Stream(12), atoms=20_000, num_classes=k, dim=1, concentration=concentration)
    assert torch.equal(subject.probs, again.probs)


def test_a_world_of_one_atom_is_a_world():
    subject = FiniteWorld(torch.zeros(1, 1), torch.ones(1), torch.tensor([[0.5, 0.5]]))
    assert subject.sample(3, Stream(0)).atoms.tolist() == [0, 0, 0]


def test_a_world_survives_pickling():
    again = pickle.loads(pickle.dumps(world()))
    assert torch.equal(again.sample(20, Stream(0)).labels, world().sample(20, Stream(0)).labels)


def test_single_precision_probabilities_become_exact_ones():
    third = torch.full((3, 3), 1 / 3)
    subject = FiniteWorld(INPUTS, torch.full((3,), 1 / 3), third)
    assert float(subject.weights.sum()) == pytest.approx(1, abs=1e-15)
    assert subject.probs.sum(-1).tolist() == pytest.approx([1, 1, 1], abs=1e-15)


@pytest.mark.parametrize(
    ("inputs", "weights", "probs", "message"),
    [
        (INPUTS[:2], WEIGHTS, PROBS, "have shapes"),
        (INPUTS, WEIGHTS[:2], PROBS, "have shapes"),
        (INPUTS * float("inf"), WEIGHTS, PROBS, "inputs holds"),
        (INPUTS, WEIGHTS * 2, PROBS, "weights misses a sum of one"),
        (INPUTS, WEIGHTS - torch.tensor([0.3, -0.3, 0.0]), PROBS, "weights has negative"),
        (INPUTS, WEIGHTS, PROBS * 0.5, "probs: a row misses"),
        (INPUTS, WEIGHTS, PROBS[:, :1] * 0 + 1, "2 classes or more"),
        (torch.zeros(3, 2), WEIGHTS, PROBS, "atom 1 repeats an earlier one with other probs"),
        (torch.zeros(0, 2), WEIGHTS[:0], PROBS[:0], "inputs has shape"),
    ],
)
def test_what_is_no_world_is_refused(inputs, weights, probs, message):
    with pytest.raises(ValueError, match=message):
        FiniteWorld(inputs, weights, probs)


@pytest.mark.parametrize("shape", [0, (3, 0), (), -1])
def test_an_empty_sample_is_refused(shape):
    with pytest.raises(ValueError, match="shape = "):
        world().sample(shape, Stream(0))


def test_values_of_another_number_of_atoms_are_refused():
    with pytest.raises(ValueError, match="must be the 3 atoms"):
        world().expectation(torch.zeros(4))


@pytest.mark.parametrize("broken", [{"atoms": 0}, {"num_classes": 1}, {"dim": 0}, {"concentration": 0.0}])
def test_a_random_world_refuses_sizes_that_are_too_small(broken):
    with pytest.raises(ValueError, match=next(iter(broken))):
        random_finite_world(Stream(0), **({"atoms": 2, "num_classes": 2, "dim": 1} | broken))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_atoms_of_any_precision_are_told_apart(dtype):
    assert FiniteWorld(INPUTS.to(dtype), WEIGHTS, PROBS).inputs.dtype == dtype
    with pytest.raises(ValueError, match="atom 2 repeats an earlier one"):
        FiniteWorld(INPUTS[[0, 1, 0]].to(dtype), WEIGHTS, PROBS)
