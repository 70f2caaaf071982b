"""Studies: one script, one figure, with its table, configuration, seed and versions beside it.

A study is a Python file with a docstring (its first line is the title), `CONFIG` (keyword arguments of
`run`), `SMALL` (those that are otherwise in the small configuration), `CLAIMS` (the claims it illustrates),
`run(stream, **config) → rows` and `draw(ax, rows)`; with `PANELS` > 1, `draw` gets an array of so many axes,
which stand two in a row, or in `ROWS` rows.
`SIZE` is the figure's width and height in inches, where it is not 16 cm and what the rows need. One whose
`run` has an argument `data` reads real images: those of a folder of IDX files, or the embedded digits where
it is None. A figure is drawn from its table alone, so that it can be drawn again without measuring.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import platform
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from kdtheory import __version__
from kdtheory._plain_kinds import is_tensor
from kdtheory.digest import source_digest
from kdtheory.doors import gate
from kdtheory.files import check_place, read_json, sweep, write_file, write_json
from kdtheory.plain import NUMERIC_NAME
from kdtheory.plots import STYLE, panels
from kdtheory.streams import Stream
from kdtheory.study_script import Study, raised_by

__all__ = ["commit", "drawn", "made_by_other_code", "redraw_study", "run_study"]


@gate
def run_study(
    study: Study, out: Path, /, *, seed: int = 0, small: bool = False, data: Path | None = None
) -> pd.DataFrame:
    """Run a study and write `out/NAME/`: table.csv, figure.svg, figure.png, caption.md, run.json.

    Args:
        study: the study.
        out: the folder of all figures.
        seed: the integer that the study's stream depends on.
        small: the small configuration, of seconds, instead of the one of the figure.
        data: a folder of IDX files, for a study that reads real images.

    Returns:
        The table.

    Raises:
        ValueError: the place cannot be written, the configuration cannot be recorded, `run` or `draw` fails,
            the study made no rows, or it reads no images and `data` is given. What is measured is kept: where
            `draw` fails, the table is there, for `redraw_study`.
    """
    config = study.small if small else study.config
    images, head, place = _images(study, data), commit(), out / study.name
    check_place(place)
    _check_recorded(study, config)
    start = time.perf_counter()
    with _of_script(study, "run"):
        rows = _table(study, study.run(Stream(seed).child("studies", study.name), **images, **config))
    seconds = time.perf_counter() - start
    sweep(place)
    write_file(place / "table.csv", rows.to_csv(index=False, lineterminator="\n").encode())
    write_json(
        place / "run.json",
        {
            "study": study.name,
            **_words(study),
            "config": dict(config),
            "data": None if data is None else data.resolve().name,
            "seed": seed,
            "commit": head,
            "code": source_digest(study.run),
            "versions": _versions(),
            "seconds": round(seconds, 1),
        },
    )
    _write_pictures(study, _read_table(place / "table.csv"), place)
    return rows


@contextlib.contextmanager
def _of_script(study: Study, part: str, then: str = "") -> Iterator[None]:
    """What a part of a script raises, in one sentence with its line; a refusal by `run` is one already."""
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, ChildProcessError) or (part == "run" and isinstance(error, ValueError)):
            raise
        raise ValueError(
            f"study {study.name}: {part} failed ({raised_by(error, study.name)}){then}"
        ) from error


def _table(study: Study, found: Any) -> pd.DataFrame:
    """The rows that `run` has given, as a frame; a tensor of one number is that number."""
    if isinstance(found, pd.DataFrame):
        rows = found
    else:
        many = isinstance(found, Iterable) and not isinstance(found, Mapping | str)
        listed = list(found) if many else [found]
        if strange := [one for one in listed if not many or not isinstance(one, Mapping | pd.Series)]:
            what = f"a row that is a {type(strange[0]).__name__}" if many else f"a {type(found).__name__}"
            raise ValueError(
                f"study {study.name}: run gave {what}; give a list of rows, each a dictionary, or a frame"
            )
        rows = pd.DataFrame(
            [{name: _cell(study, name, value) for name, value in one.items()} for one in listed]
        )
    if rows.empty:
        raise ValueError(f"study {study.name} made no rows")
    return rows


def _cell(study: Study, column: Any, value: Any) -> Any:
    if not is_tensor(value):
        return value
    if value.numel() != 1:
        raise ValueError(
            f"study {study.name}: {column} is a tensor of {value.numel()} numbers; give a row for each"
        )
    return value.item()


def _check_recorded(study: Study, config: Mapping[str, Any]) -> None:
    """Whether run.json can hold the configuration; asked before anything is measured."""
    try:
        json.dumps(dict(config), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"study {study.name}: run.json cannot hold its CONFIG ({error}); give numbers and texts"
        ) from error


@gate
def redraw_study(study: Study, out: Path, /) -> pd.DataFrame:
    """Draw the figure again from `out/NAME/table.csv`; nothing is computed.

    What run.json tells of the run stays; the study's title, description and claims there are those of its
    script as it is now, since they are the words that go with the figure.

    Returns:
        The table.

    Raises:
        ValueError: there is no table.
    """
    table = out / study.name / "table.csv"
    if not table.is_file():
        raise ValueError(f"there is no {table} to draw from; run the study first")
    rows = _read_table(table)
    _write_pictures(study, rows, table.parent)
    told = table.parent / "run.json"
    if told.is_file():
        write_json(told, {**read_json(told), **_words(study)})
    return rows


def _read_table(path: Path) -> pd.DataFrame:
    """A table as it was written: an empty cell is no number; "None", "NA" and commit 2487e95 are words."""
    settings: dict[str, Any] = {"keep_default_na": False, "na_values": [""]}
    try:
        table: pd.DataFrame = pd.read_csv(path, **settings)
        words = pd.read_csv(path, dtype=str, **settings)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); run the study again") from error
    for name in table.select_dtypes("number"):
        if words[name].dropna().str.fullmatch(NUMERIC_NAME).any():
            table[name] = words[name]
    return table


@gate
def made_by_other_code(study: Study, out: Path, /) -> bool:
    """Whether the figure `out/NAME` was made by other code than the study rests on now: then it is due again.

    Raises:
        ValueError: there is no `out/NAME/run.json`.
    """
    return read_json(out / study.name / "run.json").get("code") != source_digest(study.run)


def _words(study: Study) -> dict[str, Any]:
    return {"title": study.title, "description": study.description, "claims": list(study.claims)}


def _write_pictures(study: Study, rows: pd.DataFrame, place: Path) -> None:
    kept = f"; its table is kept in {place}: mend {study.name}.py, then draw again (--redraw)"
    with _of_script(study, "draw", kept):
        pictures = _pictures(study, rows)
    for form, content in pictures.items():
        write_file(place / f"figure.{form}", content)
    write_file(place / "caption.md", f"**{study.title}**\n\n{study.description}\n".encode())


def _images(study: Study, data: Path | None) -> dict[str, Path | None]:
    """`data` for a study that reads images."""
    if "data" in inspect.signature(study.run).parameters:
        return {"data": data}
    if data is not None:
        raise ValueError(f"data = {str(data)!r}, and study {study.name} reads no images; leave it out")
    return {}


def _pictures(study: Study, rows: pd.DataFrame) -> dict[str, bytes]:
    """The figure as SVG and PNG; the SVG is the same for the same rows."""
    pictures = {}
    with mpl.rc_context({"svg.hashsalt": study.name, **STYLE}):
        figure = drawn(study, rows)
        for form, metadata in (("svg", {"Date": None}), ("png", {})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=form, dpi=200, metadata=metadata)
            pictures[form] = buffer.getvalue()
    return pictures


@gate
def drawn(study: Study, rows: pd.DataFrame, /) -> Figure:
    """The study's figure of its table, in the style of all figures."""
    with mpl.rc_context(STYLE):
        figure, axes = panels(study.panels, rows=study.lines, size=study.size)
        study.draw(axes, rows)
    return figure


def _versions() -> dict[str, str]:
    packages = ("torch", "numpy", "scipy", "pandas", "matplotlib", "scikit-learn")
    own = {"python": platform.python_version(), "kdtheory": __version__}
    return own | {name: version(name) for name in packages}


def commit() -> str:
    """The commit of the checkout, marked where tracked files but the figures differ; empty outside one."""
    head = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)figures")
    return f"{head}-dirty" if changed else head


def _git(*arguments: str) -> str:
    try:
        told = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return told.stdout.strip()
