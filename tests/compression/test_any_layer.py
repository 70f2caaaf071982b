"""Every kind of layer, weight and tie through pruning and low rank: the share asked for, ties that stay."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from kdtheory.compression import LowRank, factorise, model_size, narrow, pruned
from kdtheory.networks import copied
from kdtheory.streams import Stream


class Tied(nn.Module):
    """A language model whose decoder is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(30, 8)
        self.rnn = nn.GRU(8, 8, batch_first=True)
        self.decode = nn.Linear(8, 30, bias=False)
        self.decode.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.decode(self.rnn(self.embed(tokens))[0])
        return logits


class Reads(nn.Module):
    """A decoder that reads the embedding's weight, as many language models do."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(30, 8)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.embed(tokens) @ self.embed.weight.mT


TOKENS = torch.arange(12).reshape(3, 4)
NETS = {
    "linear": (lambda: nn.Linear(6, 5), (4, 6)),
    "conv1d": (
        lambda: nn.Sequential(nn.Conv1d(4, 9, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)),
        (2, 4, 6),
    ),
    "conv2d": (lambda: nn.Conv2d(4, 9, 3, stride=2, padding=1), (2, 4, 6, 6)),
    "conv3d": (lambda: nn.Conv3d(4, 9, 2), (2, 4, 3, 3, 3)),
    "transposed 1": (lambda: nn.ConvTranspose1d(6, 9, 3, stride=2, output_padding=1), (2, 6, 5)),
    "transposed 2": (lambda: nn.ConvTranspose2d(6, 9, 3, padding=1, bias=False), (2, 6, 5, 5)),
    "embedding": (lambda: nn.Embedding(30, 8, padding_idx=2), TOKENS),
    "lstm": (lambda: nn.LSTM(4, 6, batch_first=True), (2, 5, 4)),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 32, batch_first=True, dropout=0.0), (2, 5, 8)),
    "a layer twice": (lambda: (lambda one: nn.Sequential(one, nn.ReLU(), one))(nn.Linear(6, 6)), (3, 6)),
    "tied": (Tied, TOKENS),
    "reads": (Reads, TOKENS),
}
RECURRENT = {"lstm"}


def make(name: str) -> tuple[nn.Module, torch.Tensor]:
    build, shape = NETS[name]
    with Stream(0).child(name).default():
        net = build()
        inputs = shape if isinstance(shape, torch.Tensor) else torch.randn(*shape)
    return net.eval(), inputs


def output(net: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    said = net(inputs)
    return said[0] if isinstance(said, tuple) else said


def weights(net: nn.Module) -> list[torch.Tensor]:
    """The weights that a forward pass sees, each once."""
    masks = dict(net.named_buffers())
    return [
        value.detach() * masks.get(name.removesuffix("orig") + "mask", 1)
        for name, value in net.named_parameters()
        if value.ndim >= 2
    ]


def zeros(net: nn.Module) -> float:
    flat = torch.cat([value.reshape(-1) for value in weights(net)])
    return float((flat == 0).double().mean())


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_the_sparsity_asked_for_is_the_sparsity_got_also_the_second_time(name: str, held: bool) -> None:
    net, inputs = make(name)
    size = sum(value.numel() for value in weights(net))
    before = [value.clone() for value in net.state_dict().values()]
    once = pruned(net, sparsity=0.5, held=held)
    again = pruned(once, sparsity=0.8, held=held)
    with torch.no_grad():
        output(once, inputs), output(again, inputs)
    natural = (8 if name == "embedding" else 0) / size  # the row of zeros that padding has
    assert zeros(once) == pytest.approx(0.5, abs=1 / size)
    assert zeros(again) == pytest.approx(0.8, abs=1 / size)
    assert zeros(net) == pytest.approx(natural)
    assert all(torch.equal(a, b) for a, b in zip(before, net.state_dict().values(), strict=True))
    flat = torch.cat([value.reshape(-1).abs() for value in weights(net)])
    left = torch.cat([value.reshape(-1) for value in weights(again)]) != 0
    assert float(flat[left].min()) >= float(flat[~left].max())


@pytest.mark.parametrize("name", sorted(set(NETS) - {"embedding", "reads"}))
def test_masks_hold_and_all_other_weights_learn(name: str) -> None:
    net, inputs = make(name)
    small = pruned(net, sparsity=0.3).train()
    start = [value.clone() for value in small.parameters()]
    optimizer = torch.optim.SGD(small.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        said = output(small, inputs)
        (said * torch.linspace(-1, 2, said.numel()).reshape(said.shape)).sum().backward()
        optimizer.step()
    moved = {
        key: bool((value != old).any())
        for (key, value), old in zip(small.named_parameters(), start, strict=True)
    }
    assert all(moved.values()), moved
    with torch.no_grad():
        output(small.eval(), inputs)
    assert zeros(small) == pytest.approx(0.3, abs=0.02)


def test_pruning_less_than_masks_hold_is_refused() -> None:
    net = pruned(nn.Linear(10, 10), sparsity=0.8)
    with pytest.raises(
        ValueError, match=r"sparsity = 0.5 would leave 50 weights or units, masks on '' leave 20"
    ):
        pruned(net, sparsity=0.5)
    units = pruned(nn.Linear(10, 10), sparsity=0.8, structured=True, layers=[""])
    with pytest.raises(ValueError, match=r"sparsity = 0.5"):
        pruned(units, sparsity=0.5, structured=True, layers=[""])


@pytest.mark.parametrize("name", ["linear", "conv1d", "conv2d", "conv3d", "transposed 1", "transposed 2"])
def test_units_asked_for_are_units_got_also_the_second_time(name: str) -> None:
    net, inputs = make(name)
    path = "0" if isinstance(net, nn.Sequential) else ""
    once = pruned(net, sparsity=0.34, structured=True, layers=[path])
    again = pruned(once, sparsity=0.6, structured=True, layers=[path])
    layer, plain = (module.get_submodule(path) for module in (again, net))
    units = output(again, inputs) if path == "" else layer(inputs)
    units = units.movedim(-1, 0) if name == "linear" else units.movedim(1, 0)
    dead = (units == 0).flatten(1).all(1)
    assert int(dead.sum()) == round(0.6 * len(units))
    rows = plain.weight.movedim(int("transposed" in name), 0).flatten(1).norm(dim=1)
    assert float(rows[~dead].detach().min()) >= float(rows[dead].detach().max())


def test_ties_stay_tied() -> None:
    net, inputs = make("tied")
    small = pruned(net, sparsity=0.5)
    output(small, inputs)
    assert small.decode.weight_orig is small.embed.weight_orig
    assert torch.equal(small.decode.weight, small.embed.weight)
    assert model_size(small).nonzero == model_size(small).parameters - round(0.5 * (30 * 8 + 2 * 24 * 8))
    one, _ = make("a layer twice")
    half = factorise(one, ranks=1)
    assert half[0] is half[2]
    assert model_size(half).parameters == 18
    assert model_size(factorise(net, ranks=1)).parameters == model_size(net).parameters
    with pytest.raises(ValueError, match=r"'decode' shares its weight with 'embed'|'embed' shares"):
        factorise(net, ranks={"decode": 1})


@pytest.mark.parametrize("name", sorted(set(NETS) - {"lstm", "tied"}))
def test_full_rank_is_the_same_function_and_low_rank_that_of_the_nearest_weights(name: str) -> None:
    net, inputs = make(name)
    layers = {path: part for path, part in net.named_modules() if type(part).__name__ in KINDS}
    full = {path: min(part.weight.flatten(1).shape) for path, part in layers.items()}
    with torch.no_grad():
        assert torch.allclose(output(factorise(net, ranks=full), inputs), output(net, inputs), atol=1e-5)
        low = factorise(net, ranks=dict.fromkeys(layers, 2)).eval()
        rival = copied(net)
        for path, part in rival.named_modules():
            if path in layers:
                matrix = part.weight.flatten(1)
                left, values, right = torch.linalg.svd(matrix, full_matrices=False)
                part.weight.copy_((left[:, :2] * values[:2] @ right[:2]).reshape(part.weight.shape))
        assert torch.allclose(output(low, inputs), output(rival, inputs), atol=1e-5)
        for path, part in low.named_modules():
            if isinstance(part, LowRank):
                assert torch.allclose(part.weight, rival.get_submodule(path).weight, atol=1e-5)
    for mode in (low.train(), low.eval()):
        output(mode, inputs)  # parents that read a child's weight find it


KINDS = {
    "Linear",
    "NonDynamicallyQuantizableLinear",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "Embedding",
}


def test_weights_are_read_as_they_are_now() -> None:
    layer = pruned(nn.Linear(20, 20, bias=False), sparsity=0.5)
    with torch.no_grad():
        layer.weight_orig.mul_(3)  # as an optimiser does, with no forward pass after it
    now = layer.weight_orig * layer.weight_mask
    small = factorise(layer, ranks={"": 20})
    assert torch.allclose(small.weight, now, atol=1e-5)
    net = nn.Sequential(layer, nn.ReLU(), nn.Linear(20, 2))
    assert torch.allclose(narrow(net, widths=[20])[0].weight, now)


def test_frozen_stays_frozen_and_half_stays_half() -> None:
    net = nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 3)).half()
    net[0].requires_grad_(False)
    for small in (factorise(net, ranks={"0": 2, "2": 2}), narrow(net, widths=[5])):
        assert {value.dtype for value in small.parameters()} == {torch.float16}
        assert not any(value.requires_grad for value in small[0].parameters())
        assert all(value.requires_grad for value in small[2].parameters())
    masked = pruned(net, sparsity=0.5)
    assert not masked[0].weight_orig.requires_grad


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_weights_that_are_computed_are_refused_by_pruning_and_read_by_low_rank(norm) -> None:
    net = nn.Sequential(norm(nn.Linear(6, 5)), nn.Linear(5, 3)).eval()
    with pytest.raises(
        ValueError, match="layer '0' computes its weight from other parameters; make it plain"
    ):
        pruned(net, sparsity=0.5)
    assert zeros(pruned(net, sparsity=0.5, layers=["1"])[1]) == pytest.approx(0.5, abs=0.04)
    x = torch.randn(4, 6, generator=Stream(0).torch())
    assert torch.allclose(factorise(net, ranks={"0": 5})(x), net(x), atol=1e-5)


def test_packed_weights_of_quantised_layers_are_counted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(30, 20)), {nn.Linear})
        size = model_size(quantised)
    assert size.parameters == 620
    assert size.bits == 600 * 8 + 20 * 32


@pytest.mark.parametrize("kept", [lambda z: [z], lambda z: {"z": z}, lambda z: (z, [z]), lambda z: z])
def test_modules_that_keep_what_they_said_are_copied(kept) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = self.layer(x)
            self.features = kept(z)
            return z

    net, x = Net(), torch.randn(9, 5, generator=Stream(0).torch())
    net(x)
    for other in (copied(net), pruned(net, sparsity=0.5), factorise(net, ranks={"layer": 1})):
        assert other(x).shape == (9, 3)


class OwnMask(nn.Linear):
    """A linear layer that has a mask of its own, as those of autoregressive networks do."""

    def __init__(self) -> None:
        super().__init__(5, 8)
        self.register_buffer("weight_mask", torch.ones(8, 5).tril())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.weight * self.weight_mask, self.bias)


@pytest.mark.parametrize("sparsity", [0.2, 0.8])
@pytest.mark.parametrize("structured", [False, True])
def test_masks_of_the_users_own_are_not_taken_for_ours(sparsity: float, structured: bool) -> None:
    net = nn.Sequential(OwnMask(), nn.Linear(8, 6), nn.Linear(6, 3))
    with pytest.raises(ValueError, match="layer '0' has a 'weight_mask' of its own"):
        pruned(net, sparsity=sparsity, structured=structured)
    made = pruned(net, sparsity=0.5, layers=["1"], structured=structured)
    assert torch.equal(made[0].weight_mask, net[0].weight_mask)
    assert int((made[1].weight == 0).sum()) == 24
