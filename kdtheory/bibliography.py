"""The papers that claims and functions cite: those of the package's BibTeX file, and of files read beside it.

A source is the key of an entry, or `DERIVED`: the statement is the claim's own.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from kdtheory._near import near
from kdtheory.doors import gate

__all__ = ["DERIVED", "bibtex", "check_source", "citation", "keys", "own_entries", "read"]

DERIVED = "derived here"
"""The source of a statement that no paper has."""
_READ: dict[str, Any] = {}
_FROM: dict[str, Path] = {}
"""The entries of files of one's own, and the file of each."""


@lru_cache(maxsize=1)
def _own() -> dict[str, Any]:
    text = resources.files("kdtheory").joinpath("references.bib").read_text(encoding="utf-8")
    return _parsed(text, "references.bib")


def _parsed(text: str, where: str, cited: Collection[str] | None = None) -> dict[str, Any]:
    from bibtexparser.entrypoint import parse_string
    from bibtexparser.middlewares import SeparateCoAuthors, SplitNameParts

    library = parse_string(text, append_middleware=[SeparateCoAuthors(), SplitNameParts()])
    for block in library.failed_blocks:
        said = str(block.raw).strip()
        if cited is None or any(key in said for key in cited):
            raise ValueError(f"{where}: {said[:80]!r} does not parse, or has a key that is there already")
    return dict(library.entries_dict)


@gate
def read(path: str | Path, /) -> tuple[str, ...]:
    """Read a BibTeX file of one's own; its entries are known from then on in this process.

    An entry by a key of the package's is passed over where it is of the same paper; one that was read before
    from the same file is replaced.

    Returns:
        The keys of its entries.

    Raises:
        ValueError: the file cannot be read or does not parse, an entry lacks author or year, or has the key
            of another paper.
    """
    if not isinstance(path, str | Path):
        raise ValueError(f"path = {path!r} must be the path of a BibTeX file")
    return read_cited(path, None)


def read_cited(path: str | Path, cited: Collection[str] | None, /) -> tuple[str, ...]:
    """Read a BibTeX file for the sake of some keys; what is wrong with other entries does not matter."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"bibliography {str(path)!r} cannot be read ({error})") from error
    file, found = Path(path).resolve(), _parsed(text, str(path), cited)
    wrong = {key: why for key, entry in found.items() if (why := _fault(key, entry, file))}
    for key, why in wrong.items():
        if cited is None or key in cited:
            raise ValueError(f"{path}: {why}")
    kept = {key: entry for key, entry in found.items() if key not in wrong}
    _READ.update({key: entry for key, entry in kept.items() if key not in _own()})
    _FROM.update(dict.fromkeys(kept, file))
    return tuple(kept)


def _fault(key: str, entry: Any, file: Path) -> str | None:
    """Why an entry cannot be read, if it cannot."""
    if lacking := [name for name in ("author", "year") if name not in entry.fields_dict]:
        return f"entry {key!r} lacks {' and '.join(lacking)}"
    there = _own().get(key) or (_READ.get(key) if _FROM.get(key) != file else None)
    if there is None or there.raw.split() == entry.raw.split() or _titled(there) == _titled(entry) != "":
        return None
    return f"the key {key!r} is that of another entry; give it one of its own"


def _titled(entry: Any) -> str:
    """The letters and digits of a paper's title, by which two entries are seen to be of one paper."""
    title = entry.fields_dict.get("title")
    return "".join(filter(str.isalnum, str(title.value).casefold())) if title else ""


def keys() -> tuple[str, ...]:
    """The keys of all entries, in the order of the files."""
    return (*_own(), *_READ)


@gate
def own_entries(sources: Iterable[str], /) -> str:
    """The BibTeX of those of the sources that come from files of one's own; empty where none does.

    Raises:
        ValueError: what is given is no collection of texts.
    """
    if not isinstance(sources, Iterable):
        raise ValueError(f"sources = {sources!r} must be keys of sources, such as a tuple of texts")
    wanted = list(sources)
    if strange := [each for each in wanted if not isinstance(each, str)]:
        raise ValueError(f"sources holds {strange[0]!r}; give keys of sources, which are texts")
    return "\n\n".join(str(_READ[key].raw).strip() for key in sorted(set(wanted) & set(_READ)))


@gate
def bibtex(key: str, /) -> str:
    """The BibTeX entry of `key`, as it stands in the file; of `DERIVED` a comment that says so.

    Raises:
        ValueError: no entry has that key.
    """
    return f"% {DERIVED}" if _is_derived(key) else str(_entry(key).raw).strip()


@gate
def citation(key: str, /) -> str:
    """Authors and year, as a reader knows the paper.

    Raises:
        ValueError: no entry has that key.

    >>> citation("hinton2015distilling")
    'Hinton, Vinyals and Dean 2015'
    >>> citation("muller2019when")
    'Müller, Kornblith and Hinton 2019'
    """
    if _is_derived(key):
        return DERIVED
    fields = _entry(key).fields_dict
    names = [_letters(" ".join([*author.von, *author.last])) for author in fields["author"].value]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{listed if len(names) <= 4 else f'{names[0]} et al.'} {fields['year'].value}"


def _letters(name: str) -> str:
    """A name without the commands by which TeX writes letters that ASCII lacks."""
    if not set(name) & set("\\{"):
        return name
    from pylatexenc.latex2text import LatexNodes2Text

    return unicodedata.normalize("NFC", LatexNodes2Text().latex_to_text(name))


@gate
def check_source(key: str, /) -> None:
    """Raise unless `key` is a source.

    Raises:
        ValueError: no entry has that key, and it is not `DERIVED`.
    """
    if not _is_derived(key):
        _entry(key)


def _is_derived(key: str) -> bool:
    """Whether a key is no paper's, but says that a statement was derived here."""
    if not isinstance(key, str):
        raise ValueError(f"key = {key!r} must be a text")
    return key == DERIVED


def _entry(key: str) -> Any:
    entries = {**_own(), **_READ}
    if key not in entries:
        there = "; see `kdtheory list --json` for the sources there are"
        hint = near(key, [*entries, DERIVED], otherwise=there)
        raise ValueError(f"source {key!r} is not in the bibliography{hint}")
    return entries[key]
