"""How much distillation lifts: maps over feature noise, single views, sample size and power.

Multi-view data with six classes in the orthogonal limit: networks, their ensemble, and students distilled
from it (T = 4); means over two training sets a cell, without intervals. Over the chance p of a foreign
feature and the share μ of single-view points, and over the number of training points n and the power q:
(a, c) the share of all views that students hold, and below it that of single networks; (b, d) the test
accuracy of students, of single nets, and the share of the gap between these and the ensemble that
students close. Framed: students at 0.99 or more that close 80 % or more, as the claim asks; its own world,
n = 360, is not among the cells. The norm of the noise patches is s ∝ n^{1/q} in (c, d), which keeps the
speed of memorising beside that of learning.

By views, students gain most where foreign features come and go and single views are rare: 0.33 to 0.44 at
p = 0.1 to 0.5 and μ ≤ 0.1. At p = 0 the gain is 0.06 and 0.05 there and grows with μ to 0.19; at p = 1 it is
0.22 and 0.33 there, and 0.07 and 0.12 at μ ≥ 0.2, less than at p = 0. By accuracy p = 0 asks least: single
networks are at 0.988 or more, and at μ ≥ 0.2 students reach 1.000 without the views. Students reach both
thresholds at p = 0 to 0.5 in all cells but two (μ = 0.1, p = 0: 61 %; μ = 0.4, p = 0.1: 74 %), and at p = 1
in one of four. Over n and q they do at q = 3 and 4, at q = 5 for n = 480 only, and nowhere at q = 6; at q = 2
all views are learned at once and there is no gap. A cell of two training sets near a threshold may fall on
either side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from kdtheory.experiments.multiview.comparisons import arms, replicated
from kdtheory.experiments.multiview.designs import CLASSES, Design
from kdtheory.plots import panel_letter
from kdtheory.streams import Stream

CLAIMS = ("feature_noise_lets_distillation_teach_every_view",)
CONFIG = {
    "chances": (0.0, 0.1, 0.3, 0.5, 1.0),
    "shares": (0.05, 0.1, 0.2, 0.4),
    "sizes": (120, 240, 480),
    "powers": (2, 3, 4, 5, 6),
    "members": 12,
    "students": 6,
    "replicates": 2,
}
SMALL = {
    "chances": (0.0, 0.3),
    "shares": (0.2, 0.4),
    "sizes": (60, 120),
    "powers": (2, 4),
    "members": 3,
    "students": 2,
    "replicates": 1,
}
PANELS = 4

REACHED, CLOSED = 0.99, 0.8
"""The thresholds of the claim for students: test accuracy, and share of the gap closed."""

_NAMES = {"views_single": "all views, single", "views_distilled": "all views, distilled"}

# Steps on labels and starts at each power: a race z' = z^{q−1} from a smaller start takes longer.
_RACES = {2: (150, 1e-4), 3: (150, 0.002), 4: (200, 0.01), 5: (270, 0.02), 6: (400, 0.025)}


def run(
    stream: Stream,
    *,
    chances: Sequence[float],
    shares: Sequence[float],
    sizes: Sequence[int],
    powers: Sequence[int],
    members: int,
    students: int,
    replicates: int,
) -> list[dict[str, Any]]:
    """Rows: map, its two axes, and what was measured there."""
    counts = {"members": members, "students": students, "replicates": replicates}
    rows = []
    for share in shares:
        for chance in chances:
            design = CLASSES.in_world(noise_chance=chance, single_view=share)
            found = _measured(design, stream.child("noise", str(share), str(chance)), counts)
            rows.append({"map": "noise", "mu": share, "p": chance, **found})
    for size in sizes:
        for power in powers:
            found = _measured(_sized(size, power), stream.child("power", size, power), counts)
            rows.append({"map": "power", "n": size, "q": power, **found})
    return rows


def _sized(size: int, power: int) -> Design:
    steps, std = _RACES[power]
    recipe = replace(
        CLASSES.plan, n=size, recipe=CLASSES.plan.recipe.but(steps=steps), student_steps=2 * steps + 100
    )
    norm = 1.8 * (size / 240) ** (1 / power)
    return replace(CLASSES, power=power, init_std=std, plan=recipe).in_world(noise_norm=norm)


def _measured(design: Design, stream: Stream, counts: dict[str, int]) -> dict[str, float]:
    n = design.plan.n
    alone = design.world.single_view * n / 12
    if abs(alone - round(alone)) > 1e-9:  # the next size at which the shares are whole numbers
        n = round(240 * 0.2 / design.world.single_view)
        design = replace(design, plan=replace(design.plan, n=n))
    found = arms(replicated(design, stream, **counts))
    named = {_NAMES.get(name, name): float(values.mean()) for name, values in found.items()}
    return {"points": n, **named}


@dataclass(frozen=True)
class Kind:
    """The texts in the cells of a map; the first of `columns` is also their colour, from `low` to 1."""

    columns: tuple[str, ...]
    text: Callable[..., str]
    low: float
    label: str


def _view_text(student: float, single: float) -> str:
    return f"{student:.2f}\n{single:.2f}"


def _accuracy_text(student: float, single: float, closed: float) -> str:
    share = "no gap" if closed != closed else f"{100 * closed:.0f} %"
    return f"{student:.3f}\n{single:.3f}\n{share}"


VIEWS = Kind(("all views, distilled", "all views, single"), _view_text, 0.0, "views that students hold")
ACCURACIES = Kind(("distilled", "single", "closed"), _accuracy_text, 0.93, "test accuracy of students")


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Views and accuracies over feature noise above, over size and power below."""
    gap = (rows["ensemble"] - rows["single"]).where(rows["ensemble"] > rows["single"])
    rows = rows.assign(closed=(rows["distilled"] - rows["single"]) / gap)
    power = rows[rows["map"] == "power"].assign(across=lambda own: own["q"].map("{:g}".format))
    noise = rows[rows["map"] == "noise"].assign(across=lambda own: own["p"].map("{:g}".format))
    views = "views held by students (above)\nand single networks (below)"
    accuracies = "accuracy of students, of single nets,\ngap closed (framed: both high)"
    for ax, letter, title, part, y in zip(
        axes, "abcd", (views, accuracies) * 2, (noise, noise, power, power), ("mu", "mu", "n", "n"),
        strict=True,
    ):  # fmt: skip
        _draw_map(ax, part, y, VIEWS if title is views else ACCURACIES)
        panel_letter(ax, letter, title)
        ax.set_xlabel("power q" if y == "n" else "chance p of a foreign feature")
        ax.set_ylabel("training points n" if y == "n" else "share μ of single views")


def _draw_map(ax: Any, part: pd.DataFrame, down: str, kind: Kind) -> None:
    """The first number gives the colour; a frame where students reach both thresholds of the claim."""
    order = list(dict.fromkeys(part["across"]))
    first, *_ = tables = [
        part.pivot_table(index=down, columns="across", values=name, dropna=False)[order]
        for name in kind.columns
    ]
    image = ax.imshow(first, origin="lower", aspect="auto", cmap="viridis", vmin=kind.low, vmax=1.0)
    ax.get_figure(root=True).colorbar(image, ax=ax, label=kind.label)
    reached = part.assign(reached=(part["distilled"] >= REACHED) & (part["closed"] >= CLOSED))
    framed = reached.pivot_table(index=down, columns="across", values="reached", dropna=False)[order]
    for i, j in np.argwhere(first.notna().to_numpy()):
        color = "black" if first.iloc[i, j] > kind.low + 0.55 * (1 - kind.low) else "white"
        values = [each.iloc[i, j] for each in tables]
        ax.text(j, i, kind.text(*values), ha="center", va="center", color=color, fontsize="small")
        if framed.iloc[i, j] == 1:
            ax.add_patch(Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, fill=False, edgecolor="black"))
    ax.set_xticks(range(len(order)), order)
    ax.set_yticks(range(len(first)), [f"{value:g}" for value in first.index])
    ax.grid(visible=False)
