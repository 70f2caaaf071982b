"""Beforehand: which way to a limit will be shortest, and how many labels a wanted margin needs.

From guesses of the two errors and of Pr[s ≠ t], at the counts that are expected then: what the exact limits
give there.
Where the two differ, one of them is taken to be right; that makes the guess of the cost's limit a large one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from kdtheory.bounds.few_labels import powered_upper_limit
from kdtheory.bounds.paired import difference_upper_limit
from kdtheory.bounds.where_they_differ import planned_upper_limit
from kdtheory.doors import door
from kdtheory.inversion import binomial_upper_limit
from kdtheory.validate import check_at_least, check_fraction

__all__ = ["Guess", "labels_needed", "ways_ahead"]

_MOST = 10**6


@door
@dataclass(frozen=True)
class Guess:
    """The expectations of a student and its teacher.

    Args:
        student: err(s).
        teacher: err(t).
        apart: Pr[s ≠ t], at least |err(s) − err(t)| and at most err(s) + err(t).

    Raises:
        ValueError: a value outside [0, 1], or three that do not fit.

    >>> Guess(student=0.05, teacher=0.01, apart=0.047).both_wrong_alike
    0.0065
    """

    student: float
    teacher: float
    apart: float

    def __post_init__(self) -> None:
        for name in ("student", "teacher", "apart"):
            check_fraction(name, getattr(self, name))
        least, most = abs(self.student - self.teacher), self.student + self.teacher
        if not least - 1e-12 <= self.apart <= most + 1e-12:
            raise ValueError(
                f"apart = {self.apart} must lie between {least:g} and {most:g} for these two errors"
            )

    @property
    def student_right_alone(self) -> float:
        """Pr[s = y ≠ t] where one of the two is right wherever they differ: ½(d − R)."""
        return max(0.0, (self.apart - self.student + self.teacher) / 2)

    @property
    def teacher_right_alone(self) -> float:
        """Pr[t = y ≠ s] = ½(d + R)."""
        return max(0.0, (self.apart + self.student - self.teacher) / 2)

    @property
    def both_wrong_alike(self) -> float:
        """Pr[s = t ≠ y] = err(s) − ½(d + R)."""
        return round(max(0.0, self.student - self.teacher_right_alone), 12)


def _expected(labels: int, first: float, second: float) -> tuple[int, int]:
    """The counts of two events that exclude each other, which both may be rounded up."""
    one = min(labels, round(first * labels))
    return one, min(labels - one, round(second * labels))


def _cost_at_random(guess: Guess, labels: int, others: int, delta: float) -> float:
    gains, losses = _expected(labels, guess.teacher_right_alone, guess.student_right_alone)
    return difference_upper_limit(gains, losses, labels, delta=delta)


def _cost_where_they_differ(guess: Guess, labels: int, others: int, delta: float) -> float:
    apart = round(guess.apart * others)
    number = min(labels, apart)
    if not number:
        return binomial_upper_limit(0, others, delta=delta)
    gains = min(number, round(number * guess.teacher_right_alone / max(guess.apart, 1e-300)))
    return planned_upper_limit(gains, number - gains, number, labels, apart, others, delta=delta)


def _error_by_holdout(guess: Guess, labels: int, others: int, delta: float) -> float:
    return binomial_upper_limit(round(guess.student * labels), labels, delta=delta)


def _error_by_few_labels(guess: Guess, labels: int, others: int, delta: float) -> float:
    alike, alone = _expected(labels, guess.both_wrong_alike, guess.student_right_alone)
    return powered_upper_limit(alike, alone, labels, round(guess.apart * others), others, delta=delta)


WAYS: dict[str, tuple[str, bool, Callable[[Guess, int, int, float], float]]] = {
    "cost": ("err(s) − err(t)", False, _cost_at_random),
    "where_they_differ": ("err(s) − err(t)", True, _cost_where_they_differ),
    "student_error": ("err(s)", False, _error_by_holdout),
    "few_labels": ("err(s)", True, _error_by_few_labels),
}
"""Line ↦ what it bounds, whether it needs unlabelled points, and its expected limit."""


@door
def ways_ahead(guess: Guess, /, *, labels: int, unlabelled: int = 0, delta: float = 0.05) -> pd.DataFrame:
    """The limit that each way is expected to give, each at δ, the shortest of its kind marked.

    Args:
        guess: the two errors and the disagreement.
        labels: n that can be afforded.
        unlabelled: N; 0 leaves out the ways that need them.
        delta: δ.

    Raises:
        ValueError: n < 1, N < 0, or δ outside (0, 1).

    >>> guess = Guess(student=0.05, teacher=0.01, apart=0.047)
    >>> frame = ways_ahead(guess, labels=100, unlabelled=50_000)
    >>> frame.way[frame.shortest].tolist()
    ['where_they_differ', 'few_labels']
    """
    check_at_least("labels", labels, 1)
    check_at_least("unlabelled", unlabelled, 0)
    check_fraction("delta", delta, open_interval=True)
    rows = [
        {"way": way, "of": of, "expected": limit(guess, labels, unlabelled, delta)}
        for way, (of, needs, limit) in WAYS.items()
        if unlabelled or not needs
    ]
    frame = pd.DataFrame(rows)
    frame["shortest"] = frame.expected == frame.groupby("of").expected.transform("min")
    return frame


@door
def labels_needed(
    margin: float, guess: Guess, /, *, way: str = "cost", unlabelled: int = 0, delta: float = 0.05
) -> int | None:
    """The number of labels from which the expected limit of a way is at most the margin, to 1 % of it.

    Args:
        margin: what is to be shown.
        guess: the two errors and the disagreement.
        way: a line of `ways_ahead`.
        unlabelled: N.
        delta: δ.

    Returns:
        The number; None where 10⁶ would not do.

    Raises:
        ValueError: an unknown way, or one that needs unlabelled points.

    >>> 149 <= labels_needed(0.02, Guess(student=0.0, teacher=0.0, apart=0.0)) <= 155  # about ln 20 / 0.02
    True
    """
    if way not in WAYS:
        raise ValueError(f"way = {way!r} is not known; choose one of {', '.join(WAYS)}")
    _, needs, limit = WAYS[way]
    if needs and not unlabelled:
        raise ValueError(f"way = {way!r} needs unlabelled points; give unlabelled=N")

    def enough(labels: int) -> bool:
        return limit(guess, labels, unlabelled, delta) <= margin

    return least_size(enough)


def least_size(enough: Callable[[int], bool], /) -> int | None:
    """The number from which something is so, to 1 % of it; None where 10⁶ would not do."""
    low, high = 0, 64
    while not enough(high):
        if high >= _MOST:
            return None
        low, high = high, 2 * high
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
