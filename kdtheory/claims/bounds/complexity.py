"""Chapter 5.5: Rademacher complexity, exact, sampled, in closed form, contracted, and what it bounds."""

from __future__ import annotations

import math

from torch import Tensor

from kdtheory.bounds.complexity import (
    l1_linear_complexity,
    l2_linear_complexity,
    massart00_finite_class,
    maurer16_vector_contraction,
    talagrand_contraction,
)
from kdtheory.bounds.deviation import bartlett02_deviation_radius
from kdtheory.bounds.norms import golowich18_relu_net, golowich18_vector_relu_net
from kdtheory.bounds.rademacher import exact_rademacher, sampled_rademacher
from kdtheory.claims.bounds.wrong import delta_times
from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Equality, Evidence, Identity, Inequality, Joint, WorstRatio
from kdtheory.claims.wrong import arguments, given, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.bounds.complexity import (
    DELTA,
    HALF,
    complexities_over_their_closed_forms,
    contracted_complexities,
    deviations_of_all_tables,
    exact_and_sampled_complexities,
    with_their_negatives,
)
from kdtheory.experiments.bounds.relu_nets import complexities_and_bounds_of_relu_nets

HALVED = Control("the right side is halved", share=0.5)
CUBE = 1 / math.sqrt(2 * math.log(2))


def _largest_norm(inputs: Tensor, /, *, radius: float) -> float:
    return radius * float(inputs.norm(dim=-1).max()) / len(inputs)


def _sum_of_norms(inputs: Tensor, /, *, radius: float) -> float:
    return radius * float(inputs.norm(dim=-1).sum()) / len(inputs)


def _without_log(inputs: Tensor, /, *, radius: float) -> float:
    return radius * float(inputs.norm(dim=0).max()) / len(inputs)


def _massart_without_log(values: Tensor, /) -> float:
    return float(values.norm(dim=-1).max()) / values.shape[1]


def _no_deviation(complexity: float, /, *, n: int, delta: float) -> float:
    return 2 * complexity


@claim(
    section="5.5",
    formula=r"\operatorname{Rad}_n(H)"
    r" = \mathbb E_\varepsilon \sup_{h\in H} \tfrac1n \sum_i \varepsilon_i h(x_i)",
    source="bartlett2002rademacher",
    place="the definition",
    assumes=("The signs are independent and fair.",),
    experiment=exact_and_sampled_complexities,
    control=Control("the supremum of absolute values is sampled", sampled=with_their_negatives),
    mutants=(
        Mutant("divided by n − 1", exact_rademacher, given(points=9)),
        Mutant(
            "signs 0 and 1 for ±1",
            sampled_rademacher,
            arguments(lambda supremum, n: (lambda signs: supremum((signs + 1) / 2), n)),
        ),
    ),
)
def sampled_rademacher_complexity_agrees_with_enumeration(rows: Rows, /) -> Evidence:
    """The mean over random signs estimates the Rademacher complexity that the sum over all 2^n sign vectors
    gives.

    Equal on average within 2 per cent.
    """
    return Equality.of(rows.sampled, rows.exact, margin=0.02)


@claim(
    section="5.5",
    formula=r"\operatorname{Rad}_n\{\lVert w\rVert_2 \le B\}"
    r" \le \tfrac Bn (\textstyle\sum \lVert x_i\rVert^2)^{1/2},\quad"
    r" \operatorname{Rad}_n(H) \le \max_h \lVert h \rVert_2 \sqrt{2 \ln |H|}/n",
    source="massart2000some",
    place="the lemma on finite classes; tightness derived here",
    experiment=complexities_over_their_closed_forms,
    control=HALVED,
    mutants=(
        Mutant("ℓ2: the largest norm alone", l2_linear_complexity, _largest_norm),
        Mutant("ℓ2: the sum of the norms", l2_linear_complexity, _sum_of_norms),
        Mutant("ℓ1: the logarithm is forgotten", l1_linear_complexity, _without_log),
        Mutant("finite class: the logarithm is forgotten", massart00_finite_class, _massart_without_log),
        Mutant("ℓ2: 0.9 of the form", l2_linear_complexity, scaled(0.9)),
        Mutant("ℓ1: 0.9 of the form", l1_linear_complexity, scaled(0.9)),
        Mutant("finite class: 0.9 of the form", massart00_finite_class, scaled(0.9)),
    ),
    power=Scaled(massart00_finite_class),
)
def closed_forms_bound_linear_and_finite_classes(rows: Rows, /) -> Evidence:
    """The Rademacher complexities of the ℓ2 ball, the ℓ1 ball and a finite class are at most their closed
    forms: the first is attained by orthogonal points, the others are loose by √(2 ln 2) = 1.18 on the cube of
    all sign vectors.

    The worst ratio seen must reach 0.999 for the ℓ2 ball, 0.7 for the ℓ1 ball and 0.8 for the finite class.
    """
    reach = {"ℓ2": (rows.l2, 0.999), "ℓ1": (rows.l1, 0.7), "finite": (rows.finite, 0.8)}
    return Joint(
        parts={
            **{
                name: WorstRatio(attempts=rows.trials, ratio=ratio, must_reach=least)
                for name, (ratio, least) in reach.items()
            },
            "cube": Identity.of(rows.cube, [CUBE, CUBE], tolerance=1e-9),
        }
    )


@claim(
    section="5.5",
    formula=r"\operatorname{Rad}_n(\psi\circ H) \le L \operatorname{Rad}_n(H),\quad"
    r" \operatorname{Rad}_n(h\circ F) \le \sqrt2\, L \operatorname{Rad}^{vec}_n(F)",
    source="maurer2016vector",
    place="the vector contraction inequality",
    assumes=("ψ and h are L-Lipschitz, h in the Euclidean norm.",),
    experiment=contracted_complexities,
    control=HALVED,
    mutants=(
        Mutant("L² for L", talagrand_contraction, given(lipschitz=lambda constant: constant**2)),
        Mutant("√2 is forgotten", maurer16_vector_contraction, scaled(2**-0.5)),
        Mutant("2 for √2", maurer16_vector_contraction, scaled(2**0.5)),
    ),
    power=Scaled(maurer16_vector_contraction),
)
def lipschitz_functions_contract_rademacher_complexity(rows: Rows, /) -> Evidence:
    """Composing with L-Lipschitz functions multiplies the Rademacher complexity by at most L, and for
    functions of vectors by at most √2·L times the vector complexity; both constants are attained.

    {±(1, 1)} on one point attains √2.
    """
    return Joint(
        parts={
            name: WorstRatio(attempts=len(rows[name]), ratio=max(rows[name]), must_reach=0.999)
            for name in ("scalar", "vector")
        }
    )


@claim(
    section="5.5",
    formula=r"\mathbb E h \le \tfrac1n\textstyle\sum_i h(x_i) + 2\,\widehat{\operatorname{Rad}}_n(H)"
    r" + 3\sqrt{\ln(2/\delta)/2n}\quad \forall h\in H",
    source="bartlett2002rademacher",
    place="constants derived here",
    assumes=("h takes values in [0, 1].", "The class was fixed before the sample was drawn."),
    experiment=deviations_of_all_tables,
    control=Control("the class is taken for a single function", counted=0.0),
    mutants=(
        *(
            Mutant(what, bartlett02_deviation_radius, arguments(lambda complexity, s=share: s * complexity))
            for what, share in (
                ("the complexity is left out", 0.0),
                ("the complexity once", 0.5),
                ("1.8 complexities", 0.9),
                ("2.2 complexities", 1.1),
            )
        ),
        Mutant("no deviation", bartlett02_deviation_radius, _no_deviation),
        Mutant(
            "0.9 of the deviation",
            bartlett02_deviation_radius,
            given(delta=lambda delta: 2 * (delta / 2) ** 0.81),
        ),
        Mutant("0.9 of the complexity", exact_rademacher, scaled(0.9)),
        Mutant("ln(1/δ) for ln(2/δ)", bartlett02_deviation_radius, delta_times(2)),
    ),
    power=Scaled(bartlett02_deviation_radius),
)
def rademacher_bound_covers_a_rich_class(rows: Rows, /) -> Evidence:
    """With probability at least 1 − δ every function of the class has mean at most its sample mean plus
    twice the class's empirical Rademacher complexity plus 3√(ln(2/δ)/2n); for the class of all tables both
    complexities are needed, and a third of the deviation.

    "two complexities": at K = n/2 they alone are the mean. "as printed": the radius at δ = ½, where the 2 in
    the logarithm counts, which no world needs.
    """
    radius = bartlett02_deviation_radius(0.25, n=100, delta=0.5)
    return Joint(
        parts={
            "complexity of all tables": Identity.of([rows.enumerated], [rows.complexity], tolerance=1e-9),
            "covers": Inequality.of(rows.missed, [DELTA] * len(rows.missed)),
            "two complexities": WorstRatio(
                attempts=1, ratio=HALF / max(rows.from_complexity, 1e-9), slack=1e-6, must_reach=0.999
            ),
            "a third of the deviation": Identity.of([rows.deviation], [3.0], tolerance=0.02),
            "as printed": Identity.of([radius], [0.5 + 3 * math.sqrt(math.log(4) / 200)], tolerance=1e-9),
        }
    )


@claim(
    section="5.5",
    formula=r"\operatorname{Rad}_n \le \tfrac1n \textstyle\prod_j M_j"
    r"\,(\sqrt{2 d \ln 2} + 1)(\sum_i \lVert x_i \rVert^2)^{1/2}",
    source="golowich2018size",
    place="Theorem 1",
    assumes=("ReLU nets of depth d with Frobenius norms at most M_j.",),
    experiment=complexities_and_bounds_of_relu_nets,
    control=Control("the norms are taken to be 1", norms=1.0),
    mutants=(
        Mutant("√ΠM_j for ΠM_j", golowich18_relu_net, given(norm_product=math.sqrt)),
        Mutant("vectors: √ΠM_j for ΠM_j", golowich18_vector_relu_net, given(norm_product=math.sqrt)),
        Mutant("0.9 of the bound", golowich18_relu_net, scaled(0.9)),
        Mutant("vectors: 0.9 of the bound", golowich18_vector_relu_net, scaled(0.9)),
        Mutant("depth 1 whatever the depth", golowich18_relu_net, given(depth=1)),
        Mutant("the depth for its root", golowich18_relu_net, given(depth=lambda depth: depth**2)),
    ),
    power=Scaled(golowich18_relu_net, towards="less"),
)
def frobenius_norms_bound_the_complexity_of_relu_nets(rows: Rows, /) -> Evidence:
    """The Rademacher complexity of ReLU nets is at most the product of the layers' Frobenius norms times a
    factor that grows with the root of the depth; so it is, with constants derived here, for k outputs. The
    factor is not attained: on orthogonal points the bound is 3.35 times the complexity of nets of one unit a
    layer at depth 2, where these are the best there are, and 3.82, 4.22, 4.57 and 4.89 times that at depths 3
    to 6; it is 2.18 times that of linear maps.

    "loose by": the bounds over what linear maps, and one unit a layer, bring on orthogonal points.
    """
    one, two = (2.18, 3.35, 3.82, 4.22, 4.57, 4.89), (4.33, 4.67, 5.05, 5.41, 5.74)
    return Joint(
        parts={
            "plane, one output": Inequality.of(rows.one_output, rows.bound_for_one),
            "plane, two outputs": Inequality.of(rows.two_outputs, rows.bound_for_two),
            "loose by": Identity.of(rows.loose, one, tolerance=0.005),
            "loose by, two outputs": Identity.of(rows.loose_for_two, two, tolerance=0.005),
        }
    )
