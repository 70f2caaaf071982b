"""An experiment: typed settings, a random stream of its own, and a measurement that gives rows.

The rows of one experiment in one run are measured once in a process, whoever asks: several claims, a control
that is another claim's premise, a figure. With them is kept which public functions the measurement called, so
that a wrong version of one of these, put in its place, has the rows measured anew, and one that was never
called leaves them as they are.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import inspect
import re
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, overload

from kdtheory._content import content_digest
from kdtheory._plain_kinds import is_array, is_tensor
from kdtheory.doors import Calls, calls_recorded, gate, note_calls
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.streams import Stream

__all__ = ["EXPERIMENTS", "Experiment", "experiment", "forget", "paragraphs", "shown", "with_replaced"]

Measure = Callable[..., Rows]
EXPERIMENTS: dict[str, Experiment] = {}
_KEPT: OrderedDict[Hashable, _Kept] = OrderedDict()
_MOST_KEPT = 256
_FUNCTION = re.compile(r"<function (\S+) at 0x[0-9a-f]+>")
"""A function in what prints a value that holds it."""
_replaced: list[Callable[..., Any]] = []


@dataclass(frozen=True)
class _Kept:
    rows: Rows
    called: Calls
    code: str


@gate
@dataclass(frozen=True)
class Experiment:
    """An experiment; made by the decorator `experiment`, and by `given` from another.

    Args:
        name: of the measurement; the experiment's stream is named after it.
        measure: `measure(run, **settings)`, the measurement.
        settings: the keyword arguments of the measurement: numbers, enumerations, laws, functions.
        tuned_on: the seeds on which its sizes and regime, or the thresholds of the claims on it, were set; it
            never runs on their streams.
    """

    name: str
    measure: Measure = field(repr=False)
    settings: Mapping[str, Any]
    tuned_on: tuple[int, ...] = field(default=(), repr=False)

    def given(self, **settings: Any) -> Experiment:
        """The experiment with some of its settings replaced.

        Raises:
            ValueError: the measurement takes no such setting.
        """
        if unknown := sorted(set(settings) - set(self.settings)):
            raise ValueError(
                f"experiment {self.name} takes no {', '.join(unknown)}; it takes {', '.join(self.settings)}"
            )
        return replace(self, settings={**self.settings, **settings})

    @property
    def key(self) -> tuple[Hashable, ...]:
        """Its identity: the measurement and the settings; numbers of two types are two settings."""
        return (self.measure, *((name, _exactly(self.settings[name])) for name in sorted(self.settings)))

    @property
    def says(self) -> str:
        """Description: the docstring of the measurement."""
        return paragraphs(inspect.getdoc(self.measure) or "")

    def stream(self, seed: int) -> Stream:
        """The experiment's own random stream; its settings do not change it.

        What was tuned runs on streams below a place of their own, named after the seeds that it was tuned on.
        """
        own = Stream(seed).child("experiments", self.name)
        return own.child("not tuned on", *self.tuned_on) if self.tuned_on else own

    def rows(self, run: Run, /) -> Rows:
        """The rows of the experiment in a run, of which the stream counts by its seed alone.

        They are shared by all who ask: to be read, not written on. They are measured anew where a function
        that the measurement names, or a value, is another one since, or a file of the data.
        """
        run = replace(run, stream=self.stream(run.stream.seed))
        key = (*self.key, run, run.stamp)
        kept = _KEPT.get(key)
        if kept is None or _touched(kept) or not (_replaced or kept.code == self._code):
            kept = self._measured(run)
            if not _replaced:
                _KEPT[key] = kept
                while len(_KEPT) > _MOST_KEPT:
                    _KEPT.popitem(last=False)
        note_calls(kept.called, direct=kept.called.direct)
        return kept.rows

    def _measured(self, run: Run) -> _Kept:
        with calls_recorded() as called:
            rows = self.measure(run, **self.settings)
        if not isinstance(rows, Rows):
            raise TypeError(f"experiment {self.name} measured a {type(rows).__name__}; give Rows")
        return _Kept(rows, called, self._code)

    @property
    def _code(self) -> str:
        """A digest of what the measurement and its settings are now."""
        return content_digest(self.measure, dict(self.settings))


@overload
def experiment(measure: Measure, /) -> Experiment: ...


@overload
def experiment(*, tuned_on: tuple[int, ...]) -> Callable[[Measure], Experiment]: ...


@gate
def experiment(
    measure: Measure | None = None, /, *, tuned_on: tuple[int, ...] = ()
) -> Experiment | Callable[[Measure], Experiment]:
    """Make an experiment of the decorated measurement, under its name.

    The measurement takes a `Run` and keyword settings with defaults, and returns `Rows`.

    Args:
        measure: the measurement.
        tuned_on: the seeds on which sizes, regime or thresholds were set.

    Raises:
        ValueError: a setting has no default, or is no number, enumeration, law or function; or the name is
            taken.

    >>> @experiment
    ... def means_of_coins(run: Run, /, *, chance: float = 0.5) -> Rows:
    ...     draws = run.stream.numpy().random((4, 100)) < chance
    ...     return Rows(mean=draws.mean(1))
    >>> rows = means_of_coins.given(chance=1.0).rows(Run(Stream(0)))
    >>> rows.mean.tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    def made(measure: Measure) -> Experiment:
        return _registered(measure, tuned_on)

    return made if measure is None else made(measure)


def _registered(measure: Measure, tuned_on: tuple[int, ...]) -> Experiment:
    name = measure.__name__
    made = Experiment(name, measure, _settings_of(measure), tuned_on)
    if name in EXPERIMENTS and (home := EXPERIMENTS[name].measure.__module__) != measure.__module__:
        raise ValueError(f"experiment {name}: the name is taken, in {home}; names are unique, rename one")
    EXPERIMENTS[name] = made
    return made


def forget() -> None:
    """Drop all rows that are kept in this process."""
    _KEPT.clear()


@gate
@contextlib.contextmanager
def only_read(*several: Rows) -> Iterator[None]:
    """Within the block rows are read and not written on, for others are given the same.

    Raises:
        ValueError: a column was written on; no rows are kept any more.
    """
    before = [{name: _state(column) for name, column in rows.items()} for rows in several]
    yield
    for rows, was in zip(several, before, strict=True):
        if written := [name for name, column in rows.items() if _state(column) != was[name]]:
            forget()
            raise ValueError(
                f"column {written[0]!r} of the rows was written on, which others read too; copy it"
            )


def _exactly(setting: Hashable) -> Hashable:
    """A setting that equals another one only where that is of the same type and sign."""
    if isinstance(setting, tuple):
        return tuple(map(_exactly, setting))
    return (type(setting), setting, repr(setting)) if isinstance(setting, int | float) else setting


def _state(column: Any) -> Hashable:
    """What changes when a tensor or an array is written on; nothing of any other column."""
    if is_tensor(column):
        return None if column.is_inference() else column._version
    return hash(column.tobytes()) if is_array(column) else None


@gate
@contextlib.contextmanager
def with_replaced(function: Callable[..., Any], /) -> Iterator[None]:
    """For the block, rows whose measurement called this function are measured anew, and none are kept."""
    _replaced.append(function)
    try:
        yield
    finally:
        _replaced.remove(function)


def _touched(kept: _Kept) -> bool:
    """Whether kept rows may depend on what is replaced; a function whose calls no door sees always counts."""
    return any(not hasattr(function, "__door__") or function in kept.called for function in _replaced)


def _settings_of(measure: Measure) -> dict[str, Any]:
    parameters = list(inspect.signature(measure).parameters.values())
    settings = {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    if len(parameters) != len(settings) + 1:
        raise ValueError(f"experiment {measure.__name__} must take a run and keyword-only settings")
    for name, value in settings.items():
        if value is inspect.Parameter.empty:
            raise ValueError(f"experiment {measure.__name__}: {name} has no default; give one")
        if isinstance(value, str) or not isinstance(value, Hashable):
            raise ValueError(
                f"experiment {measure.__name__}: {name} = {value!r} is no number, enumeration, law or "
                "function; give one of these, so that nothing has to compare words"
            )
    return settings


@gate
def paragraphs(text: str, /) -> str:
    """The paragraphs of a docstring, each on one line."""
    return "\n\n".join(" ".join(one.split()) for one in text.split("\n\n") if one.strip())


@gate
def shown(value: Any, /) -> str:
    """A setting in words: a function by its name, a member of an enumeration by its own, else as it prints.

    >>> shown(max), shown((1, shown))
    ('max', '(1, shown)')
    """
    match value:
        case enum.Enum():
            return value.name.lower().replace("_", " ")
        case functools.partial():
            told = [
                *map(shown, value.args),
                *(f"{name}={shown(one)}" for name, one in value.keywords.items()),
            ]
            return f"{shown(value.func)}({', '.join(told)})"
        case _ if callable(value) and hasattr(value, "__name__"):
            return _words(value.__name__)
    return _FUNCTION.sub(lambda found: _words(found[1].rpartition(".")[2]), repr(value))


def _words(name: str) -> str:
    return name.lstrip("_").replace("_", " ")
