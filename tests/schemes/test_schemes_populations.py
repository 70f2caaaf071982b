"""Cohorts and the schemes for populations, against autograd and against single networks."""

from __future__ import annotations

import doctest
import importlib

import pytest
import torch
from torch import nn

from kdtheory.losses import distillation, label_loss
from kdtheory.losses.mutual import mutual_loss
from kdtheory.networks import MLP, Architecture, ModuleArchitecture
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.schemes import mutual
from kdtheory.schemes import populations as schemes
from kdtheory.schemes.cohort import Cohort
from kdtheory.streams import Stream

MODULES = (
    "terms",
    "projections",
    "teachers",
    "offline",
    "online",
    "rounds",
    "evaluation",
    "comparison",
    "cohort",
)
EACH = MLP((5, 6, 3))
ARCHITECTURES = [
    Cohort(EACH, 2),
    Cohort(EACH, 3),
    Cohort(ModuleArchitecture(lambda: nn.Linear(5, 3), (5,)), 2),
]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_the_docstrings_hold(module):
    assert doctest.testmod(importlib.import_module(f"kdtheory.schemes.{module}")).failed == 0


def drawn(*axes: int) -> torch.Tensor:
    return torch.randn(*axes, 5, dtype=torch.float64, generator=Stream(1).child("inputs").torch())


def labelled(n: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    return drawn(n).float(), torch.randint(3, (n,), generator=Stream(2).torch())


@pytest.mark.parametrize("cohort", ARCHITECTURES, ids=lambda cohort: cohort.name)
def test_a_cohort_is_an_architecture(cohort):
    assert isinstance(cohort, Architecture)
    params = cohort.init(Stream(0), members=4, dtype=torch.float64)
    torch.testing.assert_close(cohort.pack(cohort.unpack(params)), params)
    x = drawn(7)
    peers = [torch.cat([net(x) for net in cohort.module(params, i)], -1) for i in range(4)]
    torch.testing.assert_close(cohort.logits(params, x), torch.stack(peers))
    torch.testing.assert_close(
        params[:, : cohort.each.size], cohort.each.init(Stream(0), members=4, dtype=torch.float64)
    )


@pytest.mark.parametrize("cohort", ARCHITECTURES, ids=lambda cohort: cohort.name)
@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("own", [False, True])
def test_its_tape_is_autograd(cohort, members, own):
    params = cohort.init(Stream(0), members=members, dtype=torch.float64)
    inputs = drawn(members, 9) if own else drawn(9).expand(members, 9, 5)
    leaf = params.clone().requires_grad_()
    logits = cohort.logits(leaf, inputs)
    pulled = torch.randn(logits.shape, dtype=torch.float64, generator=Stream(2).torch())
    (expected,) = torch.autograd.grad(logits, leaf, pulled)
    gradient = torch.full_like(params, torch.nan)
    tape = cohort.tape(params, gradient)
    torch.testing.assert_close(tape.forward(tape.prepare(inputs)), logits.detach())
    tape.backward(pulled)
    torch.testing.assert_close(gradient, expected)


def test_a_cohort_learns_what_two_modules_learn_mutually():
    x, y = labelled()
    population = schemes.mutual(
        EACH, x, y, members=3, stream=Stream(0), recipe=Recipe(steps=20, learning_rate=0.01), device="cpu"
    )
    starts = Cohort(EACH, 2).init(Stream(0).child("init"), members=3)
    students = list(Cohort(EACH, 2).module(starts, 1))
    training = {"recipe": Recipe(steps=20, learning_rate=0.01), "device": "cpu"}
    pair = mutual(students, (x, y), **training, stream=Stream(9))
    logits = population.logits(x)[1].unflatten(-1, (2, -1))
    for place, trained in enumerate(pair):
        torch.testing.assert_close(logits[:, place], trained.module(x).detach(), rtol=1e-3, atol=1e-4)


def test_without_weight_peers_are_a_population_of_independent_networks():
    x, y = labelled()
    how = {"members": 4, "stream": Stream(0), "recipe": Recipe(steps=15, learning_rate=0.01), "device": "cpu"}
    cohort = schemes.mutual(EACH, x, y, weight=0.0, **how)
    alone = train(EACH, x, y, loss=label_loss, **how)
    torch.testing.assert_close(cohort.logits(x)[..., :3], alone.logits(x), rtol=1e-4, atol=1e-5)


def test_distil_and_born_again_are_train_with_the_teachers_probabilities():
    x, y = labelled()
    how = {"members": 3, "recipe": Recipe(steps=10, learning_rate=0.01), "device": "cpu"}
    line = schemes.born_again(EACH, x, y, rounds=2, temperature=2.0, weight=0.7, stream=Stream(3), **how)
    probs = line[1].logits(x).softmax(-1)
    last = train(
        EACH, x, y, teacher_probs=probs, loss=distillation,
        settings={"temperature": 2.0, "weight": 0.7}, stream=Stream(3).child(2), **how,
    )  # fmt: skip
    torch.testing.assert_close(line[2].params, last.params)
    torch.testing.assert_close(schemes.ensemble_probs(line[1], x), probs.mean(0))


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_named():
    x, y = labelled()
    how = {
        "members": 2,
        "stream": Stream(0),
        "recipe": Recipe(steps=1, learning_rate=0.01),
    }
    with pytest.raises(ValueError, match="peers = 1"):
        schemes.mutual(EACH, x, y, peers=1, **how)
    with pytest.raises(ValueError, match="rounds = 0"):
        schemes.born_again(EACH, x, y, rounds=0, **how)
    with pytest.raises(ValueError, match="teacher_probs"):
        schemes.distil(EACH, x, y, torch.ones(3, 3) / 3, temperature=1.0, weight=0.5, **how)


def test_a_member_does_not_depend_on_the_others():
    x, y = labelled()
    how = {"stream": Stream(0), "recipe": Recipe(steps=5, learning_rate=0.01), "device": "cpu"}
    settings = {"peers": 2, "weight": 1.0, "temperature": 1.0}
    few = train(Cohort(EACH, 2), x, y, loss=mutual_loss, settings=settings, members=2, **how)
    many = train(Cohort(EACH, 2), x, y, loss=mutual_loss, settings=settings, members=5, **how)
    torch.testing.assert_close(few.params, many.params[:2], rtol=1e-5, atol=1e-6)
