"""Empirical kernels against dense Jacobians, neural-tangents and known truths, by both routes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from kdtheory.networks import Erf, NTKLinear
from kdtheory.ntk import (
    EmpiricalKernel,
    SlowKernelWarning,
    _all_outputs,
    _chain,
    _contraction,
    _tiles,
    empirical,
    fill_gram,
    ntk_vector_product,
)

STORED = np.load(Path(__file__).with_name("neural_tangents_values.npz"), allow_pickle=False)


def dense(module: nn.Module, rows: Tensor, columns: Tensor) -> Tensor:
    """Θ from the Jacobians of whole batches: n × m × k × k."""
    trained = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    fixed = {name: p.detach() for name, p in module.named_parameters() if not p.requires_grad}

    def jacobian(points: Tensor) -> Tensor:
        parts = jacrev(lambda p: functional_call(module, {**p, **fixed}, (points,)))(trained)
        return torch.cat([part.flatten(2) for part in parts.values()], 2)

    return torch.einsum("nop,mqp->nmoq", jacobian(rows), jacobian(columns))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(torch.tanh(self.first(x)))))


class Sneaky(Twice):
    """Uses a weight outside its layer, which no hook can see."""

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x))) + self.first.weight.sum() * x[:, :2]


class Slice(Twice):
    """The last layer reads a part of an activation that starts where the activation starts."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Linear(5, 7), nn.ReLU(), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.first(x))[:, :5])


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last, self.act = (
            nn.Linear(5, 5),
            nn.Linear(5, 5),
            nn.Linear(5, 2),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.act(self.first(x))
        return self.last(self.act(hidden + self.middle(hidden)))


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 2))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


def convnet() -> nn.Module:
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 3, 2, stride=2, bias=False),
        nn.GroupNorm(3, 3),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(3, 4),
    )
    net[1].running_mean.normal_()
    net[1].running_var.uniform_(0.5, 2)
    nn.init.normal_(net[1].weight)
    return net


def partly_frozen() -> nn.Module:
    net = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    net[0].bias.requires_grad_(False)
    net[2].weight.requires_grad_(False)
    return net


LAYERWISE = {
    "linear": (lambda: nn.Linear(5, 3), (5,)),
    "inplace": (
        lambda: nn.Sequential(
            nn.Linear(5, 7), nn.ReLU(inplace=True), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 3)
        ),
        (5,),
    ),
    "deep": (
        lambda: nn.Sequential(
            *(part for _ in range(4) for part in (NTKLinear(5, 5, weight_std=1.5), nn.Tanh())),
            nn.Linear(5, 3),
        ),
        (5,),
    ),
    "NTK scales": (
        lambda: nn.Sequential(
            NTKLinear(5, 7, bias_std=0.3, weight_std=1.5), Erf(), NTKLinear(7, 3, bias_std=2.0)
        ),
        (5,),
    ),
    "activated output": (lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3), nn.Tanh()), (5,)),
    "layer norm": (
        lambda: nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.ReLU(), nn.Linear(7, 3)),
        (5,),
    ),
    "sequence": (
        lambda: nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3), nn.Flatten(), nn.Linear(9, 2)),
        (3, 5),
    ),
    "partly frozen": (partly_frozen, (5,)),
    "convolutions": (convnet, (2, 4, 4)),
    "residual": (Residual, (5,)),
    "slice": (Slice, (5,)),
}
SLOW = {
    "twice": (Twice, "more than once"),
    "sneaky": (Sneaky, "autograd"),
    "own": (Own, "Own with parameters"),
}


def made(factory) -> nn.Module:
    with torch.random.fork_rng():
        torch.random.manual_seed(0)  # modules draw from the default generator
        return factory().double().eval()


def normal(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def check_all_forms(module: nn.Module, rows: Tensor, columns: Tensor, route: str, **settings: str) -> None:
    kernel = EmpiricalKernel(module, **settings)
    for other in (None, columns):
        truth = dense(module, rows, rows if other is None else other)
        own = truth.diagonal(dim1=2, dim2=3)
        assert torch.allclose(kernel.full(rows, other), truth, rtol=1e-10, atol=1e-12)
        assert torch.allclose(kernel.per_output(rows, other), own, rtol=1e-10, atol=1e-12)
        assert torch.allclose(kernel(rows, other), own.mean(-1), rtol=1e-10, atol=1e-12)
        second = EmpiricalKernel(module, output=1, **settings)
        assert torch.allclose(second(rows, other), own[..., 1], rtol=1e-10, atol=1e-12)
    assert torch.equal(kernel(rows), kernel(rows).mT)
    assert torch.allclose(kernel.diagonal(rows), kernel(rows).diagonal(), rtol=1e-12)
    assert kernel.route == route


@pytest.mark.parametrize("budget", [2**26, 300], ids=["one block", "many blocks"])
@pytest.mark.parametrize("name", LAYERWISE)
def test_layerwise_is_the_jacobian(name: str, budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(empirical, "_NUMBERS_AT_ONCE", budget)
    factory, shape = LAYERWISE[name]
    module = made(factory)
    check_all_forms(module, normal(6, *shape), normal(4, *shape, seed=2), "layerwise")


@pytest.mark.parametrize("name", LAYERWISE)
def test_what_runs_on_another_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in (_all_outputs, _chain, _contraction, _tiles):
        monkeypatch.setattr(part, "by_numpy", lambda _: False)
    factory, shape = LAYERWISE[name]
    check_all_forms(made(factory), normal(6, *shape), normal(4, *shape, seed=2), "layerwise")


def test_tiles_and_groups_of_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tiles, stripes that end in the midst of the points, and an uneven division of the outputs."""
    monkeypatch.setattr(_contraction, "_LEAST_TILE", 3)
    monkeypatch.setattr(_contraction, "_SIGNALS_AT_ONCE", 2 * 50 * 5 * 2)
    monkeypatch.setattr(_all_outputs, "_STRIPE", 12)
    monkeypatch.setattr(_all_outputs, "_STRIPE_PART", 17)
    monkeypatch.setattr(_chain, "_ROWS", 7)
    check_all_forms(made(LAYERWISE["deep"][0]), normal(50, 5), normal(31, 5, seed=2), "layerwise")


def test_memory_of_the_trace_does_not_grow_with_the_outputs(
    monkeypatch: pytest.MonkeyPatch, memory_of
) -> None:
    """The signals of all outputs together would be 50 MB for each of two layers."""
    monkeypatch.setattr(_contraction, "_SIGNALS_AT_ONCE", 2**18)
    layers = [nn.Linear(8, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 40)]
    kernel, x = EmpiricalKernel(made(lambda: nn.Sequential(*layers))), normal(600, 8)
    kernel(x)
    assert memory_of(lambda: kernel(x)) < 30e6


@pytest.mark.parametrize("name", SLOW)
def test_other_modules_go_through_torch_func_and_say_so(name: str) -> None:
    factory, because = SLOW[name]
    module, rows = made(factory), normal(6, 5)
    with pytest.warns(SlowKernelWarning, match=because):
        EmpiricalKernel(module)(rows)
    check_all_forms(module, rows, normal(4, 5, seed=2), "jacobian", method="jacobian")
    with pytest.raises(ValueError, match=because):
        EmpiricalKernel(module, method="layerwise")(rows)


def test_neural_tangents() -> None:
    layers: list[nn.Module] = []
    for index in range(3):
        weight, bias = (torch.from_numpy(STORED[f"{part} {index}"]) for part in ("weight", "bias"))
        layer = NTKLinear(weight.shape[1], weight.shape[0], weight_std=1.5, bias_std=0.3, dtype=torch.float64)
        layer.load_state_dict({"weight": weight, "bias": bias})
        layers += [layer, nn.ReLU()]
    kernel, x = EmpiricalKernel(nn.Sequential(*layers[:-1])), torch.from_numpy(STORED["points"])
    assert torch.allclose(kernel(x), torch.from_numpy(STORED["empirical trace"]), rtol=1e-10)
    assert torch.allclose(kernel.full(x), torch.from_numpy(STORED["empirical full"]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("block_size", [2, 1024])
def test_products_with_vectors(block_size: int) -> None:
    module, rows, columns = made(convnet), normal(5, 2, 4, 4), normal(3, 2, 4, 4, seed=2)
    for other, points in ((None, rows), (columns, columns)):
        vector = normal(len(points), 4, seed=3)
        truth = torch.einsum("nmop,mp->no", dense(module, rows, points), vector)
        found = ntk_vector_product(module, rows, vector, other, block_size=block_size)
        assert torch.allclose(found, truth, rtol=1e-10, atol=1e-12)


def test_module_is_left_as_it_was() -> None:
    module = made(convnet)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    EmpiricalKernel(module)(normal(3, 2, 4, 4))
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in module.parameters())
    assert not any(layer._forward_hooks for layer in module.modules())


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (lambda: EmpiricalKernel(nn.ReLU()), "no parameter"),
        (lambda: EmpiricalKernel(nn.Linear(2, 2), method="fast"), "method"),
        (lambda: EmpiricalKernel(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))), "eval"),
        (lambda: EmpiricalKernel(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))), "eval"),
        (lambda: EmpiricalKernel(nn.Linear(2, 2), output=2)(torch.ones(3, 2)), "does not exist"),
        (lambda: EmpiricalKernel(nn.Linear(2, 2))(torch.ones(3, 4, 2)), "n × k"),
        (lambda: EmpiricalKernel(nn.Linear(2, 2))(torch.full((3, 2), float("nan"))), "NaN"),
        (lambda: EmpiricalKernel(nn.Linear(1, 2))(torch.ones(1, 1).expand(10_000_000, 1)), "fill_gram"),
        (lambda: ntk_vector_product(nn.Linear(2, 2), torch.ones(3, 2), torch.ones(2, 2)), "one for each"),
        (lambda: ntk_vector_product(nn.Linear(2, 2), torch.ones(3, 2), torch.ones(3, 1)), "same"),
    ],
)
def test_bad_input(bad, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        bad()


@pytest.mark.parametrize("method", ["layerwise", "jacobian"])
def test_kernel_does_not_need_gradients_to_be_on(method: str) -> None:
    rows = normal(7, 5)
    kernel = EmpiricalKernel(made(LAYERWISE["inplace"][0]), method=method)
    truth, out = kernel(rows), np.empty((7, 7))
    with torch.no_grad():
        assert torch.equal(kernel(rows), truth)
    fill_gram(kernel, rows, out, block_size=3)
    assert torch.allclose(torch.from_numpy(out), truth, rtol=1e-13)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("frozen", ["", "0.bias", "2.weight", "6.bias"])
def test_a_stack_of_members_is_each_of_them(frozen: str, own: bool) -> None:
    shape, relu = (3, 7, 6, 2), nn.ReLU()
    members = [
        nn.Sequential(
            NTKLinear(3, 7, weight_std=1.5, bias_std=0.3), nn.ReLU(inplace=True), nn.Linear(7, 6, bias=False),
            Erf(), relu, nn.Tanh(), nn.Linear(6, 2), relu,
        ).double()
        for _ in range(4)
    ]  # fmt: skip
    for member in members:
        for name, part in member.named_parameters():
            part.requires_grad_(name != frozen)
    params, _ = torch.func.stack_module_state(members)
    params = {name: part.detach() for name, part in params.items()}
    points = torch.randn(*((4,) if own else ()), 5, shape[0], dtype=torch.float64)
    found = EmpiricalKernel(members[0]).stacked(params, points)
    for place, member in enumerate(members):
        rows = points[place] if own else points
        torch.testing.assert_close(found[place], dense(member, rows, rows))


def test_what_cannot_be_stacked_is_refused() -> None:
    rows = torch.ones(2, 5)
    with pytest.raises(ValueError, match=r"nn\.Sequential of nn\.Linear"):
        EmpiricalKernel(Residual()).stacked({}, rows)
    twice = nn.Linear(5, 5)
    hooked = nn.Sequential(nn.Linear(5, 1))
    hooked.register_forward_hook(lambda _module, _inputs, outputs: 2 * outputs)
    for module in (nn.Sequential(twice, twice), hooked):
        with pytest.raises(ValueError, match=r"nn\.Sequential of nn\.Linear"):
            EmpiricalKernel(module).stacked(dict(module.named_parameters()), rows)
    chain = EmpiricalKernel(nn.Sequential(nn.Linear(5, 1)))
    with pytest.raises(ValueError, match=r"parameters has 0\.weight; give 0\.weight, 0\.bias"):
        chain.stacked({"0.weight": torch.ones(2, 1, 5)}, rows)
    with pytest.raises(ValueError, match=r"parameters\['0\.bias'\] has shape \(3, 1\); give \(2, 1\)"):
        chain.stacked({"0.weight": torch.ones(2, 1, 5), "0.bias": torch.ones(3, 1)}, rows)
    with pytest.raises(ValueError, match="rows"):
        chain.stacked({"0.weight": torch.ones(2, 1, 5), "0.bias": torch.ones(2, 1)}, rows / 0)
    for wrong in (torch.ones(2, 4), torch.ones(3, 2, 5), torch.ones(1, 2, 2, 5)):
        with pytest.raises(ValueError, match=r"give n × 5 for all members, or 2 × n × 5|shape"):
            chain.stacked({"0.weight": torch.ones(2, 1, 5), "0.bias": torch.ones(2, 1)}, wrong)
