"""Kernels of modules that torch.func cannot map over points, of nets that write on their rows; refusals."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from kdtheory.networks import ModuleArchitecture
from kdtheory.ntk import EmpiricalKernel, ntk_vector_product
from kdtheory.streams import Stream


def plain(net: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """The rival: one gradient for each point and output, by a loop."""
    trained = [p for p in net.parameters() if p.requires_grad]
    slopes = []
    for row in rows:
        outputs = net(row[None].clone())[0]
        parts = [torch.autograd.grad(out, trained, retain_graph=True, allow_unused=True) for out in outputs]
        filled = [
            [torch.zeros_like(p) if g is None else g for g, p in zip(part, trained, strict=True)]
            for part in parts
        ]
        slopes.append(torch.stack([torch.cat([g.flatten() for g in part]) for part in filled]))
    jacobian = torch.stack(slopes)
    return torch.einsum("iop,jop->ij", jacobian, jacobian) / jacobian.shape[1]


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn, self.head = kind(5, 7, batch_first=True), nn.Linear(7, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x[:, None])[0][:, -1])


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.layer(x)
        return z * 2 if bool(z.sum() > 0) else z


class Anew(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(checkpoint(lambda z: self.inner(z).tanh(), x, use_reentrant=False))


class Changed(nn.Module):
    def __init__(self, after) -> None:
        super().__init__()
        self.layer, self.after = nn.Linear(5, 3), after

    def forward(self, x: torch.Tensor):
        return self.after(self.layer(x))


class Writing(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x -= 0.5
        return super().forward(x)


NETS = {
    "prelu": lambda: nn.Sequential(nn.Linear(5, 8), nn.PReLU(), nn.Linear(8, 3)),
    "prelu of channels": lambda: nn.Sequential(nn.Linear(5, 8), nn.PReLU(8), nn.Linear(8, 3)),
    "gru": lambda: Recurrent(nn.GRU),
    "lstm": lambda: Recurrent(nn.LSTM),
    "data parallel": lambda: nn.DataParallel(nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))),
    "writes on its rows": lambda: Writing(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)),
    "computed anew in the backward pass": Anew,
    "a ReLU in place first": lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(5, 3)),
    "dropout at rest": lambda: nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Linear(8, 3)).eval(),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.filterwarnings("ignore:the kernel is taken from whole Jacobians")
def test_the_kernel_is_that_of_one_gradient_after_the_other(name: str) -> None:
    with Stream(0).child(name).default():
        net, rows = NETS[name]().double(), torch.randn(6, 5, dtype=torch.float64)
    kept, truth = rows.clone(), plain(net, rows)
    for given in (rows, rows.clone().requires_grad_()):
        kernel = EmpiricalKernel(net)
        assert torch.allclose(kernel(given), truth, rtol=1e-9)
        assert torch.allclose(kernel.diagonal(given), truth.diagonal(), rtol=1e-9)
        assert torch.allclose(kernel(given[:2], given), truth[:2], rtol=1e-9)
        # Torch's rules for mapped operations go wrong where there are as many points as outputs.
        assert torch.allclose(kernel(given[:3]), truth[:3, :3], rtol=1e-9)
    assert torch.equal(rows, kept)


def test_squeezed_outputs_of_one_row_are_that_rows() -> None:
    net, rows = Changed(torch.squeeze), torch.randn(6, 5, generator=Stream(0).torch())
    for few in (rows[:1], rows):
        assert torch.allclose(EmpiricalKernel(net)(few), EmpiricalKernel(net.layer)(few))


BAD = {
    "less the batch mean": (
        lambda: Changed(lambda z: z - z.mean(0)),
        "something else of the same points in another batch",
    ),
    "functional dropout": (
        lambda: Changed(lambda z: nn.functional.dropout(z, 0.5)),
        "something else of the same points in another batch",
    ),
    "a tuple": (lambda: Changed(lambda z: (z, z)), "module gives a tuple of 2; pick the logits in it"),
    "detached": (lambda: Changed(torch.detach), "gives outputs without a gradient"),
    "by NumPy": (
        lambda: Changed(lambda z: torch.from_numpy(z.detach().numpy())),
        "gives outputs without a gradient",
    ),
    "other rows": (lambda: nn.Linear(4, 3), r"does not take a batch of shape \(7, 5\): mat1 and mat2"),
}


@pytest.mark.parametrize("case", BAD)
def test_modules_without_a_kernel_are_refused(case: str) -> None:
    net, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        EmpiricalKernel(net())(torch.randn(6, 5, generator=Stream(0).torch()))


def test_a_layer_at_two_places_keeps_its_weight_and_counts_twice() -> None:
    with Stream(0).default():
        layer, rows = nn.Linear(5, 5), torch.randn(4, 5)
        net = nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), nn.Linear(5, 3))
    own, kernel, truth = layer.weight, EmpiricalKernel(net, method="jacobian"), plain(net, rows)
    for _ in range(2):
        torch.testing.assert_close(kernel(rows), truth, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(kernel.diagonal(rows), truth.diagonal(), rtol=1e-4, atol=1e-5)
    assert layer.weight is own
    architecture = ModuleArchitecture(lambda: net, (5,))
    params = architecture.pack(dict(net.named_parameters())).detach()[None]
    gradient = torch.empty_like(params)
    tape = architecture.tape(params, gradient)
    for _ in range(2):
        torch.testing.assert_close(tape.forward(rows[None])[0], net(rows).detach())
        tape.backward(torch.ones(1, 4, 3))
    slopes = torch.autograd.grad(net(rows).sum(), list(net.parameters()))
    torch.testing.assert_close(gradient[0], torch.cat([slope.flatten() for slope in slopes]))
    assert type(tape._module.get_submodule("0").weight) is nn.Parameter


class Borrowing(nn.Module):
    """Uses the weight of a layer outside that layer too: at zero no gradient tells."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x).relu() + x @ self.a.weight.T)


@pytest.mark.parametrize("first", ["zeros alone", "zeros first"])
def test_the_route_is_not_chosen_at_zero(first: str) -> None:
    with Stream(0).default():
        net, rows = Borrowing(), torch.randn(4, 5)
    zeros = torch.zeros(1, 5)
    kernel = EmpiricalKernel(net)
    with pytest.warns(UserWarning, match="whole Jacobians"):
        kernel(zeros) if first == "zeros alone" else kernel(torch.cat([zeros, rows]))
    assert torch.allclose(kernel(rows), plain(net, rows), rtol=1e-4)


@pytest.mark.parametrize("name", ["dropout", "mixing", "frozen"])
def test_products_ask_what_the_kernel_asks(name: str) -> None:
    class Mixing(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = super().forward(x)
            return z - z.mean(0)

    nets = {
        "dropout": nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Linear(8, 3)),
        "mixing": Mixing(5, 3),
        "frozen": nn.Linear(5, 3).requires_grad_(False),
    }
    message = "no parameter that requires" if name == "frozen" else "says something else of the same points"
    for rows in (torch.ones(1, 5), torch.randn(6, 5, generator=Stream(0).torch())):
        with pytest.raises(ValueError, match=message):
            ntk_vector_product(nets[name], rows, torch.ones(len(rows), 3))


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
def test_kernels_are_in_the_precision_of_the_module_under_autocast(low: torch.dtype) -> None:
    with Stream(0).default():
        net, rows = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)), torch.randn(4, 5)
    vector = torch.ones(4, 3)
    for method in ("layerwise", "jacobian"):
        truth = EmpiricalKernel(net, method=method)(rows), ntk_vector_product(net, rows, vector)
        with torch.autocast("cpu", dtype=low):
            found = EmpiricalKernel(net, method=method)(rows), ntk_vector_product(net, rows, vector)
        assert all(torch.equal(one, other) for one, other in zip(found, truth, strict=True))
