"""The lines of the table: each bound that may apply, what it needs, what it rests on, and its part of δ.

The parts are fixed here and have a version, so that no share of δ depends on the data: eight for a hold-out
and for what is tested by one, two for coded and stochastic witnesses, whose bounds depend on δ less, a
quarter for what hardly depends on δ, or holds for a whole class. A line that can never be a certificate takes
none, nor does one that rests on something that is not so by the caller's word: these are shown without a
share. Which lines take part depends on what the caller gives, never on what the points or the networks turn
out to be: where a module is no ReLU net, the parts of the lines that would read its layers are lost.

Lines of networks to ship are apart: they bound other errors than the teacher's, and take part where they are
asked for, so that nothing else has another share because of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kdtheory.bounds import (
    Bound,
    bartlett17_margin,
    golowich18_margin,
    hsu21_distillation,
    hsu21_distillation_by_margins,
    hsu21_fixed_student,
    hsu21_fixed_student_by_margins,
)
from kdtheory.bounds.holdout import (
    clopper34_holdout,
    hoeffding63_holdout,
    hoeffding63_kl_holdout,
    maurer09_holdout,
)
from kdtheory.certify.case import Case
from kdtheory.certify.classes import as_printed, distilled, margin, says_nothing_by_counting, vc
from kdtheory.certify.tested import (
    from_shipyard,
    from_workshop,
    holdout,
    labelled_role,
    student_coded,
    student_holdout,
)

__all__ = ["LINES", "PARTS", "SHIPPED", "Line"]

PARTS = "2026-11"
"""Version of the parts below: another part of any line is another version."""


def _no(_: Case) -> bool:
    return False


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Args:
        name: what the table calls it.
        part: its part of δ where nothing else is asked for; 0 leaves it out; None is for what can never be a
            certificate, or follows from another line, and is shown without a share.
        needs: of `REASONS`.
        tests: the roles whose points test it; "labelled" is the hold-out where there is one, else train.
        bound: the bound, from the case and the line's δ; or why there is none, seen from the data.
        rests: what else it rests on, by the caller's word.
        idle: whether it can say nothing, as far as what the caller gives shows.
        follows_from: a line that is never above it at the same δ, whose share serves both.
        learns: the roles whose points the tested network learns from without labels, so that rows which they
            have in common with what tests it matter.
    """

    name: str
    part: float | None
    needs: tuple[str, ...]
    tests: tuple[str, ...]
    bound: Callable[[Case, float], Bound | str]
    rests: tuple[str, ...] = ()
    idle: Callable[[Case], bool] = _no
    follows_from: str | None = None
    learns: tuple[str, ...] = ()

    @property
    def may_go_without(self) -> bool:
        """Whether it may be shown without a share of δ, for it is no certificate or says nothing."""
        return self.part is None or self.idle is not _no

    def roles(self, case: Case, /) -> tuple[str, ...]:
        """The roles whose points test it here."""
        return tuple(labelled_role(case) if role == "labelled" else role for role in self.tests)

    def assumed(self, case: Case, /, *, own_shares: bool) -> dict[str, bool]:
        """The caller's words that it rests on, as sentences, and whether that holds."""
        roles = self.roles(case)
        names = ["independent", *self.rests]
        names += ["holdout_unseen"] * ("holdout" in roles)
        names += ["unlabelled_unseen", "one_law"] * ("unlabelled" in roles)
        names += ["shares"] * own_shares
        if "plan" in names and case.workshop is not None:
            names += case.workshop.rests_on(self.name)
        return case.word.sentences(names)


_PAIR = ("student", "unlabelled")
_WITNESSED = ("train", "unlabelled")
_DISTILLED = (*_PAIR, "labels", "student class")
_READ = ("train", "teacher module")
LINES = (
    Line("holdout", 8, ("holdout",), ("holdout",), holdout(clopper34_holdout)),
    Line("holdout_kl", 0, ("holdout",), ("holdout",), holdout(hoeffding63_kl_holdout)),
    Line("holdout_hoeffding", 0, ("holdout",), ("holdout",), holdout(hoeffding63_holdout)),
    Line("holdout_bernstein", 0, ("holdout",), ("holdout",), holdout(maurer09_holdout, least=2)),
    Line("student_holdout", 8, (*_PAIR, "holdout"), ("holdout", "unlabelled"), student_holdout),
    Line("student_coded", 1 / 4, (*_PAIR, "train", "student module"), _WITNESSED, student_coded),
    Line(
        "witness_holdout",
        8,
        (*_WITNESSED, "witness holdout"),
        _WITNESSED,
        from_workshop("holdout"),
        rests=("plan",),
    ),
    Line(
        "witness_drawn",
        0,
        (*_WITNESSED, "witness holdout"),
        _WITNESSED,
        from_workshop("drawn"),
        rests=("plan",),
    ),
    Line(
        "witness_coded",
        2,
        (*_WITNESSED, "witness coded"),
        _WITNESSED,
        from_workshop("coded"),
        rests=("plan",),
    ),
    Line(
        "witness_stochastic",
        2,
        (*_WITNESSED, "witness stochastic", "an MLP"),
        _WITNESSED,
        from_workshop("stochastic"),
        rests=("plan",),
    ),
    Line(
        "distillation",
        1 / 4,
        _DISTILLED,
        ("labelled", "unlabelled"),
        distilled(hsu21_distillation, hsu21_fixed_student, 1, "student_complexity"),
        rests=("gamma",),
    ),
    Line(
        "distillation_by_margins",
        None,
        _DISTILLED,
        ("labelled", "unlabelled"),
        distilled(hsu21_distillation_by_margins, hsu21_fixed_student_by_margins, 2, "margin_complexity"),
        rests=("gamma",),
        follows_from="distillation",
    ),
    Line("frobenius_norms", 1 / 4, _READ, ("train",), margin(golowich18_margin), rests=("norms",)),
    Line("spectral_norms", 1 / 4, _READ, ("train",), margin(bartlett17_margin), rests=("norms",)),
    Line(
        "vc_dimension", 1 / 4, _READ, ("train",), vc, rests=("architecture",), idle=says_nothing_by_counting
    ),
    Line("as_printed", None, _DISTILLED, ("labelled", "unlabelled"), as_printed),
    Line("training_error", None, ("train",), ("train",), holdout(clopper34_holdout, "train")),
    Line(
        "disagreement",
        None,
        (*_WITNESSED, "witness holdout"),
        ("unlabelled",),
        from_workshop("disagreement"),
        rests=("plan",),
    ),
)
"""Every line, in the order of the table."""

_TO_SHIP = (*_WITNESSED, "witness holdout")
SHIPPED = (
    Line("shipped_witness", 8, _TO_SHIP, ("train",), from_shipyard("witness"), rests=("plan",)),
    Line(
        "shipped_distilled",
        8,
        _TO_SHIP,
        ("train",),
        from_shipyard("distilled"),
        rests=("plan", "unlabelled_apart"),
        learns=("unlabelled",),
    ),
)
"""Networks to ship, each with a bound on its own error."""
