"""Whether any verdict depends on the seed: every claim and its control at many seeds.

Each claim and its control at the quick tier, at seeds 0 to 49 where that takes under 5 s and at 0 to 9 where
it takes longer, and at the full tier at two seeds; judged at the level that a whole ledger leaves to each
piece of evidence at worst (0.05 over two pieces a claim, Bonferroni). One row a claim: how often the claim
and its control came out as what, the seeds at which not as declared, the p-value of the least decided seed in
the declared direction (0 where no chance decides), the largest share of its tolerance that an identity or a
search used, the median seconds, and the commits at which the row was measured. `quick_seeds` and
`full_seeds` say how many seeds the table has got to.

Records are kept under runs/seeds, so that a run that was stopped goes on; one that is interrupted by Ctrl-C
(`timeout -s INT 3600 kdtheory study seeds_of_claims`) makes the table of what is there. A record holds the
digests of the claim's module and of all of kdtheory: it counts as long as the module is as it was, and where
the rest is not, the column `library` says "earlier".

To look at: what is left of the line in a, where a p-value is at the level, or right of it in b, did not come
out as declared at some seed; what is near a line may do so at seeds that were not tried. In a only evidence
that chance decides can be near, in b only identities and searches; claims that are not shown are further from
the line.
"""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

import kdtheory
from kdtheory.claims import REGISTRY, Claim, Plan, Verdict, judge
from kdtheory.claims.evidence import Evidence, Identity, Joint, WorstRatio, from_record
from kdtheory.files import Record, read_json, write_json
from kdtheory.ledger import examined
from kdtheory.plain import plain
from kdtheory.plots import PALETTE, WIDTH, panel_letter
from kdtheory.streams import Stream
from kdtheory.study import commit

CLAIMS: tuple[str, ...] = ()
CONFIG = {
    "claims": (), "quick": 50, "slow_quick": 10, "full": 2, "under_s": 5.0,
    "jobs": -1, "records": "runs/seeds",
}  # fmt: skip
SMALL = {
    "claims": ("kd_gradient_is_the_closed_form", "teacher_error_is_variance_plus_squared_bias"),
    "quick": 2, "slow_quick": 1, "full": 1, "under_s": 5.0, "jobs": 1, "records": None,
}  # fmt: skip
PANELS, ROWS = 2, 2
SIZE = (WIDTH, 9.2)
OTHERS = [1.0] * 500
LEVEL = 0.05 / (len(OTHERS) + 1)
_SHOWN, _DIGITS = 30, 12.0

Key = tuple[str, str, int]
"""Claim, tier, seed."""


@dataclass(frozen=True)
class _Found:
    """One record, judged: verdicts on the claim and its control, and their p-values in declared direction.

    Of several controls the one that came out otherwise, if one did, and the least decided.
    """

    verdicts: tuple[Verdict, Verdict]
    p_values: tuple[float, float]
    used: float
    seconds: float
    commit: str
    as_now: bool


def run(
    stream: Stream,
    *,
    claims: Sequence[str],
    quick: int,
    slow_quick: int,
    full: int,
    under_s: float,
    jobs: int,
    records: str | None,
) -> list[dict[str, Any]]:
    """One row per claim; seeds count from that of the study."""
    _code()  # as it is now, not as it may be when a long run ends
    chosen = [REGISTRY[name] for name in claims] or list(REGISTRY.values())
    found = _kept(chosen, records)
    first = stream.seed
    try:
        _measure(chosen, ("quick", range(first, first + 1)), found, jobs, records)
        _measure(chosen, ("quick", range(first, first + slow_quick)), found, jobs, records)
        fast = [claim for claim in chosen if found[claim.name, "quick", first].seconds < under_s]
        _measure(fast, ("quick", range(first, first + quick)), found, jobs, records)
        _measure(chosen, ("full", range(first, first + full)), found, jobs, records)
    except KeyboardInterrupt:
        pass  # what is there is told
    chosen.sort(key=lambda claim: (claim.order, claim.name))
    return [_row(claim, found) for claim in chosen]


def _measure(
    claims: Sequence[Claim],
    where: tuple[str, range],
    found: dict[Key, _Found],
    jobs: int,
    records: str | None,
) -> None:
    """Examine what is not there yet, seed by seed, the longest first, and keep each record at once."""
    tier, seeds = where
    for seed in seeds:
        missing = [claim for claim in claims if (claim.name, tier, seed) not in found]
        missing.sort(key=lambda claim: -_expected_seconds(claim, found))
        if not missing:
            continue
        for one in examined(missing, Plan(seed=seed, tier=tier, device="cpu"), jobs=jobs):
            claim = REGISTRY[one.name]
            told = {"module": _module_digest(claim), **_code(), "record": plain(one)}
            if records is not None:
                write_json(_place(records, tier, seed, claim.name), told)
            found[claim.name, tier, seed] = _judged(claim, told)


def _kept(claims: Sequence[Claim], records: str | None) -> dict[Key, _Found]:
    """The records that were measured with the claim's module as it is now."""
    found = {}
    for claim in claims:
        for path in Path(records).glob(f"*/*/{claim.name}.json") if records else ():
            told = read_json(path)
            if told["module"] == _module_digest(claim):
                tier, seed = path.parts[-3], int(path.parts[-2])
                found[claim.name, tier, seed] = _judged(claim, told)
    return found


def _place(records: str, tier: str, seed: int, name: str) -> Path:
    return Path(records) / tier / str(seed) / f"{name}.json"


def _expected_seconds(claim: Claim, found: Mapping[Key, _Found]) -> float:
    return max((one.seconds for (name, _, _), one in found.items() if name == claim.name), default=0.0)


def _judged(claim: Claim, told: Record) -> _Found:
    record, brings = told["record"], claim.control_brings
    premise = from_record(record["evidence"])
    controls = [from_record(one["evidence"]) for one in record.get("controls") or [record["control"]]]
    brought = [judge(control, others=OTHERS) for control in controls]
    return _Found(
        verdicts=(
            judge(premise, others=OTHERS),
            next((verdict for verdict in brought if verdict is not brings), brings),
        ),
        p_values=(_p_value(premise, claim.expect), max(_p_value(control, brings) for control in controls)),
        used=0.0 if claim.erratum else _used(premise),
        seconds=record["seconds"],
        commit=told["commit"],
        as_now=told["package"] == _code()["package"],
    )


def _p_value(evidence: Evidence, declared: Verdict) -> float:
    """Of evidence in parts that of the surest where one refutes, of the least sure where all must hold."""
    if declared is Verdict.REFUTED:
        return min(leaf.p_against for leaf in evidence.leaves.values())
    return evidence.p_in_favour


def _used(evidence: Evidence) -> float:
    """The largest share of its tolerance that an identity used, or of what it may fall short by a search."""
    shares = [0.0]
    for part in evidence.parts.values() if isinstance(evidence, Joint) else (evidence,):
        if isinstance(part, Identity) and part.tolerance > 0:
            shares.append(part.worst_error / part.tolerance)
        if isinstance(part, WorstRatio) and 0 < part.must_reach < 1:
            shares.append((1 - part.ratio / part.limit) / (1 - part.must_reach))
    return max(shares)


def _row(claim: Claim, found: Mapping[Key, _Found]) -> dict[str, Any]:
    row: dict[str, Any] = {"section": claim.section, "claim": claim.name, "otherwise": 0}
    mine = {(tier, seed): one for (name, tier, seed), one in found.items() if name == claim.name}
    for tier in ("quick", "full"):
        some = {seed: one for (its, seed), one in sorted(mine.items()) if its == tier}
        row[f"{tier}_seeds"] = len(some)
        for part, (name, declared) in enumerate(_declared(claim)):
            otherwise = [seed for seed, one in some.items() if one.verdicts[part] is not declared]
            row["otherwise"] += len(otherwise)
            row[f"{tier}_{name}"] = _counted([one.verdicts[part] for one in some.values()])
            row[f"{tier}_{name}_otherwise_at"] = " ".join(map(str, otherwise))
            row[f"{tier}_{name}_p"] = max((one.p_values[part] for one in some.values()), default=np.nan)
        row[f"{tier}_tolerance_used"] = max((one.used for one in some.values()), default=np.nan)
        row[f"{tier}_seconds"] = median(one.seconds for one in some.values()) if some else np.nan
    row["commits"] = _counted([one.commit[:7] for one in mine.values()])
    row["library"] = "as now" if all(one.as_now for one in mine.values()) else "earlier"
    return row


def _declared(claim: Claim) -> Iterator[tuple[str, Verdict]]:
    yield "claim", claim.expect
    yield "control", claim.control_brings


def _counted(values: Sequence[Verdict | str]) -> str:
    names = [value.name if isinstance(value, Verdict) else value for value in values]
    return ", ".join(f"{name} {number}" for name, number in Counter(names).most_common())


def _module_digest(claim: Claim) -> str:
    return _digest((Path(inspect.getfile(claim.relation)),))


@cache
def _code() -> dict[str, str]:
    """The digest of all modules, and the commit."""
    modules = tuple(sorted(Path(kdtheory.__path__[0]).rglob("*.py")))
    return {"package": _digest(modules), "commit": commit()}


@cache
def _digest(paths: tuple[Path, ...]) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()[:16]


def draw(axes: Sequence[Axes], rows: pd.DataFrame) -> None:
    """The claims that are nearest to being undecided on the left, nearest to their tolerance on the right."""
    parts = {
        f"{tier}_{part}_p": (colour, marker, f"{part}, {tier} tier")
        for tier, marker in (("quick", "o"), ("full", "D"))
        for part, colour in (("claim", PALETTE["blue"]), ("control", PALETTE["orange"]))
    }
    decided = np.log10(LEVEL / rows[list(parts)].astype(float).clip(lower=LEVEL * 10**-_DIGITS))
    _dots(axes[0], rows, decided, parts, nearest_first=decided.min(axis=1))
    axes[0].axvline(0, color=PALETTE["vermillion"], lw=1)
    axes[0].set_xlabel(f"least decided seed: powers of ten beyond {LEVEL:.1g}")
    pieces = int(2 * rows[["quick_seeds", "full_seeds"]].to_numpy().sum())
    panel_letter(
        axes[0], "a", f"{pieces - int(rows['otherwise'].sum()):,} of {pieces:,} verdicts as declared"
    )
    used = {
        f"{tier}_tolerance_used": (PALETTE["blue"], marker, f"claim, {tier} tier")
        for tier, marker in (("quick", "o"), ("full", "D"))
    }
    shares = rows[list(used)].astype(float)
    _dots(axes[1], rows, shares.clip(lower=1e-6), used, nearest_first=-shares.max(axis=1))
    axes[1].axvline(1, color=PALETTE["vermillion"], lw=1)
    axes[1].set_xscale("log")
    axes[1].set_xlabel("worst seed: share of the tolerance used")
    panel_letter(axes[1], "b", "what no chance decides")


def _dots(
    ax: Axes,
    rows: pd.DataFrame,
    values: pd.DataFrame,
    looks: Mapping[str, tuple[str, str, str]],
    *,
    nearest_first: pd.Series,
) -> None:
    order = nearest_first.sort_values(kind="stable").index[:_SHOWN][::-1]
    for column, (colour, marker, label) in looks.items():
        if values[column].isna().all():
            continue
        face = colour if marker == "o" else "none"
        ax.plot(
            values.loc[order, column], range(len(order)), marker,
            color=colour, mfc=face, ms=5, alpha=0.85, label=label,
        )  # fmt: skip
    names = [rows.loc[at, "claim"].replace("_", " ") for at in order]
    shown = [textwrap.shorten(name, 52, placeholder=" …") for name in names]
    ax.set_yticks(range(len(order)), shown, size=7.1)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
