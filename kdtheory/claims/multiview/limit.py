"""Chapter 7, the two spaces: plain networks on patches in R^d come to the orthogonal limit as d grows."""

from __future__ import annotations

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, Rate
from kdtheory.claims.wrong import given
from kdtheory.experiments import Rows
from kdtheory.experiments.multiview.dimension import distances_of_plain_networks_from_the_limit
from kdtheory.multiview import limit_of, train_limit


@claim(
    section="7.1",
    formula=r"\mathbb E\,\lvert F_d - F_\infty\rvert = O(d^{-1/2})",
    source="allenzhu2020towards",
    place="derived here",
    assumes=("Features and noise patches are drawn as the world says: isotropic Gaussian noise.",),
    experiment=distances_of_plain_networks_from_the_limit,
    control=Control("all noise patches share a direction", common=0.5),
    mutants=(
        Mutant("s for s²", limit_of, given(noise_norm=lambda norm: norm**0.5)),
        Mutant(
            "twice the rate",
            train_limit,
            given(recipe=lambda recipe: recipe.but(learning_rate=2 * recipe.learning_rate)),
        ),
    ),
    loose="an exponent: what would be noticed is a distance that does not fall, as of a limit with s for s²",
    cost=4,
)
def plain_networks_come_to_the_orthogonal_limit(rows: Rows, /) -> Evidence:
    """Networks trained by plain torch on Gaussian patches in R^d and the element-wise limit from the same
    starts differ in their training logits by an amount that falls at least like d^{−1/2}.

    One slope for each training set, at most −1/2 + 0.15.
    """
    means = zip(rows.dim, rows.distance.mean(0), strict=True)
    notes = {f"d = {dim}": float(mean) for dim, mean in means}
    return Rate.of(rows.dim, rows.distance, expected=-0.5, margin=0.15, one_sided=True, notes=notes)
