"""Chapter 5.8: how a teacher inherits the certificate of any witness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from kdtheory.bounds.disagreement import disagreement_limit, disagreement_transfer
from kdtheory.bounds.result import Bound
from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Coverage, Evidence, Identity, Inequality, Joint, WorstRatio
from kdtheory.claims.wrong import Wrong, constant, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.bounds.tested_nets import fitted_afterwards
from kdtheory.experiments.bounds.transfer import DELTA, inherited_certificates, transfers_at_their_worst


def _delta_of_the_witness(right: Callable[..., Bound]) -> Callable[..., Bound]:
    def wrong(witness: Bound, disagreements: Tensor, /, **settings: Any) -> Bound:
        return replace(right(witness, disagreements, **settings), delta=witness.delta)

    return wrong


@claim(
    section="5.8",
    formula=r"\Pr\bigl[f \ne y\bigr] \le \Pr\bigl[g \ne y\bigr] + \Pr\bigl[f \ne g\bigr] \le"
    r" B_{\delta_1}(g) + \bar q_m(f \ne g, \delta_2)\quad \text{with probability } 1 - \delta_1 - \delta_2",
    source="hsu2021generalization",
    place="derived here",
    assumes=(
        "The points are independent draws from one law.",
        "The unlabelled points were drawn after f and g were fixed.",
    ),
    experiment=(inherited_certificates, transfers_at_their_worst),
    control=Control(
        "f says what the witness says on the unlabelled points, and errs elsewhere",
        predictor=fitted_afterwards,
    ),
    mutants=(
        Mutant("the disagreement is forgotten", disagreement_limit, constant(0.0)),
        Mutant("the two δ are not added", disagreement_transfer, Wrong(_delta_of_the_witness)),
        Mutant("0.9 of the disagreement's limit", disagreement_limit, scaled(0.9)),
    ),
    power=Scaled(disagreement_transfer),
    cost=3,
)
def disagreement_transfers_a_certificate(rows: Rows, worst: Rows, /) -> Evidence:
    """A predictor that was trained on all labelled points, the hold-out among them, inherits the certificate
    of a witness, at the price of their disagreement on fresh unlabelled points: a witness trained on a part
    of the labels and tested on the rest, one quantised and coded in bits, and a stochastic one with a
    PAC-Bayes certificate. Where f errs wherever it leaves g the sum is attained.

    "attained": the bound is within a twentieth of the risk. "adversary": P[miss] is at most δ whatever f
    makes of what it has seen; in two shares δ is loose, and an eighth of it is used.
    """
    covered = {
        case: Coverage.of(
            risk,
            rows.bound[case],
            delta=DELTA,
            notes={"mean bound": float(np.mean(rows.bound[case])), "mean risk": float(risk.mean())},
        )
        for case, risk in rows.risk.items()
    }
    return Joint(
        parts={
            **covered,
            "δ in all": Identity.of(rows.delta, [DELTA] * len(rows.delta), tolerance=1e-9),
            "adversary": Inequality.of(worst.missed, np.full(len(worst.missed), DELTA)),
            "attained": WorstRatio(attempts=1, ratio=worst.attained, slack=0.0, must_reach=0.95),
        }
    )
