"""Roles: one set of points whatever it comes from, and no point in two roles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from kdtheory.datasets import digits
from kdtheory.roles import HoldOut, Train, Unlabelled, check_disjoint, shared_rows
from kdtheory.streams import Stream

X, Y = digits().inputs[:50], digits().labels[:50]


class Rows(Dataset):
    """A map-style dataset that knows nothing of tensors' columns."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return X[index], int(Y[index])

    def __len__(self) -> int:
        return len(X)


SOURCES = {
    "tensors": (X, Y),
    "arrays": (X.numpy(), Y.numpy()),
    "a TensorDataset": TensorDataset(X, Y),
    "a Dataset": Rows(),
    "a DataLoader": DataLoader(TensorDataset(X, Y), batch_size=7),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("role", [Train, HoldOut])
def test_points_are_the_same_whatever_they_come_from(role: type[Train], source: str) -> None:
    points = role.of(SOURCES[source])
    assert torch.equal(points.inputs, X)
    assert torch.equal(points.labels, Y)
    assert len(points) == 50
    assert role.of(points) is points


@pytest.mark.parametrize("source", ["a TensorDataset", "a DataLoader"])
def test_labels_of_unlabelled_points_are_dropped(source: str) -> None:
    assert torch.equal(Unlabelled.of(SOURCES[source]).inputs, X)
    assert torch.equal(Unlabelled.of(DataLoader(TensorDataset(X))).inputs, X)
    assert torch.equal(Unlabelled.of(X.numpy()).inputs, X)
    assert torch.equal(Unlabelled.of(digits()).inputs, digits().inputs)


def test_a_shuffling_loader_keeps_points_with_their_labels() -> None:
    loader = DataLoader(TensorDataset(X, Y), batch_size=7, shuffle=True)
    before = torch.random.get_rng_state()
    points = Train.of(loader)
    assert torch.equal(torch.random.get_rng_state(), before), "torch's own generator moved"
    where = {row.numpy().tobytes(): int(label) for row, label in zip(X, Y, strict=True)}
    assert all(
        where[row.numpy().tobytes()] == int(label)
        for row, label in zip(points.inputs, points.labels, strict=True)
    )


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float16, torch.float32, torch.float64])
def test_shared_rows_are_those_of_the_slow_comparison(dtype: torch.dtype) -> None:
    generator = Stream(1).torch()
    first, second = (torch.randint(0, 3, (40, 4), generator=generator).to(dtype) for _ in range(2))
    (found,) = shared_rows([Train.of(first, [0] * 40), Unlabelled(second)]).values()
    expected = []
    for row in range(40):
        if any(torch.equal(first[row], first[earlier]) for earlier in range(row)):
            continue
        twins = [other for other in range(40) if torch.equal(first[row], second[other])]
        expected += [(row, twins[0])] if twins else []
    assert found == expected
    assert expected


def test_rows_are_compared_across_types_of_number_and_zeros() -> None:
    first = Train.of(torch.tensor([[0.5, -0.0], [1.0, 2.0]]), [0, 1])
    assert shared_rows([first, Unlabelled(torch.tensor([[0.5, 0.0]], dtype=torch.float64))])
    assert shared_rows([first, Unlabelled(torch.tensor([[1, 2]]))])
    assert not shared_rows([first, Unlabelled(torch.tensor([[0.5, 1e-30]]))])
    fine = torch.tensor([[0.1]], dtype=torch.float64)
    assert not shared_rows([Train.of(fine, [0]), Unlabelled(fine + 1e-15)]), "rounded to float32"


def test_a_row_in_two_roles_is_an_error_that_names_rows() -> None:
    train, holdout = Train.of(X[:30], Y[:30]), HoldOut.of(X[30:40], Y[30:40])
    check_disjoint(train, holdout, Unlabelled(X[40:]))
    with pytest.raises(ValueError, match=r"rows 28, 29 of train are rows 0, 1 of unlabelled \(2 in all\)"):
        check_disjoint(train, holdout, Unlabelled(X[28:30]))
    with pytest.raises(ValueError, match=r"rows 0, 1, 2, 3, 4 of holdout .* \(10 in all\)"):
        check_disjoint(train, holdout, Unlabelled(X[30:]))
    check_disjoint(train, holdout, Unlabelled(X[30:]), may_share=[("unlabelled", "holdout")])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Train.of(X), "train is a Tensor"),
        (lambda: Train.of(TensorDataset(X)), "no labels"),
        (lambda: Train.of(HoldOut.of(X, Y)), "whose role is holdout"),
        (lambda: Unlabelled.of(Train.of(X, Y)), "whose role is train"),
        (lambda: Train.of(X, Y[:3]), "50 rows and 3 labels"),
        (lambda: Train.of(X, Y.double()), "whole class number"),
        (lambda: Train.of(X, Y - 5), "go down to -5"),
        (lambda: Train.of(X[:0], Y[:0]), "at least one|a row for each"),
        (lambda: HoldOut.of(X / 0, Y), "NaN or infinite"),
        (lambda: Unlabelled.of(np.array(["a"])), "give numbers"),
        (lambda: Unlabelled.of(DataLoader([{"x": 1.0}])), "batches of tensors"),
        (lambda: Unlabelled.of("points.npy"), "unlabelled is a str"),
        (lambda: check_disjoint(Train.of(X, Y), Unlabelled(X[:, :3])), "one shape"),
        (lambda: check_disjoint(Train.of(X, Y), may_share=[("train", "test")]), "may_share names"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_points_are_refused_by_name(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
