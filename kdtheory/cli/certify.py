"""The command that certifies a teacher from files of logits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from kdtheory.cli._read import check_same_rows, read_one_by_one, told, with_mapping
from kdtheory.cli.app import app
from kdtheory.cli.layout import check_apart, print_answer
from kdtheory.files import write_file, write_json

if TYPE_CHECKING:
    from torch import Tensor

    from kdtheory.datasets import ReadArray

DOUBTED = ("independent", "one_law", "holdout_unseen", "unlabelled_unseen", "unlabelled_apart")
"""Those of `kdtheory.certify.ASSUMPTIONS` that may not hold of files of logits."""
SUFFIXES = (".pdf", ".png", ".svg")


@app.command("certify", short_help="Bound a network's error from files of logits.")
def certify_files(
    teacher_logits: Annotated[Path, typer.Option(help="On the labelled points: n × k.")],
    labels: Annotated[Path, typer.Option(help="Their class numbers, 0 to k − 1, or names of columns.")],
    fixed_in_advance: Annotated[
        bool,
        typer.Option(
            "--fixed-in-advance/--not-fixed-in-advance",
            help="Whether γ was chosen without the points that test; of a network that was chosen by them "
            "say --unmet holdout_unseen.",
        ),
    ],
    student_logits: Annotated[Path | None, typer.Option(help="The student's on the same points.")] = None,
    unlabelled_teacher: Annotated[Path | None, typer.Option(help="On unlabelled points: m × k.")] = None,
    unlabelled_student: Annotated[Path | None, typer.Option(help="The student's on those.")] = None,
    labels_role: Annotated[
        str, typer.Option(help="holdout: points that no network has seen; train: the training points.")
    ] = "holdout",
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            help="Whether text files begin with names; where not said, it is looked at.",
        ),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="The files hold probabilities, not logits.")
    ] = False,
    delta: Annotated[float, typer.Option(help="δ of all bounds together.")] = 0.05,
    gamma: Annotated[float, typer.Option(help="γ of the margin bounds, fixed beforehand.")] = 1.0,
    shared_rows: Annotated[
        bool, typer.Option("--shared-rows", help="Equal rows in both roles are chance, not one point.")
    ] = False,
    repeated_rows: Annotated[
        bool, typer.Option("--repeated-rows", help="Equal rows within a role are chance, not copies.")
    ] = False,
    unmet: Annotated[
        list[str] | None,
        typer.Option(help=f"What does not hold, and makes heuristics: {', '.join(DOUBTED)}."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Terms, shares of δ, and what does not apply, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
    figure: Annotated[Path | None, typer.Option(help="Draw the table: .svg, .png or .pdf.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the JSON document here too.")] = None,
) -> None:
    """Bound a teacher's error from logits in .npy, .npz, .csv, .tsv, .txt or .parquet files, term by term.

    Exit 0 some certificate says something, 1 none does, 2 could not check.
    """
    if figure is not None and figure.suffix.lower() not in SUFFIXES:
        raise ValueError(f"figure = {str(figure)!r} must end in one of {', '.join(SUFFIXES)}")
    unlabelled = unlabelled_teacher, unlabelled_student
    check_apart(out, teacher_logits, labels, figure, student_logits, *unlabelled)
    files = [teacher_logits, student_logits, *unlabelled, labels]
    with read_one_by_one(files, header=header, lines=not as_json) as read:
        given = _given(read, labels, (teacher_logits, student_logits), unlabelled, probabilities)
        from kdtheory.certify import certify_logits

        found = certify_logits(
            given.teacher,
            given.labels,
            student_logits=given.student,
            teacher_unlabelled=given.unlabelled[0],
            student_unlabelled=given.unlabelled[1],
            labels_role=labels_role,
            fixed_in_advance=fixed_in_advance,
            unmet=unmet or (),
            delta=delta,
            gamma=gamma,
            may_share=[(labels_role, "unlabelled")] if shared_rows else (),
            may_repeat=(labels_role, "unlabelled") if repeated_rows else (),
        )
    document = found.to_json()
    if out is not None:
        write_json(out, document)
    if figure is not None:
        from kdtheory.plots import certificates_figure

        write_file(figure, certificates_figure(found.to_frame(), form=figure.suffix.lower()[1:]))
    if as_json:
        typer.echo(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        print_answer(found.answer, given.told, everything=everything)
    raise typer.Exit(int(found.vacuous))


class _Given(NamedTuple):
    """What the files hold: logits, labels, logits of both on unlabelled points; and it all in words."""

    teacher: Tensor
    student: Tensor | None
    labels: Tensor
    unlabelled: tuple[Tensor | None, Tensor | None]
    told: list[str]


def _given(
    read: Callable[[Path], ReadArray],
    labels: Path,
    nets: tuple[Path, Path | None],
    unlabelled: tuple[Path | None, Path | None],
    probabilities: bool,
) -> _Given:
    from kdtheory.certify.by_logits import check_together
    from kdtheory.datasets import as_labels, as_logits, check_same_columns, settled

    names = "--student-logits", "--unlabelled-teacher", "--unlabelled-student"
    check_together(**dict(zip(names, (nets[1], *unlabelled), strict=True)))
    tables = {path: read(path) for path in (*nets, *unlabelled) if path}
    teacher, student, *others = (
        None if path is None else as_logits(path, tables[path], probabilities=probabilities)
        for path in (*nets, *unlabelled)
    )
    assert teacher is not None
    classes = next(filter(None, (table.names for table in tables.values())), None)
    check_same_columns({str(path): table.names for path, table in tables.items()})
    read_labels = read(labels)
    check_same_rows({**tables, labels: read_labels}, (*nets, labels), unlabelled)
    written = settled(labels, read_labels, len(teacher))
    truth = as_labels(labels, written, classes=classes)
    tables[labels] = with_mapping(written, truth, classes)
    return _Given(teacher, student, truth, (others[0], others[1]), [told(*one) for one in tables.items()])
