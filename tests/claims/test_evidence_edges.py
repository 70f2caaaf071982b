"""Evidence at its edges: what is declared decides, to the last digit, and nothing narrow is forgiven."""

from __future__ import annotations

import math

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
)

S, R, I, V = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.INCONCLUSIVE, Verdict.VACUOUS  # noqa: E741


def next_to(value: float) -> float:
    """The next number above."""
    return math.nextafter(value, math.inf)


@pytest.mark.parametrize("bound", [0.1, 1.0, 3e-7, 250.0])
def test_a_bound_missed_by_one_digit_is_missed(bound: float) -> None:
    bounds = np.full(4, bound)
    truth = np.array([0.0, bound, next_to(bound), 2 * bound])
    assert Coverage.of(truth, bounds, delta=0.05).violations == 2
    assert Inequality.of(truth, bounds).violations == 2
    assert judge(Inequality.of([bound], [bound])) is S
    assert judge(Inequality.of([next_to(bound)], [bound])) is R


def test_coverage_is_a_binomial_test_at_its_own_delta() -> None:
    evidence = Coverage(draws=60, violations=4, delta=0.05)
    assert evidence.p_against == pytest.approx(stats.binom.sf(3, 60, 0.05))
    assert evidence.p_in_favour == pytest.approx(stats.binom.cdf(4, 60, 0.05))
    assert Coverage.of([0.0, 1.0, 1.0], [0.5, 0.5, 1.0], delta=0.2).draws == 3
    for delta in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="delta"):
            Coverage.of([0.0], [1.0], delta=delta)


@pytest.mark.parametrize("kind", [Coverage, Inequality])
def test_half_of_the_trials_at_the_trivial_level_still_say_something(kind: type) -> None:
    settings = {"trivial": 1.0} | ({"delta": 0.05} if kind is Coverage else {})
    half = kind.of(np.zeros(400), np.tile([1.0, 0.999], 200), **settings)
    assert half.share_trivial == 0.5  # the level itself is trivial
    assert judge(half) is S
    most = kind.of(np.zeros(400), np.r_[np.ones(201), np.full(199, 0.5)], **settings)
    assert judge(most) is V
    plain = kind.of(np.zeros(400), np.ones(400), **({"delta": 0.05} if kind is Coverage else {}))
    assert plain.share_trivial == 0.0
    assert judge(plain) is S


def test_slack_is_an_excess_in_the_unit_of_the_sides() -> None:
    within, beyond = [0.5, 100.25], [0.5, 100.25 + 2**-40]
    assert Inequality.of(within, [0.5, 100.0], slack=0.25).violations == 0
    assert Inequality.of(beyond, [0.5, 100.0], slack=0.25).violations == 1
    evidence = Inequality.of([3.0, -1.0], [2.0, 5.0])
    assert (evidence.worst_excess, evidence.tightness) == (1.0, 1.5)
    assert evidence.counterexample == {"entry": 0, "lhs": 3.0, "rhs": 2.0}
    assert (evidence.p_against, evidence.p_in_favour) == (0.0, 1.0)
    held = Inequality.of([1.0, -1.0], [2.0, 0.0])
    assert (held.tightness, held.counterexample, held.p_against, held.p_in_favour) == (0.5, None, 1.0, 0.0)
    assert Inequality.of([-3.0], [-2.0]).tightness == 0.0  # no ratio to a side that is not positive


def test_the_tolerance_of_an_identity_is_relative_to_its_effect() -> None:
    assert judge(Identity.of([4.0, 8.5], [4.0, 8.0], tolerance=0.0625)) is S  # .5 of 8
    assert judge(Identity.of([4.0, 8.5], [4.0, 8.0], tolerance=0.0624)) is R
    assert judge(Identity.of([4.0, 7.5], [4.0, 8.0], tolerance=0.0624)) is R  # below as above
    assert judge(Identity.of([4.0, 8.5], [4.0, 8.0], tolerance=0.0625, effect=7.9)) is R
    assert Identity.of([[1.0, 2.0]] * 3, [[1.0, 2.0]] * 3, tolerance=0.0).trials == 3
    assert Identity.of(1.0, 1.0, tolerance=0.0).trials == 1
    assert Identity.of([-4.0], [-4.0], tolerance=0.0).effect == 4.0


@pytest.mark.parametrize("limit", [1.0, 0.125, 64.0])
def test_a_worst_ratio_has_a_slack_of_a_billionth(limit: float) -> None:
    def found(excess: float, must_reach: float = 0.0) -> Verdict:
        return judge(WorstRatio(attempts=5, ratio=limit * (1 + excess), limit=limit, must_reach=must_reach))

    assert found(5e-10) is S
    assert found(2e-9) is R
    assert found(1e-6) is R
    assert found(-0.5, must_reach=0.5) is S  # reached exactly
    assert found(-0.5, must_reach=0.5 + 1e-9) is I
    assert found(0.1, must_reach=0.5) is R


def test_means_are_compared_with_their_slack() -> None:
    left, right = np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.0, 3.0])
    evidence = MeanInequality.of(left, right, slack=0.25)
    expected = stats.ttest_1samp(left - right, 0.25, alternative="greater").pvalue
    assert evidence.p_against == pytest.approx(expected)
    assert evidence.p_in_favour == pytest.approx(1 - expected)
    assert (evidence.lhs_mean, evidence.rhs_mean, evidence.trials) == (2.0, 1.5, 3)


def test_an_equality_is_two_sided_and_relative_to_its_effect() -> None:
    left, right = np.array([10.3, 9.9, 10.4, 10.1]), np.array([-10.0, -10.0, -10.0, -10.0]) * -1
    evidence = Equality.of(left, right, margin=0.05)
    differences = left - right
    below = stats.ttest_1samp(differences, -0.5, alternative="less").pvalue
    above = stats.ttest_1samp(differences, 0.5, alternative="greater").pvalue
    assert evidence.p_against == pytest.approx(min(1.0, 2 * min(above, below)))
    assert evidence.p_in_favour == pytest.approx(max(1 - above, 1 - below))
    assert Equality.of(left, -right, margin=0.05).effect == 10.0
    assert Equality.of(left, right, margin=0.05, effect=2.0).effect == 2.0
    with pytest.raises(ValueError, match="effect"):
        Equality.of(left, right, margin=0.1, effect=0.0)


@pytest.mark.parametrize(("expected", "one_sided"), [(-1.0, True), (-1.0, False), (0.5, True)])
def test_the_slope_of_a_rate_is_judged_at_its_margin(expected: float, one_sided: bool) -> None:
    margin, slopes = 0.3, np.array([-0.7, -0.9, -0.6, -0.85])
    sweep = np.array([1.0, 10.0, 100.0])
    evidence = Rate.of(sweep, sweep ** slopes[:, None], expected=expected, margin=margin, one_sided=one_sided)
    above = stats.ttest_1samp(slopes, expected + margin, alternative="greater").pvalue
    below = stats.ttest_1samp(slopes, expected - margin, alternative="less").pvalue
    fails = above if one_sided else min(1.0, 2 * min(above, below))
    holds = 1 - above if one_sided else max(1 - above, 1 - below)
    assert evidence.p_against == pytest.approx(fails)
    assert evidence.p_in_favour == pytest.approx(holds)
    assert evidence.slope == pytest.approx(slopes.mean())
    low, high = stats.t.interval(0.95, 3, slopes.mean(), stats.sem(slopes))
    assert f"[{low:+.3f}, {high:+.3f}]" in evidence.key_figure


@pytest.mark.parametrize("silent", [OutOfScope(assumption="k ≥ 2.", because="k = 1"), Failure(error="no")])
def test_what_brings_no_evidence_is_sure_of_nothing(silent: Evidence) -> None:
    assert (silent.p_against, silent.p_in_favour) == (1.0, 1.0)
    assert not silent.says_nothing
    assert not silent.statistical
    joint = Joint(parts={"a": silent, "b": Identity.of([1.0], [1.0], tolerance=0.0)})
    assert (joint.p_against, joint.p_in_favour) == (1.0, 1.0)
    assert judge(joint) not in (S, R, V)


def test_a_p_value_of_alpha_itself_decides() -> None:
    for violations, verdict in ((4, S), (17, R)):
        evidence = Coverage(draws=200, violations=violations, delta=0.05)
        decisive = min(evidence.p_against, evidence.p_in_favour)
        assert 0.001 < decisive < 0.2
        assert judge(evidence, alpha=decisive) is verdict
        assert judge(evidence, alpha=decisive * (1 - 1e-12)) is I


@pytest.mark.parametrize("setting", [math.inf, -math.inf, math.nan])
def test_what_is_declared_is_finite(setting: float) -> None:
    left, right, sweep = [3.0, 2.0, 4.0], [1.0, 1.5, 1.0], [1.0, 10.0, 100.0]
    for make in (
        lambda: Inequality.of(left, right, slack=setting),
        lambda: MeanInequality.of(left, right, slack=setting),
        lambda: Equality.of(left, right, margin=setting),
        lambda: Equality.of(left, right, margin=0.1, effect=setting),
        lambda: Identity.of(left, right, tolerance=setting),
        lambda: Identity.of(left, right, tolerance=0.1, effect=setting),
        lambda: Rate.of(sweep, [sweep, sweep], expected=setting, margin=0.1),
        lambda: Rate.of(sweep, [sweep, sweep], expected=1.0, margin=setting),
        lambda: WorstRatio(attempts=1, ratio=2.0, limit=setting),
        lambda: WorstRatio(attempts=1, ratio=2.0, slack=setting),
    ):
        with pytest.raises(ValueError, match=r"finite|must be a real number"):
            make()
    with pytest.raises(ValueError, match=r"margin = -0\.1 must be ≥ 0"):
        Rate.of(sweep, [sweep, sweep], expected=1.0, margin=-0.1)


@pytest.mark.parametrize("delta", [0.001, 0.05, 0.5])
def test_of_no_event_nothing_is_said(delta: float) -> None:
    none = Coverage.rare([], delta=delta)
    assert (none.p_against, none.p_in_favour, judge(none)) == (1.0, 1.0, I)
    assert none.key_figure.startswith("0 of 0 violate, rate ≤ 1 ")
    with pytest.raises(ValueError, match="delta"):
        Coverage.rare([], delta=0.0)
