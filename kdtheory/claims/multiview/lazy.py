"""Chapter 7.5: neither the tangent-kernel regime nor training the average shows what ensembles do."""

from __future__ import annotations

from torch import Tensor

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Coverage, Evidence, Joint
from kdtheory.claims.multiview.single import ORTHOGONAL
from kdtheory.claims.wrong import given
from kdtheory.experiments import Rows
from kdtheory.experiments.multiview.designs import BINARY
from kdtheory.experiments.multiview.networks import (
    averages_of_four_networks,
    learning_features,
    networks_in_two_regimes,
)
from kdtheory.multiview import train_lazy
from kdtheory.risk import accuracy


def _first_class(logits: Tensor, labels: Tensor, /) -> Tensor:
    return (labels == 0).double().mean().expand(logits.shape[:-2])


@claim(
    section="7.5",
    formula=r"\text{accuracy}(F) \ge 0.99\text{ in the tangent-kernel regime}\ \Rightarrow"
    r"\ \text{accuracy}(\bar F_N) - \text{accuracy}(F) \le 0.01",
    source="allenzhu2020towards",
    place="derived here",
    assumes=(ORTHOGONAL, "The output of the start is taken off: training begins at 0."),
    experiment=networks_in_two_regimes,
    control=Control(
        "the same networks where features are learned", trained=learning_features, init_std=BINARY.init_std
    ),
    mutants=(Mutant("the linearised networks are left at their start", train_lazy, given(steps=0)),),
    loose="a threshold on accuracy: no constant enters",
    cost=2,
)
def linearised_networks_lack_no_view(rows: Rows, /) -> Evidence:
    """In the notes' world a network linearised at a large random start (init_std 0.3) is right on at least 99
    of 100 fresh points, those that lack a view included, where a network that learns features is right on 90:
    a linear model learns both views at once, since both are in as many points. So there is nothing left that
    an ensemble could gain.

    An exact binomial test: fewer than one network in ten below 0.99. What an ensemble of feature learners
    makes up for is not missing in this regime. That ensembles gain nothing is said for the reason alone that
    one network has it all already.

    It is not said that ensembles in this regime never gain. On Gaussian inputs, where one network has too
    few features, they do (study `multi_view_arms`). And they do in R^d where the output of the start is kept:
    a fresh point's noise patches then add to the logits about as much as was learned, which an ensemble
    averages out (`tests/multiview/test_dimension.py`); so it is taken off here.
    """
    notes = {"mean accuracy of one": float(rows.accuracy.mean())}
    return Coverage.rare(rows.accuracy < 0.99, delta=0.1, notes=notes)


@claim(
    section="7.5",
    formula=r"\Pr[\text{accuracy}(\bar F_N) < 0.975] > \tfrac12 \text{ where } \bar F_N"
    r" \text{ is trained as one}",
    source="allenzhu2020towards",
    place="derived here",
    assumes=(ORTHOGONAL,),
    experiment=averages_of_four_networks,
    control=Control("the networks are trained one by one", together=1),
    mutants=(Mutant("the first class for every point", accuracy, _first_class),),
    cost=3,
)
def training_the_average_is_not_an_ensemble(rows: Rows, /) -> Evidence:
    """Four networks whose average is trained as one mostly have a test accuracy below 0.975 in the notes'
    world, where the average of four trained apart is mostly above; it is still above 0.8 in four of five
    cases.

    The average is one wide network, in which the winning channels of one view satisfy the loss for all.
    Exact binomial tests: fewer than half of the averages reach 0.975, which lies between what the two have,
    and fewer than one in five are below 0.8.
    """
    parts: dict[str, Evidence] = {
        "below 0.975": Coverage.rare(rows.accuracy >= 0.975, delta=0.5),
        "above 0.8": Coverage.rare(rows.accuracy < 0.8, delta=0.2),
    }
    return Joint(parts=parts, notes={"mean accuracy": float(rows.accuracy.mean())})
