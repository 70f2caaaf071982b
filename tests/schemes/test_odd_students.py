"""Students and teachers as people bring them: frozen statistics, growing buffers, small batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler, TensorDataset

from kdtheory import Stream
from kdtheory.checkpoints import Checkpoint
from kdtheory.losses.features import hint_loss
from kdtheory.recipe import Recipe
from kdtheory.schemes import (
    Loop,
    Term,
    Validation,
    distil,
    evaluate,
    fit,
    hinton,
    labels_term,
    mutual,
    response_term,
)
from kdtheory.schemes.teachers import Ensemble

X = torch.randn(40, 5, generator=Stream(0).child("x").torch())
Y = torch.randint(3, (40,), generator=Stream(0).child("y").torch())
HERE: dict[str, Any] = {"stream": Stream(3), "device": "cpu"}


def net(*extra: nn.Module) -> nn.Sequential:
    with Stream(1).default():
        return nn.Sequential(nn.Linear(5, 4), *extra, nn.Linear(4, 3))


class Frozen(nn.BatchNorm1d):
    """Statistics that stay as they were, in training too."""

    def train(self, mode: bool = True) -> Frozen:
        super().train(False)
        return self


def frozen() -> nn.Sequential:
    norm = Frozen(4).eval()
    norm.running_mean, norm.running_var = torch.full((4,), 0.5), torch.full((4,), 2.0)
    return net(norm)


def test_statistics_that_are_frozen_are_not_measured_again() -> None:
    made = fit(frozen(), (X, Y), recipe=Recipe(steps=4, averaged=0.5), **HERE).module
    assert made[1].running_mean.tolist() == [0.5] * 4
    assert made[1].running_var.tolist() == [2.0] * 4


def test_frozen_statistics_take_a_batch_of_one() -> None:
    loader = DataLoader(TensorDataset(X[:9], Y[:9]), batch_size=8)
    assert len(fit(frozen(), loader, recipe=Recipe(epochs=2), **HERE).history) == 4


def test_a_last_batch_of_one_is_seen_by_the_sampler_of_batches_too() -> None:
    data = TensorDataset(X[:9], Y[:9])
    for dropped in (False, True):
        cut = BatchSampler(SequentialSampler(data), batch_size=8, drop_last=dropped)
        loader = DataLoader(data, batch_sampler=cut)
        if dropped:
            fit(net(nn.BatchNorm1d(4)), loader, recipe=Recipe(epochs=1), **HERE)
        else:
            with pytest.raises(ValueError, match="the last batch of an epoch has one example"):
                fit(net(nn.BatchNorm1d(4)), loader, recipe=Recipe(epochs=1), **HERE)


class Growing(nn.Module):
    """A net that keeps a row for each place of the longest sequence so far."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 3)
        self.register_buffer("places", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] > len(self.places):
            self.places = torch.arange(x.shape[1], dtype=x.dtype) / 10
        said: Tensor = self.layer((x + self.places[: x.shape[1]]).sum(1, keepdim=True))
        return said


def test_buffers_that_grow_lose_no_training() -> None:
    batches = [(X[:, :2], Y), (X, Y)]  # the last look is the first to see the longer ones
    with Stream(1).default():
        student = Growing()
    found = fit(student, batches, recipe=Recipe(steps=1, optimizer="sgd"), **HERE)
    assert found.note == ""
    assert found.gradient_norm > 0
    assert found.module(X).shape == (40, 3)
    short = Validation(data=(X[:, :1], Y), every=1)
    rising = Recipe(steps=4, learning_rate=50.0, optimizer="sgd")
    ended = fit(student, batches, recipe=rising, loop=Loop(validation=short), **HERE)
    assert ended.module(X).shape == (40, 3)


class Probable(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        said: Tensor = self.inner(x).softmax(-1)
        return said


@pytest.mark.parametrize("size", [1, 3, 8])
def test_probabilities_are_told_in_small_batches_too(size: int) -> None:
    loader = DataLoader(TensorDataset(X, Y), batch_size=size)
    recipe = Recipe(epochs=1)
    with pytest.raises(ValueError, match="the student gives probabilities, not logits"):
        fit(Probable(net()), loader, recipe=recipe, **HERE)
    with pytest.raises(ValueError, match="the teacher gives probabilities, not logits"):
        distil(net(), Probable(net()), loader, losses=hinton(4.0, 0.5), recipe=recipe, **HERE)
    with pytest.raises(ValueError, match="student 1 gives probabilities, not logits"):
        mutual([net(), Probable(net())], loader, recipe=recipe, **HERE)
    with pytest.raises(ValueError, match="the module gives probabilities, not logits"):
        evaluate(Probable(net()), loader, device="cpu")
    fit(net(), loader, recipe=recipe, **HERE)
    few = [(torch.eye(3)[:2], Y[:2])] * 9  # a few points again and again are no evidence
    distil(nn.Linear(3, 3), nn.Identity(), few, losses=hinton(4.0, 0.5), recipe=recipe, **HERE)


def test_teachers_of_several_precisions_are_one() -> None:
    with Stream(5).default():
        members = [nn.Linear(5, 3), nn.Linear(5, 3).double(), nn.Linear(5, 3).bfloat16()]
    wide = [nn.Linear(5, 3).double() for _ in members]
    for one, other in zip(wide, members, strict=True):
        one.load_state_dict(other.state_dict())
    truth = torch.stack([each(X.double()).softmax(-1) for each in wide]).mean(0).log()
    assert torch.allclose(Ensemble(members)(X).double(), truth, atol=4e-3)  # of one member's own rounding
    halves = [nn.Linear(5, 3).bfloat16() for _ in range(3)]
    logits = [half(X.bfloat16()).double() for half in halves]
    mean = torch.stack([each.softmax(-1) for each in logits]).mean(0).log()
    assert torch.allclose(Ensemble(halves)(X).double(), mean, atol=1e-6)
    x = X.clone().requires_grad_()
    Ensemble(members)(x).square().sum().backward()
    assert x.grad is not None


def weighted(weight: float) -> Callable[..., Tensor]:
    return partial(torch.nn.functional.huber_loss, delta=weight)


CHANGES: dict[str, dict[str, Any]] = {
    "a weight": {"losses": hinton(temperature=4.0, weight=0.6)},
    "a temperature": {"losses": hinton(temperature=2.0, weight=0.5)},
    "a divergence": {"losses": {"response": response_term(4.0, 0.5, soft="jsd"), "labels": labels_term(0.5)}},
    "a layer": {"losses": {**hinton(4.0, 0.5), "hint": Term(hint_loss, student="0", teacher="0")}},
    "a setting": {"losses": {"response": Term(weighted(2.0))}, "first": {"response": Term(weighted(1.0))}},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_training_goes_on_with_its_own_losses_alone(name: str, tmp_path: Path) -> None:
    change = dict(CHANGES[name])
    first = change.pop("first", hinton(temperature=4.0, weight=0.5))
    loop = Loop(checkpoint=Checkpoint(path=tmp_path / "net.safetensors", resume=True))

    def train(losses: Any) -> Any:
        return distil(net(), net(), (X, Y), losses=losses, recipe=Recipe(steps=3), loop=loop, **HERE)

    one = train(first)
    assert torch.equal(train(first).module[0].weight, one.module[0].weight)
    with pytest.raises(ValueError, match=r"the checkpoint is of .* and this is"):
        train(change["losses"])


def test_a_cohort_goes_on_with_its_own_weight_alone(tmp_path: Path) -> None:
    loop = Loop(checkpoint=Checkpoint(path=tmp_path / "net.safetensors", resume=True))
    how: dict[str, Any] = {"recipe": Recipe(steps=2), "loop": loop, **HERE}
    mutual([net(), net()], (X, Y), **how)
    for change in ({"weight": 0.5}, {"temperature": 2.0}):
        with pytest.raises(ValueError, match=r"the checkpoint is of .* and this is"):
            mutual([net(), net()], (X, Y), **change, **how)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        said: Tensor = self.head(self.lstm(x[..., None])[0][:, -1])
        return said


@pytest.mark.parametrize("path", ["lstm[0]", "lstm[1][0]", "lstm[-1][-1]"])
def test_parts_of_what_a_layer_gives_are_taken_by_place(path: str) -> None:
    with Stream(1).default():
        student, teacher = Recurrent(), Recurrent()
    term = {"part": Term(torch.nn.functional.mse_loss, student=path, teacher=path)}
    found = distil(student, teacher, (X, Y), losses=term, recipe=Recipe(steps=1), **HERE)
    said = [each.lstm(X[..., None]) for each in (student, teacher)]
    one, other = (
        (out, state[0], state[1])[("lstm[0]", "lstm[1][0]", "lstm[-1][-1]").index(path)]
        for out, state in said
    )
    assert found.history["value"].iloc[0] == pytest.approx((one - other).square().mean().item())


IDLE: dict[str, tuple[dict[str, Any], str]] = {
    "a loss that is no function": (
        {"losses": {"a": Term(lambda s, t: torch.ones(()))}},
        "losses a depend on nothing",
    ),
    "a closure": ({"optimizer": torch.optim.LBFGS}, "optimizer fails at step 0: .*closure"),
    "dense": ({"optimizer": torch.optim.SparseAdam}, "optimizer fails at step 0: .*dense gradients"),
    "metrics": (
        {"schedule": torch.optim.lr_scheduler.ReduceLROnPlateau},
        "schedule fails at step 0: .*metrics",
    ),
    "too short": (
        {"schedule": partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=3)},
        "schedule fails at step 3: Tried to step",
    ),
}


@pytest.mark.parametrize("name", IDLE)
def test_what_cannot_be_stepped_is_named(name: str) -> None:
    how, message = IDLE[name]
    losses = how.get("losses", hinton(4.0, 0.5))
    recipe = Recipe(steps=5, **{key: value for key, value in how.items() if key != "losses"})
    with pytest.raises(ValueError, match=message):
        distil(net(), net(), (X, Y), losses=losses, recipe=recipe, **HERE)


def test_no_example_is_no_evaluation() -> None:
    with pytest.raises(ValueError, match="was asked about no example"):
        evaluate(net(), (X[:0], Y[:0]), device="cpu")
