"""Modules that hold functions over themselves; wrappers, scales of another precision, sparse weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from kdtheory import certify
from kdtheory.compare import compare
from kdtheory.compression import factorise, model_size, narrow, pruned
from kdtheory.networks import ModuleArchitecture, copied
from kdtheory.ntk import EmpiricalKernel
from kdtheory.recipe import Recipe
from kdtheory.schemes import distil, evaluate, fit, hinton, mutual
from kdtheory.streams import Stream

X = torch.randn(30, 5, generator=Stream(0).child("x").torch())
Y = torch.randint(3, (30,), generator=Stream(0).child("y").torch())
HERE: dict[str, Any] = {"recipe": Recipe(steps=2, optimizer="sgd"), "device": "cpu", "stream": Stream(3)}


def deep(middle: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 8), middle, nn.Linear(8, 3))


def hooked() -> nn.Module:
    net = deep(nn.Tanh())
    net.scale = nn.Parameter(torch.tensor(2.0))
    net[0].register_forward_hook(lambda _layer, _inputs, said: said * net.scale)
    return net


def from_outside(middle: Callable[[], nn.Module] = nn.Tanh) -> nn.Module:
    net = deep(middle())
    before = net.forward
    net.forward = lambda x: 2 * before(x)
    return net


class Nested(nn.Module):
    """Functions in lists, mappings, partials, defaults, and one that calls itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, me = nn.Linear(5, 3), self

        def down(x: Tensor, depth: int = 2, *, net: nn.Module = self) -> Tensor:
            return down(x, depth - 1) if depth else net.layer(x)

        scaled = functools.partial(lambda scale, x: scale * me.layer(x), 2.0)
        self.functions = [down, {"scaled": scaled}, (lambda x: me.functions[0](x),)]

    def forward(self, x: Tensor) -> Tensor:
        down, named, (last,) = self.functions
        return down(x) + named["scaled"](x) + last(x)


SPOKEN: nn.Module = nn.Identity()


def doubled(x: Tensor) -> Tensor:
    return 2 * SPOKEN.layer(x)


def by_name() -> nn.Module:
    """As in a notebook: what the function speaks of is a name beside it."""
    global SPOKEN
    SPOKEN = nn.ModuleDict({"layer": nn.Linear(5, 3)})
    SPOKEN.forward = lambda x: doubled(x)
    return SPOKEN


class Wrapper(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.inner, name)

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.inner(x)


def graph() -> nn.Module:
    return torch.fx.symbolic_trace(deep(nn.Tanh()))


HOLDING: dict[str, Callable[[], nn.Module]] = {
    "a hook": hooked,
    "a forward pass from outside": from_outside,
    "statistics behind it": lambda: from_outside(lambda: nn.BatchNorm1d(8)),
    "nested functions": Nested,
    "a name beside it": by_name,
    "a wrapper of a graph": lambda: Wrapper(graph()),
    "wrappers in each other": lambda: nn.Sequential(nn.Identity(), Wrapper(Wrapper(graph()))),
    "a compiled wrapper": lambda: torch.compile(Wrapper(graph()), backend="eager"),
}


def drawn(make: Callable[[], nn.Module]) -> nn.Module:
    with Stream(1).default():
        return make()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", HOLDING)
def test_a_copy_speaks_of_itself(name: str) -> None:
    net = drawn(HOLDING[name])
    before = {key: value.clone() for key, value in net.state_dict().items()}
    found = evaluate(net, (X, Y), device="cpu")["log_loss"]
    trained = fit(net, (X, Y), **HERE).module
    assert net.training
    assert all(part.grad is None for part in net.parameters())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    moved = [not torch.equal(*pair) for pair in zip(net.parameters(), trained.parameters(), strict=True)]
    assert all(moved) or name == "statistics behind it", "a bias before them stays"
    assert found == pytest.approx(float(functional.cross_entropy(net.eval()(X), Y).detach()), rel=1e-5)
    if name == "statistics behind it":
        return  # they are measured in training mode
    by_hand = drawn(HOLDING[name])
    optimizer = torch.optim.SGD(by_hand.parameters(), HERE["recipe"].learning_rate)
    for _ in range(2):
        optimizer.zero_grad()
        functional.cross_entropy(by_hand(X), Y).backward()
        optimizer.step()
    torch.testing.assert_close(trained(X), by_hand(X))


def test_populations_have_weights_of_their_own() -> None:
    architecture = ModuleArchitecture(from_outside, (5,))
    params = architecture.init(Stream(0), members=2)
    single = architecture.module(params, 1)
    (first, _, last), x = single, X[:4]
    torch.testing.assert_close(architecture.logits(params, x)[1], 2 * last(first(x).tanh()))
    assert not architecture.logits(torch.zeros_like(params), x).any()


class Scaled(nn.Module):
    """A scale of another precision first, as logit scales are beside weights of half precision."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0, dtype=dtype))
        self.layer = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.layer(x)


def test_a_scale_says_nothing_of_the_precision_and_has_a_tangent() -> None:
    net = drawn(lambda: Scaled(torch.float64))
    found = evaluate(net, (X, Y), device="cpu")["log_loss"]
    assert found == pytest.approx(float(functional.cross_entropy(net(X), Y).detach()), rel=1e-6)
    net, x = drawn(Scaled), X[:4]
    said = net.layer(x).detach()
    truth = 4 * (x @ x.T + 1) + said @ said.T / 3
    torch.testing.assert_close(EmpiricalKernel(net, method="jacobian")(x), truth, rtol=1e-5, atol=1e-5)


def test_a_table_with_sparse_gradients_has_a_kernel() -> None:
    tokens = torch.randint(7, (4, 6), generator=Stream(0).torch())
    nets = []
    for sparse in (False, True):
        with Stream(2).default():
            nets.append(nn.Sequential(nn.Embedding(7, 4, sparse=sparse), nn.Flatten(), nn.Linear(24, 3)))
    plain, sparse = (EmpiricalKernel(net, method="jacobian")(tokens) for net in nets)
    torch.testing.assert_close(sparse, plain)


class Drawing(nn.Linear):
    """One that draws to no consequence."""

    def __init__(self) -> None:
        super().__init__(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0 * torch.rand(())


ASKED: dict[str, Callable[[nn.Module], Any]] = {
    "evaluate": lambda net: evaluate(net, (X, Y), device="cpu"),
    "fit": lambda net: fit(net, (X, Y), **HERE),
    "distil": lambda net: distil(net, net, (X, Y), losses=hinton(2.0, 0.5), **HERE),
    "mutual": lambda net: mutual([net, net], (X, Y), **HERE),
    "certify": lambda net: certify(net, holdout=(X, Y), fixed_in_advance=True),
    "compare": lambda net: compare(net, net, holdout=(X, Y), fixed_in_advance=True),
    "kernel": lambda net: EmpiricalKernel(net)(X[:4]),
    "narrow": lambda net: narrow(deep(nn.Dropout()), widths=[4]),
}


@pytest.mark.filterwarnings("ignore:the kernel is taken from whole Jacobians")
@pytest.mark.parametrize("door", ASKED)
def test_the_generator_is_where_it_was(door: str) -> None:
    net, before = Drawing(), torch.get_rng_state()
    ASKED[door](net)
    after = torch.get_rng_state()
    if door == "narrow":  # which is made of layers that draw here
        torch.set_rng_state(before)
        deep(nn.Dropout())
        before = torch.get_rng_state()
    assert torch.equal(after, before)


class Groups(nn.Linear):
    def parameters(self, recurse: bool = True) -> Any:
        return [{"params": [self.weight, self.bias], "lr": 0.1}]


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 5).relu().to_sparse())

    def forward(self, x: Tensor) -> Tensor:
        return torch.sparse.mm(self.weight, x.T).T


def test_parameters_of_another_kind_are_named() -> None:
    for door in set(ASKED) - {"narrow"}:
        with pytest.raises(ValueError, match="has a method parameters of its own, which gives no row"):
            ASKED[door](Groups(5, 3))


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_sparse_weights_are_asked_and_counted_and_not_made_smaller() -> None:
    net = drawn(Sparse)
    dense = net.weight.detach().to_dense()
    found = evaluate(net, (X, Y), device="cpu")["log_loss"]
    assert found == pytest.approx(float(functional.cross_entropy(X @ dense.T, Y)), rel=1e-6)
    assert torch.equal(copied(net).weight.detach().to_dense(), dense)
    for layout in (net.weight, net.weight.detach().to_dense().to_sparse_csr()):
        net.weight = nn.Parameter(layout.detach())
        size = model_size(net)
        assert (size.parameters, size.nonzero) == (15, int(dense.count_nonzero()))
        for door in (
            lambda: pruned(net, sparsity=0.9),
            lambda: factorise(net, ranks=1),
            lambda: fit(net, (X, Y), **HERE),
            lambda: EmpiricalKernel(net),
        ):
            with pytest.raises(ValueError, match=r"(layout|parameters of) torch\.sparse"):
                door()


ALL_KINDS = {
    "linear": nn.Linear(6, 7),
    "convolution": nn.Conv2d(3, 8, 3, stride=2, padding=1, dilation=2, padding_mode="circular"),
    "transposed": nn.ConvTranspose2d(8, 6, 3, stride=2, output_padding=1),
    "table": nn.Embedding(9, 5, padding_idx=2),
}


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_pair_is_read_like_the_layer(kind: str) -> None:
    layer = ALL_KINDS[kind]
    pair = factorise(layer, ranks={"": 2})
    for name in layer.__constants__:
        assert getattr(pair, name) == getattr(layer, name), name
    with pytest.raises(AttributeError, match="'LowRank' object has no attribute 'nonsense'"):
        _ = pair.nonsense
