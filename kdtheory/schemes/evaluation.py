"""What a trained module is worth: accuracy, calibration, and fidelity to its teacher."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kdtheory.losses import kl_divergence, label_loss
from kdtheory.risk import top_label_calibration_error
from kdtheory.schemes.batches import Data, one_epoch
from kdtheory.schemes.loop import own_copy
from kdtheory.schemes.teachers import as_teacher
from kdtheory.types import resolve_device

__all__ = ["evaluate"]


@torch.no_grad()
def evaluate(
    module: nn.Module,
    data: Data,
    /,
    *,
    teacher: nn.Module | Sequence[nn.Module] | None = None,
    bins: int = 15,
    device: str | torch.device = "auto",
) -> dict[str, float]:
    """Accuracy, log loss and calibration error on labelled points; agreement with a teacher and KL from it.

    Of the module as it stands, after its last step: nothing is chosen on these points.

    Args:
        module: from inputs to logits, evaluated in evaluation mode.
        data: points that nothing was trained on: (inputs, labels) or a DataLoader.
        teacher: adds "agreement", the share of points on which both choose one class, and "divergence",
            KL(φ_1(z_t)‖φ_1(z_s)) in nats; several teachers are an ensemble.
        bins: of the calibration error.
        device: where to evaluate.

    Raises:
        ValueError: the data have no batch or no labels.

    >>> sure = nn.Linear(1, 2)
    >>> _ = sure.weight.data.zero_(), sure.bias.data.copy_(torch.tensor([50.0, 0.0]))
    >>> points = torch.zeros(4, 1), torch.tensor([0, 0, 0, 1])
    >>> measures = evaluate(sure, points, teacher=sure)
    >>> [round(measures[name], 6) for name in ("accuracy", "calibration_error", "agreement", "divergence")]
    [0.75, 0.25, 1.0, 0.0]
    """
    logits, labels = _answers(module, data, device)
    if labels is None:
        raise ValueError("the data have no labels to be right about; give (inputs, labels)")
    measures = {
        "accuracy": float((logits.argmax(-1) == labels).double().mean()),
        "log_loss": float(label_loss(logits, None, labels).mean()),
        "calibration_error": float(top_label_calibration_error(logits.softmax(-1), labels, bins=bins)),
    }
    if teacher is not None:
        heard, _ = _answers(as_teacher(teacher), data, device)
        measures["agreement"] = float((logits.argmax(-1) == heard.argmax(-1)).double().mean())
        measures["divergence"] = float(kl_divergence(logits, heard).mean())
    return measures


def _answers(module: nn.Module, data: Data, device: str | torch.device) -> tuple[Tensor, Tensor | None]:
    """Logits and labels over one epoch, in the order of the data, float64 on the CPU."""
    net = own_copy(module, device).eval()
    logits, labels = [], []
    for inputs, given in one_epoch(data, resolve_device(device)):
        logits.append(net(inputs).double().cpu())
        labels.append(None if given is None else given.cpu())
    known = [given for given in labels if given is not None]
    return torch.cat(logits), torch.cat(known) if len(known) == len(labels) else None
