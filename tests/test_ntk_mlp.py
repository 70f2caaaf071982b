"""Networks in NTK parameterisation: plain torch by another name, and the limit of their kernels."""

from __future__ import annotations

import pytest
import torch

from kdtheory.networks import NTKMLP, NTKLinear
from kdtheory.ntk import EmpiricalKernel, InfiniteMLP
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream

ARCHITECTURE = NTKMLP((3, 6, 5, 2), weight_std=1.4, bias_std=0.3, output_scale=0.5)


def squared(logits, probs, labels, /):
    return (logits - probs).square().sum(-1)


def test_logits_are_those_of_the_module() -> None:
    params = ARCHITECTURE.init(Stream(0), members=3, dtype=torch.float64)
    x = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits = ARCHITECTURE.logits(params, x)
    for member in range(3):
        module = ARCHITECTURE.module(params, member)
        assert torch.allclose(module(x), logits[member], rtol=1e-13)
    hidden = (1.4 / 3**0.5 * x @ params[0, :24].reshape(6, 4)[:, :3].mT + 0.3 * params[0, 3:24:4]).relu()
    first = ARCHITECTURE.module(params, 0)
    assert torch.allclose(first[1](first[0](x)), hidden, rtol=1e-13)
    assert torch.equal(ARCHITECTURE.pack(first.state_dict()), params[0])


def test_population_is_the_plain_torch_loop() -> None:
    x = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.randn(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).softmax(-1)
    start = ARCHITECTURE.init(Stream(1), members=2, dtype=torch.float64)
    nets = train(
        ARCHITECTURE,
        x,
        teacher_probs=targets,
        loss=squared,
        members=2,
        stream=Stream(1),
        recipe=Recipe(steps=20, learning_rate=0.1, optimizer="sgd", dtype=torch.float64),
        initial=start,
        device="cpu",
    )
    for member in range(2):
        module = ARCHITECTURE.module(start, member)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        for _ in range(20):
            optimizer.zero_grad()
            (module(x) - targets).square().sum(-1).mean().backward()
            optimizer.step()
        assert torch.allclose(ARCHITECTURE.pack(module.state_dict()), nets.params[member], rtol=1e-10)


def test_kernel_of_many_nets_has_the_infinite_one_as_its_mean() -> None:
    architecture = NTKMLP((3, 64, 64, 1), weight_std=1.4, bias_std=0.3)
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    params = architecture.init(Stream(2), members=200, dtype=torch.float64)
    found = torch.stack([EmpiricalKernel(architecture.module(params, m))(x) for m in range(200)])
    limit = InfiniteMLP(2, weight_std=1.4, bias_std=0.3)(x)
    error = found.std(0) / 200**0.5
    # 4.5 standard errors, and the correction of order 1/width.
    assert ((found.mean(0) - limit).abs() <= 4.5 * error + limit.abs() * 0.3 / 64).all()


def test_scales_are_checked() -> None:
    for bad in ({"weight_std": 0.0}, {"bias_std": -1.0}, {"output_scale": 0.0}, {"activation": "erf"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            NTKMLP((2, 2), **bad)
    with pytest.raises(ValueError, match="bias_std"):
        NTKLinear(2, 2, bias_std=float("nan"))
