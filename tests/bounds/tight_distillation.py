"""The distillation bounds, disagreement and products of p-values: where each is tight."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import torch
from scipy import optimize, stats
from tight import COIN, FIXED, POINTS, ZEROS, coin_radius, flips, within

from kdtheory import bounds
from kdtheory.bounds import exact_rademacher, finite_class

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
