"""The commands that make figures and pages: study, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdtheory.cli.app import RUNS, app, err_console, out_console
from kdtheory.records import latest_run, write_file
from kdtheory.report import report as make_report
from kdtheory.study import load_study, redraw_study, run_study


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="Name of a study.")],
    small: Annotated[bool, typer.Option("--small", help="The configuration of seconds.")] = False,
    seed: Annotated[int, typer.Option(help="The integer that the study's stream hangs on.")] = 0,
    studies: Annotated[Path, typer.Option(help="Folder of the studies.")] = Path("studies"),
    out: Annotated[Path | None, typer.Option(help="Folder of the figures.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of IDX files, for a study of images.")] = None,
    redraw: Annotated[
        bool, typer.Option("--redraw", help="Draw from the table there is; compute nothing.")
    ] = False,
) -> None:
    """Run a study: table.csv, figure.svg, figure.png and run.json under figures/NAME/."""
    chosen = load_study(name, studies)
    place = out or (RUNS / "figures" if small else Path("figures"))
    with err_console.status(f"{name} …"):
        if redraw:
            rows = redraw_study(chosen, place)
        else:
            rows = run_study(chosen, place, seed=seed, small=small, data=data)
    out_console.print(rows.to_string(index=False, max_rows=40), highlight=False)
    out_console.print(f"written to {place / name}")


@app.command()
def report(
    run: Annotated[Path | None, typer.Option(help="Directory of a run; the newest under runs/.")] = None,
    figures: Annotated[Path, typer.Option(help="Folder of the figures.")] = Path("figures"),
    out: Annotated[Path | None, typer.Option(help="The page; report.html in the run's directory.")] = None,
) -> None:
    """Make one self-contained HTML page from a run's records and the figures."""
    source = run or latest_run(RUNS)
    if source is None:
        raise ValueError(
            f"there is no ended run under {RUNS}; run `kdtheory verify` first or name one by --run"
        )
    page = out or source / "report.html"
    write_file(page, make_report(source, figures if figures.is_dir() else None).encode())
    out_console.print(f"written to {page}")
