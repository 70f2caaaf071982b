"""The papers that claims and functions cite, from one BibTeX file."""

from __future__ import annotations

import difflib
from functools import lru_cache
from importlib import resources

from bibtexparser.entrypoint import parse_string
from bibtexparser.middlewares import NameParts, SeparateCoAuthors, SplitNameParts
from bibtexparser.model import Entry

from kdtheory.doors import door

__all__ = ["bibtex", "citation", "keys"]


@lru_cache(maxsize=1)
def _entries() -> dict[str, Entry]:
    text = resources.files("kdtheory").joinpath("references.bib").read_text(encoding="utf-8")
    library = parse_string(text, append_middleware=[SeparateCoAuthors(), SplitNameParts()])
    if library.failed_blocks:
        raise ValueError(f"references.bib: {str(library.failed_blocks[0].raw).strip()[:80]!r} does not parse")
    return dict(library.entries_dict)


@door
def keys() -> tuple[str, ...]:
    """The keys of all entries, in the order of the file."""
    return tuple(_entries())


@door
def bibtex(key: str, /) -> str:
    """The BibTeX entry of `key`, as it stands in the file.

    Raises:
        ValueError: no entry has that key.
    """
    return str(_entry(key).raw).strip()


@door
def citation(key: str, /) -> str:
    """Authors and year, as a reader knows the paper.

    Raises:
        ValueError: no entry has that key.

    >>> citation("hinton2015distilling")
    'Hinton, Vinyals and Dean 2015'
    """
    fields = _entry(key).fields_dict
    names = [_family(author) for author in fields["author"].value]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{listed if len(names) <= 4 else f'{names[0]} et al.'} {fields['year'].value}"


def _family(author: NameParts) -> str:
    return " ".join([*author.von, *author.last])


def _entry(key: str) -> Entry:
    entries = _entries()
    if key not in entries:
        near = difflib.get_close_matches(key, entries, n=1) or [next(iter(entries))]
        raise ValueError(f"source {key!r} is not in the bibliography; did you mean {near[0]!r}?")
    return entries[key]
