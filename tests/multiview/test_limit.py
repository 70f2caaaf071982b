"""The orthogonal limit against plain torch training on patches that are exactly orthogonal."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from kdtheory.losses import distillation, label_loss
from kdtheory.multiview import limit_of, limit_start, tangent_kernel, train_lazy, train_limit, views_held
from kdtheory.networks import PatchNetwork
from kdtheory.populations import train
from kdtheory.problems import MultiViewWorld, Views
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream

NOISY = MultiViewWorld(classes=3, noise_chance=0.4, noise_weights=(0.2, 0.4), noise_norm=1.3)
BINARY = MultiViewWorld(noise_norm=1.5)


def orthogonal(world: MultiViewWorld, views: Views) -> Tensor:
    """Inputs whose noise patches lie on axes of their own, of norm s: d = F + nP′."""
    n, features, noise = len(views.labels), world.num_features, world.noise_patches
    inputs = torch.zeros(n, features + noise, features + n * noise, dtype=torch.float64)
    inputs[:, range(features), range(features)] = views.coefficients
    for i in range(n):
        for p in range(noise):
            inputs[i, features + p, features + i * noise + p] = world.noise_norm
    return inputs.flatten(-2)


def setup(world: MultiViewWorld, power: int, n: int = 60, members: int = 3):
    views = world.stratified(n, Stream(1))
    inputs = orthogonal(world, views)
    dim = inputs.shape[1] // world.num_patches
    network = PatchNetwork(
        world.classes, world.num_patches, dim, channels=5, power=power, threshold=0.2, init_std=0.05
    )
    params = network.init(Stream(2), members=members, dtype=torch.float64)
    start = limit_of(network, params, inputs, views, noise_norm=world.noise_norm)
    return views, inputs, network, params, start


def plain(network: PatchNetwork, inputs: Tensor, views: Views, params: Tensor, steps: int, **kw):
    return train(
        network,
        inputs,
        views.labels,
        members=len(params),
        stream=Stream(0),
        recipe=Recipe(steps=steps, learning_rate=0.5, optimizer="sgd", dtype=torch.float64),
        initial=params,
        device="cpu",
        **kw,
    )


@pytest.mark.parametrize("world", [BINARY, NOISY])
@pytest.mark.parametrize("power", [1, 2, 3, 6, 8])
def test_limit_is_plain_training_on_orthogonal_patches(world: MultiViewWorld, power: int) -> None:
    views, inputs, network, params, start = setup(world, power)
    rival = plain(network, inputs, views, params, 150, loss=label_loss)
    nets = train_limit(start, views, recipe=Recipe(steps=150, learning_rate=0.5, optimizer="sgd"))
    weight = network.unpack(rival.params)["weight"][..., : world.num_features]
    assert (weight - network.unpack(params)["weight"][..., : world.num_features]).abs().max() > 1e-4
    torch.testing.assert_close(nets.projections, weight, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(nets.train_logits(views), rival.logits(inputs), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("weight", [1.0, 0.6])
def test_distillation_in_the_limit_is_plain_distillation(weight: float) -> None:
    views, inputs, network, params, start = setup(NOISY, 4)
    teacher = 3 * torch.randn(3, 60, 3, dtype=torch.float64, generator=Stream(7).torch())
    settings = {"temperature": 3.0, "weight": weight}
    rival = plain(
        network, inputs, views, params, 200, loss=distillation, settings=settings,
        teacher_probs=teacher.softmax(-1),
    )  # fmt: skip
    nets = train_limit(
        start,
        views,
        recipe=Recipe(steps=200, learning_rate=0.5, optimizer="sgd"),
        teacher_logits=teacher,
        **settings,
    )
    torch.testing.assert_close(nets.train_logits(views), rival.logits(inputs), rtol=1e-8, atol=1e-10)


def test_capped_logits_are_the_papers_truncation() -> None:
    views, inputs, network, params, start = setup(BINARY, 3)
    teacher = 6 * torch.randn(60, 2, dtype=torch.float64, generator=Stream(8).torch())
    tau = 0.5

    def truncated(logits: Tensor, probs: Tensor, _labels: Tensor) -> Tensor:
        student = (tau**2 * logits).clamp_max(1) / tau
        return -(probs * student.log_softmax(-1)).sum(-1) / tau**2

    probs = ((tau**2 * teacher).clamp_max(1) / tau).softmax(-1)
    rival = plain(network, inputs, views, params, 150, loss=truncated, teacher_probs=probs)
    nets = train_limit(
        start,
        views,
        recipe=Recipe(steps=150, learning_rate=0.5, optimizer="sgd"),
        teacher_logits=teacher,
        temperature=1 / tau,
        cap=1 / tau**2,
    )
    assert float(nets.train_logits(views).max()) > 1 / tau**2 - 0.5
    torch.testing.assert_close(nets.train_logits(views), rival.logits(inputs), rtol=1e-8, atol=1e-10)


def test_the_average_of_networks_is_trained_as_one() -> None:
    views = BINARY.stratified(60, Stream(1))
    network = PatchNetwork(2, BINARY.num_patches, 1000, channels=4, power=3, init_std=0.05)
    start = limit_start(network, views, noise_norm=1.5, members=2, stream=Stream(3), average_of=3)
    nets = train_limit(start, views, recipe=Recipe(steps=100, learning_rate=3.0, optimizer="sgd"))
    u, z = (array.clone().requires_grad_() for array in (start.projections, start.memory))
    labels = views.labels.expand(2, -1)
    for _ in range(100):
        inside = u[:, None] * views.coefficients[:, None, None]
        logits = sum(
            torch.where(x > 0.2, x - 0.4 / 3, x.clamp_min(0) ** 3 / 0.12).flatten(3).sum(-1)
            for x in (inside, 1.5 * (z / 1.5))
        )
        loss = label_loss(logits / 3, None, labels).mean(-1).sum()
        du, dz = torch.autograd.grad(loss, (u, z))
        with torch.no_grad():
            u -= 3.0 * du
            z -= 3.0 * 1.5**2 * dz
    torch.testing.assert_close(nets.projections, u.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(nets.memory, z.detach(), rtol=1e-9, atol=1e-12)


def test_logits_of_fresh_points_are_the_networks() -> None:
    views, _, network, params, start = setup(NOISY, 4)
    nets = train_limit(start, views, recipe=Recipe(steps=150, learning_rate=0.5, optimizer="sgd"))
    fresh = NOISY.views(50, Stream(9))
    padded = torch.zeros(50, NOISY.num_patches, network.patch_dim, dtype=torch.float64)
    padded[:, range(6), range(6)] = fresh.coefficients
    weight = network.unpack(params)["weight"].clone()
    weight[..., :6] = nets.projections
    logits = network.logits(network.pack({"weight": weight}), padded.flatten(-2))
    torch.testing.assert_close(nets.logits(fresh.coefficients), logits)


def test_training_goes_on_where_it_stopped_and_members_stand_alone() -> None:
    views = NOISY.stratified(60, Stream(1))
    network = PatchNetwork(3, NOISY.num_patches, 1000, channels=5)
    start = limit_start(network, views, noise_norm=1.3, members=4, stream=Stream(3))
    kept = start.projections.clone()
    once = train_limit(start, views, recipe=Recipe(steps=60, learning_rate=1.0, optimizer="sgd"))
    twice = train_limit(
        train_limit(start, views, recipe=Recipe(steps=25, learning_rate=1.0, optimizer="sgd")),
        views,
        recipe=Recipe(steps=35, learning_rate=1.0, optimizer="sgd"),
    )
    assert torch.equal(start.projections, kept)
    assert torch.equal(once.projections, twice.projections)
    few = limit_start(network, views, noise_norm=1.3, members=2, stream=Stream(3))
    alone = train_limit(few, views, recipe=Recipe(steps=60, learning_rate=1.0, optimizer="sgd"))
    assert torch.equal(alone.projections, once.projections[:2])


def test_in_single_precision_networks_end_with_the_same_views() -> None:
    views = BINARY.stratified(40, Stream(1))
    network = PatchNetwork(2, BINARY.num_patches, 1000, channels=96, power=6, init_std=0.01)
    start = limit_start(network, views, noise_norm=1.44, members=24, stream=Stream(3))
    one, other = (
        train_limit(start, views, recipe=Recipe(steps=500, learning_rate=16.0, dtype=dtype, optimizer="sgd"))
        for dtype in (torch.float64, torch.float32)
    )
    assert one.projections.dtype == other.projections.dtype == torch.float64
    held = [views_held(nets.projections, num_views=2, threshold=0.2) for nets in (one, other)]
    assert torch.equal(*held)
    assert {1, 2} <= set(held[0].sum(-1).flatten().tolist())
    apart = (one.train_logits(views) - other.train_logits(views)).abs().amax((1, 2))
    assert float(apart.max()) < 0.05
    assert float(apart.median()) < 1e-3


def test_start_has_the_stated_spread() -> None:
    views = BINARY.stratified(100, Stream(1))
    network = PatchNetwork(2, BINARY.num_patches, 1000, channels=64, init_std=0.03)
    start = limit_start(network, views, noise_norm=1.5, members=4, stream=Stream(3))
    u = start.projections
    assert abs(float(u.square().mean()) - 0.03**2) < 4.5 * 0.03**2 * (2 / u.numel()) ** 0.5
    z = start.memory[start.memory > 0]
    total = 4 * 100 * 2 * 64 * 2
    assert abs(len(z) / total - 0.5) < 4.5 * 0.5 / total**0.5
    assert int(start.counts.sum()) == len(z)
    assert abs(float(z.square().mean()) - 0.045**2) < 4.5 * 0.045**2 * (2 / len(z)) ** 0.5


def test_the_start_keeps_the_positive_products_in_their_order() -> None:
    views, world = BINARY.stratified(20, Stream(1)), BINARY
    network = PatchNetwork(2, world.num_patches, world.patch_dim, channels=3, init_std=0.5)
    params, inputs = network.init(Stream(2), members=2), world.patches(views, Stream(3))
    start = limit_of(network, params, inputs, views, noise_norm=world.noise_norm)
    weight = network.unpack(params.double())["weight"]
    noise = inputs.unflatten(-1, (world.num_patches, -1))[:, world.num_features :]
    for member, i, c in ((0, 0, 0), (1, 7, 1), (1, 19, 0)):
        products = (weight[member, c] @ noise[i].mT).flatten()
        wanted = products[products > 0]
        assert int(start.counts[member, i, c]) == len(wanted)
        kept = start.memory[member, i, c]
        torch.testing.assert_close(kept[: len(wanted)], wanted)
        assert not kept[len(wanted) :].any()


@pytest.mark.parametrize("kept", [1.0, 0.0])
def test_lazy_networks_are_the_linearised_ones(kept: float) -> None:
    """With the output of the start, and with it taken off."""
    views, inputs, network, params, start = setup(NOISY, 2)
    lazy = train_lazy(start, views, steps=40, relative_rate=1.0, centred=not kept)
    kernel = tangent_kernel(start, views.coefficients, views.coefficients)

    def forward(theta: Tensor, points: Tensor) -> Tensor:
        return network.logits(theta, points)

    fresh = NOISY.views(20, Stream(9))
    padded = torch.zeros(20, NOISY.num_patches, network.patch_dim, dtype=torch.float64)
    padded[:, range(6), range(6)] = fresh.coefficients
    for member in range(2):
        theta = params[member]
        jacobian = torch.autograd.functional.jacobian(lambda t: forward(t, inputs), theta)
        gram = torch.einsum("ict,jct->cij", jacobian, jacobian)
        off = ~torch.eye(60, dtype=torch.bool)
        torch.testing.assert_close(kernel[member][:, off], gram[:, off], rtol=1e-9, atol=1e-12)
        rate = 60 / float(torch.linalg.eigvalsh(gram)[:, -1].max())
        moved, first = torch.zeros_like(theta), kept * forward(theta, inputs)
        target = torch.nn.functional.one_hot(views.labels, 3).double()
        for _ in range(40):
            pull = target - (first + jacobian @ moved).softmax(-1)
            moved += rate / 60 * torch.einsum("ic,ict->t", pull, jacobian)
        there = torch.autograd.functional.jacobian(lambda t: forward(t, padded.flatten(-2)), theta)
        expected = kept * forward(theta, padded.flatten(-2)) + there @ moved
        torch.testing.assert_close(lazy.logits(fresh.coefficients)[member], expected, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(
            lazy.train_logits()[member], first + jacobian @ moved, rtol=1e-8, atol=1e-10
        )


PLAIN = Recipe(steps=1, learning_rate=1.0, optimizer="sgd")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": Recipe(steps=1)}, "optimizer = 'adam' is not for the orthogonal limit; give 'sgd'"),
        ({"recipe": PLAIN.but(dtype=torch.float16)}, "dtype = torch.float16 is not for"),
        ({"recipe": PLAIN.but(momentum=0.9)}, "momentum = 0.9 is not for"),
        ({"recipe": PLAIN.but(weight_decay=0.1)}, "weight_decay = 0.1 is not for"),
        ({"recipe": PLAIN.but(averaged=0.5)}, "averaged = 0.5 is not for"),
        ({"recipe": PLAIN.but(schedule="cosine")}, "schedule = 'cosine' is not for"),
        ({"recipe": PLAIN.but(batch_size=5)}, "batch_size = 5 is not for"),
        ({"temperature": -1.0}, "temperature"),
        ({"weight": 1.5}, "weight"),
        ({"cap": 0.0}, "cap"),
    ],
)
def test_bad_training_is_refused(change: dict, message: str) -> None:
    views, _, _, _, start = setup(BINARY, 3)
    with pytest.raises(ValueError, match=message):
        train_limit(start, views, **{"recipe": PLAIN, **change})


def test_bad_starts_are_refused() -> None:
    views, _, _, _, start = setup(BINARY, 3)
    with pytest.raises(ValueError, match="the start was made for"):
        train_limit(
            start,
            BINARY.stratified(40, Stream(0)),
            recipe=Recipe(steps=1, learning_rate=1.0, optimizer="sgd"),
        )
    with pytest.raises(ValueError, match="the start was made for"):
        train_lazy(start, BINARY.stratified(40, Stream(0)), steps=1)
    other = replace(views, labels=views.labels + 1)
    for descend in (partial(train_limit, recipe=PLAIN), partial(train_lazy, steps=1)):
        with pytest.raises(ValueError, match=r"views.labels spans 1 to 2; labels must lie in 0 to 1"):
            descend(start, other)
    for network, message in (
        (PatchNetwork(2, 6, 10, power=9), "power = 9"),
        (PatchNetwork(2, 4, 10), "no noise patch"),
    ):
        with pytest.raises(ValueError, match=message):
            limit_start(network, views, noise_norm=1.0, members=1, stream=Stream(0))
    assert math.isfinite(float(start.projections.sum()))


def test_the_kernel_of_an_average_is_that_of_its_gradients() -> None:
    views = NOISY.views(4, Stream(1))
    start = limit_start(
        PatchNetwork(3, 9, 6, channels=2, init_std=0.4), views, noise_norm=1.0, members=1, stream=Stream(2)
    )
    thirds = replace(start, average_of=3)  # a third of the same logits
    here, there = (tangent_kernel(one, views.coefficients, views.coefficients) for one in (start, thirds))
    torch.testing.assert_close(thirds.logits(views.coefficients), start.logits(views.coefficients) / 3)
    torch.testing.assert_close(there, here / 9)


@pytest.mark.parametrize("weight", [-0.5, math.inf, math.nan])
def test_a_feature_weighs_no_less_than_nothing(weight: float) -> None:
    views, _, _, _, start = setup(BINARY, power=3)
    coefficients = views.coefficients.clone()
    coefficients[3, 1] = weight
    with pytest.raises(ValueError, match="negative or not finite"):
        start.logits(coefficients)
    with pytest.raises(ValueError, match="negative or not finite"):
        train_limit(start, replace(views, coefficients=coefficients), recipe=Recipe(steps=1, optimizer="sgd"))
