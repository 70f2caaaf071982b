"""What a notebook shows of results, and their frames."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import nn

from kdtheory import MLP, Stream, train
from kdtheory.bounds import Bound
from kdtheory.bounds.result import terms_frame
from kdtheory.certify import certify
from kdtheory.recipe import Recipe
from kdtheory.schemes import Comparison, Loop, fit
from kdtheory.shown import Frame, bars, in_html
from kdtheory.transfer_risk import TransferCurve

MET = {"independent draws": True}


def bound(value: float, **terms: float) -> Bound:
    return Bound("made_up", value, terms, 0.05, MET)


def test_named_bounds_are_one_frame() -> None:
    frame = terms_frame({"one": bound(0.3, risk=0.1, radius=0.2), "two": bound(0.5, risk=0.5)})
    assert list(frame["line"]) == ["one"] * 3 + ["two"] * 2
    assert list(frame["term"]) == ["risk", "radius", "total", "risk", "total"]
    assert list(frame["value"]) == [0.1, 0.2, 0.3, 0.5, 0.5]


def test_a_bound_and_certificates_show_what_they_say() -> None:
    one = bound(0.3, risk=0.1, radius=0.2)
    assert one._repr_html_() == in_html(one.coverage, one.to_frame())
    assert "with probability at least 0.95" in one._repr_html_()
    assert "&lt;b&gt;" in in_html("<b>", pd.DataFrame({"a": [1]}))
    says, points = torch.eye(2).repeat(100, 1), torch.arange(200.0)[:, None]
    found = certify({"holdout": says}, holdout=(points, torch.tensor([0, 1] * 100)), fixed_in_advance=True)
    assert found._repr_html_().startswith(
        "<p><b>Of 200 points that it had not seen 0 were classified wrongly;"
    )
    assert "<table" in found._repr_html_()


def test_a_population_and_a_history_are_frames() -> None:
    population = train(
        MLP((2, 2)), torch.zeros(4, 2), loss=lambda logits, probs, labels: logits.square().sum(-1), members=3,
        stream=Stream(0), recipe=Recipe(steps=2, learning_rate=0.1),
    )  # fmt: skip
    frame = population.to_frame()
    assert list(frame.columns) == ["last_loss", "gradient_norm", "diverged"]
    assert frame.index.name == "member"
    assert torch.equal(torch.tensor(frame["last_loss"].to_numpy()), population.last_loss)
    assert "3 members of" in population._repr_html_()
    assert sum(bar.get_height() for bar in population.plot().patches) == 3
    data = [(torch.eye(2), torch.tensor([0, 1]))]
    seen: list[int] = []
    training = {
        "recipe": Recipe(steps=4, learning_rate=0.1, optimizer="sgd"),
        "loop": Loop(progress=lambda done, _: seen.append(done)),
    }
    trained = fit(nn.Linear(2, 2), data, **training, stream=Stream(0))
    losses = trained.to_frame()
    assert (losses.index.name, list(losses.index), seen) == ("step", [0, 1, 2, 3], [1, 2, 3, 4])
    assert list(losses.iloc[:, 0]) == list(trained.history["value"])
    assert "gradient norm" in trained._repr_html_()
    assert trained.plot().get_xlabel() == "step"
    lost = trained.history.assign(value=[1.0, 2.0, math.nan, math.nan])
    assert list(replace(trained, history=lost).to_frame().index) == [
        0,
        1,
        2,
        3,
    ]  # what diverged is not hidden
    lost = replace(population, last_loss=torch.tensor([0.1, math.nan, math.inf]))
    assert "3 members of 2-2 after 2 steps, 2 of them diverged" in lost._repr_html_()


def test_a_measure_that_is_no_number_at_a_seed_costs_its_own_interval_alone() -> None:
    kinds = {
        "accuracy": [0.5, 0.6, 0.8],
        "gradient_norm": [0.1, math.nan, 0.2],
        "divergence": [1, math.inf, 2],
    }
    found = Comparison(
        pd.DataFrame(),
        pd.DataFrame(
            [
                {"scheme": scheme, "seed": seed, "measure": measure, "value": value * scale}
                for scheme, scale in (("b", 1.0), ("a", 0.5))
                for measure, values in kinds.items()
                for seed, value in enumerate(values)
            ]
        ),
    )
    for table in (found.summary(), found.gains("a"), found.gains("b")):
        rows = table.set_index("measure")
        assert rows.loc["accuracy", ["mean", "low", "high"]].notna().all(axis=None)
        assert rows.loc[["gradient_norm", "divergence"], ["low", "high"]].isna().all(axis=None)
        assert (table["seeds"] == 3).all()


def test_frames_are_whole_at_eighty_columns() -> None:
    frame = terms_frame(
        {"distillation_by_margins": bound(0.3, **{"student's complexity": 1e14, "radius": 0.2})}
    )
    told = repr(frame).splitlines()
    assert max(map(len, told)) <= 80
    assert all(name in told[0] for name in ("line", "term", "value", "kind"))
    assert told[-1] == "(further columns: delta, vacuous, needed, bound)"
    assert "..." not in repr(frame)
    assert list(frame["needed"].isna()) == [True] * 3, "all columns are there"
    assert repr(Frame({"a": range(100)})) == repr(pd.DataFrame({"a": range(100)}))


def test_bounds_and_certificates_are_drawn_by_their_terms() -> None:
    one, large = bound(0.3, risk=0.1, radius=0.2), bound(40.0, risk=40.0)
    widths = [bar.get_width() for bar in one.plot().patches]
    assert widths == pytest.approx([0.1, 0.2])
    ax = bars({"one": one.terms, "large": large.terms}, label="at most")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["one", "large"]
    assert ax.get_xlim()[1] == 1.2
    assert (ax.get_xlabel(), ax.yaxis_inverted()) == ("at most", True)


def test_a_curve_shows_itself() -> None:
    ones = torch.tensor([0.5, 0.25])
    curve = TransferCurve((5, 10), *[ones * k for k in range(1, 8)])
    assert [list(line.get_xdata()) for line in curve.plot().lines] == [[5, 10]] * 5
    assert list(curve.plot().lines[0].get_ydata()) == [0.5, 0.25]
    assert "<table" in curve._repr_html_()
