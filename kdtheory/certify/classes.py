"""Lines that hold for a whole class of functions: the distillation bound, norms, VC."""

from __future__ import annotations

from collections.abc import Callable

import torch

from kdtheory.bounds import (
    Bound,
    bartlett19_log_growth,
    golowich18_vector_relu_net,
    grid_point,
    hsu21_as_printed,
    vapnik71,
)
from kdtheory.certify.case import Case, Said
from kdtheory.certify.nets import NO_RELU_NET
from kdtheory.certify.tested import ONE_POINT, labelled_role
from kdtheory.certify.word import unlabelled_flags

__all__ = ["as_printed", "distilled", "margin", "says_nothing_by_counting", "vc"]

_LARGEST = 1e200
_UNUSABLE = "the product of the layers' norms is zero or too large"


def _least(case: Case, bound: Callable[[float, float], Bound]) -> Bound:
    """The least over the candidates of γ, each at its share 1/J."""
    share = 1 / len(case.gammas)
    return min((bound(gamma, share) for gamma in case.gammas), key=lambda found: found.value)


def _unusable(name: str, said: Said) -> str | None:
    """Why the norms cannot be used: there are none, or their product is no number that a grid can hold."""
    if said.net is None:
        return f"the {name} is {NO_RELU_NET}"
    return None if 0 < said.net.norm_product < _LARGEST and said.input_norm > 0 else _UNUSABLE


def margin(limit: Callable[..., Bound]) -> Callable[[Case, float], Bound | str]:
    """A margin bound of the teacher's norms on its training points."""

    def bound(case: Case, delta: float) -> Bound | str:
        if (why := _unusable("teacher", case.teacher)) is not None:
            return why
        assert case.teacher.net is not None
        logits, labels = case.teacher.on["train"], case.labels["train"]
        known = {"norms": case.teacher.net.norms, "input_norm": case.teacher.input_norm, "delta": delta}
        return _least(
            case,
            lambda gamma, share: limit(
                logits,
                labels,
                **known,
                gamma=gamma,
                weight=share,
                fixed_in_advance=case.word.fixed,
                independent_draws=case.word.holds("independent"),
            ),
        )

    return bound


def vc(case: Case, delta: float) -> Bound | str:
    """The teacher's widths alone."""
    if (net := case.teacher.net) is None:
        return f"the teacher is {NO_RELU_NET}"
    error = (case.teacher.on["train"].argmax(-1) != case.labels["train"]).double()
    return vapnik71(
        float(error.mean()),
        n=len(error),
        log_growth=lambda n: bartlett19_log_growth(net.widths, n=n, bias=net.biased),
        delta=delta,
        fixed_in_advance=case.word.fixed,
        independent_draws=case.word.holds("independent"),
    )


def says_nothing_by_counting(case: Case) -> bool:
    """Whether something else is there, all of which is sharper; or ln Π(n) ≥ n/2, by widths and n alone."""
    told = case.student is not None or case.workshop is not None
    if case.has("holdout") or (told and case.has("unlabelled")) or case.teacher.net is None:
        return True
    net, n = case.teacher.net, len(case.labels["train"])
    return bartlett19_log_growth(net.widths, n=n, bias=net.biased) >= n / 2


def _student_class(case: Case) -> tuple[float, float] | str:
    """Rad^vec of the student's class on the training points, and the weight of its radius on the grid.

    Or why there is no such class.
    """
    assert case.student is not None
    if (why := _unusable("student", case.student)) is not None:
        return why
    assert case.student.net is not None
    product, weight = grid_point(case.student.net.norm_product)
    complexity = golowich18_vector_relu_net(
        norm_product=product,
        input_norm=case.student.input_norm,
        depth=case.student.net.norms.depth,
        outputs=case.student.net.widths[-1],
        n=len(case.labels["train"]),
    )
    return complexity, weight


def distilled(
    of_a_class: Callable[..., Bound], of_one: Callable[..., Bound], factor: float, name: str
) -> Callable[[Case, float], Bound | str]:
    """Either form of the distillation bound: for a class on train, for the student alone on a hold-out.

    Rad_n of the margins is at most twice Rad^vec_n. The form for one student multiplies two p-values and
    needs independent samples; where they have rows in common, that of a class of one adds two limits.
    """

    def bound(case: Case, delta: float) -> Bound | str:
        assert case.student is not None
        role, apart = labelled_role(case), ("holdout", "unlabelled") not in case.counts
        if not bool(torch.isfinite(case.student.on[role]).all()):
            return "a logit of the student is -inf: it has no margin"
        points = (
            case.student.on[role],
            case.labels[role],
            case.student.on["unlabelled"],
            case.teacher.on["unlabelled"],
        )
        words = {"independent_draws": case.word.holds("independent"), **unlabelled_flags(case.word)}
        if role == "holdout" and apart:
            words |= {
                "student_fixed_in_advance": case.word.holds("holdout_unseen"),
                "candidates_fixed_in_advance": case.word.fixed,
            }
            return _least(
                case,
                lambda gamma, share: of_one(*points, gamma=gamma, delta=delta, gamma_weight=share, **words),
            )
        if isinstance(found := (0.0, 1.0) if role == "holdout" else _student_class(case), str):
            return found
        complexity, weight = found
        known = {name: factor * complexity, "fixed_in_advance": case.word.fixed, "weight": weight, **words}
        return _least(
            case,
            lambda gamma, share: of_a_class(*points, gamma=gamma, delta=delta, gamma_weight=share, **known),
        )

    return bound


def as_printed(case: Case, delta: float) -> Bound | str:
    """The bound of the lecture notes, which has no proof."""
    assert case.student is not None
    role = labelled_role(case)
    if isinstance(found := (0.0, 1.0) if role == "holdout" else _student_class(case), str):
        return found
    complexity, weight = found
    student, teacher, labels = case.student.on[role], case.teacher.on[role], case.labels[role]
    if len(labels) < 2:
        return ONE_POINT
    known = {"margin_complexity": 2 * complexity, "delta": delta}
    return _least(
        case,
        lambda gamma, share: hsu21_as_printed(
            student, teacher, labels, **known, gamma=gamma, weight=weight * share
        ),
    )
