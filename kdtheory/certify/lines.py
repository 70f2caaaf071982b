"""The lines of the table: each bound that may apply, what it needs, and its part of δ.

The parts are fixed here, so that no share of δ depends on the data: eight for a hold-out and for what is
tested by one, two for coded and stochastic students, whose bounds hang on δ least, one for the bounds over
whole classes and for heuristics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kdtheory.bounds import (
    Bound,
    bartlett17_margin,
    bartlett19_log_growth,
    golowich18_margin,
    golowich18_vector_relu_net,
    grid_point,
    hsu21_as_printed,
    hsu21_distillation,
    hsu21_distillation_by_margins,
    vapnik71,
)
from kdtheory.bounds.disagreement import disagreement_transfer
from kdtheory.bounds.holdout import (
    clopper34_holdout,
    hoeffding63_holdout,
    hoeffding63_kl_holdout,
    maurer09_holdout,
)
from kdtheory.bounds.two_samples import joint_disagreement_transfer
from kdtheory.certify.case import Case, Said
from kdtheory.certify.coded import least_coded
from kdtheory.coding import quantise
from kdtheory.networks import MLP

__all__ = ["LINES", "Line"]

_LEVELS = (1, 3, 7)
_LARGEST = 1e200
_UNUSABLE = "the product of the layers' norms is zero or too large"


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Args:
        name: what the table calls it.
        part: its part of δ where nothing else is asked for; 0 leaves it out.
        needs: of `REASONS`.
        bound: the bound, from the case and the line's δ; or why there is none, seen from the data.
    """

    name: str
    part: float
    needs: tuple[str, ...]
    bound: Callable[[Case, float], Bound | str]


def _wrong(said: Said, case: Case, role: str) -> Tensor:
    return (said.on[role].argmax(-1) != case.labels[role]).double()


def _holdout(limit: Callable[..., Bound], role: str = "holdout") -> Callable[[Case, float], Bound]:
    """The teacher tested on the points of a role; on its training points the number is a heuristic."""

    def bound(case: Case, delta: float) -> Bound:
        return limit(
            _wrong(case.teacher, case, role),
            delta=delta,
            fixed_in_advance=role == "holdout",
            independent_draws=True,
        )

    return bound


def _student_holdout(case: Case, delta: float) -> Bound:
    """Two independent samples in one limit; where they have rows in common, the sum of two limits."""
    assert case.student is not None
    if ("holdout", "unlabelled") in case.repeats:
        risk = _holdout(clopper34_holdout)(replace(case, teacher=case.student), delta / 2)
        return disagreement_transfer(
            risk, _apart(case), delta=delta / 2, drawn_afterwards=True, same_law=True
        )
    return joint_disagreement_transfer(
        _wrong(case.student, case, "holdout"),
        _apart(case),
        delta=delta,
        witness_fixed_in_advance=True,
        predictor_fixed_in_advance=True,
        disjoint_samples=True,
        independent_draws=True,
        same_law=True,
    )


def _student_coded(case: Case, delta: float) -> Bound:
    """The student's layers on lattices around zero, tested on the very points that it was trained on."""
    assert case.student is not None
    assert case.student.net is not None
    net = case.student.net
    architecture = MLP(net.widths, bias=net.biased)
    params = architecture.pack(net.named)
    networks = (quantise(params, architecture=architecture, levels=levels) for levels in _LEVELS)
    train, inputs = case.inputs["train"].double().flatten(1), case.inputs["unlabelled"].double().flatten(1)
    network, witness = least_coded(networks, train, case.labels["train"], delta=delta / 2)
    said = architecture.logits(network.params(), inputs).argmax(-1)
    apart = said != case.teacher.on["unlabelled"].argmax(-1)
    return disagreement_transfer(witness, apart, delta=delta / 2, drawn_afterwards=True, same_law=True)


def _apart(case: Case) -> Tensor:
    assert case.student is not None
    return case.student.on["unlabelled"].argmax(-1) != case.teacher.on["unlabelled"].argmax(-1)


def _from_workshop(kind: str) -> Callable[[Case, float], Bound]:
    def bound(case: Case, delta: float) -> Bound:
        assert case.workshop is not None
        found: Bound = getattr(case.workshop, kind)(delta)
        cost = {"training steps": case.workshop.all_steps}
        return replace(found, quantities={**found.quantities, **cost})

    return bound


def _least(case: Case, bound: Callable[[float, float], Bound]) -> Bound:
    """The least over the candidates of γ, each at its share 1/J."""
    share = 1 / len(case.gammas)
    return min((bound(gamma, share) for gamma in case.gammas), key=lambda found: found.value)


def _usable(said: Said) -> bool:
    """The product of the norms is a number that a grid can hold."""
    return said.net is not None and 0 < said.net.norm_product < _LARGEST and said.input_norm > 0


def _margin(limit: Callable[..., Bound]) -> Callable[[Case, float], Bound | str]:
    def bound(case: Case, delta: float) -> Bound | str:
        assert case.teacher.net is not None
        if not _usable(case.teacher):
            return _UNUSABLE
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
                fixed_in_advance=case.fixed,
                independent_draws=True,
            ),
        )

    return bound


def _vc(case: Case, delta: float) -> Bound:
    assert case.teacher.net is not None
    net, error = case.teacher.net, _wrong(case.teacher, case, "train")
    return vapnik71(
        float(error.mean()),
        n=len(error),
        log_growth=lambda n: bartlett19_log_growth(net.widths, n=n, bias=net.biased),
        delta=delta,
        fixed_in_advance=case.fixed,
        independent_draws=True,
    )


def _student_class(case: Case) -> tuple[str, float, float] | None:
    """Role of the labelled points, Rad^vec of the student's class on them, and the class's weight.

    On training points the class is a ball of nets whose radius is on the grid; on a hold-out, where the
    student's layers are not known, it is the student alone.
    """
    assert case.student is not None
    if not (case.has("train") and case.student.net is not None):
        return "holdout", 0.0, 1.0
    if not _usable(case.student):
        return None
    product, weight = grid_point(case.student.net.norm_product)
    complexity = golowich18_vector_relu_net(
        norm_product=product,
        input_norm=case.student.input_norm,
        depth=case.student.net.norms.depth,
        outputs=case.student.net.widths[-1],
        n=len(case.labels["train"]),
    )
    return "train", complexity, weight


def _distillation(
    limit: Callable[..., Bound], factor: float, name: str
) -> Callable[[Case, float], Bound | str]:
    """Either form of the distillation bound; Rad_n of the margins is at most twice Rad^vec_n."""

    def bound(case: Case, delta: float) -> Bound | str:
        assert case.student is not None
        if (found := _student_class(case)) is None:
            return _UNUSABLE
        role, complexity, weight = found
        if not bool(torch.isfinite(case.student.on[role]).all()):
            return "a logit of the student is -inf: it has no margin"
        points = (
            case.student.on[role],
            case.labels[role],
            case.student.on["unlabelled"],
            case.teacher.on["unlabelled"],
        )
        known = {
            name: factor * complexity,
            "delta": delta,
            "fixed_in_advance": case.fixed,
            "drawn_afterwards": True,
            "independent_draws": True,
            "same_law": True,
        }
        return _least(
            case,
            lambda gamma, share: limit(*points, **known, gamma=gamma, weight=weight, gamma_weight=share),
        )

    return bound


def _as_printed(case: Case, delta: float) -> Bound | str:
    assert case.student is not None
    if (found := _student_class(case)) is None:
        return _UNUSABLE
    role, complexity, weight = found
    student, teacher, labels = case.student.on[role], case.teacher.on[role], case.labels[role]
    known = {"margin_complexity": 2 * complexity, "delta": delta}
    return _least(
        case,
        lambda gamma, share: hsu21_as_printed(
            student, teacher, labels, **known, gamma=gamma, weight=weight * share
        ),
    )


_PAIR = ("student", "unlabelled")
_WITNESSED = ("train", "unlabelled")
LINES = (
    Line("holdout", 8, ("holdout",), _holdout(clopper34_holdout)),
    Line("holdout_kl", 0, ("holdout",), _holdout(hoeffding63_kl_holdout)),
    Line("holdout_hoeffding", 0, ("holdout",), _holdout(hoeffding63_holdout)),
    Line("holdout_bernstein", 0, ("holdout",), _holdout(maurer09_holdout)),
    Line("student_holdout", 8, (*_PAIR, "holdout"), _student_holdout),
    Line("student_coded", 2, (*_PAIR, "train", "student's norms"), _student_coded),
    Line("witness_holdout", 8, (*_WITNESSED, "witness holdout"), _from_workshop("holdout")),
    Line("witness_drawn", 0, (*_WITNESSED, "witness holdout"), _from_workshop("drawn")),
    Line("witness_coded", 2, (*_WITNESSED, "witness coded"), _from_workshop("coded")),
    Line(
        "witness_stochastic",
        2,
        (*_WITNESSED, "witness stochastic", "an MLP"),
        _from_workshop("stochastic"),
    ),
    Line(
        "distillation",
        1,
        (*_PAIR, "student's class"),
        _distillation(hsu21_distillation, 1, "student_complexity"),
    ),
    Line(
        "distillation_by_margins",
        1,
        (*_PAIR, "student's class"),
        _distillation(hsu21_distillation_by_margins, 2, "margin_complexity"),
    ),
    Line("frobenius_norms", 1, ("train", "teacher's norms"), _margin(golowich18_margin)),
    Line("spectral_norms", 1, ("train", "teacher's norms"), _margin(bartlett17_margin)),
    Line("vc_dimension", 1, ("train", "teacher's norms"), _vc),
    Line("as_printed", 1, ("student", "student's class"), _as_printed),
    Line("training_error", 1, ("train",), _holdout(clopper34_holdout, "train")),
)
"""Every line, in the order of the table."""
