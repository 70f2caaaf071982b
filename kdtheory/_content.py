"""A digest of what a value holds: of a function its code and defaults, what it closes over and what it names.

What a function names is looked up now: a helper that was defined again, or replaced, is another one.
Functions of its own module, of its package and of those without a file are followed; of others their code
counts, and not what that names. Of any other value counts what would make it again, as pickling has it, or
how it prints where nothing would; nothing is pickled.
"""

from __future__ import annotations

import copyreg
import enum
import functools
import hashlib
import inspect
import re
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from kdtheory._plain_kinds import is_array, is_tensor

__all__ = ["closed_over", "content_digest", "names_in", "stored"]

_HERE = __name__.partition(".")[0]
_BARE = (type(None), bool, int, float, complex, str, bytes)
_PLACE = re.compile(r"0x[0-9a-f]+", re.IGNORECASE)
_PARTS = {
    "torch.sparse_coo": ("_indices", "_values"),
    "torch.sparse_csr": ("crow_indices", "col_indices", "values"),
    "torch.sparse_bsr": ("crow_indices", "col_indices", "values"),
    "torch.sparse_csc": ("ccol_indices", "row_indices", "values"),
    "torch.sparse_bsc": ("ccol_indices", "row_indices", "values"),
}
"""Of what a sparse tensor consists, by its layout."""
_UNSAID = ("__dict__", "__doc__", "__firstlineno__", "__module__", "__static_attributes__", "__weakref__")
"""What a class holds that says where it stands, or what it is for."""


def content_digest(*values: Any) -> str:
    """SHA-256 of what values hold; numbers of two types, and the two zeros, are two values.

    >>> content_digest(1, (2.0,)) == content_digest(1, (2.0,))
    True
    >>> content_digest(1) == content_digest(1.0) or content_digest(0.0) == content_digest(-0.0)
    False
    """
    written = _Written(next((str(one.__module__) for one in values if hasattr(one, "__code__")), ""))
    for value in values:
        written.add(value)
    return written.finished()


class _Written:
    """Values written into a digest one after the other; one that comes again is named by its place.

    What is within a value comes after those that are waiting: however deep it lies, it takes no stack.
    """

    def __init__(self, home: str, seen: Mapping[int, int] | None = None) -> None:
        self.digest = hashlib.sha256()
        self._home, self._seen, self._held = home, dict(seen or {}), list[Any]()
        self._within, self._waiting = seen is not None, deque[Any]()

    def _put(self, *words: object) -> None:
        for word in words:
            text = word if isinstance(word, bytes) else str(word).encode()
            self.digest.update(b"%d:" % len(text) + text)

    def _followed(self, module: str | None) -> bool:
        package = (module or "").partition(".")[0]
        if module == self._home or not getattr(sys.modules.get(module or ""), "__file__", None):
            return package not in sys.builtin_module_names
        return package == self._home.partition(".")[0] != _HERE

    def add(self, value: Any) -> None:
        """One more value."""
        self._waiting.append(value)

    def finished(self) -> str:
        """The digest of all that was added, and of what is within."""
        while self._waiting:
            self._write(self._waiting.popleft())
        return self.digest.hexdigest()

    def _write(self, value: Any) -> None:
        if isinstance(value, _BARE):
            self._put(type(value).__name__, value if isinstance(value, bytes) else repr(value))
            return
        if id(value) in self._seen:
            self._put("again", self._seen[id(value)])
            return
        if not isinstance(value, tuple | frozenset):  # the compiler may make one of two that are equal
            self._seen[id(value)] = len(self._seen)
            self._held.append(value)  # so that no other value takes its place in memory
        self._put(type(value).__qualname__)
        if is_tensor(value) or is_array(value):
            self._add_numbers(value)
        elif isinstance(value, FunctionType):
            self._add_function(value)
        elif isinstance(value, type):
            self._add_class(value)
        elif isinstance(value, ModuleType):
            self._put(value.__name__)
        else:
            self._add_parts(value)

    def _add_all(self, values: Iterable[Any]) -> None:
        self._waiting.extend(values)

    def _add_parts(self, value: Any) -> None:
        match value:
            case tuple() | list():
                self._put(len(value))
                self._add_all(value)
            case set() | frozenset():
                self._put(*sorted(map(self._member, value)))
            case Mapping():
                self._put(len(value))
                self._add_all(part for item in value.items() for part in (item[0], _unnumbered(*item)))
            case functools.partial():
                self._add_all((value.func, value.args, value.keywords))
            case MethodType():
                self._add_all((value.__func__, value.__self__))
            case enum.Enum():
                self._add_all((type(value), value.name))
            case _ if is_dataclass(value) and not _has_state(value):
                self._add_all((type(value), *(getattr(value, one.name, None) for one in fields(value))))
            case _ if "__wrapped__" in getattr(value, "__dict__", ()):  # a cache around a function
                self.add(value.__wrapped__)
            case _:
                self.add(type(value))
                own = self._followed(type(value).__module__)
                if own and hasattr(value, "__dict__") and not hasattr(type(value), "__slots__"):
                    self.add(dict(vars(value)))
                else:
                    self.add((None if own or _has_state(value) else _own_name(value)) or _made(value))

    def _member(self, one: Any) -> str:
        """A member of a set by itself; of the objects in a set of such a member only how they print."""
        if self._within and not isinstance(one, (*_BARE, tuple, frozenset)):
            return _PLACE.sub("", repr(one))
        alone = _Written(self._home, {} if isinstance(one, _BARE) else self._seen)
        alone.add(one)
        return alone.finished()

    def _add_numbers(self, value: Any) -> None:
        if is_tensor(value):
            self._put(value.dtype, value.layout, value.device.type, value.requires_grad)
            for shape, numbers in stored(value):
                self._put(shape, len(numbers))
                self.digest.update(numbers)
        elif value.dtype.hasobject:
            self.add(value.tolist())
        else:
            self._put(value.dtype.str, value.shape, value.tobytes())

    def _add_function(self, value: FunctionType) -> None:
        self._put(value.__qualname__)
        if not self._followed(value.__globals__.get("__name__")):
            inner = getattr(value, "__wrapped__", None)
            self._put(value.__module__)
            self.add(inner) if isinstance(inner, FunctionType) else self._add_code(value.__code__)
            return
        self._add_code(value.__code__)
        self._add_all((value.__defaults__, value.__kwdefaults__))
        self._add_all(closed_over(value).values())
        names = names_in(value.__code__)
        for name in sorted(names & value.__globals__.keys()):
            self._put(name)
            self.add(value.__globals__[name])
            if isinstance(value.__globals__[name], ModuleType):
                held = vars(value.__globals__[name])
                for part in sorted(names & held.keys()):
                    self._put(part)
                    self.add(held[part])

    def _add_class(self, value: type) -> None:
        self._put(value.__module__, value.__qualname__)
        if self._followed(value.__module__):
            self._add_all(value.__bases__)
            for name, member in sorted(vars(value).items()):
                if name not in _UNSAID:
                    self._put(name)
                    self._add_all(_functions(member))

    def _add_code(self, code: CodeType) -> None:
        """Bytecode, and not the lines that it stands in."""
        self._put(code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_exceptiontable)
        self._put(code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        for constant in code.co_consts:
            self._add_code(constant) if isinstance(constant, CodeType) else self.add(constant)


def stored(tensor: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Shape and bytes of each array of numbers that a tensor of any layout has; no bytes of one without."""
    import torch

    parts = _PARTS.get(str(tensor.layout), ())
    if torch.nn.parameter.is_lazy(tensor):
        yield (), b""
    elif tensor.is_meta:
        yield tuple(tensor.shape), b""
    elif tensor.is_nested:
        for part in tensor.detach().unbind():
            yield from stored(part)
    elif parts:
        yield tuple(tensor.shape), b""
        for part in parts:
            yield from stored(getattr(tensor.detach(), part)())
    else:
        plain = tensor.detach().dequantize() if tensor.is_quantized else tensor.detach()
        plain = (plain if plain.layout is torch.strided else plain.to_dense()).cpu()
        flat = plain.resolve_conj().resolve_neg().contiguous().reshape(-1)
        yield tuple(tensor.shape), flat.as_strided(flat.shape, (1,)).view(torch.uint8).numpy()


def _unnumbered(name: Any, value: Any) -> Any:
    """A value by its name; of the hooks of a module not the numbers, which torch counts through a process."""
    hooks = isinstance(value, OrderedDict) and "_hooks" in str(name)
    return list(value.values()) if hooks else value


def _has_state(value: Any) -> bool:
    return callable(getattr(type(value), "state_dict", None))


def _own_name(value: Any) -> str | None:
    """The name of what stands in the module of its own type, as a law of SciPy's or the generator of all."""
    home = vars(sys.modules.get(type(value).__module__, sys))
    return next((name for name, one in list(home.items()) if one is value), None)


def _made(value: Any) -> Any:
    """What would make a value again; of what cannot be made its state, or how it prints."""
    try:
        reduced = copyreg.dispatch_table.get(type(value), _reduced)(value)
    except Exception:  # whatever a class says to being pickled
        return value.state_dict() if _has_state(value) else _PLACE.sub("", repr(value))
    if isinstance(reduced, str):
        return reduced
    return tuple(list(one) if isinstance(one, Iterator) else one for one in reduced)


def _reduced(value: Any) -> Any:
    return value.__reduce_ex__(4)


def names_in(code: CodeType, /) -> set[str]:
    """The names that bytecode looks up, that of the functions within it included."""
    inner = (names_in(part) for part in code.co_consts if isinstance(part, CodeType))
    return set(code.co_names).union(*inner)


def closed_over(function: Callable[..., Any], /) -> dict[str, Any]:
    """What a function closes over, by name, in the order of its cells; one that is not filled yet is not."""
    found, cells = {}, getattr(function, "__closure__", None) or ()
    for name, cell in zip(function.__code__.co_freevars, cells, strict=True):  # type: ignore[attr-defined]
        with suppress(ValueError):
            found[name] = cell.cell_contents
    return found


def _functions(member: Any) -> tuple[Any, ...]:
    """A member of a class as it is called."""
    if isinstance(member, property):
        return (member.fget, member.fset)
    if isinstance(member, classmethod | staticmethod | functools.cached_property):
        inner: Callable[..., Any] = getattr(member, "__func__", None) or member.func  # type: ignore[union-attr]
        return (inner,)
    return () if inspect.isdatadescriptor(member) else (member,)
