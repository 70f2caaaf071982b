"""An adversary for every line: whoever may depend on a sample does so as badly as possible, and loses.

By the exact chance of failure where a small world can be enumerated, by an exact upper limit over draws
where not. Beside each stands another adversary, who breaks an assumption that the line prints: it wins, and
the line is a heuristic, or is refused, where the caller says so or the points show it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from small_worlds import (
    DELTA,
    LINE,
    RISKS,
    ROOT,
    bound,
    case,
    chances,
    first,
    hot,
    shop,
    table,
    upper,
    worst_of_one,
    worst_of_two,
)
from torch import Tensor, nn

from kdtheory import MLP, certify
from kdtheory.certify import WitnessPlan, coded, split, workshop
from kdtheory.certify.case import Case, Said
from kdtheory.certify.coded import least_coded
from kdtheory.certify.nets import ReluNet
from kdtheory.certify.word import Word

N, M = 8, 8
HELD, ROUGH = 200, 16  # points where small worlds leave a limit vacuous
DRAWS = 15  # none may fail: 1 − 0.05^{1/15} is just below δ
TRIED = 1000  # predictors, or recipes, of which the best is taken


def none(size: int) -> Tensor:
    return torch.zeros(size).long()


# Enumerated


@cache
def holdout_limits(name: str) -> np.ndarray:
    said = {"holdout": none(HELD)}
    places = range(HELD + 1)
    return np.array([bound(name, case(said, labels={"holdout": first(k, HELD)})).value for k in places])


def fixed_before(name: str) -> float:
    return worst_of_one(holdout_limits(name), HELD)


def chosen_by_it(name: str) -> float:
    """The best of many on the hold-out, labels being coin flips."""
    least = 1 - (1 - stats.binom.cdf(np.arange(HELD + 1), HELD, 0.5)) ** TRIED
    return float(least[holdout_limits(name) < 0.5].max(initial=0.0))


def pair(n: int, m: int, errors: int, apart: int) -> Case:
    """A student with so many errors on n points, and a teacher that leaves it at so many of m."""
    said = {"holdout": first(errors, n), "unlabelled": first(apart, m)}
    return case({"holdout": none(n), "unlabelled": none(m)}, said)


@cache
def pair_limits(name: str) -> np.ndarray:
    size = ROUGH if name in DISTILLED else N
    return table(name, size, size, partial(pair, size, size))


def fixed_pair(name: str) -> float:
    return worst_of_two(pair_limits(name), knows_the_first=False)


def teacher_that_saw_the_holdout(name: str) -> float:
    return worst_of_two(pair_limits(name), knows_the_first=True)


def pair_that_saw_the_unlabelled(name: str) -> float:
    """They agree on these points, and nowhere else; the student is always right."""
    return float(bound(name, pair(2000, 2000, 0, 0)).value < 1)


@cache
def witness_limits(kind: str, members: int) -> np.ndarray:
    """Members err at points of their own; the teacher leaves them all at once."""

    inputs = torch.zeros(2 * N, 1), none(2 * N)
    tested = split(inputs, held_out=0.5, stream=ROOT.child("shop")).tested

    def value(errors: int, apart: int) -> float:
        wrong = torch.zeros(members, 2 * N).long()
        wrong[torch.arange(errors) % members, tested[:errors]] = 1
        made = shop(wrong, none(2 * N), torch.zeros(members, M).long(), first(apart, M))
        return float(getattr(made, kind)(DELTA).value)

    return np.array([[value(k, other) for other in range(M + 1)] for k in range(N + 1)])


def witnessed(kind: str, members: int, _: str) -> float:
    limits = witness_limits(kind, members)
    return worst_of_two(limits, knows_the_first=True, weight=1 / members)


def tuned_witness(kind: str, members: int, _: str) -> float:
    """The recipe is the best of many on B."""
    survival = (1 - np.cumsum(chances(N), 1)) ** TRIED
    least = -np.diff(survival, prepend=1.0, axis=1).clip(max=0.0)
    limits = witness_limits(kind, members)
    return worst_of_two(limits, knows_the_first=True, first_chances=least, weight=1 / members)


# Drawn: labels are coin flips, every risk is a half


def failures(name: str, value: Callable[[int], float], draws: int = DRAWS, truth: float = 0.5) -> float:
    """The upper limit of the chance that the value lies below the truth."""
    return upper(sum(value(draw) < truth for draw in range(draws)), draws)


def flips(draw: int, n: int, m: int, inputs: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = ROOT.child("flips", draw).torch()
    points = torch.randn(n + m, inputs, generator=generator)
    return points[:n], torch.randint(2, (n,), generator=generator), points[n:]


def linear(weight: Tensor, bias: Tensor) -> ReluNet:
    return ReluNet((weight.double(),), (bias.double(),), True)


def student_that_fits(draw: int) -> float:
    """The best of many linear students on its training points, and a teacher that says what its code says."""
    inputs, labels, others = flips(draw, 60, 60)
    generator = ROOT.child("students", draw).torch()
    weights, biases = torch.randn(300, 2, 2, generator=generator), torch.randn(300, 2, generator=generator)
    wrong = ((inputs @ weights.mT + biases[:, None]).argmax(-1) != labels).sum(-1)
    best = int(wrong.argmin())
    return coded_value(linear(weights[best], biases[best]), inputs, labels, others)


def coded_value(
    net: ReluNet, inputs: Tensor, labels: Tensor, others: Tensor, teacher: Tensor | None = None
) -> float:
    on = {"train": net.logits(inputs), "unlabelled": net.logits(others)}

    def asked(classes: Tensor) -> Case:
        said = Said({"train": hot(labels), "unlabelled": hot(classes)})
        points = {"train": inputs, "unlabelled": others}
        return Case(said, Said(on, True, net), {"train": labels}, (1.0,), Word(True), points)

    if teacher is not None:
        return bound("student_coded", asked(teacher)).value
    both = [asked(net.logits(others).argmax(-1)), asked(1 - net.logits(others).argmax(-1))]
    return min(bound("student_coded", where).value for where in both)


class Start:
    """One network of A: a linear one, which saw no label at all."""

    def __init__(self, draw: int) -> None:
        self.architecture = MLP((2, 2))
        self.params = torch.randn(1, 6, generator=ROOT.child("start", draw).torch())

    def logits(self, inputs: Tensor) -> Tensor:
        return self.architecture.logits(self.params, inputs)


def learns_from_all(kind: str, draw: int) -> float:
    """The teacher knows every label of train; elsewhere it says what the witness says."""
    inputs, labels, others = flips(draw, 80, 60)
    start = Start(draw)

    def made(classes: Tensor) -> Any:
        plan = WitnessPlan(held_out=0.5, members=1, distilled_steps=15, learning_rate=0.1, rounds=2)
        asked = workshop.Workshop(
            plan, start.architecture, inputs, labels, hot(labels), others, classes,
            ROOT.child("learns", draw), Word(True), device="cpu",
        )  # fmt: skip
        vars(asked)["networks"] = start
        return asked

    asked = made(none(60))
    if kind == "stochastic":
        return float(made(posterior_mean(asked, others)).stochastic(DELTA).value)
    sent: list[Tensor] = []

    def kept(*given: Any, **settings: Any) -> Any:
        network, witness = least_coded(*given, **settings)
        sent.append(network.params(settings["centre"]))
        return network, witness

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workshop, "least_coded", kept)
        asked.coded(DELTA)
    readout, _ = workshop.mean_readout(1, 2)
    classes = readout.logits(sent[0], asked.prior.features(others).double()).argmax(-1)
    return float(made(classes).coded(DELTA).value)


def posterior_mean(asked: Any, others: Tensor) -> Tensor:
    posterior = asked._posterior(DELTA / 2)
    return posterior.architecture.logits(posterior.mean.cpu(), others).argmax(-1)


def blind(name: str) -> float:
    """Teacher and witness agree on the unlabelled points, and nowhere else."""
    inputs, labels, others = flips(0, 400, 400)
    labels = (inputs[:, 0] > 0).long()
    net = linear(torch.tensor([[-5.0, 0.0], [5.0, 0.0]]), torch.zeros(2))
    if name == "student_coded":
        return float(coded_value(net, inputs, labels, others, (others[:, 0] > 0).long()) < 1)
    start = Start(0)
    start.params = torch.tensor([[-5.0, 0.0, 5.0, 0.0, 0.0, 0.0]])
    asked = workshop.Workshop(
        WitnessPlan(held_out=0.5, members=1, distilled_steps=3, rounds=3), start.architecture, inputs, labels,
        hot(labels), others, (others[:, 0] > 0).long(), ROOT.child("blind"), Word(True), device="cpu",
    )  # fmt: skip
    vars(asked)["networks"] = start
    return float(getattr(asked, name.removeprefix("witness_"))(DELTA).value < 1)


# Classes of functions


def on_train(net: ReluNet, inputs: Tensor, labels: Tensor) -> Case:
    said = Said({"train": net.logits(inputs)}, True, net, net.input_norm(inputs))
    return Case(said, said, {"train": labels}, (1.0,), Word(True))


def best_of_a_class(name: str, draw: int) -> float:
    """Least squares on coin flips, at every length that a margin may like."""
    inputs, labels, _ = flips(draw, 2000, 0)
    wide = torch.cat([inputs, torch.ones(2000, 1)], 1)
    fitted = torch.linalg.lstsq(wide, hot(labels).float() / 9 - 0.5).solution.T
    nets = [linear(size * fitted[:, :2], size * fitted[:, 2]) for size in (1.0, 10.0, 100.0)]
    return min(bound(name, on_train(net, inputs, labels)).value for net in nets)


def copies(name: str) -> float:
    """Four points, each of them 100,000 times, counted as 400,000."""
    inputs, labels = torch.eye(4).repeat(100_000, 1), torch.tensor([0, 1, 1, 0]).repeat(100_000)
    weight = hot(torch.tensor([0, 1, 1, 0])).T / 9 - 0.5
    net = ReluNet((weight,), (weight.new_zeros(2),), False)
    value = bound(name, on_train(net, inputs, labels)).value
    points, classes = inputs[:40], labels[:40]
    with pytest.raises(ValueError, match=r"36 of 40 in all"):
        certify(nn.Linear(4, 2), train=(points, classes), fixed_in_advance=True)
    return float(value < 0.5)


def memoriser(name: str) -> float:
    """A teacher that knows the labels of train and no others; what it says there is no sign of anything."""
    if name == "training_error":
        return float(bound(name, case({"train": none(400)})).value < 0.5)
    if name == "disagreement":  # a recipe whose networks all say the same, right or wrong
        return float(shop(*[none(400)[None], none(400)] * 2).disagreement(DELTA).value < 0.5)
    return float(bound(name, case({"holdout": none(40_000)}, {"holdout": none(40_000)})).value < 0.5)


HOLDOUTS = ("holdout", "holdout_kl", "holdout_hoeffding", "holdout_bernstein")
DISTILLED = ("distillation", "distillation_by_margins")
CLASSES = ("frobenius_norms", "spectral_norms", "vc_dimension")
HEURISTICS = ("as_printed", "training_error", "disagreement")
ADVERSARIES: dict[str, Callable[[str], float]] = {
    **dict.fromkeys(HOLDOUTS, fixed_before),
    "student_holdout": fixed_pair,
    "student_coded": lambda name: failures(name, student_that_fits),
    "witness_holdout": partial(witnessed, "holdout", 1),
    "witness_drawn": partial(witnessed, "drawn", 2),
    "witness_coded": lambda name: failures(name, partial(learns_from_all, "coded")),
    "witness_stochastic": lambda name: failures(name, partial(learns_from_all, "stochastic")),
    **dict.fromkeys(DISTILLED, fixed_pair),
    **{name: lambda name: failures(name, partial(best_of_a_class, name)) for name in CLASSES},
}
"""Line ↦ the largest chance that it fails, or the upper limit of that."""

BREAKERS: dict[str, tuple[str, Callable[[str], float]]] = {
    **dict.fromkeys(HOLDOUTS, ("holdout_unseen", chosen_by_it)),
    "student_holdout": ("holdout_unseen", teacher_that_saw_the_holdout),
    "student_coded": ("unlabelled_unseen", blind),
    "witness_holdout": ("plan", partial(tuned_witness, "holdout", 1)),
    "witness_drawn": ("plan", partial(tuned_witness, "drawn", 2)),
    "witness_coded": ("unlabelled_unseen", blind),
    "witness_stochastic": ("unlabelled_unseen", blind),
    **dict.fromkeys(DISTILLED, ("one_law", pair_that_saw_the_unlabelled)),
    **dict.fromkeys(CLASSES, ("independent", copies)),
}
"""Line ↦ an assumption that it prints, and the chance of failure where that is broken."""


def test_every_line_has_its_adversary() -> None:
    assert set(ADVERSARIES) == set(BREAKERS) == set(LINE) - set(HEURISTICS)


@pytest.fixture
def few_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The messages that a coded witness chooses from are many, each of them an arithmetic code's."""
    for name, some in {"_PENALTIES": (0.01, 0.0), "_LEVELS": (1,), "_CLIPS": (1.0, 0.5)}.items():
        monkeypatch.setattr(coded, name, some)


@pytest.mark.usefixtures("few_messages")
@pytest.mark.parametrize("name", ADVERSARIES)
def test_no_line_fails_more_often_than_its_delta(name: str) -> None:
    assert ADVERSARIES[name](name) <= DELTA * (1 + 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["coded", "stochastic"])
def test_witnesses_that_learn_from_all_fail_rarely_in_many_draws(kind: str) -> None:
    assert failures(f"witness_{kind}", partial(learns_from_all, kind), 150) <= DELTA / 4


@pytest.mark.usefixtures("few_messages")
@pytest.mark.parametrize("name", BREAKERS)
def test_a_line_whose_assumption_is_broken_fails_and_is_a_heuristic(name: str) -> None:
    broken, fails = BREAKERS[name]
    assert fails(name) > DELTA
    assert every_kind(broken)[name] == "heuristic"
    assert every_kind("nothing")[name] == "certificate"


@pytest.mark.parametrize("name", HEURISTICS)
def test_what_has_no_proof_fails_and_takes_no_share(name: str) -> None:
    assert memoriser(name) == 1
    assert every_kind("nothing")[name] == "heuristic"
    assert LINE[name].part is None


@cache
def every_kind(broken: str) -> dict[str, str]:
    """Each line's kind at the public door, where the caller says that something does not hold."""
    inputs, labels, others = flips(1, 60, 30)
    held = flips(2, 30, 0)
    teacher, student = (nn.Linear(2, 2) for _ in range(2))
    with torch.no_grad():
        for net, slope in ((teacher, 1.0), (student, 0.5)):
            net.weight.copy_(slope * torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
            net.bias.zero_()
    plan = WitnessPlan(steps=2, distilled_steps=2, members=1, held_out=0.5, rounds=1)
    settings = {
        "train": (inputs, labels),
        "unlabelled": others,
        "witness": plan,
        "stream": ROOT,
        "device": "cpu",
    }
    found = certify(
        teacher,
        student,
        holdout=held[:2],
        shares={name: 0 if line.part is None else 1 for name, line in LINE.items()},
        fixed_in_advance=broken not in ("plan", "class", "gamma", "shares"),
        unmet=()
        if broken not in ("independent", "one_law", "holdout_unseen", "unlabelled_unseen")
        else (broken,),
        **settings,
    )
    return {name: line.kind for name, line in found.lines.items()}


def test_shares_that_were_chosen_afterwards_make_heuristics_of_all_lines() -> None:
    """All of δ on the hold-out or on the student's, the better kept."""
    said = [case({"holdout": none(N)}, labels={"holdout": first(k, N)}) for k in range(N + 1)]
    one = np.array([bound("holdout", where).value for where in said])[:, None, None]
    two = pair_limits("student_holdout")[None]
    labelled, unlabelled = chances(N), chances(M)
    worst = 0.0
    for p, row in zip(RISKS, labelled, strict=True):
        for q, other in zip(RISKS[1 - p > RISKS], unlabelled, strict=False):
            teacher = labelled[int(np.abs(RISKS - p - q).argmin())]
            fails = (np.minimum(one, two) < p + q - 0.01).astype(float)
            worst = max(worst, float(np.einsum("t,k,l,tkl->", teacher, row, other, fails)))
    assert worst > DELTA
    assert set(every_kind("shares").values()) == {"heuristic"}
