"""δ is split beforehand and spent; terms are those of the bounds called directly; what is a heuristic."""

from __future__ import annotations

import json
import math
from math import inf

import pytest
import torch
from certified import (
    FOUND,
    HOLDOUT,
    REST,
    STUDENT,
    TEACHER,
    TRAIN,
    says,
)
from torch import nn

from kdtheory import certify
from kdtheory.bounds import (
    bartlett19_log_growth,
    golowich18_margin,
    homogeneous_layers,
    hsu21_as_printed,
    hsu21_distillation,
    net_norms,
    vapnik71,
)
from kdtheory.bounds.holdout import clopper34_holdout
from kdtheory.bounds.two_samples import joint_disagreement_transfer
from kdtheory.certify import LINES, PARTS, Certificates, certify_logits
from kdtheory.inversion import binomial_upper_limit


def test_delta_is_split_by_fixed_parts_and_spent() -> None:
    parts = {line.name: line.part for line in LINES}
    assert sum(FOUND.shares.values()) == pytest.approx(0.05, rel=1e-12)
    assert FOUND.shares["holdout"] == pytest.approx(32 * FOUND.shares["frobenius_norms"])
    total = sum(parts[name] for name in FOUND.shares)
    assert FOUND.shares == pytest.approx({name: 0.05 * parts[name] / total for name in FOUND.shares})
    assert set(FOUND.lines) | set(FOUND.skipped) == set(parts)
    assert next(iter(FOUND.lines)) == "holdout"


def test_terms_are_those_of_the_bounds_called_directly() -> None:
    shares, labels = FOUND.shares, HOLDOUT[1]
    wrong = says(TEACHER, HOLDOUT[0]).argmax(-1) != labels
    expected = {
        "holdout": clopper34_holdout(
            wrong, delta=shares["holdout"], fixed_in_advance=True, independent_draws=True
        ),
        "student_holdout": joint_disagreement_transfer(
            says(STUDENT, HOLDOUT[0]).argmax(-1) != labels,
            says(STUDENT, REST).argmax(-1) != says(TEACHER, REST).argmax(-1),
            delta=shares["student_holdout"],
            witness_fixed_in_advance=True,
            predictor_fixed_in_advance=True,
            disjoint_samples=True,
            independent_draws=True,
            same_law=True,
        ),
        "vc_dimension": vapnik71(
            float((says(TEACHER, TRAIN[0]).argmax(-1) != TRAIN[1]).double().mean()),
            n=1000,
            log_growth=lambda n: bartlett19_log_growth((64, 32, 10), n=n),
            delta=0.05,
            fixed_in_advance=True,
            independent_draws=True,
        ),
        "frobenius_norms": golowich18_margin(
            says(TEACHER, TRAIN[0]),
            TRAIN[1],
            norms=net_norms(
                homogeneous_layers(
                    [TEACHER[0].weight.double(), TEACHER[2].weight.double()],
                    [TEACHER[0].bias.double(), TEACHER[2].bias.double()],
                )
            ),
            input_norm=float((TRAIN[0].double().square().sum() + 1000).sqrt()),
            gamma=1.0,
            delta=shares["frobenius_norms"],
            fixed_in_advance=True,
            independent_draws=True,
        ),
    }
    for name, bound in expected.items():
        assert dict(FOUND.lines[name].terms) == pytest.approx(dict(bound.terms), rel=1e-9), name
        assert FOUND.lines[name].value == pytest.approx(bound.value, rel=1e-9)
        assert bound.assumptions.items() <= FOUND.lines[name].assumptions.items()


def test_the_distillation_bound_is_charged_for_the_students_norm_and_for_each_gamma() -> None:
    layer = torch.cat([STUDENT[0].weight, STUDENT[0].bias[:, None]], 1).double().detach()
    step = 0
    while 2 ** (step / 4) < float(layer.norm()):
        step += 1
    complexity = 10**0.5 * 2 ** (step / 4) * float((TRAIN[0].double().square().sum() + 1000).sqrt()) / 1000
    weight = 2 / (3 * (step + 1) * (step + 2))
    found = certify(
        TEACHER, STUDENT, train=TRAIN, unlabelled=REST, gamma=[0.5, 1.0, 2.0], fixed_in_advance=True
    )
    points = says(STUDENT, TRAIN[0]), TRAIN[1], says(STUDENT, REST), says(TEACHER, REST)
    settings = {
        "delta": found.shares["distillation"],
        "weight": weight,
        "gamma_weight": 1 / 3,
        "fixed_in_advance": True,
        "drawn_afterwards": True,
        "independent_draws": True,
        "same_law": True,
    }
    bounds = [
        hsu21_distillation(*points, **settings, gamma=gamma, student_complexity=complexity)
        for gamma in (0.5, 1.0, 2.0)
    ]
    assert found.lines["distillation"].value == pytest.approx(min(bound.value for bound in bounds), rel=1e-6)
    # 2√(ln(1/δ′)/2m), δ′ = δ/2 for the second line, shared by three γ, all of which saw its points.
    share = found.shares["distillation"] / 2 / 3
    assert found.lines["distillation"].terms["unlabelled deviation"] == pytest.approx(
        2 * (math.log(1 / share) / (2 * len(REST))) ** 0.5
    )
    printed = hsu21_as_printed(
        points[0], says(TEACHER, TRAIN[0]), TRAIN[1], gamma=2.0, delta=0.05,
        margin_complexity=2 * complexity, weight=weight / 3,
    )  # fmt: skip
    assert found.lines["as_printed"].value <= printed.value * (1 + 1e-6)
    assert found.lines["as_printed"].kind == "heuristic"


def test_shares_decide_what_is_reported_and_at_what_delta() -> None:
    found = certify(
        TEACHER, holdout=HOLDOUT, shares={"holdout": 3, "holdout_kl": 1}, delta=0.08, fixed_in_advance=True
    )
    assert found.shares == pytest.approx({"holdout": 0.06, "holdout_kl": 0.02})
    assert "not asked for" in found.skipped["holdout_hoeffding"]
    alone = certify(TEACHER, holdout=HOLDOUT, fixed_in_advance=True)
    wrong = int((says(TEACHER, HOLDOUT[0]).argmax(-1) != HOLDOUT[1]).sum())
    assert alone.best.value == binomial_upper_limit(wrong, 200, delta=0.05)
    others = {"holdout_hoeffding": 1.0, "holdout_bernstein": 1.0, "holdout_kl": 1.0}
    values = [
        bound.value
        for bound in certify(TEACHER, holdout=HOLDOUT, shares=others, fixed_in_advance=True).bounds
    ]
    assert min(values) > alone.best.value


def test_training_points_alone_give_no_certificate_without_layers() -> None:
    found = certify_logits(says(TEACHER, TRAIN[0]), TRAIN[1], labels_role="train", fixed_in_advance=True)
    assert list(found.lines) == ["training_error"]
    assert found.lines["training_error"].kind == "heuristic"
    assert not found.lines["training_error"].vacuous
    assert (found.best, found.best_line, found.vacuous) == (None, None, True)


def test_what_was_chosen_after_the_data_is_a_heuristic() -> None:
    found = certify(TEACHER, STUDENT, train=TRAIN, unlabelled=REST, fixed_in_advance=False)
    kinds = {name: bound.kind for name, bound in found.lines.items()}
    assert {kinds[name] for name in ("vc_dimension", "frobenius_norms", "distillation")} == {"heuristic"}
    assert kinds["student_coded"] == "certificate", "a code does not care how the student was found"


def test_what_cannot_be_made_of_the_numbers_is_left_out_and_its_share_lost() -> None:
    logits = says(TEACHER, HOLDOUT[0])
    ruled_out = logits.clone()
    ruled_out[3, 4] = -inf
    more = {"teacher_unlabelled": says(TEACHER, REST), "student_unlabelled": says(STUDENT, REST)}
    whole, part = (
        certify_logits(logits, HOLDOUT[1], student_logits=student, **more, fixed_in_advance=True)
        for student in (logits / 2, ruled_out)
    )
    assert "-inf" in part.skipped["distillation_by_margins"]
    assert part.shares["holdout"] == whole.shares["holdout"]
    zero = nn.Sequential(nn.Linear(64, 10))
    nn.init.zeros_(zero[0].weight)
    nn.init.zeros_(zero[0].bias)
    assert "norms is zero" in certify(zero, train=TRAIN, fixed_in_advance=True).skipped["frobenius_norms"]


def test_frame_and_json_say_the_same() -> None:
    frame, document = FOUND.to_frame(), FOUND.to_json()
    totals = frame[frame.term == "total"].set_index("line").value
    assert totals.to_dict() == {name: bound.value for name, bound in FOUND.lines.items()}
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert (document["schema"], document["parts"]) == (4, PARTS)
    assert {bound["line"]: bound["share"] for bound in document["bounds"] if bound["share"]} == FOUND.shares
    assert document["best"] == FOUND.best_line == "holdout"
    assert [bound["value"] for bound in document["bounds"]] == [bound.value for bound in FOUND.bounds]
    assert document["points"] == {"train": 1000, "holdout": 200, "unlabelled": 597}
    assert frame.groupby("line").delta.first()[list(FOUND.shares)].sum() <= 0.05 * (1 + 1e-9)


def test_more_than_delta_is_not_given_out() -> None:
    with pytest.raises(ValueError, match="more than delta"):
        Certificates(0.01, FOUND.lines, {}, {})
