"""Gaussian mixtures against Bayes' formula with SciPy's densities, and against their own samples."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from kdtheory.problems import GaussianMixture, gaussian_mixture
from kdtheory.streams import Stream


def random_mixture(k: int = 3, v: int = 2, d: int = 3) -> GaussianMixture:
    rng = Stream(0).numpy()
    roots = rng.standard_normal((k, v, d, d))
    covariances = roots @ roots.swapaxes(-1, -2) + 0.1 * np.eye(d)
    weights = rng.dirichlet([1.0] * (k * v)).reshape(k, v)
    means = torch.from_numpy(2 * rng.standard_normal((k, v, d)))
    return GaussianMixture(means, torch.from_numpy(covariances), torch.from_numpy(weights))


def test_posterior_against_bayes_formula():
    world = random_mixture()
    inputs = 3 * torch.randn(4, 5, 3, generator=Stream(1).torch(), dtype=torch.float64)
    for place in np.ndindex(4, 5):
        joint = np.zeros(3)
        for c, v in np.ndindex(3, 2):
            law = stats.multivariate_normal(world.means[c, v].numpy(), world.covariances[c, v].numpy())
            joint[c] += float(world.weights[c, v]) * law.pdf(inputs[place].numpy())
        np.testing.assert_allclose(world.posterior(inputs)[place], joint / joint.sum(), rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(world.log_joint(inputs)[place], np.log(joint), rtol=1e-9)


def test_posterior_is_right_where_every_density_underflows():
    world = gaussian_mixture(torch.tensor([[-1.0], [1.0]]), std=0.01)
    # ln p(1|x) − ln p(0|x) = 2x/std²: at x = 0.0001 it is 2, at distance 50 it is beyond float64.
    assert float(world.posterior(torch.tensor([1e-4], dtype=torch.float64))[1]) == pytest.approx(
        1 / (1 + math.exp(-2)), rel=1e-9
    )
    assert world.posterior(torch.tensor([[50.0], [-50.0]])).tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_samples_have_the_moments_of_each_class():
    world = random_mixture(k=2, v=1, d=2)
    drawn = world.sample((10, 20_000), Stream(2))
    inputs, labels = drawn.inputs.flatten(0, 1), drawn.labels.flatten()
    share = float(world.weights[1])
    assert abs(float(labels.double().mean()) - share) < 5 * math.sqrt(share * (1 - share) / 200_000)
    for c in range(2):
        mine, truth = inputs[labels == c], world.covariances[c, 0]
        error = (truth.diagonal() / len(mine)).sqrt()
        assert bool(((mine.mean(0) - world.means[c, 0]).abs() < 5 * error).all())
        # Var of a sample covariance of Gaussians: (Σ_ii Σ_jj + Σ_ij²)/n.
        spread = ((truth.diagonal().outer(truth.diagonal()) + truth**2) / len(mine)).sqrt()
        assert bool(((torch.cov(mine.T) - truth).abs() < 5 * spread).all())


def test_components_are_drawn_by_their_weights():
    means = torch.tensor([[[-50.0], [-20.0]], [[20.0], [50.0]]])
    weights = torch.tensor([[0.1, 0.4], [0.5, 0.0]])
    drawn = gaussian_mixture(means, std=1.0, weights=weights).sample(50_000, Stream(3))
    nearest = (drawn.inputs - means.flatten()).abs().argmin(-1)
    counts = torch.bincount(nearest, minlength=4)
    assert int(counts[3]) == 0
    assert stats.chisquare(counts[:3], 50_000 * np.array([0.1, 0.4, 0.5])).pvalue > 1e-4
    assert torch.equal(drawn.labels, nearest // 2)


def test_labels_follow_the_posterior():
    drawn = random_mixture().sample(200_000, Stream(4))
    for c in range(3):
        probs = drawn.probs[:, c]
        for low, high in ((0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.01)):
            bin_ = (probs >= low) & (probs < high)
            hits, mean = (drawn.labels[bin_] == c).double(), probs[bin_]
            error = float((mean * (1 - mean)).sum().sqrt())
            assert abs(float(hits.sum() - mean.sum())) < 5 * error


def test_the_error_of_two_equal_gaussians_is_the_closed_form():
    means = torch.tensor([[0.0, 0.0], [1.2, 0.9]], dtype=torch.float64)
    drawn = gaussian_mixture(means, std=0.75).sample(200_000, Stream(5))
    truth = stats.norm.cdf(-1.5 / (2 * 0.75))
    by_posterior = 1 - drawn.probs.amax(-1)
    by_labels = (drawn.probs.argmax(-1) != drawn.labels).double()
    for errors in (by_posterior, by_labels):
        assert abs(float(errors.mean()) - truth) < 5 * float(errors.std()) / math.sqrt(200_000)
    # A conditional expectation has the smaller variance.
    assert float(by_posterior.var()) < float(by_labels.var())


def test_sample_is_pure_and_its_probs_are_the_posterior_of_its_inputs():
    for dtype in (torch.float32, torch.float64):
        world = gaussian_mixture(torch.eye(3, dtype=dtype), std=0.7)
        first, second = world.sample((2, 30), Stream(6)), world.sample((2, 30), Stream(6))
        assert first.inputs.dtype == dtype
        assert first.probs.dtype == torch.float64
        assert torch.equal(first.inputs, second.inputs)
        assert torch.equal(first.labels, second.labels)
        assert torch.equal(first.probs, world.posterior(first.inputs))
        assert not torch.equal(first.labels, world.sample((2, 30), Stream(7)).labels)


def test_the_shorthand_spells_out_the_same_world():
    means = torch.randn(3, 2, generator=Stream(8).torch(), dtype=torch.float64)
    x = torch.randn(7, 2, generator=Stream(9).torch(), dtype=torch.float64)
    plain = gaussian_mixture(means, std=0.5).posterior(x)
    eye = torch.eye(2, dtype=torch.float64) / 4
    same = [
        gaussian_mixture(means, std=torch.full((3,), 0.5)),
        gaussian_mixture(means, std=torch.full((3, 1), 0.5)),
        gaussian_mixture(means, covariance=eye),
        gaussian_mixture(means, covariance=eye.expand(3, 2, 2)),
        gaussian_mixture(means, covariance=eye.expand(3, 1, 2, 2), weights=torch.full((3, 1), 1 / 3)),
        gaussian_mixture(means[:, None].expand(3, 4, 2), std=0.5, weights=torch.full((3,), 1 / 3)),
    ]
    for world in same:
        torch.testing.assert_close(world.posterior(x), plain, rtol=1e-7, atol=1e-9)
    scales = torch.tensor([0.5, 1.0, 2.0])
    per_class = gaussian_mixture(means, std=scales).covariances[:, 0]
    torch.testing.assert_close(per_class.diagonal(dim1=-2, dim2=-1)[:, 1], scales.double() ** 2)


def test_a_mixture_survives_pickling_after_use():
    world = random_mixture()
    world.sample(2, Stream(0))
    again = pickle.loads(pickle.dumps(world))
    assert torch.equal(again.sample(20, Stream(1)).inputs, world.sample(20, Stream(1)).inputs)


MEANS = torch.tensor([[0.0, 0.0], [1.0, 1.0]])


@pytest.mark.parametrize(
    ("means", "settings", "message"),
    [
        (MEANS, {}, "exactly one of the two"),
        (MEANS, {"std": 1.0, "covariance": torch.eye(2)}, "exactly one of the two"),
        (MEANS, {"std": 0.0}, "std = 0"),
        (MEANS, {"std": torch.tensor([1.0, -1.0])}, "std = "),
        (MEANS[0], {"std": 1.0}, r"give \[k d\]"),
        (MEANS[:1], {"std": 1.0}, "k ≥ 2 classes"),
        (MEANS * float("nan"), {"std": 1.0}, "means holds"),
        (MEANS, {"std": torch.ones(3)}, "does not fit"),
        (MEANS, {"covariance": torch.eye(3)}, "does not fit"),
        (MEANS, {"covariance": torch.tensor([[1.0, 2.0], [2.0, 1.0]])}, "not positive definite"),
        (MEANS, {"covariance": torch.tensor([[1.0, 1.0], [1.0, 1.0]])}, "not positive definite"),
        (MEANS, {"covariance": torch.tensor([[1.0, 0.5], [0.0, 1.0]])}, "misses symmetry"),
        (MEANS, {"std": 1.0, "weights": torch.tensor([0.5, 0.6])}, "weights misses a sum of one"),
        (MEANS, {"std": 1.0, "weights": torch.tensor([1.5, -0.5])}, "weights has negative"),
        (MEANS, {"std": 1.0, "weights": torch.ones(3) / 3}, "weights has shape"),
    ],
)
def test_what_is_no_mixture_is_refused(means, settings, message):
    with pytest.raises(ValueError, match=message):
        gaussian_mixture(means, **settings)


def test_bad_inputs_are_refused():
    world = gaussian_mixture(MEANS, std=1.0)
    with pytest.raises(ValueError, match="last axis must be the world's dim 2"):
        world.posterior(torch.zeros(4, 3))
    with pytest.raises(ValueError, match="inputs holds"):
        world.posterior(torch.tensor([0.0, float("nan")]))
    with pytest.raises(ValueError, match="shape = 0"):
        world.sample(0, Stream(0))
