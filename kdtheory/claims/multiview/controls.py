"""Chapter 7.7: where a premise is taken away, single networks lack nothing, or nothing can be learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Equality, Evidence, Joint
from kdtheory.claims.multiview.single import ORTHOGONAL
from kdtheory.claims.multiview.worlds import BINARY, rarely, singles
from kdtheory.risk import accuracy

_QUADRATIC = replace(
    BINARY,
    power=2,
    init_std=1e-4,
    plan=replace(BINARY.plan, recipe=BINARY.plan.recipe.but(steps=400, learning_rate=0.5)),
)


def _other_label(logits: Tensor, labels: Tensor, /, *, _true: Callable[..., Tensor] = accuracy) -> Tensor:
    return _true(logits, 1 - labels)


def _halved(logits: Tensor, labels: Tensor, /, *, _true: Callable[..., Tensor] = accuracy) -> Tensor:
    return _true(logits, labels) / 2


@claim(
    section="7.7",
    formula=r"q = 2 \text{ or } \mu = 0:\quad \text{accuracy}(F) \ge 0.99\ \Rightarrow\ "
    r"\text{accuracy}(\bar F_N) - \text{accuracy}(F) \le 0.01",
    source="allenzhu2020towards",
    assumes=(ORTHOGONAL,),
    control=Control("power 6, and a fifth of the points lack a view", power=6, single_view=0.2),
    uses=(accuracy,),
    mutants=(Mutant("the other label", accuracy, _other_label),),
    loose="a threshold on accuracy: no constant enters",
    cost=2,
)
def without_race_or_single_views_there_is_nothing_to_gain(
    setting: Setting, /, *, power: int = 2, single_view: float = 0.0
) -> Evidence:
    """With a quadratic activation a single network learns all views at once, and where no point lacks a view
    one view is enough: in both cases it has accuracy 0.99, so that no ensemble can gain more than 0.01.

    The notes' world otherwise, with noise patches of norm 1.2, so that hardly a label is memorised as a whole
    before a view is learned; 128 networks in each case, exact binomial tests: fewer than one in ten below
    0.99. With power 6, and a fifth of the points with one view, most are.
    """
    members, parts = setting.size(quick=128, full=480), {}
    quadratic = _QUADRATIC if power == 2 else replace(BINARY, power=power)
    for name, design in (
        ("the power", quadratic.in_world(noise_norm=1.2)),
        ("the views", BINARY.in_world(single_view=single_view, noise_norm=1.2)),
    ):
        found = singles(design, members, setting.stream.child(name))
        parts[name] = rarely(found.accuracy < 0.99, 0.1)
    return Joint(parts=parts)


@claim(
    section="7.7",
    formula=r"y \text{ shuffled}:\quad \text{accuracy}(F) = \text{accuracy}(\bar F_N) = \tfrac12",
    source="allenzhu2020towards",
    assumes=(ORTHOGONAL,),
    control=Control("the labels are the points' own", shuffled=False),
    uses=(accuracy,),
    mutants=(Mutant("half of the accuracy", accuracy, _halved),),
    loose="one half within a fifth of it: networks differ much from one training set to the next",
    cost=4,
)
def on_shuffled_labels_nothing_is_learned(setting: Setting, /, *, shuffled: bool = True) -> Evidence:
    """On shuffled labels networks of the notes' world are right on fresh points half of the time, and so is
    their ensemble.

    Means over independent training sets, within 0.1 of 1/2 (ensemble: 0.13), two networks on each.
    """
    replicates = setting.size(quick=240, full=800)
    rows = []
    for replicate in range(replicates):
        found = singles(BINARY, 2, setting.stream.child(replicate), shuffled=shuffled)
        logits = found.nets.logits(found.test.coefficients)
        each = accuracy(logits, found.test.labels).mean()
        rows.append([float(each), float(accuracy(logits.mean(0), found.test.labels))])
    single, ensemble = torch.tensor(rows, dtype=torch.float64).T
    half = torch.full_like(single, 0.5)
    return Joint(
        parts={
            "single": Equality.of(single, half, margin=0.1, effect=1.0),
            "ensemble": Equality.of(ensemble, half, margin=0.13, effect=1.0),
        }
    )
