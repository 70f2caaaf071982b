"""The commands that make figures and pages: study, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kdtheory.cli.app import RUNS, app, out_console, printed_apart
from kdtheory.cli.layout import check_apart, item, prose
from kdtheory.cli.look import Bibliography, Words, read_bibliographies
from kdtheory.cli.names import complete_studies, known_study, named_in
from kdtheory.cli.where import Address, working_on
from kdtheory.files import latest_run, read_json, write_file
from kdtheory.progress import progress_bar
from kdtheory.scripts import study_paths, study_title

FIGURES = Path("figures")
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing while it runs.")]


@app.command(short_help="Make a figure and its table.")
def study(
    name: Annotated[
        str | None,
        typer.Argument(help="Name of a study, or the path of a script.", autocompletion=complete_studies),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="The studies there are, with titles.")] = False,
    small: Annotated[bool, typer.Option("--small", help="The small configuration: a look.")] = False,
    seed: Annotated[int, typer.Option(help="The integer that the study's stream depends on.")] = 0,
    studies: Annotated[
        Path | None, typer.Option(help="Folder of studies, beside studies/ and those of the package.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the figures: figures/, or runs/figures/ with --small.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of IDX files, or of mails, for a study.")] = None,
    cluster: Address = None,
    redraw: Annotated[
        bool, typer.Option("--redraw", help="Draw from the table there is; compute nothing.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Run a study: table.csv, figure.svg, figure.png, caption.md and run.json in a folder of its name."""
    if studies is not None and not studies.is_dir():
        raise ValueError(f"studies = {str(studies)!r} is no folder; give the one that holds the scripts")
    if listed:
        _list(studies, FIGURES)
        return
    if name is None:
        raise ValueError("no study is named; see `kdtheory study --list`, or give the path of a script")
    script = known_study(name, studies)
    place = out or (RUNS / "figures" if small else FIGURES)
    bar = progress_bar(_label(script, FIGURES, small or redraw), quiet=quiet)
    with working_on(cluster, quiet=quiet), bar, printed_apart():
        from kdtheory.study import redraw_study, run_study
        from kdtheory.study_script import load_study

        chosen = load_study(str(script))
        if redraw:
            rows = redraw_study(chosen, place)
        else:
            rows = run_study(chosen, place, seed=seed, small=small, data=data)
    out_console.print(rows.to_string(index=False, max_rows=40), highlight=False)
    prose(f"written to {escape(str(place / chosen.name))}")


def _list(folder: Path | None, figures: Path) -> None:
    paths = study_paths(*([folder] if folder else []))
    for name in sorted(paths):
        seconds = _seconds(name, figures)
        try:
            title = study_title(paths[name])
        except ValueError as error:  # one script that does not parse hides no other
            title = str(error)
        item((name,), {"": escape(title), "took": f"{seconds:,.0f} s" if seconds else ""})


def _label(script: Path, figures: Path, other: bool) -> str:
    """The study, and how long its figure took when it was made."""
    seconds = None if other else _seconds(script.stem, figures)
    return script.stem + (f" (took {seconds:,.0f} s when its figure was made)" if seconds else "")


def _seconds(name: str, figures: Path) -> float | None:
    try:
        seconds = read_json(figures / name / "run.json").get("seconds")
    except ValueError:  # it was never made, or the record is damaged: it is only said how long it took
        return None
    return seconds if isinstance(seconds, int | float) else None


@app.command(short_help="Make one offline HTML page of a run.")
def report(
    names: Words = None,
    run: Annotated[Path | None, typer.Option(help="Directory of a run; the newest under runs/.")] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Folder of the figures; figures/ where there is one.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The page; report.html in the run's directory.")] = None,
    papers_of_own: Bibliography = None,
    quiet: Quiet = False,
) -> None:
    """Make one self-contained HTML page from a run's records and the figures."""
    read_bibliographies(papers_of_own)
    source = run or latest_run(RUNS)
    if source is None:
        raise ValueError(
            f"there is no ended run under {RUNS}; run `kdtheory verify` first or name one by --run"
        )
    page = out or source / "report.html"
    check_apart(page, *(source / name for name in ("ledger.json", "run.json", "references.bib")))
    with progress_bar("report", quiet=quiet):
        from kdtheory.records import read_ledger
        from kdtheory.report import report as make_report

        only = named_in(names, [one.name for one in read_ledger(source)]) if names else ()
        made = figures or (FIGURES if FIGURES.is_dir() else None)
        write_file(page, make_report(source, made, only).encode())
    prose(f"written to {escape(str(page))}")
