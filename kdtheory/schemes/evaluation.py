"""Evaluation of a trained module: accuracy, calibration, and fidelity to its teacher."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kdtheory.batches import Data, as_batches
from kdtheory.doors import door
from kdtheory.losses import kl_divergence, label_loss
from kdtheory.networks import Inputs, Pick, at_rest, check_alone, closeness
from kdtheory.risk import accuracy, top_label_calibration_error
from kdtheory.schemes.loop import own_copy
from kdtheory.schemes.teachers import FirstLook, as_teacher, pick_of
from kdtheory.streams import Stream
from kdtheory.types import as_torch_starts, resolve_device

__all__ = ["MEASURES", "OF_A_TEACHER", "evaluate"]

MEASURES = ("accuracy", "log_loss", "calibration_error")
OF_A_TEACHER = ("agreement", "divergence")


@door
@as_torch_starts(meta=True)  # which turns gradients on
@torch.no_grad()
def evaluate(
    module: nn.Module,
    data: Data,
    /,
    *,
    teacher: nn.Module | Sequence[nn.Module] | None = None,
    bins: int = 15,
    device: str | torch.device = "auto",
    output: Pick | None = None,
) -> dict[str, float]:
    """Accuracy, log loss and calibration error on labelled points; agreement with a teacher and KL from it.

    Of the module as it stands, after its last step: nothing is chosen on these points. Each net is asked once
    more for half of the first batch, 64 examples at most, which shows whether answers depend on each other.

    Args:
        module: from inputs to logits, evaluated in evaluation mode.
        data: points that nothing was trained on: (inputs, labels) or a DataLoader; `Batches` of batches that
            are made otherwise, with `most` for a loader that never ends.
        teacher: adds "agreement", the share of points on which both choose one class, and "divergence",
            KL(φ_1(z_t)‖φ_1(z_s)) in nats; several teachers are an ensemble.
        bins: of the calibration error.
        device: where to evaluate.
        output: where the logits are in what a module gives, if that is neither a tensor nor has `.logits`.

    Raises:
        ValueError: the data have no batch, no labels or no end, a label is no class, or a module does not
            take the points, or says something else of a point as the batch around it changes.

    >>> sure = nn.Linear(1, 2)
    >>> _ = sure.weight.data.zero_(), sure.bias.data.copy_(torch.tensor([50.0, 0.0]))
    >>> points = torch.zeros(4, 1), torch.tensor([0, 0, 0, 1])
    >>> measures = evaluate(sure, points, teacher=sure)
    >>> [round(measures[name], 6) for name in ("accuracy", "calibration_error", "agreement", "divergence")]
    [0.75, 0.25, 1.0, 0.0]
    """
    nets = [module] if teacher is None else [module, as_teacher(teacher, output)]
    (logits, *heard), labels = _answers(nets, data, device, output)
    found = (
        accuracy(logits, labels),
        label_loss(logits, None, labels).mean(),
        top_label_calibration_error(logits.softmax(-1), labels, bins=bins),
    )
    measures = dict(zip(MEASURES, map(float, found), strict=True))
    for said in heard:
        beside = (logits.argmax(-1) == said.argmax(-1)).double().mean(), kl_divergence(logits, said).mean()
        measures |= zip(OF_A_TEACHER, map(float, beside), strict=True)
    return measures


def _answers(
    nets: Sequence[nn.Module], data: Data, device: str | torch.device, output: Pick | None
) -> tuple[list[Tensor], Tensor]:
    """The logits of every net, and the labels, over one epoch that all see together; float64 on the CPU."""
    copies = [at_rest(own_copy(net, device)) for net in nets]
    names = ["the module", "the teacher"]
    said: list[list[Tensor]] = [[] for _ in nets]
    labels: list[Tensor] = []
    batches = as_batches(data)
    batches.check_ends()
    first = FirstLook()
    with Stream(0).default():  # what a loader draws is of no consequence here, but must not leave a trace
        for batch in batches.epoch(resolve_device(device)):
            if (given := batch.counted_labels) is None:
                raise ValueError("the data have no labels to be right about; give (inputs, labels)")
            for net, name, parts in zip(copies, names, said, strict=False):

                def ask(part: Inputs, net: nn.Module = net, name: str = name) -> Tensor:
                    return part.logits(net, pick=pick_of(net, output), name=name)

                logits = ask(batch.inputs)
                first.at(name, logits)
                if not labels:
                    check_alone(ask, batch.inputs, logits, name=name, close=closeness(net))
                parts.append(batch.counted(logits).double().cpu())
            labels.append(given.cpu())
    if not sum(map(len, labels)):
        raise ValueError("every label of data is ignore_index; give one that counts")
    return [torch.cat(parts) for parts in said], torch.cat(labels)
