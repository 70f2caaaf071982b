"""The multi-view world: shares, feature noise, patches and the exact rule."""

from __future__ import annotations

import pytest
import torch

from kdtheory.problems import MultiViewWorld
from kdtheory.streams import Stream

FIVE = MultiViewWorld(
    classes=5, num_views=3, noise_chance=0.3, noise_weights=(0.2, 0.4), noise_patches=2, patch_dim=20
)


def own(world: MultiViewWorld, coefficients: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    grid = coefficients.unflatten(-1, (world.classes, world.num_views))
    return torch.stack([grid[i, label] for i, label in enumerate(labels)])


def test_notes_world_has_the_printed_shares() -> None:
    world = MultiViewWorld()
    views = world.views(40_000, Stream(0))
    mine = own(world, views.coefficients, views.labels)
    for shown, chance in (((1.0, 1.0), 0.8), ((1.0, 0.0), 0.1), ((0.0, 1.0), 0.1)):
        share = float((mine == torch.tensor(shown, dtype=torch.float64)).all(-1).double().mean())
        assert abs(share - chance) < 4.5 * (chance * (1 - chance) / 40_000) ** 0.5
    foreign = own(world, views.coefficients, 1 - views.labels)
    assert (foreign == 0.1).all()
    assert abs(float(views.labels.double().mean()) - 0.5) < 4.5 * 0.5 / 200


def test_feature_noise_comes_with_its_chance_and_weights() -> None:
    views = FIVE.views(20_000, Stream(1))
    grid = views.coefficients.unflatten(-1, (5, 3))
    foreign = grid[torch.nn.functional.one_hot(views.labels, 5) == 0]
    for weight, chance in ((0.0, 0.7), (0.2, 0.15), (0.4, 0.15)):
        share = float((foreign == weight).double().mean())
        assert abs(share - chance) < 4.5 * (chance * (1 - chance) / foreign.numel()) ** 0.5
    assert set(foreign.unique().tolist()) == {0.0, 0.2, 0.4}


def test_one_law_shows_exactly_one_view_of_each_other_class() -> None:
    world = MultiViewWorld(classes=3, noise_law="one", noise_chance=1.0)
    views = world.views(3000, Stream(2))
    grid = views.coefficients.unflatten(-1, (3, 2))
    foreign = grid[torch.nn.functional.one_hot(views.labels, 3) == 0]
    assert ((foreign > 0).sum(-1) == 1).all()
    assert abs(float((foreign[:, 0] > 0).double().mean()) - 0.5) < 4.5 * 0.5 / len(foreign) ** 0.5


def test_stratified_shares_are_exact() -> None:
    world = MultiViewWorld(classes=4, noise_chance=0.3)
    views = world.stratified(120, Stream(0))
    mine = own(world, views.coefficients, views.labels)
    for label in range(4):
        rows = mine[views.labels == label]
        assert len(rows) == 30
        shown = ([1.0, 1.0], [1.0, 0.0], [0.0, 1.0])
        counts = [int((rows == torch.tensor(own)).all(-1).sum()) for own in shown]
        assert counts == [24, 3, 3]
    assert torch.equal(views.single, (mine == 0).any(-1))


def test_inputs_hold_features_and_noise_of_the_stated_norm() -> None:
    world = MultiViewWorld(noise_patches=3, noise_norm=2.0, patch_dim=400)
    sample, views = world.sample(200, Stream(5)), world.views(200, Stream(5))
    patches = sample.inputs.unflatten(-1, (world.num_patches, 400))
    assert torch.equal(sample.labels, views.labels)
    for feature in range(4):
        axis = torch.zeros(400, dtype=torch.float64)
        axis[feature] = 1
        assert torch.equal(patches[:, feature] @ axis, views.coefficients[:, feature])
        assert torch.equal(patches[:, feature].norm(dim=-1), views.coefficients[:, feature])
    squares = patches[:, 4:].square().sum(-1)
    assert abs(float(squares.mean()) - 4) < 4.5 * 4 * (2 / 400 / 600) ** 0.5


@pytest.mark.parametrize("world", [MultiViewWorld(patch_dim=30), FIVE])
def test_posterior_is_the_label(world: MultiViewWorld) -> None:
    sample = world.sample((2, 300), Stream(3))
    assert torch.equal(world.posterior(sample.inputs), sample.probs)
    assert torch.equal(sample.probs.argmax(-1), sample.labels)


def test_posterior_refuses_what_cannot_occur() -> None:
    world = MultiViewWorld(patch_dim=10)
    with pytest.raises(ValueError, match="full view of no class"):
        world.posterior(torch.zeros(world.dim))
    both = world.sample(1, Stream(0)).inputs.unflatten(-1, (world.num_patches, 10))
    both[..., range(4), range(4)] = 1.0
    with pytest.raises(ValueError, match="of several"):
        world.posterior(both.flatten(-2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": 1}, "classes"),
        ({"single_view": 1.5}, "single_view"),
        ({"noise_weights": ()}, "noise_weights is empty"),
        ({"noise_weights": (1.0,)}, "noise_weights"),
        ({"noise_law": "some"}, "noise_law"),
        ({"noise_norm": 0.0}, "noise_norm"),
        ({"patch_dim": 3}, "patch_dim"),
    ],
)
def test_bad_worlds_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiViewWorld(**change)


def test_stratified_refuses_shares_that_are_not_whole() -> None:
    with pytest.raises(ValueError, match="does not split"):
        MultiViewWorld(classes=4).stratified(100, Stream(0))
