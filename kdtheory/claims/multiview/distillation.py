"""Chapter 7.3 and 7.4: what a student learns from an ensemble, and from a single network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Joint, MeanInequality
from kdtheory.claims.multiview.single import ORTHOGONAL
from kdtheory.claims.multiview.worlds import BINARY, CLASSES, LARGER, Design, comparisons, replicated
from kdtheory.claims.verdict import Verdict
from kdtheory.multiview import Arm, Comparison, LimitPopulation, compare, train_limit

CLOSED = 0.8
_WORLDS = {"printed": BINARY, "six classes with feature noise": LARGER}


def _ensemble_for_student(
    *what: Any, _true: Callable[..., Comparison] = compare, **settings: Any
) -> Comparison:
    found = _true(*what, **settings)
    one = found.single
    mean = Arm(one.logits.mean(0)[None], one.train_logits.mean(0)[None], one.held.any(0)[None])
    return replace(found, distilled=mean)


def _teacher_of_another(
    *where: object,
    teacher_logits: Tensor | None = None,
    _true: Callable[..., LimitPopulation] = train_limit,
    **settings: object,
) -> LimitPopulation:
    rolled = None if teacher_logits is None else teacher_logits.roll(1, -2)
    return _true(*where, teacher_logits=rolled, **settings)


def _teacher_hardened(
    *where: object,
    teacher_logits: Tensor | None = None,
    _true: Callable[..., LimitPopulation] = train_limit,
    **settings: object,
) -> LimitPopulation:
    hard = None if teacher_logits is None else 1e3 * teacher_logits
    return _true(*where, teacher_logits=hard, **settings)


def _students(
    setting: Setting, design: Design, replicates: int, *, share: float
) -> tuple[dict[str, Evidence], dict[str, Tensor]]:
    """What students of an ensemble reach, and the accuracies it was judged by."""
    found = comparisons(
        replicated(design, setting.stream, replicates=replicates, members=20, students=4, self_students=1)
    )
    reached, held = found["distilled"], found["all views, distilled"]
    parts: dict[str, Evidence] = {
        "0.99": MeanInequality.of(torch.full_like(reached, 0.99), reached),
        "holds all views": MeanInequality.of(torch.full_like(held, share), held),
    }
    return parts, found


def _means(found: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(values.mean()) for name, values in found.items()}


@claim(
    section="7.3",
    formula=r"\text{accuracy}(\text{student of the ensemble}) \to 1 \text{ in the printed world}",
    source="shen2021deep",
    assumes=(ORTHOGONAL,),
    control=Control("six classes with feature noise", world="six classes with feature noise"),
    uses=(train_limit, compare),
    mutants=(Mutant("the ensemble is judged in its student's place", compare, _ensemble_for_student),),
    expect=Verdict.REFUTED,
)
def distillation_forces_every_feature_in_the_printed_world(
    setting: Setting, /, *, world: str = "printed"
) -> Evidence:
    """As the notes conclude: in their binary world distillation from an ensemble forces a student to learn
    every feature of the label, so that its test accuracy is near that of the ensemble.

    It does not: the other label's features are always there at 0.1, so that a soft label tells nothing about
    views, and the teachers have memorised the points that lack one. Mended: with more classes and feature
    noise that comes and goes, the soft label of a wrong class tells which of its views are present.
    """
    parts, found = _students(setting, _WORLDS[world], setting.size(quick=12, full=40), share=0.8)
    return Joint(parts=parts, notes=_means(found))


@claim(
    section="7.3",
    formula=r"\text{accuracy}(\text{student}) \ge 0.99,\quad \frac{\text{student} - \text{single}}"
    r"{\text{ensemble} - \text{single}} \ge 0.8",
    source="allenzhu2020towards",
    assumes=(ORTHOGONAL, "Feature noise: views of other classes come and go."),
    control=Control(
        "no feature noise (p = 0), and half the single-view points, which teach the second view themselves",
        noise_chance=0.0,
        single_view=0.1,
    ),
    uses=(train_limit,),
    mutants=(
        Mutant("each point is given the teacher of another", train_limit, _teacher_of_another),
        Mutant("the teacher's argmax for its probabilities", train_limit, _teacher_hardened),
    ),
)
def feature_noise_lets_distillation_teach_every_view(
    setting: Setting, /, *, noise_chance: float = 0.5, single_view: float = 0.2
) -> Evidence:
    """With six classes and feature noise, a fresh student distilled from an ensemble of 20 networks on their
    own training points reaches test accuracy 0.99, closes at least 80 % of the gap between a single network
    and the ensemble, and holds at least 86 % of all views.

    Every student starts from its own initialisation; T = 4, no labels. The soft label of a wrong class tells
    which of its views are present, and both must be learned to match it. Without feature noise a point that
    lacks the learned view is still told apart by whatever small product is left, since no foreign feature
    competes; that the views are not held shows there.

    The control moves two things, p and μ. p = 0 alone is too weak: students then still gain views, since the
    points with one view teach the second by themselves; with half of those they gain fewer (at n = 240
    students hold 0.67 for the 0.52 of single networks at μ = 0.2, and 0.51 for 0.47 at μ = 0.1; study
    `multi_view_phases`). The control is refuted by the views, not by accuracy, which is reached too.

    0.99 and 80 % were fixed beforehand. The regime, n = 360 and p = 0.5, was sought where students reach
    them; the share of 86 %, between what students hold here and in the control, and the control's μ = 0.1
    were set on seeds 0 and 1. `kdtheory verify --chapter 7 --seed 2`, 3 and 4 decide on fresh draws.
    """
    design = LARGER.in_world(noise_chance=noise_chance, single_view=single_view)
    parts, found = _students(setting, design, setting.size(quick=28, full=80), share=0.86)
    gap = found["ensemble"] - found["single"]
    parts["closes the gap"] = MeanInequality.of(found["single"] + CLOSED * gap, found["distilled"])
    return Joint(parts=parts, notes=_means(found))


@claim(
    section="7.4",
    formula=r"\text{single} < \text{self-distilled} < \text{distilled from the ensemble}",
    source="allenzhu2020towards",
    assumes=(
        ORTHOGONAL,
        "Feature noise: views of other classes come and go.",
        "Students are trained to the end.",
    ),
    control=Control("the students are stopped after twenty steps", student_steps=20),
    uses=(train_limit,),
    mutants=(Mutant("each point is given the teacher of another", train_limit, _teacher_of_another),),
)
def self_distillation_lies_between_one_network_and_the_ensemble(
    setting: Setting, /, *, student_steps: int = 500
) -> Evidence:
    """With six classes and feature noise, a fresh student distilled from one network of its own kind is more
    accurate than the networks trained on labels, and less than one distilled from the ensemble.

    Judged at T = 2; ten networks in the ensemble, eight students of each kind, means over training sets. At
    T = 4, the temperature of the other claims, it does not show: 0.973 for 0.971, with 95 % intervals that
    overlap, where T = 2 makes 0.981 (study `multi_view_arms`, other training sets).

    The paper's value, an error of about μ/4 for a student of one network where single ones have μ/2, is not
    judged; the notes give both errors beside it. With six classes they cannot bear on it: single networks
    are below μ/4 themselves, since points that lack the held view are mostly told apart without it. In the
    binary world, where single networks do have μ/2, students of one have 0.09, not μ/4 = 0.05, at either
    temperature (same study).
    """
    design = replace(CLASSES, recipe=replace(CLASSES.recipe, temperature=2.0, student_steps=student_steps))
    replicates = setting.size(quick=20, full=40)
    found = comparisons(replicated(design, setting.stream, replicates=replicates, members=10, students=8))
    parts = {
        "above single": MeanInequality.of(found["single"], found["self-distilled"]),
        "below distilled": MeanInequality.of(found["self-distilled"], found["distilled"]),
    }
    mu = design.world.single_view
    errors = {f"error, {name}": 1 - float(found[name].mean()) for name in ("single", "self-distilled")}
    return Joint(parts=parts, notes=_means(found) | errors | {"μ/2": mu / 2, "μ/4": mu / 4})
