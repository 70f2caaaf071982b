"""Chapter 7.6: on Gaussian and Gaussian-like inputs, ensembles and distillation bring next to nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Equality, Evidence, Joint
from kdtheory.claims.multiview.worlds import CLASSES, comparisons, replicated
from kdtheory.claims.transfer_risk.worlds import tangent_features
from kdtheory.losses import distillation, label_loss
from kdtheory.networks import MLP
from kdtheory.populations import train
from kdtheory.risk import accuracy
from kdtheory.streams import Stream

DIM, POINTS, FRESH, MEMBERS, STUDENTS = 10, 1000, 3000, 6, 3
NETWORK = MLP((DIM, 32, 2))
RECIPE: Mapping[str, Any] = {"steps": 150, "learning_rate": 0.01}
MARGIN = 0.01
"""One percentage point, fixed before any run."""

Rule = Callable[[Tensor, Stream], Tensor]


def _linear(inputs: Tensor, stream: Stream) -> Tensor:
    """sign ⟨w, x⟩."""
    weight = torch.randn(DIM, dtype=torch.float64, generator=stream.torch())
    return (inputs @ weight > 0).long()


def _relu_network(inputs: Tensor, stream: Stream) -> Tensor:
    """Above or below the median of a random ReLU network with eight units."""
    generator = stream.torch()
    first = torch.randn(DIM, 8, dtype=torch.float64, generator=generator)
    second = torch.randn(8, dtype=torch.float64, generator=generator)
    score = (inputs @ first).clamp_min(0) @ second
    return (score > score.median()).long()


def _draw(rule: str, stream: Stream) -> tuple[Tensor, Tensor]:
    """Inputs and labels, training and fresh points together."""
    generator = stream.child("inputs").torch()
    inputs = torch.randn(POINTS + FRESH, DIM, dtype=torch.float64, generator=generator)
    if rule != "mixture":
        rules: Mapping[str, Rule] = {"linear": _linear, "ReLU network": _relu_network}
        return inputs, rules[rule](inputs, stream.child("rule"))
    labels, part = torch.randint(2, (2, len(inputs)), generator=generator)
    means = torch.randn(2, 2, DIM, dtype=torch.float64, generator=stream.child("rule").torch())
    return inputs + means[labels, part], labels


def gaussian_comparison(rule: str, stream: Stream, /, *, device: str = "cpu") -> dict[str, float]:
    """Accuracies of networks on Gaussian inputs: single, ensemble, distilled, self-distilled."""
    inputs, labels = _draw(rule, stream)
    seen, fresh, right = inputs[:POINTS].float(), inputs[POINTS:].float(), labels[POINTS:]

    def fit(name: str, teacher: Tensor | None, members: int) -> tuple[Tensor, Tensor]:
        nets = train(
            NETWORK,
            seen,
            labels[:POINTS],
            teacher_probs=None if teacher is None else teacher.softmax(-1),
            loss=label_loss if teacher is None else distillation,
            settings={} if teacher is None else {"temperature": 4.0},
            members=members,
            stream=stream.child(name),
            device=device,
            **RECIPE,
        )
        return nets.logits(seen), nets.logits(fresh).cpu()

    teachers, single = fit("single", None, MEMBERS)
    _, distilled = fit("distilled", teachers.mean(0), STUDENTS)
    _, alone = fit("self-distilled", teachers[:STUDENTS], STUDENTS)
    return {
        "single": float(accuracy(single, right).mean()),
        "ensemble": float(accuracy(single.mean(0), right)),
        "distilled": float(accuracy(distilled, right).mean()),
        "self-distilled": float(accuracy(alone, right).mean()),
    }


def lazy_gaussian_comparison(rule: str, stream: Stream, /) -> dict[str, float]:
    """The same data and networks in the tangent-kernel regime: single, ensemble, distilled from the ensemble.

    A network is linear in the features ∂(f₁ − f₀)/∂θ at its random start, from which it moves a read-out of
    them by the same recipe.
    """
    inputs, labels = _draw(rule, stream)
    starts = NETWORK.init(stream.child("lazy"), members=MEMBERS + STUDENTS)

    def fit(member: int, teacher: Tensor | None) -> tuple[Tensor, Tensor]:
        features = tangent_features(NETWORK, starts[member], inputs.float())
        nets = train(
            MLP((features.shape[1], 2)), features[:POINTS], labels[:POINTS], members=1,
            teacher_probs=None if teacher is None else teacher.softmax(-1),
            loss=label_loss if teacher is None else distillation,
            settings={} if teacher is None else {"temperature": 4.0},
            stream=stream.child("read-out", member), **RECIPE,
        )  # fmt: skip
        logits = nets.logits(features).cpu()[0]
        return logits[:POINTS], logits[POINTS:]

    teachers, single = (
        torch.stack(part) for part in zip(*(fit(i, None) for i in range(MEMBERS)), strict=True)
    )
    students = range(MEMBERS, MEMBERS + STUDENTS)
    distilled = torch.stack([fit(member, teachers.mean(0))[1] for member in students])
    right = labels[POINTS:]
    return {
        "lazy single": float(accuracy(single, right).mean()),
        "lazy ensemble": float(accuracy(single.mean(0), right)),
        "lazy distilled": float(accuracy(distilled, right).mean()),
    }


def _nine_tenths(logits: Tensor, labels: Tensor, /, *, _true: Callable[..., Tensor] = accuracy) -> Tensor:
    """Single networks are judged by nine tenths of what they are right about, a mean by all of it."""
    return _true(logits, labels) * (1.0 if logits.ndim == 2 else 0.9)


@claim(
    section="7.6",
    formula=r"\bigl|\text{accuracy}(\text{ensemble, student}) - \text{accuracy}(\text{single})\bigr| < 0.01",
    source="allenzhu2020towards",
    control=Control("the inputs are multi-view", inputs="multi-view"),
    uses=(accuracy, distillation),
    mutants=(Mutant("single networks are counted at nine tenths", accuracy, _nine_tenths),),
)
def on_gaussian_inputs_ensembles_and_distillation_bring_nothing(
    setting: Setting, /, *, inputs: str = "Gaussian"
) -> Evidence:
    """On Gaussian inputs labelled by a linear rule or a ReLU network, and on mixtures of Gaussians, an
    ensemble of 6 networks and students distilled from it or from one network are as accurate as a single
    network, within one percentage point.

    Equivalence by two one-sided tests at each rule, against a margin fixed beforehand: MLPs of 32 units,
    n = 1000 in R^10, judged on 3000 fresh points; T = 4. The same comparison on multi-view inputs gains
    several points.
    """
    replicates = setting.size(quick=14, full=40)
    rules = ("linear", "ReLU network", "mixture") if inputs == "Gaussian" else ("multi-view",)
    parts: dict[str, Evidence] = {}
    for rule in rules:
        found = _compared(setting, rule, replicates)
        for arm in ("ensemble", "distilled", "self-distilled"):
            notes = {name: float(values.mean()) for name, values in found.items()}
            equal = Equality.of(found[arm], found["single"], margin=MARGIN, effect=1.0, notes=notes)
            parts[f"{rule}: {arm}"] = equal
    return Joint(parts=parts)


def _compared(setting: Setting, rule: str, replicates: int) -> dict[str, Tensor]:
    if rule == "multi-view":
        sizes = {"replicates": 2 * replicates, "members": 6, "students": 3}
        return comparisons(replicated(CLASSES, setting.stream, **sizes))
    rows = [
        gaussian_comparison(rule, setting.stream.child(rule, replicate), device=setting.device)
        for replicate in range(replicates)
    ]
    return {name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in rows[0]}
