"""What half precision costs, at the study's small size."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from kdtheory.streams import Stream
from kdtheory.study_script import load_study


def test_every_loss_is_timed_in_every_half_precision_against_float32() -> None:
    study = load_study("benchmark_half_precision", Path(__file__).parents[1] / "studies")
    rows = pd.DataFrame(study.run(Stream(0), **study.small))
    assert len(rows) == 11 * len(study.small["dtypes"])
    assert (rows[["ms", "float32_ms", "ratio"]] > 0).all(axis=None)
    ax = Figure().subplots()
    study.draw(ax, rows)
    assert ax.get_xlabel()
    assert len(ax.get_yticklabels()) == 11
