"""The command that compares a student with its teacher, from files of logits or class numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kdtheory.cli._read import read_one_by_one
from kdtheory.cli.app import app
from kdtheory.cli.layout import check_apart, print_answer, prose
from kdtheory.files import write_json


@app.command("compare", short_help="Compare a student with its teacher, from files.")
def compare_files(
    fixed_in_advance: Annotated[
        bool,
        typer.Option(
            "--fixed-in-advance/--not-fixed-in-advance",
            help="Whether student, teacher, δ, margin and the number of planned labels were chosen without "
            "the points given here.",
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
    seed: Annotated[int, typer.Option(help="The integer that the plan's draw depends on.")] = 0,
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
    shared_rows: Annotated[
        bool, typer.Option("--shared-rows", help="Equal rows in both roles are chance, not one point.")
    ] = False,
    repeated_rows: Annotated[
        bool, typer.Option("--repeated-rows", help="Equal rows within a role are chance, not copies.")
    ] = False,
    unmet: Annotated[list[str] | None, typer.Option(help="What does not hold, as in `certify`.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Classes, terms, shares of δ, and what does not apply, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the JSON document here too.")] = None,
) -> None:
    """Say how often a student differs from its teacher and what that costs; plan which points to label.

    Exit 0 the margin is shown (without --margin: some certificate says something), 1 it is not, 2 could not
    check.
    """
    from kdtheory.cli._compared import check_pairs, guessed, new_plan, read_answers, read_files, ways_in_words
    from kdtheory.compare import compare

    check_pairs(
        {"--teacher-logits": teacher_logits, "--student-logits": student_logits, "--labels": labels},
        {"--unlabelled-teacher": unlabelled_teacher, "--unlabelled-student": unlabelled_student},
    )
    files = {
        "holdout": (student_logits, teacher_logits),
        "unlabelled": (unlabelled_student, unlabelled_teacher),
    }
    check_apart(out, labels, plan, answers, *files["holdout"], *files["unlabelled"])
    given = [labels, *files["holdout"], *files["unlabelled"]]
    with read_one_by_one(given, header=header, lines=not as_json) as read_one:
        read = read_files(files, labels, read_one, probabilities)
        to_label = new_plan(plan, label, read.student, read.teacher, seed, answers)
        guess = guessed(read.student, read.teacher, student_error, teacher_error)
        found = compare(
            read.student,
            read.teacher,
            holdout=read.labels,
            answers=None if answers is None else read_answers(plan, answers, header, read.names),
            fixed_in_advance=fixed_in_advance,
            unmet=unmet or (),
            delta=delta,
            margin=margin,
            most=most,
            may_share=[("holdout", "unlabelled")] if shared_rows else (),
            may_repeat=("holdout", "unlabelled") if repeated_rows else (),
        )
    document = found.to_json()
    if guess is not None:
        document["ways"] = ways_in_words(guess, found, label, margin, delta)
    if to_label is not None and plan is not None:
        write_json(plan, to_label.to_json())
    if out is not None:
        write_json(out, document)
    if as_json:
        typer.echo(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        print_answer(found.answer, read.told, everything=everything)
        if label is not None:
            prose(f"which points to label is in {escape(str(plan))}; give their classes with --answers")
        for line in document.get("ways", ()):
            prose(escape(str(line)))
    raise typer.Exit(int(not found.shown))
