"""Gradient noise: the network's short cut against one backward pass for each atom and label."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from kdtheory.losses.labelwise import brier_loss, log_loss
from kdtheory.networks import MLP, ModuleArchitecture
from kdtheory.risk import gradient_noise, network_gradient_noise
from kdtheory.streams import Stream

S, K = 6, 3


@pytest.fixture
def net() -> MLP:
    return MLP((4, 5, K), activation="tanh")


@pytest.fixture
def params(net: MLP) -> Tensor:
    return net.init(Stream(0), members=1, dtype=torch.float64)[0]


@pytest.fixture
def world() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(S, 4, generator=generator, dtype=torch.float64)
    probs = torch.rand(S, K, generator=generator, dtype=torch.float64)
    weights = torch.rand(S, generator=generator, dtype=torch.float64)
    return inputs, probs / probs.sum(-1, keepdim=True), weights / weights.sum()


def backward_passes(net: MLP, params: Tensor, inputs: Tensor, loss) -> Tensor:
    """g_y(x) [s k p], one backward pass at a time."""
    leaf = params.clone().requires_grad_()
    rows = [
        torch.autograd.grad(loss(net.logits(leaf, x[None]))[0, y], leaf)[0] for x in inputs for y in range(K)
    ]
    return torch.stack(rows).reshape(len(inputs), K, -1)


@pytest.mark.parametrize("loss", [log_loss, brier_loss])
@pytest.mark.parametrize("chunk_size", [1, 4, 100])
def test_network_equals_backward_passes(net, params, world, loss, chunk_size) -> None:
    rival = gradient_noise(backward_passes(net, params, world[0], loss), *world[1:])
    noise = network_gradient_noise(net.logits, params, *world, loss=loss, chunk_size=chunk_size)
    torch.testing.assert_close(noise.one_hot, rival.one_hot)
    torch.testing.assert_close(noise.distilled, rival.distilled)
    torch.testing.assert_close(noise.label_noise, rival.label_noise)


@pytest.mark.parametrize("chunk_size", [2, K, 100])
def test_of_any_module_it_equals_backward_passes(world, chunk_size) -> None:
    """PReLU with a slope for each channel, which torch maps wrongly over as many points as outputs."""
    net = ModuleArchitecture(partial(nn.Sequential, nn.Linear(4, 5), nn.PReLU(5), nn.Linear(5, K)), (4,))
    params = torch.randn(net.size, generator=Stream(0).torch(), dtype=torch.float64)
    rival = gradient_noise(backward_passes(net, params, world[0], log_loss), *world[1:])
    noise = network_gradient_noise(net.logits, params, *world, chunk_size=chunk_size)
    torch.testing.assert_close(noise.one_hot, rival.one_hot)
    torch.testing.assert_close(noise.label_noise, rival.label_noise)
    with torch.inference_mode():
        again = network_gradient_noise(net.logits, params.clone(), world[0].clone(), *world[1:])
    torch.testing.assert_close(again.one_hot, rival.one_hot)


def test_traces_equal_covariance_matrices(net, params, world) -> None:
    inputs, probs, weights = world
    gradients = backward_passes(net, params, inputs, log_loss)
    chances = (weights[:, None] * probs).flatten()
    joint = torch.cov(gradients.flatten(0, 1).T, correction=0, aweights=chances)
    by_atom = torch.einsum("sk,skp->sp", probs, gradients)
    distilled = torch.cov(by_atom.T, correction=0, aweights=weights)
    noise = gradient_noise(gradients, probs, weights)
    torch.testing.assert_close(noise.one_hot, joint.trace())
    torch.testing.assert_close(noise.distilled, distilled.trace())


def test_gap_is_the_label_noise(net, params, world) -> None:
    noise = network_gradient_noise(net.logits, params, *world)
    torch.testing.assert_close(noise.one_hot - noise.distilled, noise.label_noise)
    assert float(noise.label_noise) > 0


def test_masses_that_miss_one_by_rounding_leave_no_trace_below_zero(net, params, world) -> None:
    """Points that hardly differ, and masses and probabilities that single precision has rounded."""
    inputs = 1 + 1e-4 * world[0]
    probs, weights = (part.float().double() for part in (world[1][:1].expand(S, -1), world[2]))
    rival = gradient_noise(backward_passes(net, params, inputs, log_loss), probs, weights)
    found = network_gradient_noise(net.logits, params, inputs, probs, weights)
    assert float(rival.distilled) < 1e-7
    torch.testing.assert_close(found.distilled, rival.distilled, rtol=1e-6, atol=0.0)
    torch.testing.assert_close(found.one_hot, rival.one_hot)
    single = (part.float() for part in (inputs, probs, weights))
    assert float(network_gradient_noise(net.logits, params.float(), *single).distilled) >= 0


def test_certain_labels_leave_no_noise(net, params, world) -> None:
    inputs, probs, weights = world
    certain = torch.nn.functional.one_hot(probs.argmax(-1), K).double()
    noise = network_gradient_noise(net.logits, params, inputs, certain, weights)
    assert float(noise.label_noise) == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(noise.one_hot, noise.distilled)


def test_bad_input_is_named(net, params, world) -> None:
    inputs, probs, weights = world
    with pytest.raises(ValueError, match="chunk_size = 0"):
        network_gradient_noise(net.logits, params, *world, chunk_size=0)
    with pytest.raises(ValueError, match="probs"):
        network_gradient_noise(net.logits, params, inputs, 2 * probs, weights)
    with pytest.raises(ValueError, match="gradients holds"):
        gradient_noise(torch.full((S, K, 2), torch.nan, dtype=torch.float64), probs, weights)
