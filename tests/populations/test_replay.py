"""Replayed gradients: those of autograd to the last bit, and its own where a loss cannot be replayed."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from kdtheory.losses import distillation, label_loss
from kdtheory.losses.mutual import mutual_loss
from kdtheory.networks import MLP, Architecture
from kdtheory.populations import Population, _descent, train
from kdtheory.populations._replay import Replayed, replays
from kdtheory.recipe import Recipe
from kdtheory.schemes.cohort import Cohort
from kdtheory.streams import Stream

_NET = MLP((5, 7, 3))
_ADAM, _DESCENT = (Recipe(steps=20, learning_rate=0.1, optimizer=name) for name in ("adam", "sgd"))
_BATCHES = _ADAM.but(batch_size=4)
_OWN = torch.tensor([0.5, 1.0, 3.0])
CASES: dict[str, tuple[Architecture, Callable[..., Tensor], dict[str, Any], Recipe]] = {
    "labels": (_NET, label_loss, {}, _ADAM),
    "labels in batches, the last one short": (_NET, label_loss, {}, _BATCHES),
    "a teacher": (_NET, distillation, {"temperature": 4.0}, _ADAM),
    "a teacher, by plain descent": (_NET, distillation, {"temperature": 4.0}, _DESCENT),
    "a teacher in batches": (_NET, distillation, {"temperature": 4.0}, _BATCHES),
    "both, of each member its own": (_NET, distillation, {"temperature": _OWN, "weight": _OWN / 4}, _BATCHES),
    "another divergence": (_NET, distillation, {"soft": "jsd"}, _ADAM),
    "float64": (_NET, distillation, {"temperature": 2.0}, _ADAM.but(dtype=torch.float64)),
    "clipped": (_NET, distillation, {"weight": 0.5}, _ADAM.but(clip_norm=0.1)),
    "peers": (Cohort(_NET, peers=2), mutual_loss, {"peers": 2, "temperature": 1.0, "weight": 1.0}, _ADAM),
}


@pytest.mark.parametrize("case", CASES)
def test_members_are_those_of_autograd_to_the_last_bit(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture, loss, settings, recipe = CASES[case]
    inputs = torch.randn(3, 10, 5, generator=Stream(1).torch())
    labels = torch.randint(3, (3, 10), generator=Stream(2).torch())
    probs = torch.randn(3, 10, 3, generator=Stream(3).torch()).softmax(-1)

    def trained() -> Population:
        return train(
            architecture,
            inputs,
            labels,
            teacher_probs=probs if architecture is _NET else None,
            loss=loss,
            settings=settings,
            members=3,
            stream=Stream(0),
            recipe=recipe,
        )

    replayed = trained()
    monkeypatch.setattr(_descent, "replays", lambda *_: False)
    plain = trained()
    for name in ("params", "last_loss", "gradient_norm"):
        assert torch.equal(getattr(replayed, name), getattr(plain, name))


def _by_hand(loss: Callable[[Tensor], Tensor]) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """The gradient of a loss, and the logits that it was asked for."""
    asked: list[Tensor] = []

    def gradient(logits: Tensor, *others: Tensor | None) -> Tensor:
        asked.append(logits)
        leaf = logits.detach().requires_grad_()
        return torch.autograd.grad(loss(leaf).sum(), leaf)[0]

    return gradient, asked


def test_autograd_is_asked_twice() -> None:
    gradient, asked = _by_hand(lambda z: z.log_softmax(-1).square())
    replayed = Replayed(gradient, fixed=True)
    for step in range(10):
        logits = torch.randn(2, 4, 3, generator=Stream(step).torch())
        assert torch.equal(replayed(logits), gradient(logits))
    assert len(asked) == 2 + 10


def test_logits_that_stay_prove_nothing() -> None:
    still, moved = torch.zeros(1, 2, 2), torch.ones(1, 2, 2)
    gradient, asked = _by_hand(lambda z: z.square())
    replayed = Replayed(gradient, fixed=True)
    assert [replayed(z).sum().item() for z in (still, still, still, moved, still)] == [0, 0, 0, 8, 0]
    assert len(asked) == 4


_DRAWN = Stream(0).torch()
_COUNTED = itertools.count(1)
ODD: dict[str, Callable[[Tensor], Tensor]] = {
    "it looks at numbers": lambda z: z.square() if bool(z.sum() > 0) else z.exp(),
    "it reads a number": lambda z: z * float(z.detach().max()),
    "it draws": lambda z: z * torch.rand((), generator=_DRAWN),
    "it counts": lambda z: z * next(_COUNTED),
    "it writes": lambda z: (z * 2).mul_(3),
    "it takes apart": lambda z: torch.stack(z.unbind(-1)).square(),
}


@pytest.mark.parametrize("odd", ODD)
def test_a_loss_that_cannot_be_replayed_is_not(odd: str) -> None:
    gradient, asked = _by_hand(ODD[odd])
    replayed, steps = Replayed(gradient, fixed=True), 6
    for step in range(steps):
        replayed(torch.randn(2, 4, 3, generator=Stream(step).torch()))
    assert len(asked) == steps


def test_only_losses_of_the_package_are_replayed() -> None:
    @functools.wraps(distillation)
    def annealed(*given: Any, **settings: Any) -> Tensor:
        return distillation(*given, **settings) / next(_COUNTED)

    assert replays(distillation, {"temperature": 2.0, "soft": "kl"})
    assert replays(label_loss, {})
    assert not replays(annealed, {})
    assert not replays(distillation, {"soft": lambda student, teacher: student})
