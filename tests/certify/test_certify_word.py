"""Nothing that may depend on the points that test is taken for granted: what is said, printed and refused."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from certified import FOUND, HOLDOUT, REST, ROOT, STUDENT, TEACHER, TRAIN, X, Y
from torch import nn

from kdtheory import MLP, Certificates, certify, train
from kdtheory.certify import (
    ASSUMPTIONS,
    LABEL_RECIPE,
    LINES,
    PARTS,
    SHIPPED,
    STUDENT_RECIPE,
    WitnessPlan,
    split,
)
from kdtheory.losses import label_loss
from kdtheory.recipe import Recipe
from kdtheory.roles import Train

FEW = {
    "recipe": LABEL_RECIPE.but(steps=3),
    "students": STUDENT_RECIPE.but(steps=3),
    "members": 1,
    "rounds": 1,
}
SETTINGS: dict[str, Any] = {"unlabelled": REST, "stream": ROOT, "device": "cpu"}
WITNESSES = ("witness_holdout", "witness_coded", "witness_stochastic")


def witnessed(fixed: bool = True, **more: Any) -> Certificates:
    plan = more.pop("witness", WitnessPlan(**FEW))
    settings = {**SETTINGS, "train": TRAIN, **more}
    return certify(TEACHER, STUDENT, holdout=HOLDOUT, fixed_in_advance=fixed, witness=plan, **settings)


@pytest.fixture(scope="module")
def not_fixed() -> Certificates:
    return witnessed(fixed=False)


def test_what_was_not_fixed_is_a_heuristic_and_takes_no_share(not_fixed: Certificates) -> None:
    kinds = {name: line.kind for name, line in not_fixed.lines.items()}
    certain = {name for name, kind in kinds.items() if kind == "certificate"}
    assert certain == {"holdout", "student_holdout", "student_coded"}, "a code does not care who chose widths"
    assert set(not_fixed.shares) == certain
    assert sum(not_fixed.shares.values()) == pytest.approx(0.05)
    plan = "the witnesses' architecture and recipe, and the random stream, were fixed without the labels "
    plan += "that test them"
    for name in WITNESSES:
        assert not_fixed.lines[name].assumptions[plan] is False
        assert not_fixed.lines[name].delta == 0.05


def test_own_shares_that_were_not_fixed_make_every_line_a_heuristic() -> None:
    shares = {"holdout": 3, "student_holdout": 1}
    told = {"train": TRAIN, "holdout": HOLDOUT, "unlabelled": REST, "shares": shares}
    found = certify(TEACHER, STUDENT, **told, fixed_in_advance=False)
    assert found.best is None
    sentence = "the shares of δ were fixed without the points that test"
    assert all(line.assumptions[sentence] is False for line in found.bounds)
    kept = certify(TEACHER, STUDENT, **told, fixed_in_advance=True)
    assert all(line.assumptions[sentence] and line.certificate for line in kept.bounds)
    assert kept.parts == "own"


@pytest.mark.parametrize("name", ["independent", "one_law", "holdout_unseen", "unlabelled_unseen"])
def test_what_does_not_hold_makes_heuristics_of_the_lines_that_rest_on_it(name: str) -> None:
    found = certify(
        TEACHER, STUDENT, train=TRAIN, holdout=HOLDOUT, unlabelled=REST, fixed_in_advance=True, unmet=name
    )
    resting = {
        "independent": {"train", "labelled", "holdout", "unlabelled"},
        "one_law": {"unlabelled"},
        "unlabelled_unseen": {"unlabelled"},
        "holdout_unseen": {"holdout", "labelled"},
    }[name]
    for line in LINES:
        if (bound := found.lines.get(line.name)) is not None:
            rests = bool({*line.tests} & resting)
            assert bound.assumptions.get(ASSUMPTIONS[name], True) is not rests, line.name
            assert not (rests and bound.certificate), line.name


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("said", [1, "yes", None, "no"])
def test_only_a_bool_says_it(said: Any) -> None:
    with pytest.raises(ValueError, match=r"fixed_in_advance = .* must be True or False"):
        certify(TEACHER, holdout=HOLDOUT, fixed_in_advance=said)
    with pytest.raises(TypeError, match="fixed_in_advance"):
        certify(TEACHER, holdout=HOLDOUT)
    with pytest.raises(ValueError, match="unmet = 'luck'"):
        certify(TEACHER, holdout=HOLDOUT, fixed_in_advance=True, unmet=["luck"])


# Split


def test_the_split_is_the_one_that_witnesses_use() -> None:
    learned, tested = split(TRAIN, held_out=0.3, stream=ROOT)
    assert sorted([*learned.tolist(), *tested.tolist()]) == list(range(1000))
    spoiled = TRAIN[1].clone()
    spoiled[tested] = (spoiled[tested] + 1) % 10
    plan = WitnessPlan(**FEW, held_out=0.3)
    plain, other = (
        witnessed(witness=plan, train=(TRAIN[0], labels), shares={"witness_holdout": 1})
        for labels in (TRAIN[1], spoiled)
    )
    seen, wrong = (found.lines["witness_holdout"].terms for found in (plain, other))
    assert seen["disagreement"] == wrong["disagreement"], "the witness did not see them"
    assert seen["empirical risk"] != wrong["empirical risk"], "and was tested by them"
    assert witnessed(witness=plan).lines["witness_holdout"].quantities["points"] == len(tested)


def test_the_split_for_a_prior_holds_the_other() -> None:
    small, large = (split(TRAIN, held_out=share, stream=ROOT).tested.tolist() for share in (0.1, 0.5))
    assert set(small) < set(large)


def test_what_cannot_be_split_is_refused() -> None:
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*TRAIN), shuffle=True)
    with pytest.raises(ValueError, match=r"train is a DataLoader.*Train\.of\(loader\)"):
        split(loader, stream=ROOT)
    points = Train.of(loader)
    assert len(split(points, stream=ROOT).tested) == 100
    for share in (0.001, 0.9999, 1.0, 0.0):
        with pytest.raises(ValueError, match="held_out = "):
            split(TRAIN, held_out=share, stream=ROOT)


# Priors and starts that are the teacher


def coin_flips() -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    """A teacher that knows labels by heart that nobody can know."""
    labels = torch.randint(10, (400,), generator=ROOT.child("coins").torch())
    stream = ROOT.child("by heart")
    few = {"recipe": Recipe(steps=300, learning_rate=0.01), "members": 1, "stream": stream, "device": "cpu"}
    return train(MLP((64, 128, 10)), X[:400], labels, loss=label_loss, **few).module(0), (X[:400], labels)


def doubled(net: nn.Module) -> nn.Module:
    """Other logits, the same classes."""
    other = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in other[2].parameters():
            parameter.mul_(2)
    return other


def reordered(net: nn.Module) -> nn.Module:
    """Other parameters, the same logits."""
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[0].weight.copy_(net[0].weight.flip(0))
        other[0].bias.copy_(net[0].bias.flip(0))
        other[2].weight.copy_(net[2].weight.flip(1))
    return other


def test_a_prior_or_a_start_that_is_the_teacher_is_refused() -> None:
    teacher, labelled = coin_flips()
    architecture = MLP((64, 128, 10))
    said = {"train": teacher(labelled[0]).detach(), "unlabelled": teacher(REST).detach()}
    for given, prior in (
        (teacher, teacher),
        (said, teacher),
        (teacher, doubled(teacher)),
        (teacher, reordered(teacher)),
    ):
        with pytest.raises(ValueError, match="prior is the teacher"):
            certify(
                given, train=labelled, fixed_in_advance=True, prior=prior, **SETTINGS,
                witness=WitnessPlan(kinds=("coded",), architecture=architecture),
            )  # fmt: skip
    initial = architecture.pack({name: value.detach() for name, value in teacher.state_dict().items()})
    with pytest.raises(ValueError, match="initial is the teacher"):
        certify(
            teacher, train=labelled, fixed_in_advance=True, **SETTINGS,
            witness=WitnessPlan(kinds=("holdout",), initial=initial),
        )  # fmt: skip
    with pytest.raises(ValueError, match="initial has shape"):
        certify(
            teacher, train=labelled, fixed_in_advance=True, **SETTINGS,
            witness=WitnessPlan(kinds=("holdout",), initial=initial[:5]),
        )  # fmt: skip


def test_priors_and_starts_have_sentences_of_their_own() -> None:
    start = MLP((64, 32, 10)).init(ROOT.child("own start"), members=1)[0]
    plan = WitnessPlan(**FEW, initial=start)
    found = witnessed(
        witness=plan, prior=own_prior(), shares=dict.fromkeys(WITNESSES, 1), unmet=("prior_unseen",)
    )
    kinds = [found.lines[name].kind for name in WITNESSES]
    assert kinds == ["certificate", "heuristic", "heuristic"]
    assert found.lines["witness_holdout"].assumptions[ASSUMPTIONS["start_unseen"]]
    denied = witnessed(witness=plan, shares=dict.fromkeys(WITNESSES, 1), unmet=("start_unseen",))
    assert {denied.lines[name].kind for name in WITNESSES} == {"heuristic"}
    plain = witnessed(shares=dict.fromkeys(WITNESSES, 1))
    for name in WITNESSES:
        assert ASSUMPTIONS["start_unseen"] not in plain.lines[name].assumptions


def own_prior() -> nn.Module:
    stream = ROOT.child("own prior")
    few = {"recipe": Recipe(steps=50, learning_rate=0.01), "members": 1, "stream": stream, "device": "cpu"}
    return train(MLP((64, 32, 10)), X[1200:1300], Y[1200:1300], loss=label_loss, **few).module(0)


@pytest.mark.parametrize("share", [np.float32(0.5), 0.5])
@pytest.mark.usefixtures("unchecked_shapes")
def test_a_share_for_the_prior_is_a_share_in_every_type(share: Any) -> None:
    found = witnessed(prior=share, shares={"witness_coded": 1})
    assert found.lines["witness_coded"].quantities["points"] == 500
    for wrong in (1, True, "half"):
        with pytest.raises(ValueError, match="prior"):
            witnessed(prior=wrong)


# Shares


def test_shares_depend_on_what_is_given_and_not_on_what_it_turns_out_to_be() -> None:
    smooth = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    roles = {"train": TRAIN, "holdout": HOLDOUT, "unlabelled": REST, "fixed_in_advance": True}
    read = certify(TEACHER, STUDENT, **roles)
    unread = certify(smooth, smooth, **roles)
    assert {"frobenius_norms", "vc_dimension", "student_coded"} <= set(unread.skipped)
    assert unread.shares.items() < read.shares.items()
    alone = certify(TEACHER, holdout=HOLDOUT, fixed_in_advance=True)
    assert alone.shares == {"holdout": 0.05}


def test_what_cannot_win_takes_no_share() -> None:
    assert FOUND.unshared == {"distillation_by_margins", "vc_dimension", "as_printed", "training_error"}
    assert FOUND.lines["vc_dimension"].vacuous
    small = certify(nn.Linear(64, 10), train=TRAIN, fixed_in_advance=True)
    assert "vc_dimension" in small.unshared, "by 650 weights and 1,000 points alone"
    assert set(small.shares) == {"frobenius_norms", "spectral_norms"}


def test_what_says_something_without_a_share_is_no_certificate() -> None:
    generator = ROOT.child("line").torch()
    points = torch.randn(20_000, 2, generator=generator)
    net = nn.Linear(2, 2, bias=False)
    net.weight.data = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    labels = (points[:, 0] < 0).long()
    alone = certify(net, train=(points, labels), fixed_in_advance=True)
    assert alone.lines["vc_dimension"].certificate
    assert "vc_dimension" in alone.shares
    held = torch.randn(50, 2, generator=generator)
    beside = certify(
        net, train=(points, labels), holdout=(held, (held[:, 0] < 0).long()), fixed_in_advance=True
    )
    assert beside.lines["vc_dimension"].kind == "heuristic"
    assert "vc_dimension" not in beside.shares


def test_a_line_that_follows_from_another_shares_its_delta() -> None:
    for found in (FOUND, certify(TEACHER, STUDENT, train=TRAIN, unlabelled=REST, fixed_in_advance=True)):
        one, other = found.lines["distillation"], found.lines["distillation_by_margins"]
        assert (
            (one.delta, one.kind)
            == (other.delta, other.kind)
            == (found.shares["distillation"], "certificate")
        )
        assert one.value <= other.value
    alone = certify(
        TEACHER, STUDENT, holdout=HOLDOUT, unlabelled=REST, fixed_in_advance=True,
        shares={"holdout": 1, "distillation_by_margins": 0}, gamma=0.2,
    )  # fmt: skip
    assert not alone.lines["distillation_by_margins"].vacuous
    assert alone.lines["distillation_by_margins"].kind == "heuristic", "nothing that it follows from"


def test_shares_have_a_version() -> None:
    assert FOUND.parts == FOUND.to_json()["parts"] == PARTS == "2026-11"
    assert {line.name: line.part for line in LINES} == {
        "holdout": 8, "holdout_kl": 0, "holdout_hoeffding": 0, "holdout_bernstein": 0, "student_holdout": 8,
        "student_coded": 0.25, "witness_holdout": 8, "witness_drawn": 0, "witness_coded": 2,
        "witness_stochastic": 2, "distillation": 0.25, "distillation_by_margins": None,
        "frobenius_norms": 0.25, "spectral_norms": 0.25, "vc_dimension": 0.25, "as_printed": None,
        "training_error": None, "disagreement": None,
    }, "another part of any line is another version"  # fmt: skip
    assert {line.name: line.part for line in SHIPPED} == {"shipped_witness": 8, "shipped_distilled": 8}


def test_the_best_line_is_spoken_of_at_the_delta_of_all() -> None:
    assert FOUND.best is not None
    assert FOUND.shares["holdout"] < FOUND.best.delta == FOUND.delta == 0.05
    assert FOUND.best.coverage.startswith("with probability at least 0.95 over")
    assert "of one call and not the best of several" in FOUND.best.coverage
    assert FOUND.best.value == FOUND.lines["holdout"].value
    assert "with 95 % confidence" in FOUND.statement
    assert "one call counts, not the best of several calls, plans or seeds" in str(FOUND)
