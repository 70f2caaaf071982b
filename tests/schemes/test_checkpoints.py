"""A training that was broken off and goes on ends with the parameters of one that was not, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from small_nets import points
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from kdtheory import Stream
from kdtheory.checkpoints import Checkpoint
from kdtheory.losses.features import hint_loss
from kdtheory.recipe import Recipe
from kdtheory.schemes import (
    Loop,
    Moment,
    Term,
    Validation,
    born_again,
    distil,
    fit,
    hinton,
    linear_projection,
    mutual,
)  # fmt: skip
from kdtheory.tensor_trees import from_bytes, to_bytes

X, Y = points()
RECIPE = Recipe(steps=17, learning_rate=0.05, schedule="cosine")
HINT = {"hint": Term(hint_loss, weight=0.2, student="0", teacher="0", projection=linear_projection)}


def net(width: int = 6) -> nn.Module:
    with Stream(5).default():
        return nn.Sequential(
            nn.Linear(5, width), nn.BatchNorm1d(width), nn.Dropout(0.3), nn.ReLU(), nn.Linear(width, 3)
        )


class Jittered(torch.utils.data.Dataset):
    """Points that are moved at random each time they are looked at."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, torch.Tensor]:
        return X[place] + 0.1 * torch.randn(5), Y[place]


def shuffled(**how: Any) -> DataLoader:
    return DataLoader(how.pop("dataset", TensorDataset(X, Y)), batch_size=8, shuffle=True, **how)


DATA: dict[str, Callable[[], Any]] = {
    "one batch": lambda: (X, Y),
    "a list": lambda: [(X[:10], Y[:10]), (X[10:], Y[10:])],
    "shuffled": shuffled,
    "its own generator": lambda: shuffled(generator=torch.Generator().manual_seed(3)),
    "moved at random": lambda: shuffled(dataset=Jittered()),
}
RECIPES: dict[str, Recipe] = {
    "Adam": RECIPE,
    "SGD with momentum": RECIPE.but(optimizer="sgd", momentum=0.9, weight_decay=0.01, clip_norm=0.5),
    "an average": RECIPE.but(averaged=0.7),
    "epochs in float16": RECIPE.but(epochs=6, autocast=torch.float16),
    "factories": RECIPE.but(
        optimizer=partial(torch.optim.AdamW, amsgrad=True),
        schedule=partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=40),
    ),
}


KEPT_AND_BROKEN = {"SGD with momentum": (4, 9), "epochs in float16": (3, 5)}
"""Steps between checkpoints, the first at the end of an epoch of four batches, and the step of the break."""


class Broken(Exception):
    """What breaks a training off."""


def broken_at(step: int, now: Moment) -> None:
    if now.step == step:
        raise Broken


def same(one: Any, two: Any) -> None:
    for name, value in one.module.state_dict().items():
        other = two.module.state_dict()[name]
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other, name
    assert one.history.equals(two.history)
    assert one.validation.equals(two.validation)
    assert one.step == two.step
    assert one.gradient_norm == two.gradient_norm


def interrupted_and_resumed(
    train: Callable[[Any, Loop], Any], data: str, path: Path, *, at: int, every: int = 5
) -> Any:
    kept = Checkpoint(path=path, every=every, resume=True)
    with pytest.raises(Broken):
        train(DATA[data](), Loop(checkpoint=kept, callbacks=(partial(broken_at, at),)))
    return train(DATA[data](), Loop(checkpoint=kept))


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_training_that_goes_on_is_one_that_was_not_broken_off(
    data: str, recipe: str, tmp_path: Path
) -> None:
    def train(data: Any, loop: Loop) -> Any:
        return fit(net(), data, recipe=RECIPES[recipe], stream=Stream(0), device="cpu", loop=loop)

    whole = train(DATA[data](), Loop())
    every, at = KEPT_AND_BROKEN.get(recipe, (5, 13))
    path = tmp_path / "net.safetensors"
    same(interrupted_and_resumed(train, data, path, at=at, every=every), whole)
    same(train(DATA[data](), Loop(checkpoint=Checkpoint(path=path, resume=True))), whole)


def test_it_was_broken_off_where_the_checkpoint_says(tmp_path: Path) -> None:
    kept = Checkpoint(path=tmp_path / "a" / "net.safetensors", every=5, resume=True)
    loop = Loop(checkpoint=kept, callbacks=(partial(broken_at, 13),))
    with pytest.raises(Broken):
        fit(net(), shuffled(), recipe=RECIPE, stream=Stream(0), device="cpu", loop=loop)
    assert kept.load()["step"] == 10
    seen: list[int] = []
    again = Loop(checkpoint=kept, callbacks=(lambda now: seen.append(now.step),))
    fit(net(), shuffled(), recipe=RECIPE, stream=Stream(0), device="cpu", loop=again)
    assert seen == list(range(11, 18))
    assert kept.load()["step"] == 17


def test_students_projections_cohorts_and_watches_go_on(tmp_path: Path) -> None:
    how: dict[str, Any] = {"recipe": RECIPE, "stream": Stream(0), "device": "cpu"}
    looks = Validation(data=(X.flip(1), Y), every=2, patience=3)

    def distilled(data: Any, loop: Loop) -> Any:
        terms = hinton(temperature=3.0, weight=0.5) | HINT
        return distil(net(), net(9), data, losses=terms, **how, loop=loop)

    def together(data: Any, loop: Loop) -> Any:
        return mutual([net(), net(4)], data, **how, loop=loop)[1]

    def watched(data: Any, loop: Loop) -> Any:
        loop = Loop(checkpoint=loop.checkpoint, callbacks=loop.callbacks, validation=looks)
        return fit(net(), data, **how, loop=loop)

    for place, train in enumerate((distilled, together, watched)):
        path = tmp_path / f"{place}.safetensors"
        same(interrupted_and_resumed(train, "shuffled", path, at=7), train(shuffled(), Loop()))


def test_each_round_has_a_checkpoint_of_its_own(tmp_path: Path) -> None:
    how: dict[str, Any] = {"rounds": 2, "recipe": RECIPE, "stream": Stream(0), "device": "cpu"}
    kept = Checkpoint(path=tmp_path / "line.safetensors", resume=True)
    whole, seen = born_again(net, shuffled(), **how), []

    def end(now: Moment) -> None:
        seen.append(now.step)
        if len(seen) == 25:
            raise Broken

    with pytest.raises(Broken):
        born_again(net, shuffled(), **how, loop=Loop(checkpoint=kept, callbacks=(end,)))
    for one, two in zip(born_again(net, shuffled(), **how, loop=Loop(checkpoint=kept)), whole, strict=True):
        same(one, two)
    assert {path.name for path in tmp_path.iterdir()} == {f"line-{r}.safetensors" for r in range(3)}


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"

    def train(
        recipe: Recipe = RECIPE, width: int = 6, seed: int = 0, resume: bool = True, **more: Any
    ) -> Any:
        loop = Loop(checkpoint=Checkpoint(path=path, resume=resume), **more)
        return fit(net(width), (X, Y), recipe=recipe, stream=Stream(seed), device="cpu", loop=loop)

    train()
    with pytest.raises(ValueError, match="is there already; give resume=True to go on from it"):
        train(resume=False)
    with pytest.raises(ValueError, match=r"is of Recipe\(steps=17, .* and this is Recipe\(steps=18"):
        train(RECIPE.but(steps=18))
    with pytest.raises(ValueError, match="and this is"):
        train(seed=1)
    with pytest.raises(ValueError, match="networks of other shapes"):
        train(width=7)
    with pytest.raises(ValueError, match=r"and this is .*, validation every 1 steps by"):
        train(validation=Validation(data=(X, Y)))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"net\.safetensors: no tree of tensors"):
        train()
    path.write_bytes(to_bytes([1, 2]))
    with pytest.raises(ValueError, match="the checkpoint is of None, and this is"):
        train()
    with pytest.raises(ValueError, match="every = 0 must be"):
        Checkpoint(path=path, every=0)


class Scaled:
    """A loss that holds a number."""

    def __init__(self, by: float) -> None:
        self.by = by

    def __call__(self, student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
        return self.by * (student - teacher).square().mean()


def another() -> nn.Module:
    found = net()
    with torch.no_grad():
        found[0].bias[0] += 1e-3
    return found


def looks(*data: torch.Tensor, every: int = 2) -> dict[str, Any]:
    return {"validation": Validation(data=data, every=every)}


def loaded(x: torch.Tensor, **how: Any) -> dict[str, Any]:
    return {"data": DataLoader(TensorDataset(x, Y), **{"batch_size": 8, **how})}


def by(loss: Callable[..., torch.Tensor]) -> dict[str, Any]:
    return {"losses": {"term": Term(loss)}}


def scaled(student: torch.Tensor, teacher: torch.Tensor, scale: Any) -> torch.Tensor:
    return (scale * (student - teacher)).square().mean()


def recursive(scale: float) -> Callable[..., torch.Tensor]:
    def loss(student: torch.Tensor, teacher: torch.Tensor, again: bool = True) -> torch.Tensor:
        return loss(student, teacher, False) if again else scaled(student, teacher, scale)

    return loss


OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "teacher": ({"teacher": net()}, {"teacher": another()}),
    "points": ({}, {"data": (X + 1, Y)}),
    "labels": ({}, {"data": (X, Y.roll(1))}),
    "points of a loader": (loaded(X), loaded(X + 1)),
    "points of a list": ({"data": [(X, Y)]}, {"data": [(X, Y), (X, Y)]}),
    "a loader's generator": (loaded(X), loaded(X, generator=torch.Generator())),
    "points of a validation": (looks(X, Y), looks(X, Y.roll(1))),
    "looks of a validation": (looks(X, Y), looks(X, Y, every=3)),
    "a loss without a name": (by(lambda s, t: (s - t).abs().mean()), by(lambda s, t: (s - t).norm())),
    "a loss that holds a number": (by(Scaled(1.0)), by(Scaled(2.0))),
    "a loss that holds a tensor": (
        by(partial(scaled, scale=torch.ones(3))),
        by(partial(scaled, scale=torch.arange(3.0))),
    ),
    "an activation of the teacher": (
        {"teacher": nn.Sequential(net(), nn.ReLU())},
        {"teacher": nn.Sequential(net(), nn.Tanh())},
    ),
    "the batches of a loader": (loaded(X, batch_size=7), loaded(X, batch_size=6)),
    "the order of a loader": (loaded(X), loaded(X, shuffle=True)),
    "what a function takes where nothing is given": (
        {"recipe": RECIPE.but(optimizer=lambda p, lr, by=1.0: torch.optim.SGD(p, lr=by * lr))},
        {"recipe": RECIPE.but(optimizer=lambda p, lr, by=2.0: torch.optim.SGD(p, lr=by * lr))},
    ),
    "a loss that names itself": (by(recursive(1.0)), by(recursive(2.0))),
    "an optimiser without a name": (
        {"recipe": RECIPE.but(optimizer=lambda p, lr: torch.optim.SGD(p, lr=lr))},
        {"recipe": RECIPE.but(optimizer=lambda p, lr: torch.optim.Adam(p, lr=lr))},
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_training_by_anything_else_does_not_go_on(what: str, tmp_path: Path) -> None:
    kept = Checkpoint(path=tmp_path / "net.safetensors", every=5, resume=True)

    def train(how: dict[str, Any], **more: Any) -> Any:
        how = {"teacher": net(9), "data": (X, Y), "losses": hinton(2.0, 0.5), "recipe": RECIPE} | how
        loop = Loop(checkpoint=kept, validation=how.pop("validation", None), **more)
        teacher, data = how.pop("teacher"), how.pop("data")
        return distil(net(), teacher, data, **how, stream=Stream(0), device="cpu", loop=loop)

    one, other = OTHERS[what]
    with pytest.raises(Broken):
        train(one, callbacks=(partial(broken_at, 8),))
    with pytest.raises(ValueError, match=r"the checkpoint (is of|has the states of).* another path"):
        train(other)
    assert train(one).step <= 17


def test_trees_come_back_as_they_were() -> None:
    dtypes = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
              torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64)  # fmt: skip
    tensors = {str(dtype): (torch.arange(6) % 2).reshape(2, 3).to(dtype) for dtype in dtypes}
    tree = {0: [1, 2.5, None, True, "word", float("inf")], "t": tensors, "e": torch.empty(0, 4),
            "s": torch.tensor(0.1), "p": (1, (torch.ones(2, 2).t(),)), 2.5: {}}  # fmt: skip
    found = from_bytes(to_bytes(tree))
    assert list(found) == list(tree)
    assert found[0] == tree[0]
    assert isinstance(found["p"], tuple)
    for name, tensor in tensors.items():
        assert found["t"][name].dtype == tensor.dtype
        assert torch.equal(found["t"][name], tensor)
    assert found["e"].shape == (0, 4)
    assert found["s"].shape == ()
    with pytest.raises(ValueError, match=r"the tree\['a'\]\[1\] is a set, which cannot be kept"):
        to_bytes({"a": [1, {2}]})
    whole = to_bytes(tree)
    changed = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in (60, 700, -1)]
    for content in (b"", b"12345678", whole[:-1], b"\xff" * 40, *changed):
        with pytest.raises(ValueError, match="no tree of tensors"):
            from_bytes(content)


def test_the_files_are_safetensors() -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    tensors = [torch.randn(3, 2, dtype=torch.bfloat16), torch.arange(5), torch.empty(0), torch.tensor(True)]
    read = safetensors.load(to_bytes({"all": tensors}))
    assert [torch.equal(read[str(place)], tensor) for place, tensor in enumerate(tensors)] == [True] * 4


class Growing(nn.Module):
    """Keeps a number for each batch in a buffer, and how many there were in its extra state."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.calls = net(), 0
        self.register_buffer("seen", torch.zeros(0))
        self.register_buffer("last", None)

    def get_extra_state(self) -> dict[str, int]:
        return {"calls": self.calls}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.calls = state["calls"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.seen, self.last = torch.cat([self.seen, x.mean()[None]]), x.mean()
        logits: torch.Tensor = self.body(x) * (1 + 0.1 * self.calls + self.last)
        return logits


@pytest.mark.parametrize("validation", [None, Validation(data=(X, Y), every=2)], ids=["plain", "watched"])
def test_what_modules_keep_beside_parameters_goes_on(validation: Validation | None, tmp_path: Path) -> None:
    def train(data: Any, loop: Loop) -> Any:
        loop = replace(loop, validation=validation)
        return fit(Growing(), data, recipe=RECIPE, stream=Stream(0), device="cpu", loop=loop)

    whole = train((X, Y), Loop())
    again = interrupted_and_resumed(train, "one batch", tmp_path / "net.safetensors", at=12)
    same(whole, again)
    assert len(whole.module.seen) == len(again.module.seen) == whole.module.calls == whole.step


def test_the_order_of_a_batch_sampler_goes_on(tmp_path: Path) -> None:
    def train(_: Any, loop: Loop) -> Any:
        points = TensorDataset(X, Y)
        order = RandomSampler(points, generator=torch.Generator().manual_seed(5))
        data = DataLoader(points, batch_sampler=BatchSampler(order, 8, True))
        return fit(net(), data, recipe=RECIPE, stream=Stream(0), device="cpu", loop=loop)

    again = interrupted_and_resumed(train, "one batch", tmp_path / "net.safetensors", at=12)
    same(train(None, Loop()), again)


def test_halves_that_a_killed_training_left_are_removed(tmp_path: Path) -> None:
    path, others = tmp_path / "net.safetensors", ["net.safetensors", ".net-1.safetensors.abcdefgh", ".keep"]
    for name in [*others, ".net.safetensors.a_cdefg8"]:
        (tmp_path / name).write_bytes(b"half")
    with pytest.raises(ValueError, match="cut short"):
        Checkpoint(path=path, resume=True).load()
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(others)
