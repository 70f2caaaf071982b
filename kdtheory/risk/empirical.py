"""Risks of a predictor on a sample, from the table of its losses ℓ(f(x_n))_y (Menon et al., 2021).

R̂ reads the loss of the label that was drawn, R̃ the mean of the losses under a teacher's probabilities; with
the Bayes probabilities p* for teacher it is the Bayes-distilled R̂_*. All have the mean R(f) = E ℓ(f(x))_y
when f is fixed and the teacher is p*. Any leading axes (members of a population, replicates of a sample)
broadcast.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.doors import door
from kdtheory.risk._doors import check_labelled, check_table
from kdtheory.types import at_least_float32
from kdtheory.validate import check_labels, check_logits

__all__ = ["accuracy", "distilled_losses", "distilled_risk", "one_hot_losses", "one_hot_risk"]


@door
def accuracy(
    logits: Float[Tensor, "*#batch n k"], labels: Int[Tensor, "*#batch n"], /
) -> Float[Tensor, "*batch"]:
    """(1/n) Σ 1[argmax f(x_n) = y_n], the share of points whose label is the likeliest one; float64.

    Raises:
        ValueError: the rows do not match, a logit is NaN or +∞, or a label is no class of the logits (leave
            out points to ignore, labelled −100, first).

    >>> import torch
    >>> accuracy(torch.eye(3), torch.tensor([0, 1, 0]))
    tensor(0.6667, dtype=torch.float64)
    """
    check_logits("logits", logits)
    check_labels("labels", labels, logits.shape[-1])
    if labels.shape == logits.shape and bool((labels.long().sum(-1) == 1).all()):
        raise ValueError(
            "labels look like one-hot rows; give one class number for each row, labels.argmax(-1)"
        )
    right: Tensor = (logits.argmax(-1) == labels.long()).double().mean(-1)
    return right


@door
def one_hot_losses(
    losses: Float[Tensor, "*#batch n k"], labels: Int[Tensor, "*#batch n"], /
) -> Float[Tensor, "*batch n"]:
    """ℓ(f(x_n))_{y_n}, what each point pays under its own label.

    Args:
        losses: ℓ(f(x_n))_y for every label y.
        labels: y_n.

    Raises:
        ValueError: a loss is not finite, a label is out of range, or the rows do not match.

    >>> import torch
    >>> one_hot_losses(torch.tensor([[0.0, 1.0], [4.0, 2.0]]), torch.tensor([1, 0]))
    tensor([1., 4.])
    """
    check_labelled(losses, labels)
    shape = np.broadcast_shapes(losses.shape[:-1], labels.shape)
    table = at_least_float32(losses)[0].expand(*shape, losses.shape[-1])
    return table.gather(-1, labels.expand(shape).long()[..., None]).squeeze(-1)


@door
def distilled_losses(
    losses: Float[Tensor, "*#batch n k"], teacher_probs: Float[Tensor, "*#batch n k"], /
) -> Float[Tensor, "*batch n"]:
    """p^t(x_n)ᵀℓ(f(x_n)), what each point pays on average over the teacher's labels.

    Args:
        losses: ℓ(f(x_n))_y for every label y.
        teacher_probs: p^t(x_n); the Bayes probabilities p* make it the Bayes-distilled loss.

    Raises:
        ValueError: a loss is not finite, a row is no probability vector, or the tables do not match.

    >>> import torch
    >>> distilled_losses(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.75, 0.25]]))
    tensor([0.2500])
    """
    check_table(losses, teacher_probs, name="teacher_probs")
    losses, teacher_probs = at_least_float32(losses, teacher_probs)
    return (teacher_probs * losses).sum(-1)


@door
def one_hot_risk(
    losses: Float[Tensor, "*#batch n k"], labels: Int[Tensor, "*#batch n"], /
) -> Float[Tensor, "*batch"]:
    """R̂(f) = (1/N) Σ_n ℓ(f(x_n))_{y_n}, the empirical risk on drawn labels.

    Args:
        losses: ℓ(f(x_n))_y for every label y.
        labels: y_n.

    Raises:
        ValueError: a loss is not finite, a label is out of range, or the rows do not match.

    >>> import torch
    >>> one_hot_risk(torch.tensor([[0.0, 1.0], [4.0, 2.0]]), torch.tensor([1, 0]))
    tensor(2.5000)
    """
    return one_hot_losses(losses, labels).mean(-1)


@door
def distilled_risk(
    losses: Float[Tensor, "*#batch n k"], teacher_probs: Float[Tensor, "*#batch n k"], /
) -> Float[Tensor, "*batch"]:
    """R̃(f) = (1/N) Σ_n p^t(x_n)ᵀℓ(f(x_n)), the empirical risk on a teacher's labels.

    Menon et al. (2021). With p^t = p* it is R̂_*, which has the mean of R̂ and no larger variance
    (`kdtheory.risk.variance`); with another teacher it is biased (`kdtheory.risk.teacher`).

    Args:
        losses: ℓ(f(x_n))_y for every label y.
        teacher_probs: p^t(x_n).

    Raises:
        ValueError: a loss is not finite, a row is no probability vector, or the tables do not match.

    >>> import torch
    >>> distilled_risk(torch.tensor([[0.0, 1.0], [4.0, 2.0]]), torch.tensor([[0.5, 0.5], [0.5, 0.5]]))
    tensor(1.7500)
    """
    return distilled_losses(losses, teacher_probs).mean(-1)
