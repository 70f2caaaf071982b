"""Checks of the public doors here: finite loss tables, probabilities and masses."""

from __future__ import annotations

from torch import Tensor

from kdtheory.validate import check_finite, check_labels, check_probs, check_weights


def check_labelled(losses: Tensor, labels: Tensor) -> None:
    """A finite loss table; labels that are classes of it."""
    check_finite("losses", losses)
    check_labels("labels", labels, losses.shape[-1])


def check_table(losses: Tensor, probs: Tensor, *, name: str = "probs") -> None:
    """A finite loss table, and probability vectors."""
    check_finite("losses", losses)
    check_probs(name, probs)


def check_world(losses: Tensor, probs: Tensor, weights: Tensor, *, name: str = "probs") -> None:
    """The table of a finite world: rows are atoms, and each has a mass."""
    check_table(losses, probs, name=name)
    check_weights("weights", weights)
