"""The prefix code of quantised networks: there and back, its length, Kraft's inequality, bad input."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kdtheory.coding import (
    QuantisedNetwork,
    code_length,
    decode_architecture,
    decode_network,
    encode_architecture,
    encode_network,
    quantise,
)
from kdtheory.networks import MLP, ModuleArchitecture
from kdtheory.streams import Stream


def ideal_bits(network: QuantisedNetwork) -> float:
    """−log₂ of the Krichevsky–Trofimov probability, by its closed form in Γ, and the header."""
    alphabet, bits = 2 * network.levels + 1, 2 * math.floor(math.log2(network.levels)) + 1
    for values in network.architecture.unpack(network.integers.double()).values():
        bits += 8 if bool(values.any()) else 1
        if not bool(values.any()):
            continue
        counts = torch.bincount((values.reshape(-1) + network.levels).long(), minlength=alphabet).double()
        seen = torch.lgamma(counts.sum() + alphabet / 2) - math.lgamma(alphabet / 2)
        bits += float(seen - (torch.lgamma(counts + 0.5) - math.lgamma(0.5)).sum()) / math.log(2)
    return bits


def a_network(widths=(8, 5, 3), levels: int = 3, seed: int = 0, **settings) -> QuantisedNetwork:
    architecture = MLP(widths)
    params = architecture.init(Stream(seed), members=1)[0]
    return quantise(params, architecture=architecture, levels=levels, **settings)


@pytest.mark.parametrize("levels", [1, 2, 7, 40])
@pytest.mark.parametrize("widths", [(2, 1), (8, 5, 3), (64, 40, 10)])
def test_there_and_back_with_a_tail(widths: tuple[int, ...], levels: int) -> None:
    network = a_network(widths, levels)
    message = encode_network(network)
    found, rest = decode_network(message + "0110", architecture=network.architecture)
    assert rest == "0110"
    assert torch.equal(found.integers, network.integers)
    assert (found.levels, found.exponents) == (network.levels, network.exponents)
    assert torch.equal(found.params(), network.params())


@given(st.integers(0, 10**6), st.integers(1, 9), st.floats(0.01, 1), st.text("01", max_size=80))
@settings(max_examples=40, deadline=None)
def test_any_network_survives_any_tail(seed: int, levels: int, keep: float, tail: str) -> None:
    network = a_network((6, 9, 4), levels, seed, keep=keep)
    found, rest = decode_network(encode_network(network) + tail, architecture=network.architecture)
    assert rest == tail
    assert torch.equal(found.integers, network.integers)


def test_blocks_are_joined_without_a_seam() -> None:
    # 5-bit symbols at random: 60,000 bits, so that two blocks end within the first tensor.
    architecture = MLP((120, 100, 3))
    integers = torch.randint(-15, 16, (architecture.size,), generator=Stream(0).torch())
    network = QuantisedNetwork(architecture, 15, (0,) * 4, integers)
    message = encode_network(network)
    assert len(message) > 2**15
    assert torch.equal(decode_network(message, architecture=architecture)[0].integers, integers)
    assert 0 <= len(message) - ideal_bits(network) <= 2 * math.ceil(len(message) / 2**15) + 1


@pytest.mark.parametrize(
    ("widths", "levels", "keep"), [((8, 5, 3), 3, 1.0), ((64, 64, 10), 7, 1.0), ((64, 64, 10), 1, 0.01)]
)
def test_length_is_the_ideal_one_and_two_bits_at_most(widths, levels: int, keep: float) -> None:
    network = a_network(widths, levels, keep=keep)
    assert ideal_bits(network) + 1 - 1e-6 <= code_length(network) <= ideal_bits(network) + 2 + 1e-6


def test_no_message_is_the_beginning_of_another_and_kraft_holds() -> None:
    # All 5³ networks of three parameters and K = 2 at one pair of steps.
    architecture = MLP((2, 1))
    messages = [
        encode_network(QuantisedNetwork(architecture, 2, (0, 0), torch.tensor(integers)))
        for integers in itertools.product(range(-2, 3), repeat=3)
    ]
    ordered = sorted(messages)
    assert not any(b.startswith(a) for a, b in itertools.pairwise(ordered))
    header = 3 + 2 * 8
    both = [message for message in messages if message[3] == "1" and message[11] == "1"]
    assert len(both) == 24 * 4
    assert 0.2 < sum(2.0 ** (header - len(message)) for message in both) <= 1
    assert sum(2.0 ** -len(message) for message in messages) <= 1


def test_nearest_lattice_points() -> None:
    architecture = MLP((30, 4))
    params = torch.randn(architecture.size, generator=Stream(1).torch(), dtype=torch.float64)
    network = quantise(params, architecture=architecture, levels=15)
    for name, values in architecture.unpack(params - network.params()).items():
        index = list(architecture.unpack(params)).index(name)
        step = 2 ** (network.exponents[index] / 4)
        largest = float(architecture.unpack(params)[name].abs().max())
        assert float(values.abs().max()) <= step / 2 * (1 + 1e-9)
        assert largest / 15 <= step * (1 + 1e-9) < 2**0.25 * largest / 15 * (1 + 1e-9)


def test_few_differences_from_a_centre_are_cheap() -> None:
    architecture = MLP((64, 32, 10))
    centre = architecture.init(Stream(0), members=1)[0]
    params = centre + 0.01 * torch.randn(architecture.size, generator=Stream(1).torch())
    same = quantise(centre, architecture=architecture, levels=1, centre=centre)
    few = quantise(params, architecture=architecture, levels=1, centre=centre, keep=0.01)
    all_ = quantise(params, architecture=architecture, levels=1, centre=centre)
    assert code_length(same) == 1 + 4 + 2
    assert code_length(same) < code_length(few) < code_length(all_) < 2 * architecture.size
    assert torch.equal(same.params(centre), centre.double())
    assert int(few.integers.abs().sum()) <= 0.01 * architecture.size + 4


def test_any_module_can_be_sent() -> None:
    architecture = ModuleArchitecture(
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3)), (1, 8, 8)
    )
    params = architecture.init(Stream(0), members=1)[0]
    network = quantise(params, architecture=architecture, levels=7)
    found, _ = decode_network(encode_network(network), architecture=architecture)
    assert torch.equal(found.params(), network.params())
    assert float((found.params() - params).abs().max()) < 0.1


def test_bad_input_is_named() -> None:
    architecture = MLP((2, 1))
    with pytest.raises(ValueError, match="levels = 0"):
        quantise(torch.zeros(3), architecture=architecture, levels=0)
    with pytest.raises(ValueError, match="params holds 1 NaN"):
        quantise(torch.tensor([0.0, math.nan, 1.0]), architecture=architecture, levels=1)
    for name in ("clip", "keep"):
        with pytest.raises(ValueError, match=f"{name} = 0"):
            quantise(torch.zeros(3), architecture=architecture, levels=1, **{name: 0.0})
    with pytest.raises(ValueError, match="exponents"):
        QuantisedNetwork(architecture, 1, (0,), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="exponents"):
        QuantisedNetwork(architecture, 1, (0, 28), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="integers reach 2"):
        QuantisedNetwork(architecture, 1, (0, 0), torch.tensor([0, 2, 0]))
    for least in (torch.tensor([-(2**63), 0, 0]), torch.tensor([-128, 0, 0], dtype=torch.int8)):
        with pytest.raises(ValueError, match=f"integers reach {-int(least.min())}"):  # −m is no number there
            QuantisedNetwork(architecture, 1, (0, 0), least)
    for end in (math.nan, math.inf):
        with pytest.raises(ValueError, match="centre holds 1 NaN or infinite"):
            quantise(torch.ones(3), architecture=architecture, levels=1, centre=torch.tensor([1.0, end, 0.0]))
    far = torch.full((3,), 1.7e308, dtype=torch.float64)
    with pytest.raises(ValueError, match="params − centre holds 3 NaN or infinite"):
        quantise(far, architecture=architecture, levels=1, centre=-far)
    with pytest.raises(ValueError, match="levels = 1048577 must be at most"):
        quantise(torch.ones(3), architecture=architecture, levels=2**20 + 1)
    with pytest.raises(ValueError, match="levels = 1099511627776 must be at most"):
        decode_network("0" * 40 + "1" + "0" * 40 + "1" * 8 + "0" * 99, architecture=architecture)
    message = encode_network(a_network())
    for end in (0, 5, 20, len(message) - 1):
        with pytest.raises(ValueError, match="message ends"):
            decode_network(message[:end], architecture=MLP((8, 5, 3)))


# Architectures


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=5), st.booleans(), st.text("01", max_size=20))
@settings(derandomize=True, deadline=None)
def test_an_architecture_is_sent_before_whatever_follows(widths: list[int], bias: bool, rest: str) -> None:
    architecture = MLP((7, *widths), bias=bias)
    message = encode_architecture(architecture)
    assert decode_architecture(message + rest, inputs=7) == (architecture, rest)
    layers = [2 * math.floor(math.log2(number)) + 1 for number in (len(widths), *widths)]
    assert len(message) == sum(layers) + 1


def test_a_network_of_unknown_widths_is_sent_and_found_again() -> None:
    network = a_network((8, 5, 3), levels=7)
    message = encode_architecture(network.architecture) + encode_network(network)
    architecture, rest = decode_architecture(message + "1011", inputs=8)
    found, after = decode_network(rest, architecture=architecture)
    assert after == "1011"
    assert torch.equal(found.params(), network.params())


def test_messages_of_all_architectures_satisfy_krafts_inequality() -> None:
    """Nets on one input with up to six parameters and K = 1, with all exponents; then the widths alone."""
    total = 0.0
    for widths in [(1, 1), (1, 2), (1, 3), (1, 1, 1), (1, 1, 2)]:
        for architecture in (MLP(widths), MLP(widths, bias=False)):
            header = len(encode_architecture(architecture))
            tensors = architecture.unpack(torch.arange(architecture.size).double()).values()
            for integers in itertools.product((-1, 0, 1), repeat=architecture.size):
                whole = torch.tensor(integers)
                sent = sum(bool(whole[place.long().reshape(-1)].any()) for place in tensors)
                network = QuantisedNetwork(architecture, 1, (0,) * len(tensors), whole)
                total += 128**sent * 2.0 ** -(header + code_length(network))
    assert 0.01 < total <= 1
    widths = itertools.chain.from_iterable(
        itertools.product(range(1, 33), repeat=layers) for layers in (1, 2, 3)
    )
    alone = sum(2.0 ** -len(encode_architecture(MLP((1, *out)))) * 2 for out in widths)
    assert 0.5 < alone <= 1


@pytest.mark.parametrize("message", ["", "1", "0101", "1001"])
def test_an_architecture_that_is_cut_short_is_refused(message: str) -> None:
    with pytest.raises(ValueError, match="message ends"):
        decode_architecture(message, inputs=3)


def test_only_relu_nets_have_such_a_code() -> None:
    with pytest.raises(ValueError, match="activation = 'tanh'"):
        encode_architecture(MLP((2, 2), activation="tanh"))


def test_every_parameter_goes_to_the_nearest_point_of_a_fine_lattice() -> None:
    # In float32 some of 20,000 quotients up to 50,000 would be rounded across a half.
    architecture, generator = MLP((199, 100, 1)), Stream(5).torch()
    params = torch.randn(architecture.size, generator=generator)
    for centre in (None, torch.randn(architecture.size, generator=generator)):
        network = quantise(params, architecture=architecture, levels=50_000, centre=centre)
        offset = params.double() if centre is None else params.double() - centre.double()
        sent, meant = (architecture.unpack(flat) for flat in (network.integers.double(), offset))
        for exponent, (name, values) in zip(network.exponents, meant.items(), strict=True):
            step = 2 ** (exponent / 4)
            assert float((values - step * sent[name]).abs().max()) <= step * (0.5 + 1e-9)


@pytest.mark.parametrize("levels", [0, -1])
def test_a_lattice_has_one_level_or_more(levels: int) -> None:
    with pytest.raises(ValueError, match="levels"):
        a_network(levels=levels)


def test_a_share_that_rounding_lifts_keeps_no_more() -> None:
    params = torch.arange(1.0, 102.0)
    network = quantise(params, architecture=MLP((100, 1)), levels=1000, keep=0.07)  # 0.07·100 > 7
    assert int((network.integers[:100] != 0).sum()) == 7


def test_of_equal_differences_as_many_are_sent_as_were_asked_for() -> None:
    network = quantise(torch.ones(13), architecture=MLP((12, 1)), levels=4, keep=0.25)
    assert network.integers.tolist() == [4] * 3 + [0] * 9 + [4]
