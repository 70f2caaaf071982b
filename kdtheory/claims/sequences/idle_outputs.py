"""Chapter 8.6: what idle outputs over noise teach depends on where the student starts."""

from __future__ import annotations

import torch

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, MeanInequality
from kdtheory.claims.wrong import arguments
from kdtheory.experiments import Rows
from kdtheory.experiments.sequences.idle_outputs import another_start, students_of_idle_outputs
from kdtheory.losses import distillation


@claim(
    section="8.6",
    formula=r"\mathbb E\,\mathrm{acc}(\text{student of idle outputs over noise}) \ge \tfrac2k,\quad"
    r" \theta_S^0 = \theta_T^0",
    source="cloud2025subliminal",
    place="the experiment on digits, rebuilt; sizes are our own",
    assumes=("Student and teacher have one start.", "The noise is centred."),
    experiment=students_of_idle_outputs,
    control=Control("the student has a start of its own", start=another_start),
    mutants=(
        Mutant(
            "each input is given the idle outputs of the next",
            distillation,
            arguments(lambda logits, probs, labels: (logits, probs.roll(1, -2), labels)),
        ),
    ),
    loose="a factor on the loss does not move its minimum, and accuracies have no constant",
    cost=6,
)
def idle_outputs_over_noise_teach_the_classes_from_a_shared_start(rows: Rows, /) -> Evidence:
    """A student that starts where its teacher started, and learns nothing of it but five idle outputs over
    noise, knows the classes of real images at twice the accuracy of chance or better.

    The guess was 23 to 36 in a hundred where chance is 10, and chance from a start of its own. With the
    published setting it shares digits, noise and idle outputs; nets and images are smaller here.
    """
    wanted = torch.full_like(rows.accuracy, 2 / rows.classes)
    return MeanInequality.of(wanted, rows.accuracy, notes={"of the teacher": float(rows.of_teacher.mean())})
