"""Lines tested by points: the teacher's own hold-out, and disagreement with a student or a witness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from kdtheory.bounds import Bound
from kdtheory.bounds.disagreement import disagreement_transfer
from kdtheory.bounds.holdout import clopper34_holdout
from kdtheory.bounds.product import product_disagreement_transfer
from kdtheory.bounds.two_samples import joint_disagreement_transfer
from kdtheory.certify.case import Case, Said
from kdtheory.certify.coded import least_coded
from kdtheory.certify.nets import NO_RELU_NET
from kdtheory.certify.word import unlabelled_flags
from kdtheory.coding import encode_architecture, quantise
from kdtheory.networks import MLP

__all__ = [
    "ONE_POINT",
    "from_shipyard",
    "from_workshop",
    "holdout",
    "labelled_role",
    "student_coded",
    "student_holdout",
]

ONE_POINT = "it needs two labelled points or more"
_LEVELS = (1, 3, 7)


def labelled_role(case: Case, /) -> str:
    """The hold-out where there is one, which needs no class of functions; else the training points."""
    return "holdout" if case.has("holdout") else "train"


def _wrong(said: Said, case: Case, role: str) -> Tensor:
    return (said.on[role].argmax(-1) != case.labels[role]).double()


def holdout(
    limit: Callable[..., Bound], role: str = "holdout", *, least: int = 1
) -> Callable[[Case, float], Bound | str]:
    """The teacher tested on the points of a role; on its training points the number is a heuristic."""

    def bound(case: Case, delta: float) -> Bound | str:
        unseen = role == "holdout" and case.word.holds("holdout_unseen")
        wrong, drawn = _wrong(case.teacher, case, role), case.word.holds("independent")
        if len(wrong) < least:
            return ONE_POINT
        return limit(wrong, delta=delta, fixed_in_advance=unseen, independent_draws=drawn)

    return bound


def student_holdout(case: Case, delta: float) -> Bound:
    """Two independent samples in one limit; where they have rows in common, the sum of two limits.

    Both predictors were fixed before both samples, so that the limit for fixed p and q is the right one. Two
    limits at δ/2 need no independence of the samples.
    """
    assert case.student is not None
    holds = case.word.holds
    if ("holdout", "unlabelled") in case.counts:
        risk = holdout(clopper34_holdout)(replace(case, teacher=case.student), delta / 2)
        assert isinstance(risk, Bound)
        fresh, one_law = holds("unlabelled_unseen"), holds("one_law")
        return disagreement_transfer(
            risk, _apart(case), delta=delta / 2, drawn_afterwards=fresh, same_law=one_law
        )
    unseen = holds("holdout_unseen") and holds("unlabelled_unseen")
    return joint_disagreement_transfer(
        _wrong(case.student, case, "holdout"),
        _apart(case),
        delta=delta,
        witness_fixed_in_advance=unseen,
        predictor_fixed_in_advance=unseen,
        disjoint_samples=True,
        independent_draws=holds("independent"),
        same_law=holds("one_law"),
    )


def student_coded(case: Case, delta: float) -> Bound | str:
    """The student's layers on lattices around zero, tested on the very points that it was trained on.

    The message begins with the widths, so that they may have been chosen by these points, too.
    """
    assert case.student is not None
    if (net := case.student.net) is None:
        return f"the student is {NO_RELU_NET}"
    architecture = MLP(net.widths, bias=net.biased)
    params = architecture.pack(net.named)
    networks = (quantise(params, architecture=architecture, levels=levels) for levels in _LEVELS)
    train, inputs = (case.flat(role) for role in ("train", "unlabelled"))
    network, witness = least_coded(
        networks,
        train,
        case.labels["train"],
        delta=delta,
        coded_beforehand=True,
        independent_draws=case.word.holds("independent"),
        header=len(encode_architecture(architecture)),
    )
    said = architecture.logits(network.params(), inputs).argmax(-1)
    apart = said != case.teacher.on["unlabelled"].argmax(-1)
    return product_disagreement_transfer(witness, apart, delta=delta, **unlabelled_flags(case.word))


def _apart(case: Case) -> Tensor:
    assert case.student is not None
    return case.student.on["unlabelled"].argmax(-1) != case.teacher.on["unlabelled"].argmax(-1)


def from_workshop(kind: str) -> Callable[[Case, float], Bound]:
    """The bound through a witness of a kind, and how many steps were trained for all of them."""

    def bound(case: Case, delta: float) -> Bound:
        assert case.workshop is not None
        found: Bound = getattr(case.workshop, kind)(delta)
        cost = {"training steps": case.workshop.all_steps}
        return replace(found, quantities={**found.quantities, **cost})

    return bound


def from_shipyard(kind: str) -> Callable[[Case, float], Bound]:
    """The bound on the own error of a network to ship."""

    def bound(case: Case, delta: float) -> Bound:
        assert case.shipyard is not None
        return replace(case.shipyard.bound(kind, delta), what=f"the error of the {kind} network to ship")

    return bound
