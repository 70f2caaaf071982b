"""What the public doors here ask for: finite loss tables, fitting probabilities and masses."""

from __future__ import annotations

from torch import Tensor

from kdtheory.validate import check_finite, check_labels, check_probs, check_weights


def check_labelled(losses: Tensor, labels: Tensor) -> None:
    """A finite loss table, and a label for each of its rows."""
    check_finite("losses", losses)
    check_labels("labels", labels, losses.shape[-1])
    _check_axis("labels", labels.shape[-1], losses.shape[-2], "row")


def check_table(losses: Tensor, probs: Tensor, *, name: str = "probs") -> None:
    """A finite loss table, and a probability vector over its classes for each of its rows."""
    check_finite("losses", losses)
    check_probs(name, probs)
    _check_axis(name, probs.shape[-1], losses.shape[-1], "class")
    _check_axis(name, probs.shape[-2], losses.shape[-2], "row")


def check_world(losses: Tensor, probs: Tensor, weights: Tensor, *, name: str = "probs") -> None:
    """The table of a finite world: rows are atoms, and each atom has a mass."""
    check_table(losses, probs, name=name)
    check_weights("weights", weights)
    _check_axis("weights", weights.shape[-1], losses.shape[-2], "row")


def _check_axis(name: str, found: int, wanted: int, what: str) -> None:
    if found != wanted:
        raise ValueError(
            f"{name} counts {found} on its {what} axis and losses {wanted}; give one entry for each {what}"
        )
