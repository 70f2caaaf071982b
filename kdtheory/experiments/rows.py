"""The measurements of an experiment: named columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kdtheory.doors import gate

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Rows"]


@gate
class Rows(Mapping[str, Any]):
    """Named columns: numbers, arrays or tensors, of which the first axis runs over the instances.

    Columns of one experiment need not be of one length: a curve may stand beside its slopes.

    Raises:
        KeyError, AttributeError: a column is asked for that is not there.

    >>> rows = Rows(n=[10, 20], error=[0.5, 0.25], slope=-1.0)
    >>> rows.slope, list(rows)
    (-1.0, ['n', 'error', 'slope'])
    >>> rows.to_frame("n", "error")
        n  error
    0  10   0.50
    1  20   0.25
    """

    def __init__(self, /, **columns: Any) -> None:
        self._columns = columns

    def __getitem__(self, name: str, /) -> Any:
        return self._columns[name]

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self._columns:
            return self._columns[name]
        there = ", ".join(self.__dict__.get("_columns", ()))
        raise AttributeError(f"there is no column {name!r}; there are {there}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"Rows({', '.join(self._columns)})"

    def to_frame(self, *names: str) -> pd.DataFrame:
        """Columns of one length as a frame, all of them where none is named; a table is one list a row."""
        import pandas as pd

        chosen = {name: _column(self[name]) for name in names or self}
        return pd.DataFrame(
            {name: list(values) if values.ndim > 1 else values for name, values in chosen.items()}
        )

    def _repr_html_(self) -> str:
        import pandas as pd

        sizes = {
            name: " × ".join(map(str, np.shape(_array(value)))) or "number" for name, value in self.items()
        }
        return str(pd.Series(sizes, name="size").to_frame().to_html())


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _column(values: Any) -> np.ndarray:
    return np.atleast_1d(_array(values))
