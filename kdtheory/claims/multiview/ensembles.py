"""Chapter 7.2: an ensemble holds every view, and how often it does not."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Equality, Evidence, Joint
from kdtheory.claims.multiview.single import ORTHOGONAL
from kdtheory.claims.multiview.worlds import BINARY, rarely, singles
from kdtheory.multiview import limit_start, missed_share, missed_view_probability, train_limit
from kdtheory.risk import accuracy

BATCH, MEMBERS = 64, 8


def _half_to_the_n(members: int, /, *, num_views: int = 2) -> float:
    return (1 / num_views) ** members


def _one_view_missed_for_sure(held: Tensor, /, *, size: int) -> Tensor:
    return (~held).double().mean(0).pow(size).sum(-1) / 2


def _right_by_least(logits: Tensor, labels: Tensor, /, *, _true: Callable[..., Tensor] = accuracy) -> Tensor:
    return _true(-logits, labels)


@claim(
    section="7.2",
    formula=r"\Pr[\bar F_N \text{ misses a view of a label}] = (1/2)^{N-1},\quad"
    r"\Pr[\arg\max \bar F_N = y] \to 1",
    source="allenzhu2020towards",
    assumes=(ORTHOGONAL,),
    control=(
        Control("no training point lacks a view (μ = 0): there is nothing to gain", single_view=0.0),
        Control("networks that hold both views are counted too", holding=(1, 2)),
    ),
    uses=(train_limit, limit_start, missed_share, missed_view_probability, accuracy),
    mutants=(
        Mutant("(1/2)^N for (1/2)^{N−1}", missed_view_probability, _half_to_the_n),
        Mutant("only one of the two views can be missed", missed_share, _one_view_missed_for_sure),
        Mutant("the least likely class", accuracy, _right_by_least),
    ),
    power=Scaled(missed_view_probability),
    tuned_on=(294726, 552239, 961687),
    cost=12,
)
def ensembles_hold_the_views_that_single_networks_lack(
    setting: Setting, /, *, single_view: float = 0.2, holding: tuple[int, ...] = (1,)
) -> Evidence:
    """In the notes' world the mean of the logits of 8 networks has test accuracy 0.99 or more, at least 0.05
    above that of single networks, and the chance that N networks, each with exactly one view of a label, miss
    its other view is (1/2)^{N−1}.

    1024 networks from independent starts, in 128 ensembles; accuracies are exact. Exact binomial tests: fewer
    than one ensemble in five below 0.99, and fewer than one in five with a gain below 0.05. Missed views at
    N = 2 and 3, over all ensembles of those networks of a batch of 64 that hold exactly one view of the
    label, within 5 and 15 % of the closed form.
    """
    design = BINARY.in_world(single_view=single_view)
    batches = setting.size(quick=16, full=64)
    found = singles(design, batches * BATCH, setting.stream)
    logits = found.nets.logits(found.test.coefficients).unflatten(0, (-1, MEMBERS))
    ensemble = accuracy(logits.mean(1), found.test.labels)
    single = found.accuracy.unflatten(0, (-1, MEMBERS)).mean(-1)
    parts: dict[str, Evidence] = {
        "0.99": rarely(ensemble < 0.99, 0.2),
        "gain": rarely(ensemble - single < 0.05, 0.2),
    }
    for size, margin in ((2, 0.05), (3, 0.15)):
        shares = _missed(found.held.unflatten(0, (-1, BATCH)), size, holding)
        closed = missed_view_probability(size)
        parts[f"missed, N = {size}"] = Equality.of(shares, torch.full_like(shares, closed), margin=margin)
    notes = {
        "single": float(single.mean()),
        "ensemble": float(ensemble.mean()),
        "all pairs, N = 3": float(missed_share(found.held, size=3).mean()),
    }
    return Joint(parts=parts, notes=notes)


def _missed(held: Tensor, size: int, holding: tuple[int, ...]) -> Tensor:
    """The share of ensembles that miss a view, one entry a batch: the mean over its labels."""
    rows = []
    for batch in held:
        counted = torch.isin(batch.sum(-1), torch.tensor(holding))
        labels = [missed_share(batch[counted[:, c], c][:, None], size=size) for c in range(batch.shape[1])]
        rows.append(torch.cat(labels).mean())
    return torch.stack(rows)
