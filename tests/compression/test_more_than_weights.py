"""Layers that are more than their weights, or less: own forward passes, hooks, ties, pairs, emptiness."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from kdtheory.compression import LowRank, factorise, model_size, narrow, pruned, truncated_svd
from kdtheory.networks import NTKLinear
from kdtheory.streams import Stream

X = torch.randn(7, 6, generator=Stream(0).child("x").torch())


def chain(*layers: nn.Module) -> nn.Sequential:
    with Stream(1).default():
        for layer in layers:
            for part in layer.modules():
                if hasattr(part, "reset_parameters"):
                    part.reset_parameters()
    return nn.Sequential(*layers)


class Standardised(nn.Conv1d):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2), keepdim=True)
        return functional.conv1d(x, weight, self.bias)

    def get_weight(self) -> Tensor:
        return self.weight - self.weight.mean((1, 2), keepdim=True)


class Doubled(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def on_instance(layer: nn.Linear) -> nn.Linear:
    plain = layer.forward
    layer.forward = lambda x: 2 * plain(x)  # type: ignore[method-assign]
    return layer


OWN = {
    "NTK parameters": lambda: NTKLinear(6, 6),
    "standardised": lambda: nn.Sequential(nn.Unflatten(1, (2, 3)), Standardised(2, 9, 3), nn.Flatten()),
    "on the instance": lambda: on_instance(nn.Linear(6, 6)),
}


@pytest.mark.parametrize("name", OWN)
def test_a_layer_with_a_forward_pass_of_its_own_is_left_alone(name: str) -> None:
    net = chain(nn.Linear(6, 6), OWN[name]())
    small = factorise(net, ranks=1)
    assert isinstance(small[0], LowRank)
    (path,) = [path for path, part in net.named_modules() if path != "0" and hasattr(part, "weight")]
    assert not isinstance(small.get_submodule(path), LowRank)
    alone = nn.Sequential(small[0], net[1])
    assert torch.equal(small(X), alone(X))
    with pytest.raises(ValueError, match=f"'{path}' is a .* with a forward pass of its own"):
        factorise(net, ranks={path: 1})


def test_a_chain_with_a_forward_pass_of_its_own_is_not_narrowed() -> None:
    for net in (
        Doubled(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)),
        nn.Sequential(NTKLinear(6, 5), nn.ReLU(), nn.Linear(5, 3)),
        nn.Sequential(on_instance(nn.Linear(6, 5)), nn.ReLU(), nn.Linear(5, 3)),
    ):
        with pytest.raises(ValueError, match="has a forward pass of its own"):
            narrow(net, widths=[5])


def test_an_activation_at_several_places_stays_at_all_of_them() -> None:
    act = nn.Tanh()
    net = chain(nn.Linear(6, 5), act, nn.Linear(5, 4), act, nn.Linear(4, 3))
    assert torch.allclose(narrow(net, widths=[5, 4])(X), net(X), atol=1e-6)
    tied = nn.Linear(6, 6)
    twice = nn.Linear(6, 6)
    twice.weight = tied.weight
    for second in (tied, twice):
        with pytest.raises(ValueError, match="one weight at two places"):
            narrow(nn.Sequential(tied, act, second, act, nn.Linear(6, 3)), widths=[3, 3])


def test_hooks_stay_where_layers_are_replaced() -> None:
    seen: list[Any] = []

    def double(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        seen.append(output)
        return 2 * output

    def half(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        return inputs[0] / 2

    net = chain(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    net[0].register_forward_hook(double)
    net[2].register_forward_pre_hook(half)
    net.register_forward_hook(double)
    truth = net(X)
    assert torch.allclose(factorise(net, ranks={"0": 5, "2": 3})(X), truth, atol=1e-5)
    small = narrow(net, widths=[5])
    assert torch.allclose(small(X), truth, atol=1e-6)
    assert not small.training
    masked = factorise(pruned(net, sparsity=0.5), ranks={"0": 5})
    assert not any("weight_orig" in name for name, _ in masked[0].named_parameters())


@pytest.mark.parametrize(
    "make",
    [
        lambda: parametrizations.weight_norm(nn.Conv1d(2, 9, 3)),
        lambda: parametrizations.weight_norm(nn.ConvTranspose1d(2, 3, 3)),
        lambda: parametrizations.spectral_norm(nn.Conv1d(2, 9, 3)).eval(),
    ],
)
def test_convolutions_whose_weights_are_computed_are_read_as_they_are_now(make: Any) -> None:
    net = nn.Sequential(nn.Unflatten(1, (2, 3)), make())
    rank = min(net[1].weight.flatten(1).shape)
    small = factorise(net, ranks={"1": rank})
    assert torch.allclose(small(X), net(X), atol=1e-5)
    assert {type(part).__name__ for part in small[1]} <= {"Conv1d", "ConvTranspose1d"}


PAIRS = {
    "linear": (lambda: nn.Linear(6, 9), X),
    "convolution": (lambda: nn.Conv1d(4, 9, 3, stride=2, padding=1), torch.ones(2, 4, 6)),
    "transposed": (lambda: nn.ConvTranspose1d(6, 9, 3, stride=2, output_padding=1), torch.ones(2, 6, 5)),
    "embedding": (lambda: nn.Embedding(30, 8, padding_idx=2), torch.arange(12).reshape(3, 4)),
}


@pytest.mark.parametrize("where", ["root", "inside"])
@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_made_smaller_is_the_nearest_of_the_smaller_rank(name: str, where: str) -> None:
    make, x = PAIRS[name]
    layer = chain(make())[0]
    net = layer if where == "root" else nn.Sequential(layer)
    path = "" if where == "root" else "0"
    pair = factorise(net, ranks={path: 4})
    with torch.no_grad():  # trained: no more the factors of equal norm
        for value in pair.parameters():
            value.mul_(torch.linspace(0.5, 2, value.shape[0]).reshape(-1, *[1] * (value.ndim - 1)))
    for ranks in (2, {path: 2}):
        again = factorise(pair, ranks=ranks)
        whole, part = pair.get_submodule(path), again.get_submodule(path)
        assert isinstance(part, LowRank)
        assert [isinstance(each, LowRank) for each in part] == [False, False]
        nearest = truncated_svd(whole.weight.detach().flatten(1), rank=2)
        assert torch.allclose(part.weight.flatten(1), nearest, atol=1e-5)
        assert model_size(again).parameters < model_size(pair).parameters
        assert again(x).shape == pair(x).shape
    assert model_size(factorise(pair, ranks=4)).parameters == model_size(pair).parameters


def test_frozen_pairs_stay_frozen() -> None:
    pair = factorise(nn.Sequential(nn.Linear(6, 9)), ranks=3)
    pair.requires_grad_(False)
    pair[0][1].bias.requires_grad_(True)
    again = factorise(pair, ranks=1)
    assert [value.requires_grad for value in again.parameters()] == [False, False, True]


def test_a_tie_between_kinds_of_layers_is_pruned_by_units_at_both_places() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.decode, self.head = nn.Embedding(9, 4), nn.Linear(4, 9), nn.Linear(9, 2)
            self.decode.weight = self.embed.weight

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.decode(self.embed(tokens)))

    made = pruned(Tied(), sparsity=1 / 3, structured=True, layers=["decode"])
    assert torch.equal(made.embed.weight, made.decode.weight)
    assert int((made.decode.weight == 0).all(1).sum()) == 3
    assert int((made.decode.bias == 0).sum()) == 3


@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize("empty", [(0, 5), (5, 0)])
def test_layers_without_weights_are_passed_over(empty: tuple[int, int], structured: bool) -> None:
    with pytest.warns(UserWarning, match="zero-element"):
        net = nn.Sequential(OrderedDict(a=nn.Linear(6, 4), b=nn.Linear(*empty), c=nn.Linear(4, 2)))
    made = pruned(net, sparsity=0.5, structured=structured)
    zeros = int((made.a.weight == 0).sum())
    assert zeros == (12 if structured else zeros)
    assert factorise(net, ranks=1).b.weight.numel() == 0
    with pytest.raises(ValueError, match="'b' names no layer whose weights can be pruned"):
        pruned(net, sparsity=0.5, structured=structured, layers=["b"])


def test_methods_called_weight_are_not_packed_weights() -> None:
    class Indexed(nn.Linear):
        def get_bias(self, place: int) -> Tensor:
            return self.bias[place]

    net = nn.Sequential(Standardised(2, 9, 3), Indexed(4, 3))
    assert model_size(net).parameters == sum(value.numel() for value in net.parameters())
