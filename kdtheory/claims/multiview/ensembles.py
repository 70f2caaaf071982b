"""Chapter 7.2: an ensemble holds every view, and how often it does not."""

from __future__ import annotations

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Coverage, Equality, Evidence, Joint
from kdtheory.claims.multiview.single import ORTHOGONAL
from kdtheory.claims.wrong import arguments, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.multiview.designs import BINARY
from kdtheory.experiments.multiview.networks import ensembles_of_eight_networks
from kdtheory.multiview import missed_share, missed_view_probability
from kdtheory.risk import accuracy


@claim(
    section="7.2",
    formula=r"\Pr[\bar F_N \text{ misses a view of a label}] = (1/2)^{N-1},\quad"
    r"\Pr[\arg\max \bar F_N = y] \to 1",
    source="allenzhu2020towards",
    place="derived here",
    assumes=(ORTHOGONAL,),
    experiment=ensembles_of_eight_networks,
    control=(
        Control(
            "no training point lacks a view (μ = 0): there is nothing to gain",
            design=BINARY.in_world(single_view=0.0),
        ),
        Control("networks that hold both views are counted too", holding=(1, 2)),
    ),
    mutants=(
        Mutant("(1/2)^N for (1/2)^{N−1}", missed_view_probability, arguments(lambda members: members + 1)),
        Mutant("only one of the two views can be missed", missed_share, scaled(0.5)),
        Mutant("the least likely class", accuracy, arguments(lambda logits, labels: (-logits, labels))),
    ),
    power=Scaled(missed_view_probability),
    cost=4,
)
def ensembles_hold_the_views_that_single_networks_lack(rows: Rows, /) -> Evidence:
    """In the notes' world the mean of the logits of 8 networks has test accuracy 0.99 or more, at least 0.05
    above that of single networks, and the chance that N networks, each with exactly one view of a label, miss
    its other view is (1/2)^{N−1}.

    Exact binomial tests: fewer than one ensemble in five below 0.99, and fewer than one in five with a gain
    below 0.05. Missed views at N = 2 and 3 within 10 and 30 % of the closed form, which holds where both
    views are as likely: on a finite sample one of them is a little ahead.
    """
    parts: dict[str, Evidence] = {
        "0.99": Coverage.rare(rows.ensemble < 0.99, delta=0.2),
        "gain": Coverage.rare(rows.ensemble - rows.single < 0.05, delta=0.2),
    }
    for size, shares, closed, margin in zip(rows.size, rows.missed, rows.closed, (0.1, 0.3), strict=True):
        parts[f"missed, N = {size}"] = Equality.of(shares, closed.expand_as(shares), margin=margin)
    notes = {"single": float(rows.single.mean()), "ensemble": float(rows.ensemble.mean())}
    return Joint(parts=parts, notes=notes)
