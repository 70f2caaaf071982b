"""Where the scripts of studies lie, and their titles; nothing of them is run.

Studies are looked for in the folders that are named, in `studies/` of the working directory, and among those
that come with the package.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from kdtheory._near import near
from kdtheory.doors import gate

__all__ = ["find_study", "study_paths", "study_title"]


def _shipped() -> Path:
    """The package's own: of an installed package inside it, of a checkout beside it."""
    here = Path(__file__).parent
    checkout = (here.parent / "pyproject.toml").is_file()
    return here.parent / "studies" if checkout else here / "_studies"


def study_paths(*folders: Path) -> dict[str, Path]:
    """The scripts by name, those of the folders named first, then of `studies/`, then of the package."""
    places = [*folders, Path("studies"), _shipped()]
    found = [path for place in places for path in sorted(place.glob("[a-z]*.py"))]
    return {path.stem: path for path in reversed(found)}


@gate
def find_study(name: str, folders: Sequence[Path] = (), /) -> Path:
    """The script of a study.

    Args:
        name: of a study in one of the folders or of the package, or the path of a script.
        folders: looked in first.

    Raises:
        ValueError: there is no such script.
    """
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise ValueError(f"there is no script {name!r}")
        return Path(name)
    known = study_paths(*folders)
    if name not in known:
        hint = near(name, known, otherwise="; see `kdtheory study --list`")
        raise ValueError(f"study {name!r} is not known{hint}")
    return known[name]


@gate
def study_title(script: Path, /) -> str:
    """The first line of a script's docstring; its name where there is none.

    Raises:
        ValueError: there is no such script, or it does not parse.
    """
    if not script.is_file():
        raise ValueError(f"there is no script {str(script)!r}")
    try:
        told = ast.get_docstring(ast.parse(script.read_bytes()))
    except SyntaxError as error:
        raise ValueError(f"{script} does not parse ({error.msg}, line {error.lineno})") from error
    except ValueError as error:  # zero bytes
        raise ValueError(f"{script} does not parse ({error})") from error
    return (told or script.stem).partition("\n")[0].strip()
