"""Toy claims, one for each thing a report must show, and a real run over them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kdtheory.claims import REGISTRY, Claim, Control, Mutant, Plan, Verdict, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint, MeanInequality, OutOfScope
from kdtheory.experiments import Experiment, Rows, Run
from kdtheory.ledger import Ledger, verify
from kdtheory.records import RunDirectory


def twice(x: np.ndarray) -> np.ndarray:
    return 2 * x


def thrice(x: np.ndarray) -> np.ndarray:
    return 3 * x


def twice_by_adding(x: np.ndarray) -> np.ndarray:
    return x + x


def doublings(_run: Run, /, *, factor: float, shift: float) -> Rows:
    """50 numbers between 1 and 2."""
    x = np.linspace(1, 2, 50)
    return Rows(doubled=factor / 2 * twice(x) + shift, added=x + x)


def floors(_run: Run, /, *, floor: float) -> Rows:
    """How far the cross-entropy is above a floor."""
    return Rows(above=twice(np.full(4, 0.3)) - floor)


def halves(run: Run, /, *, gap: float) -> Rows:
    """Judged on 60 normal numbers, `gap` apart."""
    x = run.stream.child("x").numpy().normal(size=60)
    return Rows(before=x, after=x + gap + 0.1 * x, doubled=twice(x), added=x + x)


def nothings(_run: Run, /, *, kind: int) -> Rows:
    """It raises."""
    raise RuntimeError(f"{kind} <broken> check")


def classes(_run: Run, /, *, share: float) -> Rows:
    """Ten classes."""
    return Rows(classes=int(10 * share))


def squares(_run: Run, /, *, sign: float) -> Rows:
    """Squares of twice seven numbers."""
    return Rows(square=twice(sign * np.linspace(0, 0.5, 7)) ** 2)


DATA = {"name": "handwritten digits", "digest": "0123456789abcdef"}
SOURCE = "hinton2015distilling"
WRONG = (Mutant("three for two", twice, thrice), Mutant("written <as> a sum", twice, twice_by_adding))


def toys() -> list[Claim]:
    """The toy claims, which are not left in the registry."""
    before = set(REGISTRY)
    try:
        return [_doubling(), _printed_floor(), _two_halves(), _nothing_runs(), _many_classes(), _blind()]
    finally:
        for name in set(REGISTRY) - before:
            del REGISTRY[name]


def _doubling() -> Claim:
    @claim(
        section="1.2",
        formula=r"2x = x + x \qquad \text{for all } x \in \mathbb{R}",
        source=SOURCE,
        place="Section 2",
        assumes=("x is a real number & finite.",),
        experiment=Experiment("doublings", doublings, {"factor": 2.0, "shift": 0.0}),
        control=Control("the factor is 3", factor=3.0),
        mutants=WRONG,
    )
    def doubling_is_addition(rows: Rows, /) -> Evidence:
        """Doubling is addition: `twice(x)` = x + x < ∞."""
        return Identity.of(rows.doubled, rows.added, tolerance=1e-12, notes={"largest x": 1234567.0})

    return doubling_is_addition


def _printed_floor() -> Claim:
    @claim(
        section="1.10",
        formula=r"\mathrm{CE}(p, q) \ge H(p) = -\sum_{j=1}^{k} p_j \ln p_j",
        source=SOURCE,
        place="derived here",
        experiment=Experiment("floors", floors, {"floor": 0.0}, tuned_on=(0, 1)),
        control=Control("the floor is the entropy", floor=0.6),
        mutants=WRONG[:1],
        expect=Verdict.REFUTED,
        reading="'fitted' is read as 'of least risk'.",
    )
    def cross_entropy_reaches_zero(rows: Rows, /) -> Evidence:
        """The cross-entropy of a fitted student is 0."""
        return Inequality.of(rows.above, np.full(4, 0.5))

    return cross_entropy_reaches_zero


def _two_halves() -> Claim:
    @claim(
        section="4.1",
        formula=r"\operatorname{Var} \hat R - \operatorname{Var} \hat R_*"
        r" = \frac{1}{N}\, \mathbb{E}_x \operatorname{Var}_{y \mid x} \ell(f(x))_y \ge 0",
        source=SOURCE,
        place="derived here",
        experiment=Experiment("halves", halves, {"gap": 1.0}),
        control=(
            Control("the gap is turned round", gap=-1.0),
            Control("the gap is twice as far off", gap=-2.0),
        ),
        mutants=WRONG[:1],
    )
    def both_halves_hold(rows: Rows, /) -> Evidence:
        """The mean rises, and doubling is exact."""
        parts = {
            "the mean rises": MeanInequality.of(rows.before, rows.after, notes={"by_n": {"100": 2.5e-7}}),
            "doubling is exact": Identity.of(rows.doubled, rows.added, tolerance=1e-12),
        }
        return Joint(parts=parts, notes={"horizons": [10, 100, 1000]})

    return both_halves_hold


def _nothing_runs() -> Claim:
    @claim(
        section="4.2",
        formula=r"\nosuchcommand{x} = 1",
        source=SOURCE,
        place="derived here",
        experiment=Experiment("nothings", nothings, {"kind": 1}),
        control=Control("it raises another error", kind=2),
        mutants=WRONG[:1],
    )
    def nothing_runs(rows: Rows, /) -> Evidence:
        """A measurement that raises."""
        raise AssertionError("there are no rows")

    return nothing_runs


def _many_classes() -> Claim:
    @claim(
        section="4.3",
        formula=r"k > 100",
        source=SOURCE,
        place="derived here",
        assumes=("There are more than 100 classes.",),
        experiment=Experiment("classes", classes, {"share": 1.0}),
        control=Control("k is halved", share=0.5),
        mutants=WRONG[:1],
    )
    def many_classes_are_needed(rows: Rows, /) -> Evidence:
        """Many classes are needed."""
        return OutOfScope(assumption="There are more than 100 classes.", because=f"k = {rows.classes}")

    return many_classes_are_needed


def _blind() -> Claim:
    @claim(
        section="4.10",
        formula=r"x \le 1",
        source=SOURCE,
        place="derived here",
        experiment=Experiment("squares", squares, {"sign": 1.0}),
        control=Control("the sign is turned", sign=-1.0),
        mutants=WRONG[:1],
    )
    def squares_are_small(rows: Rows, /) -> Evidence:
        """Squares do not see a sign."""
        return Inequality.of(rows.square, np.ones(7), trivial=1.5)

    return squares_are_small


def toy_run(path: Path, *, mutants: bool = True, power: bool = False) -> Ledger:
    """A run over the toy claims, recorded in `path`."""
    plan = Plan(seed=3, mutants=mutants, power=power)
    claims = toys()
    asked = {"seed": 3, "tier": "quick", "data": DATA, "claims": [toy.name for toy in claims]}
    with RunDirectory(path, asked) as directory:
        return verify(claims, plan, directory=directory)
