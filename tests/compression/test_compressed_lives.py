"""Compressed networks go on living: pruned and factorised again, trained, saved, read; and what is none."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, spectral_norm

from kdtheory.compression import factorise, model_size, narrow, pruned
from kdtheory.networks import copied
from kdtheory.recipe import Recipe
from kdtheory.schemes import fit
from kdtheory.streams import Stream

X = torch.randn(40, 20, generator=Stream(0).torch())
Y = torch.arange(40) % 3


def dense() -> nn.Sequential:
    with Stream(1).default():
        return nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 3))


def held(net: nn.Module) -> int:
    """Weights that masks hold at zero."""
    return sum(int((mask == 0).sum()) for name, mask in net.named_buffers() if name.endswith("weight_mask"))


def zeros(net: nn.Module) -> float:
    """The share of zeros among the weights, masks applied."""
    masks = dict(net.named_buffers())
    flat = [
        (value * masks.get(name.removesuffix("orig") + "mask", 1)).reshape(-1)
        for name, value in net.named_parameters()
        if value.ndim >= 2
    ]
    return float((torch.cat(flat) == 0).double().mean())


MADE: dict[str, Callable[[nn.Sequential], nn.Module]] = {
    "pruned": lambda net: pruned(net, sparsity=0.5),
    "pruned by steps": lambda net: pruned(pruned(pruned(net, sparsity=0.1), sparsity=0.3), sparsity=0.5),
    "units": lambda net: pruned(net, sparsity=0.5, structured=True),
    "factorised": lambda net: factorise(net, ranks={"0": 6, "2": 5}),
    "factorised, pruned": lambda net: pruned(factorise(net, ranks={"0": 6, "2": 5}), sparsity=0.5),
    "pruned, factorised": lambda net: factorise(pruned(net, sparsity=0.5), ranks=2),
    "factorised, pruned, factorised": lambda net: factorise(
        pruned(factorise(net, ranks={"0": 6}), sparsity=0.5), ranks={"0.1": 3}
    ),
    "narrow": lambda net: narrow(net, widths=[9, 8]),
}


@pytest.mark.parametrize("name", MADE)
def test_what_comes_out_trains_and_masks_hold(name: str) -> None:
    net = MADE[name](dense())
    zeros_held = held(net) / sum(value.numel() for value in net.parameters() if value.ndim >= 2)
    start = {key: value.detach().clone() for key, value in net.named_parameters()}
    plain = copied(net).train()
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(plain(X), Y).backward()
        optimizer.step()
    fitted = fit(net, (X, Y), recipe=Recipe(steps=3), stream=Stream(0)).module
    for trained in (plain, fitted):
        assert all(bool((value != start[key]).any()) for key, value in trained.named_parameters())
        assert zeros(trained) == pytest.approx(zeros_held, abs=1e-9)


@pytest.mark.parametrize("name", MADE)
def test_what_comes_out_is_saved_and_read(name: str) -> None:
    net = MADE[name](dense())
    state = net.state_dict()
    places = [value.untyped_storage().data_ptr() for value in state.values()]
    assert len(set(places)) == len(places)  # each array its own: formats that refuse shared ones take them
    assert all(value.is_contiguous() for value in state.values())
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    other = MADE[name](dense())
    with torch.no_grad():
        for value in other.parameters():
            value.fill_(7.0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(X), net(X))
    assert model_size(other) == model_size(net)
    assert torch.equal(copied(other)(X), net(X))


def test_pruning_by_steps_with_training_between_keeps_one_hook() -> None:
    net: nn.Module = dense()
    for sparsity in (0.2, 0.5, 0.8, 1.0):
        net = pruned(fit(net, (X, Y), recipe=Recipe(steps=2), stream=Stream(0)).module, sparsity=sparsity)
        assert zeros(net) == pytest.approx(sparsity, abs=1e-3)
        assert len(net._forward_pre_hooks) == 1
    assert zeros(pruned(dense(), sparsity=0.0)) == 0


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_compressing_without_gradients_makes_networks_that_learn(mode: Callable) -> None:
    for make in MADE.values():
        with mode():
            net = make(dense())
        net(X).sum().backward()
        assert all(value.grad is not None for value in net.parameters())


def test_low_rank_layers_with_masks_are_read_by_their_parents() -> None:
    with Stream(0).default():
        encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0).eval()
        x = torch.randn(2, 5, 8)
    small = pruned(factorise(encoder, ranks=2), sparsity=0.5).eval()
    with torch.no_grad():
        fast = small(x)
    assert torch.allclose(fast, small.train()(x), atol=1e-5)


def test_the_largest_weights_stay_in_float64_too() -> None:
    layer = nn.Linear(4, 1, bias=False, dtype=torch.float64)
    for offset, small in ((0.0, 1e-300), (1.0, 1e-12)):
        with torch.no_grad():
            layer.weight.copy_(offset + small * torch.arange(1, 5, dtype=torch.float64))
        assert (pruned(layer, sparsity=0.5).weight != 0).tolist() == [[False, False, True, True]]


def test_a_padding_of_zeros_stays_zero() -> None:
    with Stream(0).default():
        table = factorise(nn.Embedding(30, 8, padding_idx=2, scale_grad_by_freq=True), ranks={"": 4})
    assert table[0].scale_grad_by_freq
    optimizer = torch.optim.SGD(table.parameters(), lr=1.0)
    table(torch.arange(12)).square().sum().backward()
    optimizer.step()
    assert not table(torch.tensor([2])).any()


def test_scales_of_normalisation_are_no_weights() -> None:
    net = nn.Sequential(nn.LayerNorm((4, 5)), nn.RMSNorm((4, 5)), nn.Flatten(), nn.Linear(20, 5))
    small = pruned(net, sparsity=0.9)
    assert bool((small[0].weight == 1).all() & (small[1].weight == 1).all())
    assert float((small[3].weight == 0).double().mean()) == 0.9


def test_weights_that_hooks_compute_are_those_of_now() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older form, which many networks still have
        layer = spectral_norm(nn.Linear(20, 20)).double().eval()
    with torch.no_grad():
        layer.weight_orig.mul_(3)
    assert torch.allclose(factorise(layer, ranks={"": 20})(X.double()), layer(X.double()))


def test_a_weight_that_is_a_buffer_does_not_learn_afterwards() -> None:
    layer = nn.Linear(20, 5)
    weight = layer._parameters.pop("weight")
    layer.register_buffer("weight", weight.detach())
    small = factorise(layer, ranks={"": 5})
    assert torch.allclose(small(X), layer(X), atol=1e-5)
    assert [value.requires_grad for value in small.parameters()] == [False, False, True]


def of(layer: nn.Module, **changes: object) -> nn.Module:
    return nn.Sequential(nn.Linear(20, 30), layer, nn.Linear(30, 3))


BAD = {
    "one path": (
        lambda: pruned(dense(), sparsity=0.5, layers="12"),
        r"layers = '12' must be a sequence",
    ),
    "no layer": (
        lambda: pruned(dense(), sparsity=0.5, layers=[]),
        "no layer to prune; those .* '0', '2', '4'",
    ),
    "no weights": (lambda: pruned(nn.ReLU(), sparsity=0.5), "no layer to prune; .* none"),
    "lazy": (lambda: pruned(nn.LazyLinear(3), sparsity=0.5), "'weight' has no shape yet; run the network"),
    "lazy, low rank": (lambda: factorise(nn.LazyLinear(3), ranks=1), "'weight' has no shape yet"),
    "meta": (lambda: pruned(nn.Linear(4, 3, device="meta"), sparsity=0.5), "on the meta device"),
    "meta, low rank": (lambda: factorise(nn.Linear(4, 3, device="meta"), ranks=1), "on the meta device"),
    "meta, size": (lambda: model_size(nn.Linear(4, 3, device="meta")), "on the meta device"),
    "complex": (lambda: pruned(nn.Linear(4, 3, dtype=torch.complex64), sparsity=0.5), "is complex"),
    "no module": (lambda: pruned(3, sparsity=0.5), "module is an int; give a Module"),
    "packed": (lambda: factorise(nn.Sequential(nn.EmbeddingBag(30, 8)), ranks={"0": 2}), "'0' names no"),
    "orthogonal": (
        lambda: pruned(parametrizations.orthogonal(nn.Linear(4, 4)), sparsity=0.5),
        "computes its",
    ),
    "parametrised bias": (
        lambda: pruned(
            parametrize.register_parametrization(nn.Linear(4, 4), "bias", nn.ReLU()), sparsity=0.5
        ),
        "computes its weight",
    ),
    "groups, low rank": (lambda: factorise(nn.Conv1d(4, 4, 1, groups=2), ranks={"": 1}), "groups = 2"),
    "normalisation": (lambda: narrow(of(nn.LayerNorm(30)), widths=[5]), "LayerNorm is no activation"),
    "no weights in it": (
        lambda: narrow(of(nn.LayerNorm(30, elementwise_affine=False)), widths=[5]),
        "LayerNorm is no activation",
    ),
    "pairs": (
        lambda: narrow(nn.Sequential(nn.Linear(20, 30), nn.GLU(), nn.Linear(15, 3)), widths=[5]),
        "GLU",
    ),
    "statistics": (
        lambda: narrow(of(nn.BatchNorm1d(30, affine=False)), widths=[5]),
        "BatchNorm1d is no activation",
    ),
    "sums to one": (lambda: narrow(of(nn.Softmax(-1)), widths=[5]), "Softmax is no activation"),
}


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_compressed_is_refused_in_a_sentence(case: str) -> None:
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("activation", [nn.Tanh(), nn.GELU(), nn.Identity(), nn.Dropout(), nn.Flatten()])
def test_activations_of_units_one_by_one_are_kept(activation: nn.Module) -> None:
    net = of(activation).eval()
    assert torch.equal(narrow(net, widths=[30]).eval()(X), net(X))
    assert narrow(net, widths=[5])(X).shape == (40, 3)


def quantised(layer: nn.Module) -> nn.Module:
    spec: dict = {type(layer): torch.ao.quantization.default_dynamic_qconfig}
    if isinstance(layer, nn.EmbeddingBag):
        spec = {nn.EmbeddingBag: torch.ao.quantization.float_qparams_weight_only_qconfig}
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(layer), spec)


PACKED = {  # parameters, bits
    "linear": (lambda: quantised(nn.Linear(30, 20)), 620, 600 * 8 + 20 * 32),
    "gru": (lambda: quantised(nn.GRU(8, 12)), 792, 720 * 8 + 72 * 32),
    "lstm": (lambda: quantised(nn.LSTM(8, 12)), 1056, 960 * 8 + 96 * 32),
    "lstm cell": (lambda: quantised(nn.LSTMCell(8, 12)), 1056, 960 * 8 + 96 * 32),
    "embedding bag": (lambda: quantised(nn.EmbeddingBag(30, 8)), 240, 240 * 8),
}


@pytest.mark.parametrize("name", PACKED)
def test_packed_weights_of_every_quantised_layer_are_counted(name: str) -> None:
    make, parameters, bits = PACKED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        size = model_size(make())
    assert size.parameters == parameters
    assert bits - 64 <= size.bits <= bits  # less where a few zeros are cheaper to leave out
