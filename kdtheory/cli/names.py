"""The meaning of a command line's words: names and patterns of claims, files, modules; or something else."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kdtheory import bibliography
from kdtheory._near import near, nearest
from kdtheory.catalogue import catalogue, described, in_order
from kdtheory.cli.app import printed_apart
from kdtheory.outside import load_claims, offered
from kdtheory.scripts import find_study, study_paths

if TYPE_CHECKING:
    from kdtheory.claims import Claim

__all__ = [
    "chosen_claims",
    "chosen_entries",
    "complete_cited",
    "complete_claims",
    "complete_studies",
    "known_study",
    "named_in",
    "unknown",
]

T = TypeVar("T")
Entry = dict[str, Any]
_KINDS: dict[str, tuple[Callable[[], Iterable[str]], str]] = {
    "claim": (lambda: catalogue()["claims"], "kdtheory show"),
    "study": (study_paths, "kdtheory study"),
    "function": (lambda: catalogue()["functions"], "kdtheory cite"),
    "source": (bibliography.keys, "kdtheory cite"),
}
"""Every kind of name: what there is of it, and the command that takes it."""


def chosen_entries(words: Sequence[str], chapter: int | None = None, *, told: bool = False) -> list[Entry]:
    """The declarations of the claims that are meant; the package's own are not imported.

    Args:
        words: names, patterns, files, modules; all claims where there are none.
        chapter: only those of it.
        told: whether a word that is none of these means the claims that have it in their statement.

    Raises:
        ValueError: a word means nothing, or nothing is left.
    """
    with printed_apart():
        known = dict(catalogue()["claims"]) | _entries(offered())
        found: list[Entry] = [] if words else _meant((), known, _loaded)
        for word in words:
            telling = [] if not told or word in known else _telling(word, known.values())
            found += telling or _meant([word], known, _loaded)
    return _of_chapter(found, chapter)


def chosen_claims(words: Sequence[str], chapter: int | None = None) -> list[Claim]:
    """The claims that are meant, in the order of their sections.

    Raises:
        ValueError: a word means nothing, or nothing is left.
    """
    own = catalogue()["claims"]

    def load(word: str) -> dict[str, Entry]:
        found = load_claims(word)
        outside.update({claim.name: claim for claim in found})
        return _entries(found)

    with printed_apart():
        outside = {claim.name: claim for claim in offered()}
        meant = _meant(words, {**own, **_entries(outside.values())}, load)
    entries = _of_chapter(meant, chapter)
    return [outside.get(entry["name"]) or _own(entry) for entry in entries]


def _own(entry: Entry) -> Claim:
    """The claim of this package that is declared so; its module is imported, and no other's: seconds less."""
    from kdtheory.claims import REGISTRY

    import_module(entry["module"])
    return REGISTRY[entry["name"]]


def named_in(words: Sequence[str], names: Iterable[str]) -> set[str]:
    """Those of a run's names that the words mean, by themselves or by the file or module that declares them.

    Raises:
        ValueError: a word means nothing, or a claim that the run has not.
    """
    known = {name: {"name": name} for name in names}
    if absent := [word for word in words if word not in known and word in catalogue()["claims"]]:
        raise ValueError(f"claim {absent[0]!r} is not among the {len(known)} of the run; verify it first")
    for word in words:
        if any(sign in word for sign in "*?[") and not fnmatch.filter(known, word):
            raise ValueError(f"no claim of the run has a name like {word!r}; it has {min(known)}, for one")
    return {entry["name"] for entry in _meant(words, known, _loaded)}


def _loaded(word: str) -> dict[str, Entry]:
    return _entries(load_claims(word))


def _entries(claims: Iterable[Claim]) -> dict[str, Entry]:
    return {claim.name: described(claim) for claim in claims}


def _meant(
    words: Sequence[str], known: Mapping[str, Entry], load: Callable[[str], Mapping[str, Entry]]
) -> list[Entry]:
    """The entries that the words mean: names, patterns, files and modules; all where there is no word."""
    found: list[Entry] = [] if words else list(known.values())
    for word in words:
        if not word.strip():
            raise ValueError(unknown("claim", word, known))
        if word in known:
            found.append(known[word])
        elif any(sign in word for sign in "*?["):
            matching = [known[name] for name in fnmatch.filter(known, word)]
            if not matching:
                raise ValueError(f"no claim's name is like {word!r}; see `kdtheory list`")
            found += matching
        elif Path(f"{word}.py").is_file():  # not whatever else may be imported by that name
            found += load(f"{word}.py").values()
        elif Path(word, "__init__.py").is_file():
            found += load(str(Path(word, "__init__.py"))).values()
        elif Path(word).is_dir():
            raise ValueError(f"{word} is a folder; name its files, as {Path(word, '*.py')}, or a package")
        elif "." in word:
            found += load(word).values()
        else:
            raise ValueError(unknown("claim", word, known))
    return found


def _telling(words: str, entries: Iterable[Entry]) -> list[Entry]:
    """The claims that have all of some words in name, statement or topic."""
    wanted = words.casefold().split()
    text = ("name", "statement", "topic")
    return [
        one
        for one in entries
        if all(word in " ".join(one[key] for key in text).casefold() for word in wanted)
    ]


def _of_chapter(entries: list[Entry], chapter: int | None) -> list[Entry]:
    chosen = [entry for entry in entries if chapter in (None, entry["chapter"])]
    if not chosen:
        there = sorted({(entry["chapter"], entry["topic"]) for entry in entries})
        titles = "; ".join(f"{number} {topic}" for number, topic in dict(there).items())
        which = "" if len(entries) == len(catalogue()["claims"]) else " that are meant"
        raise ValueError(f"chapter = {chapter} has none of the claims{which}; they are of {titles}")
    return in_order(chosen)


def known_study(word: str, folder: Path | None) -> Path:
    """The script of the study that is meant.

    Raises:
        ValueError: there is none; the message says what else the word is, or what is close.
    """
    folders = [folder] if folder else []
    if word.endswith(".py") or word in study_paths(*folders):
        return find_study(word, folders)
    if Path(f"{word}.py").is_file():
        return Path(f"{word}.py")
    raise ValueError(unknown("study", word, study_paths(*folders)))


def unknown(kind: str, word: str, known: Iterable[str]) -> str:
    """That a name is not known: what else it is, or what is close to it among its kind and the others."""
    said = f"{kind} {word!r} is not known"
    for other, (names, command) in _KINDS.items():
        if other != kind and word in names():
            return f"{said}: it is the name of a {other}; `{command} {word}`"
    if meant := near(word, known, count=3):
        return f"{said}{meant}"
    if kind == "claim" and word.isidentifier() and (spec := find_spec(word)) and spec.has_location:
        return f"{said}: it is the name of a module; name its file, {spec.origin}"
    for other, (names, command) in _KINDS.items():
        if other != kind and (close := nearest(word, names(), cutoff=0.8)):
            return f"{said}; did you mean the {other} {close[0]!r}? `{command} {close[0]}`"
    there = {"study": "kdtheory study --list", "claim": "kdtheory list"}.get(kind, "kdtheory list --json")
    return f"{said}; see `{there}`"


def complete_claims(incomplete: str) -> list[str]:
    """The names of claims that begin so, for the shell."""
    return [name for name in catalogue()["claims"] if name.startswith(incomplete)]


def complete_cited(incomplete: str) -> list[str]:
    """The names of what `cite` takes that begin so: claims, functions, sources."""
    known = [*catalogue()["claims"], *catalogue()["functions"], *bibliography.keys()]
    return [name for name in dict.fromkeys(known) if name.startswith(incomplete)]


def complete_studies(incomplete: str) -> list[str]:
    """The names of studies that begin so, for the shell."""
    return [name for name in study_paths() if name.startswith(incomplete)]
