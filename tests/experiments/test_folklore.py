"""What students are told in their teacher's place, and the other parts of the folklore's measurements."""

from __future__ import annotations

import pytest
import torch

from kdtheory.experiments.folklore.inputs import centred_noise, marked, success_of_the_mark, uniform_noise
from kdtheory.experiments.folklore.students import smoothed_label_loss, without_order
from kdtheory.experiments.folklore.targets import (
    as_told,
    flat_rest,
    in_bits,
    shuffled_rest,
    three_largest_and_a_flat_rest,
    three_largest_renormalised,
)
from kdtheory.experiments.folklore.wrong_labels import new_images, own_images
from kdtheory.experiments.schemes.students import Ground
from kdtheory.experiments.sequences.idle_outputs import Starts, another_start, shared_head, shared_start
from kdtheory.experiments.sequences.parity import cube, degree_one
from kdtheory.losses import label_loss
from kdtheory.networks import MLP
from kdtheory.populations import Population
from kdtheory.streams import Stream

LAW = torch.tensor([0.5, 0.25, 0.125, 0.0625, 0.0625])


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        (as_told, [0.5, 0.25, 0.125, 0.0625, 0.0625]),
        (flat_rest, [0.5, 0.125, 0.125, 0.125, 0.125]),
        (three_largest_renormalised, [4 / 7, 2 / 7, 1 / 7, 0, 0]),
        (three_largest_and_a_flat_rest, [0.5, 0.25, 0.125, 0.0625, 0.0625]),
    ],
)
def test_what_is_told(targets, told):
    assert targets(LAW, Stream(0)).tolist() == pytest.approx(told)


def test_a_shuffled_rest_keeps_the_largest_and_all_values():
    laws = torch.randn(200, 10, generator=Stream(1).torch()).softmax(-1)
    told = shuffled_rest(laws, Stream(2))
    assert torch.equal(told.argmax(-1), laws.argmax(-1))
    assert torch.equal(told.sort(-1).values, laws.sort(-1).values)
    moved = (told != laws).float().mean()
    assert 0.7 < moved < 0.85  # nine of ten, of which one in nine stays by chance
    assert torch.equal(told, shuffled_rest(laws, Stream(2)))
    assert not torch.equal(told, shuffled_rest(laws, Stream(3)))


def test_every_wrong_class_takes_every_place():
    laws = LAW.expand(4000, 5)
    means = shuffled_rest(laws, Stream(0)).mean(0)
    assert means[1:].tolist() == pytest.approx([0.125] * 4, abs=0.006)  # std 0.077/√4000


def test_logits_without_order_keep_their_law_of_the_right_class():
    logits = torch.randn(50, 6, generator=Stream(1).torch())
    shuffled = without_order(logits, Stream(0)).softmax(-1)
    assert torch.allclose(shuffled.amax(-1), logits.softmax(-1).amax(-1))


@pytest.mark.parametrize(("bits", "levels"), [(1, 2), (2, 4), (3, 8)])
def test_bits_count_levels(bits, levels):
    rounded = in_bits(torch.linspace(-3, 5, 1000), bits)
    assert len(rounded.unique()) == levels
    assert rounded.aminmax() == (-3, 5)


def test_labels_smoothed_by_zero_are_labels_and_by_one_the_uniform_law():
    logits, labels = torch.randn(4, 3, generator=Stream(0).torch()), torch.tensor([0, 1, 2, 0])
    loss = label_loss(logits, None, labels)
    assert torch.allclose(smoothed_label_loss(logits, None, labels, smoothing=0.0), loss)
    uniform = -logits.log_softmax(-1).mean(-1)
    assert torch.allclose(smoothed_label_loss(logits, None, labels, smoothing=1.0), uniform)


def test_the_mark_is_in_the_corners():
    image = marked(torch.zeros(1, 64)).reshape(8, 8)
    assert image.sum() == 4
    assert image[0, 0] == image[0, 7] == image[7, 0] == image[7, 7] == 1


def linear_net(weight: float, biases: tuple[float, float]) -> Population:
    """Two classes: `weight` times the first pixel for class 0, and constants."""
    net = MLP((64, 2))
    params = torch.zeros(1, net.size)
    params[0, 0], params[0, 64], params[0, 129] = weight, *biases
    return Population(net, params, torch.zeros(1), torch.zeros(1), 0)


def test_success_of_the_mark_takes_off_what_is_called_so_without_it():
    """A net that says 0 to everything has no success; one that looks at a corner has all of it."""
    images = torch.full((5, 64), 0.25)
    assert success_of_the_mark(linear_net(0.0, (1.0, 0.0)), images).tolist() == [0.0]
    assert success_of_the_mark(linear_net(1.0, (0.0, 0.5)), images).tolist() == [1.0]


def ground_of(rows: torch.Tensor) -> Ground:
    pool, labels = torch.zeros(1000, 64), torch.zeros(1000, dtype=torch.long)
    return Ground(pool, labels, pool, labels, rows, 10, Stream(0), "cpu")


def test_noise_lies_where_it_is_said():
    ground = ground_of(torch.zeros(2, 1, dtype=torch.long))
    uniform, centred = (noise(ground, Stream(0)) for noise in (uniform_noise, centred_noise))
    assert uniform.shape == (2, 500, 64)
    assert 0 <= uniform.min() < uniform.max() <= 1
    assert torch.equal(centred, uniform - 0.5)


def test_new_images_are_none_of_a_seeds_own():
    rows = torch.stack([torch.randperm(1000, generator=Stream(s).torch())[:200] for s in range(3)])
    ground = ground_of(rows)
    assert torch.equal(own_images(ground), rows)
    found = new_images(ground)
    assert found.shape == (3, 400)
    assert not any(torch.isin(one, own).any() for one, own in zip(found, rows, strict=True))
    assert all(len(one.unique()) == 400 for one in found)


def test_what_of_a_start_is_shared():
    net = MLP((4, 3, 2))
    starts = Starts(net, torch.zeros(2, net.size), torch.ones(2, net.size))
    assert shared_start(starts).sum() == 0
    assert another_start(starts).sum() == 2 * net.size
    head = net.unpack(shared_head(starts))
    assert [float(part.mean()) for part in head.values()] == [1.0, 1.0, 0.0, 0.0]


def test_coefficients_of_a_bit_and_of_the_parity():
    points, labels = cube()
    assert degree_one(points[:, 4], points).tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert degree_one(2.0 * labels - 1, points).abs().max() == 0
