"""The distillation bound: a teacher f inherits the bound of the simple student g distilled from it.

Hsu, Ji, Telgarsky & Wang (2021), constants derived here. For every f ∈ F and g ∈ G_j (classes fixed before
the data, weights Σp_j ≤ 1), n labelled points and m unlabelled points of the same law, with probability ≥ 1
− δ

    Pr[argmax f(x) ≠ y] ≤ (2/n)Σ(1 − φ_γ(g(x_i))_{y_i}) + (2/γ)·Rad^vec_n(G_j) + 6√(ln(4/(δp_j))/2n)
                        + 2Φ^TV_{γ,m}(f, g) + (2√2/γ)(Rad^vec_m(F) + Rad^vec_m(G_j)) + 6√(ln(4/(δp_j))/2m).

Proof: the error is at most 2(1 − φ_γ(f)_y), and 1 − φ_γ(f)_y ≤ (1 − φ_γ(g)_y) + ½‖φ_γ(f) − φ_γ(g)‖₁; then the
uniform deviation bound twice, each with δ/2, by vector contraction: 1 − φ_γ(·)_y is √2/(4γ)-Lipschitz, the
distance 1/(2γ)-Lipschitz in (f, g) together; a union over j. Vacuous where n or m is below 18 ln(4/δ).
"""

from __future__ import annotations

import math

from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.bounds.assumptions import CLASSES_FIXED, DRAWN, ONE_LAW, UNSEEN
from kdtheory.bounds.distilled import Setting, check_complexity, six_terms, student_losses
from kdtheory.bounds.margins import distillation_error, softmax_confidence, softmax_distance
from kdtheory.bounds.result import Bound, in_proportion
from kdtheory.doors import door
from kdtheory.validate import check_at_least, check_flags, check_fraction, check_weight

__all__ = ["hsu21_as_printed", "hsu21_distillation", "hsu21_distillation_by_margins"]

Terms = dict[str, float]


@door
def hsu21_distillation(
    student_logits: Float[Tensor, "n k"],
    labels: Int[Tensor, "n"],
    student_unlabelled: Float[Tensor, "m k"],
    teacher_unlabelled: Float[Tensor, "m k"],
    /,
    *,
    gamma: float,
    delta: float,
    student_complexity: float,
    joint_complexity: float | None = None,
    weight: float = 1.0,
    gamma_weight: float = 1.0,
    density_ratio: float = 1.0,
    fixed_in_advance: bool,
    drawn_afterwards: bool,
    independent_draws: bool,
    same_law: bool,
) -> Bound:
    """Pr[argmax f ≠ y] ≤ the six terms above: loss, complexity and deviation of g; then those of f and g.

    Hsu et al. (2021), constants derived here. `joint_complexity=None` is the usual case in which f and g were
    fixed before the unlabelled points were drawn: the second line is then 2Φ^TV + 2√(ln(2/δ)/2m).

    Args:
        student_logits: g on the labelled points.
        labels: their labels.
        student_unlabelled: g on the unlabelled points.
        teacher_unlabelled: f on the unlabelled points.
        gamma: γ, chosen beforehand or paid for in `gamma_weight`.
        delta: δ.
        student_complexity: Rad^vec_n(G_j), or an upper bound on it.
        joint_complexity: Rad^vec_m(F) + Rad^vec_m(G_j), or None.
        weight: p_j, of the class that was chosen after the data.
        gamma_weight: of γ among those that were to choose from after the data, such as 1/J for one of J; a
            choice of γ is paid for in both lines, that of the class only where functions are not fixed.
        density_ratio: ‖dμ/dν‖_∞ where the unlabelled points are drawn from ν instead of μ; multiplies the
            second line.
        fixed_in_advance: whether the classes, the candidates of γ and all shares of δ were fixed before any
            data.
        drawn_afterwards: whether the unlabelled points were drawn after f and g were fixed; not asked for,
            and not printed, where there is a joint complexity.
        independent_draws: whether the points are independent draws.
        same_law: whether the unlabelled points are independent draws from the distribution of labelled
            ones (or one of the density ratio given).

    Raises:
        ValueError: γ, δ, a complexity, p_j or the density ratio out of range, or logits or labels that are.

    >>> import torch
    >>> sure = torch.tensor([[9.0, 0.0]]).repeat(10_000, 1).double()
    >>> bound = hsu21_distillation(sure, torch.zeros(10_000).long(), sure, sure, gamma=1.0, delta=0.05,
    ...     student_complexity=0.01, fixed_in_advance=True, drawn_afterwards=True, independent_draws=True,
    ...     same_law=True)
    >>> [round(term, 4) for term in bound.terms.values()]
    [0.0002, 0.02, 0.0888, 0.0, 0.0, 0.0272]
    """
    words = _assumptions(fixed_in_advance, drawn_afterwards, independent_draws, same_law, joint_complexity)
    setting = Setting(
        gamma=gamma, delta=delta, gamma_weight=gamma_weight, density_ratio=density_ratio, weight=weight
    )
    check_complexity("student_complexity", student_complexity)
    losses = student_losses(student_logits, labels, gamma=gamma, surrogate=False)
    apart = softmax_distance(student_unlabelled, teacher_unlabelled, gamma=gamma)
    complexities = student_complexity, joint_complexity
    return _bound("hsu21_distillation", losses, apart, complexities, setting, words)


@door
def hsu21_distillation_by_margins(
    student_logits: Float[Tensor, "n k"],
    labels: Int[Tensor, "n"],
    student_unlabelled: Float[Tensor, "m k"],
    teacher_unlabelled: Float[Tensor, "m k"],
    /,
    *,
    gamma: float,
    delta: float,
    margin_complexity: float,
    joint_complexity: float | None = None,
    weight: float = 1.0,
    gamma_weight: float = 1.0,
    density_ratio: float = 1.0,
    fixed_in_advance: bool,
    drawn_afterwards: bool,
    independent_draws: bool,
    same_law: bool,
) -> Bound:
    """The bound with (2/n)Σσ(ln(k−1) − m_i/γ) + (1/γ)·Rad_n(margins of G_j) for the first two terms.

    Hsu et al. (2021), constants derived here: the lecture notes' "1/γ·Rad" of the margin class. m_i is the
    margin of g at x_i. Rad_n(margins) is at most 2·Rad^vec_n(G_j); the surrogate loss is the larger one.

    Args:
        student_logits: g on the labelled points.
        labels: their labels.
        student_unlabelled: g on the unlabelled points.
        teacher_unlabelled: f on the unlabelled points.
        gamma: γ.
        delta: δ.
        margin_complexity: Rad_n of the margins of G_j, or an upper bound on it.
        joint_complexity, weight, gamma_weight, density_ratio, fixed_in_advance, drawn_afterwards,
            independent_draws, same_law: as in `hsu21_distillation`.

    Raises:
        ValueError: γ, δ, a complexity, p_j or the density ratio out of range, or logits or labels that are.

    >>> import torch
    >>> sure = torch.tensor([[9.0, 0.0]]).repeat(10_000, 1).double()
    >>> bound = hsu21_distillation_by_margins(sure, torch.zeros(10_000).long(), sure, sure, gamma=1.0,
    ...     delta=0.05, margin_complexity=0.02, fixed_in_advance=True, drawn_afterwards=True,
    ...     independent_draws=True, same_law=True)
    >>> round(bound.terms["student's complexity"], 4)
    0.02
    """
    words = _assumptions(fixed_in_advance, drawn_afterwards, independent_draws, same_law, joint_complexity)
    setting = Setting(
        gamma=gamma, delta=delta, gamma_weight=gamma_weight, density_ratio=density_ratio, weight=weight
    )
    check_complexity("margin_complexity", margin_complexity)
    losses = student_losses(student_logits, labels, gamma=gamma, surrogate=True)
    apart = softmax_distance(student_unlabelled, teacher_unlabelled, gamma=gamma)
    complexities = margin_complexity / 2, joint_complexity
    return _bound("hsu21_distillation_by_margins", losses, apart, complexities, setting, words)


@door
def hsu21_as_printed(
    student_logits: Float[Tensor, "n k"],
    teacher_logits: Float[Tensor, "n k"],
    labels: Int[Tensor, "n"],
    /,
    *,
    gamma: float,
    delta: float,
    margin_complexity: float,
    weight: float = 1.0,
) -> Bound:
    """(2/n)Σ(1−φ_γ(g)_y) + 16/n + 6√((ln(2/δ)+ln lg n)/n) + 8Φ_{γ,n}(f,g) + Rad/γ + 6√(ln(1/p_j)/n).

    lg = log₂. As the lecture notes print it (Shen et al., 2021, after Hsu et al., 2021), for the one j and
    g given; there g and p_j stand outside the infimum over j and g. A heuristic: it is false where f
    depends on the sample. Φ_{γ,n} sees f on the sample only, and nothing controls it elsewhere.

    Args:
        student_logits: g on the labelled points.
        teacher_logits: f on the same points.
        labels: their labels.
        gamma: γ.
        delta: δ.
        margin_complexity: Rad_n of the margins of G_j.
        weight: p_j.

    Raises:
        ValueError: n < 2, γ, δ, the complexity or p_j out of range, or logits or labels that are.

    >>> import torch
    >>> sure = torch.tensor([[9.0, 0.0]]).repeat(1024, 1).double()
    >>> bound = hsu21_as_printed(sure, sure, torch.zeros(1024).long(), gamma=1.0, delta=2 / math.e,
    ...     margin_complexity=0.0)
    >>> bound.kind, round(bound.terms["sixteen over n"], 6), round(bound.terms["deviation"], 3)
    ('heuristic', 0.015625, 0.341)
    """
    check_fraction("delta", delta, open_interval=True)
    check_weight("weight", weight)
    check_at_least("number of labelled points", len(labels), 2)
    check_complexity("margin_complexity", margin_complexity)
    losses = 1 - softmax_confidence(student_logits, labels, gamma=gamma)
    loss = 2 * float(losses.detach().double().mean())
    apart = 8 * float(distillation_error(student_logits, teacher_logits, labels, gamma=gamma).detach())
    rate, n = margin_complexity * math.sqrt(len(labels)) / gamma, len(labels)

    def terms(size: int) -> Terms:
        log = math.log(2 / delta) + math.log(max(math.log2(size), 1))
        return {
            "student's loss": loss,
            "sixteen over n": 16 / size,
            "deviation": 6 * math.sqrt(log / size),
            "distillation error": apart,
            "student's complexity": rate / math.sqrt(size),
            "choice of the class": 6 * math.sqrt(math.log(1 / weight) / size),
        }

    assumptions = {"the statement has a proof": False}
    quantities = {"n": n, "gamma": gamma}
    found = terms(n)
    return Bound(
        "hsu21_as_printed",
        sum(found.values()),
        found,
        delta,
        assumptions,
        value_at=lambda size: sum(terms(size).values()),
        least=2,
        quantities=quantities,
    )


def _bound(
    name: str,
    losses: Tensor,
    apart: Tensor,
    complexities: tuple[float, float | None],
    setting: Setting,
    words: dict[str, bool],
) -> Bound:
    """The six terms; with another n, m keeps its share, and complexities fall as the square root."""
    check_complexity("joint_complexity", complexities[1] or 0.0)
    n, m = len(losses), len(apart)
    loss, distance = float(losses.detach().double().mean()), float(apart.mean().detach())

    def terms(size: int) -> Terms:
        shrunk, other = math.sqrt(n / size), in_proportion(m, size, n)
        student, joint = (None if rad is None else rad * shrunk for rad in complexities)
        return six_terms(
            size, other, loss=loss, distance=distance, student=student or 0.0, joint=joint, setting=setting
        )

    found = terms(n)
    return Bound(
        name,
        sum(found.values()),
        found,
        setting.delta,
        words,
        value_at=lambda size: sum(terms(size).values()),
        least=2,
        over="both samples",
        quantities={
            "n": n,
            "m": m,
            "weight": setting.weight,
            "gamma_weight": setting.gamma_weight,
            "density_ratio": setting.density_ratio,
        },
    )


def _assumptions(
    fixed_in_advance: bool,
    drawn_afterwards: bool,
    independent_draws: bool,
    same_law: bool,
    joint_complexity: float | None,
) -> dict[str, bool]:
    check_flags(
        fixed_in_advance=fixed_in_advance,
        drawn_afterwards=drawn_afterwards,
        independent_draws=independent_draws,
        same_law=same_law,
    )
    words = {DRAWN: independent_draws, CLASSES_FIXED: fixed_in_advance, ONE_LAW: same_law}
    return words if joint_complexity is not None else {**words, UNSEEN: drawn_afterwards}
