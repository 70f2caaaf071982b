"""What a population says of its convergence, on problems whose optimum is known, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kdtheory.losses import distillation
from kdtheory.networks import MLP
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream
from kdtheory.types import torch_threads


@pytest.fixture(autouse=True)
def one_thread():
    with torch_threads(1):
        yield


def squared_loss(logits: Tensor, teacher_probs: Tensor, labels: Tensor | None) -> Tensor:
    return (logits - teacher_probs).square().sum(-1)


def label_loss(logits: Tensor, teacher_probs: Tensor | None, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.mT, labels, reduction="none")


def least_squares(steps: int, weight_decay: float = 0.0) -> tuple[Population, Tensor, Tensor]:
    generator = Stream(3).torch()
    inputs = torch.randn(3, 50, 4, dtype=torch.float64, generator=generator)
    targets = torch.softmax(torch.randn(3, 50, 2, dtype=torch.float64, generator=generator), -1)
    population = train(
        MLP((4, 2)),
        inputs,
        teacher_probs=targets,
        loss=squared_loss,
        members=3,
        stream=Stream(0),
        recipe=Recipe(
            steps=steps,
            learning_rate=0.1,
            optimizer="sgd",
            momentum=0.5,
            weight_decay=weight_decay,
            dtype=torch.float64,
        ),
        device="cpu",
    )
    return population, inputs, targets


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_least_squares_converges_to_the_normal_equations(weight_decay: float) -> None:
    population, inputs, targets = least_squares(400, weight_decay)
    ones = torch.cat([inputs, torch.ones_like(inputs[..., :1])], -1)
    gram = 2 * ones.mT @ ones / 50 + weight_decay * torch.eye(5, dtype=torch.float64)
    optimum = torch.linalg.solve(gram, 2 * ones.mT @ targets / 50)
    torch.testing.assert_close(population.params.unflatten(-1, (2, 5)).mT, optimum, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(population.last_loss, (ones @ optimum - targets).square().sum(-1).mean(-1))
    assert population.converged(1e-9).all()
    assert not population.diverged.any()


def test_an_unconverged_member_is_reported() -> None:
    population, inputs, targets = least_squares(3)
    assert not population.converged(1e-9).any()
    leaf = population.params.clone().requires_grad_()
    loss = squared_loss(MLP((4, 2)).logits(leaf, inputs), targets, None).mean(-1)
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    torch.testing.assert_close(population.last_loss, loss.detach())
    torch.testing.assert_close(population.gradient_norm, gradient.norm(dim=-1))


def test_a_diverging_member_is_reported_and_the_others_are_not_harmed() -> None:
    inputs = torch.ones(3, 5, 2)
    inputs[1] *= 1e20
    targets = torch.full((5, 2), 0.5)
    population = train(
        MLP((2, 2)), inputs, teacher_probs=targets, loss=squared_loss, members=3, stream=Stream(0),
        recipe=Recipe(steps=100, learning_rate=0.1, optimizer="sgd"), device="cpu",
    )  # fmt: skip
    assert population.diverged.tolist() == [False, True, False]
    assert population.converged(1e-5).tolist() == [True, False, True]


def test_no_steps_is_the_start() -> None:
    population = least_squares(0)[0]
    start = MLP((4, 2)).init(Stream(0).child("init"), members=3, dtype=torch.float64)
    assert torch.equal(population.params, start)
    assert torch.isfinite(population.gradient_norm).all()


def test_training_in_two_parts_is_training_in_one_where_the_optimiser_has_no_memory() -> None:
    inputs, labels = torch.randn(20, 4, generator=Stream(0).torch()), torch.arange(20) % 3
    arguments: dict[str, Any] = {
        "loss": label_loss, "members": 2, "stream": Stream(0),
    }  # fmt: skip
    long = Recipe(steps=20, learning_rate=0.1, optimizer="sgd")
    short = long.but(steps=10)
    whole = train(MLP((4, 5, 3)), inputs, labels, recipe=long, **arguments)
    half = train(MLP((4, 5, 3)), inputs, labels, recipe=short, **arguments)
    rest = train(MLP((4, 5, 3)), inputs, labels, recipe=short, initial=half.params, **arguments)
    torch.testing.assert_close(rest.params, whole.params)


PROBS = torch.full((6, 3), 1 / 3)
TAUGHT: dict[str, Any] = {"loss": distillation, "teacher_probs": PROBS}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no members": ({"members": 0}, "members = 0"),
    "a factory": (
        {"recipe": Recipe(steps=2, optimizer=torch.optim.RMSprop)},
        "is not for a population",
    ),
    "a scheduler": ({"recipe": Recipe(steps=2, schedule=lambda optimizer: None)}, "is not for a population"),
    "no recipe": ({"recipe": {"steps": 2}}, "recipe is a dict; give a Recipe"),
    "unknown device": ({"device": "abacus"}, "device = 'abacus'"),
    "wide inputs": ({"inputs": torch.zeros(6, 5)}, r"inputs has shape \(6, 5\); give \(n, 4\)"),
    "inputs of others": ({"inputs": torch.zeros(3, 6, 4)}, r"inputs has shape \(3, 6, 4\)"),
    "flat inputs": ({"inputs": torch.zeros(4)}, "inputs has shape"),
    "no rows": ({"inputs": torch.zeros(0, 4), "labels": None}, "rows of inputs"),
    "NaN inputs": ({"inputs": torch.full((6, 4), torch.nan)}, "inputs holds NaN"),
    "few labels": ({"labels": torch.zeros(5, dtype=torch.long)}, r"labels has shape \(5,\)"),
    "label out of range": ({"labels": torch.full((6,), 3)}, "labels must lie in 0 to 2"),
    "probs of two classes": ({"teacher_probs": PROBS[:, :2] * 1.5}, r"teacher_probs has shape \(6, 2\)"),
    "probs not summing to one": ({"teacher_probs": 2 * PROBS}, "teacher_probs: a row misses"),
    "a list of temperatures": (TAUGHT | {"settings": {"temperature": [1.0, 2.0]}}, r"temperature = \[1.0, 2"),
    "an array of weights": (TAUGHT | {"settings": {"weight": np.ones(2)}}, "weight = ndarray of shape"),
    "few temperatures": ({"settings": {"temperature": torch.ones(3)}}, r"settings\['temperature'\]"),
    "wrong start": ({"initial": torch.zeros(2, 7)}, r"initial has shape \(2, 7\)"),
    "mean loss": ({"loss": lambda z, q, y: label_loss(z, q, y).mean()}, "loss gives shape"),
    "loss per class": ({"loss": lambda z, q, y: z}, "loss gives shape"),
    "constant loss": ({"loss": lambda z, q, y: torch.zeros(z.shape[:-1])}, "does not depend"),
    "loss over members": ({"loss": lambda z, q, y: z.sum(-1) - z.sum((0, 2))}, "loss of a member changes"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_a_clear_line(case: str) -> None:
    change, message = BAD[case]
    arguments: dict[str, Any] = {
        "inputs": torch.zeros(6, 4), "labels": torch.zeros(6, dtype=torch.long), "loss": label_loss,
        "members": 2, "stream": Stream(0), "recipe": Recipe(steps=2, learning_rate=0.1),
    }  # fmt: skip
    arguments |= change
    inputs, labels = arguments.pop("inputs"), arguments.pop("labels")
    with pytest.raises(ValueError, match=message):
        train(MLP((4, 3)), inputs, labels, **arguments)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.zeros(6, 5), "takes n × "),
        (torch.zeros(4), "takes n × "),
        (torch.zeros(3, 6, 4), "this population has 2"),
    ],
)
def test_logits_of_bad_inputs_are_refused(inputs: Tensor, message: str) -> None:
    arguments: dict[str, Any] = {
        "members": 2,
        "stream": Stream(0),
        "recipe": Recipe(steps=0, learning_rate=0.1),
    }
    population = train(
        MLP((4, 3)), torch.zeros(6, 4), torch.zeros(6, dtype=torch.long), loss=label_loss, **arguments
    )
    with pytest.raises(ValueError, match=message):
        population.logits(inputs)
    with pytest.raises(ValueError, match="tolerance = 0"):
        population.converged(0.0)
