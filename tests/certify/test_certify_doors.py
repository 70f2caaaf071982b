"""Modules, logits, loaders and arrays say the same; a row has one role; norms are read off plain nets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from certified import (
    FOUND,
    HOLDOUT,
    REST,
    STUDENT,
    TEACHER,
    TRAIN,
    X,
    Y,
    says,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from kdtheory import certify
from kdtheory.bounds import clopper34_holdout, disagreement_transfer
from kdtheory.certify import certify_logits
from kdtheory.roles import ROLES, HoldOut, Train, Unlabelled

SOURCES = {
    "a DataLoader": (
        DataLoader(TensorDataset(*TRAIN), batch_size=33),
        DataLoader(TensorDataset(*HOLDOUT), batch_size=200, shuffle=True),
        DataLoader(TensorDataset(REST), batch_size=9),
    ),
    "arrays": tuple(
        part if isinstance(part, Tensor) else tuple(column.numpy() for column in part)
        for part in (TRAIN, HOLDOUT, REST)
    ),
    "roles": (Train(*TRAIN), HoldOut(*HOLDOUT), Unlabelled(REST)),
}


@pytest.mark.parametrize("source", SOURCES)
def test_loaders_and_arrays_give_what_tensors_give(source: str) -> None:
    labelled, kept, others = SOURCES[source]
    found = certify(TEACHER, STUDENT, train=labelled, holdout=kept, unlabelled=others, batch_size=77)
    for name, bound in FOUND.lines.items():
        assert found.lines[name].value == pytest.approx(bound.value, rel=1e-6), name


def test_logits_give_what_modules_give_where_no_layers_are_needed() -> None:
    names = (*ROLES,)
    tables = [
        {
            name: says(module, points).numpy()
            for name, points in zip(names, (TRAIN[0], HOLDOUT[0], REST), strict=True)
        }
        for module in (TEACHER, STUDENT)
    ]
    shares = {"holdout": 1, "student_holdout": 1, "training_error": 1}
    roles = {"train": TRAIN, "holdout": HOLDOUT, "unlabelled": REST, "shares": shares}
    by_logits = certify(*tables, **roles)
    assert by_logits.to_json() == certify(TEACHER, STUDENT, **roles).to_json()
    assert (
        "not a module"
        in certify(*tables, train=TRAIN, holdout=HOLDOUT, unlabelled=REST).skipped["vc_dimension"]
    )


@pytest.mark.parametrize("kind", [torch.as_tensor, np.asarray], ids=["tensors", "arrays"])
def test_logits_alone_give_what_modules_give(kind: Callable[[Tensor], Any]) -> None:
    shares = {"holdout": 1, "student_holdout": 1}
    plain = certify_logits(
        kind(says(TEACHER, HOLDOUT[0])),
        kind(torch.as_tensor(HOLDOUT[1])),
        student_logits=kind(says(STUDENT, HOLDOUT[0])),
        teacher_unlabelled=kind(says(TEACHER, REST)),
        student_unlabelled=kind(says(STUDENT, REST)),
        shares=shares,
    )
    pair = certify(TEACHER, STUDENT, holdout=HOLDOUT, unlabelled=REST, shares=shares)
    assert [bound.value for bound in plain.bounds] == [bound.value for bound in pair.bounds]


def test_a_row_in_two_roles_is_refused_by_number() -> None:
    with pytest.raises(ValueError, match=r"rows 990, 991, .* of train are rows 0, 1, .* of holdout \(10 in"):
        certify(TEACHER, train=TRAIN, holdout=(X[990:1100], Y[990:1100]))
    said = says(TEACHER, HOLDOUT[0])
    twice = {"student_logits": said / 2, "teacher_unlabelled": said[5:], "student_unlabelled": said[5:] / 2}
    with pytest.raises(
        ValueError, match="rows 5, 6, 7, 8, 9 of holdout are rows 0, 1, 2, 3, 4 of unlabelled"
    ):
        certify_logits(said, HOLDOUT[1], **twice)
    assert certify_logits(said, HOLDOUT[1], **twice, may_share=[("holdout", "unlabelled")]).best is not None


def test_one_sample_in_two_roles_gets_no_limit_for_two() -> None:
    """The same points as hold-out and without their labels: two limits at δ/2, which need no independence."""
    same = {
        "student": STUDENT,
        "holdout": HOLDOUT,
        "unlabelled": HOLDOUT[0],
        "shares": {"student_holdout": 1},
    }
    found = certify(TEACHER, **same, may_share=[("holdout", "unlabelled")]).lines["student_holdout"]
    student, teacher = (says(module, HOLDOUT[0]).argmax(-1) for module in (STUDENT, TEACHER))
    risk = clopper34_holdout(
        (student != HOLDOUT[1]).double(), delta=0.025, fixed_in_advance=True, independent_draws=True
    )
    apart = disagreement_transfer(risk, student != teacher, delta=0.025, drawn_afterwards=True, same_law=True)
    assert found.value == pytest.approx(apart.value)
    assert found.certificate


def test_rows_of_train_that_come_again_are_an_assumption() -> None:
    again = (torch.cat([HOLDOUT[0], TRAIN[0][:3]]), torch.cat([HOLDOUT[1], TRAIN[1][:3]]))
    found = certify(TEACHER, train=TRAIN, holdout=again, may_share=[("train", "holdout")])
    said = "the 3 rows of holdout that are in train too are repeats by chance"
    assert found.lines["holdout"].assumptions[said]
    assert said not in found.lines["training_error"].assumptions


class Functional(nn.Module):
    """Linear layers and a ReLU that is no module."""

    def __init__(self, activation: Callable[[Tensor], Tensor] = F.relu, skip: bool = False) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 10)
        self.activation, self.skip = activation, skip

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.activation(self.first(inputs))
        return self.last(hidden + inputs if self.skip else hidden)


@pytest.mark.parametrize(
    ("module", "is_read"),
    [
        (
            nn.Sequential(
                nn.Flatten(), nn.Sequential(nn.Linear(64, 8), nn.ReLU()), nn.Dropout(), nn.Linear(8, 10)
            ),
            True,
        ),
        (nn.Linear(64, 10, bias=False), True),
        (Functional(), True),
        (Functional(skip=True), False),
        (Functional(torch.tanh), False),
        (nn.Sequential(nn.Linear(64, 8), nn.GELU(), nn.Linear(8, 10)), False),
        (nn.Sequential(nn.Linear(64, 8), nn.Linear(8, 10)), False),
        (nn.Sequential(nn.Linear(64, 10), nn.ReLU()), False),
    ],
)
def test_norms_are_read_off_plain_relu_nets_and_no_others(module: nn.Module, is_read: bool) -> None:
    found = certify(module, train=TRAIN)
    assert ("frobenius_norms" in found.lines) == ("vc_dimension" in found.lines) == is_read
    if not is_read:
        assert "Linear layers with ReLU between" in found.skipped["spectral_norms"]


def test_modules_are_evaluated_in_evaluation_mode_and_put_back() -> None:
    module = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Dropout(0.5), nn.Linear(32, 10)).train()
    module[1].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    first, second = (certify(module, holdout=HOLDOUT, batch_size=size) for size in (7, 200))
    assert [part.training for part in module] == [True, False, True, True]
    assert first.best.value == second.best.value
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
