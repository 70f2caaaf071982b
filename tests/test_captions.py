"""The numbers that a caption tells are those of its table, its configuration or its script."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.name for path in (ROOT / "figures").iterdir())
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*\.\d+(?![\w.]*\d)")
BARE = {
    "benchmark_kernels": {"1.12"},  # of SciPy
    "benchmark_cluster": {"1.15"},  # what is asked for
    "bring_your_own": {"0.05"},  # δ where none is given
    "few_labels_beside_peers": {"3.12"},  # of Python
}
"""Numbers that stand in a caption alone."""

Frame = pd.DataFrame


def phase(cells: str, column: str) -> Callable[[Frame], pd.Series]:
    """A column, or what follows from some, of the cells of the map over noise."""

    def chosen(frame: Frame) -> pd.Series:
        follows = frame.assign(
            gain=frame["all views, distilled"] - frame["all views, single"],
            closed=100 * (frame["distilled"] - frame["single"]) / (frame["ensemble"] - frame["single"]),
        )
        return follows.query(cells)[column]

    return chosen


def mail(frame: Frame, network: str, line: str, column: str = "disagreement") -> pd.Series:
    return frame[(frame["network"] == network) & (frame["line"] == line)][column]


def excess(frame: Frame, n: int) -> pd.Series:
    return frame[(frame["n"] == n) & frame["arm"].isin(["distilled", "self-distilled"])]["excess"]


def dimension(world: str, dim: int, arm: str, column: str = "mean") -> Callable[[Frame], float]:
    return lambda frame: frame[
        frame["world"].str.startswith(world) & (frame["dim"] == dim) & (frame["arm"] == arm)
    ][column].item()


MEASURED: list[tuple[str, str, Callable[[Frame], float]]] = [
    ("certificates_on_mail", "{} % of the mails for the convolution",
     lambda f: 100 * mail(f, "teacher", "witness").mean()),
    ("certificates_on_mail", "{} % for the bag of its own kind",
     lambda f: 100 * mail(f, "student of labels", "witness").mean()),
    ("certificates_on_mail", "`compare` shows at most {} in each division",
     lambda f: 100 * mail(f, "student against teacher", "cost", "value").max()),
    ("multi_view_in_dimension", "come down, from {} at d = 1,000", dimension("binary", 1000, "single")),
    ("multi_view_in_dimension", "to the {} of the limit", dimension("binary", 0, "single")),
    ("multi_view_in_dimension", "of the limit at 64,000, and one-view shares go up, from {}",
     dimension("binary", 1000, "single", "one_view")),
    ("multi_view_in_dimension", "to {}, with the limit's", dimension("binary", 64000, "single", "one_view")),
    ("multi_view_in_dimension", "with the limit's {} in", dimension("binary", 0, "single", "one_view")),
    ("multi_view_in_dimension", "better in R^d ({} against", dimension("six", 16000, "self-distilled")),
    ("multi_view_in_dimension", "against {}), there", dimension("six", 0, "self-distilled")),
    ("multi_view_networks", "the fresh ones, to {} in the median",
     lambda f: f[f["kind"] == "step"]["test accuracy, median"].iloc[-1]),
    ("multi_view_networks", "and to {} in the mean",
     lambda f: f[f["kind"] == "step"]["test accuracy"].iloc[-1]),
    ("multi_view_phases", "single views are rare: {} to",
     lambda f: phase("0 < p < 1 and mu <= 0.1", "gain")(f).min()),
    ("multi_view_phases", "rare: 0.33 to {} at",
     lambda f: phase("0 < p < 1 and mu <= 0.1", "gain")(f).max()),
    ("multi_view_phases", "At p = 0 the gain is {} and",
     lambda f: phase("p == 0 and mu == 0.05", "gain")(f).min()),
    ("multi_view_phases", "the gain is 0.06 and {} there",
     lambda f: phase("p == 0 and mu == 0.1", "gain")(f).min()),
    ("multi_view_phases", "at p = 1 it is {} and",
     lambda f: phase("p == 1 and mu == 0.05", "gain")(f).min()),
    ("multi_view_phases", "it is 0.22 and {} there",
     lambda f: phase("p == 1 and mu == 0.1", "gain")(f).min()),
    ("multi_view_phases", "grows with μ to {};",
     lambda f: phase("p == 0", "gain")(f).max()),
    ("multi_view_phases", "and {} and 0.12 at μ ≥ 0.2",
     lambda f: phase("p == 1 and mu == 0.2", "gain")(f).min()),
    ("multi_view_phases", "and {} at μ ≥ 0.2, less",
     lambda f: phase("p == 1 and mu == 0.4", "gain")(f).min()),
    ("multi_view_phases", "single networks are at {} or",
     lambda f: phase("p == 0", "single")(f).min()),
    ("multi_view_phases", "students reach {} without",
     lambda f: phase("p == 0 and mu >= 0.2", "distilled")(f).min()),
    ("multi_view_phases", "p = 0: {} %",
     lambda f: phase("p == 0 and mu == 0.1", "closed")(f).min()),
    ("multi_view_phases", "p = 0.1: {} %",
     lambda f: phase("p == 0.1 and mu == 0.4", "closed")(f).min()),
    ("real_image_ensembles", "in nats, {} to", lambda f: excess(f, 150).min()),
    ("real_image_ensembles", "to {} on the small sets", lambda f: excess(f, 150).max()),
    ("real_image_ensembles", "and {} to 0.015", lambda f: excess(f, 500).min()),
    ("real_image_ensembles", "to {} on the larger ones", lambda f: excess(f, 500).max()),
]  # fmt: skip
"""A number in its words, and what it is in the table."""


def caption(name: str) -> str:
    return " ".join((ROOT / "figures" / name / "caption.md").read_text(encoding="utf-8").split())


def table(name: str) -> Frame:
    return pd.read_csv(ROOT / "figures" / name / "table.csv")


def told(text: str, words: str) -> re.Match[str]:
    """The place of the number that a caption has in the place of {}."""
    found = re.search(re.escape(words).replace(r"\{\}", r"([\d.]+)"), text)
    assert found is not None, f"{words!r} is not in the caption"
    return found


@pytest.mark.parametrize(("name", "words", "value"), MEASURED)
def test_a_measured_number_is_what_the_table_says(
    name: str, words: str, value: Callable[[Frame], float]
) -> None:
    number = told(caption(name), words)[1]
    assert f"{value(table(name)):.{len(number.partition('.')[2])}f}" == number


def numbers_of(name: str) -> list[float]:
    """The cells of the table, and the numbers in the code of the script and of the modules beside it."""
    with (ROOT / "figures" / name / "table.csv").open(encoding="utf-8") as file:
        words = [word for row in csv.reader(file) for cell in row for word in cell.split()]
    found = [float(word) for word in words if re.fullmatch(r"-?\d+(\.\d*)?(e-?\d+)?", word)]
    for script in (ROOT / "studies" / f"{name}.py", *(ROOT / "studies").glob("_*.py")):
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
                found.append(float(node.value))
    return found


def unknown(text: str, known: list[float]) -> list[str]:
    """Numbers with a point that nothing known rounds to."""
    wrong = []
    for number in NUMBER.findall(text):
        plain = number.replace(",", "")
        digits = len(plain.partition(".")[2])
        if not any(round(one, digits) == float(plain) for one in known):
            wrong.append(number)
    return wrong


@pytest.mark.parametrize("name", NAMES)
def test_every_other_number_with_a_point_is_known(name: str) -> None:
    text = caption(name)
    spans = [told(text, words).span(1) for own, words, _ in MEASURED if own == name]
    rest = "".join(" " if any(a <= n < b for a, b in spans) else one for n, one in enumerate(text))
    assert set(unknown(rest, numbers_of(name))) <= BARE.get(name, set())


def test_another_number_is_noticed() -> None:
    assert unknown("from 0.31 to 2.5", [0.3149, 2.5]) == []
    assert unknown("from 0.32 to 2.6", [0.3149, 2.5]) == ["0.32", "2.6"]
    assert told("it is 0.5 there", "is {} there")[1] == "0.5"
