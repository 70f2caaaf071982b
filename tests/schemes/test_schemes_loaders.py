"""Where batches come from: ignored labels, tokens, loaders that never end, reuse a buffer, or fail."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import pytest
import torch
from small_nets import SHORT, Net, points
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from kdtheory.recipe import Recipe
from kdtheory.schemes import Batches, Loop, Validation, distil, evaluate, fit, hinton
from kdtheory.streams import Stream


def test_ignored_labels_do_not_count() -> None:
    x, y = points()
    marked = y.clone()
    marked[::3] = -100
    rest = marked != -100
    found = evaluate(Net(), Batches((x, marked), ignore_index=-100), teacher=Net())
    assert found == evaluate(Net(), (x[rest], y[rest]), teacher=Net())
    mine = fit(Net(), Batches((x, marked), ignore_index=-100), **SHORT, stream=Stream(0)).module
    rival = fit(Net(), (x[rest], y[rest]), **SHORT, stream=Stream(0)).module
    assert torch.allclose(mine.layer.weight, rival.layer.weight, atol=1e-6)


def test_tokens_are_rows_of_logits() -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            with Stream(0).child("tagger").default():
                self.embed, self.rnn, self.head = (
                    nn.Embedding(9, 5),
                    nn.GRU(5, 5, batch_first=True),
                    nn.Linear(5, 4),
                )

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.head(self.rnn(self.embed(tokens))[0])

    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(9, (12, 6), generator=generator)
    labels = torch.randint(4, (12, 6), generator=generator)
    labels[:, 4:] = -100
    data = Batches(DataLoader(TensorDataset(tokens, labels), batch_size=12), ignore_index=-100)
    net = Tagger()
    logits = net(tokens)[:, :4].flatten(0, 1)
    found = evaluate(net, data)
    right = (logits.argmax(-1) == labels[:, :4].flatten()).double().mean()
    assert found["accuracy"] == pytest.approx(float(right))
    loss = nn.functional.cross_entropy(net(tokens).mT, labels)
    history = fit(net, data, **SHORT, stream=Stream(0)).history
    assert history["value"].iloc[0] == pytest.approx(loss.item(), rel=1e-5)
    taught = distil(Tagger(), net, data, losses=hinton(2.0, 0.9), **SHORT, stream=Stream(0))
    assert math.isfinite(taught.gradient_norm)
    one = [(tokens[:, :1], labels[:, :1])]  # sequences of one token are n × 1, and no column
    assert evaluate(net, [(tokens[:, :3], labels[:, :3]), *one])["accuracy"] == pytest.approx(
        float((net(tokens)[:, [0, 1, 2, 0]].argmax(-1) == labels[:, [0, 1, 2, 0]]).double().mean())
    )
    assert math.isfinite(fit(net, one, **SHORT, stream=Stream(0)).gradient_norm)


class Endless(IterableDataset):
    def __iter__(self):
        while True:
            yield from zip(*points(), strict=True)


class OneBuffer:
    """A loader that writes every batch into the same memory."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return 3

    def __iter__(self):
        inputs, labels = torch.empty(10, 5), torch.empty(10, dtype=torch.long)
        for start in (0, 10, 20):
            inputs.copy_(self.x[start : start + 10])
            labels.copy_(self.y[start : start + 10])
            yield inputs, labels


def test_loaders_that_never_end_are_cut_where_somebody_says_so() -> None:
    loader = DataLoader(Endless(), batch_size=10)
    trained = fit(Net(), loader, **SHORT, stream=Stream(0))
    assert math.isfinite(trained.gradient_norm)
    with pytest.raises(ValueError, match=r"it may have no end; say Batches\(data, most=…\)"):
        evaluate(Net(), loader)
    assert evaluate(Net(), Batches(loader, most=3)) == pytest.approx(evaluate(Net(), points()))
    with pytest.raises(ValueError, match="an iterator, which is used up"):
        fit(Net(), iter([points()]), **SHORT, stream=Stream(0))


class Overlong:
    """Batches without end of a loader that says there are two."""

    def __len__(self) -> int:
        return 2

    def __iter__(self):
        return itertools.cycle([points()])


def test_loaders_that_give_far_more_than_they_say_end_no_training_and_hang_nothing() -> None:
    trained = fit(Net(), Overlong(), **SHORT, stream=Stream(0))
    assert "a length of 2 and gave" in trained.note
    with pytest.raises(ValueError, match=r"a length of 2 and gave .* say Batches\(data, most=…\)"):
        evaluate(Net(), Overlong())
    workers = [points()] * 3  # as two workers of which each gives all
    assert evaluate(Net(), workers) == pytest.approx(evaluate(Net(), points()))


class Full:
    """A checkpoint on a disk without room."""

    every = 1000

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def load(self) -> None:
        return None

    def save(self, state: Any) -> None:
        raise self.error

    def child(self, name: str) -> Full:
        return self


def test_a_last_checkpoint_or_validation_that_fails_keeps_the_training() -> None:
    x, y = points()
    for loop, why in (
        (Loop(checkpoint=Full(OSError("no room"))), "no checkpoint after the last step .OSError: no room"),
        (Loop(checkpoint=Full(KeyboardInterrupt())), "no checkpoint after the last step .KeyboardInterrupt"),
        (Loop(validation=Validation(data=(x[:, :2], y), every=1000)), "no validation after the last step"),
    ):
        trained = fit(Net(), (x, y), **SHORT, stream=Stream(0), loop=loop)
        assert re.search(why, trained.note)
        assert math.isfinite(trained.gradient_norm)
    often = Full(OSError("no room"))
    often.every = 1
    with pytest.raises(OSError, match="no room"):
        fit(Net(), (x, y), **SHORT, stream=Stream(0), loop=Loop(checkpoint=often))


def test_loaders_that_hand_out_one_buffer_are_read_as_if_they_did_not() -> None:
    x, y = points()
    buffered, plain = OneBuffer(x, y), DataLoader(TensorDataset(x, y), batch_size=10)
    assert evaluate(Net(), buffered, teacher=Net()) == evaluate(Net(), plain, teacher=Net())
    terms, here = hinton(2.0, 0.9), {**SHORT, "stream": Stream(0)}
    mine, rival = (distil(Net(), Net(), data, losses=terms, **here).module for data in (buffered, plain))
    assert torch.equal(mine.layer.weight, rival.layer.weight)


class Spoilt(OneBuffer):
    """Data whose second epoch holds NaN."""

    epochs = 0

    def __iter__(self):
        self.epochs += 1
        for x, y in super().__iter__():
            yield x if self.epochs < 2 else x * math.nan, y


def test_a_gradient_norm_that_is_no_number_is_said() -> None:
    trained = fit(Net(), Spoilt(*points()), recipe=Recipe(steps=3), device="cpu", stream=Stream(0))
    assert math.isnan(trained.gradient_norm)
    assert trained.note == "the gradient norm after the last step is nan"


def batch_normed() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


def test_a_last_batch_of_one_example_is_refused_before_the_first_step() -> None:
    data = TensorDataset(*points(31))
    with pytest.raises(ValueError, match=r"the last batch of an epoch has one example.*drop_last=True"):
        fit(batch_normed(), DataLoader(data, batch_size=10), **SHORT, stream=Stream(0))
    fit(batch_normed(), DataLoader(data, batch_size=10, drop_last=True), **SHORT, stream=Stream(0))
    assert evaluate(batch_normed(), DataLoader(data, batch_size=10))["accuracy"] >= 0


TOKENS = torch.arange(60).reshape(20, 3) % 11, torch.arange(20) % 3


def embedded(kind: type, *, sparse: bool) -> nn.Module:
    with Stream(3).default():
        width = 8 if kind is nn.EmbeddingBag else 24
        return nn.Sequential(kind(11, 8, sparse=sparse), nn.Flatten(), nn.Linear(width, 3))


@pytest.mark.parametrize("how", [{}, {"weight_decay": 0.1}, {"momentum": 0.9}, {"clip_norm": 1.0}])
@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_sparse_gradients_are_for_plain_descent(kind: type, how: dict[str, float]) -> None:
    recipe = Recipe(steps=3, learning_rate=0.1, optimizer="sgd" if how else "adam", **how)
    here = {"stream": Stream(0), "device": "cpu"}
    with pytest.raises(ValueError, match=r"0' is an Embedding.* with sparse=True.*give it sparse=False"):
        fit(embedded(kind, sparse=True), TOKENS, recipe=recipe, **here)
    fit(embedded(kind, sparse=False), TOKENS, recipe=recipe, **here)


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_plain_descent_on_sparse_gradients_is_that_on_dense_ones(kind: type) -> None:
    recipe = Recipe(steps=3, learning_rate=0.1, optimizer="sgd")
    one, other = (
        fit(embedded(kind, sparse=sparse), TOKENS, recipe=recipe, stream=Stream(0), device="cpu")
        for sparse in (True, False)
    )
    assert torch.allclose(one.module[0].weight, other.module[0].weight, atol=1e-6)
    assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=1e-4)


class Failing(OneBuffer):
    """Data whose fourth batch cannot be read."""

    error: type[BaseException] = RuntimeError

    def __iter__(self):
        for count, batch in enumerate(super().__iter__()):
            if count == 2:
                raise self.error("the disk is gone")
            yield batch


@pytest.mark.parametrize("error", [RuntimeError, OSError, KeyboardInterrupt])
def test_whatever_fails_after_the_last_step_the_training_is_kept(error: type[BaseException]) -> None:
    data = Failing(*points())
    data.error = error
    trained = fit(
        Net(),
        data,
        recipe=Recipe(steps=2, learning_rate=0.1, optimizer="sgd"),
        device="cpu",
        stream=Stream(0),
    )
    assert math.isnan(trained.gradient_norm)
    assert not trained.converged(1e9)
    assert "the disk is gone" in trained.note
    rival = fit(
        Net(),
        OneBuffer(*points()),
        recipe=Recipe(steps=2, learning_rate=0.1, optimizer="sgd"),
        device="cpu",
        stream=Stream(0),
    )
    assert torch.equal(trained.module.layer.weight, rival.module.layer.weight)
    assert not trained.module.training
