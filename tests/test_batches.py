"""Data of every make, at every door that reads it: the same points, or a sentence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from kdtheory import certify, certify_logits
from kdtheory.batches import Batches
from kdtheory.networks import Inputs
from kdtheory.recipe import Recipe
from kdtheory.role_rows import check_rows
from kdtheory.roles import Arguments, HoldOut, Train, Unlabelled
from kdtheory.schemes import evaluate, fit
from kdtheory.stats import binomial_upper_limit
from kdtheory.streams import Stream

X = torch.randn(30, 5, generator=Stream(0).child("x").torch())
Y = torch.randint(3, (30,), generator=Stream(0).child("y").torch())
INDEX = torch.arange(30)
LENGTHS = INDEX % 4 + 1


class Named(NamedTuple):
    a: Tensor
    b: Tensor


class LabelFirst(NamedTuple):
    label: Tensor
    pixels: Tensor


class Numbered(NamedTuple):
    index: Tensor
    answer: Tensor
    x: Tensor


class OneBuffer:
    """A loader that writes every batch into the same memory."""

    def __len__(self) -> int:
        return 3

    def __iter__(self):
        inputs, labels = torch.empty(10, 5), torch.empty(10, dtype=torch.long)
        for start in (0, 10, 20):
            inputs.copy_(X[start : start + 10])
            labels.copy_(Y[start : start + 10])
            yield inputs, labels


class Endless(IterableDataset):
    def __iter__(self):
        while True:
            yield from zip(X, Y, strict=True)


def loader(*parts: Tensor, size: int = 7) -> DataLoader:
    return DataLoader(TensorDataset(*parts), batch_size=size)


SOURCES: dict[str, Any] = {
    "a pair": (X, Y),
    "a mapping": {"x": X, "labels": Y},
    "mappings": [{"pixels": X[:20], "target": Y[:20]}, {"pixels": X[20:], "target": Y[20:]}],
    "arrays in batches": [(X.numpy(), Y.numpy())],
    "a list of pairs": [(X[:29], Y[:29]), (X[29:], Y[29:])],
    "a last batch of one": loader(X, Y, size=29),
    "one buffer": OneBuffer(),
    "an index behind": Batches(loader(X, Y, INDEX), inputs=0, labels=1),
    "labels last": Batches(loader(X, INDEX, Y), inputs=0, labels=2),
    "by key": Batches([{"a": X, "b": Y, "c": INDEX}], inputs="a", labels="b"),
    "no end, cut": Batches(DataLoader(Endless(), batch_size=10), most=3),
    **{
        str(kind): (X, Y.to(kind))
        for kind in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.uint16)
    },
    "uint64": (X, Y.to(torch.uint64)),
    "ignored": Batches((torch.cat([X, X + 9]), torch.cat([Y, torch.full((30,), -100)])), ignore_index=-100),
    "a named pair": Named(X, Y),
    "named, labels first": LabelFirst(Y, X),
    "a loader of named pairs": DataLoader(
        [LabelFirst(y, x) for x, y in zip(X, Y, strict=True)], batch_size=7
    ),
    "fields by name": Batches(Numbered(INDEX, Y, X), inputs="x", labels="answer"),
    "fields by place": Batches(Numbered(INDEX, Y, X), inputs=2, labels=1),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.usefixtures("unchecked_shapes")
def test_points_are_the_same_at_every_door(source: str) -> None:
    data = SOURCES[source]
    for role in (Train, HoldOut):
        points = role.of(data)
        assert torch.equal(points.inputs, X)
        assert torch.equal(points.labels.long(), Y)
    if source != "ignored":
        assert torch.equal(Unlabelled.of(data).inputs, X)
    with Stream(0).default():
        net = nn.Linear(5, 3)
    with torch.no_grad():
        right = (net(X).argmax(1) == Y).double().mean()
    assert evaluate(net, data, device="cpu")["accuracy"] == pytest.approx(float(right))
    limit = binomial_upper_limit(round(30 * (1 - float(right))), 30, delta=0.05)
    assert certify(net, holdout=data, fixed_in_advance=True).best.value == pytest.approx(limit)


TRAIN = partial(fit, recipe=Recipe(steps=1), device="cpu", stream=Stream(0))
DOORS: dict[str, Callable[[Any], Any]] = {
    "roles": Train.of,
    "evaluate": lambda data: evaluate(nn.Linear(5, 3), data, device="cpu"),
    "fit": lambda data: TRAIN(nn.Linear(5, 3), data),
    "certify": lambda data: certify(nn.Linear(5, 3), holdout=data, fixed_in_advance=True),
}
BAD: dict[str, tuple[Any, str]] = {
    "three parts": (loader(X, Y, INDEX), r"3 parts \(.*\); say what they are by Batches"),
    "three parts of a tuple": ((X, Y, INDEX), r"3 parts \(.*\); say what they are by Batches"),
    "one-hot": ([(X, torch.eye(3)[Y])], r"labels.argmax\(-1\) of one-hot rows"),
    "whole one-hot": ([(X, torch.eye(3)[Y].long())], r"one (label for each row|class number for each)"),
    "a column": ([(X, Y[:, None])], r"give one .* for each .*, labels\[\.\.\., 0\] of a column"),
    "a column of fractions": ([(X, Y[:, None].float())], r"number each, labels\[:, 0\].long\(\)"),
    "a label without a row": ([(X[:1], Y[0])], r"a number without a row.*, as .*labels\[None\]"),
    "fractions": ([(X, Y.float())], r"labels.long\(\)"),
    "ignored without a word": ((X, torch.where(Y == 0, -100, Y)), r"leave .*out.* points|points out"),
    "words": ([(X, ["cat"] * 30)], "labels are a list"),
    "no labels": ([X], r"no labels|labels and the data have none"),
    "other rows": ([(X, Y[:5])], "30 rows and 5 labels"),
    "a key that is not there": (Batches([{"x": X, "y": Y}], inputs="z"), "inputs = 'z' is not in a batch"),
    "an empty list": ([], "no batch"),
    "an iterator": (iter([(X, Y)]), "an iterator, which is used up"),
    "a text": ("points.npy", "is a str; give"),
    "a tensor": (X, "is a Tensor; give"),
    "a number": (3, "is a int; give"),
    "numbers in batches": ([3], "a batch is a int"),
    "points of no shape": ([(torch.tensor(1.0), torch.tensor(1))], "must be tensors, a row each"),
}  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", BAD)
@pytest.mark.usefixtures("unchecked_shapes")
def test_what_can_be_read_in_two_ways_is_refused_at_every_door(case: str, door: str) -> None:
    data, message = BAD[case]
    if isinstance(data, type(iter([]))):
        data = iter([(X, Y)])
    with pytest.raises(ValueError, match=message):
        DOORS[door](data)


@pytest.mark.parametrize("door", ["roles", "evaluate", "certify"])
def test_no_door_waits_for_an_end_that_does_not_come(door: str) -> None:
    with pytest.raises(ValueError, match=r"may have no end; say Batches\(data, most=…\)"):
        DOORS[door](DataLoader(Endless(), batch_size=10))


class Pooled(nn.Module):
    """Reads the first places of a row, as many as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.head(x * (torch.arange(5) < lengths[:, None]))


def test_points_of_several_arrays_are_certified_as_the_module_is_called() -> None:
    with Stream(0).default():
        net = Pooled()
    with torch.no_grad():
        wrong = int((net(X, LENGTHS).argmax(1) != Y).sum())
    limit = binomial_upper_limit(wrong, 30, delta=0.05)
    ordered = Batches(loader(X, LENGTHS, Y), inputs=(0, 1), labels=2)
    named = [{"lengths": LENGTHS, "x": X, "labels": Y}]
    for data in (ordered, named):
        found = certify(net, holdout=data, fixed_in_advance=True, batch_size=7)
        assert found.best.value == pytest.approx(limit)
        assert isinstance(HoldOut.of(data).inputs, Arguments)
    with pytest.raises(ValueError, match="rows 0, 1, 2, 3, 4 of train are rows"):
        check_rows(Train.of(ordered), HoldOut.of(ordered))
    other = Batches((X, LENGTHS + 1, Y), inputs=(0, 1), labels=2)
    assert check_rows(Train.of(ordered), HoldOut.of(other)) == {}, "one array tells them apart"
    with pytest.raises(ValueError, match=r"does not take a batch of shape .*lengths"):
        certify(net, holdout=(X, Y), fixed_in_advance=True)
    with pytest.raises(ValueError, match="a witness takes one array of numbers"):
        certify(
            net, train=ordered, unlabelled=Batches((X + 9, LENGTHS), inputs=(0, 1), labels=False),
            witness="distil", stream=Stream(0), fixed_in_advance=True,
        )  # fmt: skip


def test_sequences_of_several_lengths_are_refused_with_the_cure() -> None:
    parts = [(torch.zeros(3, 4), Y[:3]), (torch.zeros(3, 5), Y[:3])]
    with pytest.raises(ValueError, match=r"shapes \(3, 4\) and \(3, 5\); pad sequences to one length"):
        Train.of(parts)


def test_labels_of_unlabelled_points_are_not_read() -> None:
    for labels in (["a"] * 30, torch.full((30,), -1), torch.eye(3)[Y]):
        assert torch.equal(Unlabelled.of([(X, labels)]).inputs, X)


def test_gathering_leaves_the_generator_and_the_buffer_as_they_were() -> None:
    before = torch.random.get_rng_state()
    Train.of(DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=True))
    assert torch.equal(torch.random.get_rng_state(), before)
    points = Train.of((X, Y))
    assert np.shares_memory(points.inputs.numpy(), X.numpy()), "whole arrays are not copied"


def test_masked_arrays_are_no_numbers_where_they_are_masked() -> None:
    whole = np.ma.masked_array(X.numpy(), mask=False)
    assert torch.equal(Train.of((whole, Y)).inputs, X)
    holes = np.ma.masked_array(X.numpy(), mask=X.numpy() > 2)
    for make in (
        lambda: Train.of((holes, Y)),
        lambda: Train.of([(holes, Y)]),
        lambda: Train.of((X, np.ma.masked_array(Y.numpy(), mask=Y.numpy() == 1))),
        lambda: certify_logits(np.ma.masked_array(X.numpy(), mask=X.numpy() > 2), Y, fixed_in_advance=True),
    ):
        with pytest.raises(ValueError, match="has masked entries; leave those points out"):
            make()


def test_packed_sequences_are_refused_with_the_cure() -> None:
    packed = nn.utils.rnn.pack_sequence([torch.ones(2, 3), torch.ones(1, 3)])
    for batch in ((packed, Y[:2]), packed):
        with pytest.raises(ValueError, match="a packed sequence has no row for each example"):
            Train.of([batch])
    with pytest.raises(ValueError, match="give padded tensors and their lengths"):
        Inputs((packed,))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors", "ignore:Sparse CSR tensor support")
def test_tensors_of_other_layouts_are_read_or_refused() -> None:
    with Stream(0).default():
        net = nn.Linear(5, 3)
    how: dict[str, Any] = {"recipe": Recipe(steps=1), "stream": Stream(0), "device": "cpu"}
    assert evaluate(net, (X.to_sparse(), Y), device="cpu") == pytest.approx(
        evaluate(net, (X, Y), device="cpu")
    )
    assert len(fit(net, (X.to_sparse(), Y), **how).history) == 1
    nested = torch.nested.nested_tensor(list(X))
    jagged = torch.nested.nested_tensor(list(X[:, :, None]), layout=torch.jagged)
    for odd, what in ((nested, "a nested one"), (jagged, "a nested one"), (X.to_sparse_csr(), "layout")):
        for call in (lambda x: evaluate(net, (x, Y), device="cpu"), lambda x: fit(net, (x, Y), **how)):
            with pytest.raises(ValueError, match=f"no ordinary tensor, but .*{what}"):
                call(odd)
        with pytest.raises(ValueError, match="give an ordinary tensor"):
            HoldOut.of(odd, Y)
    with pytest.raises(ValueError, match="labels are no ordinary tensor"):
        fit(net, (X, Y.to_sparse()), **how)
