"""The public door: every argument is of the kind that its annotation names, before anything is computed.

`door` stands above a public function or class. What means the kind asked for is taken as it: a whole float
or a 0-d tensor as an int, a NumPy number as a float, labels of any integer type as int64. What does not is
refused by a sentence that names argument, value and cure, and so is a tensor whose axes do not fit the
others'. The meaning of the values is left to `kdtheory.validate`. What comes out is a number: NaN, where
arguments hold it or leave the range of their type, is refused by a sentence as well.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import inspect
import re
import sys
import threading
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from kdtheory._axes import check_axes
from kdtheory._kinds import Kind, kind_of
from kdtheory._plain_kinds import is_array, is_tensor
from kdtheory._undefined import undefined, why_undefined

__all__ = ["Calls", "calls_recorded", "door", "gate", "inside", "note_calls", "passing", "remembered"]

Public = TypeVar("Public", bound=Callable[..., Any])
_RECORDS: list[Calls] = []
_ABOUT_DEVICES = re.compile(r"\b(device|devices|meta)\b")


class _Within(threading.local):
    """How many public functions a thread is within."""

    depth = 0


_WITHIN = _Within()


class Calls(set[Callable[..., Any]]):
    """Public functions that were called; `direct` has those that no other public function called."""

    def __init__(self) -> None:
        super().__init__()
        self.direct: set[Callable[..., Any]] = set()


def door(public: Public, /) -> Public:
    """The function with its arguments looked at; of a class, its public methods and its `__init__`,
    and what makes it, such as `of`.

    >>> @door
    ... def share(sizes: tuple[int, ...], /, *, of: int) -> int:
    ...     return sum(sizes) // of
    >>> share([4.0, 2], of=3.0)
    2
    >>> share((4,), of=2.5)
    Traceback (most recent call last):
    ValueError: of = 2.5 must be a whole number
    """
    return _with(public, _guarded)


def gate(public: Public, /) -> Public:
    """The door of what is no mathematics: arguments are looked at, calls do not count, NaN passes.

    >>> @gate
    ... def doubled(word: str) -> str:
    ...     return 2 * word
    >>> doubled(3)
    Traceback (most recent call last):
    ValueError: word = 3 must be a text
    """
    return _with(public, _gated)


def _with(public: Public, guarded: Callable[..., Any]) -> Public:
    if not inspect.isclass(public):
        return typing.cast(Public, guarded(public))
    for name, method in list(vars(public).items()):
        shown = not name.startswith("_") or name in ("__call__", "__init__")
        if shown and inspect.isfunction(method) and not _is_torch(public, name):
            setattr(public, name, guarded(method))
        elif shown and isinstance(method, classmethod | staticmethod):
            bound: Any = method
            setattr(public, name, type(bound)(guarded(bound.__func__)))
    return public


def _is_torch(owner: type, name: str) -> bool:
    """Whether a method is called by torch and not by a user."""
    return name != "__init__" and any(base.__module__.startswith("torch.") for base in owner.__mro__)


def _looked(function: Callable[..., Any]) -> Callable[..., tuple[list[Any], dict[str, Any]]]:
    """A function of arguments by position and by name that gives them back as the kinds asked for."""
    looks: list[tuple[str, Kind | None]] | None = None
    named: dict[str, Kind | None] = {}

    def looked(args: tuple[Any, ...], settings: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        nonlocal looks
        if looks is None:  # not earlier: annotations may name what stands further down in the module
            named.update(_by_name(function))
            looks = _by_position(function)
        given, shapes = [], {}
        for (name, kind), value in zip(looks, args, strict=False):
            if kind is not None:
                value = kind.look(name, value)
                if kind.axes is not None and is_array(value):
                    shapes[name] = kind.axes, value.shape
            given.append(value)
        given.extend(args[len(looks) :])
        for name, value in settings.items():
            kind = named.get(name)
            if kind is not None:
                settings[name] = value = kind.look(name, value)
                if kind.axes is not None and is_array(value):
                    shapes[name] = kind.axes, value.shape
        if shapes:
            check_axes(shapes)
        return given, settings

    return looked


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    looked, passes = _looked(function), hasattr(function, "__passes__")

    @functools.wraps(function)
    def guarded(*args: Any, **settings: Any) -> Any:
        if _RECORDS:
            note_calls((guarded,), direct=() if _WITHIN.depth else (guarded,))
        given, settings = looked(args, settings)
        _WITHIN.depth += 1
        try:
            result = function(*given, **settings)
        except RuntimeError as error:
            _refuse_two_devices(_called(function, given, settings), error)
            _refuse_default_device(error)
            raise
        finally:
            _WITHIN.depth -= 1
        if not passes and undefined(result):
            raise ValueError(why_undefined(function, _called(function, given, settings)))
        return result

    guarded.__door__ = function  # type: ignore[attr-defined]
    return guarded


def _gated(function: Callable[..., Any]) -> Callable[..., Any]:
    looked = _looked(function)

    @functools.wraps(function)
    def gated(*args: Any, **settings: Any) -> Any:
        given, settings = looked(args, settings)
        try:
            return function(*given, **settings)
        except RuntimeError as error:
            _refuse_two_devices(_called(function, given, settings), error)
            _refuse_default_device(error)
            raise

    gated.__gate__ = function  # type: ignore[attr-defined]
    return gated


def passing(public: Public, /) -> Public:
    """Under a door: what others say is passed on as it is, NaN too, for those to judge who asked."""
    public.__passes__ = True  # type: ignore[attr-defined]
    return public


def inside(public: Public, /) -> Public:
    """The function behind the door, for a loop whose arguments were looked at once; any other as it is.

    A function wrapped around a public one, as a wrong version of it is, has no door of its own.
    """
    if _RECORDS and hasattr(public, "__door__"):
        note_calls((public,))
    behind = getattr(public, "__door__", None)
    own = behind is not None and behind is getattr(public, "__wrapped__", None)
    return typing.cast(Public, behind if own else public)


@contextlib.contextmanager
def calls_recorded() -> Iterator[Calls]:
    """The public functions that are called inside the block, in any thread, each once.

    >>> @door
    ... def doubled(number: float) -> float:
    ...     return 2 * number
    >>> with calls_recorded() as called:
    ...     _ = doubled(3.0)
    >>> called == called.direct == {doubled}
    True
    """
    record = Calls()
    _RECORDS.append(record)
    try:
        yield record
    finally:
        del _RECORDS[next(place for place, one in enumerate(_RECORDS) if one is record)]


def note_calls(
    functions: Iterable[Callable[..., Any]], /, *, direct: Iterable[Callable[..., Any]] = ()
) -> None:
    """Count functions as called, in each block that records calls: what is kept from earlier calls."""
    functions, direct = tuple(functions), tuple(direct)
    for record in _RECORDS:
        record.update(functions)
        record.direct.update(direct)


def remembered(function: Public, /) -> Public:
    """A function of few arguments whose values are kept, with the public functions that it called for them.

    >>> remembered(lambda number: [number])(3)
    [3]
    """
    kept: dict[tuple[Any, ...], tuple[Any, Calls]] = {}

    @functools.wraps(function)
    def found(*args: Any) -> Any:
        if args not in kept:
            with calls_recorded() as called:
                kept[args] = function(*args), called
        value, called = kept[args]
        note_calls(called, direct=called.direct)
        return value

    return typing.cast(Public, found)


def _parameters(function: Callable[..., Any]) -> Iterator[tuple[inspect.Parameter, Kind | None]]:
    """Each parameter and its kind; None where the annotation asks for nothing that can be looked at."""
    plain = inspect.unwrap(function)
    names = vars(sys.modules[plain.__module__])
    for parameter in inspect.signature(plain).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or parameter.name in (
            "self",
            "cls",
        ):
            yield parameter, None
            continue
        holder = types.SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
        try:
            hint = typing.get_type_hints(holder, names, _Names(names), include_extras=True)[parameter.name]
        except (AttributeError, TypeError):  # of such a name more is asked than that it stands for anything
            hint = Any
        yield parameter, kind_of(hint)


class _Names(dict[str, Any]):
    """The names of a module; those that it has for type checkers alone stand for anything."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, Any)


def _by_position(function: Callable[..., Any]) -> list[tuple[str, Kind | None]]:
    apart = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [(parameter.name, kind) for parameter, kind in _parameters(function) if parameter.kind in apart]


def _by_name(function: Callable[..., Any]) -> dict[str, Kind | None]:
    return {
        parameter.name: kind
        for parameter, kind in _parameters(function)
        if parameter.kind is not inspect.Parameter.POSITIONAL_ONLY
    }


def _called(
    function: Callable[..., Any], given: Iterable[Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of a call by name."""
    by_place = zip((name for name, _ in _by_position(function)), given, strict=False)
    return {**dict(by_place), **settings}


def _refuse_two_devices(given: Mapping[str, Any], error: RuntimeError) -> None:
    """Arguments on two devices are what a call failed by, where there are such."""
    places = {name: value.device for name, value in given.items() if is_tensor(value) and value.ndim}
    first = next(iter(places), "")
    for name, place in places.items():
        if place != places[first]:
            raise ValueError(
                f"{name} is on {place} and {first} on {places[first]}; move one, {name}.to({first}.device)"
            ) from error


def _refuse_default_device(error: RuntimeError) -> None:
    """A default device other than the CPU, on which what a function makes lies, where it fails by devices."""
    torch: Any = sys.modules["torch"]
    of_the_device = isinstance(error, torch.OutOfMemoryError) or "CUDA error" in str(error)
    if of_the_device or not _ABOUT_DEVICES.search(str(error)):
        return
    if (default := torch.get_default_device()).type != "cpu":
        raise ValueError(
            f"the default device is {default}, and tensors that are made here must be on the CPU; call it "
            "within torch.device('cpu'), or say torch.set_default_device('cpu')"
        ) from error
