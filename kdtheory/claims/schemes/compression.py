"""Chapter 3.6: low rank and pruning as best approximations, what a change of the weights can do, and what
distillation brings back.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import (
    Evidence,
    Identity,
    Inequality,
    Joint,
    MeanInequality,
    OutOfScope,
    WorstRatio,
)
from kdtheory.claims.wrong import arguments, given, value
from kdtheory.compression.low_rank import eckart_young_error, truncated_svd
from kdtheory.compression.perturbation import neyshabur18_perturbation
from kdtheory.compression.sparse import largest_entries, sparse_error
from kdtheory.experiments import Rows
from kdtheory.experiments.schemes.compression import (
    distilled_after_pruning,
    layers_of_low_rank,
    perturbed_relu_nets,
    pruned_layers,
    searched_factors,
    untrained_parameters,
)
from kdtheory.losses import distillation

LOW_RANK = "eckart1936approximation"
ROUNDING = 1e-9
CONVERGED = "The distilled nets have converged: gradient norm at most 0.1."


def _smallest_singular_values(weight: Tensor, /, *, rank: int) -> Tensor:
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    near: Tensor = (left[..., -rank:] * values[..., None, -rank:]) @ right[..., -rank:, :]
    return near


@claim(
    section="3.6",
    formula=r"\min_{\operatorname{rank} M \le r} \lVert W - M \rVert_F"
    r" = \lVert W - W_r \rVert_F = \bigl(\textstyle\sum_{i>r} \sigma_i^2\bigr)^{1/2},\quad"
    r" \lVert W - W_r \rVert_2 = \sigma_{r+1}",
    source=LOW_RANK,
    place="the theorem of the paper",
    experiment=(layers_of_low_rank, searched_factors),
    control=Control("half of the directions of the inputs, drawn at random, are out of sight", seen=0.5),
    mutants=(
        Mutant("the smallest singular values are kept", truncated_svd, _smallest_singular_values),
        Mutant("the sum begins at σ_r", eckart_young_error, given(rank=lambda rank: rank - 1)),
    ),
)
def truncated_svd_is_the_best_low_rank_approximation(layers: Rows, search: Rows, /) -> Evidence:
    """No matrix of rank r is nearer to a layer of a trained net than its truncated singular value
    decomposition, which misses by what the other singular values say.

    The search must come within 1 per cent.
    """
    return Joint(
        parts={
            "error": Identity.of(layers.missed, layers.told, tolerance=1e-9),
            "not beaten": WorstRatio(attempts=search.attempts, ratio=search.ratio, must_reach=0.99),
        }
    )


@claim(
    section="3.6",
    formula=r"\min_{\lVert M \rVert_0 \le s} \lVert W - M \rVert_F = \lVert W - W_s \rVert_F,\quad"
    r" W_s \text{ the } s \text{ largest entries of } W",
    source=LOW_RANK,
    place="its counterpart for sparse matrices, derived here",
    experiment=pruned_layers,
    control=Control("each entry stays by the magnitude of its neighbour", moved=1),
    power=Scaled(sparse_error),
    mutants=(
        Mutant("the smallest entries are kept", largest_entries, arguments(lambda entries: 1 / entries)),
        Mutant("the largest by sign, not by magnitude", largest_entries, arguments(torch.exp)),
    ),
)
def magnitude_pruning_is_the_best_sparse_approximation(rows: Rows, /) -> Evidence:
    """No matrix with s entries is nearer to a layer in the Frobenius norm than the one that keeps its s
    largest entries.
    """
    return Joint(
        parts={
            "best": Inequality.of(rows.pruned, rows.best, slack=ROUNDING),
            "error": Identity.of(rows.pruned, rows.told, tolerance=ROUNDING),
        }
    )


@claim(
    section="3.6",
    formula=r"|f_{W+U}(x) - f_W(x)|_2 \le e\,\lVert x \rVert_2 \textstyle\prod_i \lVert W_i \rVert_2"
    r" \sum_i \frac{\lVert U_i \rVert_2}{\lVert W_i \rVert_2},"
    r"\quad \lVert U_i \rVert_2 \le \tfrac1L \lVert W_i \rVert_2",
    source="neyshabur2018pacbayesian",
    place="Lemma 2",
    assumes=("ReLU activations, no biases.", "‖U_i‖₂ ≤ ‖W_i‖₂/L."),
    experiment=perturbed_relu_nets,
    control=Control("‖U_i‖₂ ≤ ‖W_i‖₂/L is dropped: U_i = 100·W_i", size=300.0),
    power=Scaled(neyshabur18_perturbation, entry="norm_product", towards="less"),
    mutants=(
        Mutant("e is left out", neyshabur18_perturbation, given(input_norm=lambda norm: norm / math.e)),
        Mutant("a tenth larger", neyshabur18_perturbation, given(input_norm=lambda norm: 1.1 * norm)),
        Mutant(
            "the largest ratio in place of their sum",
            neyshabur18_perturbation,
            value(lambda right: replace(right, ratios=(max(right.ratios), *[0.0] * (len(right.ratios) - 1)))),
        ),
    ),
)
def perturbed_relu_net_moves_no_further_than_its_norms_allow(rows: Rows, /) -> Evidence:
    """The outputs of a ReLU net of L layers move by at most e‖x‖Π‖W_i‖Σ‖U_i‖/‖W_i‖ when no layer moves by
    more than 1/L of its spectral norm.

    The refined product, derived here and free of the condition, is attained by chains. The e of the lemma is
    loose by e/(e − 1) = 1.58: Π(1+t_i) − 1 ≤ (e − 1)Σt_i under the condition, and no constant below e − 1
    serves, since a chain of 200 layers comes within 1 per cent of it.
    """
    needed = 0.99 * (1 - 1 / math.e) * rows.deep_bound
    return Joint(
        parts={
            "Lemma 2": Inequality.of(rows.moved, rows.bound, slack=ROUNDING),
            "refined": Inequality.of(rows.moved, rows.refined, slack=1e-6 * rows.size**3),
            "e − 1 is needed": Inequality.of(needed, rows.deep_moved),
        }
    )


@claim(
    section="3.6",
    formula=r"\text{acc}(\text{pruned, then distilled}) - \text{acc}(\text{pruned})"
    r" > \tfrac12 \bigl(\text{acc}(\text{teacher}) - \text{acc}(\text{pruned})\bigr)",
    source="hinton2015distilling",
    place="found here",
    assumes=(CONVERGED,),
    experiment=distilled_after_pruning,
    control=Control("the teacher is a net that was never trained", teacher=untrained_parameters),
    mutants=(
        Mutant(
            "the teacher's answers to the next image",
            distillation,
            arguments(lambda logits, probs, labels: (logits, probs.roll(1, -2), labels)),
        ),
    ),
    loose="which weights stay is a mask, and a factor on a loss does not move its minimum",
    cost=3,
)
def distillation_brings_back_what_pruning_lost(rows: Rows, /) -> Evidence:
    """A net with 90 of 100 weights pruned by magnitude loses accuracy; distilled from the net it was cut
    from, with its zeros held, it is back by more than half of what it lost.

    With 95 of 100 pruned, about half comes back.
    """
    gradient = float(rows.gradient.max())
    if gradient > 0.1:
        return OutOfScope(assumption=CONVERGED, because=f"the largest gradient norm is {gradient:.2g}")
    notes = {name: float(rows[name].mean()) for name in ("whole", "pruned", "distilled")}
    half = (rows.whole + rows.pruned) / 2
    return MeanInequality.of(half, rows.distilled, notes=notes | {"largest gradient norm": gradient})
