"""The distillation bound: term by term from the formula, its forms compared, laws, bad input."""

from __future__ import annotations

import math

import pytest
import torch

from kdtheory.bounds.distillation import (
    hsu21_as_printed,
    hsu21_distillation,
    hsu21_distillation_by_margins,
)
from kdtheory.streams import Stream

SURE = torch.tensor([[40.0, 0.0]], dtype=torch.float64)


def randn(*shape: int, name: str = "g") -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=Stream(0).child(name).torch())


G, GU, FU = randn(50, 3), randn(80, 3, name="gu"), randn(80, 3, name="fu")
Y = torch.arange(50) % 3
SETTINGS = {
    "gamma": 0.7,
    "delta": 0.05,
    "fixed_in_advance": True,
    "drawn_afterwards": True,
    "independent_draws": True,
    "same_law": True,
}


def by_hand(*, joint: float | None, weight: float = 1.0, ratio: float = 1.0) -> list[float]:
    """The six terms of the softmax form, from the formula."""
    gamma, delta, n, m = 0.7, 0.05, 50, 80
    loss = sum(1 - float((G[i] / gamma).softmax(-1)[Y[i]]) for i in range(n)) / n
    apart = (
        sum(
            float(((GU[i] / gamma).softmax(-1) - (FU[i] / gamma).softmax(-1)).abs().sum()) / 2
            for i in range(m)
        )
        / m
    )
    log = math.log(4 / (delta * weight))
    first = [2 * loss, 2 / gamma * 0.11, 6 * math.sqrt(log / (2 * n))]
    if joint is None:
        second = [2 * apart, 0.0, 2 * math.sqrt(math.log(2 / delta) / (2 * m))]
    else:
        second = [2 * apart, 2 * math.sqrt(2) / gamma * joint, 6 * math.sqrt(log / (2 * m))]
    return first + [ratio * term for term in second]


@pytest.mark.parametrize("joint", [None, 0.3])
@pytest.mark.parametrize("weight", [1.0, 0.01])
@pytest.mark.parametrize("ratio", [1.0, 2.5])
def test_softmax_form_term_by_term(joint: float | None, weight: float, ratio: float) -> None:
    bound = hsu21_distillation(
        G,
        Y,
        GU,
        FU,
        student_complexity=0.11,
        joint_complexity=joint,
        weight=weight,
        density_ratio=ratio,
        **SETTINGS,
    )
    expected = by_hand(joint=joint, weight=weight, ratio=ratio)
    assert list(bound.terms.values()) == pytest.approx(expected, rel=1e-12)
    assert bound.value == pytest.approx(sum(expected), rel=1e-12)
    assert bound.certificate


def test_margin_form_term_by_term() -> None:
    bound = hsu21_distillation_by_margins(G, Y, GU, FU, margin_complexity=0.2, weight=0.1, **SETTINGS)
    total = 0.0
    for i in range(50):
        margin = float(G[i, Y[i]]) - max(float(G[i, j]) for j in range(3) if j != int(Y[i]))
        total += 1 / (1 + math.exp(margin / 0.7 - math.log(2)))
    assert bound.terms["student's loss"] == pytest.approx(2 * total / 50, rel=1e-12)
    assert bound.terms["student's complexity"] == pytest.approx(0.2 / 0.7, rel=1e-12)
    deviation = 6 * math.sqrt(math.log(4 / (0.05 * 0.1)) / 100)
    assert bound.terms["labelled deviation"] == pytest.approx(deviation, rel=1e-12)


def test_printed_form_term_by_term() -> None:
    f = randn(50, 3, name="f")
    bound = hsu21_as_printed(G, f, Y, gamma=0.7, delta=0.05, margin_complexity=0.2, weight=0.1)
    apart = sum(
        abs(float((G[i] / 0.7).softmax(-1)[Y[i]]) - float((f[i] / 0.7).softmax(-1)[Y[i]])) for i in range(50)
    )
    log = math.log(2 / 0.05) + math.log(math.log2(50))
    expected = [
        by_hand(joint=None)[0],
        16 / 50,
        6 * math.sqrt(log / 50),
        8 * apart / 50,
        0.2 / 0.7,
        6 * math.sqrt(math.log(10) / 50),
    ]
    assert list(bound.terms.values()) == pytest.approx(expected, rel=1e-12)
    assert bound.kind == "heuristic"


def test_margin_form_is_the_looser_one_for_three_classes() -> None:
    soft = hsu21_distillation(G, Y, GU, FU, student_complexity=0.1, **SETTINGS)
    margins = hsu21_distillation_by_margins(G, Y, GU, FU, margin_complexity=0.2, **SETTINGS)
    assert margins.terms["student's complexity"] == pytest.approx(soft.terms["student's complexity"])
    assert margins.value > soft.value


def test_bound_is_monotone() -> None:
    def value(**changes) -> float:
        settings = {"student_complexity": 0.1, "joint_complexity": 0.1, "weight": 0.5, **SETTINGS, **changes}
        return hsu21_distillation(G, Y, GU, FU, **settings).value

    assert value(delta=0.2) < value() < value(delta=0.001)
    assert value(student_complexity=0.0) < value() < value(student_complexity=0.5)
    assert value(joint_complexity=0.0) < value() < value(joint_complexity=0.5)
    assert value(joint_complexity=None) < value()
    assert value(weight=1.0) < value() < value(weight=0.01)
    assert value(density_ratio=2.0) > value()


def test_gamma_trades_loss_for_complexity() -> None:
    logits, labels = SURE.repeat(400, 1), torch.zeros(400, dtype=torch.long)
    settings = {
        "delta": 0.05,
        "student_complexity": 0.1,
        "fixed_in_advance": True,
        "drawn_afterwards": True,
        "independent_draws": True,
        "same_law": True,
    }
    small, large = (
        hsu21_distillation(logits, labels, logits, logits, gamma=gamma, **settings) for gamma in (1.0, 10.0)
    )
    assert small.terms["student's loss"] < large.terms["student's loss"]
    assert small.terms["student's complexity"] > large.terms["student's complexity"]


def test_needed_size_is_where_the_bound_starts_to_speak() -> None:
    logits, labels = SURE.repeat(30, 1), torch.zeros(30, dtype=torch.long)
    settings = {
        "gamma": 1.0,
        "delta": 0.05,
        "student_complexity": 0.0,
        "fixed_in_advance": True,
        "drawn_afterwards": True,
        "independent_draws": True,
        "same_law": True,
    }
    bound = hsu21_distillation(logits, labels, logits, logits, **settings)
    assert bound.vacuous
    assert bound.needed is not None
    for size, vacuous in ((bound.needed, False), (bound.needed - 1, True)):
        many = SURE.repeat(size, 1)
        again = hsu21_distillation(many, torch.zeros(size, dtype=torch.long), many, many, **settings)
        assert again.vacuous is vacuous


def test_unmet_assumptions_make_a_heuristic_and_gradients_do_no_harm() -> None:
    settings = {
        "gamma": 0.7,
        "delta": 0.05,
        "student_complexity": 0.1,
        "fixed_in_advance": False,
        "drawn_afterwards": True,
        "independent_draws": True,
        "same_law": True,
    }
    bound = hsu21_distillation(G.clone().requires_grad_(), Y, GU, FU.clone().requires_grad_(), **settings)
    assert bound.kind == "heuristic"


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"gamma": 0.0}, "gamma"),
        ({"delta": 0.0}, "delta"),
        ({"delta": 1.0}, "delta"),
        ({"student_complexity": -1.0}, "student_complexity"),
        ({"student_complexity": math.nan}, "student_complexity"),
        ({"joint_complexity": -0.1}, "joint_complexity"),
        ({"weight": 0.0}, "weight = 0"),
        ({"weight": 1.1}, "weight = 1.1"),
        ({"density_ratio": 0.5}, "density_ratio"),
    ],
)
def test_bad_settings_are_named(change: dict[str, float], named: str) -> None:
    settings = {"student_complexity": 0.1, **SETTINGS, **change}
    with pytest.raises(ValueError, match=named):
        hsu21_distillation(G, Y, GU, FU, **settings)


@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_tensors_are_named() -> None:
    settings = {"student_complexity": 0.1, **SETTINGS}
    with pytest.raises(ValueError, match="labels"):
        hsu21_distillation(G, Y + 1, GU, FU, **settings)
    with pytest.raises(ValueError, match="m = 80 in student_unlabelled"):
        hsu21_distillation(G, Y, GU, FU[:3], **settings)
    with pytest.raises(ValueError, match="NaN"):
        hsu21_distillation(G * math.nan, Y, GU, FU, **settings)
    with pytest.raises(ValueError, match="number of labelled points"):
        hsu21_as_printed(G[:1], G[:1], Y[:1], gamma=1.0, delta=0.1, margin_complexity=0.0)
