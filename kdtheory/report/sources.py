"""The material of a report: the records of one ended run, and the figures of the studies."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from kdtheory import bibliography
from kdtheory.claims.finding import Ledger
from kdtheory.files import Record, read_json
from kdtheory.records import read_ledger
from kdtheory.report.shared import Shared
from kdtheory.report.svg import inline_svg

__all__ = ["Figure", "Run", "read_figures", "read_run"]


@dataclass(frozen=True)
class Run:
    """An ended run: what was asked, and the ledger."""

    name: str
    asked: Record
    ledger: Ledger
    written: datetime


@dataclass(frozen=True)
class Figure:
    """A study's figure: its drawing and its table as made, and how they were made."""

    study: str
    claims: tuple[str, ...]
    title: str
    description: str
    made: dict[str, Any]
    svg: Markup | None
    table: list[list[str]]

    @property
    def anchor(self) -> str:
        """The figure's id on the page."""
        return _anchor(self.study)


def read_run(run: Path, /) -> Run:
    """The remains of an ended run.

    Raises:
        ValueError: the directory holds no ledger, or a file is missing or damaged.
    """
    ledger = read_ledger(run)
    if (papers := run / "references.bib").is_file():
        bibliography.read(papers)
    return Run(
        name=run.resolve().name,
        asked=read_json(run / "run.json"),
        ledger=ledger,
        written=datetime.fromtimestamp((run / "ledger.json").stat().st_mtime, UTC),
    )


def read_figures(figures: Path | None, shared: Shared, /) -> list[Figure]:
    """The figures of all studies below `figures`, by name; none where it is None.

    Args:
        figures: the folder.
        shared: what the drawings have in common on the page.

    Raises:
        ValueError: `figures` is no directory, or a study's files are damaged.
    """
    if figures is None:
        return []
    if not figures.is_dir():
        raise ValueError(f"{figures} is no directory; give the one that holds the studies' figures")
    return [_figure(made.parent, shared) for made in sorted(figures.glob("*/run.json"))]


def _figure(folder: Path, shared: Shared) -> Figure:
    made = read_json(folder / "run.json")
    study = folder.name
    title = str(made.get("title") or study.replace("_", " "))
    claims = made.get("claims")
    drawing, table = folder / "figure.svg", folder / "table.csv"
    try:
        text = drawing.read_text(encoding="utf-8") if drawing.is_file() else None
        cells = table.read_text(encoding="utf-8") if table.is_file() else ""
        rows = list(csv.reader(io.StringIO(cells)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"the figure in {folder} cannot be read ({error}); draw it again") from error
    return Figure(
        study=study,
        claims=tuple(claims) if isinstance(claims, list) else (),
        title=title,
        description=str(made.get("description") or ""),
        made=made,
        svg=None if text is None else inline_svg(text, name=_anchor(study), label=title, page=shared),
        table=rows,
    )


def _anchor(study: str) -> str:
    return "figure-" + re.sub(r"[^A-Za-z0-9_-]", "-", study)
