"""Things by name that are imported when one is asked for that is not there yet, and only then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

__all__ = ["Registry"]

Value = TypeVar("Value")
_MISSING: Any = object()


class Registry(dict[str, Value]):
    """A dictionary that is filled at the first question, by one thread while the others wait.

    What is there already is given without: who has imported one module can have its entries alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: Callable[[], None] | None = None
        self._filling, self._filler = threading.Lock(), 0

    def expect(self, fill: Callable[[], None], /) -> None:
        """Call `fill`, which puts the entries in, at the first question for more than is there."""
        self._waiting = fill

    def fill(self) -> None:
        """Put in what is expected, where that has not been done."""
        if self._waiting is None or self._filler == threading.get_ident():
            return  # what is imported may ask again, and finds what is there so far
        with self._filling:
            self._filler = threading.get_ident()
            try:
                if self._waiting is not None:
                    self._waiting()
                    self._waiting = None
            finally:
                self._filler = 0

    def __getitem__(self, name: str) -> Value:
        found = self.get(name, _MISSING)
        if found is _MISSING:
            raise KeyError(name)
        return cast(Value, found)

    def __contains__(self, name: object) -> bool:
        if not super().__contains__(name):
            self.fill()
        return super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        self.fill()
        return super().__iter__()

    def __len__(self) -> int:
        self.fill()
        return super().__len__()

    def keys(self) -> Any:
        self.fill()
        return super().keys()

    def values(self) -> Any:
        self.fill()
        return super().values()

    def items(self) -> Any:
        self.fill()
        return super().items()

    def get(self, name: str, other: Any = None, /) -> Any:
        found = super().get(name, _MISSING)  # asked once: who fills puts all in order meanwhile
        if found is _MISSING:
            self.fill()
            return super().get(name, other)
        return found
