"""The power of each claim: what breaks each of its parts, and the smallest error in its constant.

Every claim is examined at the quick tier with its controls, its mutants (wrong versions of the library that
it uses) and its power: the value of its central function is multiplied by 1 + e and by 1/(1 + e), for e of
1, 2, 4, 8, 15, 25, 50 and 100 percent, and the smallest e that changes the verdict is searched for. All are
judged as one ledger. The table has a row for each part of each claim: the controls and the mutants under
which that part is decided otherwise, those by which it is only left unsure, and the claim's errors. The
figure counts claims by that error: of a claim that says which directions matter, the larger of them; of
another, the smaller of both. "Not ×2" is none of them; "not measured" is a function whose value has no scale.

Records are kept under runs/power, so that a run that was stopped goes on; what other code has brought is
examined again.
One that is interrupted by Ctrl-C (`timeout -s INT 3600 kdtheory study power_of_claims`) makes the table of
what is there, and says "not run" of the other claims. Those that train networks for long come last.

To look at: how far to the left a chapter stands. Identities notice a percent; a bound with a loose constant
notices nothing unless one of its parts is tight, and says why.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kdtheory.claims import REGISTRY, Claim, Plan
from kdtheory.claims.examined import Examined
from kdtheory.claims.finding import Finding
from kdtheory.claims.power import ERRORS
from kdtheory.files import SCHEMA
from kdtheory.ledger import collate, examined
from kdtheory.records import RunDirectory
from kdtheory.streams import Stream

LAST = (
    "disagreement_transfers_a_certificate",
    "distillation_bound_covers_the_teacher",
    "distillation_forces_every_feature_in_the_printed_world",
    "empirical_kernels_tend_to_the_infinite_one",
    "ensembles_hold_the_views_that_single_networks_lack",
    "feature_noise_lets_distillation_teach_every_view",
    "kernels_of_smooth_nets_move_by_one_over_the_width",
    "on_gaussian_inputs_ensembles_and_distillation_bring_little",
    "on_shuffled_labels_nothing_is_learned",
    "one_limit_covers_the_sum_of_two_risks",
    "plain_networks_come_to_the_orthogonal_limit",
    "self_distillation_lies_between_one_network_and_the_ensemble",
    "single_networks_hold_one_view_of_each_label_and_memorise_the_rest",
    "training_the_average_is_not_an_ensemble",
    "wide_nets_train_like_their_linear_models",
)
"""Claims whose check takes more than five seconds, and a search runs it some ten times."""
CLAIMS = ()
CONFIG = {"claims": (), "jobs": 1, "records": "runs/power"}
SMALL = {
    "claims": ("kd_gradient_is_the_closed_form", "zero_relation_loss_does_not_mean_equal_logits"),
    "jobs": 1,
    "records": None,
}
NEVER, UNMEASURED, NOT_RUN = "not ×2", "not measured", "not run"


def run(
    stream: Stream, *, data: Path | None, claims: Sequence[str], jobs: int, records: str | None
) -> list[dict[str, Any]]:
    """Rows: section, claim, verdict, part, its verdict, what breaks it, and the errors that are noticed."""
    chosen = [REGISTRY[name] for name in claims] or [
        claim for claim in REGISTRY.values() if claim.relation.__module__.startswith("kdtheory.")
    ]
    plan = Plan(seed=stream.seed, data=data, device="cpu", mutants=True, power=True)
    found = _examined(chosen, plan, jobs, records)
    rows = [row for finding in (collate(found, plan) if found else ()) for row in _rows(finding)]
    there = {row["claim"] for row in rows}
    rows += [
        {"section": claim.section, "claim": claim.name, "verdict": NOT_RUN}
        for claim in chosen
        if claim.name not in there
    ]
    return sorted(rows, key=lambda row: (REGISTRY[row["claim"]].order, row["claim"]))


def _examined(claims: Sequence[Claim], plan: Plan, jobs: int, records: str | None) -> list[Examined]:
    """The claims examined, as many as there are when the run is stopped."""
    asked = {"schema": SCHEMA, "seed": plan.seed, "data": str(plan.data)}
    there = RunDirectory(Path(records), asked, resume=True) if records else None
    with there or contextlib.nullcontext():
        kept = there.finished(claims) if there else {}
        missing = [claim for claim in claims if claim.name not in kept]
        short, long = ([c for c in missing if (c.name in LAST) is last] for last in (False, True))
        try:
            for one in itertools.chain.from_iterable(
                examined(some, plan, jobs=jobs) for some in (short, long) if some
            ):
                kept[one.name] = one
                if there:
                    there.save(one)
        except KeyboardInterrupt:
            pass  # what is there is told
    return [kept[claim.name] for claim in claims if claim.name in kept]


def _rows(finding: Finding) -> list[dict[str, Any]]:
    power = finding.power
    assert power is not None
    errors = {way: UNMEASURED if power.because else _told(error) for way, error in power.notices.items()}
    return [
        {
            "section": finding.section,
            "claim": finding.name,
            "verdict": finding.verdict.name,
            "part": name,
            "part_verdict": part.verdict.name,
            "broken_by_controls": "; ".join(part.controls),
            "broken_by_mutants": "; ".join(part.mutants or ()),
            "left_unsure_by": "; ".join(part.unsure),
            "scaled": power.target,
            "declared": power.declared,
            "notices_more": errors.get("more", ""),
            "notices_less": errors.get("less", ""),
            "not_measured": power.because,
            "loose": finding.loose,
        }
        for name, part in finding.parts.items()
    ]


def _told(error: float | None) -> str:
    return NEVER if error is None else f"{error:.0%}"


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """Claims by chapter and by the smallest error that they notice."""
    claims = rows[rows.verdict != NOT_RUN].drop_duplicates("claim")
    levels = [*map(_told, ERRORS), NEVER, UNMEASURED]
    ranks = claims.apply(_rank, axis=1, levels=levels)
    chapters = claims.section.astype(str).str.split(".").str[0].astype(int)
    names = sorted(chapters.unique())
    counts = pd.crosstab(chapters, ranks).reindex(index=names, columns=range(len(levels)), fill_value=0)
    ax.imshow(counts, cmap="Blues", aspect="auto", vmin=0)
    ax.grid(visible=False)
    for y, line in enumerate(counts.to_numpy()):
        for x, count in enumerate(line):
            shade = "white" if count > counts.to_numpy().max() / 2 else "black"
            ax.text(x, y, str(count) if count else "·", ha="center", va="center", color=shade)
    ax.set_xticks(range(len(levels)), [level.replace(" ", "\n") for level in levels])
    ax.set_yticks(range(len(names)), [str(name) for name in names])
    ax.set_xlabel("smallest error in the scaled constant that is noticed")
    ax.set_ylabel("chapter")
    ax.set_title("claims by what they would notice", loc="left", fontsize="medium")


def _rank(row: pd.Series, levels: list[str]) -> int:
    """The worst of the declared directions, or the better of two that are only tried."""
    found = [levels.index(row[key]) for key in ("notices_more", "notices_less") if row[key] in levels]
    return max(found) if row.declared else min(found)
