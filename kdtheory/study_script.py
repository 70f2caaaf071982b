"""A study as its script says it: the script is executed, and its parts are looked at."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from kdtheory.doors import gate
from kdtheory.scripts import find_study

__all__ = ["Study", "load_study"]

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
    _check_parts(module)
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
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path} cannot be run ({raised_by(error, path.stem)})") from error
    return module


def raised_by(error: BaseException, script: str) -> str:
    """What a script has raised, and the last of its lines that was reached."""
    lines = [
        at.lineno for at in traceback.extract_tb(error.__traceback__) if Path(at.filename).stem == script
    ]
    return f"{type(error).__name__}: {error}" + (f", line {lines[-1]}" if lines else "")


def _check_parts(module: ModuleType) -> None:
    """Whether the parts of a script are of the kinds that they must be."""
    claims = module.CLAIMS
    listed = isinstance(claims, Iterable) and not isinstance(claims, str)
    if not listed or not all(isinstance(name, str) for name in claims):
        raise ValueError(f"{module.__file__}: CLAIMS = {claims!r} must be names in a tuple, as ('name',)")
    for part in ("CONFIG", "SMALL"):
        if not isinstance(getattr(module, part), Mapping):
            raise ValueError(f"{module.__file__}: {part} must be a dictionary of settings of run")
    for part in ("run", "draw"):
        if not callable(getattr(module, part)):
            raise ValueError(f"{module.__file__}: {part} must be a function")
    for part in ("PANELS", "ROWS"):
        number = getattr(module, part, 1)
        if not (isinstance(number, int) and number >= 1) and (part, number) != ("ROWS", None):
            raise ValueError(f"{module.__file__}: {part} = {number!r} must be a whole number of at least 1")
    size = getattr(module, "SIZE", None)
    pair = isinstance(size, (tuple, list)) and len(size) == 2
    if size is not None and not (pair and all(isinstance(side, int | float) and side > 0 for side in size)):
        raise ValueError(f"{module.__file__}: SIZE = {size!r} must be a width and a height in inches")


def _check_settings(module: ModuleType, part: str) -> None:
    """Whether `run` takes what a configuration of the script sets, and nothing is lacking."""
    taken = inspect.signature(module.run)
    images = {"data": None} if "data" in taken.parameters else {}
    try:
        taken.bind(None, **images, **{**module.CONFIG, **getattr(module, part)})
    except TypeError as error:
        raise ValueError(f"{module.__file__}: run does not fit {part} ({error})") from error
