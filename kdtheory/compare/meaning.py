"""The meaning of a comparison's lines in words, and what more labels or points would give."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kdtheory.answers import hundredfold, percent
from kdtheory.bounds import Bound
from kdtheory.bounds.paired import difference_upper_limit
from kdtheory.bounds.where_they_differ import planned_upper_limit
from kdtheory.compare.ahead import least_size
from kdtheory.inversion import binomial_upper_limit

__all__ = ["MEANINGS", "in_words", "shorter", "what_was_seen"]

_TIMES = 4
Limit = Callable[[int], float]
_COST = "the student's error minus its teacher's"
MEANINGS = {
    "agreement": f"how often the two differ, and so the most of {_COST}; no label is needed",
    "cost": f"{_COST}, from labels of points drawn at random",
    "gain": "the teacher's error minus its student's, from the same labels",
    "where_they_differ": f"{_COST}, from labels of planned points at which the two differ",
    "student_error": "the student's error, by the exact binomial limit",
    "few_labels": "the student's error, from few labels and how often the two differ on unlabelled points",
    "stratified": "the student's error, counted apart where the teacher is sure and where it is not",
}
"""Line ↦ what is bounded, and from what."""


def in_words(line: str, bound: Bound, /) -> str:
    """The meaning of a line, and that it is no certificate, or says nothing."""
    if not bound.certificate:
        unmet = "; ".join(sentence for sentence, met in bound.assumptions.items() if not met)
        return f"{MEANINGS[line]}. A heuristic: it is not so that {unmet}"
    return f"{MEANINGS[line]}{'. It says nothing' if bound.vacuous else ''}"


def what_was_seen(lines: Mapping[str, Bound], /) -> str:
    """The counts that certificates rest on, as the beginning of a sentence; empty where there are none."""
    lines = {name: bound for name, bound in lines.items() if bound.certificate}
    if "cost" in lines and "student_error" in lines:
        cost, error = lines["cost"].quantities, lines["student_error"].quantities
        n, student = int(error["points"]), int(error["errors"])
        teacher = student - int(cost["lost"]) + int(cost["won"])
        return (
            f"of {n:,} labelled points that neither had seen the student classified {student:,} wrongly and "
            f"its teacher {teacher:,}; "
        )
    if "agreement" in lines:
        n, apart = (int(lines["agreement"].quantities[name]) for name in ("points", "disagreements"))
        return f"student and teacher differ at {apart:,} of {n:,} points; "
    return ""


def shorter(line: str, bound: Bound, /, *, margin: float | None) -> tuple[str, ...]:
    """The line's limit with four times as many points, and how many a margin needs, by its own formula.

    The shares that were seen being as they are, and at the line's own share of δ: computed, not guessed. Of
    planned labels there are no more than points at which the two differ.
    """
    if (found := _scaling(line, bound)) is None:
        return ()
    kind, size, more, limit = found
    told = (f"{more:,} {kind} instead of {size:,}: at most {percent(limit(more))}",)
    if margin is None or bound.value <= margin:
        return told
    needed = least_size(lambda number: limit(number) <= margin)
    wanted = f"a margin of {hundredfold(margin)} %"
    if needed is None:
        seen = next(iter(bound.terms.values()))  # what the limit tends to, but for planned labels, of which
        never = seen >= margin or line == "where_they_differ"  # there are not ever more
        none = f"no number of {kind} shows" if never else f"a million {kind} do not show"
        return (*told, f"{none} {wanted}, all shares as they are")
    return (*told, f"about {needed:,} {kind} show {wanted}, all shares as they are")


def _scaling(line: str, bound: Bound) -> tuple[str, int, int, Limit] | None:
    """The points that there may be more of, their number, a larger one, and the limit as a function of it."""
    q = {name: int(value) for name, value in bound.quantities.items()}
    if line == "cost":
        n = q["points"]

        def difference(size: int) -> float:
            lost, won = _up(q["lost"], n, size), q["won"] * size // n
            return difference_upper_limit(min(lost, size - won), won, size, delta=bound.delta)

        return "labels of points drawn at random", n, _TIMES * n, difference
    if line == "where_they_differ" and 0 < q["labelled"] < q["disagreements"]:
        n, most = q["labelled"], q["disagreements"]
        return "planned labels", n, min(_TIMES * n, most), _planned(bound, q)
    if line == "agreement":
        n, apart = q["points"], q["disagreements"]

        def agreement(size: int) -> float:
            return binomial_upper_limit(_up(apart, n, size), size, delta=bound.delta)

        return "unlabelled points", n, _TIMES * n, agreement
    return None


def _planned(bound: Bound, q: Mapping[str, int]) -> Limit:
    n, apart, others = q["labelled"], q["disagreements"], q["unlabelled points"]

    def limit(size: int) -> float:
        number = min(size, apart)
        lost, won = _up(q["lost"], n, number), q["won"] * number // n
        return planned_upper_limit(lost, won, number, number, apart, others, delta=bound.delta)

    return limit


def _up(count: int, points: int, size: int) -> int:
    """The count that has the share count/points among `size`, rounded up."""
    return -(-count * size // points)
