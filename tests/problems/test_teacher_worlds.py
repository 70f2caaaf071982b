"""Linear and kernel teachers against loops, their laws and the frequencies of their own samples."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
from scipy import special, stats

from kdtheory.problems import KernelLogits, LinearLogits, TeacherWorld, kernel_teacher, linear_teacher
from kdtheory.streams import Stream

WORLDS = {
    "linear": linear_teacher(Stream(0), dim=4, num_classes=3, scale=2.0, temperature=0.5),
    "kernel": kernel_teacher(Stream(0), dim=4, num_classes=3, num_centres=7, scale=2.0),
}


def naive_logits(world: TeacherWorld, x: list[float]) -> list[float]:
    f = world.logits
    if isinstance(f, LinearLogits):
        return [sum(w * value for w, value in zip(row, x, strict=True)) for row in f.weight.tolist()]
    totals = [0.0] * f.num_classes
    for alpha, centre in zip(f.coefficients.tolist(), f.centres.tolist(), strict=True):
        kernel = math.exp(-(math.dist(x, centre) ** 2) / (2 * f.bandwidth**2))
        totals = [total + a * kernel for total, a in zip(totals, alpha, strict=True)]
    return totals


@pytest.mark.parametrize("name", list(WORLDS))
def test_posterior_against_loops(name):
    world = WORLDS[name]
    inputs = 2 * torch.randn(6, 4, generator=Stream(1).torch(), dtype=torch.float64)
    for x, got in zip(inputs.tolist(), world.posterior(inputs).tolist(), strict=True):
        logits = [value / world.temperature for value in naive_logits(world, x)]
        assert got == pytest.approx(special.softmax(logits), rel=1e-11)


@pytest.mark.parametrize("name", list(WORLDS))
def test_inputs_are_standard_normal_and_labels_follow_the_posterior(name):
    drawn = WORLDS[name].sample((20, 5000), Stream(2))
    for coordinate in drawn.inputs.flatten(0, 1).T:
        assert stats.kstest(coordinate, "norm").pvalue > 1e-4
    for c in range(3):
        probs, hits = drawn.probs[..., c], (drawn.labels == c).double()
        # E (1[y = c] − p_c)·g(x) = 0 for every g; here g = 1 and g = p_c.
        for g in (torch.ones_like(probs), probs):
            error = float((g**2 * probs * (1 - probs)).sum().sqrt())
            assert abs(float((g * (hits - probs)).sum())) < 5 * error


@pytest.mark.parametrize("name", list(WORLDS))
def test_sample_is_pure_and_consistent(name):
    world = WORLDS[name]
    first, second = world.sample((3, 8), Stream(3)), world.sample((3, 8), Stream(3))
    assert first.inputs.shape == (3, 8, world.dim)
    assert first.atoms is None
    assert torch.equal(first.inputs, second.inputs)
    assert torch.equal(first.labels, second.labels)
    assert torch.equal(first.probs, world.posterior(first.inputs))
    assert not torch.equal(first.inputs, world.sample((3, 8), Stream(4)).inputs)


@pytest.mark.parametrize("name", list(WORLDS))
def test_a_teacher_survives_pickling(name):
    again = pickle.loads(pickle.dumps(WORLDS[name]))
    assert torch.equal(again.sample(9, Stream(5)).probs, WORLDS[name].sample(9, Stream(5)).probs)


def test_the_standard_deviation_of_a_logit_is_the_scale():
    make = {
        "linear": lambda s: linear_teacher(s, dim=3, num_classes=4, scale=1.5),
        "wide": lambda s: kernel_teacher(s, dim=3, num_classes=4, num_centres=5, scale=1.5),
        "narrow": lambda s: kernel_teacher(s, dim=3, num_classes=4, num_centres=50, bandwidth=0.8, scale=1.5),
    }
    for name, teacher in make.items():
        # One mean square for each teacher, on fresh inputs: independent over teachers.
        worlds = [teacher(Stream(seed)) for seed in range(400)]
        squares = torch.stack(
            [
                world.logits(world.sample(200, Stream(6, (i,))).inputs).square().mean()
                for i, world in enumerate(worlds)
            ]
        )
        error = float(squares.std()) / math.sqrt(len(squares))
        assert abs(float(squares.mean()) - 1.5**2) < 5 * error, name
        assert error < 0.06 * 1.5**2, name


def test_temperature_softens_the_truth():
    sharp, soft = (
        linear_teacher(Stream(7), dim=3, num_classes=3, temperature=temperature) for temperature in (0.5, 5.0)
    )
    x = sharp.sample(100, Stream(8)).inputs
    entropies = [torch.special.entr(world.posterior(x)).sum(-1) for world in (sharp, soft)]
    assert bool((entropies[0] < entropies[1]).all())
    assert torch.equal(sharp.posterior(x).argmax(-1), soft.posterior(x).argmax(-1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: linear_teacher(Stream(0), dim=0, num_classes=2), "dim = 0"),
        (lambda: linear_teacher(Stream(0), dim=2, num_classes=1), "num_classes = 1"),
        (lambda: linear_teacher(Stream(0), dim=2, num_classes=2, scale=0.0), "scale = 0"),
        (lambda: linear_teacher(Stream(0), dim=2, num_classes=2, temperature=-1.0), "temperature = -1"),
        (lambda: kernel_teacher(Stream(0), dim=2, num_classes=2, num_centres=0), "num_centres = 0"),
        (lambda: kernel_teacher(Stream(0), dim=2, num_classes=2, bandwidth=0.0), "bandwidth = 0"),
        (
            lambda: kernel_teacher(Stream(0), dim=1000, num_classes=2, bandwidth=1.0),
            "bandwidth = 1 in dim = 1000",
        ),
        (lambda: LinearLogits(torch.full((2, 2), float("nan"))), "weight holds"),
        (lambda: KernelLogits(torch.zeros(3, 2), torch.zeros(4, 2), 1.0), r"give \[c k\]"),
        (lambda: TeacherWorld(LinearLogits(torch.ones(1, 2))), "the number of logits = 1"),
        (lambda: WORLDS["linear"].posterior(torch.zeros(5)), "the world's dim 4"),
        (lambda: WORLDS["linear"].sample((2, 0), Stream(0)), "shape = 0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(("far", "bandwidth"), [(1e8, 1.0), (1.0, 1e-8), (0.0, 1.0), (1e4, 1e-3)])
def test_kernels_of_points_that_are_close_and_far_out(far, bandwidth):
    steps = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, -1.0], [4.0, 4.0]], dtype=torch.float64)
    centres = far + bandwidth * torch.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    inputs = far + bandwidth * steps
    world = TeacherWorld(KernelLogits(torch.eye(2, dtype=torch.float64), centres, bandwidth))
    for x, got in zip(inputs.tolist(), world.logits(inputs[None])[0].tolist(), strict=True):
        assert got == pytest.approx(naive_logits(world, x), rel=1e-9)
