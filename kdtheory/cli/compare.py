"""The command that compares a student with its teacher, from files of logits or class numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.markup import escape
from rich.table import Column, Table
from torch import Tensor

from kdtheory.cli.app import app, out_console
from kdtheory.cli.certify import COLOURS
from kdtheory.compare import (
    Answers,
    Comparison,
    Guess,
    LabelPlan,
    compare,
    labels_needed,
    plan_labels,
    ways_ahead,
)
from kdtheory.datasets import as_labels, as_logits, read_array, read_table, settled
from kdtheory.records import read_json, write_json


@app.command("compare")
def compare_files(
    fixed_in_advance: Annotated[
        bool,
        typer.Option(
            "--fixed-in-advance/--not-fixed-in-advance",
            help="Whether student, teacher, δ and margin were chosen without the points given here.",
        ),
    ],
    teacher_logits: Annotated[
        Path | None, typer.Option(help="On the labelled points: n × k, or n classes.")
    ] = None,
    student_logits: Annotated[Path | None, typer.Option(help="The student's on the same points.")] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Their class numbers; no network has seen them.")
    ] = None,
    unlabelled_teacher: Annotated[
        Path | None, typer.Option(help="On unlabelled points: N × k, or N.")
    ] = None,
    unlabelled_student: Annotated[Path | None, typer.Option(help="The student's on those.")] = None,
    margin: Annotated[
        float | None, typer.Option(help="What err(student) − err(teacher) is to be shown to be at most.")
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="With --label: write here which points to label. With --answers: that plan."),
    ] = None,
    label: Annotated[int | None, typer.Option(help="How many points to label where the two differ.")] = None,
    answers: Annotated[Path | None, typer.Option(help="Two columns: planned point, its class.")] = None,
    seed: Annotated[int, typer.Option(help="What the plan's draw hangs on.")] = 0,
    student_error: Annotated[
        float | None, typer.Option(help="A guess, to say what to expect beforehand.")
    ] = None,
    teacher_error: Annotated[float | None, typer.Option(help="A guess.")] = None,
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header", help="Whether text files begin with names; else it is looked at."
        ),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="The files hold probabilities, not logits.")
    ] = False,
    delta: Annotated[float, typer.Option(help="δ of all bounds together.")] = 0.05,
    most: Annotated[
        float | None, typer.Option(help="A level of disagreement to show class by class.")
    ] = None,
    unmet: Annotated[list[str] | None, typer.Option(help="What does not hold, as in `certify`.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the JSON document here too.")] = None,
) -> None:
    """Say how often a student differs from its teacher and what that costs; plan which points to label.

    Exit 0 the margin is shown (without --margin: some certificate says something), 1 it is not, 2 could not
    check.
    """
    _check_pairs(
        {"--teacher-logits": teacher_logits, "--student-logits": student_logits, "--labels": labels},
        {"--unlabelled-teacher": unlabelled_teacher, "--unlabelled-student": unlabelled_student},
    )
    files = {
        "holdout": (student_logits, teacher_logits),
        "unlabelled": (unlabelled_student, unlabelled_teacher),
    }
    student, teacher = (
        {
            role: _said(path, header, probabilities)
            for role, pair in files.items()
            if (path := pair[who]) is not None
        }
        for who in (0, 1)
    )
    if label is not None:
        _write_plan(plan, label, student, teacher, seed, answers)
    guess = _guess(student, teacher, student_error, teacher_error)
    found = compare(
        student,
        teacher,
        holdout=None if labels is None else _labels(labels, header, len(student["holdout"])),
        answers=None if answers is None else _answers(plan, answers, header),
        fixed_in_advance=fixed_in_advance,
        unmet=unmet or (),
        delta=delta,
        margin=margin,
        most=most,
    )
    document = found.to_json()
    if guess is not None:
        document["ahead"] = _ahead(guess, found, label, margin, delta)
    if out is not None:
        write_json(out, document)
    if as_json:
        typer.echo(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        _print(found)
        if label is not None:
            out_console.print(
                f"which points to label is in {plan}; give their classes with --answers", highlight=False
            )
        for line in document.get("ahead", ()):
            out_console.print(escape(str(line)), highlight=False)
    raise typer.Exit(int(not found.shown))


def _check_pairs(*groups: dict[str, Path | None]) -> None:
    for group in groups:
        lacking = [name for name, path in group.items() if path is None]
        if lacking and len(lacking) < len(group):
            raise ValueError(
                f"{', '.join(lacking)} lacking: {', '.join(group)} go together; give all or none"
            )
    if all(path is None for group in groups for path in group.values()):
        raise ValueError(
            "no file was given; give --teacher-logits, --student-logits and --labels, or unlabelled ones"
        )


def _said(path: Path, header: bool | None, probabilities: bool) -> Tensor:
    """Logits, or class numbers where there is one column."""
    read = read_table(path, header=header)
    if read.array.ndim == 1 or read.array.shape[1] == 1:
        return as_labels(path, read)
    return as_logits(path, read, probabilities=probabilities)


def _labels(path: Path, header: bool | None, points: int) -> Tensor:
    return as_labels(path, settled(path, read_table(path, header=header), points))


def _write_plan(
    plan: Path | None,
    label: int,
    student: dict[str, Tensor],
    teacher: dict[str, Tensor],
    seed: int,
    answers: Path | None,
) -> None:
    if plan is None or "unlabelled" not in student or answers is not None:
        raise ValueError(
            "label plans points among the unlabelled ones; give --plan FILE and both unlabelled files"
        )
    both = (_classes(said["unlabelled"]) for said in (student, teacher))
    write_json(plan, plan_labels(*both, labels=label, seed=seed).to_json())


def _classes(table: Tensor) -> np.ndarray:
    classes: np.ndarray = (table.argmax(-1) if table.ndim == 2 else table).numpy()
    return classes


def _answers(plan: Path | None, answers: Path, header: bool | None) -> Answers:
    if plan is None:
        raise ValueError("answers needs the plan they answer; give --plan FILE, which --label wrote")
    table = read_array(answers, header=header)
    if table.ndim != 2 or table.shape[1] != 2 or not bool((table == np.floor(table)).all()):
        raise ValueError(
            f"{answers} has shape {table.shape}; give two columns of whole numbers: point, class"
        )
    whole = table.astype(np.int64)
    return Answers(LabelPlan.from_json(read_json(plan)), whole[:, 0], whole[:, 1])


def _guess(
    student: dict[str, Tensor],
    teacher: dict[str, Tensor],
    student_error: float | None,
    teacher_error: float | None,
) -> Guess | None:
    if student_error is None and teacher_error is None:
        return None
    if student_error is None or teacher_error is None:
        raise ValueError("student_error and teacher_error are guessed together; give both, or neither")
    role = "unlabelled" if "unlabelled" in student else "holdout"
    apart = float((_classes(student[role]) != _classes(teacher[role])).mean())
    least, most = abs(student_error - teacher_error), student_error + teacher_error
    return Guess(student_error, teacher_error, min(max(apart, least), most))


def _ahead(
    guess: Guess, found: Comparison, label: int | None, margin: float | None, delta: float
) -> list[str]:
    """What each way should give with as many labels, and how many a margin needs."""
    labels, others = label or found.points.get("holdout", 100), found.points.get("unlabelled", 0)
    frame = ways_ahead(guess, labels=labels, unlabelled=others, delta=delta)
    lines = [
        f"with {labels:,} labels {row.way} alone should bound {row.of} by {row.expected:.4g}"
        + (" (the shortest)" if row.shortest else "")
        for row in frame.itertuples()
    ]
    if margin is not None:
        for way in ("cost", *(["where_they_differ"] if others else [])):
            needed = labels_needed(margin, guess, way=way, unlabelled=others, delta=delta)
            number = "no number of labels" if needed is None else f"about {needed:,} labels"
            lines.append(f"a margin of {margin:g} needs {number} by {way} alone")
    return lines


def _print(found: Comparison) -> None:
    points = ", ".join(f"{count:,} {role}" for role, count in found.points.items())
    table = Table(
        "line", "of", Column("at most", justify="right"), title=f"Student and teacher ({points} points)"
    )
    for column in ("kind", "terms"):
        table.add_column(column)
    table.add_column("δ", justify="right")
    for name, bound in found.lines.items():
        kind = f"[{COLOURS[bound.kind]}]{bound.kind}[/]" + (", [cyan]vacuous[/]" if bound.vacuous else "")
        terms = " + ".join(f"{escape(term)} {value:.4g}" for term, value in bound.terms.items() if value)
        table.add_row(name, escape(bound.what), f"{bound.value:.4g}", kind, terms, f"{bound.delta:.4f}")
    out_console.print(table)
    classes = Table("class", Column("points", justify="right"), Column("differ", justify="right"))
    for column in ("at most", "shown"):
        classes.add_column(column, justify="right")
    for j, one in found.classes.items():
        shown = "" if one.shown is None else "yes" if one.shown else "no"
        classes.add_row(str(j), f"{one.points:,}", f"{one.disagreements:,}", f"{one.limit:.4g}", shown)
    out_console.print(classes)
    for name, reason in found.skipped.items():
        out_console.print(f"[dim]{name} left out: {escape(reason)}[/]", highlight=False)
    for name, bound in found.lines.items():
        if unmet := [sentence for sentence, met in bound.assumptions.items() if not met]:
            out_console.print(
                f"[dim]{name} is a heuristic; it is not so that {escape('; '.join(unmet))}[/]",
                highlight=False,
            )
    out_console.print(escape(found.statement), highlight=False)
