"""Relabelled images: real inputs, a known softened truth."""

from __future__ import annotations

import pytest
import torch
from scipy import special, stats

from kdtheory.datasets import Images, digits
from kdtheory.problems import relabelled_images
from kdtheory.streams import Stream


def images(n: int = 40) -> Images:
    whole = digits()
    return Images(whole.inputs[:n], whole.labels[:n], 10, "some digits")


def logits(n: int = 40, k: int = 10) -> torch.Tensor:
    return 3 * torch.randn(n, k, generator=Stream(0).torch())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_truth_is_the_softened_output_on_a_uniform_marginal(temperature):
    world = relabelled_images(images(), logits(), temperature=temperature)
    expected = special.softmax(logits().double().numpy() / temperature, axis=-1)
    torch.testing.assert_close(world.probs, torch.from_numpy(expected), rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(world.weights, torch.full((40,), 1 / 40, dtype=torch.float64))
    assert torch.equal(world.inputs, images().inputs)


def test_images_are_drawn_uniformly_with_replacement():
    drawn = relabelled_images(images(), logits()).sample(40_000, Stream(1))
    assert stats.chisquare(torch.bincount(drawn.atoms, minlength=40)).pvalue > 1e-4


def test_the_images_own_labels_play_no_part():
    other = Images(images().inputs, images().labels.flip(0), 10, "relabelled")
    first, second = (relabelled_images(data, logits(k=3)) for data in (images(), other))
    assert torch.equal(first.probs, second.probs)
    assert first.num_classes == 3


def test_a_repeated_image_keeps_the_truth_of_its_first_copy():
    twice = Images(images(2).inputs[[0, 1, 0]], torch.tensor([0, 1, 0]), 10, "twice")
    world = relabelled_images(twice, logits(3))
    assert torch.equal(world.probs[0], world.probs[2])
    assert not torch.equal(world.probs[0], world.probs[1])


def test_a_class_ruled_out_is_never_drawn():
    ruled = logits()
    ruled[:, 4] = -torch.inf
    drawn = relabelled_images(images(), ruled).sample(5000, Stream(2))
    assert not bool((drawn.labels == 4).any())


@pytest.mark.parametrize(
    ("broken", "temperature", "message"),
    [
        (logits(39), 1.0, "one row for each of the 40 images"),
        (logits() * float("nan"), 1.0, "logits holds NaN"),
        (logits(), 0.0, "temperature = 0"),
        (logits(), -1.0, "temperature = -1"),
    ],
)
def test_bad_logits_and_temperatures_are_refused(broken, temperature, message):
    with pytest.raises(ValueError, match=message):
        relabelled_images(images(), broken, temperature=temperature)
