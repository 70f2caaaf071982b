"""What a trained population answers, and to inputs of which shape."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from kdtheory.networks import MLP
from kdtheory.populations import Population, train
from kdtheory.populations._softmax import ClassesFirst
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


def test_a_member_whose_parameters_are_infinite_has_not_converged(population: Population) -> None:
    params = population.params.clone()
    params[0, 3] = -torch.inf  # a bias: the unit is dead, and loss and gradient are finite
    still = torch.zeros(2)
    found = Population(population.architecture, params, still, still, 2)
    assert bool(found.logits(torch.zeros(1, 3)).isfinite().all())
    assert found.diverged.tolist() == [True, False]
    assert found.converged(1.0).tolist() == [False, True]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_frame_holds_numbers_of_any_precision(population: Population, dtype: torch.dtype) -> None:
    losses, norms = torch.tensor([0.5, 2.0]).to(dtype), torch.tensor([6e4, torch.inf]).to(dtype)
    found = replace(population, last_loss=losses, gradient_norm=norms)
    assert found.to_frame()["last_loss"].tolist() == [0.5, 2.0]
    assert "2 members of 3-4-2" in found._repr_html_()


@pytest.mark.parametrize("softmax", [torch.softmax, F.softmax, torch.log_softmax, F.log_softmax])
def test_a_loss_that_asks_for_more_digits_has_them(softmax) -> None:
    logits = torch.randn(3, 5, 4, generator=Stream(3).torch()).mT.contiguous().mT
    with ClassesFirst():
        found = softmax(logits, dim=-1, dtype=torch.float64)
    assert found.dtype == torch.float64
    assert torch.allclose(found, softmax(logits, dim=-1, dtype=torch.float64), rtol=1e-14)
