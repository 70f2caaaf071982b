"""A published network and its small sibling, certified by what they say of tones whose pitch is known.

The networks are CREPE's (Kim et al. 2018), full and tiny, as torchcrepe 0.0.24 ships them; they are run in an
environment of their own, and only files of logits come from there. Frames of tones are made here, by two
laws: *bins*, any pitch, and the question which of 360 bins of 20 cents it lies in; *notes*, pitches within 10
cents of a note, and which of 72 it is. On 10,000 frames of each both networks are compared; 2,000 more have
labels to draw hold-outs from. The truth is that of all 12,000, in grey its exact interval of 95 %.
*Distilled* is a student of a 1,600th of the full network's weights, which learned from what that one said of
3,000 other tones, and from no label. *Ten trees* are the first of a forest of 60 of scikit-learn's, their
teacher: both are known by files of probabilities alone.

Each call of `compare` has δ = 0.05 of its own: one without labels (agreement), one with 200 labels of frames
where the two differ, one with 1,000 labels at random; the latter two for 10 draws of the labels.

To look at: what 10,000 frames say of agreement without a label; what 200 labels where the two differ say of
the cost beside 1,000 at random, where the two differ seldom (notes) and often (bins). And the student, which
was guessed to err a little more than its teacher and errs less, so that its cost is negative. Why was not
looked into; a small network that hears nothing but tones may average what CREPE, made for music, says of
them.

The environment variable KDTHEORY_CODES is as in `conventions_of_codes`; without it there is the forest alone.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _environments import python_of
from _students import distilled, logits_of
from _tones import BINS, NOTES, Tones, made_tones, note_of, spectra
from torch import Tensor, nn

from kdtheory.bounds.paired import difference_upper_limit
from kdtheory.certify import certify_logits
from kdtheory.compare import Answers, compare, plan_labels
from kdtheory.datasets import read_logits
from kdtheory.inversion import binomial_upper_limit
from kdtheory.plots import PALETTE, legend_above, panel_letter
from kdtheory.streams import Stream

CLAIMS = (
    "agreement_is_certified_without_labels",
    "labels_where_two_networks_differ_say_what_the_student_costs",
    "few_labels_and_a_better_teacher_have_an_exact_joint_limit",
)
CONFIG: dict[str, Any] = {
    "points": 10_000,
    "others": 2_000,
    "taught": 3_000,
    "many": 10_000,
    "width": 24,
    "epochs": 10,
    "trees": 60,
    "draws": 10,
}
SMALL = {"points": 300, "others": 150, "taught": 200, "many": 100, "width": 4, "epochs": 1, "trees": 12,
         "draws": 2}  # fmt: skip
PANELS = 2
SIZE = (16 / 2.54, 4.6)

DELTA = 0.05
WHERE, AT_RANDOM = 200, 1_000
_PINS = ("torchcrepe==0.0.24", "torch==2.13.0")
_CLASSES = {"bins": BINS, "notes": NOTES}


@dataclass(frozen=True, eq=False)
class Pair:
    """What a student and its teacher said: logits n × k, or classes, of frames with labels."""

    name: str
    student: Tensor
    teacher: Tensor
    labels: np.ndarray


def run(
    stream: Stream,
    *,
    points: int,
    others: int,
    taught: int,
    many: int,
    width: int,
    epochs: int,
    trees: int,
    draws: int,
) -> list[dict[str, Any]]:
    """Rows: pair, line, draw of the labels, its value; and the truth with its interval.

    Args:
        stream: where tones, draws, starts come from.
        points: frames without labels, at which the two are compared.
        others: frames that hold-outs are drawn from.
        taught: frames that the full network teaches its student on, and that the forest learns.
        many: further frames at which what costs little is run.
        width: channels of the student.
        epochs: of the student.
        trees: of the forest.
        draws: of the labels.
    """
    count = points + others
    tones = {law: made_tones(law, stream.child("tones", law), count) for law in _CLASSES}
    rows: list[dict[str, Any]] = []
    with python_of("torchcrepe", _PINS) as python:
        if python is not None:
            lesson = made_tones("bins", stream.child("tones", "taught"), taught)
            more = made_tones("bins", stream.child("tones", "many"), many)
            said, rows = _crepe(python, tones, lesson, more)
            student = distilled(lesson, said.pop("full, taught"), width, epochs, stream)
            said["distilled, bins"], said["distilled, many"] = (
                logits_of(student, part) for part in (tones["bins"], more)
            )
            rows += _alone(said, tones["bins"], more, student)
            for question, name in (("bins", "tiny"), ("notes", "tiny"), ("bins", "distilled")):
                both = said[f"{name}, {question}"], said[f"full, {question}"]
                if question == "notes":  # the note that the likeliest bin lies in
                    both = tuple(torch.from_numpy(note_of(part.argmax(-1).numpy())) for part in both)
                pair = Pair(f"{name}, {question}", *both, getattr(tones[question], question))
                rows += _compared(pair, points, draws, stream.child("labels"))
    pair, more_rows = _forest(tones["notes"], points, taught, trees, stream)
    return [*rows, *more_rows, *_compared(pair, points, draws, stream.child("labels"))]


def _crepe(
    python: str, tones: Mapping[str, Tones], lesson: Tones, more: Tones
) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Logits by network and frames, and what they cost."""
    said, rows = {}, []
    frames = {**tones, "taught": lesson, "many": more}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "frames.npy", Path(folder) / "logits.npy"
        for kind, where in (("full", (*tones, "taught")), ("tiny", (*tones, "many"))):
            for name in where:
                np.save(source, frames[name].frames)
                script = Path(__file__).with_name("_pitch_networks.py")
                done = subprocess.run(
                    [python, str(script), kind, str(source), str(target)],
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                if done.returncode:
                    raise ValueError(f"torchcrepe failed: {done.stderr[-2000:]}")
                told = json.loads(done.stdout.splitlines()[-1])
                said[f"{kind}, {name}"] = torch.from_numpy(np.load(target, allow_pickle=False))
                for line in ("parameters", "seconds", "apart"):
                    rows.append({"pair": f"{kind}, {name}", "line": line, "value": told[line],
                                 "points": len(frames[name].frames)})  # fmt: skip
    return said, rows


def _alone(
    said: Mapping[str, Tensor], tones: Tones, more: Tones, student: nn.Module
) -> Iterator[dict[str, Any]]:
    """How often each network errs, and is off by more than a semitone's half, at all frames it was run at."""
    parameters = sum(part.numel() for part in student.parameters())
    yield {"pair": "distilled, bins", "line": "parameters", "value": parameters}
    for name in ("full", "tiny", "distilled"):
        asked = [(said[f"{name}, bins"], tones.places)]
        if f"{name}, many" in said:
            asked.append((said[f"{name}, many"], more.places))
        off = np.concatenate([logits.argmax(-1).numpy() - places for logits, places in asked])
        for line, wrong in (("error", np.abs(off) > 0.5), ("off by 50 cents", np.abs(off) > 2.5)):
            yield {"pair": f"{name}, bins", "line": line, "points": len(off), **_rate(wrong)}


def _rate(happened: np.ndarray) -> dict[str, float]:
    """A rate, and its exact interval of 95 %."""
    count, number = int(happened.sum()), len(happened)
    return {
        "value": count / number,
        "low": 1 - binomial_upper_limit(number - count, number, delta=0.025),
        "high": binomial_upper_limit(count, number, delta=0.025),
    }


def _truths(pair: Pair, student: np.ndarray, teacher: np.ndarray) -> Iterator[dict[str, Any]]:
    """How often the two differ and err, and what the student costs, at all frames, with intervals of 95 %."""
    wrong, amiss, number = student != pair.labels, teacher != pair.labels, len(student)
    lost, won = int((wrong & ~amiss).sum()), int((amiss & ~wrong).sum())
    cost = {
        "value": (lost - won) / number,
        "low": -difference_upper_limit(won, lost, number, delta=0.025),
        "high": difference_upper_limit(lost, won, number, delta=0.025),
    }
    rates = {"apart": _rate(student != teacher), "cost": cost, "error": _rate(wrong), "teacher": _rate(amiss)}
    for of, rate in rates.items():
        yield {"pair": pair.name, "of": of, "line": "truth", "points": number, **rate}


def _compared(pair: Pair, points: int, draws: int, stream: Stream) -> Iterator[dict[str, Any]]:
    """The truth at all frames, and the lines of three calls, each at δ of its own."""
    student, teacher = (
        (part.argmax(-1) if part.ndim == 2 else part).numpy() for part in (pair.student, pair.teacher)
    )
    yield from _truths(pair, student, teacher)
    first = {
        "student": {"unlabelled": pair.student[:points]},
        "teacher": {"unlabelled": pair.teacher[:points]},
    }
    words: dict[str, Any] = {
        "fixed_in_advance": True,
        "delta": DELTA,
        "may_repeat": ("unlabelled", "holdout"),  # of a forest, which says few things
        "may_share": [("holdout", "unlabelled")],
    }
    found = compare(first["student"], first["teacher"], **words)
    yield _line(pair, "apart", "agreement", found.lines["agreement"].value)
    for draw in range(draws):
        plan = plan_labels(student[:points], teacher[:points], labels=WHERE, seed=draw)
        rows = np.array(plan.indices)
        answers = Answers(plan, rows, pair.labels[rows])
        found = compare(first["student"], first["teacher"], answers=answers, **words)
        yield _line(pair, "cost", "where_they_differ", found.lines["where_they_differ"].value, draw)
        held = stream.child("held out", draw).numpy().permutation(len(student) - points)[:AT_RANDOM] + points
        both = [
            {**first[who], "holdout": part[held]}
            for who, part in (("student", pair.student), ("teacher", pair.teacher))
        ]
        found = compare(*both, holdout=pair.labels[held], **words)
        for of, line in (("cost", "cost"), ("error", "student_error"), ("error", "few_labels")):
            yield _line(pair, of, line, found.lines[line].value, draw)


def _line(pair: Pair, of: str, line: str, value: float, draw: int = 0) -> dict[str, Any]:
    return {"pair": pair.name, "of": of, "line": line, "value": value, "draw": draw}


def _forest(
    tones: Tones, points: int, taught: int, trees: int, stream: Stream
) -> tuple[Pair, list[dict[str, Any]]]:
    """A forest and its first ten trees, by the probabilities that they leave in files."""
    from sklearn.ensemble import RandomForestClassifier

    lesson = made_tones("notes", stream.child("tones", "forest"), taught)
    seed = int(stream.child("forest").numpy().integers(2**31))
    forest = RandomForestClassifier(trees, min_samples_leaf=2, random_state=seed)
    forest.fit(_fundamental(lesson), lesson.notes)
    each = np.zeros((len(tones.places), NOTES))
    small = each.copy()
    seen = _fundamental(tones)
    for place, tree in enumerate(forest.estimators_):
        each[:, forest.classes_] += tree.predict_proba(seen) / trees
        if place == 9:
            small = each * trees / 10
    with tempfile.TemporaryDirectory() as folder:
        said = []
        for name, probabilities in (("ten", small), ("forest", each)):
            file = Path(folder) / f"{name}.npy"
            np.save(file, probabilities)
            said.append(read_logits(file, probabilities=True))
    pair = Pair("ten trees, notes", said[0], said[1], tones.notes)
    held = slice(points, points + AT_RANDOM)
    found = certify_logits(said[1][held], tones.notes[held], fixed_in_advance=True, delta=DELTA,
                           may_repeat=("holdout",))  # fmt: skip
    return pair, [{"pair": "forest, notes", "line": "holdout", "value": found.lines["holdout"].value}]


def _fundamental(tones: Tones) -> np.ndarray:
    parts = np.split(tones.frames, range(2000, len(tones.frames), 2000))
    return np.concatenate([spectra(part)[:, 2].numpy() for part in parts])


_LINES = {
    "agreement": ("agreement, 10,000 frames, no label", "purple", "D"),
    "where_they_differ": ("200 labels where the two differ", "blue", "o"),
    "cost": ("1,000 labels at random", "orange", "s"),
    "student_error": ("hold-out of 1,000", "orange", "s"),
    "few_labels": ("1,000 labels, and 10,000 frames", "green", "^"),
}


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """What a student costs, and how often the two differ; how often it errs."""
    told = rows[rows["of"].notna()]
    _draw_limits(axes[0], told, ("apart", "cost"))
    axes[0].set_xlabel("how often they differ; what the student costs")
    panel_letter(axes[0], "a", "student against teacher")
    _draw_limits(axes[1], told, ("error",))
    axes[1].set_xlabel("how often the student errs")
    axes[1].set_yticklabels([])
    panel_letter(axes[1], "b", "the student's error")
    legend_above(axes[0], axes[1], columns=2)


def _draw_limits(ax: Any, rows: pd.DataFrame, of: tuple[str, ...]) -> None:
    pairs = list(dict.fromkeys(rows["pair"]))
    seen = set()
    for place, name in enumerate(pairs):
        part = rows[(rows["pair"] == name) & rows["of"].isin(of)]
        for _, truth in part[part["line"] == "truth"].iterrows():
            ax.plot([truth["low"], truth["high"]], [place, place], color="0.75", linewidth=9, zorder=1,
                    solid_capstyle="butt")  # fmt: skip
            ax.plot(truth["value"], place, "|", color=PALETTE["black"], markersize=12, zorder=3)
        for number, (line, (label, color, marker)) in enumerate(_LINES.items()):
            values = part.loc[part["line"] == line, "value"]
            if values.empty:
                continue
            height = place + 0.14 * (number % 4 - 1.5)
            shown = None if line in seen else label
            seen.add(line)
            ax.plot(values, [height] * len(values), marker, color=PALETTE[color], markersize=3.5, alpha=0.5,
                    label=shown)  # fmt: skip
    ax.set_yticks(range(len(pairs)), [name.replace(", ", ",\n") for name in pairs])
    ax.set_ylim(len(pairs) - 0.5, -0.5)
    if rows.loc[rows["of"].isin(of), "value"].min() >= 0:
        ax.set_xlim(left=0)
    else:
        ax.axvline(0, color="0.4", linewidth=0.8)
    ax.grid(visible=False, axis="y")
