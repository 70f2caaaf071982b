"""Attention masks and losses of random maps: 4 examples, 5 channels, 3 × 6 positions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.features.moved import drawn, rotation
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.losses.features import MASK_FORMS, attention_guided_loss, attention_masks, attention_transfer
from kdtheory.streams import Stream

TEMPERATURES = (4.0, 8.0, 16.0, 32.0, 64.0)


def places_and_channels(maps: Tensor) -> tuple[int, int]:
    """HW and C: masks that add no weight."""
    return maps[0, 0].numel(), maps.shape[1]


def one_and_one(maps: Tensor) -> tuple[int, int]:
    """The sums of plain softmaxes."""
    return 1, 1


@experiment
def sums_of_attention_masks(
    run: Run, /, *, totals: Callable[[Tensor], tuple[int, int]] = places_and_channels
) -> Rows:
    """10 pairs of random maps at T = 0.1, 1 and 10: the sums of the spatial and of the channel masks, forms ×
    (spatial, channel) × masks, and what they should be.
    """
    pairs = [_maps(run, trial) for trial in range(run.size(quick=10, full=100))]
    found = []
    for form in MASK_FORMS:
        masks = [attention_masks(*pair, temperature=t, form=form) for pair in pairs for t in (0.1, 1.0, 10.0)]
        spatial, channel = (torch.cat(side) for side in zip(*masks, strict=True))
        found.append(torch.stack([spatial.sum((1, 2)), channel.sum(1)]))
    sums = torch.stack(found)
    wanted = torch.tensor(totals(pairs[0][0]), dtype=sums.dtype)
    return Rows(form=MASK_FORMS, sum=sums, wanted=wanted[:, None].expand_as(sums))


@experiment
def distances_of_the_published_masks(run: Run, /, *, share: float = 0.5) -> Rows:
    """20 pairs of random maps, T = 4 … 64: the largest difference between the spatial mask of the printed
    form at T and that of the averaged form at `share` times T; pairs × T.
    """
    rows = []
    for trial in range(run.size(quick=20, full=100)):
        maps, row = _maps(run, trial), []
        for temperature in TEMPERATURES:
            joint, _ = attention_masks(*maps, temperature=temperature, form="joint")
            averaged, _ = attention_masks(*maps, temperature=share * temperature, form="averaged")
            row.append((joint - averaged).abs().max())
        rows.append(torch.stack(row))
    return Rows(temperature=TEMPERATURES, distance=torch.stack(rows))


@experiment
def guided_losses_of_permuted_maps(run: Run, /, *, orders: int = 1) -> Rows:
    """20 pairs of random maps at T = 1/2: attention-guided losses before and after random permutations of
    positions and channels, one order for both or two; forms × pairs.
    """
    before: list[Tensor] = []
    after: list[Tensor] = []
    for trial in range(run.size(quick=20, full=200)):
        maps, here = _maps(run, trial), run.stream.child("orders", trial)
        moved = (_permuted(maps[0], here.child(0)), _permuted(maps[1], here.child(orders - 1)))
        for losses, pair in ((before, maps), (after, moved)):
            losses.append(
                torch.stack([attention_guided_loss(*pair, temperature=0.5, form=form) for form in MASK_FORMS])
            )
    return Rows(form=MASK_FORMS, before=torch.stack(before, 1), after=torch.stack(after, 1))


@experiment
def transfers_of_mixed_channels(run: Run, /, *, power: float = 2.0) -> Rows:
    """20 pairs of random maps: attention transfer before and after a random rotation of the student's
    channels and a factor of 3; the attention map is a sum of |A|^`power`.
    """
    plain, mixed = [], []
    for trial in range(run.size(quick=20, full=200)):
        student, teacher = _maps(run, trial)
        turn = rotation(run.stream.child("turns", trial), student.shape[1])
        turned = 3 * torch.einsum("dc,bchw->bdhw", turn, student)
        plain.append(attention_transfer(student, teacher, power=power))
        mixed.append(attention_transfer(turned, teacher, power=power))
    return Rows(plain=torch.stack(plain), mixed=torch.stack(mixed))


def _maps(run: Run, trial: int) -> tuple[Tensor, Tensor]:
    here = run.stream.child("maps", trial)
    return drawn(here.child("student"), 4, 5, 3, 6), drawn(here.child("teacher"), 4, 5, 3, 6)


def _permuted(maps: Tensor, stream: Stream) -> Tensor:
    """Positions and channels in a random order."""
    places, channels = (
        torch.randperm(count, generator=stream.child(name).torch())
        for name, count in (("places", maps[0, 0].numel()), ("channels", maps.shape[1]))
    )
    return maps.flatten(2)[:, channels][..., places].reshape(maps.shape)
