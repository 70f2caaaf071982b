"""Chapter 6.9: data inefficiency of soft and hard labels, and teachers that are wrong now and then."""

from __future__ import annotations

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, Joint, MeanInequality
from kdtheory.claims.wrong import arguments, given, scaled, value
from kdtheory.experiments import Rows
from kdtheory.experiments.transfer_risk.inefficiency import (
    inefficiencies_of_soft_and_hard_labels,
    nets_of_teachers_that_err,
    students_of_teachers_that_err,
)
from kdtheory.ntk.effective_logits import effective_logits
from kdtheory.transfer_risk import data_inefficiency, transfer_risk

SOURCE = "ji2020knowledge"
GAIN = 0.05
LESS = 0.005


@claim(
    section="6.9",
    formula=r"I(n) = n\,[\ln \mathbb E\|\Delta\hat w_{n+1}\| - \ln \mathbb E\|\Delta\hat w_n\|],\quad"
    r" I_{\text{soft}}(n) < I_{\text{hard}}(n)",
    source=SOURCE,
    place="data inefficiency",
    assumes=(
        "The teacher's logits are smooth in the kernel.",
        "Hard labels are those of the teacher's sign.",
    ),
    experiment=inefficiencies_of_soft_and_hard_labels,
    control=Control("the soft labels are dealt out to the wrong points", moved=1),
    mutants=(
        Mutant("the wrong sign", data_inefficiency, scaled(-1.0)),
        Mutant("the hard labels are forgotten", effective_logits, given(soft_ratio=1.0)),
    ),
    loose="an order of two inefficiencies, which a factor scales alike; a few per cent on one would turn it",
    cost=2,
)
def soft_labels_are_less_data_inefficient(rows: Rows, /) -> Evidence:
    """The weights of students of soft labels grow more slowly with n than those of students of nearly hard
    labels: data inefficiency is smaller.

    By 0.005 at least.
    """
    parts: dict[str, Evidence] = {
        name: MeanInequality.of(*table.unbind(1), slack=-LESS) for name, table in rows.items()
    }
    return Joint(parts=parts)


@claim(
    section="6.9",
    formula=r"\exists\,\rho < 1:\ \mathbb E\,R_n(\rho) \le \mathbb E\,R_n(1) - 0.05"
    r"\quad\text{where the teacher is wrong on 20 per cent of the points}",
    source=SOURCE,
    place="imperfect teachers; the size of the gain is found here",
    assumes=(
        "Hard labels are those of the oracle's sign, 10 per cent of them flipped, wherever that falls.",
    ),
    experiment=(students_of_teachers_that_err, nets_of_teachers_that_err),
    control=Control("the teacher is perfect", share=0.0),
    mutants=(
        Mutant("the hard labels are forgotten", effective_logits, given(soft_ratio=1.0)),
        Mutant(
            "the hard labels are reversed", effective_logits, arguments(lambda teacher, y: (teacher, 1 - y))
        ),
        Mutant("agreement for disagreement", transfer_risk, value(lambda risk: 1 - risk)),
    ),
    loose="a threshold on a difference of risks, half of what is seen: no constant enters",
    cost=4,
)
def hard_labels_correct_an_imperfect_teacher(kernels: Rows, nets: Rows, /) -> Evidence:
    """If the teacher's sign is flipped on 20 per cent of the points, the transfer risk of students of soft
    ratio 0.4 is smaller than that of students of the teacher alone, by 0.05 at least, although the hard
    labels are themselves wrong on 10 per cent of the points.

    Paired. It is not said that both together beat the hard labels alone; the notes have the risk at a soft
    ratio of 0.05 beside the others.
    """
    tables = {**kernels, "nets": nets.risk}
    parts: dict[str, Evidence] = {
        name: MeanInequality.of(table[:, 0], table[:, 1], slack=-GAIN) for name, table in tables.items()
    }
    notes = {
        f"{name}: nearly hard labels alone": float(found[:, 2].mean()) for name, found in kernels.items()
    }
    return Joint(parts=parts, notes=notes)
