"""What a student learns of idle outputs, by where it starts and by what it is shown.

Nets of 32 hidden units learn the labels of 1,000 real images by their class outputs; five more outputs stay
idle. A student learns these five alone, on 1,000 inputs, and is never taught a class: its accuracy on new
images, by the class outputs, over where it started and over what the inputs were. Each dot is one teacher
with its student, 32 of them; bars are means with 95 % intervals. The dotted line is chance, the dashed one
the mean of the teachers.

The guess before the run was that a common start carries the classes over any noise around zero and over
images alike, and that a common last layer carries nothing. Neither came out so. The teacher's images carry
half of what noise does, for what they share is mostly one direction, that of their mean, as with noise in
[0, 1]: minus that mean they carry more than half as much again. A common last layer carries some: to say the
same by its idle outputs the student's hidden units have to come near the teacher's, and the class outputs of
that layer read them. With nothing in common the classes stay at chance, whatever is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kdtheory.experiments import Run
from kdtheory.experiments.sequences.idle_outputs import (
    another_start,
    centred_images,
    centred_noise,
    normal_noise,
    own_images,
    shared_head,
    shared_start,
    students_of_idle_outputs,
    uniform_noise,
)
from kdtheory.plots import PALETTE
from kdtheory.stats import mean_test
from kdtheory.streams import Stream

CLAIMS = (
    "idle_outputs_over_noise_teach_the_classes_from_a_shared_start",
    "imitation_from_a_shared_start_moves_with_the_teacher",
)
CONFIG: dict[str, Any] = {
    "starts": ("all", "last layer", "nothing"),
    "inputs": ("noise in [−1, 1]", "normal noise", "noise in [0, 1]", "its images", "minus their mean"),
}
SMALL: dict[str, Any] = {"starts": ("nothing",), "inputs": ("noise in [0, 1]",)}
PANELS = 1

STARTS = {"all": shared_start, "last layer": shared_head, "nothing": another_start}
"""What student and teacher have in common at the start."""
INPUTS = {
    "noise in [−1, 1]": centred_noise,
    "normal noise": normal_noise,
    "noise in [0, 1]": uniform_noise,
    "its images": own_images,
    "minus their mean": centred_images,
}
_COLORS = dict(zip(STARTS, ("blue", "orange", "black"), strict=True))


def run(
    stream: Stream, *, data: Path | None, starts: Sequence[str], inputs: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows: start, inputs, member, accuracy of the student and of its teacher."""
    measured = Run(stream, data=data, device="cpu")
    rows = []
    for shown in inputs:
        for start in starts:
            experiment = students_of_idle_outputs.given(start=STARTS[start], inputs=INPUTS[shown])
            found = experiment.rows(measured)
            rows += [
                {
                    "start": start,
                    "inputs": shown,
                    "member": member,
                    "accuracy": float(accuracy),
                    "accuracy_of_teacher": float(found.of_teacher[member]),
                    "chance": 1 / found.classes,
                }
                for member, accuracy in enumerate(found.accuracy)
            ]
    return rows


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """Accuracy over the inputs, a column of dots for each start."""
    shown = list(rows["inputs"].unique())
    for side, (start, line) in enumerate(rows.groupby("start", sort=False)):
        color = PALETTE[_COLORS[str(start)]]
        for place, (_, cell) in enumerate(line.groupby("inputs", sort=False)):
            at = place + 0.26 * (side - 1)
            values = 100 * cell["accuracy"].to_numpy()
            spread = np.linspace(-0.07, 0.07, len(values))
            ax.plot(at + spread, values, "o", color=color, markersize=2.5, alpha=0.5)
            test = mean_test(values)
            low, high = test.interval()
            ax.plot([at - 0.11, at + 0.11], [test.mean] * 2, color=color, linewidth=2)
            ax.vlines(at, low, high, color=color, linewidth=2)
        ax.plot([], [], "o", color=color, markersize=4, label=str(start))
    for level, style, word in (
        (rows["chance"].iloc[0], ":", "chance"),
        (rows["accuracy_of_teacher"].mean(), "--", "teachers"),
    ):
        ax.axhline(100 * level, color="0.4", linewidth=1, linestyle=style)
        ax.text(1.01, 100 * level, word, transform=ax.get_yaxis_transform(), va="center", color="0.4")
    ax.set_xticks(range(len(shown)), shown)
    ax.set_ylim(0, 119)
    ax.set_xlabel("what the student was shown")
    ax.set_ylabel("new images named right by outputs\nthat were never taught (%)")
    ax.legend(title="in common with the teacher at the start", loc="upper center", ncols=3)
