"""Gaussian posteriors: the law of the sampled outputs, the objective's gradient, training, certificates."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import one_hot

from kdtheory._gaussian_weights import bound_objective, least_divergence
from kdtheory.bounds.pac_bayes import gaussian_kl, maurer04_kl_limit
from kdtheory.networks import MLP
from kdtheory.recipe import Recipe
from kdtheory.stochastic import (
    PRIOR_STDS,
    GaussianPosterior,
    pac_bayes_certificate,
    posterior_tail,
    train_posterior,
)
from kdtheory.streams import Stream

NET = MLP((3, 4, 2))


def a_posterior(architecture: MLP = NET, std: float = 0.4) -> GaussianPosterior:
    mean = architecture.init(Stream(0), members=1, dtype=torch.float64)[0]
    return GaussianPosterior(architecture, mean, torch.full_like(mean, std), torch.zeros_like(mean))


@pytest.mark.parametrize("architecture", [NET, MLP((3, 4, 2), bias=False), MLP((3, 2), "tanh")])
def test_outputs_have_the_law_of_networks_that_are_drawn(architecture: MLP) -> None:
    posterior, draws = a_posterior(architecture), 40_000
    inputs = torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64)
    noise = torch.randn(draws, architecture.size, generator=Stream(1).torch(), dtype=torch.float64)
    rival = architecture.logits(posterior.mean + posterior.std * noise, inputs)[:, 0]
    found = posterior.logits(inputs.expand(draws, -1), Stream(2))
    for moment in (lambda z: z, lambda z: z.square(), lambda z: (z[:, :1] > z[:, 1:]).double()):
        first, second = moment(found), moment(rival)
        error = ((first.var(0) + second.var(0)) / draws).sqrt()
        assert bool(((first.mean(0) - second.mean(0)).abs() < 4.5 * error).all())


def test_every_input_has_a_network_of_its_own_and_no_noise_is_the_mean() -> None:
    inputs = torch.ones(50, 3, dtype=torch.float64)
    posterior = a_posterior()
    assert len(posterior.logits(inputs, Stream(0)).unique(dim=0)) == 50
    assert torch.equal(posterior.logits(inputs, Stream(0)), posterior.logits(inputs, Stream(0)))
    still = a_posterior(std=1e-12).logits(inputs, Stream(0))
    torch.testing.assert_close(still, NET.logits(posterior.mean, inputs))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_is_drawn_in_the_precision_of_the_posterior(dtype: torch.dtype) -> None:
    """One layer of standard normal weights, an input of length one: the outputs are the noise itself."""
    net = MLP((3, 2), bias=False)
    posterior = GaussianPosterior(
        net, *(f(net.size, dtype=dtype) for f in (torch.zeros, torch.ones, torch.zeros))
    )
    noise = posterior.logits(torch.eye(3, dtype=dtype)[:1].expand(100, -1), Stream(0))
    assert noise.dtype is dtype
    assert torch.equal(noise.float().to(dtype), noise) is (dtype is torch.float32)


def test_divergence_is_the_best_of_the_grid() -> None:
    posterior = a_posterior()
    nats = [float(gaussian_kl(posterior.mean, posterior.std, posterior.prior_mean, s)) for s in PRIOR_STDS]
    assert float(posterior.divergence) == pytest.approx(min(nats), rel=1e-12)
    log_std = posterior.std.log()
    best = float(least_divergence(posterior.mean, log_std, PRIOR_STDS))
    assert best <= min(nats) <= best + NET.size / 4 * (math.log(2) / 256) ** 2
    one = least_divergence(posterior.mean, log_std, (0.5,))
    expected = gaussian_kl(posterior.mean, posterior.std, posterior.prior_mean, 0.5)
    torch.testing.assert_close(one, expected)


def test_the_objectives_gradient_is_that_of_the_bound() -> None:
    loss = torch.tensor([0.1, 0.4], dtype=torch.float64, requires_grad=True)
    nats = torch.tensor([3.0, 40.0], dtype=torch.float64, requires_grad=True)
    by_loss, by_nats = torch.autograd.grad(bound_objective(loss, nats, 200, 0.05).sum(), (loss, nats))

    def bound(p: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(maurer04_kl_limit(p.numpy(), d.numpy(), n=200, delta=0.05))

    p, d, h = loss.detach(), nats.detach(), 1e-5
    torch.testing.assert_close(by_loss, (bound(p + h, d) - bound(p - h, d)) / (2 * h), rtol=1e-6, atol=0)
    torch.testing.assert_close(by_nats, (bound(p, d + h) - bound(p, d - h)) / (2 * h), rtol=1e-6, atol=0)


def separable(n: int, stream: Stream) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.randn(n, 3, generator=stream.torch())
    return inputs, (inputs[:, 0] > 0).long()


def test_training_lowers_the_bound_below_a_half() -> None:
    inputs, labels = separable(600, Stream(3))
    start = NET.init(Stream(4), members=1)[0]

    def certificate(steps: int, batch_size: int | None = None) -> float:
        posterior = train_posterior(
            NET,
            inputs,
            one_hot(labels, 2).float(),
            prior_mean=start,
            certified=600,
            delta=0.05,
            stream=Stream(5),
            recipe=Recipe(steps=steps, learning_rate=0.01, batch_size=batch_size),
            initial_std=0.1,
            device="cpu",
        )
        bound = pac_bayes_certificate(
            posterior,
            inputs,
            labels,
            delta=0.05,
            rounds=5,
            stream=Stream(6),
            prior_fixed=True,
            fresh_draws=True,
            independent_draws=True,
        )
        assert bound.certificate
        assert bound.delta == pytest.approx(0.05)
        return bound.value

    untrained, trained = certificate(0), certificate(200)
    assert trained < 0.5 < untrained
    assert certificate(100, batch_size=100) < 0.6


def test_members_train_side_by_side_as_they_do_alone() -> None:
    inputs = torch.stack([separable(40, Stream(i))[0] for i in (7, 8)])
    targets = one_hot((inputs[..., 0] > 0).long(), 2).double()
    start = NET.init(Stream(4), members=2, dtype=torch.float64)
    recipe = Recipe(steps=3, learning_rate=0.01, dtype=torch.float64)
    settings = {"certified": 40, "delta": 0.05, "recipe": recipe, "stream": Stream(5)}
    both = train_posterior(NET, inputs, targets, prior_mean=start, device="cpu", **settings)
    assert both.mean.shape == both.std.shape == (2, NET.size)
    assert both.divergence.shape == (2,)
    assert both.logits(inputs, Stream(0)).shape == (2, 40, 2)
    moved = (both.mean - start).abs().amax(-1)
    assert bool((moved > 0).all())
    assert float(moved.max()) <= 3 * 0.011


def test_progress_is_told() -> None:
    told = []
    inputs, labels = separable(20, Stream(3))
    train_posterior(
        NET, inputs, one_hot(labels, 2).float(), prior_mean=NET.init(Stream(4), members=1)[0], certified=20,
        delta=0.05, stream=Stream(5), recipe=Recipe(steps=4, learning_rate=0.01), device="cpu",
        progress=lambda *now: told.append(now),
    )  # fmt: skip
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": torch.ones(20, 2)}, "targets"),
        ({"delta": 0.0}, "delta"),
        ({"floor": 1.0}, "floor"),
        ({"initial_std": 0.0}, "initial_std"),
        ({"recipe": Recipe(steps=1, weight_decay=0.1)}, "weight_decay = 0.1 is not for a posterior"),
        ({"recipe": Recipe(steps=1, averaged=0.5)}, "averaged = 0.5 is not for a posterior"),
        ({"prior_stds": ()}, "prior_stds"),
        ({"prior_stds": (0.0,)}, "prior_stds"),
        ({"certified": 7}, "n = 7"),
        ({"targets": torch.full((20, 3), 1 / 3)}, "targets has 3 classes and 3-4-2 2 outputs"),
        ({"inputs": torch.full((20, 3), math.inf)}, "inputs holds 60 NaN or infinite"),
    ],
)
def test_bad_input_is_named(changes, message: str) -> None:
    inputs, labels = separable(20, Stream(3))
    arguments = {
        "inputs": inputs, "targets": one_hot(labels, 2).float(),
        "prior_mean": NET.init(Stream(4), members=1)[0],
        "certified": 20, "delta": 0.05, "stream": Stream(5), "recipe": Recipe(steps=1, learning_rate=0.01),
        "device": "cpu", **changes,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        train_posterior(NET, arguments.pop("inputs"), arguments.pop("targets"), **arguments)


def test_bad_labels_and_rounds_are_named() -> None:
    inputs, labels = separable(20, Stream(3))
    with pytest.raises(ValueError, match="labels"):
        a_posterior().errors(inputs, labels + 1, Stream(0))
    with pytest.raises(ValueError, match="rounds = 0"):
        a_posterior().errors(inputs, labels, Stream(0), rounds=0)


def test_a_posterior_that_is_its_prior_is_at_no_distance() -> None:
    zero = torch.zeros(MLP((3, 2)).size).double()
    for place in range(0, 2000, 7):
        std = torch.full_like(zero, PRIOR_STDS[place])
        nats = float(GaussianPosterior(MLP((3, 2)), zero, std, zero).divergence)
        assert 0 <= nats < 1e-12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_small_deviation_in_half_precision_still_makes_noise(dtype: torch.dtype) -> None:
    """s² = 1e-8 is no number of float16, and bfloat16 has three digits of it."""
    net = MLP((3, 2), bias=False)
    mean = torch.zeros(net.size, dtype=dtype)
    posterior = GaussianPosterior(net, mean, torch.full_like(mean, 1e-4), mean)
    noise = posterior.logits(torch.eye(3, dtype=dtype)[:1].expand(20_000, -1), Stream(0))
    assert noise.dtype is torch.float32
    assert float(noise.std()) == pytest.approx(float(posterior.std[0]), rel=0.02)


def test_a_loss_that_cannot_be_larger_has_a_gradient() -> None:
    """One point at a time, and a prior that is sure of the wrong class: ℓ = 1 and kl⁻¹ = 1."""
    inputs, targets = torch.ones(8, 1), torch.tensor([[0.0, 1.0]]).expand(8, -1)
    net = MLP((1, 2))
    posterior = train_posterior(
        net, inputs, targets, prior_mean=torch.tensor([50.0, -50.0, 0.0, 0.0]), certified=8, delta=0.05,
        stream=Stream(0), recipe=Recipe(steps=3, batch_size=1), device="cpu",
    )  # fmt: skip
    assert bool(torch.isfinite(posterior.mean).all())
    assert bool((posterior.std > 0).all())


def test_a_certificate_is_of_one_posterior_of_its_architecture() -> None:
    inputs, labels = separable(20, Stream(3))
    flags = {"prior_fixed": True, "fresh_draws": True, "independent_draws": True}
    for members in (1, 2):
        zeros = torch.zeros(members, NET.size)
        several = GaussianPosterior(NET, zeros, zeros + 0.1, zeros)
        for made, more in (
            (pac_bayes_certificate, {"delta": 0.05}),
            (posterior_tail, {"delta_sampling": 0.01}),
        ):
            with pytest.raises(ValueError, match="give one of its members"):
                made(several, inputs, labels, rounds=1, stream=Stream(0), **flags, **more)
    with pytest.raises(ValueError, match="mean has shape"):
        GaussianPosterior(NET, torch.zeros(5), torch.ones(5), torch.zeros(5))
