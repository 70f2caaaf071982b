"""Chapter 7.7: where a premise is taken away, single networks lack nothing, or nothing can be learned."""

from __future__ import annotations

import torch

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Coverage, Equality, Evidence, Joint
from kdtheory.claims.multiview.single import ORTHOGONAL
from kdtheory.claims.wrong import arguments, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.multiview.designs import BINARY, NO_RACE
from kdtheory.experiments.multiview.networks import (
    networks_on_shuffled_labels,
    networks_on_the_labels,
    their_own,
)
from kdtheory.risk import accuracy

_QUIET = BINARY.in_world(noise_norm=1.2)


@claim(
    section="7.7",
    formula=r"q = 2 \text{ or } \mu = 0:\quad \text{accuracy}(F) \ge 0.99\ \Rightarrow\ "
    r"\text{accuracy}(\bar F_N) - \text{accuracy}(F) \le 0.01",
    source="allenzhu2020towards",
    place="derived here",
    assumes=(ORTHOGONAL,),
    experiment=(
        networks_on_the_labels.given(design=NO_RACE.in_world(noise_norm=1.2), members=128),
        networks_on_the_labels.given(design=_QUIET.in_world(single_view=0.0), members=128),
    ),
    control=Control("power 6, and a fifth of the points lack a view", design=_QUIET),
    mutants=(Mutant("the other label", accuracy, arguments(lambda logits, labels: (logits, 1 - labels))),),
    power=Scaled(accuracy, towards="less"),
)
def without_race_or_single_views_there_is_nothing_to_gain(power: Rows, views: Rows, /) -> Evidence:
    """With a quadratic activation a single network learns all views at once, and where no point lacks a view
    one view is enough: in both cases it has accuracy 0.99, so that no ensemble can gain more than 0.01.

    The notes' world otherwise, with noise patches of norm 1.2, so that hardly a label is memorised as a whole
    before a view is learned; 128 networks in each case, exact binomial tests: fewer than one in ten below
    0.99. With power 6, and a fifth of the points with one view, most are.
    """
    cases = {"the power": power, "the views": views}
    return Joint(parts={name: Coverage.rare(rows.accuracy < 0.99, delta=0.1) for name, rows in cases.items()})


@claim(
    section="7.7",
    formula=r"y \text{ shuffled}:\quad \text{accuracy}(F) = \text{accuracy}(\bar F_N) = \tfrac12",
    source="allenzhu2020towards",
    place="derived here",
    assumes=(ORTHOGONAL,),
    experiment=networks_on_shuffled_labels,
    control=Control("the labels are the points' own", labels=their_own),
    mutants=(Mutant("half of the accuracy", accuracy, scaled(0.5)),),
    cost=3,
)
def on_shuffled_labels_nothing_is_learned(rows: Rows, /) -> Evidence:
    """On shuffled labels networks of the notes' world are right on fresh points half of the time, and so is
    their ensemble.

    Means over independent training sets, within 0.1 of 1/2 (ensemble: 0.13).
    """
    half = torch.full_like(rows.single, 0.5)
    return Joint(
        parts={
            "single": Equality.of(rows.single, half, margin=0.1, effect=1.0),
            "ensemble": Equality.of(rows.ensemble, half, margin=0.13, effect=1.0),
        }
    )
