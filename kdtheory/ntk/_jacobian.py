"""The factors of any module's empirical kernel: the gradients of all outputs at all points.

By torch.func where it can map the module over points, and maps it rightly; recurrent layers, branches on
values and scripted modules are differentiated point by point and output by output.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from kdtheory._jacobians import mapped_or_plain
from kdtheory.networks._called_with import called_with
from kdtheory.ntk._factors import Factors, Flat

__all__ = ["jacobian_factors"]


def jacobian_factors(module: nn.Module, rows: Tensor) -> Factors:
    """All trained parameters as one `Flat` layer, whose signal is its gradient."""
    trained = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    fixed = {name: p.detach() for name, p in module.named_parameters() if not p.requires_grad}

    def single(params: dict[str, Tensor], row: Tensor) -> Tensor:
        outputs: Tensor = called_with(module, {**params, **fixed}, row[None])
        return outputs[0]

    def mapped() -> Tensor:
        apart = rows.detach().clone()  # the module may write on them
        parts = vmap(jacrev(single), in_dims=(None, 0))(trained, apart)
        return torch.cat([part[..., None].flatten(2) for part in parts.values()], 2)  # some are scalars

    jacobian = mapped_or_plain(
        mapped,
        lambda: _row_by_row(module, rows),
        lambda weights: _pulled_back(module, rows, weights),
    )
    layer = Flat(lambda gradient: gradient, 2 * jacobian.numel(), 0)
    return Factors([layer], jacobian.shape[1], lambda outputs: [jacobian[:, outputs]])


def _pulled_back(module: nn.Module, rows: Tensor, weights: Tensor) -> Tensor:
    trained = [p for p in module.parameters() if p.requires_grad]
    with torch.enable_grad():
        value = (weights * module(rows.detach().clone())).sum()
        return _joined(torch.autograd.grad(value, trained, allow_unused=True), trained)


def _row_by_row(module: nn.Module, rows: Tensor) -> Tensor:
    """∂f_o/∂θ for each point and output by plain autograd, in the module's own dtype."""
    trained = [p for p in module.parameters() if p.requires_grad]
    points = []
    with torch.enable_grad():
        for row in rows.detach():
            outputs = module(row[None].clone())[0]
            slopes = [
                torch.autograd.grad(out, trained, retain_graph=True, allow_unused=True) for out in outputs
            ]
            points.append(torch.stack([_joined(parts, trained) for parts in slopes]))
    return torch.stack(points)


def _joined(parts: tuple[Tensor | None, ...], like: list[nn.Parameter]) -> Tensor:
    return torch.cat(
        [
            (torch.zeros_like(p) if part is None else part.to_dense()).flatten()
            for part, p in zip(parts, like, strict=True)
        ]
    )
