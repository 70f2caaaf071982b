"""Where distillation lifts: maps over feature noise, single views, sample size and power.

Multi-view data with six classes in the orthogonal limit: networks, their ensemble, and students distilled
from it (T = 4), two training sets a cell. (a) The share of all views that the students hold, over the
chance p of a foreign feature and the share μ of single-view points: students gain most where foreign
features come and go, and least where they never do (p = 0). (b) The same over the number of training
points n and the power q. (c) The test accuracy of single networks over n and q: the steeper the race, the
fewer views, and at q = 2 all are learned at once. The norm of the noise patches is s ∝ n^{1/q}, which
keeps the speed of memorising beside that of learning. In each cell: the students' number above, that of
networks trained on labels below; in (c), single networks above, ensembles below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from kdtheory.claims.multiview.worlds import CLASSES, Design, comparisons, replicated
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
PANELS = 3

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
    recipe = replace(CLASSES.recipe, n=size, steps=steps, student_steps=2 * steps + 100)
    norm = 1.8 * (size / 240) ** (1 / power)
    return replace(CLASSES, power=power, init_std=std, recipe=recipe).in_world(noise_norm=norm)


def _measured(design: Design, stream: Stream, counts: dict[str, int]) -> dict[str, float]:
    n = design.recipe.n
    alone = design.world.single_view * n / 12
    if abs(alone - round(alone)) > 1e-9:  # the next size at which the shares are whole numbers
        n = round(240 * 0.2 / design.world.single_view)
        design = replace(design, recipe=replace(design.recipe, n=n))
    found = comparisons(replicated(design, stream, **counts))
    return {"points": n, **{name: float(values.mean()) for name, values in found.items()}}


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Three maps."""
    noise, power = rows[rows["map"] == "noise"], rows[rows["map"] == "power"]
    views = ("all views, distilled", "all views, single")
    key = "views held: students (above), trained on labels (below)"
    held = "share of all views that students hold"
    _draw_map(axes[0], noise, ("mu", "p"), views, label=held)
    _draw_map(axes[1], power, ("n", "q"), views, label=held)
    _draw_map(axes[2], power, ("n", "q"), ("single", "ensemble"), label="test accuracy of single networks")
    for ax, letter, title, x, y in zip(
        axes,
        "abc",
        (key, key, "test accuracy: single (above), ensemble (below)"),
        ("chance p of a foreign feature", "power q", "power q"),
        ("share μ of single views", "training points n", "training points n"),
        strict=True,
    ):
        panel_letter(ax, letter, title)
        ax.set_xlabel(x)
        ax.set_ylabel(y)


def _draw_map(
    ax: Any, part: pd.DataFrame, sides: tuple[str, str], cells: tuple[str, str], *, label: str
) -> None:
    """One number gives the colour and stands above the other."""
    down, across = sides
    top, bottom = (part.pivot_table(index=down, columns=across, values=name) for name in cells)
    low = 0.85 if cells[0] == "single" else 0.0
    image = ax.imshow(top, origin="lower", aspect="auto", cmap="viridis", vmin=low, vmax=1.0)
    ax.get_figure(root=True).colorbar(image, ax=ax, label=label)
    for i in range(top.shape[0]):
        for j in range(top.shape[1]):
            color = "black" if top.iloc[i, j] > low + 0.55 * (1 - low) else "white"
            text = f"{top.iloc[i, j]:.2f}\n{bottom.iloc[i, j]:.2f}"
            ax.text(j, i, text, ha="center", va="center", color=color, fontsize="small")
    ax.set_xticks(range(top.shape[1]), [f"{value:g}" for value in top.columns])
    ax.set_yticks(range(top.shape[0]), [f"{value:g}" for value in top.index])
    ax.grid(visible=False)
