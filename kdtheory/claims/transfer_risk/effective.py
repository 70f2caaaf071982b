"""Chapter 6.4: the effective logits of a student of soft and hard labels (Ji & Zhu, 2020)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Joint
from kdtheory.claims.transfer_risk.worlds import contrast, two_columns
from kdtheory.losses import distillation
from kdtheory.networks import MLP
from kdtheory.ntk.effective_logits import distillation_slope, effective_logits, overruling_soft_ratio
from kdtheory.ntk.linear import LinearKernel
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.transfer_risk import interpolant

RATIOS = (0.3, 0.5, 0.8, 1.0)
TEMPERATURES = (1.0, 2.0, 3.0)
Logits = Callable[..., Tensor]


def _temperature_forgotten(
    *arrays: Tensor, soft_ratio: float, temperature: float = 1.0, temperature_squared: bool = False,
    _true: Logits = effective_logits,
) -> Tensor:  # fmt: skip
    return _true(*arrays, soft_ratio=soft_ratio)


def _hinton_factor(
    *arrays: Tensor, soft_ratio: float, temperature: float = 1.0, temperature_squared: bool = False,
    _true: Logits = effective_logits,
) -> Tensor:  # fmt: skip
    return _true(*arrays, soft_ratio=soft_ratio, temperature=temperature, temperature_squared=True)


def _mixed_probabilities(
    teacher: Tensor, labels: Tensor, /, *, soft_ratio: float, temperature: float = 1.0,
    temperature_squared: bool = False,
) -> Tensor:  # fmt: skip
    return torch.logit(soft_ratio * torch.sigmoid(teacher / temperature) + (1 - soft_ratio) * labels, 1e-9)


def _teacher_alone(teacher: Tensor, labels: Tensor, /, **_: float) -> Tensor:
    return teacher


def _threshold_half(teacher: Tensor, /, **_: float) -> Tensor:
    return torch.full_like(teacher, 0.5)


def _threshold_without_temperature(
    teacher: Tensor, /, *, temperature: float = 1.0, temperature_squared: bool = False,
    _true: Logits = overruling_soft_ratio,
) -> Tensor:  # fmt: skip
    return _true(teacher)


@claim(
    section="6.4",
    formula=r"L'(z) = \tfrac{\rho}{T}(\sigma(z/T) - \sigma(z_t/T)) + (1-\rho)(\sigma(z) - y) = 0"
    r"\text{ at } z_{\mathrm{eff}},\quad \Delta\hat w = \varphi(X)\,\Theta^{-1}(z_{\mathrm{eff}} - f_0(X))",
    source="ji2020knowledge",
    assumes=("The student can fit its points, and training has converged.", "0 < ρ ≤ 1."),
    control=Control("the student's weights are decayed", weight_decay=0.02),
    uses=(effective_logits, distillation),
    mutants=(
        Mutant("the temperature is forgotten", effective_logits, _temperature_forgotten),
        Mutant("a factor T² in the soft term", effective_logits, _hinton_factor),
        Mutant("the logit of the mixed labels", effective_logits, _mixed_probabilities),
        Mutant("the hard labels are forgotten", effective_logits, _teacher_alone),
    ),
    cost=3,
)
def students_of_soft_and_hard_labels_converge_to_effective_logits(
    setting: Setting, /, *, weight_decay: float = 0.0
) -> Evidence:
    """A student that minimises ρ·CE(soft) + (1 − ρ)·CE(hard) and can fit its points ends at the one root of
    the loss's slope on each of them, and a linear student there with the smallest weights that do so.

    Linear students of 40 features, started from zero, and nets of width 64, for twelve pairs (ρ, T); 10
    points, teacher's logits within ±3, labels that contradict it on some points; within 1 per cent.
    """
    points = torch.randn(10, 40, dtype=torch.float64, generator=setting.stream.child("points").torch())
    teacher = torch.linspace(-3, 3, 10, dtype=torch.float64)
    labels = (teacher > 0).long()
    labels[[0, 4, 7]] = 1 - labels[[0, 4, 7]]
    pairs = [(ratio, temperature) for ratio in RATIOS for temperature in TEMPERATURES]
    ends = torch.stack([effective_logits(teacher, labels, soft_ratio=r, temperature=t) for r, t in pairs])
    parts: dict[str, Evidence] = {}
    for name, architecture in (("linear", MLP((40, 2), bias=False)), ("nets", MLP((40, 64, 2), "tanh"))):
        zero = torch.zeros(len(pairs), architecture.size, dtype=torch.float64)
        students = train(
            architecture,
            points,
            labels,
            teacher_probs=two_columns(teacher),
            loss=distillation,
            settings={
                "weight": torch.tensor([ratio for ratio, _ in pairs]),
                "temperature": torch.tensor([temperature for _, temperature in pairs]),
                "temperature_squared": False,
            },
            members=len(pairs),
            stream=setting.stream.child(name),
            recipe=Recipe(
                steps=600,
                learning_rate=0.3 if name == "linear" else 0.1,
                optimizer="sgd",
                momentum=0.95,
                weight_decay=weight_decay,
                dtype=torch.float64,
            ),
            initial=zero if name == "linear" else None,
            device="cpu",
        )
        parts[name] = Identity.of(contrast(students.logits(points)), ends, tolerance=0.01)
        if name == "linear":
            weights = contrast(students.params.unflatten(-1, (2, 40)).mT)
            shortest = torch.stack([_shortest(points, end) for end in ends])
            parts["weights"] = Identity.of(weights, shortest, tolerance=0.01)
    return Joint(parts=parts)


def _shortest(points: Tensor, targets: Tensor) -> Tensor:
    """φ(X)Θ⁻¹z, the weights themselves."""
    return points.mT @ interpolant(LinearKernel(), points, targets).coefficients


@claim(
    section="6.4",
    formula=r"\operatorname{sign} z_{\mathrm{eff}} = \operatorname{sign}(y - \tfrac12)"
    r"\iff \rho < \frac{1}{1 + \tanh(|z_t|/2T)/T}\quad\text{where } z_t \text{ is wrong}",
    source="ji2020knowledge",
    assumes=("The teacher's logit has the wrong sign.",),
    control=Control("the teacher is right", teacher="right"),
    uses=(effective_logits, overruling_soft_ratio, distillation_slope),
    mutants=(
        Mutant("one half for every teacher", overruling_soft_ratio, _threshold_half),
        Mutant("the threshold at T = 1", overruling_soft_ratio, _threshold_without_temperature),
        Mutant("the temperature is forgotten", effective_logits, _temperature_forgotten),
    ),
    power=Scaled(overruling_soft_ratio, towards="less"),
)
def hard_label_overrules_a_wrong_teacher_below_a_threshold(
    setting: Setting, /, *, teacher: str = "wrong"
) -> Evidence:
    """Where the teacher is wrong the student sides with the hard label if and only if the soft ratio is below
    1/(1 + tanh(|z_t|/2T)/T).

    At the threshold the effective logit is zero and so is the slope there; one per cent below it the logit
    has the label's sign, one per cent above the teacher's. Random logits up to ±10 and temperatures 0.5 to 5.
    """
    trials, at, slopes, beside = setting.size(quick=40, full=400), [], [], []
    generator = setting.stream.torch()
    for _ in range(trials):
        size, hot = torch.rand(2, 1, dtype=torch.float64, generator=generator)
        logit, label = 0.1 + 9.9 * size, torch.ones(1, dtype=torch.long)
        logit, temperature = (-logit if teacher == "wrong" else logit), float(0.5 * 10**hot)
        ratio = float(overruling_soft_ratio(logit, temperature=temperature))
        zero = torch.zeros_like(logit)
        at.append(effective_logits(logit, label, soft_ratio=ratio, temperature=temperature))
        slopes.append(distillation_slope(zero, logit, label, soft_ratio=ratio, temperature=temperature))
        close = [
            effective_logits(logit, label, soft_ratio=min(1.0, share * ratio), temperature=temperature)
            for share in (0.99, 1.01)
        ]
        beside.append(torch.cat(close).sign())
    return Joint(
        parts={
            "zero at the threshold": Identity.of(
                torch.cat([*at, *slopes]), torch.zeros(2 * trials), tolerance=1e-9, effect=1.0
            ),
            "sides": Identity.of(
                torch.stack(beside), torch.tensor([[1.0, -1.0]]).expand(trials, 2), tolerance=1e-9
            ),
        }
    )
