"""Every public door with good arguments whose tensors lie elsewhere, and the same of the CPU.

As a script: a line of JSON for each door that takes a tensor or a module, with the largest difference of the
numbers in the results, or what went wrong and where. `test_device.py` runs it.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

import jaxtyping
import numpy as np
import torch
from elsewhere import elsewhere
from fuzz_doors import built, called, doors, place, reason
from fuzz_values import Arguments
from torch import Tensor, nn

from kdtheory.streams import Stream

PASSED_OVER = ("claims", "datasets", "experiments", "plots")
"""Packages whose doors take no tensors of users."""
CLOSED = {"ntk.linearised.weight_change": "the outputs that are drawn hold points of the CPU"}
DRAWS = 6


def rebuilt(value: Any, change: Callable[[Any], Any]) -> Any:
    """Arguments with each tensor and module changed, however deep they lie."""
    if isinstance(value, Tensor | nn.Module):
        return change(value)
    if type(value) is dict:
        return {name: rebuilt(one, change) for name, one in value.items()}
    if isinstance(value, tuple | list):
        parts = [rebuilt(one, change) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        now = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        if holds_tensors(now):
            return dataclasses.replace(value, **{name: rebuilt(one, change) for name, one in now.items()})
    return value


def to(device: torch.device) -> Callable[[Any], Any]:
    def moved(value: Any) -> Any:
        if isinstance(value, nn.Module):
            return copy.deepcopy(value).to(device)
        return value.detach().to(device).requires_grad_(value.requires_grad)

    return moved


def holds_tensors(value: Any) -> bool:
    if isinstance(value, Tensor | nn.Module):
        return True
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = vars(value)
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return any(map(holds_tensors, parts))


def numbers(result: Any) -> Iterator[Tensor]:
    """The numbers of a result, in one order."""
    if isinstance(result, bool | int | float | np.ndarray | np.number):
        yield torch.as_tensor(np.asarray(result, dtype=float)).flatten()
    elif isinstance(result, Tensor):
        yield result.detach().cpu().to_dense().double().flatten()
    elif isinstance(result, nn.Module):
        yield from (part for one in result.parameters() for part in numbers(one))
    elif isinstance(result, Mapping):
        yield from (part for one in result.values() for part in numbers(one))
    elif isinstance(result, tuple | list):
        yield from (part for one in result for part in numbers(one))
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        yield from (
            part for field in dataclasses.fields(result) for part in numbers(getattr(result, field.name))
        )


def apart(first: Any, second: Any) -> float:
    """The largest difference, relative to the largest number; ∞ where the shapes differ."""
    one, other = (torch.cat([torch.zeros(1), *numbers(result)]) for result in (first, second))
    if one.shape != other.shape:
        return float("inf")
    finite = one.isfinite() & other.isfinite()
    if not bool((finite | (one == other) | (one.isnan() & other.isnan())).all()):
        return float("inf")
    gap, size = ((values[finite]).abs().max() for values in (one - other, one))
    return float(gap / size.clamp_min(1.0))


def main() -> None:
    """One line for each door."""
    jaxtyping.config.update("jaxtyping_disable", True)
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=ResourceWarning)
    chosen = {name: door for name, door in sorted(doors().items()) if reason(name) is None}
    with elsewhere() as there, tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, door in chosen.items():
            if name.startswith(PASSED_OVER) or name in CLOSED:
                continue
            seeds = (f"{draw} {name}" for draw in range(DRAWS))
            seed = next((one for one in seeds if called(door, Random(one), most=0).fate == "accepted"), None)
            if seed is None or not holds_tensors(list(built(Arguments(Random(seed)), door))):
                continue
            told: dict[str, Any] = {"door": name}
            try:
                sides = []
                for device in (torch.device("cpu"), there):
                    with Stream(0).default():
                        drawn = built(Arguments(Random(seed)), door)
                        start, args, named = (rebuilt(part, to(device)) for part in drawn)
                        sides.append(door.call(*start, *args, **named))
                told["apart"] = apart(*sides)
            except Exception as error:
                told["error"] = f"{error} ({place(error)})"
            sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
