"""A recipe says what it means, looks at itself once, and is refused by who cannot honour it."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from kdtheory import MLP, Stream, train
from kdtheory.iterates import TailAverage
from kdtheory.losses import label_loss
from kdtheory.multiview import limit_start, train_limit
from kdtheory.networks import PatchNetwork
from kdtheory.problems import MultiViewWorld
from kdtheory.recipe import HONOURED, SCHEDULES, Recipe
from kdtheory.schemes import fit
from kdtheory.stochastic import train_posterior

X, Y = torch.randn(12, 4, generator=Stream(0).torch()), torch.arange(12) % 3
NET = MLP((4, 3))


@given(st.integers(1, 10**6), st.integers(1, 1000), st.integers(1, 50), st.integers(0, 2000))
def test_epochs_are_whole_passes(examples: int, batch_size: int, epochs: int, least: int) -> None:
    passes = len(range(0, examples, batch_size)) * epochs
    recipe = Recipe(epochs=epochs, batch_size=batch_size, least_steps=least)
    assert recipe.steps_for(examples) == max(least, passes)
    assert recipe.but(batch_size=None).steps_for(examples) == max(least, epochs)
    assert recipe.but(steps=7).steps_for(examples) == 7


def test_more_steps_than_there_are_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"epochs = 1e\+308 of 100 batches are no number of steps"):
        Recipe(epochs=1e308, batch_size=1).steps_for(100)


def test_epochs_are_passes_in_a_population_and_in_a_module() -> None:
    recipe = Recipe(epochs=3, batch_size=5, learning_rate=0.01)
    population = train(NET, X, Y, loss=label_loss, members=1, stream=Stream(0), recipe=recipe, device="cpu")
    assert population.steps == 9
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=5)
    found = fit(nn.Linear(4, 3), loader, recipe=recipe.but(batch_size=None), stream=Stream(0), device="cpu")
    assert len(found.history) == 9


def test_a_recipe_is_a_value() -> None:
    recipe = Recipe(epochs=2, least_steps=10, momentum=0.5, optimizer="sgd")
    assert recipe == Recipe(epochs=2, least_steps=10, momentum=0.5, optimizer="sgd") != recipe.but(epochs=3)
    assert {recipe: "kept"}[recipe.but(learning_rate=1e-3)] == "kept"
    assert eval(repr(recipe)) == recipe
    assert recipe.but(steps=5) == Recipe(steps=5, momentum=0.5, optimizer="sgd")
    assert recipe.but(steps=5).but(epochs=2) == Recipe(epochs=2, momentum=0.5, optimizer="sgd")


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "neither": ({"steps": None}, "steps = None and epochs = None: exactly one says how long to train"),
    "both": ({"epochs": 2}, "steps = 3 and epochs = 2: exactly one"),
    "negative": ({"steps": -1}, "steps = -1 must be a whole number of at least 0"),
    "no epoch": ({"steps": None, "epochs": 0.0}, "epochs = 0 must be finite and greater than 0"),
    "least": ({"least_steps": 5}, "least_steps = 5 is for epochs; with steps leave it at 0"),
    "rate": ({"learning_rate": 0.0}, "learning_rate = 0 must be"),
    "endless rate": ({"learning_rate": math.inf}, "learning_rate = inf must be"),
    "rate beyond float32": ({"learning_rate": 1e39}, "learning_rate = 1e\\+39 must be at most 1e\\+30"),
    "decay beyond float32": ({"weight_decay": 1e40}, "weight_decay = 1e\\+40 must be at most"),
    "optimiser": ({"optimizer": "lbfgs"}, "optimizer = 'lbfgs' is not known; choose one of adam, sgd"),
    "misspelt": ({"schedule": "cosin"}, "did you mean 'cosine'"),
    "momentum": ({"momentum": 0.9}, "momentum = 0.9 is for optimizer='sgd'; leave it at 0 with 'adam'"),
    "much momentum": ({"momentum": 1.5, "optimizer": "sgd"}, "momentum = 1.5 must lie in"),
    "growth": ({"weight_decay": -1.0}, "weight_decay = -1 must be"),
    "no gradient": ({"clip_norm": 0.0}, "clip_norm = 0 must be"),
    "high precision": (
        {"autocast": torch.float32},
        "autocast = torch.float32 is no low precision; give torch.b",
    ),
    "average": ({"averaged": 1.5}, "averaged = 1.5 must lie in"),
    "no batch": ({"batch_size": 0}, "batch_size = 0 must be"),
    "whole numbers": ({"dtype": torch.long}, "dtype = torch.int64 has no fractions"),
    "two rates": (
        {"optimizer": partial(torch.optim.SGD, lr=0.1)},
        "optimizer has lr=0.1 of its own; give learning_rate= instead",
    ),
    "decay of a factory": (
        {"optimizer": torch.optim.AdamW, "weight_decay": 0.1},
        r"weight_decay = 0.1 is for a named optimizer; give it to the factory, partial\(optimizer",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_recipe_is_refused_where_it_is_made(case: str) -> None:
    changes, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        Recipe(**{"steps": 3, **changes})


def test_a_field_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="field = 'rate' is not known"):
        Recipe(steps=1).but(rate=0.1)
    with pytest.raises(ValueError, match="by = 'a kernel' is not known"):
        Recipe(steps=1).check_honoured("a kernel")


def of_a_population(recipe: Recipe) -> object:
    return train(NET, X, Y, loss=label_loss, members=1, stream=Stream(0), recipe=recipe, device="cpu")


def of_a_module(recipe: Recipe) -> object:
    return fit(nn.Sequential(nn.Linear(4, 3)), (X, Y), recipe=recipe, stream=Stream(0), device="cpu")


def of_a_posterior(recipe: Recipe) -> object:
    targets = torch.nn.functional.one_hot(Y, 3).float()
    how = {"prior_mean": NET.init(Stream(1), members=1)[0], "certified": 12, "delta": 0.1, "device": "cpu"}
    return train_posterior(NET, X, targets, **how, stream=Stream(0), recipe=recipe)


def in_the_limit(recipe: Recipe) -> object:
    world = MultiViewWorld(noise_patches=1, patch_dim=30)
    views = world.stratified(20, Stream(0))

    network = PatchNetwork(2, world.num_patches, 30, channels=3, power=3, init_std=0.1)
    start = limit_start(network, views, noise_norm=1.0, members=1, stream=Stream(1))
    return train_limit(start, views, recipe=recipe)


TRAININGS = {
    "a population": of_a_population,
    "a module": of_a_module,
    "a posterior": of_a_posterior,
    "the orthogonal limit": in_the_limit,
}
PLAIN = Recipe(steps=2, optimizer="sgd")
OTHERS: dict[str, dict[str, Any]] = {
    "learning_rate": {"learning_rate": 0.3},
    "optimizer": {"optimizer": "adam"},
    "schedule": {"schedule": "cosine"},
    "momentum": {"momentum": 0.9},
    "weight_decay": {"weight_decay": 0.5},
    "clip_norm": {"clip_norm": 0.01},
    "averaged": {"averaged": 1.0},
    "autocast": {"autocast": torch.bfloat16},
    "batch_size": {"batch_size": 5},
    "dtype": {"dtype": torch.float32},
    "a double": {"dtype": torch.float64},
    "epochs": {"epochs": 3},
}


def numbers(found: Any) -> torch.Tensor:
    """What was trained, as one vector."""
    if hasattr(found, "module") and isinstance(found.module, nn.Module):
        return NET.pack({name: value.double() for name, value in found.module.state_dict().items()})
    for name in ("params", "mean", "projections"):
        if hasattr(found, name):
            return getattr(found, name).flatten().double()
    raise AssertionError


@pytest.mark.parametrize("change", OTHERS)
@pytest.mark.parametrize("training", TRAININGS)
def test_a_field_is_honoured_or_refused_but_never_passed_over(training: str, change: str) -> None:
    run, recipe = TRAININGS[training], PLAIN.but(**OTHERS[change])
    with Stream(3).default():
        before = run(PLAIN)
    try:
        recipe.check_honoured(training)
    except ValueError:
        with pytest.raises(ValueError, match=rf"is not for {training}"), Stream(3).default():
            run(recipe)
        return
    with Stream(3).default():
        after = run(recipe)
    if change == "dtype":  # float32 is usual but in the limit
        assert torch.equal(numbers(before), numbers(after)) == (training != "the orthogonal limit")
    elif change == "a double":  # usual in the limit
        assert torch.equal(numbers(before), numbers(after)) == (training == "the orthogonal limit")
    else:
        assert not torch.equal(numbers(before), numbers(after))


def test_every_training_has_a_row_in_the_table() -> None:
    assert set(TRAININGS) == set(HONOURED)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_module_is_trained_as_a_population_of_one(schedule: str, optimizer: str) -> None:
    recipe = Recipe(
        steps=9, learning_rate=0.1, optimizer=optimizer, schedule=schedule, averaged=0.4, weight_decay=0.02,
        momentum=0.5 * (optimizer == "sgd"), clip_norm=0.3,
    )  # fmt: skip
    start = NET.init(Stream(0), members=1, dtype=torch.float64)
    population = train(
        NET, X, Y, loss=label_loss, members=1, stream=Stream(1), initial=start, device="cpu",
        recipe=recipe.but(dtype=torch.float64),
    )  # fmt: skip
    found = fit(NET.module(start, 0), (X.double(), Y), recipe=recipe, stream=Stream(1), device="cpu")
    torch.testing.assert_close(numbers(found), population.params[0], rtol=1e-9, atol=1e-12)
    assert found.gradient_norm == pytest.approx(float(population.gradient_norm[0]), rel=1e-6)


def test_the_average_has_batch_statistics_of_its_own() -> None:
    with Stream(0).default():
        net = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5, momentum=0.01), nn.ReLU(), nn.Linear(5, 3))
    found = fit(
        net, (X, Y), recipe=Recipe(steps=20, learning_rate=0.1, averaged=0.5), stream=Stream(0), device="cpu"
    ).module
    hidden = found[0](X)
    torch.testing.assert_close(found[1].running_mean, hidden.mean(0).detach())
    torch.testing.assert_close(found[1].running_var, hidden.var(0).detach())
    assert found[1].momentum == 0.01


def test_a_factory_is_given_the_rate() -> None:
    seen = []

    def factory(parameters: Any, lr: float) -> torch.optim.Optimizer:
        seen.append(lr)
        return torch.optim.AdamW(parameters, lr=lr)

    of_a_module(Recipe(steps=1, learning_rate=0.25, optimizer=factory))
    assert seen == [0.25]


def test_the_tail_average_is_the_mean_of_the_last_iterates() -> None:
    value = torch.zeros(2)
    tail = TailAverage([value], 0.5, 5)
    for step in range(5):
        value.fill_(step)
        tail.see(step)
    tail.settle()
    assert value.tolist() == [3.0, 3.0], "the mean of 2, 3, 4"


def test_shares_that_rounding_lifts_above_a_whole_number_are_that_number() -> None:
    assert Recipe(epochs=1.1, batch_size=1).steps_for(10) == 11  # 1.1·10 = 11.000000000000002
    assert Recipe(epochs=1.11, batch_size=1).steps_for(10) == 12
    value = torch.zeros(1)
    tail = TailAverage([value], 0.07, 100)  # the last 7
    for step in range(100):
        value.fill_(float(step))
        tail.see(step)
    tail.settle()
    assert float(value) == 96.0
