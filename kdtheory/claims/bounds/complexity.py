"""Chapter 5.5: Rademacher complexity, exact, sampled, in closed form, and contracted."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.bounds.complexity import (
    l1_linear_complexity,
    l2_linear_complexity,
    massart00_finite_class,
    maurer16_vector_contraction,
    talagrand_contraction,
)
from kdtheory.bounds.rademacher import (
    RademacherEstimate,
    exact_rademacher,
    finite_class,
    linear_class,
    sampled_rademacher,
)
from kdtheory.claims.bounds.wrong import scaled
from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Equality, Evidence, Identity, Joint, WorstRatio
from kdtheory.search import worst_case
from kdtheory.streams import Stream

HALVED = Control("the right side is halved", share=0.5)
CUBE = 1 / math.sqrt(2 * math.log(2))
Supremum = Callable[[Tensor], Tensor]


def _over_n_less_one(
    supremum: Supremum,
    signs: int,
    /,
    *,
    points: int | None = None,
    _true: Callable[..., float] = exact_rademacher,
) -> float:
    return _true(supremum, signs, points=(points or signs) - 1)


def _signs_zero_or_one(
    supremum: Supremum,
    signs: int,
    /,
    *,
    _true: Callable[..., RademacherEstimate] = sampled_rademacher,
    **settings: object,
) -> RademacherEstimate:
    return _true(lambda signs: supremum((signs + 1) / 2), signs, **settings)


def _largest_norm(inputs: Tensor, /, *, radius: float) -> float:
    return radius * float(inputs.norm(dim=-1).max()) / len(inputs)


def _sum_of_norms(inputs: Tensor, /, *, radius: float) -> float:
    return radius * float(inputs.norm(dim=-1).sum()) / len(inputs)


def _without_log(inputs: Tensor, /, *, radius: float) -> float:
    return radius * float(inputs.norm(dim=0).max()) / len(inputs)


def _massart_without_log(values: Tensor, /) -> float:
    return float(values.norm(dim=-1).max()) / values.shape[1]


def _lipschitz_squared(complexity: float, /, *, lipschitz: float) -> float:
    return complexity * lipschitz**2


def _without_root_two(complexity: float, /, *, lipschitz: float) -> float:
    return complexity * lipschitz


def _two_for_root_two(complexity: float, /, *, lipschitz: float) -> float:
    return 2 * complexity * lipschitz


@claim(
    section="5.5",
    formula=r"\operatorname{Rad}_n(H)"
    r" = \mathbb E_\varepsilon \sup_{h\in H} \tfrac1n \sum_i \varepsilon_i h(x_i)",
    source="bartlett2002rademacher",
    assumes=("The signs are independent and fair.",),
    control=Control("the supremum of absolute values is sampled", absolute=True),
    uses=(exact_rademacher, sampled_rademacher),
    mutants=(
        Mutant("divided by n − 1", exact_rademacher, _over_n_less_one),
        Mutant("signs 0 and 1 for ±1", sampled_rademacher, _signs_zero_or_one),
    ),
)
def sampled_rademacher_complexity_agrees_with_enumeration(
    setting: Setting, /, *, absolute: bool = False
) -> Evidence:
    """The mean over random signs estimates the Rademacher complexity that the sum over all 2^n sign vectors
    gives.

    Random classes of 6 functions on n = 10 points, all 1,024 sign vectors against 1,000 drawn ones; equal on
    average within 2 per cent.
    """
    trials, exact, sampled = setting.size(quick=60, full=600), [], []
    for trial in range(trials):
        stream = setting.stream.child(trial)
        values = torch.randn(6, 10, dtype=torch.float64, generator=stream.child("class").torch())
        exact.append(exact_rademacher(finite_class(values), 10))
        drawn = finite_class(torch.cat([values, -values]) if absolute else values)
        sampled.append(sampled_rademacher(drawn, 10, draws=1000, stream=stream.child("signs")).value)
    return Equality.of(sampled, exact, margin=0.02)


@claim(
    section="5.5",
    formula=r"\operatorname{Rad}_n\{\lVert w\rVert_2 \le B\}"
    r" \le \tfrac Bn (\textstyle\sum \lVert x_i\rVert^2)^{1/2},\quad"
    r" \operatorname{Rad}_n(H) \le \max_h \lVert h \rVert_2 \sqrt{2 \ln |H|}/n",
    source="massart2000some",
    control=HALVED,
    uses=(exact_rademacher, l2_linear_complexity, l1_linear_complexity, massart00_finite_class),
    mutants=(
        Mutant("ℓ2: the largest norm alone", l2_linear_complexity, _largest_norm),
        Mutant("ℓ2: the sum of the norms", l2_linear_complexity, _sum_of_norms),
        Mutant("ℓ1: the logarithm is forgotten", l1_linear_complexity, _without_log),
        Mutant("finite class: the logarithm is forgotten", massart00_finite_class, _massart_without_log),
        Mutant("ℓ2: 0.9 of the form", l2_linear_complexity, scaled(l2_linear_complexity, 0.9)),
        Mutant("ℓ1: 0.9 of the form", l1_linear_complexity, scaled(l1_linear_complexity, 0.9)),
        Mutant("finite class: 0.9 of the form", massart00_finite_class, scaled(massart00_finite_class, 0.9)),
    ),
    power=Scaled(massart00_finite_class),
)
def closed_forms_bound_linear_and_finite_classes(setting: Setting, /, *, share: float = 1.0) -> Evidence:
    """The Rademacher complexities of the ℓ2 ball, the ℓ1 ball and a finite class are at most their closed
    forms: the first is attained by orthogonal points, the others are loose by √(2 ln 2) = 1.18 on the cube of
    all sign vectors.

    Exact complexities of n = 8 points over all signs, random ones and those that a search finds hardest for
    each form; the worst ratio seen must reach 0.999 for the ℓ2 ball, 0.7 for the ℓ1 ball and 0.8 for the
    finite class. "cube": the 256 vectors of signs as a finite class, and the 128 of them that begin with +1
    as coordinates of 8 points for the ℓ1 ball; the supremum is n for every sign vector.
    """
    trials, ratios = setting.size(quick=20, full=200), [0.0, 0.0, 0.0]
    hardest = _hardest_points(setting.stream.child("search"), trials)
    for trial in range(trials):
        generator = setting.stream.child(trial).torch()
        points = torch.randn(8, 3, dtype=torch.float64, generator=generator)
        wide = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64, generator=generator))[0]
        cube = 2.0 * (torch.arange(256)[:, None] >> torch.arange(8) & 1).double() - 1
        classes = [[points, wide], [points, cube[:4].T, cube.T], [points.T, cube]]
        if trial == 0:
            classes = [[*known, found] for known, found in zip(classes, hardest, strict=True)]
        for inputs in classes[0]:
            bound = share * l2_linear_complexity(inputs, radius=2.0)
            ratios[0] = max(ratios[0], exact_rademacher(linear_class(inputs, radius=2.0), 8) / bound)
        for inputs in classes[1]:
            bound = share * l1_linear_complexity(inputs, radius=2.0)
            exact = exact_rademacher(linear_class(inputs, radius=2.0, norm="l1"), 8)
            ratios[1] = max(ratios[1], exact / bound)
        for values in classes[2]:
            bound = share * massart00_finite_class(values)
            ratios[2] = max(ratios[2], exact_rademacher(finite_class(values), 8) / bound)
    reach = zip(("ℓ2", "ℓ1", "finite"), ratios, (0.999, 0.7, 0.8), strict=True)
    return Joint(
        parts={
            **{
                name: WorstRatio(attempts=trials, ratio=ratio, must_reach=least)
                for name, ratio, least in reach
            },
            "cube": Identity.of(_on_the_cube(share), [CUBE, CUBE], tolerance=1e-9),
        }
    )


def _on_the_cube(share: float) -> list[float]:
    """Complexity over closed form of the ℓ1 ball and of the finite class, on all sign vectors."""
    cube = 2.0 * (torch.arange(256)[:, None] >> torch.arange(8) & 1).double() - 1
    half = cube[cube[:, 0] > 0].T.contiguous()
    ball = exact_rademacher(linear_class(half, radius=2.0, norm="l1"), 8)
    finite = exact_rademacher(finite_class(cube), 8)
    return [
        ball / (share * l1_linear_complexity(half, radius=2.0)),
        finite / (share * massart00_finite_class(cube)),
    ]


def _hardest_points(stream: Stream, attempts: int) -> list[Tensor]:
    """Eight points in R³ for each ball, and six functions on eight points, as near their forms as may be."""
    signs = 2.0 * (torch.arange(256)[:, None] >> torch.arange(8) & 1).double() - 1

    def euclidean(flat: Tensor) -> Tensor:
        found: Tensor = (signs @ flat.view(-1, 8, 3)).norm(dim=-1).mean(-1) / flat.norm(dim=-1)
        return found

    def supremum(flat: Tensor) -> Tensor:
        points = flat.view(-1, 8, 3)
        found: Tensor = (signs @ points).abs().amax(-1).mean(-1) / points.norm(dim=1).amax(-1)
        return found

    def finite(flat: Tensor) -> Tensor:
        values = flat.view(-1, 6, 8)
        found: Tensor = (signs @ values.mT).amax(-1).mean(-1) / values.norm(dim=-1).amax(-1)
        return found

    hardest = []
    for ratio, shape in ((euclidean, (8, 3)), (supremum, (8, 3)), (finite, (6, 8))):
        starts = torch.randn(
            attempts, math.prod(shape), dtype=torch.float64, generator=stream.child(ratio.__name__).torch()
        )
        hardest.append(worst_case(ratio, starts, steps=100).witness.view(shape))
    return hardest


@claim(
    section="5.5",
    formula=r"\operatorname{Rad}_n(\psi\circ H) \le L \operatorname{Rad}_n(H),\quad"
    r" \operatorname{Rad}_n(h\circ F) \le \sqrt2\, L \operatorname{Rad}^{vec}_n(F)",
    source="maurer2016vector",
    assumes=("ψ and h are L-Lipschitz, h in the Euclidean norm.",),
    control=HALVED,
    uses=(exact_rademacher, talagrand_contraction, maurer16_vector_contraction),
    mutants=(
        Mutant("L² for L", talagrand_contraction, _lipschitz_squared),
        Mutant("√2 is forgotten", maurer16_vector_contraction, _without_root_two),
        Mutant("2 for √2", maurer16_vector_contraction, _two_for_root_two),
    ),
    power=Scaled(maurer16_vector_contraction),
)
def lipschitz_functions_contract_rademacher_complexity(
    setting: Setting, /, *, share: float = 1.0
) -> Evidence:
    """Composing with L-Lipschitz functions multiplies the Rademacher complexity by at most L, and for
    functions of vectors by at most √2·L times the vector complexity; both constants are attained.

    Exact complexities over all signs: random classes under L·min(h, c) and |·| with L = 3, and classes of 6
    functions to R² on 5 points under a linear form of norm L. {±(1, 1)} on one point attains √2.
    """
    trials, lipschitz, worst, vector = setting.size(quick=40, full=400), 3.0, 0.0, 0.0
    for trial in range(trials):
        generator = setting.stream.child(trial).torch()
        values = torch.randn(6, 8, dtype=torch.float64, generator=generator)
        bound = share * talagrand_contraction(exact_rademacher(finite_class(values), 8), lipschitz=lipschitz)
        for contracted in (values.clamp_max(1.0), values.abs(), values):
            worst = max(worst, exact_rademacher(finite_class(lipschitz * contracted), 8) / bound)
        vectors = torch.randn(6, 5, 2, dtype=torch.float64, generator=generator)
        form = torch.randn(2, dtype=torch.float64, generator=generator)
        vector = max(vector, _vector_ratio(vectors, form) / share)
    pair = torch.tensor([[[1.0, 1.0]], [[-1.0, -1.0]]], dtype=torch.float64)
    vector = max(vector, _vector_ratio(pair, torch.ones(2, dtype=torch.float64)) / share)
    return Joint(
        parts={
            "scalar": WorstRatio(attempts=3 * trials, ratio=worst, must_reach=0.999),
            "vector": WorstRatio(attempts=trials + 1, ratio=vector, must_reach=0.999),
        }
    )


def _vector_ratio(vectors: Tensor, form: Tensor) -> float:
    """Rad(h∘F) over √2·L·Rad^vec(F) for h = ⟨form, ·⟩ and a class given by its values, functions × n × k."""
    n, k = vectors.shape[1:]
    whole = exact_rademacher(finite_class(vectors.flatten(1)), n * k, points=n)
    bound = maurer16_vector_contraction(whole, lipschitz=float(form.norm()))
    return exact_rademacher(finite_class(vectors @ form), n) / bound
