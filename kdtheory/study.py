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

import importlib.util
import inspect
import io
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from kdtheory import __version__
from kdtheory.digest import source_digest
from kdtheory.doors import gate
from kdtheory.files import read_json, sweep, write_file, write_json
from kdtheory.plots import STYLE, panels
from kdtheory.scripts import find_study
from kdtheory.streams import Stream

__all__ = ["Study", "commit", "drawn", "load_study", "made_by_other_code", "redraw_study", "run_study"]

_REQUIRED = ("CLAIMS", "CONFIG", "SMALL", "run", "draw")


@gate
@dataclass(frozen=True)
class Study:
    """One study, loaded from its script."""

    name: str
    title: str
    description: str
    claims: tuple[str, ...]
    config: Mapping[str, Any]
    small: Mapping[str, Any]
    panels: int
    lines: int | None
    size: tuple[float, float] | None
    run: Callable[..., Sequence[Mapping[str, Any]]]
    draw: Callable[[Any, pd.DataFrame], None]


@gate
def load_study(name: str, /, *folders: Path) -> Study:
    """Load a study by its name, in one of the folders or of the package, or by the path of its script.

    What lies beside the script can be imported by it, as if it were run by itself.

    Raises:
        ValueError: there is no such script, it cannot be run, lacks a part, or has a setting that `run` does
            not take.
    """
    path = find_study(name, folders).resolve()
    module = _executed(path)
    if missing := [part for part in _REQUIRED if not hasattr(module, part)]:
        raise ValueError(f"{path} lacks {missing[0]}; a study has {', '.join(_REQUIRED)}")
    for part in ("CONFIG", "SMALL"):
        _check_settings(module, part)
    title, _, description = (inspect.getdoc(module) or path.stem).partition("\n")
    return Study(
        name=path.stem,
        title=title.strip(),
        description=description.strip(),
        claims=tuple(module.CLAIMS),
        config=module.CONFIG,
        small={**module.CONFIG, **module.SMALL},
        panels=getattr(module, "PANELS", 1),
        lines=getattr(module, "ROWS", None),
        size=getattr(module, "SIZE", None),
        run=module.run,
        draw=module.draw,
    )


def _executed(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"study_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{path} cannot be run ({type(error).__name__}: {error})") from error
    return module


def _check_settings(module: ModuleType, part: str) -> None:
    """Whether `run` takes what a configuration of the script sets, and nothing is lacking."""
    taken = inspect.signature(module.run)
    images = {"data": None} if "data" in taken.parameters else {}
    try:
        taken.bind(None, **images, **{**module.CONFIG, **getattr(module, part)})
    except TypeError as error:
        raise ValueError(f"{module.__file__}: run does not fit {part} ({error})") from error


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
        ValueError: the place cannot be written, the study made no rows, or it reads no images and `data` is
            given.
    """
    config = study.small if small else study.config
    images, head = _images(study, data), commit()
    start = time.perf_counter()
    rows = pd.DataFrame(list(study.run(Stream(seed).child("studies", study.name), **images, **config)))
    seconds = time.perf_counter() - start
    if rows.empty:
        raise ValueError(f"study {study.name} made no rows")
    place = out / study.name
    sweep(place)
    write_file(place / "table.csv", rows.to_csv(index=False, lineterminator="\n").encode())
    _write_pictures(study, rows, place)
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
    return rows


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
    rows = pd.read_csv(table)
    _write_pictures(study, rows, table.parent)
    told = table.parent / "run.json"
    if told.is_file():
        write_json(told, {**read_json(told), **_words(study)})
    return rows


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
    for form, content in _pictures(study, rows).items():
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
