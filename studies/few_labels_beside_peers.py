"""Limits from few labels beside those of other packages: how long, and how often below the truth.

Upper limits at δ = 0.05, all from the same draws of worlds whose truth is known (the line). A dot is the mean
limit, the number beside it the share of draws in which the limit was at least the truth: orange where that is
less than 95 % by more than chance makes (one in 10,000).

(a) err(s) from n labels and 50,000 points without: the joint limit; three limits at δ/3; the product of three
p-values (Fisher 1932); Clopper and Pearson's from the labels alone; and ppi-python, with and without its
tuned weight, and glide-py, which are limits of the central limit theorem. err(s) = 0.05, Pr[s ≠ t] = 0.047,
both wrong alike 0.006, s right alone 0.003. Where n is below 1,000 the number of unlabelled points at which
s ≠ t is rounded up to the next 50, which lengthens the joint limit.

(b) err(s) − err(t) = p₊ − p₋ from n labels, where the student alone errs with p₊ and the teacher alone with
p₋: the exact paired limit; a limit at δ/2 for each of the two chances; the normal limit; statsmodels' score
limit for two independent samples, and its exact one of the share of losses among the points where one errs,
as if their number were no chance: it has no limit of a paired difference.

(c) err(s) − err(t) from 100 labels where the two differ, and from 2,000 at random: they differ at 0.04 of all
points, the teacher is right at 0.6 of these, the student at 0.3.

To look at: where labels are few, limits of the central limit theorem are short and miss, at 200 labels in a
fifth of the draws or more; with 1,000 the exact joint limit costs little beside them. What treats the
number of points where one errs as no chance misses most where only the student errs.

The environment variable KDTHEORY_CODES is as in `conventions_of_codes`; the environment is called "peers" and
has ppi-python 0.2.3, glide-py 0.11.0 (which needs Python 3.12) and statsmodels 0.15.0. Without it the peers
are left out.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _environments import python_of
from joblib import Parallel, delayed
from scipy import stats

from kdtheory.bounds.few_labels import powered_upper_limit
from kdtheory.bounds.paired import difference_upper_limit
from kdtheory.bounds.where_they_differ import targeted_upper_limit
from kdtheory.plots import PALETTE, WIDTH, panel_letter
from kdtheory.streams import Stream

CLAIMS = ("what_compression_costs_has_an_exact_limit",)
CONFIG: dict[str, Any] = {
    "draws": 1000,
    "labels": (1000, 500, 200),
    "others": 50_000,
    "paired": ((0.02, 0.01, 1000), (0.005, 0.005, 300), (0.01, 0.0, 200), (0.05, 0.05, 100)),
}
SMALL: dict[str, Any] = {"draws": 12, "labels": (200,), "others": 5000, "paired": ((0.01, 0.0, 200),)}
PANELS = 3
SIZE = (WIDTH, 9.0)

_PINS = ("ppi-python==0.2.3", "glide-py==0.11.0", "statsmodels==0.15.0")
DELTA = 0.05
ALIKE, ALONE, APART = 0.006, 0.003, 0.047
BOTH_WRONG = 0.03
DIFFER, LOST, WON = 0.04, 0.6, 0.3
_EXACT = 1000
_ROUNDED = 50
_PARTS = 60

_QUESTIONS = {
    "powered": "labels, and 50,000 points",
    "paired": "p₊, p₋ and labels",
    "targeted": "where the labels are",
}

Limits = dict[str, np.ndarray]


def run(
    stream: Stream, *, draws: int, labels: tuple[int, ...], others: int, paired: tuple[tuple[float, ...], ...]
) -> list[dict[str, Any]]:
    """Rows: a world and a method each, its mean limit, and how often it lay below the truth.

    Args:
        stream: where the draws come from.
        draws: in each world.
        labels: n of the worlds with unlabelled points.
        others: N.
        paired: p₊, p₋ and n of the worlds of paired differences.
    """
    truth: dict[str, float] = {"targeted": DIFFER * (LOST - WON)}
    given = {"delta": np.array(DELTA)}
    for place, n in enumerate(labels):
        rng, world = stream.child("powered", n).numpy(), f"powered{place}"
        cells = [ALIKE, ALONE, APART - ALONE, 1 - ALIKE - APART]
        counts, far = rng.multinomial(n, cells, draws)[:, :3], rng.binomial(others, APART, draws)
        given |= {world: counts, f"far{place}": far, f"sizes{place}": np.array([n, others])}
        truth[world] = APART + ALIKE - ALONE
    for place, (plus, minus, size) in enumerate(paired):
        rng, n, world = stream.child("paired", place).numpy(), int(size), f"paired{place}"
        counts = rng.multinomial(n, [plus, minus, BOTH_WRONG, 1 - plus - minus - BOTH_WRONG], draws)[:, :3]
        given |= {world: counts, f"paired_size{place}": np.array(n)}
        truth[world] = plus - minus
    with ThreadPoolExecutor(1) as beside:
        of_peers = beside.submit(_of_peers, given, len(labels), len(paired))
        limits = {
            f"powered{i}": _powered(given[f"powered{i}"], given[f"far{i}"], n, others)
            for i, n in enumerate(labels)
        }
        limits |= {f"paired{i}": _paired(given[f"paired{i}"], int(one[2])) for i, one in enumerate(paired)}
        limits["targeted"] = _targeted(stream, draws, others)
    for name, found in of_peers.result().items():
        world, _, method = name.partition(" ")
        limits[world][method] = found
    names = {f"powered{i}": f"{n:,} labels" for i, n in enumerate(labels)}
    names |= {f"paired{i}": f"{p:g}, {q:g}, {int(n):,} labels" for i, (p, q, n) in enumerate(paired)}
    return [
        _row(world.rstrip("0123456789"), names.get(world, "100 or 2,000 labels"), method, truth[world], found)
        for world, of in limits.items()
        for method, found in of.items()
    ]


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """For each kind of question a panel: mean limits, and coverages beside them."""
    titles = {"powered": "err(s)", "paired": "err(s) − err(t)", "targeted": "err(s) − err(t)"}
    for ax, letter, (question, title) in zip(axes, "abc", titles.items(), strict=True):
        shown, place, names = rows[rows["question"] == question], 0.0, {}
        for world, part in shown.groupby("world", sort=False):
            low, begin = float(part["truth"].iloc[0]), place
            for row in part.itertuples():
                color = PALETTE["vermillion"] if row.short else PALETTE["blue"]
                ax.plot(row.mean_limit, place, "o", color=color, markersize=4)
                ax.annotate(
                    f"{row.coverage:.3f}", (row.mean_limit, place), (6, -3), fontsize=7.5,
                    textcoords="offset points",
                )  # fmt: skip
                names[place] = row.method
                place += 1
            ax.plot([low, low], [begin - 0.4, place - 0.6], color=PALETTE["black"], linewidth=1)
            ax.text(low, begin - 0.5, f" {world}", fontsize=7.5, va="bottom")
            place += 1
        ax.set_yticks(list(names), list(names.values()), fontsize=7.5)
        ax.set_ylim(place - 0.5, -1.5)
        ax.set_xlim(0 if question != "powered" else 0.045, 1.28 * shown["mean_limit"].max())
        ax.grid(visible=False, axis="y")
        ax.set_xlabel(f"mean limit of {title}")
        panel_letter(ax, letter, _QUESTIONS[question])


def _row(question: str, world: str, method: str, truth: float, limits: np.ndarray) -> dict[str, Any]:
    given = limits[~np.isnan(limits)]
    missed = int((given < truth - 1e-12).sum())
    return {
        "question": question, "world": world, "method": method, "truth": truth, "draws": len(limits),
        "refused": len(limits) - len(given), "mean_limit": given.mean() if len(given) else np.nan,
        "missed": missed, "coverage": 1 - missed / len(given) if len(given) else np.nan,
        "short": bool(missed > stats.binom.isf(1e-4, len(given), DELTA)) if len(given) else False,
    }  # fmt: skip


def _each(limit: Callable[..., float], *columns: Any) -> np.ndarray:
    """A limit for each row of counts at δ; equal rows are computed once."""
    rows = np.column_stack(np.broadcast_arrays(*columns))
    distinct, which = np.unique(rows, axis=0, return_inverse=True)
    found = Parallel(n_jobs=-1)(delayed(limit)(*row, delta=DELTA) for row in distinct.tolist())
    return np.array(found)[which.reshape(-1)]


def _upper(count: np.ndarray, n: int, delta: float = DELTA) -> np.ndarray:
    """Clopper and Pearson's upper limit."""
    found: np.ndarray = np.where(count < n, stats.beta.isf(delta, count + 1, np.maximum(n - count, 1)), 1.0)
    return found


def _lower(count: np.ndarray, n: int, delta: float) -> np.ndarray:
    return 1 - _upper(n - count, n, delta)


def _powered(counts: np.ndarray, far: np.ndarray, n: int, others: int) -> Limits:
    rounded = far if n >= _EXACT else -(-far // _ROUNDED) * _ROUNDED
    alike, alone, both = counts.T
    third = DELTA / 3
    return {
        "joint limit": _each(powered_upper_limit, alike, alone, n, rounded, others),
        "product of three": _product_of_three(np.column_stack([alike, alone, far]), n, others),
        "three limits": _upper(alike, n, third) + _upper(far, others, third) - _lower(alone, n, third),
        "labels alone": _upper(alike + both, n),
    }


def _product_of_three(seen: np.ndarray, n: int, others: int) -> np.ndarray:
    """sup{θ + p₊ − p₋ : P₁P₂P₃ ≥ c}, −2 ln c the quantile of χ² of six degrees, in parts of ln c."""
    share = np.arange(_PARTS + 1)
    level = np.exp(-stats.chi2.isf(DELTA, 6) / 2 * share / _PARTS)
    alike, alone, far = (column[:, None] for column in seen.T)
    most = stats.beta.isf(level, alike + 1, n - alike)
    far_most = stats.beta.isf(level, far + 1, others - far)
    least = np.where(alone > 0, stats.beta.ppf(level, np.maximum(alone, 1), n - alone + 1), 0.0)
    first, second = (part.ravel() for part in np.meshgrid(share, share))
    kept = first + second <= _PARTS
    first, second = first[kept], second[kept]
    found: np.ndarray = (most[:, first] + far_most[:, second] - least[:, _PARTS - first - second]).max(1)
    return found


def _paired(counts: np.ndarray, n: int) -> Limits:
    lost, won, _ = counts.T
    plus, minus = lost / n, won / n
    spread = np.sqrt(np.maximum(plus + minus - (plus - minus) ** 2, 0.0) / n)
    return {
        "exact paired limit": _each(difference_upper_limit, lost, won, n),
        "two limits": _upper(lost, n, DELTA / 2) - _lower(won, n, DELTA / 2),
        "normal": plus - minus + float(stats.norm.isf(DELTA)) * spread,
    }


def _targeted(stream: Stream, draws: int, others: int) -> Limits:
    rng = stream.child("targeted").numpy()
    apart = rng.binomial(others, DIFFER, draws)
    few = rng.multinomial(100, [LOST, WON, 1 - LOST - WON], draws)
    many = rng.multinomial(2000, [DIFFER * LOST, DIFFER * WON, 1 - DIFFER * (LOST + WON)], draws)
    return {
        "100 where they differ": _each(targeted_upper_limit, few[:, 0], few[:, 1], 100, apart, others),
        "2,000 at random": _each(difference_upper_limit, many[:, 0], many[:, 1], 2000),
    }


def _of_peers(given: Mapping[str, np.ndarray], powered: int, paired: int) -> Limits:
    """The peers' limits of all draws, by world and method; none where they were not asked for."""
    by = shutil.which("python3.12") or sys.executable
    with python_of("peers", _PINS, by=by) as python, tempfile.TemporaryDirectory() as folder:
        if python is None:
            return {}
        draws, limits = Path(folder) / "draws.npz", Path(folder) / "limits.npz"
        np.savez(draws, **given, powered_worlds=powered, paired_worlds=paired)
        script = str(Path(__file__).with_name("_peers.py"))
        subprocess.run([python, script, str(draws), str(limits)], check=True)
        with np.load(limits) as found:
            return {name: found[name] for name in found.files}
