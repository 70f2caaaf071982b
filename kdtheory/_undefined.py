"""Numbers that are none: whether a result holds NaN, and which argument it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kdtheory._plain_kinds import is_array, is_tensor

__all__ = ["undefined", "why_undefined"]


def undefined(result: Any, /) -> bool:
    """Whether a number, an array or a collection of such holds NaN.

    >>> import torch
    >>> undefined((1.0, torch.tensor([0.5, float("nan")]))), undefined({"risk": 0.5})
    (True, False)
    """
    if isinstance(result, float):
        return result != result
    if is_tensor(result):
        return _holds_nan(result)
    if is_array(result):
        return result.dtype.kind == "f" and bool((result != result).any())
    if isinstance(result, Mapping):
        return any(map(undefined, result.values()))
    return isinstance(result, tuple | list) and any(map(undefined, result))


def _holds_nan(result: Any) -> bool:
    import torch

    if not result.is_floating_point() or result.layout is not torch.strided or result.is_meta:
        return False
    try:
        return result.numel() > 0 and bool(torch.isnan(torch.aminmax(result.detach()).min))
    except RuntimeError:  # within `vmap` no single value can be asked for
        return False


def why_undefined(function: Callable[..., Any], given: Mapping[str, Any]) -> str:
    """Which argument holds no number, or the number that is farthest from one."""
    import torch

    told = f"{function.__qualname__} has no value"
    farthest, worst = 0.0, "the arguments"
    for name, value in given.items():
        tensor = (
            value.detach()
            if is_tensor(value)
            else torch.as_tensor(value if type(value) in (int, float) else [], dtype=torch.float64)
        )
        if not tensor.numel() or tensor.dtype is torch.bool:
            continue
        sizes = tensor.double().abs()
        if not bool(sizes.isfinite().all()):
            return f"{told}: {name} holds NaN or infinite entries; clean them first"
        far = float(sizes[sizes > 0].log10().abs().amax()) if bool(sizes.any()) else 0.0
        farthest, worst = max((farthest, worst), (far, name))
    return f"{told}: {worst} leaves the range of the numbers; give values nearer to 1"
