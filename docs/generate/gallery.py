"""A page for each figure, made from the record of its study; and the gallery of all."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from generate.text import page, paragraphs, picture, prose, table
from kdtheory.catalogue import catalogue
from kdtheory.files import Record, read_json
from kdtheory.report.numerals import numeral, rows

FIGURES = Path(__file__).parents[2] / "figures"
_WIDTH = 640
"""Pixels of a thumbnail, for half the width of a page on a fine screen."""


@dataclass(frozen=True)
class Drawn:
    """A study's figure and how it was made."""

    study: str
    title: str
    description: str
    claims: tuple[str, ...]
    made: Record


def drawn_figures() -> list[Drawn]:
    """Every figure under figures/, by name."""
    found = []
    for path in sorted(FIGURES.glob("*/run.json")):
        made = read_json(path)
        told = (str(made["title"]), str(made["description"]), tuple(made["claims"]))
        found.append(Drawn(path.parent.name, *told, made))
    return found


def write(drawn: Sequence[Drawn]) -> None:
    """The gallery, a page for each figure, and the pictures."""
    known = catalogue()["claims"]
    for one in drawn:
        _pictures(one)
        page(f"figures/{one.study}.md", _figure(one, [name for name in one.claims if name in known]))
    about = [one for one in drawn if one.claims]
    further = [one for one in drawn if not one.claims]
    names = "\n".join(f"figures/{one.study}" for one in drawn)
    page(
        "gallery.md",
        "# Figures\n\nEvery figure is made by one script of `studies/`, with its table, its "
        "configuration and its seed beside it; `kdtheory study NAME` makes it again.\n\n"
        f"## Figures of claims\n\n{thumbnails(about)}\n\n## Benchmarks and worked examples\n\n"
        f"{thumbnails(further)}\n\n```{{toctree}}\n:hidden:\n\n{names}\n```\n",
    )


def thumbnails(drawn: Sequence[Drawn], above: str = "") -> str:
    """The figures as small pictures with their titles, each a link to its page."""
    cards = [
        f"[![{prose(one.title)}]({above}figures/{one.study}-small.png)]({above}figures/{one.study}.md)\n\n"
        f"[{prose(one.title)}]({above}figures/{one.study}.md)"
        for one in drawn
    ]
    inner = "\n\n".join(f"::::{{container}} card\n{card}\n::::" for card in cards)
    return f":::::{{container}} gallery\n{inner}\n:::::"


def _pictures(one: Drawn) -> None:
    folder = FIGURES / one.study
    for name in ("figure.svg", "table.csv"):
        if (folder / name).is_file():
            _copied(folder / name, picture(f"figures/{one.study}{Path(name).suffix}"))
    small = picture(f"figures/{one.study}-small.png")
    if not small.is_file() or small.stat().st_mtime < (folder / "figure.png").stat().st_mtime:
        with Image.open(folder / "figure.png") as whole:
            height = round(whole.height * _WIDTH / whole.width)
            whole.convert("RGB").resize((_WIDTH, height), Image.Resampling.LANCZOS).save(small, optimize=True)


def _copied(source: Path, target: Path) -> None:
    if not target.is_file() or target.stat().st_mtime < source.stat().st_mtime:
        shutil.copyfile(source, target)


def _figure(one: Drawn, claims: Sequence[str]) -> str:
    links = "\n".join(f"- [{prose(name.replace('_', ' '))}](../claims/{name}.md)" for name in claims)
    told = {key: one.made[key] for key in ("config", "versions") if one.made.get(key)}
    seconds = f", {numeral(one.made['seconds'])} seconds" if "seconds" in one.made else ""
    return "\n\n".join(
        part
        for part in (
            f"# {prose(one.title.rstrip('.'))}",
            f"```{{figure}} {one.study}.svg\n:alt: {' '.join(one.title.split())}\n:class: drawing\n```",
            paragraphs(one.description),
            f"## Claims it illustrates\n\n{links}" if links else "",
            f"## Make it again\n\n```sh\nkdtheory study {one.study}\n```",
            f"Seed {one.made['seed']}{seconds}. {{download}}`The numbers behind it <{one.study}.csv>`",
            "## How it was made",
            table(["what", "value"], [[prose(key), prose(value)] for key, value in rows(told)]),
        )
        if part
    )
