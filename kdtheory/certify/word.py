"""The caller's word on what no data can show: each of it is a sentence that the bounds print.

A role is a promise: points given as `holdout` were not seen by f and g, points given as `unlabelled` by
nobody. Whoever knows that one of these does not hold names it as `unmet`, and every line that rests on it
is a heuristic. Whether plan, architectures, candidates of γ and shares of δ were fixed must be said each
time: it is what goes wrong most easily, by tuning on labels that test.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kdtheory.bounds.assumptions import CANDIDATES_FIXED, CLASS_FIXED, DRAWN, GRID_FIXED, ONE_LAW, UNSEEN
from kdtheory.validate import check_flags, check_one_of

__all__ = ["ASSUMPTIONS", "Word", "rows_again", "unlabelled_flags"]

_MOST_REPEATS = 1 / 2

ASSUMPTIONS = {
    "independent": DRAWN,
    "one_law": ONE_LAW,
    "holdout_unseen": "nobody who made or chose a predictor had seen the hold-out points",
    "unlabelled_unseen": UNSEEN,
    "unlabelled_apart": "the unlabelled points are no versions of the points that test, nor chosen by them",
    "prior_unseen": "the prior saw no label of the points that test",
    "start_unseen": "the start of the witnesses saw no label of the points that test",
}
"""Name ↦ sentence: what holds by the caller's word, unless it is named in `unmet`."""

_FIXED = {
    "plan": "the witnesses' architecture and recipe, and the random stream, were fixed without the labels "
    "that test them",
    "architecture": CLASS_FIXED,
    "norms": GRID_FIXED,
    "gamma": CANDIDATES_FIXED,
    "shares": "the shares of δ were fixed without the points that test",
}
"""The meaning of `fixed_in_advance`, by the line that needs it."""


@dataclass(frozen=True)
class Word:
    """The caller's word.

    Args:
        fixed: whether plan, architectures, candidates of γ and shares were fixed without what tests.
        unmet: names of `ASSUMPTIONS` that do not hold.

    Raises:
        ValueError: `fixed` is no bool, or a name is not known.

    >>> Word(True, ("one_law",)).sentences(("one_law",))
    {'the unlabelled points are independent draws from the distribution of the labelled ones': False}
    """

    fixed: bool
    unmet: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_flags(fixed_in_advance=self.fixed)
        for name in self.unmet:
            check_one_of("unmet", name, tuple(ASSUMPTIONS))

    @classmethod
    def of(cls, fixed: bool, unmet: Iterable[str], /) -> Word:
        """From what the caller gives; a single name may stand alone."""
        return cls(fixed, (unmet,) if isinstance(unmet, str) else tuple(unmet))

    def holds(self, name: str, /) -> bool:
        """Whether an assumption holds, by the caller's word."""
        return self.fixed if name in _FIXED else name not in self.unmet

    def sentences(self, names: Iterable[str], /) -> dict[str, bool]:
        """Each assumption as a sentence, and whether it holds."""
        return {(_FIXED | ASSUMPTIONS)[name]: self.holds(name) for name in names}


def unlabelled_flags(word: Word, /) -> dict[str, bool]:
    """The assumptions of a transfer on the unlabelled points."""
    return {"drawn_afterwards": word.holds("unlabelled_unseen"), "same_law": word.holds("one_law")}


def rows_again(role: str, other: str, /, *, count: int, among: int, known: bool) -> dict[str, bool]:
    """The caller's word on rows that come again, which is not believed of more than half of a role.

    Where a point is known by its logits alone, equal rows may well be other points, however many they are.

    Args:
        role: whose rows they are.
        other: where they come again; the role itself for rows that repeat earlier ones.
        count: how many of them.
        among: how many rows the role has.
        known: whether the points themselves are known.
    """
    where = f"that are in {other} too" if other != role else "that repeat others of it"
    how = "come again by chance" if known else "are other points with the same logits"
    sentence = f"the {count} of {among} rows of {role} {where} {how}"
    return {sentence: not known or count <= _MOST_REPEATS * among}
