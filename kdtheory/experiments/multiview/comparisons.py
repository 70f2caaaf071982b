"""Single networks, their ensemble, and students of it and of one network, over training sets."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.multiview.designs import CLASSES, FIVE, Design
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.multiview import Comparison, compare
from kdtheory.streams import Stream

__all__ = ["arms", "of_one_network", "replicated", "students_of_an_ensemble", "students_of_both_kinds"]


def replicated(
    design: Design,
    stream: Stream,
    /,
    *,
    replicates: int,
    members: int,
    students: int,
    self_students: int | None = None,
) -> list[Comparison]:
    """Independent comparisons, each with a training set of its own."""
    return [
        compare(
            design.world,
            design.network,
            design.plan,
            members=members,
            students=students,
            self_students=self_students,
            stream=stream.child(replicate),
        )
        for replicate in range(replicates)
    ]


def arms(found: list[Comparison]) -> dict[str, Tensor]:
    """Accuracies and shares of labels of which all views are held, one entry a training set."""
    return {
        "single": torch.stack([one.single_accuracy.mean() for one in found]),
        "ensemble": torch.tensor([one.ensemble_accuracy for one in found], dtype=torch.float64),
        "distilled": torch.stack([one.distilled_accuracy.mean() for one in found]),
        "views_single": torch.stack([one.single.held.all(-1).double().mean() for one in found]),
        "views_distilled": torch.stack([one.distilled.held.all(-1).double().mean() for one in found]),
    }


def of_one_network(found: list[Comparison]) -> Tensor:
    """The mean accuracy of the students of one network each, one entry a training set."""
    return torch.stack([one.self_distilled_accuracy.mean() for one in found])


@experiment(tuned_on=(0, 1, 2, 777, 4242))
def students_of_an_ensemble(run: Run, /, *, design: Design = FIVE) -> Rows:
    """28 training sets, 16 networks in each ensemble, and eight students of it from initialisations of their
    own, who learn from its logits on its own training points at T = 4, without labels: mean accuracies on
    1000 fresh points, and the mean shares of labels of which all views are held.
    """
    replicates = run.size(quick=28, full=80)
    found = replicated(design, run.stream, replicates=replicates, members=16, students=8, self_students=0)
    return Rows(**arms(found))


@experiment(tuned_on=(0, 1, 2))
def students_of_both_kinds(run: Run, /, *, student_steps: int = 500) -> Rows:
    """Six classes with feature noise, 20 training sets: ten networks in each ensemble, eight students of it
    and eight of one network each, distilled at T = 2 for `student_steps`; mean accuracies on fresh points.
    """
    recipe = replace(CLASSES.plan, temperature=2.0, student_steps=student_steps)
    replicates = run.size(quick=20, full=40)
    design = replace(CLASSES, plan=recipe)
    found = replicated(design, run.stream, replicates=replicates, members=10, students=8)
    return Rows(mu=design.world.single_view, self_distilled=of_one_network(found), **arms(found))
