"""Mutual learning: the labels, and the answers of one's peers while they learn (Zhang et al. 2018).

p_l = φ_T(z_l) are the laws of the other students, q = φ_T(z) that of the one who learns.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.doors import door, passing
from kdtheory.losses._response_checks import check_settings
from kdtheory.losses.divergences import ACCURATE_TERMS, SOFT_TERMS, SoftTerm
from kdtheory.losses.response import label_loss
from kdtheory.losses.softmax import Setting, per_example
from kdtheory.types import widened
from kdtheory.validate import check_at_least, check_logits, check_positive

__all__ = ["PeerDivergence", "divergence_from_mean_peer", "mean_peer_divergence", "mutual_loss"]

PeerDivergence = Callable[..., Tensor]
"""`divergence(student_logits, peer_logits, temperature=T)`: one number per example."""


@door
def mean_peer_divergence(
    student_logits: Float[Tensor, "*batch k"],
    peer_logits: Float[Tensor, "peers *batch k"],
    /,
    *,
    temperature: float = 1.0,
) -> Float[Tensor, "*batch"]:
    """(1/(K−1)) Σ_{l≠s} KL(p_l‖q), the mean divergence from each peer.

    Deep mutual learning of K students (Zhang et al. 2018).

    Args:
        student_logits: z.
        peer_logits: z_l of the K − 1 others; detach them, as the paper's gradients do not flow into peers.
        temperature: T; the paper has 1.

    Raises:
        ValueError: there is no peer, T ≤ 0, or logits are unusable.

    >>> sure, unsure = torch.tensor([0.0, -torch.inf]), torch.zeros(2)
    >>> mean_peer_divergence(unsure, torch.stack([sure, unsure])).div(math.log(2))  # (ln 2 + 0)/2
    tensor(0.5000)
    """
    _check_peers(student_logits, peer_logits, temperature)
    return _mean_peer_divergence(
        student_logits, peer_logits, temperature=temperature, apart=ACCURATE_TERMS["kl"]
    )


@door
def divergence_from_mean_peer(
    student_logits: Float[Tensor, "*batch k"],
    peer_logits: Float[Tensor, "peers *batch k"],
    /,
    *,
    temperature: float = 1.0,
) -> Float[Tensor, "*batch"]:
    """KL((1/(K−1)) Σ_{l≠s} p_l ‖ q), the divergence from the peers taken as one ensemble.

    Zhang et al. (2018) compare it with `mean_peer_divergence`. The two differ by the peers' Jensen–Shannon
    divergence, in which q does not occur: the student's gradient is the same.

    Args:
        student_logits: z.
        peer_logits: z_l of the K − 1 others.
        temperature: T.

    Raises:
        ValueError: as `mean_peer_divergence`.

    >>> heads, tails = torch.tensor([0.0, -torch.inf]), torch.tensor([-torch.inf, 0.0])
    >>> divergence_from_mean_peer(torch.zeros(2), torch.stack([heads, tails]))
    tensor(0.)
    """
    _check_peers(student_logits, peer_logits, temperature)
    return _divergence_from_mean_peer(
        student_logits, peer_logits, temperature=temperature, apart=ACCURATE_TERMS["kl"]
    )


@door
@passing
def mutual_loss(
    cohort_logits: Float[Tensor, "*batch peers_k"],
    _teacher_probs: Float[Tensor, "..."] | None,
    labels: Int[Tensor, "*batch"],
    /,
    *,
    peers: int,
    weight: Setting = 1.0,
    temperature: Setting = 1.0,
    divergence: PeerDivergence = mean_peer_divergence,
) -> Float[Tensor, "*batch"]:
    """Σ_s [CE(e_y, φ_1(z_s)) + w T² D(z_s; its peers)], the losses of a cohort of K students side by side.

    Each student's own loss, as in Zhang et al. (2018) at w = T = 1: no gradient flows into the peers that it
    learns from, so that the sum trains each by its own. The paper updates one after the other within a
    batch; here all take their step at once. For training: nothing is checked that would cost a pass over the
    logits at each step.

    Args:
        cohort_logits: the K students' logits, one after the other on the last axis.
        labels: y.
        peers: K ≥ 2.
        weight: w ≥ 0 of the divergence, number or tensor over the example axes.
        temperature: T > 0, as well.
        divergence: from the student's peers.

    Raises:
        ValueError: fewer than two peers, entries that do not divide by them, w < 0, T ≤ 0, or as
            `divergence`.

    >>> mutual_loss(torch.zeros(1, 4), None, torch.tensor([1]), peers=2) / math.log(2)
    tensor([2.])
    """
    check_at_least("peers", peers, 2)
    if cohort_logits.shape[-1] % peers:
        raise ValueError(
            f"cohort_logits has {cohort_logits.shape[-1]} entries a row, which are no logits of {peers} peers"
        )
    check_settings(cohort_logits.shape[:-1], temperature, weight, weight)
    students = cohort_logits.unflatten(-1, (peers, -1)).movedim(-2, 0)
    said = students.detach()
    losses = label_loss(students, None, labels).sum(0)
    if not isinstance(weight, Tensor) and weight == 0:
        return losses
    apart = _UNCHECKED.get(divergence, divergence)
    for place, student in enumerate(students):
        others = torch.cat([said[:place], said[place + 1 :]])
        losses = losses + weight * temperature * temperature * apart(student, others, temperature=temperature)
    return losses


def _mean_peer_divergence(
    student: Tensor, peers: Tensor, *, temperature: Setting, apart: SoftTerm = SOFT_TERMS["kl"]
) -> Tensor:
    student, peers = _softened(student, peers, temperature)
    return apart(student.expand_as(peers), peers).mean(0)


def _divergence_from_mean_peer(
    student: Tensor, peers: Tensor, *, temperature: Setting, apart: SoftTerm = SOFT_TERMS["kl"]
) -> Tensor:
    student, peers = _softened(student, peers, temperature)
    return apart(student, peers.log_softmax(-1).logsumexp(0) - math.log(len(peers)))


def _softened(student: Tensor, peers: Tensor, temperature: Setting) -> tuple[Tensor, Tensor]:
    student, peers = widened(student, peers, temperature=temperature)
    divisor = per_example(temperature, student)
    return student / divisor, peers / divisor


_UNCHECKED: dict[PeerDivergence, PeerDivergence] = {
    mean_peer_divergence: _mean_peer_divergence,
    divergence_from_mean_peer: _divergence_from_mean_peer,
}


def _check_peers(student_logits: Tensor, peer_logits: Tensor, temperature: float) -> None:
    check_positive("temperature", temperature)
    check_logits("student_logits", student_logits)
    check_logits("peer_logits", peer_logits)
    if peer_logits.shape[1:] != student_logits.shape:
        raise ValueError(
            f"peer_logits has shape {tuple(peer_logits.shape)}; give peers × {tuple(student_logits.shape)}"
        )
