"""Axes of one name have one length, throughout the arguments of a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["check_axes"]


def check_axes(shapes: Mapping[str, tuple[tuple[str, ...], tuple[int, ...]]], /) -> None:
    """Axes of one name have one length, throughout the arguments of a call.

    Args:
        shapes: by argument, its axes as jaxtyping writes them, and its shape.

    Raises:
        ValueError: an argument has more or fewer axes, or an axis of another length than one before it.
    """
    lengths: dict[str, tuple[Any, str]] = {}
    for name, (axes, shape) in shapes.items():
        free = next((i for i, axis in enumerate(axes) if axis[0] in "*." or axis[:2] == "#*"), None)
        if len(shape) != len(axes) if free is None else len(shape) < len(axes) - 1:
            raise ValueError(f"{name} has shape {tuple(shape)}; give the axes [{' '.join(axes)}]")
        sizes: tuple[Any, ...] = tuple(shape)
        if free is not None:
            tail = len(shape) - (len(axes) - 1 - free)
            sizes = (*shape[:free], tuple(shape[free:tail]), *shape[tail:])
        for axis, size in zip(axes, sizes, strict=True):
            if axis in ("_", "...", "*_") or axis.isdigit():
                continue
            known = axis.replace("#", "")
            before, where = lengths.setdefault(known, (size, name))
            if "#" in axis:
                size = _together(before, size)
                lengths[known] = size, where
            if size is None or ("#" not in axis and before != size):
                raise ValueError(
                    f"{name} has shape {tuple(shape)} for [{' '.join(axes)}], but {known} = {before} in "
                    f"{where}; they must be the same"
                )


def _together(one: Any, other: Any) -> Any:
    """The axes to which two shapes, or two lengths, broadcast; None where they do not."""
    if one == other:
        return one
    import numpy as np

    try:
        found = np.broadcast_shapes(one, other)
    except ValueError:
        return None
    return found[0] if isinstance(one, int) else found
