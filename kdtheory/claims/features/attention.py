"""Chapter 2.2, attention: what masks sum to, their two published forms, what the losses do not see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Identity, Joint, Rate
from kdtheory.claims.wrong import Wrong
from kdtheory.experiments import Rows
from kdtheory.experiments.features.attention import (
    distances_of_the_published_masks,
    guided_losses_of_permuted_maps,
    one_and_one,
    sums_of_attention_masks,
    transfers_of_mixed_channels,
)
from kdtheory.losses.features import (
    attention_map_loss,
    attention_masks,
    attention_transfer,
    spatial_attention,
)

SOURCE = "zhang2021improve"
POSITIVE = "T > 0."
INVARIANCE = "an invariance: a factor scales both sides alike"
_Masks = Callable[..., tuple[Tensor, Tensor]]


def _swapped(right: _Masks) -> _Masks:
    def wrong(student: Tensor, teacher: Tensor, /, **settings: Any) -> tuple[Tensor, Tensor]:
        spatial, channel = right(student, teacher, **settings)
        channels, positions = student.shape[1], student.shape[2] * student.shape[3]
        return spatial * channels / positions, channel * positions / channels

    return wrong


def _softmax_of_each_row(right: _Masks) -> _Masks:
    def wrong(student: Tensor, teacher: Tensor, /, *, temperature: float, form: str) -> tuple[Tensor, Tensor]:
        places = (spatial_attention(student) + spatial_attention(teacher)) / temperature
        _, channel = right(student, teacher, temperature=temperature, form=form)
        return places.shape[1] * places.shape[2] * places.softmax(-1), channel

    return wrong


def _joint_form_at(temperature_of: Callable[[float], float]) -> Wrong:
    """The joint form at another temperature."""

    def of(right: _Masks) -> _Masks:
        def wrong(*maps: Tensor, temperature: float, form: str) -> tuple[Tensor, Tensor]:
            return right(
                *maps, temperature=temperature_of(temperature) if form == "joint" else temperature, form=form
            )

        return wrong

    return Wrong(of)


def _places_one_behind(right: _Masks) -> _Masks:
    def wrong(*maps: Tensor, **settings: Any) -> tuple[Tensor, Tensor]:
        spatial, channel = right(*maps, **settings)
        return spatial.flatten(1).roll(1, 1).reshape(spatial.shape), channel

    return wrong


def _first_channel_only(student: Tensor, teacher: Tensor, /) -> Tensor:
    gaps: Tensor = torch.linalg.vector_norm((student[:, 0].abs() - teacher[:, 0].abs()).flatten(1), dim=1)
    return gaps.mean()


def _not_normalised(student: Tensor, teacher: Tensor, /, *, power: float) -> Tensor:
    first, second = (side.abs().pow(power).sum(1).flatten(1) for side in (student, teacher))
    return (first - second).square().sum(1).mean()


def _mean_activation(student: Tensor, teacher: Tensor, /, *, power: float) -> Tensor:
    first, second = (torch.nn.functional.normalize(side.sum(1).flatten(1)) for side in (student, teacher))
    return (first - second).square().sum(1).mean()


@claim(
    section="2.2",
    formula=r"M^s = HW\,\mathrm{softmax}\tfrac{G^s(A^S) + G^s(A^T)}{T},\ \ \textstyle\sum_{ij} M^s_{ij} = HW;"
    r"\qquad M^c = C\,\mathrm{softmax}\tfrac{G^c(A^S) + G^c(A^T)}{T},\ \ \sum_c M^c_c = C",
    source=SOURCE,
    place="derived here",
    assumes=(POSITIVE,),
    experiment=sums_of_attention_masks,
    control=Control("the masks are plain softmaxes, of sum one", totals=one_and_one),
    mutants=(
        Mutant("the factors HW and C are swapped", attention_masks, Wrong(_swapped)),
        Mutant("the softmax is taken within each row", attention_masks, Wrong(_softmax_of_each_row)),
    ),
    power=Scaled(attention_masks, entry=0),
)
def attention_masks_sum_to_what_they_cover(rows: Rows, /) -> Evidence:
    """The spatial mask sums to HW and the channel mask to C, in both published forms: the mask moves weight
    between places and channels and adds none.
    """
    return Joint(
        parts={
            f"{form}, {name}": Identity.of(rows.sum[at][side], rows.wanted[at][side], tolerance=1e-12)
            for at, form in enumerate(rows.form)
            for side, name in enumerate(("spatial", "channel"))
        }
    )


@claim(
    section="2.2",
    formula=r"\mathrm{softmax}\tfrac{a + b}{T} = \tfrac12\bigl(\mathrm{softmax}\tfrac{a}{T/2} +"
    r" \mathrm{softmax}\tfrac{b}{T/2}\bigr) + O(T^{-2})",
    source=SOURCE,
    place="derived here",
    assumes=(POSITIVE,),
    experiment=distances_of_the_published_masks,
    control=Control("both forms are taken at one temperature", share=1.0),
    mutants=(
        Mutant("the temperature is forgotten", attention_masks, _joint_form_at(lambda _: 4.0)),
        Mutant("the mean of both maps for their sum", attention_masks, _joint_form_at(lambda t: 2 * t)),
    ),
    loose="an exponent: a factor on both masks moves no slope",
)
def published_attention_masks_agree_at_half_the_temperature(rows: Rows, /) -> Evidence:
    """The mask that averages two softmaxes at T/2, as published code does, agrees with the printed softmax of
    the sum at T up to O(1/T²); at one T they differ at order 1/T.

    One slope per pair of maps, −2 ± 0.2; to first order both masks are 1 + (a + b − mean)/T.
    """
    return Rate.of(rows.temperature, rows.distance, expected=-2.0, margin=0.2)


@claim(
    section="2.2",
    formula=r"\mathcal L(A^S_{\rho,\pi}, A^T_{\rho,\pi}) = \mathcal L(A^S, A^T),\quad \mathcal L ="
    r" \alpha\mathcal L_{AT} + \beta\mathcal L_{AM},\ \pi \text{ on the positions, }"
    r" \rho \text{ on the channels}",
    source=SOURCE,
    place="derived here",
    assumes=(POSITIVE,),
    experiment=guided_losses_of_permuted_maps,
    control=Control("student and teacher are permuted each in an order of its own", orders=2),
    mutants=(
        Mutant("the spatial mask is a position behind", attention_masks, Wrong(_places_one_behind)),
        Mutant("the maps of the first channel only", attention_map_loss, _first_channel_only),
    ),
    loose=INVARIANCE,
)
def attention_guided_loss_ignores_a_common_order(rows: Rows, /) -> Evidence:
    """Attention-guided distillation, in both published forms of the masks, does not change when the positions
    and the channels of student and teacher are permuted alike. It does when each has an order of its own: it
    compares place with place and channel with channel.
    """
    sides = zip(rows.form, rows.after, rows.before, strict=True)
    return Joint(parts={form: Identity.of(after, before, tolerance=1e-9) for form, after, before in sides})


@claim(
    section="2.5",
    formula=r"\mathcal L_{AT}(cQA^S, A^T) = \mathcal L_{AT}(A^S, A^T),\quad c > 0,\ Q^\top Q = I"
    r"\text{ on the channels},\ p = 2",
    source="zagoruyko2017paying",
    place="derived here",
    experiment=transfers_of_mixed_channels,
    control=Control("the attention map is a sum of absolute values, p = 1", power=1.0),
    mutants=(
        Mutant("the maps are not normalised", attention_transfer, _not_normalised),
        Mutant("the sum of the channels, with their signs", attention_transfer, _mean_activation),
    ),
    loose=INVARIANCE,
)
def attention_transfer_ignores_scale_and_mixing_of_channels(rows: Rows, /) -> Evidence:
    """Attention transfer with squared activations does not change when the student's maps are scaled or their
    channels are mixed by an orthogonal matrix: it sees where a layer is active and not in which channels.
    """
    return Identity.of(rows.mixed, rows.plain, tolerance=1e-9)
