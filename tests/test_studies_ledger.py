"""The benchmark of the ledger at its small size."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from kdtheory.streams import Stream
from kdtheory.study_script import load_study


@pytest.mark.slow
def test_the_benchmark_of_the_ledger_times_both_sides_where_it_has_them() -> None:
    small = load_study("benchmark_ledger", Path(__file__).parents[1] / "studies")
    (row,) = small.run(Stream(0), **small.small)
    assert row["claim"] == small.small["claims"][0]
    both = row["earlier"] == small.small["commit"]
    for side in ["", "earlier_"] if both else [""]:
        assert row[f"{side}wall"] > row[f"{side}seconds"] > 0
        assert row[f"{side}claims"] == 1
    assert (row["wall_ratio"] or 0) > 0 or not both
    assert row["common"] == both
    alone = row | {"earlier": "none"} | {key: None for key in row if key.startswith("earlier_")}
    for rows in (pd.DataFrame([row]), pd.DataFrame([alone])):
        ax = Figure().subplots()
        small.draw(ax, rows)
        assert ax.get_xlabel()
