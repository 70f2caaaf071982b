"""Chapter 3.7: hard, partial and soft labels, and how many of them a learner needs (Zhao & Zhu 2023)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Inequality, Joint, Rate
from kdtheory.claims.wrong import given
from kdtheory.experiments import Rows
from kdtheory.experiments.schemes.soft_labels import (
    SWEEPS,
    distances_of_partial_labels,
    errors_of_learners,
    from_names_alone,
)
from kdtheory.risk.finite_domain import (
    partial_label_limit,
    total_variation,
    total_variation_bound,
    transferred,
)

SOURCE = "zhao2023towards"
EXPONENTS = {"hard": (-0.5, 0.5, 0.5), "partial": (-1.0, 1.0, 1.0), "soft": (-1.0, 0.0, 1.0)}
"""Exponents of n, |A| and |S| in the error, each for the law that is hardest at that n."""


def _sum_without_weights(estimate: Tensor, teacher: Tensor, _weights: Tensor, /) -> Tensor:
    return (estimate - teacher).abs().sum((-1, -2)) / 2


@claim(
    section="3.7",
    formula=r"\mathbb E\,\mathrm{TV} \asymp \sqrt{|S||A|/n}\ \text{(hard)},\quad |S||A|/n\ \text{(partial)},"
    r"\quad |S|/n\ \text{(soft)}",
    source=SOURCE,
    place="the three rates; the constants of the bound are derived here",
    assumes=("The input law and the teacher are the hardest ones at each n.",),
    experiment=errors_of_learners,
    control=Control(
        "the learner of partial and of soft labels looks at the names of the answers alone",
        learner=from_names_alone,
    ),
    power=Scaled(total_variation_bound, towards="less"),
    mutants=(
        Mutant("what is known is not used", transferred, given(feedback="hard")),
        Mutant("hard labels tell all probabilities", transferred, given(feedback="soft")),
        Mutant("the input law is left out of the distance", total_variation, _sum_without_weights),
    ),
    cost=3,
)
def soft_labels_need_fewer_samples(rows: Rows, /) -> Evidence:
    """The total-variation error of what is learned from a teacher's answers falls like √(|S||A|/n) with hard
    labels, |S||A|/n with the probability of the sampled label and |S|/n with full soft labels.

    Slopes within 0.12; every error below the explicit bound, whose constants are an eighth too large.
    """
    parts: dict[str, Evidence] = {}
    for axis, (name, sweep) in zip((2, 1, 0), SWEEPS.items(), strict=True):
        for (feedback, expected), errors in zip(EXPONENTS.items(), rows[name], strict=True):
            slope = expected[2 - axis]
            along = [point[axis] for point in sweep]
            parts[f"{feedback}: {name}"] = Rate.of(along, errors, expected=slope, margin=0.12)
    parts["below the bound"] = Inequality.of(rows.mean, rows.bound, trivial=1.0)
    return Joint(parts=parts)


def _power(exponent: float) -> Callable[[Tensor], Tensor]:
    def raised(probs: Tensor, /) -> Tensor:
        powers = probs**exponent
        return powers / powers.sum(-1, keepdim=True)

    return raised


@claim(
    section="3.7",
    formula=r"\arg\min_q \mathbb E_{a \sim \pi^*}[-\pi^*(a) \ln q(a)]"
    r" = \frac{\pi^{*2}}{\sum_a \pi^*(a)^2} \ne \pi^*",
    source=SOURCE,
    place="the limit of the cross-entropy on partial labels",
    assumes=("The learner can represent the minimiser, and has converged to 1 per cent.",),
    experiment=distances_of_partial_labels,
    control=Control("each sampled label counts once, whatever its probability", power=0.0),
    power=Scaled(partial_label_limit, version=lambda factor: _power(2 * factor)),
    mutants=(
        Mutant("π* itself", partial_label_limit, _power(1.0)),
        Mutant("π*^1.9", partial_label_limit, _power(1.9)),
        Mutant("π*^2.1", partial_label_limit, _power(2.1)),
    ),
    cost=2,
)
def cross_entropy_on_partial_labels_learns_the_squared_teacher(rows: Rows, /) -> Evidence:
    """A learner that weighs the cross-entropy of a sampled label by the teacher's probability of it does not
    learn the teacher, but its square, normalised.

    Mean total variation below 0.002 over images (the power 1.9 or 2.1 in place of the square is further), and
    further than 0.05 from the teacher itself.
    """
    off, away = float(rows.off), float(rows.away)
    return Joint(
        parts={
            "near the square": Inequality.of([off], [0.002]),
            "away from the teacher": Inequality.of([0.05], [away]),
        },
        notes={"gradient norm": float(rows.gradient.max()), "distance": off, "from the teacher": away},
    )
