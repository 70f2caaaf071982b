"""Chapter 3.2: rounds of self-distillation shrink, sparsify and collapse (Mobahi et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint, MeanInequality
from kdtheory.claims.wrong import Wrong, arguments, given, value
from kdtheory.experiments import Rows
from kdtheory.experiments.schemes.rounds import (
    effective_ranks_over_rounds,
    last_layers_over_rounds,
    outputs_of_the_round,
    rounds_of_least_norm,
    rounds_until_collapse,
    shares_of_directions,
)
from kdtheory.self_distillation.rkhs import (
    RoundsBeforeCollapse,
    effective_rank,
    mobahi20_multiplier,
    mobahi20_multiplier_bounds,
    mobahi20_rounds,
    mobahi20_rounds_before_collapse,
    mobahi20_sparsity_growth,
)

SOURCE = "mobahi2020self"
DEFINITE = "The Gram matrix is positive definite."
ROUNDING = 1e-9
LABELS_AGAIN = Control("every round learns the labels again", kept=1.0)
A_ROUND_LATE = Mutant(
    "the outputs of the round before",
    mobahi20_rounds,
    value(lambda found: replace(found, outputs=found.outputs.roll(1, 0))),
)


def _bounds_without_one(eigenvalues: Tensor, /, *, norm: float, error: float) -> tuple[float, float]:
    ratio = norm / (len(eigenvalues) * error) ** 0.5
    return float(eigenvalues.min()) / ratio, float(eigenvalues.max()) / ratio


@claim(
    section="3.2",
    formula=r"y_t = V^\top \textstyle\prod_{i \le t} D(c_i I + D)^{-1} V y_0,\quad"
    r" \frac{d_{\min}\sqrt{K\varepsilon}}{\lVert y_{t-1} \rVert - \sqrt{K\varepsilon}} \le c_t"
    r" \le \frac{d_{\max}\sqrt{K\varepsilon}}{\lVert y_{t-1} \rVert - \sqrt{K\varepsilon}}",
    source=SOURCE,
    place="the recursion and the bounds on its multipliers",
    assumes=(DEFINITE, "‖y_{t−1}‖ > √(Kε)."),
    experiment=rounds_of_least_norm,
    control=Control(
        "‖y_t‖, the outputs of the round, stands where its targets' norm belongs",
        norm_of=outputs_of_the_round,
    ),
    power=Scaled(mobahi20_multiplier_bounds, entry=(0, 1)),
    mutants=(
        Mutant("half the error", mobahi20_multiplier, given(error=lambda error: error / 2)),
        A_ROUND_LATE,
        Mutant("√(Kε) is not taken from ‖y‖", mobahi20_multiplier_bounds, _bounds_without_one),
        Mutant("d_min and d_max exchanged", mobahi20_multiplier_bounds, value(lambda bounds: bounds[::-1])),
    ),
)
def self_distillation_rounds_are_products_of_shrinkages(rows: Rows, /) -> Evidence:
    """Rounds of self-distillation that each fit to the mean squared error ε multiply every eigendirection of
    the Gram matrix by d/(c_t + d), and c_t lies between two bounds that are exact for equal eigenvalues.

    In the bounds ‖y_{t−1}‖, what round t is fitted to, must not be mistaken for ‖y_t‖.
    """
    ones = torch.ones(len(rows.error), dtype=torch.float64)
    return Joint(
        parts={
            "closed form": Identity.of(rows.closed, rows.explicit, tolerance=ROUNDING),
            "error of a round": Identity.of(rows.error, ones, tolerance=ROUNDING),
            "lower bound": Inequality.of(rows.lower, ones, slack=ROUNDING),
            "upper bound": Inequality.of(rows.upper, ones, slack=ROUNDING),
        }
    )


def _times_kappa(right: Callable[..., RoundsBeforeCollapse]) -> Callable[..., RoundsBeforeCollapse]:
    def wrong(eigenvalues: Tensor, /, **settings: float) -> RoundsBeforeCollapse:
        found, kappa = right(eigenvalues, **settings), float(eigenvalues.max() / eigenvalues.min())
        return replace(found, printed=math.ceil(kappa * found.least))

    return wrong


@claim(
    section="3.2",
    formula=r"\lceil (r_0 - 1)/\kappa \rceil \le \lceil r_0 - 1 \rceil \le T"
    r" \le \min\{\lceil \kappa (r_0 - 1) \rceil, \lceil r_0^2 - 1 \rceil\},\quad"
    r" r_0 = \lVert y_0 \rVert / \sqrt{K\varepsilon}",
    source=SOURCE,
    place="the first bound; the others are derived here",
    assumes=(DEFINITE, "‖y_0‖ > √(Kε)."),
    experiment=rounds_until_collapse,
    control=Control("the condition number κ is left out of the upper bound", spread=0.0),
    power=Scaled(mobahi20_rounds_before_collapse, entry=("printed", "least", "most")),
    mutants=(
        Mutant(
            "κ = 1 whatever the kernel",
            mobahi20_rounds_before_collapse,
            arguments(lambda d: torch.ones_like(d)),
        ),
        Mutant(
            "κ(r_0 − 1) in place of (r_0 − 1)/κ",
            mobahi20_rounds_before_collapse,
            Wrong(_times_kappa),
        ),
        Mutant(
            "r_0 in place of r_0 − 1",
            mobahi20_rounds_before_collapse,
            value(lambda found: replace(found, least=found.least + 1)),
        ),
    ),
)
def self_distillation_collapses_after_a_bounded_number_of_rounds(rows: Rows, /) -> Evidence:
    """Self-distillation with error ε per round goes on for at least (r_0 − 1)/κ rounds, indeed for at least
    r_0 − 1, and for at most κ(r_0 − 1) and r_0² − 1, rounded up; then f = 0 is near enough: it collapses.

    The first bound is Mobahi et al.'s; the others need no κ but one. All but the last are attained for equal
    eigenvalues, where every round costs exactly √ε; the last is loose (see the notes).
    """
    return Joint(
        parts={
            "printed": Inequality.of(rows.printed, rows.made),
            "least": Inequality.of(rows.least, rows.made),
            "most": Inequality.of(rows.made, rows.most),
        },
        notes={"rounds": rows.made, "printed": rows.printed, "at least": rows.least, "at most": rows.most},
    )


@claim(
    section="3.2",
    formula=r"\frac{B_t[k,k]}{B_t[j,j]}"
    r" \ge \Bigl(\frac{r_0 - 1 + d_{\min}/d_j}{r_0 - 1 + d_{\min}/d_k}\Bigr)^{t} > 1 \text{ for } d_k > d_j",
    source=SOURCE,
    place="the sparsification of the spectrum",
    assumes=(DEFINITE, "‖y_0‖ > √(Kε)."),
    experiment=shares_of_directions,
    control=Control("each round shrinks all directions alike, as label smoothing would", evenness=1.0),
    power=Scaled(mobahi20_sparsity_growth),
    mutants=(Mutant("the square of the growth", mobahi20_sparsity_growth, value(torch.square)),),
)
def self_distillation_sparsifies_the_spectrum(rows: Rows, /) -> Evidence:
    """Every round of self-distillation raises the share of a larger eigendirection over that of a smaller one
    by at least a fixed factor: few basis functions are left in the end.

    Compared in logarithms. The factor is attained in the first round where the targets lie along the lowest
    eigendirection.
    """
    return Joint(
        parts={
            "at least": Inequality.of(rows.bound, rows.grown, slack=ROUNDING),
            "attained": Identity.of(rows.first, rows.attained, tolerance=ROUNDING),
        }
    )


@claim(
    section="3.2",
    formula=r"f_t(X) = K(K + c_t I)^{-1} y_{t-1},\quad K = \Phi\Phi^\top",
    source=SOURCE,
    place="the recursion, of nets",
    assumes=("Only the last layer is trained, to convergence.",),
    experiment=last_layers_over_rounds,
    control=LABELS_AGAIN,
    power=Scaled(mobahi20_rounds, entry="outputs"),
    mutants=(A_ROUND_LATE,),
    cost=2,
)
def nets_on_random_features_follow_the_rounds(rows: Rows, /) -> Evidence:
    """Nets whose last layer is trained by gradient descent with weight decay c_t/K, round after round on
    their own outputs, follow the closed form.

    Within 0.1 per cent of the targets' size.
    """
    return Identity.of(rows.trained, rows.closed, tolerance=1e-3)


def _all_directions(outputs: Tensor, /) -> Tensor:
    return torch.full(outputs.shape[:-2], float(min(outputs.shape[-2:])), dtype=outputs.dtype)


@claim(
    section="3.2",
    formula=r"\operatorname{rank}_{\mathrm{eff}} f_T(X) < 0.9\,\operatorname{rank}_{\mathrm{eff}} f_1(X),"
    r" \lVert f_T(X) \rVert < 0.9\,\lVert f_1(X) \rVert",
    source=SOURCE,
    place="found on nets",
    assumes=("The nets are trained with weight decay, so that every round must give up something.",),
    experiment=effective_ranks_over_rounds,
    control=LABELS_AGAIN,
    mutants=(Mutant("all directions count alike", effective_rank, _all_directions),),
    loose="shrinking by a tenth is a threshold: no constant of a formula enters",
    cost=4,
)
def trained_nets_shrink_and_lose_rank_over_rounds(rows: Rows, /) -> Evidence:
    """Nets with both layers trained, each on the outputs of the one before, shrink and lose effective rank.

    Each by a tenth and more.
    """
    return Joint(
        parts={
            "rank": MeanInequality.of(rows.rank[-1], 0.9 * rows.rank[0]),
            "norm": MeanInequality.of(rows.norm[-1], 0.9 * rows.norm[0]),
        },
        notes={"effective rank by round": rows.rank.mean(1).tolist()},
    )
