"""Rademacher complexities by enumeration of all signs, beside samples, closed forms and contractions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy import special, stats
from torch import Tensor

from kdtheory.bounds.complexity import (
    l1_linear_complexity,
    l2_linear_complexity,
    massart00_finite_class,
    maurer16_vector_contraction,
    talagrand_contraction,
)
from kdtheory.bounds.deviation import bartlett02_deviation_radius
from kdtheory.bounds.rademacher import exact_rademacher, finite_class, linear_class, sampled_rademacher
from kdtheory.experiments.bounds.enumeration import LOG_TINY, needed_radius
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.search import worst_case

RADIUS = 2.0
DELTA = 0.05
HALF = 0.5


def functions_alone(values: Tensor, /) -> Tensor:
    """The class as it is."""
    return values


def with_their_negatives(values: Tensor, /) -> Tensor:
    """The functions and their negatives, whose supremum is that of absolute values."""
    return torch.cat([values, -values])


@experiment
def exact_and_sampled_complexities(
    run: Run, /, *, sampled: Callable[[Tensor], Tensor] = functions_alone
) -> Rows:
    """60 random classes of 6 functions on n = 10 points: the complexity over all 1,024 sign vectors, and over
    1,000 drawn ones, the latter of the class that `sampled` makes of it.
    """
    rows = []
    for trial in range(run.size(quick=60, full=600)):
        stream = run.stream.child(trial)
        values = torch.randn(6, 10, dtype=torch.float64, generator=stream.child("class").torch())
        drawn = sampled_rademacher(
            finite_class(sampled(values)), 10, draws=1000, stream=stream.child("signs")
        )
        rows.append((exact_rademacher(finite_class(values), 10), drawn.value))
    exact, estimate = np.array(rows).T
    return Rows(exact=exact, sampled=estimate)


@experiment
def classes_hardest_for_their_closed_forms(run: Run, /) -> Rows:
    """Eight points in R³ for the ℓ2 and for the ℓ1 ball, and six functions on eight points, whose complexity
    over its closed form is the largest that a search from 20 starts finds.
    """
    signs, attempts = _cube(), run.size(quick=20, full=200)

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

    def hardest(ratio: Callable[[Tensor], Tensor], *shape: int) -> Tensor:
        generator = run.stream.child(ratio.__name__).torch()
        starts = torch.randn(attempts, math.prod(shape), dtype=torch.float64, generator=generator)
        return worst_case(ratio, starts, steps=100, polished=1).witness.view(shape)

    return Rows(l2=hardest(euclidean, 8, 3), l1=hardest(supremum, 8, 3), finite=hardest(finite, 6, 8))


@experiment
def complexities_over_their_closed_forms(run: Run, /, *, share: float = 1.0) -> Rows:
    """Exact complexities of n = 8 points over `share` of their closed forms, the largest ratio for each: of
    20 random classes, of orthogonal points for the ℓ2 ball, of those that a search finds hardest, and of the
    cube of all sign vectors: its 256 vectors as a finite class, and the 128 of them that begin with +1 as
    coordinates of 8 points for the ℓ1 ball, for which the supremum is n whatever the signs.
    """
    hardest, cube = classes_hardest_for_their_closed_forms.rows(run), _cube()
    half = cube[cube[:, 0] > 0].T.contiguous()
    balls, boxes, classes = [hardest.l2], [hardest.l1, cube[:4].T, cube.T], [hardest.finite, cube]
    trials = run.size(quick=20, full=200)
    for trial in range(trials):
        generator = run.stream.child(trial).torch()
        points = torch.randn(8, 3, dtype=torch.float64, generator=generator)
        orthogonal = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64, generator=generator))[0]
        balls += [points, orthogonal]
        boxes.append(points)
        classes.append(points.T)
    return Rows(
        trials=trials,
        l2=max(map(_of_a_ball, balls)) / share,
        l1=max(map(_of_a_box, boxes)) / share,
        finite=max(map(_of_a_class, classes)) / share,
        cube=np.array([_of_a_box(half), _of_a_class(cube)]) / share,
    )


@experiment
def contracted_complexities(run: Run, /, *, share: float = 1.0) -> Rows:
    """40 random classes under L·min(h, 1), L·|h| and L·h, L = 3, and as many of 6 functions to R² on 5 points
    under a linear form of norm L: exact complexities over `share` of their bounds, the largest ratio of each.
    {±(1, 1)} on one point is among the latter.
    """
    lipschitz, scalar, vector = 3.0, [], []
    for trial in range(run.size(quick=40, full=400)):
        generator = run.stream.child(trial).torch()
        values = torch.randn(6, 8, dtype=torch.float64, generator=generator)
        bound = talagrand_contraction(exact_rademacher(finite_class(values), 8), lipschitz=lipschitz)
        for contracted in (values.clamp_max(1.0), values.abs(), values):
            scalar.append(exact_rademacher(finite_class(lipschitz * contracted), 8) / (share * bound))
        vectors = torch.randn(6, 5, 2, dtype=torch.float64, generator=generator)
        form = torch.randn(2, dtype=torch.float64, generator=generator)
        vector.append(_vector_ratio(vectors, form) / share)
    pair = torch.tensor([[[1.0, 1.0]], [[-1.0, -1.0]]], dtype=torch.float64)
    vector.append(_vector_ratio(pair, torch.ones(2, dtype=torch.float64)) / share)
    return Rows(scalar=scalar, vector=vector)


@experiment
def deviations_of_all_tables(run: Run, /, *, counted: float = 1.0) -> Rows:
    """Half of all points are new at each draw, and the class holds every table of 0 and 1 on them, nothing on
    the others; of its functions of mean ½ the one that the sample does not see has mean 0 there. With K of n
    points in that half, K ~ Bin(n, ½), the complexity is K/2n, of which `counted` is the share that is told.

    The complexity by enumeration for n = 8; P[miss] at δ = 0.05 by enumeration of K, n = 1,000 and 40,000;
    what the complexity adds to the radius at K = n/2; and the rest of the radius over what K's fluctuation
    asks for, δ = e^{−600} and n = 40,000.
    """
    size, inside = 8, run.size(quick=5, full=6)
    tables = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * inside)
    whole = torch.cat([tables, torch.zeros(len(tables), size - inside)], 1)
    missed = []
    for n in (1000, 40_000):
        spread = round(4 * math.sqrt(n))
        seen = np.arange(n // 2 - spread, n // 2 + spread)
        radii = [bartlett02_deviation_radius(counted * k / (2 * n), n=n, delta=DELTA) for k in seen.tolist()]
        chance = np.where(np.array(radii) < HALF, stats.binom.logpmf(seen, n, HALF), -np.inf)
        missed.append(float(np.exp(special.logsumexp(chance))))
    n, delta = 40_000, math.exp(LOG_TINY)
    deviation = bartlett02_deviation_radius(0.0, n=n, delta=delta)
    return Rows(
        enumerated=exact_rademacher(finite_class(whole), size),
        complexity=inside / (2 * size),
        missed=missed,
        from_complexity=bartlett02_deviation_radius(counted / 4, n=n, delta=delta) - deviation,
        deviation=deviation / needed_radius(n, LOG_TINY),
    )


def _cube() -> Tensor:
    """All 256 vectors of 8 signs."""
    return 2.0 * (torch.arange(256)[:, None] >> torch.arange(8) & 1).double() - 1


def _of_a_ball(inputs: Tensor) -> float:
    exact = exact_rademacher(linear_class(inputs, radius=RADIUS), 8)
    return exact / l2_linear_complexity(inputs, radius=RADIUS)


def _of_a_box(inputs: Tensor) -> float:
    exact = exact_rademacher(linear_class(inputs, radius=RADIUS, norm="l1"), 8)
    return exact / l1_linear_complexity(inputs, radius=RADIUS)


def _of_a_class(values: Tensor) -> float:
    return exact_rademacher(finite_class(values), 8) / massart00_finite_class(values)


def _vector_ratio(vectors: Tensor, form: Tensor) -> float:
    """Rad(h∘F) over √2·L·Rad^vec(F) for h = ⟨form, ·⟩ and a class given by its values, functions × n × k."""
    n, k = vectors.shape[1:]
    whole = exact_rademacher(finite_class(vectors.flatten(1)), n * k, points=n)
    bound = maurer16_vector_contraction(whole, lipschitz=float(form.norm()))
    return exact_rademacher(finite_class(vectors @ form), n) / bound
