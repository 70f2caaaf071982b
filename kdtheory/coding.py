"""A prefix code for quantised networks: how many bits it takes to send one, and sending it.

A network of a known architecture is sent as integers: each named parameter tensor on its own lattice,
w = centre + step·m with m ∈ {−K, …, K}, where the centre is a network that was fixed beforehand (zero, or one
learned on other data). The message is K (Elias's gamma code), for each tensor a 0 if it is the centre's own,
else a 1 and its step (7 bits: an exponent of 2^{1/4}), and the integers of the tensors that have a step, by
arithmetic coding with the Krichevsky–Trofimov estimate: a symbol that was seen c times in t of its tensor has
probability (c + ½)/(t + K + ½), so that no table is sent. No message is the beginning of
another.

Where the receiver does not know the architecture, a fully connected net's comes first: the number of layers
and the width of each by the gamma code (2⌊log₂ d⌋ + 1 bits), and a bit for the biases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory._prefix_codes import decode_symbols, encode_symbols, gamma, ungamma
from kdtheory.compression.sparse import largest_entries
from kdtheory.doors import door
from kdtheory.networks import MLP, Architecture
from kdtheory.types import rounded_up
from kdtheory.validate import check_at_least, check_finite, check_same_shape

__all__ = [
    "QuantisedNetwork",
    "code_length",
    "decode_architecture",
    "decode_network",
    "encode_architecture",
    "encode_network",
    "quantise",
]

_EXPONENT_BITS = 7
_LEAST_EXPONENT = -100
_MOST_LEVELS = 2**20


@door
@dataclass(frozen=True, eq=False)
class QuantisedNetwork:
    """A network on lattices: w = centre + 2^{j/4}·m, with one exponent j for each named parameter tensor.

    Args:
        architecture: known to both ends.
        levels: K, the largest |m|, up to 2^20.
        exponents: j of each tensor, in the order of `architecture.unpack`, from −100 to 27.
        integers: m of every parameter, in the order of the flat vector.

    Raises:
        ValueError: K < 1 or above 2^20, not one exponent for each tensor, an exponent out of range, or an
            integer above K.
    """

    architecture: Architecture
    levels: int
    exponents: tuple[int, ...]
    integers: Int[Tensor, "size"]

    def __post_init__(self) -> None:
        check_at_least("levels", self.levels, 1)
        tensors = self.architecture.unpack(self.integers.double())
        if len(self.exponents) != len(tensors):
            raise ValueError(
                f"exponents: {len(self.exponents)} for {len(tensors)} tensors; give one for each"
            )
        allowed = range(_LEAST_EXPONENT, _LEAST_EXPONENT + 2**_EXPONENT_BITS)
        if not all(exponent in allowed for exponent in self.exponents):
            raise ValueError(
                f"exponents = {self.exponents} must lie in {allowed.start} to {allowed.stop - 1}"
            )
        _check_levels(self.levels)
        if (most := max(int(self.integers.max()), -int(self.integers.min()))) > self.levels:
            raise ValueError(f"integers reach {most}; levels = {self.levels} allow less")

    def params(self, centre: Float[Tensor, "size"] | None = None, /) -> Float[Tensor, "size"]:
        """The parameters, float64, around `centre` (zero where not given).

        Raises:
            ValueError: the centre is of another size, or not finite.
        """
        named = {
            name: 2 ** (exponent / 4) * values
            for (name, values), exponent in zip(
                self.architecture.unpack(self.integers.double()).items(), self.exponents, strict=True
            )
        }
        offset = self.architecture.pack(named)
        if centre is None:
            return offset
        check_same_shape("centre", centre, "integers", self.integers)
        check_finite("centre", centre)
        return centre.double() + offset


@door
def quantise(
    params: Float[Tensor, "size"],
    /,
    *,
    architecture: Architecture,
    levels: int,
    centre: Float[Tensor, "size"] | None = None,
    clip: float = 1.0,
    keep: float = 1.0,
) -> QuantisedNetwork:
    """The nearest lattice point of each parameter, the step of each tensor as small as K allows.

    Steps are at most 2^{27/4} ≈ 107.6: what lies further than K of them from the centre is drawn in to them.

    Args:
        params: the network.
        architecture: what the flat vector means.
        levels: K from 1 to 2^20.
        centre: the network that differences are sent from, fixed before the points that will test the code.
        clip: the largest difference that a tensor's lattice reaches, as a share of its largest; less than
            one makes finer steps and clips.
        keep: the share of each tensor's differences, the largest, and of equal ones the first, that are sent
            as other than zero; few of them cost few bits.

    Raises:
        ValueError: a parameter, or its difference from the centre, is not finite, K is out of its range, or
            `clip` or `keep` is not in (0, 1].

    >>> from kdtheory.networks import MLP
    >>> network = quantise(torch.tensor([1.0, -1.0, 0.4]), architecture=MLP((2, 1)), levels=1)
    >>> network.integers.tolist(), network.params().tolist()  # weights 1, −1; the bias is on its own lattice
    ([1, -1, 1], [1.0, -1.0, 0.42044820762685725])
    """
    check_finite("params", params)
    check_at_least("levels", levels, 1)
    _check_levels(levels)
    for setting, value in (("clip", clip), ("keep", keep)):
        if not 0 < value <= 1:
            raise ValueError(f"{setting} = {value} must lie in (0, 1]")
    offset = params.detach().cpu().double()
    if centre is not None:
        check_finite("centre", centre)
        offset = offset - centre.detach().cpu().double()
        check_finite("params − centre", offset)
    integers, exponents = {}, []
    for name, values in architecture.unpack(offset).items():
        exponents.append(_exponent(clip * float(values.abs().max()) / levels))
        kept = rounded_up(keep * values.numel())
        if kept < values.numel():
            values = values * largest_entries(values.reshape(-1), kept=kept).reshape(values.shape)
        integers[name] = (values / 2 ** (exponents[-1] / 4)).round().clamp(-levels, levels)
    return QuantisedNetwork(architecture, levels, tuple(exponents), architecture.pack(integers).long())


@door
def encode_network(network: QuantisedNetwork, /) -> str:
    """The message, as a string of 0 and 1.

    >>> from kdtheory.networks import MLP
    >>> encode_network(quantise(torch.zeros(3), architecture=MLP((2, 1)), levels=1))  # γ(1), 0, 0, an end
    '10000'
    >>> ones = quantise(torch.ones(3), architecture=MLP((2, 1)), levels=1)
    >>> len(encode_network(ones))  # 1 + 2·8 bits; −log₂(⅓·⅗·⅓) = 3.9, and 1 to 2 more
    22
    """
    header, rows = [gamma(network.levels)], []
    tensors = network.architecture.unpack(network.integers.double()).values()
    for exponent, values in zip(network.exponents, tensors, strict=True):
        if not bool(values.any()):
            header.append("0")
            continue
        header.append("1" + format(exponent - _LEAST_EXPONENT, f"0{_EXPONENT_BITS}b"))
        rows.append((values.reshape(-1).long() + network.levels).tolist())
    return "".join(header + list(encode_symbols(rows, 2 * network.levels + 1)))


@door
def code_length(network: QuantisedNetwork, /) -> int:
    """b, the number of bits of the message: what an Occam bound charges."""
    return len(encode_network(network))


@door
def encode_architecture(architecture: MLP, /) -> str:
    """The widths of a ReLU net but that of its input, which both ends know, and whether it has biases.

    Raises:
        ValueError: the activation is another.

    >>> encode_architecture(MLP((64, 5, 2)))  # γ(2) γ(5) γ(2) 1
    '010001010101'
    """
    if architecture.activation != "relu":
        raise ValueError(f"activation = {architecture.activation!r}; the code is for relu alone")
    outputs = architecture.widths[1:]
    return "".join(map(gamma, (len(outputs), *outputs))) + str(int(architecture.bias))


@door
def decode_architecture(message: str, /, *, inputs: int) -> tuple[MLP, str]:
    """The architecture that a message begins with, and what is left of the message after it.

    Raises:
        ValueError: the message ends too early, or is no text of 0 and 1.
    """
    check_at_least("inputs", inputs, 1)
    _check_bits(message)
    layers, message = ungamma(message)
    widths = [inputs]
    for _ in range(layers):
        width, message = ungamma(message)
        widths.append(width)
    if not message:
        raise ValueError("message ends before the bit for the biases")
    return MLP(tuple(widths), bias=message[0] == "1"), message[1:]


@door
def decode_network(message: str, /, *, architecture: Architecture) -> tuple[QuantisedNetwork, str]:
    """The network that a message sends, and what is left of the message after it.

    Raises:
        ValueError: the message ends too early, is no text of 0 and 1, or sends a K that no network has.
    """
    _check_bits(message)
    levels, message = ungamma(message)
    _check_levels(levels)
    views = architecture.unpack(torch.zeros(architecture.size, dtype=torch.float64))
    steps, message = _decode_steps(message, len(views))
    sent = [name for name, step in zip(views, steps, strict=True) if step is not None]
    rows, rest = decode_symbols(message, [views[name].numel() for name in sent], 2 * levels + 1)
    integers = {name: torch.zeros_like(view) for name, view in views.items()}
    for name, row in zip(sent, rows, strict=True):
        integers[name] = torch.tensor(row).double().reshape(views[name].shape) - levels
    exponents = tuple(_LEAST_EXPONENT if step is None else step for step in steps)
    return QuantisedNetwork(architecture, levels, exponents, architecture.pack(integers).long()), rest


def _decode_steps(message: str, tensors: int) -> tuple[list[int | None], str]:
    """The exponent of each tensor, None for one that is the centre's own; and what follows."""
    steps: list[int | None] = []
    for _ in range(tensors):
        length = 1 + _EXPONENT_BITS * message.startswith("1")
        if len(message) < length:
            raise ValueError("message ends within the steps")
        steps.append(int(message[1:length], 2) + _LEAST_EXPONENT if length > 1 else None)
        message = message[length:]
    return steps, message


def _exponent(step: float) -> int:
    """The least exponent on the grid whose step is at least `step`, up to rounding."""
    if step == 0:
        return _LEAST_EXPONENT
    wanted = math.ceil(4 * math.log2(step) - 1e-9)
    return int(min(max(wanted, _LEAST_EXPONENT), _LEAST_EXPONENT + 2**_EXPONENT_BITS - 1))


def _check_levels(levels: int) -> None:
    """The coder keeps a count for each of 2K + 1 symbols."""
    if levels > _MOST_LEVELS:
        raise ValueError(f"levels = {levels} must be at most 2^20; give a coarser lattice")


def _check_bits(message: str) -> None:
    if strange := set(message) - {"0", "1"}:
        raise ValueError(f"message holds {min(strange)!r}; give a text of 0 and 1, as encoding gives it")
