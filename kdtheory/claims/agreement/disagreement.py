"""Disagreement and error: equal in the mean of a calibrated ensemble, added up by the farthest predictor."""

from __future__ import annotations

import numpy as np

from kdtheory.bounds.calibrated_ensembles import ensemble_disagreement, ensemble_error
from kdtheory.bounds.triangle import farthest_predictor
from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.claims.wrong import arguments, given, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.agreement.disagreement import (
    calibrated_ensembles,
    farthest_predictors,
    that_is_right_where_the_witness_errs,
)


@claim(
    section="9.6",
    formula=r"\mathbb E\,\Pr[h \ne h'] = \mathbb E\,\mathrm{err}(h) \quad\text{if }"
    r" \Pr[y = k \mid q_k(x) = q] = q",
    source="jiang2022assessing",
    place="Theorem 4.1",
    assumes=("The shares of a class are its posterior, in the mean of the points with these shares.",),
    experiment=calibrated_ensembles,
    control=(
        Control("the shares are sharper: squared, in proportion", sharpness=2.0),
        Control("the shares are flatter: their fourth roots, in proportion", sharpness=0.25),
    ),
    mutants=(
        Mutant("nine tenths of the disagreement", ensemble_disagreement, scaled(0.9)),
        Mutant("nine tenths of the error", ensemble_error, scaled(0.9)),
    ),
)
def calibrated_networks_differ_as_often_as_they_err(rows: Rows, /) -> Evidence:
    """Networks that are calibrated class by class as an ensemble differ from each other as often as they err,
    in the mean; sharper ones err more often than they differ.

    "sharper": with the shares squared, in proportion.
    """
    return Joint(
        parts={
            "as often": Identity.of(rows.error, rows.disagreement, tolerance=1e-9),
            "sharper": Inequality.of(rows.disagreement_when_squared, rows.error_when_squared),
        }
    )


@claim(
    section="9.8",
    formula=r"\max_{f \in \mathcal F(\text{seen})} \mathrm{err}(f) = \mathrm{err}(g) + \Pr[f \ne g]",
    source="derived here",
    place="derived here",
    assumes=("The points whose labels were seen have no mass.",),
    experiment=farthest_predictors,
    control=Control(
        "the predictor leaves the witness where that errs", predictor=that_is_right_where_the_witness_errs
    ),
    mutants=(
        Mutant("it never leaves the witness", farthest_predictor, given(apart=0.0)),
        Mutant(
            "labels that were seen are left aside",
            farthest_predictor,
            arguments(lambda witness, labels, weights, seen: (witness, labels, weights, seen & False)),
        ),
    ),
    loose="The sides are equal whatever share the predictor leaves: there is no factor to be wrong.",
)  # fmt: skip
def no_bound_for_every_predictor_is_below_the_triangle(rows: Rows, /) -> Evidence:
    """For any witness and any labelled points that a predictor has seen, there is one that is right at all of
    these, and errs as often as the witness errs and as it leaves it together: no bound that holds for every
    predictor is shorter.

    "attained": the two sides of the triangle; "seen": its errors on labels that were seen; "leaves": it does
    leave the witness, at 0.15 of the mass or more.
    """
    worlds = len(rows.error)
    return Joint(
        parts={
            "attained": Identity.of(rows.error, rows.of_witness + rows.apart, tolerance=1e-9),
            "leaves": Inequality.of(np.full(worlds, 0.15), rows.apart),
            "seen": Identity.of(rows.seen_errors, np.zeros(worlds), tolerance=0.0, effect=1.0),
        }
    )
