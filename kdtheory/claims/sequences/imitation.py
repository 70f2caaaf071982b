"""Chapter 8.6: a student that starts where its teacher started moves with it, whatever it imitates."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Inequality, Joint, Rate
from kdtheory.imitation import first_order_alignment, imitation_step
from kdtheory.networks import MLP

NET, IDLE = MLP((10, 16, 8), activation="tanh"), slice(5, 8)
EPSILONS = [2.0**-power for power in range(7, 13)]


def _on_all_outputs(
    *arguments: object,
    step_size: float,
    outputs: slice,
    _true: Callable[..., Tensor] = imitation_step,
) -> Tensor:
    return _true(*arguments, step_size=step_size)


def _away_from_the_teacher(
    *arguments: object, _true: Callable[..., Tensor] = imitation_step, **settings: object
) -> Tensor:
    return -_true(*arguments, **settings)


def _sum_over_the_inputs(
    architecture: MLP,
    start: Tensor,
    move: Tensor,
    inputs: Tensor,
    /,
    *,
    _true: Callable[..., Tensor] = first_order_alignment,
    **settings: object,
) -> Tensor:
    return len(inputs) * _true(architecture, start, move, inputs, **settings)


@claim(
    section="8.6",
    formula=r"\langle\Delta\theta_S,\Delta\rangle = \eta\varepsilon\,\lVert J\Delta\rVert^2/n"
    r" + O(\varepsilon^2) \ge 0",
    source="cloud2025subliminal",
    place="derived here",
    assumes=("Student and teacher have one start, and the student takes one step.",),
    control=Control("the student has a start of its own", shared=False),
    uses=(imitation_step, first_order_alignment),
    mutants=(
        Mutant("all outputs are imitated", imitation_step, _on_all_outputs),
        Mutant("the step goes up the loss", imitation_step, _away_from_the_teacher),
        Mutant("not divided by n", first_order_alignment, _sum_over_the_inputs),
    ),
    power=Scaled(first_order_alignment),
)
def imitation_from_a_shared_start_moves_with_the_teacher(
    setting: Setting, /, *, shared: bool = True
) -> Evidence:
    """A student with its teacher's start that takes one small step on any outputs at any inputs moves along
    the teacher's own move, never against it: ⟨Δθ_S, Δ⟩ = ηε‖JΔ‖²/n + O(ε²).

    How it's judged: tanh nets of 16 units, idle outputs (three of eight) on Gaussian noise, random
    moves Δ; ε = 2⁻⁷ … 2⁻¹². The distance to the closed form must fall like ε² (slope 2 ± 0.1), and no inner
    product may be negative. With a start of its own the student's step does not depend on ε.
    """
    trials = setting.size(quick=128, full=1280)
    stream = setting.stream
    starts = NET.init(stream.child("start"), members=trials, dtype=torch.float64)
    others = NET.init(stream.child("other"), members=trials, dtype=torch.float64)
    generator = stream.child("moves").torch()
    moves = torch.randn(trials, NET.size, dtype=torch.float64, generator=generator)
    noise = torch.randn(trials, 20, NET.input_shape[0], dtype=torch.float64, generator=generator)
    gaps, inner = [], []
    for start, other, move, inputs in zip(starts, others, moves, noise, strict=True):
        closed = first_order_alignment(NET, start, move, inputs, step_size=1.0, outputs=IDLE)
        student = start if shared else other
        moved = torch.stack(
            [
                imitation_step(NET, student, start + epsilon * move, inputs, step_size=1.0, outputs=IDLE)
                @ move
                for epsilon in EPSILONS
            ]
        )
        inner.append(moved)
        gaps.append((moved - torch.tensor(EPSILONS, dtype=torch.float64) * closed).abs())
    along = torch.stack(inner)
    return Joint(
        parts={
            "first order": Rate.of(EPSILONS, _means(torch.stack(gaps)), expected=2.0, margin=0.1),
            "not against": Inequality.of(-along, torch.zeros_like(along), slack=1e-12),
        }
    )


def _means(gaps: Tensor) -> Tensor:
    """Over eight trials each: one replicate of the slope."""
    means: Tensor = gaps.unflatten(0, (-1, 8)).mean(1)
    return means
