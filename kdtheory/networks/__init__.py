"""Networks as functions of one flat vector: `logits(params, inputs)`, many members at a time.

A member's parameters are one row of `params`, members × size, so that an optimiser, a perturbation, a norm
or a file sees a single array. `unpack` gives the weights their names back, `module` gives plain torch.

`MLP` is the architecture that populations train fastest; `ModuleArchitecture` makes one of any `nn.Module`;
`PatchNetwork` sums a smoothed ReLU over patches.
`recorded` keeps what single layers of a module say, by their paths; `copied` copies any module, pruned too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdtheory._lazy import lazily

if TYPE_CHECKING:
    from kdtheory.networks.architecture import Architecture, SteppingTape, Tape
    from kdtheory.networks.calls import Asked, Inputs, check_ready
    from kdtheory.networks.company import CLOSE, alike, at_rest, check_alone, closeness, left_as_it_was
    from kdtheory.networks.copies import copied
    from kdtheory.networks.layers import layer, layer_of, recorded
    from kdtheory.networks.mlp import MLP
    from kdtheory.networks.modules import ModuleArchitecture
    from kdtheory.networks.ntk_linear import Erf, NTKLinear
    from kdtheory.networks.ntk_mlp import NTKMLP
    from kdtheory.networks.outputs import Pick, logits_in, outputs_in
    from kdtheory.networks.patches import PatchNetwork, SmoothedPatches, smoothed_relu, smoothed_relu_slope

__all__ = [
    "CLOSE",
    "MLP",
    "NTKMLP",
    "Architecture",
    "Asked",
    "Erf",
    "Inputs",
    "ModuleArchitecture",
    "NTKLinear",
    "PatchNetwork",
    "Pick",
    "SmoothedPatches",
    "SteppingTape",
    "Tape",
    "alike",
    "at_rest",
    "check_alone",
    "check_ready",
    "closeness",
    "copied",
    "layer",
    "layer_of",
    "left_as_it_was",
    "logits_in",
    "outputs_in",
    "recorded",
    "smoothed_relu",
    "smoothed_relu_slope",
]

lazily(__name__)
