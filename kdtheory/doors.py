"""The public door: every argument is of the kind that its annotation names, before anything is computed.

`door` stands above a public function or class. What means the kind asked for is taken as it: a whole float
or a 0-d tensor as an int, a NumPy number as a float, labels of any integer type as int64. What does not is
refused by a sentence that names argument, value and cure, and so is a tensor whose axes do not fit the
others'. The meaning of the values is left to `kdtheory.validate`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from torch import Tensor

from kdtheory._kinds import Kind, kind_of

__all__ = ["calls_recorded", "door", "inside", "note_calls"]

Public = TypeVar("Public", bound=Callable[..., Any])
_RECORDS: list[set[Callable[..., Any]]] = []


def door(public: Public, /) -> Public:
    """The function with its arguments looked at; of a class, its public methods and its `__init__`.

    A plain record, a dataclass that asks nothing of its fields, is made by the package and stays as it is.

    >>> @door
    ... def share(sizes: tuple[int, ...], /, *, of: int) -> int:
    ...     return sum(sizes) // of
    >>> share([4.0, 2], of=3.0)
    2
    >>> share((4,), of=2.5)
    Traceback (most recent call last):
    ValueError: of = 2.5 must be a whole number
    """
    if not inspect.isclass(public):
        return typing.cast(Public, _guarded(public))
    asks = not dataclasses.is_dataclass(public) or hasattr(public, "__post_init__")
    for name, method in list(vars(public).items()):
        shown = not name.startswith("_") or name == "__call__" or (name == "__init__" and asks)
        if shown and inspect.isfunction(method) and not _is_torch(public, name):
            setattr(public, name, _guarded(method))
    return public


def _is_torch(owner: type, name: str) -> bool:
    """Whether a method is called by torch and not by a user."""
    return name != "__init__" and any(base.__module__.startswith("torch.") for base in owner.__mro__)


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    looks: list[tuple[str, Kind | None]] | None = None
    named: dict[str, Kind | None] = {}

    @functools.wraps(function)
    def guarded(*args: Any, **settings: Any) -> Any:
        nonlocal looks
        if _RECORDS:
            note_calls((guarded,))
        if looks is None:  # not earlier: annotations may name what stands further down in the module
            named.update(_by_name(function))
            looks = _by_position(function)
        given, shapes = [], {}
        for (name, kind), value in zip(looks, args, strict=False):
            if kind is not None:
                value = kind.look(name, value)
                if kind.axes is not None and isinstance(value, Tensor):
                    shapes[name] = kind.axes, value.shape
            given.append(value)
        given.extend(args[len(looks) :])
        for name, value in settings.items():
            kind = named.get(name)
            if kind is not None:
                settings[name] = value = kind.look(name, value)
                if kind.axes is not None and isinstance(value, Tensor):
                    shapes[name] = kind.axes, value.shape
        if shapes:
            check_axes(shapes)
        return function(*given, **settings)

    guarded.__door__ = function  # type: ignore[attr-defined]
    return guarded


def inside(public: Public, /) -> Public:
    """What stands behind the door, for a loop whose arguments were looked at once; any other as it is.

    A function wrapped around a public one, as a wrong version of it is, has no door of its own.
    """
    if _RECORDS and hasattr(public, "__door__"):
        note_calls((public,))
    behind = getattr(public, "__door__", None)
    own = behind is not None and behind is getattr(public, "__wrapped__", None)
    return typing.cast(Public, behind if own else public)


@contextlib.contextmanager
def calls_recorded() -> Iterator[set[Callable[..., Any]]]:
    """The public functions that are called inside the block, in any thread, each once.

    >>> @door
    ... def doubled(number: float) -> float:
    ...     return 2 * number
    >>> with calls_recorded() as called:
    ...     _ = doubled(3.0)
    >>> called == {doubled}
    True
    """
    record: set[Callable[..., Any]] = set()
    _RECORDS.append(record)
    try:
        yield record
    finally:
        del _RECORDS[next(place for place, one in enumerate(_RECORDS) if one is record)]


def note_calls(functions: Iterable[Callable[..., Any]], /) -> None:
    """Count functions as called, in each block that records calls: what is kept from earlier calls."""
    functions = tuple(functions)
    for record in _RECORDS:
        record.update(functions)


def _parameters(function: Callable[..., Any]) -> Iterator[tuple[inspect.Parameter, Kind | None]]:
    """Each parameter and its kind; None where the annotation asks for nothing that can be looked at."""
    plain = inspect.unwrap(function)
    names = vars(sys.modules[plain.__module__])
    for parameter in inspect.signature(plain).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or parameter.name == "self":
            yield parameter, None
            continue
        holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
        try:
            hint = typing.get_type_hints(holder, names, include_extras=True)[parameter.name]
        except NameError:  # a name for type checkers alone
            hint = Any
        yield parameter, kind_of(hint)


def _by_position(function: Callable[..., Any]) -> list[tuple[str, Kind | None]]:
    apart = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [(parameter.name, kind) for parameter, kind in _parameters(function) if parameter.kind in apart]


def _by_name(function: Callable[..., Any]) -> dict[str, Kind | None]:
    return {
        parameter.name: kind
        for parameter, kind in _parameters(function)
        if parameter.kind is not inspect.Parameter.POSITIONAL_ONLY
    }


def check_axes(shapes: Mapping[str, tuple[tuple[str, ...], tuple[int, ...]]], /) -> None:
    """Axes of one name have one length, throughout the arguments of a call.

    Args:
        shapes: by argument, its axes as jaxtyping writes them, and its shape.

    Raises:
        ValueError: an argument has more or fewer axes, or an axis of another length than one before it.
    """
    lengths: dict[str, tuple[int, str]] = {}
    for name, (axes, shape) in shapes.items():
        free = next((i for i, axis in enumerate(axes) if axis[0] in "*." or axis[:2] == "#*"), None)
        if len(shape) != len(axes) if free is None else len(shape) < len(axes) - 1:
            raise ValueError(f"{name} has shape {tuple(shape)}; give the axes [{' '.join(axes)}]")
        tail = len(axes) - 1 - free if free is not None else 0
        fixed = axes if free is None else (*axes[:free], *axes[len(axes) - tail :])
        sizes = shape if free is None else (*shape[:free], *shape[len(shape) - tail :])
        for axis, size in zip(fixed, sizes, strict=True):
            if axis.isidentifier() and axis != "_":
                before, where = lengths.setdefault(axis, (size, name))
                if before != size:
                    raise ValueError(
                        f"{name} has shape {tuple(shape)} for [{' '.join(axes)}], but {axis} = {before} in "
                        f"{where}; they must be the same"
                    )
