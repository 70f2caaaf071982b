"""The factors of any module's empirical kernel by torch.func: the gradients of all outputs at all points."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from kdtheory.ntk._factors import Factors, Flat

__all__ = ["jacobian_factors"]


def jacobian_factors(module: nn.Module, rows: Tensor) -> Factors:
    """All trained parameters as one `Flat` layer, whose signal is its gradient."""
    trained = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    fixed = {name: p.detach() for name, p in module.named_parameters() if not p.requires_grad}

    def single(params: dict[str, Tensor], row: Tensor) -> Tensor:
        outputs: Tensor = functional_call(module, {**params, **fixed}, (row[None],))
        return outputs[0]

    parts = vmap(jacrev(single), in_dims=(None, 0))(trained, rows.detach())
    jacobian = torch.cat([part.flatten(2) for part in parts.values()], 2)
    layer = Flat(lambda gradient: gradient, 2 * jacobian.numel(), 0)
    return Factors([layer], jacobian.shape[1], lambda outputs: [jacobian[:, outputs]])
