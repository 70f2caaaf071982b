"""Chapter 2.2, attention: what masks sum to, their two published forms, what the losses do not see."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Joint, Rate
from kdtheory.claims.features.moved import drawn, rotation
from kdtheory.losses.features import (
    MASK_FORMS,
    attention_guided_loss,
    attention_map_loss,
    attention_masks,
    attention_transfer,
    spatial_attention,
)
from kdtheory.streams import Stream

_Masks = Callable[..., tuple[Tensor, Tensor]]
TEMPERATURES = (4.0, 8.0, 16.0, 32.0, 64.0)


def _maps(setting: Setting, trial: int) -> tuple[Tensor, Tensor]:
    """Student's and teacher's maps: 4 examples, 5 channels, 3 × 6 positions."""
    here = setting.stream.child("maps", trial)
    return drawn(here.child("student"), 4, 5, 3, 6), drawn(here.child("teacher"), 4, 5, 3, 6)


def _swapped(
    student: Tensor, teacher: Tensor, /, *, temperature: float, form: str, _true: _Masks = attention_masks
) -> tuple[Tensor, Tensor]:
    spatial, channel = _true(student, teacher, temperature=temperature, form=form)
    channels, positions = student.shape[1], student.shape[2] * student.shape[3]
    return spatial * channels / positions, channel * positions / channels


def _softmax_of_each_row(
    student: Tensor, teacher: Tensor, /, *, temperature: float, form: str, _true: _Masks = attention_masks
) -> tuple[Tensor, Tensor]:
    places = (spatial_attention(student) + spatial_attention(teacher)) / temperature
    _, channel = _true(student, teacher, temperature=temperature, form=form)
    return places.shape[1] * places.shape[2] * places.softmax(-1), channel


@claim(
    section="2.2",
    formula=r"M^s = HW\,\mathrm{softmax}\tfrac{G^s(A^S) + G^s(A^T)}{T},\ \ \textstyle\sum_{ij} M^s_{ij} = HW;"
    r"\qquad M^c = C\,\mathrm{softmax}\tfrac{G^c(A^S) + G^c(A^T)}{T},\ \ \sum_c M^c_c = C",
    source="zhang2021improve",
    assumes=("T > 0.",),
    control=Control("the masks are plain softmaxes, of sum one", total="one"),
    uses=(attention_masks,),
    mutants=(
        Mutant("the factors HW and C are swapped", attention_masks, _swapped),
        Mutant("the softmax is taken within each row", attention_masks, _softmax_of_each_row),
    ),
    power=Scaled(attention_masks, entry=0),
)
def attention_masks_sum_to_what_they_cover(
    setting: Setting, /, *, total: str = "positions and channels"
) -> Evidence:
    """The spatial mask sums to HW and the channel mask to C, in both published forms: the mask moves weight
    between places and channels and adds none.

    How it's judged: sums over random maps of 3 × 6 positions and 5 channels, at T = 0.1, 1 and 10.
    """
    parts: dict[str, Evidence] = {}
    for form in MASK_FORMS:
        spatial, channel = [], []
        for trial in range(setting.size(quick=10, full=100)):
            for temperature in (0.1, 1.0, 10.0):
                masks = attention_masks(*_maps(setting, trial), temperature=temperature, form=form)
                spatial.append(masks[0].sum((1, 2)))
                channel.append(masks[1].sum(1))
        for name, sums, size in (("spatial", spatial, 18), ("channel", channel, 5)):
            found = torch.cat(sums)
            wanted = torch.full_like(found, size if total == "positions and channels" else 1)
            parts[f"{form}, {name}"] = Identity.of(found, wanted, tolerance=1e-12)
    return Joint(parts=parts)


def _temperature_forgotten(
    *maps: Tensor, temperature: float, form: str, _true: _Masks = attention_masks
) -> tuple[Tensor, Tensor]:
    return _true(*maps, temperature=4.0 if form == "joint" else temperature, form=form)


def _mean_for_the_sum(
    *maps: Tensor, temperature: float, form: str, _true: _Masks = attention_masks
) -> tuple[Tensor, Tensor]:
    return _true(*maps, temperature=2 * temperature if form == "joint" else temperature, form=form)


@claim(
    section="2.2",
    formula=r"\mathrm{softmax}\tfrac{a + b}{T} = \tfrac12\bigl(\mathrm{softmax}\tfrac{a}{T/2} +"
    r" \mathrm{softmax}\tfrac{b}{T/2}\bigr) + O(T^{-2})",
    source="zhang2021improve",
    assumes=("T > 0.",),
    control=Control("both forms are taken at one temperature", share=1.0),
    uses=(attention_masks,),
    mutants=(
        Mutant("the temperature is forgotten", attention_masks, _temperature_forgotten),
        Mutant("the mean of both maps for their sum", attention_masks, _mean_for_the_sum),
    ),
    loose="an exponent: a factor on both masks moves no slope",
)
def published_attention_masks_agree_at_half_the_temperature(
    setting: Setting, /, *, share: float = 0.5
) -> Evidence:
    """The mask that averages two softmaxes at T/2, as published code does, agrees with the printed softmax of
    the sum at T up to O(1/T²); at one T they differ at order 1/T.

    How it's judged: the largest difference of the spatial masks over T = 4 … 64, one slope per trial,
    −2 ± 0.2; to first order both are 1 + (a + b − mean)/T. Constants derived here.
    """
    rows = []
    for trial in range(setting.size(quick=20, full=100)):
        maps, row = _maps(setting, trial), []
        for temperature in TEMPERATURES:
            joint, _ = attention_masks(*maps, temperature=temperature, form="joint")
            averaged, _ = attention_masks(*maps, temperature=share * temperature, form="averaged")
            row.append(float((joint - averaged).abs().max()))
        rows.append(row)
    return Rate.of(torch.tensor(TEMPERATURES), torch.tensor(rows), expected=-2.0, margin=0.2)


def _places_one_behind(
    student: Tensor, teacher: Tensor, /, *, temperature: float, form: str, _true: _Masks = attention_masks
) -> tuple[Tensor, Tensor]:
    spatial, channel = _true(student, teacher, temperature=temperature, form=form)
    return spatial.flatten(1).roll(1, 1).reshape(spatial.shape), channel


def _first_channel_only(student: Tensor, teacher: Tensor, /) -> Tensor:
    gaps: Tensor = torch.linalg.vector_norm((student[:, 0].abs() - teacher[:, 0].abs()).flatten(1), dim=1)
    return gaps.mean()


@claim(
    section="2.2",
    formula=r"\mathcal L(A^S_{\rho,\pi}, A^T_{\rho,\pi}) = \mathcal L(A^S, A^T),\quad \mathcal L ="
    r" \alpha\mathcal L_{AT} + \beta\mathcal L_{AM},\ \pi \text{ on the positions, }"
    r" \rho \text{ on the channels}",
    source="zhang2021improve",
    assumes=("T > 0.",),
    control=Control("student and teacher are permuted each in an order of its own", orders=2),
    uses=(attention_guided_loss, attention_map_loss, attention_masks),
    mutants=(
        Mutant("the spatial mask is a position behind", attention_masks, _places_one_behind),
        Mutant("the maps of the first channel only", attention_map_loss, _first_channel_only),
    ),
    loose="an invariance: a factor scales both sides alike",
)
def attention_guided_loss_ignores_a_common_order(setting: Setting, /, *, orders: int = 1) -> Evidence:
    """Attention-guided distillation, in both published forms of the masks, does not change when the positions
    and the channels of student and teacher are permuted alike. It does when each has an order of its own: it
    compares place with place and channel with channel.

    How it's judged: the loss at T = 0.5 of random maps before and after random permutations.
    """
    parts: dict[str, Evidence] = {}
    for form in MASK_FORMS:
        before, after = [], []
        for trial in range(setting.size(quick=20, full=200)):
            maps = _maps(setting, trial)
            here = setting.stream.child("orders", trial)
            moved = (_permuted(maps[0], here.child(0)), _permuted(maps[1], here.child(orders - 1)))
            before.append(attention_guided_loss(*maps, temperature=0.5, form=form))
            after.append(attention_guided_loss(*moved, temperature=0.5, form=form))
        parts[form] = Identity.of(torch.stack(after), torch.stack(before), tolerance=1e-9)
    return Joint(parts=parts)


def _permuted(maps: Tensor, stream: Stream) -> Tensor:
    """Positions and channels in a random order."""
    places, channels = (
        torch.randperm(count, generator=stream.child(name).torch())
        for name, count in (("places", maps[0, 0].numel()), ("channels", maps.shape[1]))
    )
    return maps.flatten(2)[:, channels][..., places].reshape(maps.shape)


def _not_normalised(student: Tensor, teacher: Tensor, /, *, power: float) -> Tensor:
    first, second = (side.abs().pow(power).sum(1).flatten(1) for side in (student, teacher))
    return (first - second).square().sum(1).mean()


def _mean_activation(student: Tensor, teacher: Tensor, /, *, power: float) -> Tensor:
    first, second = (torch.nn.functional.normalize(side.sum(1).flatten(1)) for side in (student, teacher))
    return (first - second).square().sum(1).mean()


@claim(
    section="2.5",
    formula=r"\mathcal L_{AT}(cQA^S, A^T) = \mathcal L_{AT}(A^S, A^T),\quad c > 0,\ Q^\top Q = I"
    r"\text{ on the channels},\ p = 2",
    source="zagoruyko2017paying",
    control=Control("the attention map is a sum of absolute values, p = 1", power=1.0),
    uses=(attention_transfer,),
    mutants=(
        Mutant("the maps are not normalised", attention_transfer, _not_normalised),
        Mutant("the sum of the channels, with their signs", attention_transfer, _mean_activation),
    ),
    loose="an invariance: a factor scales both sides alike",
)
def attention_transfer_ignores_scale_and_mixing_of_channels(
    setting: Setting, /, *, power: float = 2.0
) -> Evidence:
    """Attention transfer with squared activations does not change when the student's maps are scaled or their
    channels are mixed by an orthogonal matrix: it sees where a layer is active and not in which channels.

    How it's judged: the loss of random maps before and after a random rotation of the channels and a factor.
    """
    plain, mixed = [], []
    for trial in range(setting.size(quick=20, full=200)):
        student, teacher = _maps(setting, trial)
        turn = rotation(setting.stream.child("turns", trial), student.shape[1])
        plain.append(attention_transfer(student, teacher, power=power))
        turned = 3 * torch.einsum("dc,bchw->bdhw", turn, student)
        mixed.append(attention_transfer(turned, teacher, power=power))
    return Identity.of(torch.stack(mixed), torch.stack(plain), tolerance=1e-9)
