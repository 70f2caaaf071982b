"""Every kind of evidence: it supports what is true, refutes what is false, and survives a record."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from kdtheory.claims import Verdict, judge
from kdtheory.claims.evidence import (
    Coverage,
    Equality,
    Evidence,
    Failure,
    Identity,
    Inequality,
    Joint,
    MeanInequality,
    OutOfScope,
    Rate,
    WorstRatio,
    from_record,
    to_record,
)
from kdtheory.streams import Stream

RNG = Stream(0).child("test_evidence").numpy()
NOISE = RNG.normal(size=50)
SWEEP = np.array([10.0, 20.0, 40.0, 80.0])
POWER = SWEEP**-1.0 * np.exp(0.01 * RNG.normal(size=(8, 4)))
S, R, I, V = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE, Verdict.VACUOUS  # noqa: E741

CASES: dict[str, tuple[Evidence, Verdict]] = {
    "identity": (Identity.of([1.0, 2.0], [1.0, 2.0 + 1e-13], tolerance=1e-12), S),
    "identity off": (Identity.of([1.0, 2.0], [1.0, 2.1], tolerance=1e-12), R),
    "inequality": (Inequality.of([0.1, 0.2], [0.2, 0.2]), S),
    "inequality off": (Inequality.of([0.1, 0.3], [0.2, 0.2]), R),
    "inequality within slack": (Inequality.of([0.1, 0.2 + 1e-12], [0.2, 0.2], slack=1e-9), S),
    "inequality trivial": (Inequality.of([0.1, 0.2], [1.0, 1.5], trivial=1.0), V),
    "mean inequality": (MeanInequality.of(NOISE - 1, np.zeros(50)), S),
    "mean inequality off": (MeanInequality.of(NOISE + 1, np.zeros(50)), R),
    "mean inequality unsure": (MeanInequality.of(NOISE - NOISE.mean(), np.zeros(50)), I),
    "equality": (Equality.of(10 + 0.1 * NOISE, np.full(50, 10.0), margin=0.05), S),
    "equality off": (Equality.of(12 + 0.1 * NOISE, np.full(50, 10.0), margin=0.05), R),
    "equality off below": (Equality.of(8 + 0.1 * NOISE, np.full(50, 10.0), margin=0.05), R),
    "equality unsure": (Equality.of(10 + 10 * NOISE, np.full(50, 10.0), margin=0.05), I),
    "mean inequality without spread": (MeanInequality.of(np.zeros(50), np.ones(50)), I),
    "mean inequality of rare events": (MeanInequality.of(np.eye(50)[0], np.full(50, 0.5)), I),
    "mean inequality without spread, bounded": (
        MeanInequality.of(np.zeros(50), np.full(50, 0.1), bounded=(-0.1, 0.9)),
        S,
    ),
    "mean inequality without spread, too few": (
        MeanInequality.of(np.zeros(50), np.full(50, 0.05), bounded=(-0.05, 0.95)),
        I,
    ),
    "mean inequality without spread, bounded, off": (
        MeanInequality.of(np.full(50, 0.5), np.zeros(50), bounded=(0.0, 1.0)),
        R,
    ),
    "equality without spread": (Equality.of(np.ones(50), np.ones(50), margin=0.1), I),
    "equality without spread, bounded": (
        Equality.of(np.ones(50), np.ones(50), margin=0.1, bounded=(-1.0, 1.0)),
        S,
    ),
    "equality without spread, bounded, off": (
        Equality.of(np.zeros(50), np.ones(50), margin=0.1, bounded=(-1.0, 1.0)),
        R,
    ),
    "rate without spread": (Rate.of(SWEEP, np.tile(1 / SWEEP, (8, 1)), expected=-1.0, margin=0.1), I),
    "rate": (Rate.of(SWEEP, POWER, expected=-1.0, margin=0.1), S),
    "rate off": (Rate.of(SWEEP, POWER, expected=-2.0, margin=0.1), R),
    "rate faster": (Rate.of(SWEEP, POWER, expected=-0.5, margin=0.1, one_sided=True), S),
    "rate slower": (Rate.of(SWEEP, POWER, expected=-1.5, margin=0.1, one_sided=True), R),
    "coverage": (Coverage(draws=200, violations=1, delta=0.05), S),
    "coverage off": (Coverage(draws=200, violations=30, delta=0.05), R),
    "coverage unsure": (Coverage(draws=200, violations=10, delta=0.05), I),
    "coverage trivial": (Coverage(draws=200, violations=0, delta=0.05, share_trivial=0.9), V),
    "worst ratio": (WorstRatio(attempts=9, ratio=0.9995, must_reach=0.999), S),
    "worst ratio off": (WorstRatio(attempts=9, ratio=1.2, must_reach=0.999), R),
    "worst ratio loose": (WorstRatio(attempts=9, ratio=0.5, must_reach=0.999), I),
    "out of scope": (OutOfScope(assumption="k ≥ 2.", because="one class"), Verdict.OUT_OF_SCOPE),
    "error": (Failure(error="ValueError: no"), Verdict.ERROR),
}


def test_events_that_nobody_could_see_are_not_rare() -> None:
    assert Coverage.rare([False] * 60, delta=0.1).p_in_favour == pytest.approx(0.9**60)
    assert Coverage.rare([True, False], delta=0.5).violations == 1
    assert Coverage.rare([], delta=0.5).p_in_favour == 1


@pytest.mark.parametrize("case", CASES)
def test_verdicts(case: str) -> None:
    evidence, verdict = CASES[case]
    assert judge(evidence) is verdict


@pytest.mark.parametrize("case", CASES)
def test_a_record_is_json_and_gives_the_evidence_back(case: str) -> None:
    evidence, verdict = CASES[case]
    record = json.loads(json.dumps(to_record(evidence), allow_nan=False))
    back = from_record(record)
    assert back == evidence
    assert judge(back) is verdict
    assert record["key_figure"] == evidence.key_figure


def test_joint_evidence_needs_every_part() -> None:
    sound, broken, unsure = CASES["coverage"][0], CASES["equality off"][0], CASES["coverage unsure"][0]
    exact = CASES["identity"][0]
    assert judge(Joint(parts={"a": sound, "b": exact})) is S
    assert judge(Joint(parts={"a": exact, "b": exact})) is S
    assert judge(Joint(parts={"a": sound, "b": broken})) is R
    assert judge(Joint(parts={"a": exact, "b": CASES["identity off"][0]})) is R
    assert judge(Joint(parts={"a": sound, "b": unsure})) is I
    assert judge(Joint(parts={"a": exact, "b": CASES["worst ratio loose"][0]})) is I
    assert Joint(parts={"a": sound, "b": exact}).statistical
    assert not Joint(parts={"a": exact}).statistical


def test_joint_evidence_pays_for_its_parts() -> None:
    part = Coverage(draws=200, violations=17, delta=0.05)
    assert Joint(parts={"a": part}).p_against == pytest.approx(part.p_against)
    assert Joint(parts={"a": part, "b": CASES["coverage"][0]}).p_against == pytest.approx(2 * part.p_against)


def test_joint_evidence_shows_the_part_that_decides() -> None:
    sound, unsure, off = CASES["coverage"][0], CASES["coverage unsure"][0], CASES["equality off"][0]
    loose = CASES["worst ratio loose"][0]
    assert Joint(parts={"a": sound, "b": off, "c": loose}).key_figure == off.key_figure
    wrong = CASES["inequality off"][0]
    assert Joint(parts={"a": sound, "b": wrong, "c": unsure}).key_figure == wrong.key_figure
    assert Joint(parts={"a": sound, "b": loose}).key_figure == loose.key_figure
    assert Joint(parts={"a": sound, "b": unsure}).key_figure == unsure.key_figure


def test_joint_evidence_is_vacuous_where_every_part_is_and_pays_for_chance_alone() -> None:
    trivial, exact, unsure = CASES["inequality trivial"][0], CASES["identity"][0], CASES["coverage unsure"][0]
    assert judge(Joint(parts={"a": trivial, "b": trivial})) is V
    assert judge(Joint(parts={"a": trivial, "b": exact})) is S
    assert Joint(parts={"a": exact, "b": exact, "c": unsure}).p_against == pytest.approx(unsure.p_against)


def test_joint_evidence_survives_a_record() -> None:
    joint = Joint(parts={name: evidence for name, (evidence, _) in CASES.items()}, notes={"n": np.int64(3)})
    back = from_record(json.loads(json.dumps(to_record(joint))))
    assert isinstance(back, Joint)
    assert dict(back.parts) == dict(joint.parts)
    assert back.notes == {"n": 3}


def test_a_refuted_identity_shows_its_counterexample() -> None:
    evidence = Identity.of([1.0, 2.0, 3.0], [1.0, 2.5, 3.1], tolerance=1e-9)
    assert evidence.counterexample == {"entry": 1, "lhs": 2.0, "rhs": 2.5}
    assert evidence.worst_error == pytest.approx(0.5 / 3.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Identity.of([1.0], [1.0, 2.0], tolerance=1.0), "shape"),
        (lambda: Identity.of([np.nan], [1.0], tolerance=1.0), "NaN"),
        (lambda: Identity.of([0.0], [0.0], tolerance=1.0), "effect"),
        (lambda: Inequality.of([], []), "no trial"),
        (lambda: Inequality.of([1.0], [np.inf]), "infinite"),
        (lambda: Inequality.of([1.0], [1.0], slack=-1.0), "slack"),
        (lambda: MeanInequality.of([1.0], [2.0]), "at least 2"),
        (lambda: Equality.of([1.0, 2.0], [1.0, 2.0], margin=0.0), "margin"),
        (lambda: Equality.of([1.0, 2.0], [0.0, 0.0], margin=0.1), "effect"),
        (lambda: MeanInequality.of([0.0, 2.0], [0.0, 0.0], bounded=(-1.0, 1.0)), "not within"),
        (lambda: Coverage.of([1.0], [1.0], delta=1.0), "delta"),
        (lambda: WorstRatio(attempts=1, ratio=float("nan")), "must be a real number"),
        (lambda: Joint(parts={}), "at least one part"),
        (lambda: from_record({"kind": "opinion"}), "opinion"),
        (lambda: from_record({"kind": "coverage", "draws": 3}), "damaged"),
    ],
)
def test_evidence_that_hides_something_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_a_true_mean_inequality_is_refuted_no_oftener_than_alpha(shift: float) -> None:
    """At the boundary and inside: the type-one error of REFUTED, by simulation, against an exact limit."""
    rng = Stream(1).child("type one", str(shift)).numpy()
    runs = 4000
    refuted = sum(
        judge(MeanInequality.of(rng.normal(-shift, 1, 20), np.zeros(20)), alpha=0.05) is R
        for _ in range(runs)
    )
    assert stats.binomtest(refuted, runs, 0.05, alternative="greater").pvalue > 1e-4


@pytest.mark.slow
def test_an_equality_off_by_its_margin_is_supported_no_oftener_than_alpha() -> None:
    rng = Stream(1).child("equivalence").numpy()
    runs = 4000
    supported = sum(
        judge(Equality.of(rng.normal(1.1, 0.1, 20), np.ones(20), margin=0.1), alpha=0.05) is S
        for _ in range(runs)
    )
    assert stats.binomtest(supported, runs, 0.05, alternative="greater").pvalue > 1e-4
