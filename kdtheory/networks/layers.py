"""Layers of any module, picked by their path, recorded by hooks that are gone afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from kdtheory._near import nearest
from kdtheory.doors import door

__all__ = ["layer", "layer_of", "recorded"]


@door
def layer(module: nn.Module, path: str, /) -> nn.Module:
    """The submodule at `path`, as `named_modules` names it: "layer1.0.bn2"; "" is the module itself.

    A module that is registered at several places is found at each of them.

    Raises:
        ValueError: there is no such layer; the message has the nearest names.

    >>> layer(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), "1")
    ReLU()
    """
    layers: dict[str, nn.Module] = dict(module.named_modules(remove_duplicate=False))
    if path not in layers:
        close = nearest(path, layers, count=3, cutoff=0.3) or list(layers)[1:4]
        known = ", ".join(map(repr, close)) or "none: it has no submodules"
        raise ValueError(f"layer {path!r} is not known; the nearest layers of this module: {known}")
    return layers[path]


@door
def layer_of(path: str, /) -> str:
    """The layer in a path that may go on to a part of its output.

    >>> layer_of("encoder.lstm[1][0]")
    'encoder.lstm'
    """
    return _parted(path)[0]


@door
@contextmanager
def recorded(module: nn.Module, paths: Iterable[str], /) -> Iterator[dict[str, Tensor]]:
    """Outputs of the layers at `paths` in the last forward pass of `module`, with their gradients attached.

    What is recorded is a copy, so that a later layer that works in place (a ReLU, a residual sum) cannot
    change it. Of a layer that a forward pass calls more than once, the last output is kept.

    Args:
        module: any module.
        paths: of layers whose output is one tensor; of another output a part is named behind the path:
            "lstm[0]", "encoder[last_hidden_state]".

    Yields:
        path ↦ output, filled by every forward pass within the block; when the block ends, however it ends,
        no hook is left on the module.

    Raises:
        ValueError: a layer is not known; in a forward pass, an output, or its part, that is no tensor; asked
            for a layer that no forward pass has called.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 5))
    >>> with recorded(net, ["1"]) as said:
    ...     logits = net(torch.zeros(4, 3))
    >>> said["1"].shape, len(net[1]._forward_hooks)
    (torch.Size([4, 2]), 0)
    """
    said = _Said()
    with ExitStack() as hooks:
        for path in dict.fromkeys(paths):
            place, keys = _parted(path)
            handle = layer(module, place).register_forward_hook(_recorder(said, path, keys))
            hooks.callback(handle.remove)
        yield said


class _Said(dict[str, Tensor]):
    def __missing__(self, path: str) -> Tensor:
        raise ValueError(f"layer {path!r} took no part in the forward pass; pick a layer that the net calls")


_PATH, _KEY = re.compile(r"(.*?)((?:\[-?\w+\])*)", re.DOTALL), re.compile(r"-?\w+")
"""A layer, and the part of its output: a place in a tuple, or a name in a mapping."""
_PLACE = re.compile(r"-?\d+")


def _parted(path: str) -> tuple[str, list[str]]:
    place, keys = _PATH.fullmatch(path).groups()  # type: ignore[union-attr]  # it matches all there is
    return place, _KEY.findall(keys)


def _recorder(said: dict[str, Tensor], path: str, keys: list[str]) -> Any:
    def record(_module: nn.Module, _inputs: Any, output: Any) -> None:
        for key in keys:
            output = _part(output, key, path)
        if not isinstance(output, Tensor):
            raise ValueError(
                f"layer {path!r} gives a {type(output).__name__}, not a tensor; pick a layer inside it, or a "
                f"part of its output by its place or name, as {path + '[0]'!r}"
            )
        said[path] = output.clone()

    return record


def _part(output: Any, key: str, path: str) -> Any:
    """The part of an output by its place or its name."""
    try:
        return output[int(key) if _PLACE.fullmatch(key) else key]
    except (KeyError, IndexError, TypeError, AttributeError):
        there = list(output) if isinstance(output, Mapping) else f"a {type(output).__name__}"
        raise ValueError(f"layer {path!r}: there is no {key!r} in its output, which has {there}") from None
