"""A prefix code for quantised networks: how many bits it takes to send one, and sending it.

A network of a known architecture is sent as integers: each named parameter tensor on its own lattice,
w = centre + step·m with m ∈ {−K, …, K}, where the centre is a network that was fixed beforehand (zero, or one
learned on other data). The message is K (Elias's gamma code), the step of each tensor (7 bits: an exponent
of 2^{1/4}), and the integers by arithmetic coding with the Krichevsky–Trofimov estimate: a symbol that was
seen c times in t has probability (c + ½)/(t + K + ½), so that no table is sent. Arithmetic is exact, in whole
numbers; each block of 512 symbols costs ⌈−log₂ probability⌉ + 1 bits (Shannon–Fano–Elias), which makes it a
prefix code, and so is the whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.networks import Architecture
from kdtheory.validate import check_at_least, check_finite

__all__ = ["QuantisedNetwork", "code_length", "decode_network", "encode_network", "quantise"]

_BLOCK = 512
_EXPONENT_BITS = 7
_LEAST_EXPONENT = -100


@dataclass(frozen=True, eq=False)
class QuantisedNetwork:
    """A network on lattices: w = centre + 2^{j/4}·m, with one exponent j for each named parameter tensor.

    Args:
        architecture: known to both ends.
        levels: K, the largest |m|.
        exponents: j of each tensor, in the order of `architecture.unpack`, from −100 to 27.
        integers: m of every parameter, in the order of the flat vector.
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
        if int(self.integers.abs().max()) > self.levels:
            raise ValueError(
                f"integers reach {int(self.integers.abs().max())}; levels = {self.levels} allow less"
            )

    def params(self, centre: Float[Tensor, "size"] | None = None, /) -> Float[Tensor, "size"]:
        """The parameters, float64, around `centre` (zero where not given)."""
        named = {
            name: 2 ** (exponent / 4) * values
            for (name, values), exponent in zip(
                self.architecture.unpack(self.integers.double()).items(), self.exponents, strict=True
            )
        }
        offset = self.architecture.pack(named)
        return offset if centre is None else centre.double() + offset


def quantise(
    params: Float[Tensor, "size"],
    /,
    *,
    architecture: Architecture,
    levels: int,
    centre: Float[Tensor, "size"] | None = None,
    clip: float = 1.0,
) -> QuantisedNetwork:
    """The nearest lattice point of each parameter, the step of each tensor as small as K allows.

    Args:
        params: the network.
        architecture: what the flat vector means.
        levels: K ≥ 1.
        centre: the network that differences are sent from, fixed before the points that will test the code.
        clip: the largest difference that a tensor's lattice reaches, as a share of its largest; less than
            one makes finer steps and clips.

    Raises:
        ValueError: a parameter is not finite, K < 1, or `clip` is not in (0, 1].

    >>> from kdtheory.networks import MLP
    >>> network = quantise(torch.tensor([1.0, -1.0, 0.4]), architecture=MLP((2, 1)), levels=1)
    >>> network.integers.tolist(), network.params().tolist()  # weights 1, −1; the bias is on its own lattice
    ([1, -1, 1], [1.0, -1.0, 0.42044820762685725])
    """
    check_finite("params", params)
    check_at_least("levels", levels, 1)
    if not 0 < clip <= 1:
        raise ValueError(f"clip = {clip} must lie in (0, 1]")
    offset = params.detach().cpu().double()
    if centre is not None:
        offset = offset - centre.detach().cpu().double()
    integers, exponents = {}, []
    for name, values in architecture.unpack(offset).items():
        exponents.append(_exponent(clip * float(values.abs().max()) / levels))
        integers[name] = (values / 2 ** (exponents[-1] / 4)).round().clamp(-levels, levels)
    return QuantisedNetwork(architecture, levels, tuple(exponents), architecture.pack(integers).long())


def encode_network(network: QuantisedNetwork, /) -> str:
    """The message, as a string of 0 and 1.

    >>> from kdtheory.networks import MLP
    >>> zeros = quantise(torch.zeros(3), architecture=MLP((2, 1)), levels=1)
    >>> encode_network(zeros)[0], len(encode_network(zeros))  # γ(1) = "1"; 1 + 2·7 + (3 + 1) + (2 + 1) bits
    ('1', 22)
    """
    tensors = network.architecture.unpack(network.integers.double()).values()
    parts = [_gamma(network.levels)]
    for exponent, values in zip(network.exponents, tensors, strict=True):
        parts.append(format(exponent - _LEAST_EXPONENT, f"0{_EXPONENT_BITS}b"))
        parts += _encode_symbols(
            (values.reshape(-1).long() + network.levels).tolist(), 2 * network.levels + 1
        )
    return "".join(parts)


def code_length(network: QuantisedNetwork, /) -> int:
    """b, the number of bits of the message: what an Occam bound charges."""
    return len(encode_network(network))


def decode_network(message: str, /, *, architecture: Architecture) -> tuple[QuantisedNetwork, str]:
    """The network that a message sends, and what is left of the message after it.

    Raises:
        ValueError: the message ends too early.
    """
    levels, message = _ungamma(message)
    exponents, integers = [], {}
    for name, view in architecture.unpack(torch.zeros(architecture.size, dtype=torch.float64)).items():
        exponents.append(int(message[:_EXPONENT_BITS], 2) + _LEAST_EXPONENT)
        symbols, message = _decode_symbols(message[_EXPONENT_BITS:], view.numel(), 2 * levels + 1)
        integers[name] = torch.tensor(symbols).double().reshape(view.shape) - levels
    network = QuantisedNetwork(architecture, levels, tuple(exponents), architecture.pack(integers).long())
    return network, message


def _exponent(step: float) -> int:
    """The least exponent on the grid whose step is at least `step`, up to rounding."""
    if step == 0:
        return _LEAST_EXPONENT
    wanted = math.ceil(4 * math.log2(step) - 1e-9)
    return int(min(max(wanted, _LEAST_EXPONENT), _LEAST_EXPONENT + 2**_EXPONENT_BITS - 1))


class _Estimate:
    """Krichevsky–Trofimov: twice the odd counts, 2c + 1 of 2t + A, kept as whole numbers."""

    def __init__(self, alphabet: int) -> None:
        self.doubled = [1] * alphabet
        self.total = alphabet

    def below(self, symbol: int) -> int:
        return sum(self.doubled[:symbol])

    def symbol_at(self, target: int) -> int:
        symbol = 0
        while target >= self.doubled[symbol]:
            target -= self.doubled[symbol]
            symbol += 1
        return symbol

    def see(self, symbol: int) -> None:
        self.doubled[symbol] += 2
        self.total += 2


def _encode_symbols(symbols: list[int], alphabet: int) -> Iterator[str]:
    """Each block narrows [0, 1) to [low, low + width)/scale, and sends a shortest dyadic interval inside."""
    estimate = _Estimate(alphabet)
    for start in range(0, len(symbols), _BLOCK):
        low, width, scale = 0, 1, 1
        for symbol in symbols[start : start + _BLOCK]:
            low = low * estimate.total + width * estimate.below(symbol)
            width, scale = width * estimate.doubled[symbol], scale * estimate.total
            estimate.see(symbol)
        bits = _block_bits(width, scale)
        yield format(-((-low << bits) // scale), f"0{bits}b")


def _decode_symbols(message: str, count: int, alphabet: int) -> tuple[list[int], str]:
    estimate, symbols = _Estimate(alphabet), []
    for start in range(0, count, _BLOCK):
        block = min(_BLOCK, count - start)
        ahead = block * (estimate.total + 2 * block).bit_length() + 2
        # Bits of later blocks, or zeros past the end, do not leave the dyadic interval of this one.
        above, width, scale = int(message[:ahead].ljust(ahead, "0"), 2), 1, 1
        for _ in range(block):
            symbol = estimate.symbol_at(above * estimate.total // (width << ahead))
            above = above * estimate.total - ((width * estimate.below(symbol)) << ahead)
            width, scale = width * estimate.doubled[symbol], scale * estimate.total
            estimate.see(symbol)
            symbols.append(symbol)
        bits = _block_bits(width, scale)
        if len(message) < bits:
            raise ValueError(f"message ends {bits - len(message)} bits too early")
        message = message[bits:]
    return symbols, message


def _block_bits(width: int, scale: int) -> int:
    """⌈log₂(scale/width)⌉ + 1: the least b with 2^b·width ≥ 2·scale."""
    bits = max(0, scale.bit_length() - width.bit_length())
    while width << bits < 2 * scale:
        bits += 1
    return bits


def _gamma(number: int) -> str:
    """Elias's gamma code: as many zeros as digits follow the leading one."""
    digits = format(number, "b")
    return "0" * (len(digits) - 1) + digits


def _ungamma(message: str) -> tuple[int, str]:
    zeros = len(message) - len(message.lstrip("0"))
    digits = message[zeros : 2 * zeros + 1]
    if len(digits) < zeros + 1:
        raise ValueError("message ends within its first number")
    return int(digits, 2), message[2 * zeros + 1 :]
