"""The numbers of the page on clusters are cells of the tables that it names."""

from __future__ import annotations

import csv
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/how-to/clusters.md"
NUMBER = re.compile(r"(?<![\w.])−?\d[\d,]*(?:\.\d+)?(?![\w.]*\d)")


def _cells(studies: set[str]) -> list[float]:
    found = []
    for study in studies:
        with (ROOT / "figures" / study / "table.csv").open(encoding="utf-8") as file:
            words = [word for row in csv.reader(file) for cell in row for word in cell.split()]
        found += [float(word) for word in words if re.fullmatch(r"-?[\d.]+(e-?\d+)?", word)]
    return found


def _unknown(text: str, cells: list[float]) -> list[str]:
    """Numbers that no cell rounds to; thousandths are told as milliseconds."""
    wrong = []
    for number in NUMBER.findall(text):
        plain = number.replace(",", "").replace("−", "-")
        digits = len(plain.partition(".")[2])
        if not any(round(cell * scale, digits) == float(plain) for cell in cells for scale in (1, 1000)):
            wrong.append(number)
    return wrong


def test_the_numbers_of_the_page_are_those_of_the_tables() -> None:
    text = PAGE.read_text(encoding="utf-8")
    cells = _cells(set(re.findall(r"kdtheory study (benchmark_\w+)", text)))
    rows = [line for line in text.splitlines() if line.startswith("|") and line.count("`") == 0]
    decimals = [number for number in NUMBER.findall(text) if "." in number]
    assert len(rows) > 15
    assert len(decimals) > 50
    assert _unknown("\n".join(rows), cells) == []
    assert _unknown(" ".join(decimals), cells) == []


def test_another_number_is_noticed() -> None:
    cells = [0.31449, 12802.8]
    assert _unknown("| 0.314 | 12,802.8 |", cells) == []
    assert _unknown("| 0.315 | 12,802.9 |", cells) == ["0.315", "12,802.9"]
