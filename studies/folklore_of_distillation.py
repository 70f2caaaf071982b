"""Folklore of distillation, on real images, each with what makes it true and what does not.

Every dot is one network (or one ensemble, one teacher with its students) of 24, of 40 where students learn of
noise or of a backdoor, that were trained from starts and, where they see few images, on images of their own;
steps were fixed beforehand. The pool has
1,000 images, students see 100 of them (200 where labels are wrong, 500 inputs where they are noise). The
guesses that were written down before the runs, and why some were wrong, stand with the claims.
(a) What each statement compares, in percentage points: as it is said (blue), and with the one thing that
turns it over (vermilion); bars are means. The axis is linear within one point and logarithmic beyond.
Dots are digits, crosses the images of `--data`. Steps and rates are those that were fixed for digits,
whatever the images: where crosses lie on the other side of 0 than dots, a statement ends there, or its
control does.
(b) Why the order of the wrong classes was guessed to be worth little: accuracy of students of n images,
above students of their labels, of all that their teacher says, with the wrong classes in even shares, in an
order of chance. Digits are filled, other images hollow. (c) A smoothed teacher (ε = 0.2) against one of
labels by the temperature of the students: for teachers as in the rest (circles) and for surer ones, trained
at four times the rate (squares). Digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from kdtheory.experiments import Run
from kdtheory.experiments.folklore.dynamics import (
    ADAM,
    DESCENT,
    errors_around_the_threshold,
    students_from_large_starts,
    students_with_and_without_the_square,
)
from kdtheory.experiments.folklore.inputs import (
    centred_noise,
    other_images,
    students_of_poisoned_teachers,
    uniform_noise,
)
from kdtheory.experiments.folklore.students import (
    SHARP,
    TEACHER,
    as_trained,
    students_of_few_images,
    students_of_few_images_again,
    students_of_rounded_logits,
    students_told_by_teachers,
    without_order,
)
from kdtheory.experiments.folklore.students import (
    SIZE as IMAGES,
)
from kdtheory.experiments.folklore.targets import (
    as_told,
    flat_rest,
    shuffled_rest,
    three_largest_and_a_flat_rest,
    three_largest_renormalised,
)
from kdtheory.experiments.folklore.wrong_labels import (
    EARLY,
    LONG,
    SHORT,
    calibration_of_ensembles,
    calibration_of_their_students,
    new_images,
    own_images,
    rounds_of_students,
    students_of_wrong_labels,
)
from kdtheory.plots import PALETTE, panel_letter
from kdtheory.streams import Stream

CLAIMS = (
    "what_a_teacher_gives_lies_in_the_order_of_the_wrong_classes",
    "the_three_largest_probabilities_are_enough",
    "logits_of_three_bits_are_enough",
    "adam_does_not_see_the_square_of_the_temperature",
    "plain_descent_without_the_square_learns_little",
    "a_smoothed_teacher_makes_a_worse_student",
    "students_can_be_taught_on_uniform_noise",
    "a_backdoor_travels_with_its_teacher",
    "a_student_repeats_the_wrong_labels_of_its_teacher",
    "soft_targets_remove_the_interpolation_peak",
    "an_ensemble_is_better_calibrated_than_its_members",
    "a_student_inherits_the_calibration_of_its_ensemble",
    "rounds_of_self_distillation_help",
    "distillation_ends_the_delay_of_grokking",
    "two_networks_of_one_recipe_disagree_as_often_as_they_err",
)
CONFIG: dict[str, Any] = {
    "statements": True,
    "sizes": (100, 300, 1000),
    "other_sizes": (100, 300),
    "temperatures": (1.0, 2.0, 4.0, 8.0),
}
SMALL = {"statements": False, "sizes": (20,), "other_sizes": (20,), "temperatures": ()}
PANELS = 3
ROWS = 3
SIZE = (16 / 2.54, 14.0)

_ARMS = {"all": as_told, "even shares": flat_rest, "order of chance": shuffled_rest}


def run(
    stream: Stream,
    *,
    data: Path | None = None,
    statements: bool,
    sizes: Sequence[int],
    other_sizes: Sequence[int],
    temperatures: Sequence[float],
) -> list[dict[str, Any]]:
    """Rows: data, panel, section, what is compared, under which condition, the member, and its value."""
    rows = []
    for source in [None] if data is None else [None, data]:
        one = Run(stream, data=source, device="cpu")
        panels = [
            _statements(one) if statements else (),
            _by_size(one, sizes if source is None else other_sizes),
            _by_temperature(one, temperatures if source is None else ()),
        ]
        rows += [
            {
                "data": one.images.name.partition("/")[0],
                **words,
                "member": place,
                "points": 100 * float(value),
            }
            for panel in panels
            for words, values in panel
            for place, value in enumerate(values)
        ]
    return rows


def _row(panel: str, section: str, what: str, condition: str, x: float = 0.0) -> dict[str, Any]:
    return {"panel": panel, "section": section, "what": what, "condition": condition, "x": x}


def _statements(run: Run) -> Iterator[tuple[dict[str, Any], Tensor]]:
    for section, what, pair in _pairs(run):
        for side, (condition, values) in zip(("as said", "otherwise"), pair.items(), strict=True):
            yield {**_row("statements", section, what, condition), "side": side}, values


def _told(run: Run, **settings: Any) -> Tensor:
    accuracy: Tensor = students_told_by_teachers.given(**settings).rows(run).accuracy
    return accuracy


def _pairs(run: Run) -> Iterator[tuple[str, str, Mapping[str, Tensor]]]:
    """The arms of each statement: as it is said, and with the one thing that turns it over."""
    labels = students_of_few_images.rows(run)
    yield (
        "10.1",
        "wrong classes shuffled − as they are",
        {
            name: _told(run, targets=shuffled_rest, teacher=teacher) - _told(run, teacher=teacher)
            for name, teacher in (("teacher", as_trained), ("teacher without order", without_order))
        },
    )
    yield (
        "10.2",
        "three largest − labels",
        {
            name: _told(run, targets=targets) - labels.accuracy
            for name, targets in (
                ("zeros", three_largest_renormalised),
                ("even rest", three_largest_and_a_flat_rest),
            )
        },
    )
    yield (
        "10.2",
        "rounded logits − logits",
        {
            name: students_of_rounded_logits.given(bits=bits).rows(run).accuracy - _told(run)
            for name, bits in (("3 bits", 3), ("1 bit", 1))
        },
    )
    yield (
        "10.3",
        "with T² − without, T = 8",
        {
            name: (lambda rows: rows.with_accuracy - rows.without_accuracy)(
                students_with_and_without_the_square.given(recipe=recipe).rows(run)
            )
            for name, recipe in (("Adam", ADAM), ("plain descent", DESCENT))
        },
    )
    yield (
        "10.4",
        "smoothed teacher − teacher",
        {
            name: _told(run, smoothing=0.2, students=2, **how) - _told(run, students=2, **how)
            for name, how in (
                ("T = 1", {"temperature": 1.0}),
                ("T = 8, sharp", {"temperature": 8.0, "recipe": SHARP}),
            )
        },
    )
    noise = {
        name: students_of_poisoned_teachers.given(inputs=inputs).rows(run)
        for name, inputs in (
            ("clean", other_images),
            ("in [0, 1]", uniform_noise),
            ("centred", centred_noise),
        )
    }
    yield (
        "10.5",
        "student of noise − teacher",
        {name: noise[name].accuracy - noise[name].of_teacher for name in ("in [0, 1]", "centred")},
    )
    yield (
        "10.6",
        "success of the mark",
        {name: noise[key].success for name, key in (("clean images", "clean"), ("centred noise", "centred"))},
    )
    yield from _of_wrong_labels(run)
    yield (
        "10.8",
        "error at width n − at n/2",
        {
            name: (lambda rows: rows.soft[:, 1] - rows.soft[:, 0])(
                errors_around_the_threshold.given(penalty=penalty).rows(run)
            )
            for name, penalty in (("least squares", 1e-9), ("ridge", 0.01))
        },
    )
    yield (
        "10.11",
        "taught − labels, half-way",
        {
            f"T = {temperature:g}": (lambda rows: rows.taught - rows.labels)(
                students_from_large_starts.given(temperature=temperature).rows(run)
            )
            for temperature in (1.0, 4.0)
        },
    )
    yield (
        "10.12",
        "disagreement − error",
        {
            name: (lambda other: _apart(labels, other))(
                students_of_few_images_again.given(first=first).rows(run)
            )
            for name, first in (("one training set", 0), ("disjoint sets", IMAGES))
        },
    )


def _apart(one: Any, other: Any) -> Tensor:
    apart: Tensor = (one.chosen != other.chosen).double().mean(-1) - 1 + (one.accuracy + other.accuracy) / 2
    return apart


def _of_wrong_labels(run: Run) -> Iterator[tuple[str, str, Mapping[str, Tensor]]]:
    yield (
        "10.7",
        "wrong labels repeated",
        {
            name: students_of_wrong_labels.given(steps=steps).rows(run).repeated
            for name, steps in (("stopped early", SHORT), ("to the end", LONG))
        },
    )
    yield (
        "10.9",
        "ECE of ensemble − of member",
        {
            name: (lambda rows: rows.ensemble - rows.single)(
                calibration_of_ensembles.given(steps=steps).rows(run)
            )
            for name, steps in (("stopped early", EARLY), ("to the end", LONG))
        },
    )
    yield (
        "10.9",
        "ECE of its student − of ensemble",
        {
            name: (lambda rows: rows.student - rows.ensemble)(
                calibration_of_their_students.given(points=points).rows(run)
            )
            for name, points in (("its own images", own_images), ("other images", new_images))
        },
    )
    yield (
        "10.10",
        "round 3 − round 0",
        {
            name: (lambda rows: rows.accuracy[-1] - rows.accuracy[0])(
                rounds_of_students.given(steps=steps).rows(run)
            )
            for name, steps in (("to the end", LONG), ("stopped early", 60))
        },
    )


def _by_size(run: Run, sizes: Sequence[int]) -> Iterator[tuple[dict[str, Any], Tensor]]:
    for size in sizes:
        labels = students_of_few_images.given(size=size).rows(run).accuracy
        for name, targets in _ARMS.items():
            yield _row("points", "10.1", name, "", size), _told(run, targets=targets, size=size) - labels


def _by_temperature(run: Run, temperatures: Sequence[float]) -> Iterator[tuple[dict[str, Any], Tensor]]:
    for name, recipe in (("teachers", TEACHER), ("sharp teachers", SHARP)):
        for temperature in temperatures:
            how = {"temperature": temperature, "recipe": recipe, "students": 2}
            gain = _told(run, smoothing=0.2, **how) - _told(run, **how)
            yield _row("smoothing", "10.4", name, "", temperature), gain


def draw(axes: np.ndarray, rows: pd.DataFrame) -> None:
    """The statements, the number of points, and the temperature, one below the other."""
    first = rows["data"].unique()[0]
    _draw_statements(axes[0], rows[rows["panel"] == "statements"], first)
    panel_letter(axes[0], "a", "as said, and with one thing changed")
    _draw_sizes(axes[1], rows[rows["panel"] == "points"])
    panel_letter(axes[1], "b", "what the wrong classes are worth")
    _draw_smoothing(axes[2], rows[(rows["panel"] == "smoothing") & (rows["data"] == first)])
    panel_letter(axes[2], "c", f"a smoothed teacher, by temperature ({first})")


def _draw_statements(ax: Any, rows: pd.DataFrame, first: str) -> None:
    names = list(dict.fromkeys(rows["what"]))
    colors = {"as said": PALETTE["blue"], "otherwise": PALETTE["vermillion"]}
    keys = ["data", "what", "side", "condition"]
    for key, own in rows.groupby(keys, sort=False):
        data, what, side, condition = map(str, key)
        lower = side == "otherwise"
        place = names.index(what) + (0.25 if lower else -0.25)
        marker = "." if data == first else "x"
        ax.plot(own["points"], np.full(len(own), place), marker, color=colors[side], alpha=0.45, markersize=5)
        ax.plot(own["points"].mean(), place, "|", color=colors[side], markersize=13, markeredgewidth=2)
        if data == first:
            ax.annotate(
                condition, (1, place), (-3, 0), ("axes fraction", "data"), "offset points",
                ha="right", va="center", fontsize=7.2, color=colors[side],
            )  # fmt: skip
    ax.axvline(0, color="gray", linewidth=0.8)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(-100, 5000)
    ax.set_xticks([-100, -10, 0, 10, 100], ["−100", "−10", "0", "10", "100"])
    ax.set_yticks(range(len(names)), names, fontsize=7.5)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlabel("percentage points")
    ax.set_ylabel("what is compared")


def _draw_sizes(ax: Any, rows: pd.DataFrame) -> None:
    colors = dict(zip(_ARMS, (PALETTE["blue"], PALETTE["green"], PALETTE["vermillion"]), strict=True))
    sizes = sorted(rows["x"].unique())
    for key, own in rows.groupby(["what", "data"], sort=False):
        what, name = map(str, key)
        filled = name == rows["data"].iloc[0]
        face = colors[what] if filled else "none"
        shift = 0.1 * (list(_ARMS).index(what) - 1) + (0.0 if filled else 0.04)
        places = own["x"].map(sizes.index) + shift
        ax.plot(places, own["points"], "o", color=colors[what], markerfacecolor=face, markersize=3, alpha=0.6)
        means = own.groupby("x")["points"].mean()
        ax.plot(
            [sizes.index(x) + shift for x in means.index], means, "-" if filled else "--",
            color=colors[what], label=f"{what}, {name}",
        )  # fmt: skip
    ax.axhline(0, color="gray", linewidth=0.8)
    ax.set_xticks(range(len(sizes)), [f"{int(size):,}" for size in sizes])
    ax.set_xlabel("images (its teacher saw 1,000)")
    ax.set_ylabel("accuracy above a student of labels, points")
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.3 * (high - low))  # the key stands above all points
    ax.legend(loc="upper right", fontsize=8, frameon=False, ncols=2)


def _draw_smoothing(ax: Any, rows: pd.DataFrame) -> None:
    temperatures = sorted(rows["x"].unique())
    styles = {"teachers": ("o", PALETTE["blue"], -0.08), "sharp teachers": ("s", PALETTE["purple"], 0.08)}
    for what, own in rows.groupby("what", sort=False):
        marker, color, shift = styles[str(what)]
        ax.plot(
            own["x"].map(temperatures.index) + shift,
            own["points"],
            marker,
            color=color,
            markersize=3,
            alpha=0.6,
        )
        means = own.groupby("x")["points"].mean()
        ax.plot([temperatures.index(x) + shift for x in means.index], means, "-", color=color, label=what)
    ax.axhline(0, color="gray", linewidth=0.8)
    ax.set_xticks(range(len(temperatures)), [f"{one:g}" for one in temperatures])
    ax.set_xlabel("temperature of the student")
    ax.set_ylabel("student of smoothed − of plain teacher, points")
    ax.legend(fontsize=8, frameon=False)
