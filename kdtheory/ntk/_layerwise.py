"""The layers of a module and what flows through them, caught by hooks: the factors of its empirical kernel.

One forward pass, and back from the output: through dense layers and pointwise activations by products, and
below them by one pass of autograd for each output, to the outputs of the layers only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdtheory.networks import Erf, NTKLinear
from kdtheory.networks._called_with import called_with
from kdtheory.networks.outputs import said_by
from kdtheory.ntk._chain import Chain
from kdtheory.ntk._factors import Below, Factors, Flat, Last, Layer, Outer

__all__ = ["POINTWISE", "layerwise_factors", "obstacle", "scales"]

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
POINTWISE = (
    Erf,
    nn.ReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.GELU,
    nn.SiLU,
    nn.ELU,
    nn.Softplus,
    nn.LeakyReLU,
    nn.Identity,
)


@dataclass(eq=False)
class _Call:
    """One layer's part in the forward pass."""

    layer: nn.Module
    inputs: Tensor
    outputs: Tensor
    handed_on: Tensor


@dataclass
class _Tape:
    calls: list[_Call] = field(default_factory=list)
    activations: dict[int, tuple[Tensor, Tensor]] = field(
        default_factory=dict
    )  # by the output: input, output

    def note_layer(self, layer: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> Tensor:
        if not outputs.requires_grad:
            outputs.requires_grad_()
        handed_on = outputs.clone()  # an activation in place must not reach what is differentiated to
        self.calls.append(_Call(layer, inputs[0].detach(), outputs, handed_on))
        return handed_on

    def note_activation(self, _: nn.Module, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        self.activations[id(outputs)] = inputs[0], outputs


def layerwise_factors(module: nn.Module, rows: Tensor) -> Factors:
    """The factors of a block of points; only where there is no `obstacle`."""
    return _factors(*_taped(module, rows))


def obstacle(module: nn.Module, row: Tensor) -> str:
    """Why the layerwise form does not apply to a module; empty where nothing is in its way.

    The last thing that is looked at is a number: the squared gradient of a sum of outputs at one example, by
    this form and by autograd.
    """
    if reason := _unknown_layer(module):
        return reason
    try:
        return _mismatch(module, row)
    except RuntimeError as error:  # such as of parts that are computed anew in the backward pass
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return f"autograd does not take it apart ({said_by(error)})"


def _mismatch(module: nn.Module, row: Tensor) -> str:
    tape, outputs = _taped(module, row)
    used = [id(call.layer) for call in tape.calls]
    if len(set(used)) != len(used) or len(used) != len(_trained_layers(module)):
        return "a layer is used more than once, or not at all"
    places = torch.arange(1, outputs.shape[1] + 1, device=outputs.device)
    direction = 1 / places.to(outputs)
    found = _factors(tape, outputs).along(direction, slice(None))
    truth = _squared_gradient(module, row, direction)
    if not torch.allclose(found, truth, rtol=torch.finfo(row.dtype).eps ** 0.5):
        return "autograd finds another gradient: some parameters act outside their own layer"
    return ""


def _unknown_layer(module: nn.Module) -> str:
    seen: set[int] = set()
    for name, layer in module.named_modules():
        own = [p for p in layer.parameters(recurse=False) if p.requires_grad]
        if not own:
            continue
        known = type(layer) in (nn.Linear, NTKLinear, nn.Conv2d, *_NORMS)
        if not known:
            return f"{name or 'the module'} is a {type(layer).__name__} with parameters"
        if isinstance(layer, nn.Conv2d) and (layer.groups > 1 or layer.padding_mode != "zeros"):
            return f"{name} is a Conv2d with groups or padding other than zeros"
        if isinstance(layer, nn.Conv2d) and isinstance(layer.padding, str):
            return f"{name} is a Conv2d with padding {layer.padding!r}"
        if seen & {id(p) for p in own}:
            return f"{name} shares its parameters with another layer"
        seen |= {id(p) for p in own}
    return ""


def _trained_layers(module: nn.Module) -> list[nn.Module]:
    return [m for m in module.modules() if any(p.requires_grad for p in m.parameters(recurse=False))]


def _squared_gradient(module: nn.Module, row: Tensor, direction: Tensor) -> Tensor:
    named = {name: p.detach().requires_grad_(p.requires_grad) for name, p in module.named_parameters()}
    trained = [p for p in named.values() if p.requires_grad]
    with torch.enable_grad():
        total = called_with(module, named, row)[0] @ direction
        grads = torch.autograd.grad(total, trained, materialize_grads=True)
    return torch.stack([grad.square().sum() for grad in grads]).sum()


def _taped(module: nn.Module, rows: Tensor) -> tuple[_Tape, Tensor]:
    tape = _Tape()
    hooks = [layer.register_forward_hook(tape.note_layer) for layer in _trained_layers(module)]
    hooks += [m.register_forward_hook(tape.note_activation) for m in module.modules() if type(m) in POINTWISE]
    frozen = {name: p.detach() for name, p in module.named_parameters()}
    try:
        with torch.enable_grad():
            outputs = called_with(module, frozen, rows.detach())
    finally:
        for hook in hooks:
            hook.remove()
    return tape, outputs


def _factors(tape: _Tape, outputs: Tensor) -> Factors:
    k = outputs.shape[1]
    last = next((call for call in tape.calls if call.handed_on is outputs and _is_dense(call)), None)
    if last is None:
        return Factors([_layer(call) for call in tape.calls], k, partial(_signals, tape.calls, outputs, None))
    calls, chain = _chain(tape, last)
    layers: list[Layer] = [Last(_augmented(last))]
    for depth, (call, slope) in enumerate(zip(calls[1:], chain.slopes, strict=True)):
        inputs = _augmented(call)
        layers.append(Outer(inputs, slope.shape[1]) if depth else Below(inputs, slope, chain.weights[0]))
    others = [call for call in tape.calls if call not in calls]
    if not others:
        return Factors(layers, k, chain.signals)
    bottom = outputs if len(calls) == 1 else calls[-1].outputs
    layers += [_layer(call) for call in others]
    return Factors(layers, k, partial(_signals, others, bottom, chain))


def _chain(tape: _Tape, last: _Call) -> tuple[list[_Call], Chain]:
    """The dense layers from the last one down, as far as only pointwise activations are between them."""
    calls, weights, slopes = [last], [], []
    while (link := _below(tape, calls[-1])) is not None:
        lower, slope = link
        layer = calls[-1].layer
        assert isinstance(layer, nn.Linear)
        scale = scales(layer)[0]
        weights.append(layer.weight.detach())
        slopes.append(slope if scale == 1 else slope.mul_(scale))
        calls.append(lower)
    return calls, Chain(weights, slopes)


def _is_dense(call: _Call) -> bool:
    return isinstance(call.layer, nn.Linear) and call.inputs.ndim == 2


def _below(tape: _Tape, call: _Call) -> tuple[_Call, Tensor] | None:
    """The dense layer whose pointwise activation is what `call` reads, and that activation's slope."""
    for before, after in tape.activations.values():
        # The same numbers: not a part of them, nor another order.
        places = [(t.data_ptr(), t.shape, t.stride()) for t in (after, call.inputs)]
        if places[0] == places[1]:
            for lower in tape.calls:
                if lower.handed_on is before and _is_dense(lower):
                    ones = torch.ones_like(after)
                    (slope,) = torch.autograd.grad(after, lower.outputs, ones, retain_graph=True)
                    return lower, slope
    return None


def _signals(calls: list[_Call], bottom: Tensor, chain: Chain | None, outputs: slice) -> list[Tensor]:
    """δ of the layers of the chain, and of those below `bottom`, one pass of autograd for each output."""
    made = [] if chain is None else chain.signals(outputs)
    if chain is None or not chain.slopes:
        starts = (
            torch.eye(bottom.shape[1], device=bottom.device).to(bottom)[outputs].expand(len(bottom), -1, -1)
        )
    else:
        starts = chain.lowest(made, outputs)
    to = [call.outputs for call in calls]
    below = [z.new_empty(len(z), starts.shape[1], *z.shape[1:]) for z in to]
    for output, start in enumerate(starts.unbind(1)):
        grads = torch.autograd.grad(bottom, to, start, retain_graph=True, materialize_grads=True)
        for whole, grad in zip(below, grads, strict=True):
            whole[:, output] = grad
    return made + below


def _layer(call: _Call) -> Layer:
    """A layer whose signals are taken by autograd."""
    signal = call.outputs.numel()
    if isinstance(call.layer, _NORMS):
        return Flat(partial(_norm_gradient, call.layer, _normalised(call)), 2 * signal, 2 * signal)
    if _is_dense(call):
        return Outer(_augmented(call), call.outputs.shape[1])
    patches = _patches(call)
    channels = call.outputs.shape[1 if isinstance(call.layer, nn.Conv2d) else -1]
    made = len(patches) * channels * patches.shape[2]
    return Flat(partial(_patch_gradient, call.layer, patches), patches.numel() + made, signal)


def scales(layer: nn.Module) -> tuple[float, float]:
    """The inputs of a layer's weights, and of its bias where that is trained."""
    weight, bias = (layer.weight_scale, layer.bias_scale) if isinstance(layer, NTKLinear) else (1.0, 1.0)
    trained = layer.bias is not None and layer.bias.requires_grad
    return weight, bias if trained else 0.0


def _augmented(call: _Call) -> Tensor:
    """h times the scale of the weights, and a column for the bias."""
    weight, bias = scales(call.layer)
    if not call.layer.weight.requires_grad:
        weight = 0.0
    scaled = call.inputs if weight == 1 else call.inputs * weight
    if not bias:
        return scaled.contiguous()
    return torch.cat([scaled, scaled.new_full((*scaled.shape[:-1], 1), bias)], -1)


def _patches(call: _Call) -> Tensor:
    """The patches that positions of a convolution (of a sequence) read, and the bias's column: n × P × in."""
    if isinstance(call.layer, nn.Linear):
        return _augmented(call).flatten(1, -2)
    layer = call.layer
    assert isinstance(layer, nn.Conv2d)
    assert not isinstance(layer.padding, str)  # an `obstacle`
    read = functional.unfold(call.inputs, layer.kernel_size, layer.dilation, layer.padding, layer.stride).mT
    return _augmented(_Call(layer, read, call.outputs, call.handed_on))


def _patch_gradient(layer: nn.Module, patches: Tensor, delta: Tensor) -> Tensor:
    """Σ_positions δ ⊗ patch, flat."""
    # A convolution has its positions last, a sequence in between.
    delta = delta.flatten(2) if isinstance(layer, nn.Conv2d) else delta.flatten(1, -2).mT
    return torch.bmm(delta, patches).flatten(1)


def _normalised(call: _Call) -> Tensor:
    layer, inputs = call.layer, call.inputs
    if isinstance(layer, nn.LayerNorm):
        return functional.layer_norm(inputs, layer.normalized_shape, eps=layer.eps)
    if isinstance(layer, nn.GroupNorm):
        return functional.group_norm(inputs, layer.num_groups, eps=layer.eps)
    assert isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)
    return functional.batch_norm(inputs, layer.running_mean, layer.running_var, eps=layer.eps)


def _norm_gradient(layer: nn.Module, normalised: Tensor, delta: Tensor) -> Tensor:
    """Σ_positions δ x̂ for the scales and Σ_positions δ for the shifts."""
    parts = [delta * normalised] if layer.weight.requires_grad else []
    if layer.bias is not None and layer.bias.requires_grad:
        parts.append(delta)
    axes = _position_axes(layer, delta)
    return torch.cat([(part.sum(axes) if axes else part).flatten(1) for part in parts], 1)


def _position_axes(layer: nn.Module, values: Tensor) -> tuple[int, ...]:
    if isinstance(layer, nn.LayerNorm):
        return tuple(range(1, values.ndim - len(layer.normalized_shape)))
    return tuple(range(2, values.ndim))
