"""Small worlds in which a line's chance of failure is a sum, or is counted over draws with an exact limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from kdtheory import MLP, Stream
from kdtheory.bounds import Bound
from kdtheory.certify import LINES, WitnessPlan
from kdtheory.certify.case import Case, Said
from kdtheory.certify.word import Word
from kdtheory.certify.workshop import Workshop

ROOT = Stream(12).child("adversaries")
LINE = {line.name: line for line in LINES}
DELTA = 0.2
RISKS = np.linspace(0.01, 0.99, 50)


def hot(classes: Tensor, classes_in_all: int = 2, height: float = 9.0) -> Tensor:
    """Logits that name a class."""
    return height * torch.nn.functional.one_hot(classes.long(), classes_in_all).double()


def first(events: int, size: int) -> Tensor:
    """1 at the first so many of `size` places, else 0."""
    return (torch.arange(size) < events).long()


def case(teacher: dict[str, Tensor], student: dict[str, Tensor] | None = None, **more: Any) -> Case:
    """Predictors by their classes; each label is 0 unless given."""
    labels = {
        role: torch.zeros(len(classes)).long()
        for role, classes in teacher.items()
        if role in ("train", "holdout")
    }
    settings: dict[str, Any] = {"labels": labels, "gammas": (1.0,), "word": Word(True), **more}
    said = Said({role: hot(classes) for role, classes in teacher.items()})
    other = None if student is None else Said({role: hot(classes) for role, classes in student.items()})
    return Case(said, other, **settings)


def bound(name: str, where: Case, delta: float = DELTA) -> Bound:
    found = LINE[name].bound(where, delta)
    assert isinstance(found, Bound), found
    return found


def table(name: str, n: int, m: int, make: Any) -> np.ndarray:
    """The line's value for each pair of counts."""
    return np.array([[bound(name, make(k, other)).value for other in range(m + 1)] for k in range(n + 1)])


def chances(size: int) -> np.ndarray:
    """P[Bin(size, p) = k], a row for each p of `RISKS`."""
    chance: np.ndarray = stats.binom.pmf(np.arange(size + 1)[None], size, RISKS[:, None])
    return chance


def worst_of_one(limits: np.ndarray, size: int) -> float:
    """max_p P[limit(K) < p] of limits that rise: a limit fails the likeliest just below the next risk."""
    below = limits < 1
    return float(stats.binom.cdf(np.arange(size + 1), size, limits)[below].max(initial=0.0))


def worst_of_two(
    limits: np.ndarray, *, knows_the_first: bool, first_chances: np.ndarray | None = None, weight: float = 1.0
) -> float:
    """max over p and q of P[limit(K, L) < w·p + q]: f errs where g does, and where it leaves g.

    Who knows the first sample chooses q by K. Of two witnesses that err apart a random one errs half as often
    as any: w is a half.
    """
    n, m = limits.shape[0] - 1, limits.shape[1] - 1
    labelled, unlabelled = chances(n) if first_chances is None else first_chances, chances(m)
    worst = 0.0
    for p, row in zip(RISKS, labelled, strict=True):
        possible = 1 - weight * p >= RISKS
        sums = weight * p + RISKS[possible]
        # [q, k]: chance over L that the limit lies below.
        fails = np.einsum("ql,klq->qk", unlabelled[possible], limits[:, :, None] < sums)
        by_q = row @ fails.max(0, initial=0.0) if knows_the_first else (fails @ row).max(initial=0.0)
        worst = max(worst, float(by_q))
    return worst


def upper(failures: int, draws: int) -> float:
    """The exact upper limit of a chance, at 95 %."""
    return float(stats.binomtest(failures, draws).proportion_ci(0.9, method="exact").high)


def lower(failures: int, draws: int) -> float:
    """The exact lower limit."""
    return float(stats.binomtest(failures, draws).proportion_ci(0.9, method="exact").low)


class Speaks:
    """Witnesses that say of a point what stands in it: as many members as there are pairs of columns."""

    def logits(self, inputs: Tensor) -> Tensor:
        return torch.stack(inputs.split(2, -1))


def shop(
    witness: Tensor, labels: Tensor, elsewhere: Tensor, teacher_classes: Tensor, **more: Any
) -> Workshop:
    """A workshop whose hold-out witnesses' classes on train and on the unlabelled points are given.

    Args:
        witness, elsewhere: members × points.
        labels: on train; half of its rows test.
    """
    inputs, others = (torch.cat(list(hot(classes).float()), -1) for classes in (witness, elsewhere))
    plan = {"held_out": 0.5, "members": len(witness), **more.pop("plan", {})}
    made = Workshop(
        WitnessPlan(**plan),
        MLP((inputs.shape[1], 2)),
        inputs,
        labels,
        hot(labels),
        others,
        teacher_classes,
        ROOT.child("shop"),
        more.pop("word", Word(True)),
        device="cpu",
        **more,
    )
    vars(made)["networks"] = Speaks()
    return made
