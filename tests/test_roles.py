"""Roles: one set of points whatever it comes from, and no point in two roles."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from kdtheory.datasets import digits
from kdtheory.role_rows import check_rows, repeated_rows, shared_rows
from kdtheory.roles import ROLES, HoldOut, SideBySide, Train, Unlabelled, tensor_of
from kdtheory.streams import Stream

X, Y = digits().inputs[:50], digits().labels[:50]
PAIRS = [("train", "holdout"), ("train", "unlabelled"), ("holdout", "unlabelled")]


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


def in_roles(*tables: Tensor) -> list[Train | HoldOut | Unlabelled]:
    first, *others, last = tables
    labelled = [kind.of(t, [0] * len(t)) for kind, t in zip((Train, HoldOut), (first, *others), strict=False)]
    return [*labelled, Unlabelled(last)]


def test_rows_that_two_roles_share_are_named_and_counted_from_either_side() -> None:
    """a twice in train, once in the hold-out, three times in the unlabelled; b once in the last two."""
    a, b, c, d = 1.0, 2.0, 3.0, 4.0
    train, holdout, unlabelled = in_roles(*map(torch.tensor, ([c, a, d, a], [a, b], [a, b, a, 9.0, a])))
    assert shared_rows(train, holdout).tolist() == [[1, 0], [3, 0]]
    assert shared_rows(holdout, train).tolist() == [[0, 1]]
    assert shared_rows(train, unlabelled).tolist() == [[1, 0], [3, 0]]
    assert shared_rows(unlabelled, train).tolist() == [[0, 1], [2, 1], [4, 1]]
    assert shared_rows(holdout, unlabelled).tolist() == [[0, 0], [1, 1]]
    assert repeated_rows(train).tolist() == [[3, 1]]
    assert repeated_rows(holdout).tolist() == []
    assert repeated_rows(unlabelled).tolist() == [[2, 0], [4, 0]]
    counts = check_rows(train, holdout, unlabelled, may_share=PAIRS, may_repeat=ROLES)
    assert counts == {
        ("train", "holdout"): 2, ("holdout", "train"): 1,
        ("train", "unlabelled"): 2, ("unlabelled", "train"): 3,
        ("holdout", "unlabelled"): 2, ("unlabelled", "holdout"): 4,
        ("train", "train"): 1, ("unlabelled", "unlabelled"): 2,
    }  # fmt: skip
    assert check_rows(unlabelled, may_repeat=["unlabelled"]) == {("unlabelled", "unlabelled"): 2}
    assert check_rows(holdout) == {}
    with pytest.raises(ValueError, match=r"rows 1, 3 of train are .* 0, 0 of holdout \(2 of 4 and 1 of 2 in"):
        check_rows(train, holdout, may_repeat=ROLES)


@pytest.mark.parametrize("fine_first", [True, False])
@pytest.mark.parametrize("coarse", [torch.float32, torch.float16, torch.bfloat16])
def test_a_copy_in_another_type_of_number_is_the_same_point_in_either_order(
    coarse: torch.dtype, fine_first: bool
) -> None:
    fine = torch.rand(40, 3, generator=Stream(3).torch(), dtype=torch.float64)
    pair = (fine[:30], fine[20:].to(coarse)) if fine_first else (fine[:30].to(coarse), fine[20:])
    first, second = in_roles(*pair)
    expected = [[20 + row, row] for row in range(10)]
    assert shared_rows(first, second).tolist() == expected
    with pytest.raises(ValueError, match="rows 20, 21, 22, 23, 24 of train are rows 0, 1, 2, 3, 4 of unl"):
        check_rows(first, second)


def test_points_of_which_only_the_logits_are_known() -> None:
    teacher = torch.tensor([[0.0, 1.0], [0.0, -math.inf], [2.0, 0.1]], dtype=torch.float64)
    student = torch.tensor([[1.0], [1.0], [1.0]])
    train = Train(SideBySide((teacher, student)), torch.tensor([0, 1, 0]))
    assert Train.of(SideBySide((teacher, student)), [0, 1, 0]).inputs.parts[0] is teacher
    assert Train.of((train.inputs, [0, 1, 0])).inputs is train.inputs
    assert len(Unlabelled.of(train.inputs)) == 3
    for part in (teacher, teacher.float()):
        same = Unlabelled(SideBySide((part[1:], student[1:])))
        assert shared_rows(train, same).tolist() == [[1, 0], [2, 1]]
        other = Unlabelled(SideBySide((part[1:], student[1:] + 1)))
        assert check_rows(train, other) == {}, "the student tells them apart"
    with pytest.raises(ValueError, match=r"\(\(2,\), \(1,\)\) in train, \(\(1,\), \(2,\)\) in unlabelled"):
        shared_rows(train, Unlabelled(SideBySide((student, teacher))))


def test_a_row_in_two_roles_is_an_error_that_names_rows() -> None:
    train, holdout = Train.of(X[:30], Y[:30]), HoldOut.of(X[30:40], Y[30:40])
    assert check_rows(train, holdout, Unlabelled(X[40:])) == {}
    few = r"rows 28, 29 of train are rows 0, 1 of unlabelled \(2 of 30 and 2 of 2 in all\); .* drop them"
    with pytest.raises(ValueError, match=few):
        check_rows(train, holdout, Unlabelled(X[28:30]))
    with pytest.raises(
        ValueError, match=r"rows 0, 1, 2, 3, 4 of holdout .* \(10 of 10 and 10 of 20 in all\)"
    ):
        check_rows(train, holdout, Unlabelled(X[30:]))
    with pytest.raises(
        ValueError, match=r"rows 29 of train are rows 0 of unlabelled \(1 of 30 and 1 of 1 in"
    ):
        check_rows(train, holdout, Unlabelled(X[29:30]))
    counts = check_rows(train, holdout, Unlabelled(X[30:]), may_share=[("unlabelled", "holdout")])
    assert counts == {("holdout", "unlabelled"): 10, ("unlabelled", "holdout"): 10}
    with pytest.raises(ValueError, match="of train are rows"):
        check_rows(train, holdout, Unlabelled(X[28:]), may_share=[("unlabelled", "holdout")])


@pytest.mark.parametrize("role", [Train, HoldOut, Unlabelled])
def test_a_row_twice_in_one_role_is_an_error_that_names_rows(
    role: type[Train | HoldOut | Unlabelled],
) -> None:
    doubled = torch.cat([X, X[3:5], X[3:4]])
    points = role.of(doubled) if role is Unlabelled else role.of(doubled, [0] * 53)
    few = rf"rows 50, 51, 52 of {role.role} repeat rows 3, 4, 3 of {role.role} \(3 of 53 in all\); .* drop"
    with pytest.raises(ValueError, match=few):
        check_rows(points)
    with pytest.raises(ValueError, match="repeat rows"):
        check_rows(points, may_repeat=[name for name in ROLES if name != role.role], may_share=PAIRS)
    assert check_rows(points, may_repeat=[role.role]) == {(role.role, role.role): 3}
    with pytest.raises(ValueError, match=r"repeat rows 0, 0, 0, 0, 0 of .* \(59 of 60 in all\)"):
        check_rows(Unlabelled(torch.ones(60, 2)))


def test_other_labels_do_not_make_it_another_draw() -> None:
    with pytest.raises(ValueError, match="rows 1 of train repeat rows 0 of train"):
        check_rows(Train.of(torch.zeros(2, 3), [0, 1]))


def test_arrays_of_every_kind_of_number() -> None:
    for kind in ("u2", "u4", "u8", ">i4", ">f8", "f2", "?", "i1"):
        array = np.array([[0, 1], [1, 1]], dtype=kind)
        assert shared_rows(*in_roles(array, torch.tensor([[1, 1]]))).tolist() == [[1, 0]], kind
        assert len(Train.of(X[:2], array[:, 0].astype(kind if kind not in (">f8", "f2", "?") else "u2"))) == 2
    for kind, most in (("u2", 2**16 - 1), ("u4", 2**32 - 1), ("u8", 2**63 - 1), (">i8", 2**63 - 1)):
        assert tensor_of("it", np.array([most], dtype=kind)).tolist() == [most]
    still = np.arange(6.0).reshape(3, 2)
    assert np.shares_memory(tensor_of("it", still).numpy(), still), "no copy where none is needed"
    still.setflags(write=False)
    assert tensor_of("it", still).tolist() == still.tolist(), "a copy, for torch cannot hold it still"
    assert torch.equal(tensor_of("it", still[::-1]), torch.tensor([[4.0, 5.0], [2.0, 3.0], [0.0, 1.0]]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Train.of(X), "train is a Tensor"),
        (lambda: Train.of(TensorDataset(X)), "no labels"),
        (lambda: Train.of(HoldOut.of(X, Y)), "whose role is holdout"),
        (lambda: Unlabelled.of(Train.of(X, Y)), "whose role is train"),
        (lambda: Train.of(({"x": X}, Y)), "a mapping beside its labels; put them into it"),
        (lambda: Train.of(X, Y[:3]), "50 rows and 3 labels"),
        (lambda: Train.of(X, Y.double()), "whole class number"),
        (lambda: Train.of(X, Y - 5), "go down to -5"),
        (lambda: Train.of(X[:0], Y[:0]), "at least one|a row for each"),
        (lambda: HoldOut.of(X / 0, Y), "NaN or infinite"),
        (lambda: Unlabelled.of(np.array(["a"])), "give real numbers of"),
        (lambda: Unlabelled.of(DataLoader([{"x": "a"}])), "the inputs must be tensors"),
        (lambda: Unlabelled.of("points.npy"), "unlabelled is a str"),
        (lambda: HoldOut.of(torch.tensor([[math.nan, 1.0]]), [0]), "NaN or infinite"),
        (lambda: HoldOut.of(torch.tensor([[-math.inf, 1.0]]), [0]), "NaN or infinite"),
        (lambda: HoldOut.of(torch.tensor([[math.inf, 1.0]]), [0]), "NaN or infinite"),
        (lambda: Unlabelled(SideBySide((X, X / 0))), "NaN or infinite"),
        (lambda: Unlabelled(SideBySide((X, torch.full((50, 1), math.inf)))), "NaN or infinite"),
        (lambda: Unlabelled(SideBySide((X, X.to(torch.complex64)))), "real numbers"),
        (lambda: Unlabelled(X.to(torch.complex64)), "real numbers"),
        (lambda: Unlabelled(X.to(torch.uint16)), "inputs of torch.uint16; give real numbers"),
        (lambda: Unlabelled.of(np.zeros((2, 2), complex)), "real numbers"),
        (lambda: Unlabelled.of(np.zeros((2, 2), np.longdouble)), "real numbers of at most 64 bits"),
        (lambda: Unlabelled.of(np.array([2**63], np.uint64)), r"goes up to 9223372036854775808; give whole"),
        (lambda: Train.of(X, Y.to(torch.complex64)), "whole class number"),
        (lambda: Train.of(X, Y.bool()), "whole class number"),
        (lambda: check_rows(Train.of(X, Y), Unlabelled(X[:, :3])), "one shape"),
        (lambda: check_rows(Unlabelled(X[:20]), Unlabelled(X[30:])), "two sets of points have the role unl"),
        (lambda: shared_rows(Train.of(X, Y), Train.of(X, Y)), "two sets of points have the role train"),
        (lambda: check_rows(Train.of(X, Y), may_share=[("train", "test")]), "may_share names"),
        (lambda: check_rows(Train.of(X, Y), may_share=[("train", "train")]), "may_share names"),
        (
            lambda: check_rows(Train.of(X, Y), may_share=("train", "holdout")),
            r"may_share\[0\] = 'train' must be several",
        ),
        (lambda: check_rows(Train.of(X, Y), may_repeat=["test"]), "may_repeat names 'test'"),
        (lambda: check_rows(Train.of(X, Y), may_repeat="train"), "may_repeat = 'train' must be several"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_points_are_refused_by_name(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
