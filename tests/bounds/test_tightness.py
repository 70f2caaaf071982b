"""Every bound from both sides: on an instance where it should be tight, truth ≤ bound ≤ factor·truth.

A case returns what is known of the truth by other means (an exact quantile, all sign vectors, arithmetic on
the instance) and what the bound says of it: all of it, its radius, or the term that the case is about. The
factor is what the bound's proof gives away there; the second test makes sure that no factor is so generous
that a constant 1.5 times too large would pass.

2^b independent coins are the worst class of their size: the least of their means misses ½ by the exact limit
of one coin at 1 − (1 − δ)^{2^−b}.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import cache

import pytest
import torch
from naive import precise_binomial_limit
from scipy import optimize, stats

from kdtheory import bounds
from kdtheory.bounds import Bound, NetNorms, exact_rademacher, finite_class, vector_linear_class

Case = Callable[[], tuple[float, float]]
CASES: dict[str, tuple[float, Case]] = {}
BITS, POINTS = 40, 100_000
FIXED = {"fixed_in_advance": True, "independent_draws": True}


def within(name: str, factor: float) -> Callable[[Case], Case]:
    """Register a case as that of a bound and, after a colon, of its part; with its factor."""

    def register(case: Case) -> Case:
        CASES[name] = factor, case
        return case

    return register


def flips(wrong: int, n: int) -> torch.Tensor:
    return (torch.arange(n) < wrong).double()


COIN = flips(POINTS // 2, POINTS)


def coin_radius(delta: float, *, n: int = POINTS, bits: int = 0) -> float:
    """How far above ½ the exact limit is where half of n are seen, for the least of 2^bits coins."""
    level = -math.expm1(math.log1p(-delta) / 2**bits)
    return float(stats.beta.isf(level, n // 2 + 1, n - n // 2)) - 0.5


def radius(bound: Bound) -> float:
    return bound.value - bound.terms["empirical risk"]


@within("clopper34_holdout", 1 + 1e-12)
def _() -> tuple[float, float]:
    found = bounds.clopper34_holdout(flips(6, 60), delta=0.05, **FIXED)
    return float(precise_binomial_limit(6, 60, math.log(0.05))) * (1 - 1e-15), found.value


@within("hoeffding63_kl_holdout: a fair coin", 1.1)
def _() -> tuple[float, float]:
    return coin_radius(1e-9), radius(bounds.hoeffding63_kl_holdout(COIN, delta=1e-9, **FIXED))


@within("hoeffding63_kl_holdout: no error", 1 + 1e-12)
def _() -> tuple[float, float]:
    found = bounds.hoeffding63_kl_holdout(torch.zeros(50), delta=0.05, **FIXED)
    return -math.expm1(math.log(0.05) / 50) * (1 - 1e-15), found.value


@within("hoeffding63_holdout", 1.1)
def _() -> tuple[float, float]:
    return coin_radius(1e-9), radius(bounds.hoeffding63_holdout(COIN, delta=1e-9, **FIXED))


@within("maurer09_holdout: a fair coin", 1.15)
def _() -> tuple[float, float]:
    return coin_radius(1e-9), radius(bounds.maurer09_holdout(COIN, delta=1e-9, **FIXED))


@within("maurer09_holdout: no error", 2.5)
def _() -> tuple[float, float]:
    found = bounds.maurer09_holdout(torch.zeros(POINTS), delta=1e-9, **FIXED)
    return -math.expm1(math.log(1e-9) / POINTS), found.value


@within("maurer09_finite_class", 1.15)
def _() -> tuple[float, float]:
    found = bounds.maurer09_finite_class(COIN, class_size=2**BITS, delta=0.05, **FIXED)
    return coin_radius(0.05, bits=BITS), radius(found)


@within("maurer09_covering", 3.8)
def _() -> tuple[float, float]:
    # √18 where a finite class has √2, and ln(10·2^b/δ); every function is a ball of its own.
    found = bounds.maurer09_covering(COIN, covering_number=2**BITS, delta=0.05, **FIXED)
    return coin_radius(0.05, bits=BITS), radius(found)


@within("blum99_progressive", 1.1)
def _() -> tuple[float, float]:
    found = bounds.blum99_progressive(
        COIN,
        guess=0.5,
        delta=1e-9,
        each_fixed_before_its_point=True,
        guess_made_without_the_points=True,
        independent_draws=True,
    )
    return coin_radius(1e-9), radius(found)


@within("langford05_occam", 1.001)
def _() -> tuple[float, float]:
    found = bounds.langford05_occam(
        COIN, bits=BITS, delta=0.05, coded_beforehand=True, independent_draws=True
    )
    return coin_radius(0.05, bits=BITS), radius(found)


@within("langford05_occam_kl", 1.1)
def _() -> tuple[float, float]:
    found = bounds.langford05_occam_kl(
        COIN, bits=BITS, delta=0.05, coded_beforehand=True, independent_draws=True
    )
    return coin_radius(0.05, bits=BITS), radius(found)


@within("maurer04_pac_bayes_kl", 1.2)
def _() -> tuple[float, float]:
    # P uniform on 2^b independent coins, Q the one that looks best; ê_Q from a thousand rounds.
    found = bounds.maurer04_pac_bayes_kl(
        flips(200, 400).repeat(1000, 1),
        divergence=BITS * math.log(2),
        delta=0.04,
        delta_sampling=0.01,
        prior_fixed=True,
        fresh_draws=True,
        independent_draws=True,
    )
    return coin_radius(0.05, n=400, bits=BITS), found.value - 0.5


@within("vapnik71: capacity", 2.2)
def _() -> tuple[float, float]:
    # 2 is symmetrisation's; the deviation is small beside the capacity of 2^b coins.
    found = bounds.vapnik71(
        0.5,
        n=POINTS,
        log_growth=lambda _: 200 * math.log(2),
        delta=0.05,
        fixed_in_advance=True,
        independent_draws=True,
    )
    return coin_radius(0.05, bits=200), radius(found)


@within("vapnik71: one function", 1.1)
def _() -> tuple[float, float]:
    found = bounds.vapnik71(
        0.5, n=POINTS, log_growth=lambda _: 0.0, delta=1e-9, fixed_in_advance=True, independent_draws=True
    )
    return coin_radius(1e-9), radius(found)


@within("bartlett02_deviation: a class", 2.6)
def _() -> tuple[float, float]:
    # The coins shifted to ±½ have ‖h‖₂ = √n/2: symmetrisation costs 2, the deviation adds three of its kind.
    massart = math.sqrt(2 * 200 * math.log(2) / POINTS) / 2
    found = bounds.bartlett02_deviation(COIN, complexity=massart, delta=0.05, **FIXED)
    return coin_radius(0.05, bits=200), radius(found)


@within("bartlett02_deviation: one function", 3.4)
def _() -> tuple[float, float]:
    found = bounds.bartlett02_deviation(COIN, complexity=0.0, delta=1e-9, **FIXED)
    return coin_radius(1e-9), radius(found)


# Twelve orthonormal points: every vector of outputs in a ball is attained, so suprema are Euclidean norms.
ORTHONORMAL = torch.eye(12, dtype=torch.float64)
SIZE, GAMMA = math.sqrt(12), 4.0
ZEROS = torch.zeros(12, dtype=torch.long)
TWO_OUTPUTS = {
    "norms": NetNorms((1.0,), (1.0,), (math.sqrt(2),), (12, 2)),
    "input_norm": SIZE,
    "gamma": GAMMA,
    "delta": 0.05,
    **FIXED,
}


def ramp_complexity(largest: float) -> float:
    """Rad_12 of ramp(m/γ), m in the ball of radius `largest` < γ: only points with ε = −1 are pushed."""
    return exact_rademacher(
        lambda signs: signs.sum(-1) + largest / GAMMA * (signs < 0).double().sum(-1).sqrt(), 12
    )


@within("golowich18_margin: complexity", 3.0)
def _() -> tuple[float, float]:
    # Depth 1, two outputs, ‖W‖_F ≤ 1, so ‖m‖ ≤ √2: √2 for the ramp's idle half, √2·√2 for vector contraction.
    found = bounds.golowich18_margin(torch.zeros(12, 2, dtype=torch.float64), ZEROS, **TWO_OUTPUTS)
    return 2 * ramp_complexity(math.sqrt(2)), found.terms["complexity"]


@within("bartlett17_margin: complexity", 26)
def _() -> tuple[float, float]:
    # The same maps: spectral norm 1, row sum √2. Chaining costs a factor a level, covering a logarithm.
    found = bounds.bartlett17_margin(torch.zeros(12, 2, dtype=torch.float64), ZEROS, **TWO_OUTPUTS)
    return 2 * ramp_complexity(math.sqrt(2)), found.terms["complexity"]


@within("bartlett17_complexity", 18)
def _() -> tuple[float, float]:
    # A linear map of norm 1/2 and one output, clipped to [0, 1].
    exact = exact_rademacher(lambda signs: (signs > 0).double().sum(-1).sqrt() / 2, 12)
    settings = {"ratios": [1.0], "widths": [12, 1], "input_norm": SIZE, "n": 12}
    return exact, bounds.bartlett17_complexity(spectral_product=0.5, **settings)


@within("harutyunyan23_kernel_margin: one output", 1.5)
def _() -> tuple[float, float]:
    found = bounds.harutyunyan23_kernel_margin(
        torch.zeros(12, dtype=torch.float64), squared_norm=1.0, trace=12.0, gamma=GAMMA, delta=0.05, **FIXED
    )
    return 2 * ramp_complexity(1.0), found.terms["complexity"]


@within("harutyunyan23_kernel_margin: two outputs", 3.0)
def _() -> tuple[float, float]:
    found = bounds.harutyunyan23_kernel_margin(
        torch.zeros(12, dtype=torch.float64),
        squared_norm=1.0,
        trace=12.0,
        gamma=GAMMA,
        delta=0.05,
        outputs=2,
        **FIXED,
    )
    return 2 * ramp_complexity(math.sqrt(2)), found.terms["complexity"]


@within("golowich18_relu_net: depth 1", 2.2)
def _() -> tuple[float, float]:
    exact = exact_rademacher(bounds.linear_class(ORTHONORMAL, radius=3.0), 12)
    return exact, bounds.golowich18_relu_net(norm_product=3.0, input_norm=SIZE, depth=1, n=12)


def one_unit(outputs: int, points: int) -> float:
    """Rad^vec on orthonormal points of nets that pass one unit on: x_i ↦ u_i·w, u ≥ 0 and ‖u‖ = ‖w‖ = 1.

    Given w, the best u is the positive part of Σ_j ε_ij w_j; w is one of 720 directions, or ±1.
    """
    angles = torch.linspace(0, 2 * math.pi, 721 if outputs == 2 else 3, dtype=torch.float64)[:-1]
    last = torch.stack([angles.cos(), angles.sin()])[:outputs]

    def supremum(signs: torch.Tensor) -> torch.Tensor:
        pushed = signs.unflatten(-1, (points, outputs)) @ last
        return pushed.clamp_min(0).norm(dim=1).amax(-1)

    return exact_rademacher(supremum, points * outputs, points=points)


@within("golowich18_relu_net: depth 2", 3.5)
def _() -> tuple[float, float]:
    return one_unit(1, 12), bounds.golowich18_relu_net(norm_product=1.0, input_norm=SIZE, depth=2, n=12)


@within("golowich18_relu_net: depth 5", 5.0)
def _() -> tuple[float, float]:
    # The same one unit passed on: Rademacher complexity need not grow with depth, the factor √(2d ln 2) does.
    return one_unit(1, 12), bounds.golowich18_relu_net(norm_product=1.0, input_norm=SIZE, depth=5, n=12)


@within("golowich18_vector_relu_net: depth 1", 1 + 1e-12)
def _() -> tuple[float, float]:
    points = ORTHONORMAL[:5]
    exact = exact_rademacher(vector_linear_class(points, radius=2.0, outputs=3), 15, points=5)
    found = bounds.golowich18_vector_relu_net(
        norm_product=2.0, input_norm=math.sqrt(5), depth=1, outputs=3, n=5
    )
    return exact * (1 - 1e-14), found


@within("golowich18_vector_relu_net: depth 2", 4.4)
def _() -> tuple[float, float]:
    found = bounds.golowich18_vector_relu_net(
        norm_product=1.0, input_norm=math.sqrt(5), depth=2, outputs=2, n=5
    )
    return one_unit(2, 5), found


# The distillation bound. By a hair: two logits that differ by almost nothing, so that φ_γ = ½ and is linear.
MANY, HAIR = 1_000_000, 1e-9


def told(first: float, second: float, n: int = MANY) -> torch.Tensor:
    return torch.tensor([[first, second]], dtype=torch.float64).expand(n, 2)


def labels_of(label: int, n: int = MANY) -> torch.Tensor:
    return torch.tensor([label]).expand(n)


LOOSE = {
    "gamma": 1.0,
    "delta": 0.05,
    "fixed_in_advance": True,
    "drawn_afterwards": True,
    "independent_draws": True,
    "same_law": True,
}


@within("hsu21_distillation: the student's loss", 1.02)
def _() -> tuple[float, float]:
    always_wrong = told(HAIR, 0.0)
    found = bounds.hsu21_distillation(
        always_wrong, labels_of(1), always_wrong, always_wrong, student_complexity=0.0, **LOOSE
    )
    return 1.0, found.value


@within("hsu21_distillation: the distance", 1.02)
def _() -> tuple[float, float]:
    student, teacher = told(40.0, 0.0), told(0.0, HAIR)
    found = bounds.hsu21_distillation(
        student, labels_of(0), student, teacher, student_complexity=0.0, **LOOSE
    )
    return 1.0, found.value


@within("hsu21_distillation: another law of unlabelled points", 1.03)
def _() -> tuple[float, float]:
    # All of μ lies where a quarter of ν does; there the student is right and the teacher wrong by a hair.
    student = told(40.0, 0.0)
    teacher = torch.cat([told(0.0, HAIR, MANY // 4), told(40.0, 0.0, 3 * MANY // 4)])
    found = bounds.hsu21_distillation(
        student, labels_of(0), student, teacher, student_complexity=0.0, density_ratio=4.0, **LOOSE
    )
    return 1.0, found.value


@within("hsu21_distillation: the unlabelled deviation", 1.1)
def _() -> tuple[float, float]:
    # Sure and opposite on every other point: the distance is a fair coin, at δ/2, and enters doubled.
    student = told(40.0, 0.0, POINTS)
    teacher = torch.where(COIN[:, None] > 0, student.flip(-1), student)
    found = bounds.hsu21_distillation(
        student,
        labels_of(0, POINTS),
        student,
        teacher,
        student_complexity=0.0,
        **{**LOOSE, "delta": 2e-9},
    )
    return 2 * coin_radius(1e-9), found.terms["unlabelled deviation"]


@within("hsu21_distillation: the labelled deviation", 3.4)
def _() -> tuple[float, float]:
    # The student is sure, and wrong on every other point; 3 is the price of a class that need not be fixed.
    student = told(40.0, 0.0, POINTS)
    found = bounds.hsu21_distillation(
        student,
        COIN.long(),
        student,
        student,
        student_complexity=0.0,
        **{**LOOSE, "delta": 2e-9},
    )
    return 2 * coin_radius(1e-9), found.terms["labelled deviation"]


SIGNS = torch.cartesian_prod(*3 * [torch.tensor([-1.0, 1.0], dtype=torch.float64)])
SPLIT = 1e-3 * SIGNS[..., None] * torch.tensor([1.0, -1.0], dtype=torch.float64)
"""Eight functions on three points: at each the logits are (h, −h) or (−h, h)."""
VECTOR = exact_rademacher(finite_class(SPLIT.flatten(1)), 6, points=3)


@within("hsu21_distillation: the student's complexity", 1.001)
def _() -> tuple[float, float]:
    losses = 1 - bounds.softmax_confidence(SPLIT, torch.zeros(8, 3, dtype=torch.long), gamma=0.7)
    found = bounds.hsu21_distillation(
        SPLIT[0], ZEROS[:3], SPLIT[0], SPLIT[0], student_complexity=VECTOR, **{**LOOSE, "gamma": 0.7}
    )
    return 4 * exact_rademacher(finite_class(losses), 3), found.terms["student's complexity"]


@within("hsu21_distillation: the joint complexity", 1.42)
def _() -> tuple[float, float]:
    # Far enough apart never to cross, f and g move on their own: √2 is lost where Rad^vec is split in two.
    away = 0.01 * torch.tensor([1.0, -1.0], dtype=torch.float64)
    pairs = (SPLIT + away)[:, None].expand(8, 8, 3, 2), (SPLIT - away).expand(8, 8, 3, 2)
    distances = bounds.softmax_distance(*pairs, gamma=0.7)
    found = bounds.hsu21_distillation(
        SPLIT[0],
        ZEROS[:3],
        SPLIT[0],
        SPLIT[0],
        student_complexity=0.0,
        joint_complexity=2 * VECTOR,
        **{**LOOSE, "gamma": 0.7},
    )
    return 4 * exact_rademacher(finite_class(distances.flatten(0, 1)), 3), found.terms["joint complexity"]


@within("hsu21_distillation_by_margins: the student's loss", 1.02)
def _() -> tuple[float, float]:
    always_wrong = told(HAIR, 0.0)
    found = bounds.hsu21_distillation_by_margins(
        always_wrong, labels_of(1), always_wrong, always_wrong, margin_complexity=0.0, **LOOSE
    )
    return 1.0, found.value


@within("hsu21_distillation_by_margins: the student's complexity", 1.001)
def _() -> tuple[float, float]:
    margins = bounds.multiclass_margin(SPLIT, torch.zeros(8, 3, dtype=torch.long))
    losses = bounds.margin_surrogate(margins, gamma=0.7, num_classes=2)
    found = bounds.hsu21_distillation_by_margins(
        SPLIT[0],
        ZEROS[:3],
        SPLIT[0],
        SPLIT[0],
        margin_complexity=exact_rademacher(finite_class(margins), 3),
        **{**LOOSE, "gamma": 0.7},
    )
    return 4 * exact_rademacher(finite_class(losses), 3), found.terms["student's complexity"]


@within("hsu21_as_printed: the student's loss", 1.02)
def _() -> tuple[float, float]:
    wrong = told(HAIR, 0.0)
    settings = {"gamma": 1.0, "delta": 0.05, "margin_complexity": 0.0}
    return 1.0, bounds.hsu21_as_printed(wrong, wrong, labels_of(1), **settings).value


@within("disagreement_transfer: where both errors add up", 1.05)
def _() -> tuple[float, float]:
    witness = bounds.clopper34_holdout(flips(10_000, POINTS), delta=0.025, **FIXED)
    found = bounds.disagreement_transfer(
        witness, flips(10_000, POINTS), delta=0.025, drawn_afterwards=True, same_law=True
    )
    return 0.2, found.value


@within("disagreement_transfer: four witnesses that are one", 1.1)
def _() -> tuple[float, float]:
    limit = bounds.disagreement_limit(COIN.repeat(4, 1), delta=1e-9)
    return coin_radius(1e-9), limit - 0.5


@within("joint_disagreement_transfer", 1.1)
def _() -> tuple[float, float]:
    n, k, differ = 60, 6, 4

    def likelihood(p: float, q: float) -> float:
        law = stats.binom.pmf(range(n + 1), n, q)
        return float(law @ stats.binom.cdf([k + differ - each for each in range(n + 1)], n, p))

    exact = max(
        p + optimize.brentq(lambda q, p=p: likelihood(p, q) - 0.05, 0, 1, xtol=1e-10)
        for p in torch.linspace(0, 0.2, 41).tolist()
        if likelihood(p, 0.0) > 0.05
    )
    found = bounds.joint_disagreement_transfer(
        flips(k, n),
        flips(differ, n),
        delta=0.05,
        witness_fixed_in_advance=True,
        predictor_fixed_in_advance=True,
        disjoint_samples=True,
        independent_draws=True,
        same_law=True,
    )
    return exact - (k + differ) / n, found.terms["joint radius"]


def free_of_events(points: int) -> float:
    """sup{p + q : (1−p)^n·(1−q)^n ≥ c}: p = q = 1 − c^{1/2n}."""
    return 2 * (1 - math.exp(bounds.fisher32_log_level(0.05) / (2 * points)))


@within("product_disagreement_transfer", 1.01)
def _() -> tuple[float, float]:
    witness = bounds.holdout_tail(torch.zeros(60), **FIXED)
    found = bounds.product_disagreement_transfer(
        witness, torch.zeros(60), delta=0.05, drawn_afterwards=True, same_law=True
    )
    return free_of_events(60), found.value


def fixed_student(form: Callable[..., bounds.Bound]) -> tuple[float, float]:
    sure, labels = torch.tensor([[60.0, 0.0]]).repeat(60, 1).double(), torch.zeros(60).long()
    words = {name: True for name in inspect.signature(form).parameters if name in FIXED_STUDENT}
    found = form(sure, labels, sure, sure, gamma=1.0, delta=0.05, **words)
    return 2 * free_of_events(60), found.value


FIXED_STUDENT = (
    "student_fixed_in_advance",
    "candidates_fixed_in_advance",
    "drawn_afterwards",
    "independent_draws",
    "same_law",
)


@within("hsu21_fixed_student", 1.01)
def _() -> tuple[float, float]:
    return fixed_student(bounds.hsu21_fixed_student)


@within("hsu21_fixed_student_by_margins", 1.01)
def _() -> tuple[float, float]:
    return fixed_student(bounds.hsu21_fixed_student_by_margins)


@cache
def outcome(name: str) -> tuple[float, float]:
    return CASES[name][1]()


@pytest.mark.parametrize("name", CASES)
def test_bound_is_true_and_within_its_factor(name: str) -> None:
    factor, (truth, found) = CASES[name][0], outcome(name)
    assert 0 < truth <= found <= factor * truth, f"{found / truth:.4f} times the truth"


@pytest.mark.parametrize("name", CASES)
def test_a_constant_half_as_large_again_would_be_noticed(name: str) -> None:
    factor, (truth, found) = CASES[name][0], outcome(name)
    assert 1.5 * found > factor * truth


def test_no_bound_is_left_out() -> None:
    returned = {
        name
        for name in bounds.__all__
        if inspect.isfunction(member := getattr(bounds, name))
        and inspect.get_annotations(member).get("return") == "Bound"
    }
    assert len(returned) > 15
    assert returned <= {name.partition(":")[0] for name in CASES}
