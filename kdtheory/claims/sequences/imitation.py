"""Chapter 8.6: a student that starts where its teacher started moves with it, whatever it imitates."""

from __future__ import annotations

import torch

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Inequality, Joint, Rate
from kdtheory.claims.wrong import given, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.sequences.learning import imitation_steps
from kdtheory.imitation import first_order_alignment, imitation_step


@claim(
    section="8.6",
    formula=r"\langle\Delta\theta_S,\Delta\rangle = \eta\varepsilon\,\lVert J\Delta\rVert^2/n"
    r" + O(\varepsilon^2) \ge 0",
    source="cloud2025subliminal",
    place="derived here",
    assumes=("Student and teacher have one start, and the student takes one step.",),
    experiment=imitation_steps,
    control=Control("the student has a start of its own", apart=1.0),
    mutants=(
        Mutant("all outputs are imitated", imitation_step, given(outputs=slice(None))),
        Mutant("the step goes up the loss", imitation_step, scaled(-1.0)),
        Mutant("not divided by n", first_order_alignment, scaled(20.0)),
    ),
    power=Scaled(first_order_alignment),
)
def imitation_from_a_shared_start_moves_with_the_teacher(rows: Rows, /) -> Evidence:
    """A student with its teacher's start that takes one small step on any outputs at any inputs moves along
    the teacher's own move, never against it: ⟨Δθ_S, Δ⟩ = ηε‖JΔ‖²/n + O(ε²).

    The distance to the closed form must fall like ε² (slope 2 ± 0.1, of means over eight nets), and no inner
    product may be negative. With a start of its own the student's step does not depend on ε.
    """
    gaps = (rows.along - rows.closed).abs().unflatten(0, (-1, 8)).mean(1)
    return Joint(
        parts={
            "first order": Rate.of(rows.epsilon, gaps, expected=2.0, margin=0.1),
            "not against": Inequality.of(-rows.along, torch.zeros_like(rows.along), slack=1e-12),
        }
    )
