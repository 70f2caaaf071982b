"""Claims from outside the package: of a file, a module, a package, or an installed one that offers them.

A distribution offers its claims by an entry point of the group `kdtheory.claims` that names a module. The
claims of a module are those that it declares; of a package, also those of its modules. Papers are read from
the BibTeX files that lie beside them.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from kdtheory import bibliography
from kdtheory.catalogue import catalogue
from kdtheory.doors import gate

if TYPE_CHECKING:
    from kdtheory.claims import Claim

__all__ = ["GROUP", "check_sources", "claims_in", "load_claims", "offered"]

GROUP = "kdtheory.claims"


@gate
def load_claims(source: str, /) -> tuple[Claim, ...]:
    """The claims of a Python file, of a module or of a package, in the order in which they are declared.

    A file is imported as Python would from its folder: what lies beside it can be imported, and a file of a
    package is that package's module.

    Args:
        source: the path of a file that ends in .py, or the dotted name of a module.

    Raises:
        ValueError: there is no such file or module, it cannot be imported, or it declares no claim, or one by
            the name of a claim of this package.
    """
    if not isinstance(source, str):
        raise ValueError(f"source = {source!r} must be a text: the path of a file, or the name of a module")
    module = _from_file(Path(source)) if source.endswith(".py") else _imported(source)
    found = claims_in(module)
    if not found:
        raise ValueError(f"{source} declares no claim; decorate a check by `kdtheory.claim`")
    if taken := [claim.name for claim in found if not _is_own(claim) and claim.name in catalogue()["claims"]]:
        raise ValueError(
            f"{source}: claim {taken[0]}: the name is taken by a claim of kdtheory; rename yours"
        )
    check_sources(found)
    return found


@gate
def claims_in(module: ModuleType, /) -> tuple[Claim, ...]:
    """The claims that a module declares; of a package, also those of its modules."""
    from kdtheory.claims import Claim

    modules = [module]
    if hasattr(module, "__path__"):
        below = pkgutil.walk_packages(module.__path__, f"{module.__name__}.")
        modules += [_imported(one.name) for one in below if not one.name.endswith(".__main__")]
    found = {
        id(value): value
        for one in modules
        for value in vars(one).values()
        if isinstance(value, Claim) and value.relation.__module__ == one.__name__
    }
    return tuple(found.values())  # each once, under however many names


def offered() -> tuple[Claim, ...]:
    """The claims that installed distributions offer.

    Raises:
        ValueError: what an entry point names cannot be imported, or declares no claim.
    """
    return tuple(claim for point in entry_points(group=GROUP) for claim in _offered_by(point))


def _offered_by(point: EntryPoint) -> tuple[Claim, ...]:
    try:
        return load_claims(point.value)
    except ValueError as error:
        by = f" of {point.dist.name}" if point.dist else ""
        raise ValueError(
            f"entry point {point.name!r}{by}, of the group {GROUP}: {error}; it must name a module that "
            "declares claims: mend the distribution, or uninstall it"
        ) from error


@gate
def check_sources(claims: Sequence[Claim], /) -> None:
    """Raise unless the bibliography, with the BibTeX files beside the claims, has all their sources.

    Raises:
        ValueError: a claim's source is in none of them, or one is no claim.
    """
    from kdtheory.claims import Claim

    for claim in claims:
        if not isinstance(claim, Claim):
            raise ValueError(
                f"claims holds {claim!r}, which is no Claim; decorate a check by `kdtheory.claim`"
            )
    cited = {claim.source for claim in claims}
    for path in sorted({path for claim in claims for path in _beside(claim)}):
        bibliography.read_cited(path, cited)
    for claim in claims:
        try:
            bibliography.check_source(claim.source)
        except ValueError as error:
            place = "kdtheory/references.bib" if _is_own(claim) else "a .bib file beside the claim"
            raise ValueError(
                f"claim {claim.name}: {error}; or put its entry into {place}, or write "
                f"source={bibliography.DERIVED!r}"
            ) from error


def _beside(claim: Claim) -> list[Path]:
    """The BibTeX files in the folder of a claim that is not of this package."""
    home = sys.modules.get(claim.relation.__module__)
    file = getattr(home, "__file__", None)
    if file is None or _is_own(claim):
        return []
    return list(Path(file).parent.glob("*.bib"))


def _is_own(claim: Claim) -> bool:
    """Whether a claim is of this package."""
    return claim.relation.__module__.partition(".")[0] == __name__.partition(".")[0]


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ValueError(f"there is no file {str(path)!r}")
    path = path.resolve()
    root, parts = path.parent, [] if path.stem == "__init__" else [path.stem]
    while (root / "__init__.py").is_file():
        root, parts = root.parent, [root.name, *parts]
    if not all(part.isidentifier() for part in parts):
        raise ValueError(f"{str(path)!r} is no name of a module; rename it to an identifier")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    module = _imported(".".join(parts))
    if (there := inspect.getsourcefile(module)) is None or Path(there).resolve() != path:
        raise ValueError(f"{str(path)!r} has the name of another module, {module.__name__}; rename it")
    return module


def _imported(name: str) -> ModuleType:
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # after all others, and for worker processes too
    try:
        return importlib.import_module(name)
    except BaseException as error:  # a script may end by itself, and a test module skip itself
        if isinstance(error, KeyboardInterrupt):
            raise
        if isinstance(error, ModuleNotFoundError) and error.name in _prefixes(name):
            raise ValueError(f"there is no module {name!r}") from error
        raise ValueError(f"{name} cannot be imported ({type(error).__name__}: {error})") from error


def _prefixes(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
