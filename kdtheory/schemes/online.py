"""Online: students that teach each other while they learn (deep mutual learning, Zhang et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from kdtheory.batches import Batch, Data, as_batches
from kdtheory.doors import door
from kdtheory.losses import label_loss
from kdtheory.losses.mutual import PeerDivergence, mean_peer_divergence
from kdtheory.networks import Pick
from kdtheory.recipe import Recipe
from kdtheory.schemes.ends import Measured, Named
from kdtheory.schemes.loop import LOOP, Loop, Trained, descend, own_copy
from kdtheory.schemes.sameness import in_words
from kdtheory.schemes.teachers import FirstLook
from kdtheory.streams import Stream
from kdtheory.types import as_torch_starts, resolve_device
from kdtheory.validate import check_at_least, check_labels

__all__ = ["mutual"]


@door
@as_torch_starts(meta=True)
def mutual(
    students: Sequence[nn.Module],
    data: Data,
    /,
    *,
    weight: float = 1.0,
    temperature: float = 1.0,
    divergence: PeerDivergence = mean_peer_divergence,
    recipe: Recipe,
    stream: Stream,
    output: Pick | None = None,
    device: str | torch.device = "auto",
    loop: Loop = LOOP,
) -> list[Trained]:
    """Train copies of two or more students at once, each on CE(e_y, φ_1(z_s)) + w T² D(z_s; its peers).

    Zhang et al. (2018) at w = T = 1. The paper updates one student after the other within a batch, each
    seeing its peers' new answers; here all see the old ones and take their step at once. Students may differ
    in architecture.

    Args:
        students: modules from inputs to logits over the same classes; they are left as they were.
        data: a DataLoader of (inputs, labels), or the pair itself.
        weight: w.
        temperature: T.
        divergence: `mean_peer_divergence` or `divergence_from_mean_peer`, whose gradients are the same, or
            another function of the student's logits, the peers' logits and `temperature`.
        recipe: steps or epochs, rate, optimiser; the data make the batches.
        stream: where dropout and the order of the data are drawn.
        output: where the logits are in what a module gives, if that is neither a tensor nor has `.logits`.
        device: where to train; "auto" is CUDA where there is one, else the CPU.
        loop: which losses are kept, who is told, validation (of all students together), checkpoints.

    Returns:
        The students in their order; the losses of each are named "labels" and "peers".

    Raises:
        ValueError: fewer than two students, students of different classes, w < 0, T ≤ 0, or data without
            labels.

    >>> points = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
    >>> two = [nn.Linear(1, 2), nn.Linear(1, 2)]
    >>> pair = mutual(two, points, recipe=Recipe(steps=2), stream=Stream(0))
    >>> len(pair), pair[0].history["loss"].tolist()
    (2, ['labels', 'peers', 'labels', 'peers'])
    """
    check_at_least("the number of students", len(students), 2)
    if not 0 <= weight < math.inf:
        raise ValueError(f"weight = {weight} must be finite and 0 or more")
    where = resolve_device(device)
    cohort = nn.ModuleList(own_copy(student, where) for student in students)

    first = FirstLook()

    def objective(batch: Batch) -> Named:
        labels = batch.counted_labels
        if labels is None:
            raise ValueError("the data have no labels for the students to learn; give (inputs, labels)")
        logits = [
            batch.counted(batch.inputs.logits(student, pick=output, name=f"student {place}"))
            for place, student in enumerate(cohort)
        ]
        for place, own in enumerate(logits):
            first.at(f"student {place}", own)
            if own.shape != logits[0].shape:
                raise ValueError(
                    f"students give logits of shape {tuple(own.shape)} and {tuple(logits[0].shape)}; "
                    "all need the same classes"
                )
        if len(labels):
            check_labels("labels", labels, logits[0].shape[-1])
        said = torch.stack([each.detach() for each in logits])
        named = {}
        for place, own in enumerate(logits):
            others = torch.cat([said[:place], said[place + 1 :]])
            values = own.sum(), own.sum()  # of no row, of which there is no mean
            if len(labels):
                apart = divergence(own, others, temperature=temperature).mean()
                values = label_loss(own, None, labels).mean(), temperature * temperature * apart
            named[str(place), "labels"] = Measured(1.0, values[0], len(labels), rows=True)
            named[str(place), "peers"] = Measured(weight, values[1], len(labels), rows=True)
        return named

    found = descend(
        cohort, objective, as_batches(data), recipe=recipe, stream=stream.child("training"), device=where,
        loop=loop, shown=cohort,
        said=lambda: f"{in_words(divergence)}, weight {weight}, temperature {temperature}",
    )  # fmt: skip
    histories = [found.history[found.history["net"] == str(place)] for place in range(len(cohort))]
    return [
        Trained(student, history.drop(columns="net").reset_index(drop=True), *found[1:])
        for student, history in zip(cohort, histories, strict=True)
    ]
