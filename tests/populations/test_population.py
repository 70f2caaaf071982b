"""What a trained population answers, and to inputs of which shape."""

from __future__ import annotations

import pytest
import torch

from kdtheory.networks import MLP
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream


@pytest.fixture(scope="module")
def population() -> Population:
    points, labels = torch.randn(6, 3, generator=Stream(0).torch()), torch.tensor([0, 1, 0, 1, 1, 0])
    settings = {
        "members": 2,
        "stream": Stream(1),
        "recipe": Recipe(steps=2, learning_rate=0.1),
    }

    def loss(logits: torch.Tensor, _probs: object, targets: torch.Tensor) -> torch.Tensor:
        return -logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]

    return train(MLP((3, 4, 2)), points, labels, loss=loss, **settings)


def test_own_and_shared_inputs_are_what_each_module_says(population: Population) -> None:
    shared, *own = torch.randn(3, 5, 3, generator=Stream(2).torch())
    for member in range(2):
        module = population.module(member)
        torch.testing.assert_close(population.logits(shared)[member], module(shared))
        torch.testing.assert_close(population.logits(torch.stack(own))[member], module(own[member]))


@pytest.mark.parametrize("shape", [(3,), (5, 4), (3, 5), (3, 5, 3), (1, 2, 5, 3)])
@pytest.mark.usefixtures("unchecked_shapes")
def test_inputs_of_another_shape_are_refused(population: Population, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="inputs"):
        population.logits(torch.zeros(shape))
