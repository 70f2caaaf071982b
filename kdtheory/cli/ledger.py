"""The command that executes claims and judges them: verify."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import shlex
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from kdtheory import __version__
from kdtheory.cli.app import INTERRUPTED, MISTYPED, RUNS, Ended, app, err_console, out_console, printed_apart
from kdtheory.cli.layout import coloured, item, prose
from kdtheory.cli.look import AsJson, Bibliography, Chapter, Words, read_bibliographies
from kdtheory.cli.names import chosen_claims
from kdtheory.cli.where import Address, working_on
from kdtheory.files import SCHEMA
from kdtheory.progress import progress_bar

if TYPE_CHECKING:
    from kdtheory.claims import Claim, Plan
    from kdtheory.claims.finding import Finding, Ledger


@app.command("verify")
def verify_claims(
    names: Words = None,
    chapter: Chapter = None,
    tier: Annotated[str, typer.Option(help="quick or full: sample sizes, never what is claimed.")] = "quick",
    seed: Annotated[int, typer.Option(help="The integer that all random streams depend on.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes; -1 for all cores.")] = -1,
    cluster: Address = None,
    data: Annotated[Path | None, typer.Option(help="Folder of IDX files instead of the digits.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, …")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Directory of the run; a new one under runs/.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    mutants: Annotated[bool, typer.Option("--mutants", help="Run the planted mutants too.")] = False,
    power: Annotated[bool, typer.Option("--power", help="Find the errors that are noticed.")] = False,
    alpha: Annotated[float, typer.Option(help="Family-wise error rate of the ledger.")] = 0.05,
    papers_of_own: Bibliography = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing while it runs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Execute claims and judge them: the ledger. Exit 0 all as expected, 1 otherwise, 2 could not check."""
    read_bibliographies(papers_of_own)
    if resume and out is None:
        raise ValueError("--resume needs --out: name the directory of the run to go on with")
    start = time.perf_counter()
    bar = progress_bar("claims", lines=not as_json, quiet=quiet, patience=MISTYPED)
    with contextlib.ExitStack() as during:
        tell = during.enter_context(bar)
        claims = chosen_claims(names or [], chapter)  # which imports what they rest on
        tell(0, len(claims))
        during.enter_context(working_on(cluster, quiet=quiet or as_json))
        during.enter_context(printed_apart())
        from kdtheory.claims import Plan
        from kdtheory.ledger import check_how, exit_code
        from kdtheory.records import as_document
        from kdtheory.types import resolve_device

        resolve_device(device)
        check_how(jobs=jobs, alpha=alpha)  # before there is a directory, which would remember them
        plan = Plan(seed=seed, tier=tier, data=data, device=device, mutants=mutants, power=power)
        place = out or RUNS / f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%fZ}-{tier}-seed{seed}"
        ledger = _run(claims, plan, place, jobs=jobs, alpha=alpha, resume=resume, tell=tell)
    if as_json:
        typer.echo(json.dumps(as_document(ledger), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        for one in ledger:
            _print_finding(one)
        for text in [*_summary(ledger), _time(ledger, time.perf_counter() - start)]:
            prose(text)
        prose(f"recorded in {escape(str(place))}")
    raise typer.Exit(exit_code(ledger))


def _run(
    claims: list[Claim], plan: Plan, place: Path, *, jobs: int, alpha: float, resume: bool, tell: Any
) -> Ledger:
    from kdtheory.ledger import verify
    from kdtheory.records import RunDirectory

    asked = _asked(claims, plan, alpha)
    with _resumable(place), RunDirectory(place, asked, resume=resume) as directory:
        if there := len(directory.finished(claims)) + len(directory.outdated):
            _say_what_is_there(there, len(directory.outdated))
        return verify(claims, plan, jobs=jobs, alpha=alpha, directory=directory, progress=tell)


def _say_what_is_there(there: int, outdated: int) -> None:
    again = f"; {outdated} of them by other code than this, which are examined again" if outdated else ""
    err_console.print(f"{there} claims are examined already{again}", highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _resumable(place: Path) -> Iterator[None]:
    """Say how to go on, where the run in `place` ends before all claims are examined."""
    how = (
        f"what is finished is kept: go on with the same command, --out {shlex.quote(str(place))} and --resume"
    )
    try:
        yield
    except ChildProcessError as error:
        raise Ended(f"error {error}; {how}", 2) from error
    except KeyboardInterrupt as error:
        raise Ended(f"interrupted; {how}", INTERRUPTED) from error


def _asked(claims: list[Claim], plan: Plan, alpha: float) -> dict[str, Any]:
    """The settings of a run; a resumed run must ask the same. Reads the data once, at the door."""
    from kdtheory.datasets import load_images

    images = load_images(plan.data)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "seed": plan.seed,
        "tier": plan.tier,
        "alpha": alpha,
        "device": plan.device,
        "mutants": plan.mutants,
        "power": plan.power,
        "data": {"name": images.name, "digest": images.digest},
        "claims": [claim.name for claim in claims],
    }


def _print_finding(one: Finding) -> None:
    mark = f" [dim]{one.kind}[/]" if one.kind else ""
    mark += "" if one.as_expected else f" [bold red]≠ {one.expected.name}[/]"
    control = one.control.verdict.name + ("" if one.control.as_expected else " [bold red]≠[/]")
    cells = (f"{one.section:<5}" if out_console.is_terminal else one.section, one.name)
    below = {
        "verdict": coloured(one.verdict.name) + mark,
        "control": control,
        "": escape(one.evidence.key_figure),
    }
    if one.mutants:
        below["mutants"] = f"{one.mutants.killed}/{one.mutants.total}"
    if one.would_notice:
        below["would notice"] = escape(one.would_notice)
    item(cells, {**below, "took": f"{one.seconds:.1f} s"})


def _time(ledger: Ledger, seconds: float) -> str:
    """The time that the run took, and the sum over its claims."""
    worked = sum(one.seconds for one in ledger)
    return f"{seconds:.1f} s in all; the claims took {worked:.1f} s, side by side"


def _summary(ledger: Ledger) -> list[str]:
    from kdtheory.claims import Verdict
    from kdtheory.claims.finding import READ_LITERALLY

    counts = Counter(one.verdict for one in ledger)
    lines = [
        f"{counts[verdict]} {coloured(verdict.name)}: {verdict.value}"
        for verdict in Verdict
        if counts[verdict]
    ]
    decisions = f"{ledger.decisions} sampled decisions of claims and controls"
    lines.append(f"family-wise error ≤ {ledger.alpha:g} over {decisions} (Holm 1979)")
    if refuted := Counter(one.kind for one in ledger if one.kind and one.as_expected):
        lines += [f"{refuted['erratum']} of the refuted as expected are errata"]
        lines += [f"{refuted['reading']} {READ_LITERALLY}"] if refuted["reading"] else []
    if scored := [one.mutants for one in ledger if one.mutants]:
        killed, total = sum(one.killed for one in scored), sum(one.total for one in scored)
        unsure = sum(len(one.unsure) for one in scored)
        split = f"{killed - unsure} decided against, {unsure} only unsure"
        lines.append(f"mutation score {killed}/{total} ({killed / total:.0%}): {split}")
    otherwise = ", ".join(one.name for one in ledger.unexpected)
    lines += [f"otherwise than expected: {otherwise}"] if otherwise else []
    lines += [f"mutants that were not noticed: {escape(ledger.not_noticed)}"] if ledger.not_noticed else []
    return lines if otherwise or ledger.not_noticed else [*lines, "all as expected"]
