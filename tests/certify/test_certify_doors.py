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
    ROOT,
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
from kdtheory.certify import LABEL_RECIPE, WitnessPlan, certify_logits
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
    found = certify(
        TEACHER,
        STUDENT,
        train=labelled,
        holdout=kept,
        unlabelled=others,
        batch_size=77,
        fixed_in_advance=True,
    )
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
    roles = {
        "train": TRAIN,
        "holdout": HOLDOUT,
        "unlabelled": REST,
        "shares": shares,
        "fixed_in_advance": True,
    }
    by_logits = certify(*tables, **roles)
    assert by_logits.to_json() == certify(TEACHER, STUDENT, **roles).to_json()
    assert (
        "not a module"
        in certify(*tables, train=TRAIN, holdout=HOLDOUT, unlabelled=REST, fixed_in_advance=True).skipped[
            "vc_dimension"
        ]
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
        fixed_in_advance=True,
    )
    pair = certify(TEACHER, STUDENT, holdout=HOLDOUT, unlabelled=REST, shares=shares, fixed_in_advance=True)
    assert [bound.value for bound in plain.bounds] == [bound.value for bound in pair.bounds]


def test_a_row_in_two_roles_is_refused_by_number() -> None:
    with pytest.raises(ValueError, match=r"rows 990, 991, .* of train are rows 0, 1, .* of holdout \(10 of"):
        certify(TEACHER, train=TRAIN, holdout=(X[990:1100], Y[990:1100]), fixed_in_advance=True)
    said = says(TEACHER, HOLDOUT[0])
    twice = {"student_logits": said / 2, "teacher_unlabelled": said[5:], "student_unlabelled": said[5:] / 2}
    with pytest.raises(
        ValueError, match="rows 5, 6, 7, 8, 9 of holdout are rows 0, 1, 2, 3, 4 of unlabelled"
    ):
        certify_logits(said, HOLDOUT[1], **twice, fixed_in_advance=True)
    assert (
        certify_logits(
            said, HOLDOUT[1], **twice, may_share=[("holdout", "unlabelled")], fixed_in_advance=True
        ).best
        is not None
    )


def test_one_sample_in_two_roles_gets_no_limit_for_two() -> None:
    """The same points as hold-out and without their labels: two limits at δ/2, which need no independence."""
    same = {
        "student": STUDENT,
        "holdout": HOLDOUT,
        "unlabelled": HOLDOUT[0],
        "shares": {"student_holdout": 1},
    }
    found = certify(TEACHER, **same, may_share=[("holdout", "unlabelled")], fixed_in_advance=True).lines[
        "student_holdout"
    ]
    student, teacher = (says(module, HOLDOUT[0]).argmax(-1) for module in (STUDENT, TEACHER))
    risk = clopper34_holdout(
        (student != HOLDOUT[1]).double(), delta=0.025, fixed_in_advance=True, independent_draws=True
    )
    apart = disagreement_transfer(risk, student != teacher, delta=0.025, drawn_afterwards=True, same_law=True)
    assert found.value == pytest.approx(apart.value)
    assert found.certificate


def test_rows_of_train_that_come_again_are_an_assumption() -> None:
    again = (torch.cat([HOLDOUT[0], TRAIN[0][:3]]), torch.cat([HOLDOUT[1], TRAIN[1][:3]]))
    found = certify(
        TEACHER, train=TRAIN, holdout=again, may_share=[("train", "holdout")], fixed_in_advance=True
    )
    said = "the 3 of 203 rows of holdout that are in train too come again by chance"
    assert found.lines["holdout"].assumptions[said]
    assert said not in found.lines["training_error"].assumptions


def test_rows_of_train_are_declared_by_the_line_that_they_test_and_believed_of_half_a_role() -> None:
    """Repeats in the hold-out and in the unlabelled points, few of one and most of the other."""
    kept = torch.cat([HOLDOUT[0], TRAIN[0][:3]]), torch.cat([HOLDOUT[1], TRAIN[1][:3]])
    rest = torch.cat([REST[:10], TRAIN[0][10:21]])
    pairs = [("train", "holdout"), ("train", "unlabelled")]
    found = certify(
        TEACHER, STUDENT, train=TRAIN, holdout=kept, unlabelled=rest, may_share=pairs, fixed_in_advance=True
    )  # fmt: skip
    few = "the 3 of 203 rows of holdout that are in train too come again by chance"
    most = "the 11 of 21 rows of unlabelled that are in train too come again by chance"
    said = {
        name: (line.assumptions.get(few), line.assumptions.get(most)) for name, line in found.lines.items()
    }
    assert said["holdout"] == (True, None)
    assert said["student_holdout"] == said["distillation"] == said["distillation_by_margins"] == (True, False)
    assert said["student_coded"] == (None, False)
    assert said["frobenius_norms"] == said["training_error"] == (None, None)
    assert found.lines["holdout"].certificate
    assert not found.lines["distillation"].certificate


def test_a_copy_within_a_role_is_refused_or_declared() -> None:
    """Labels that nobody can know, each point five times: learned in one place, tested in another."""
    labels = torch.randint(10, (150,), generator=torch.Generator().manual_seed(0)).repeat(5)
    copies = TRAIN[0][:150].repeat(5, 1), labels
    settings = {"unlabelled": REST, "stream": ROOT, "device": "cpu", "fixed_in_advance": True}
    plan = WitnessPlan(kinds=("holdout",), recipe=LABEL_RECIPE.but(steps=300, learning_rate=0.01), members=1)
    with pytest.raises(ValueError, match=r"rows 150, 151, .* repeat rows 0, 1, .* \(600 of 750 in all\)"):
        certify(TEACHER, train=copies, witness=plan, **settings)
    found = certify(TEACHER, train=copies, witness=plan, may_repeat=["train"], **settings).lines[
        "witness_holdout"
    ]
    assert (
        found.assumptions["the 600 of 750 rows of train that repeat others of it come again by chance"]
        is False
    )
    assert found.kind == "heuristic"
    few = certify(
        TEACHER, holdout=(HOLDOUT[0][[*range(50), 0]], HOLDOUT[1][[*range(50), 0]]), may_repeat=["holdout"],
        fixed_in_advance=True,
    )  # fmt: skip
    sentence = "the 1 of 51 rows of holdout that repeat others of it come again by chance"
    assert few.lines["holdout"].assumptions[sentence]


def test_equal_logits_may_be_those_of_other_points_however_many_they_are() -> None:
    said = torch.eye(2).repeat(100, 1), torch.tensor([0, 1] * 100)
    with pytest.raises(ValueError, match=r"198 of 200 in all"):
        certify_logits(*said, fixed_in_advance=True)
    found = certify_logits(*said, may_repeat=["holdout"], fixed_in_advance=True)
    sentence = "the 198 of 200 rows of holdout that repeat others of it are other points with the same logits"
    assert found.lines["holdout"].assumptions[sentence]
    assert found.best is not None


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
    found = certify(module, train=TRAIN, fixed_in_advance=True)
    assert ("frobenius_norms" in found.lines) == ("vc_dimension" in found.lines) == is_read
    if not is_read:
        assert "Linear layers with ReLU between" in found.skipped["spectral_norms"]


class AlwaysOn(nn.Module):
    """Two linear layers and no ReLU; a bias so large that every hidden unit is on among digits."""

    def __init__(self, bias: float, activation: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 16), nn.Linear(16, 10)
        nn.init.constant_(self.first.bias, bias)
        self.activation = activation or nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.activation(self.first(inputs)))


@pytest.mark.parametrize(
    ("module", "is_read"),
    [
        (nn.Sequential(AlwaysOn(50.0)), False),
        (AlwaysOn(50.0), False),
        (AlwaysOn(50.0, F.relu), True),
        (AlwaysOn(-50.0, F.relu), True),
        (AlwaysOn(0.0, lambda x: x.clamp(0, 30)), False),
        (AlwaysOn(0.0, F.hardswish), False),
        (AlwaysOn(50.0, lambda x: F.leaky_relu(x, 0.1)), False),
    ],
)
def test_a_net_without_relu_is_told_from_one_whose_units_are_all_on(module: nn.Module, is_read: bool) -> None:
    assert ("frobenius_norms" in certify(module, train=TRAIN, fixed_in_advance=True).lines) == is_read


class Refuses(Functional):
    def forward(self, inputs: Tensor) -> Tensor:
        if float(inputs.min()) < 0:
            raise ValueError("pixels are positive")
        return super().forward(inputs)


def test_a_module_that_refuses_far_points_is_no_relu_net() -> None:
    found = certify(Refuses(), train=TRAIN, fixed_in_advance=True)
    assert "no ReLU" not in found.skipped
    assert "Linear layers with ReLU between" in found.skipped["frobenius_norms"]


class OfTheBatch(nn.Module):
    def __init__(self, of: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.of, self.last = of, nn.Linear(64, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(inputs) + self.of(inputs)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32, track_running_stats=False), nn.Linear(32, 10)),
        OfTheBatch(lambda x: x.mean(0).sum()),
        OfTheBatch(lambda x: torch.arange(len(x))[:, None] * 0.01),
        OfTheBatch(lambda x: torch.tensor(len(x) / 100)),
        OfTheBatch(lambda x: F.dropout(x, 0.5, training=True)[:, :10]),
    ],
    ids=["batch statistics", "mean", "place", "number", "chance"],
)
@pytest.mark.parametrize("batch_size", [7, 64, 100, 1024])
@pytest.mark.parametrize("points", [5, 200])
def test_what_looks_at_the_batch_is_refused(module: nn.Module, batch_size: int, points: int) -> None:
    held = HOLDOUT[0][:points], HOLDOUT[1][:points]
    with pytest.raises(
        ValueError, match=r"teacher (says something else of the same points|does not take a batch)"
    ):
        certify(module, holdout=held, batch_size=batch_size, fixed_in_advance=True)


def test_points_stay_as_they_are_where_a_module_works_in_place() -> None:
    before = HOLDOUT[0].clone()
    module = nn.Sequential(nn.Hardtanh(0.2, 0.5, inplace=True), nn.Linear(64, 10))
    certify(module, holdout=HOLDOUT, fixed_in_advance=True)
    assert torch.equal(HOLDOUT[0], before)


def test_modules_are_evaluated_in_evaluation_mode_and_put_back() -> None:
    module = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Dropout(0.5), nn.Linear(32, 10)).train()
    module[1].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    first, second = (
        certify(module, holdout=HOLDOUT, batch_size=size, fixed_in_advance=True) for size in (7, 200)
    )
    assert [part.training for part in module] == [True, False, True, True]
    assert first.best.value == second.best.value
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
