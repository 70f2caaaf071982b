"""The product of two p-values: coverage against whoever may look, by enumeration; slow rivals; bad input."""

from __future__ import annotations

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch
from adversaries import RISKS, chosen_message_failure, fixed_pair_failure, informed_predictor_failure
from scipy import optimize, stats

from kdtheory.bounds.product import fisher32_log_level, product_disagreement_transfer, product_upper_limit
from kdtheory.bounds.tails import RiskTail, coded_tail, holdout_tail, pac_bayes_tail
from kdtheory.bounds.two_samples import sum_upper_limit

SIZE, DELTA = 20, 0.05
SWORN = {"fixed_in_advance": True, "independent_draws": True}
AFTERWARDS = {"drawn_afterwards": True, "same_law": True}


def tail(k: int, n: int, bits: float = 0.0, *, exact: bool = True) -> RiskTail:
    return RiskTail("it", k / n, n, exact, {"given": True}, excess=bits * math.log(2))


def table(n: int, m: int, bits: float = 0.0, *, exact: bool = True, delta: float = DELTA) -> np.ndarray:
    level = fisher32_log_level(delta)
    return np.array(
        [
            [
                product_upper_limit(tail(k, n, bits, exact=exact), tail(other, m), log_level=level)
                for other in range(m + 1)
            ]
            for k in range(n + 1)
        ]
    )


@pytest.fixture(scope="module")
def limits() -> np.ndarray:
    return table(SIZE, SIZE)


def test_valid_whatever_the_predictor_has_seen(limits: np.ndarray) -> None:
    failures = [informed_predictor_failure(limits, p) for p in RISKS]
    assert 0.02 < max(failures) <= DELTA


def test_the_independent_limit_is_not() -> None:
    counts = range(SIZE + 1)
    independent = np.array(
        [[sum_upper_limit(k, SIZE, other, SIZE, delta=DELTA) for other in counts] for k in counts]
    )
    assert max(informed_predictor_failure(independent, p) for p in RISKS) > 0.065
    for p, q in itertools.product(RISKS[::7], repeat=2):
        assert fixed_pair_failure(independent, p, q) <= DELTA


def test_valid_for_losses_between_zero_and_one_and_whatever_the_predictor_has_seen() -> None:
    # Losses of 0 and 1 are the worst case of Chernoff's tail.
    loose = table(9, 9, exact=False)
    assert max(informed_predictor_failure(loose, p) for p in RISKS[::3]) <= DELTA


def test_valid_for_whatever_message_is_sent() -> None:
    one = table(8, 8, bits=2)
    risks = [np.full(4, p) for p in RISKS[::6]] + [np.array([0.1, 0.2, 0.4, 0.7])]
    failures = [chosen_message_failure(np.stack([one] * 4), each) for each in risks]
    assert 0.005 < max(failures) <= DELTA
    unpaid = np.stack([table(8, 8)] * 4)
    assert max(chosen_message_failure(unpaid, each) for each in risks) > DELTA


@pytest.mark.parametrize("delta", [1e-300, 1e-12, 0.05, 0.5, 0.999])
def test_level_of_the_product_by_mpmath(delta: float) -> None:
    found = fisher32_log_level(delta)
    with mpmath.workdps(40):
        truth = mpmath.findroot(lambda x: mpmath.exp(-x) * (1 + x) - delta, -found)
        assert truth <= -mpmath.mpf(found) <= truth * (1 + mpmath.mpf("1e-11"))


def test_level_is_that_of_a_chi_square_with_four_degrees() -> None:
    assert stats.chi2.isf(0.05, 4) / 2 == pytest.approx(-fisher32_log_level(0.05), rel=1e-10)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (tail(3, 30), tail(2, 40)),
        (tail(0, 10), tail(0, 10)),
        (tail(10, 10), tail(3, 5)),
        (tail(4, 5), tail(5, 5)),
        (tail(110, 6000, 5), tail(163, 10_000)),
        (tail(60, 6000, 60), tail(60, 10_000)),
        (tail(20, 200, exact=False), tail(9, 300)),
        (tail(0, 500, 40), tail(0, 500, exact=False)),
        (tail(10**4, 10**5), tail(1, 10)),
        (tail(139, 140), tail(0, 13, exact=False)),  # the edge is steep near one end
        (tail(1, 102, 0.3), tail(2763, 2764)),
    ],
)
@pytest.mark.parametrize("delta", [1e-12, 0.05, 0.4])
def test_limit_is_just_above_the_largest_sum(first: RiskTail, second: RiskTail, delta: float) -> None:
    """Against the p-values themselves, summed by scipy, on a grid of p and the root q of each."""
    level = fisher32_log_level(delta)

    def log_tail(of: RiskTail, p: float) -> float:
        if of.exact:
            value = (
                float(stats.binom.logcdf(of.events, of.points, p))
                if p < 1
                else (0.0 if of.events == of.points else -np.inf)
            )
        else:
            x = of.mean
            value = (
                0.0
                if p <= x
                else -of.points
                * float(
                    (x * math.log(x / p) if x else 0)
                    + ((1 - x) * math.log((1 - x) / (1 - p)) if p < 1 else np.inf)
                )
            )
        return min(0.0, value + of.excess)

    def total(p: float) -> float:
        left = level - log_tail(first, p)
        if left > 0:
            return 0.0
        if log_tail(second, 1 - 1e-15) >= left:
            return p + 1
        return p + optimize.brentq(lambda q: log_tail(second, q) - left, 0, 1 - 1e-15, xtol=1e-14)

    edge = float(first.limits(level))
    grid = np.linspace(0, edge, 200)
    best = grid[int(np.argmax([total(p) for p in grid]))]
    width = edge / 200
    truth = max(
        -optimize.minimize_scalar(
            lambda p: -total(p),
            bounds=(max(best - width, 0), min(best + width, 1)),
            method="bounded",
            options={"xatol": 1e-12},
        ).fun,
        total(best),
    )
    found = product_upper_limit(first, second, log_level=level)
    assert truth * (1 - 1e-9) <= found <= truth + 0.003 * (truth - first.mean - second.mean) + 1e-6


def test_figures_of_real_sizes() -> None:
    level = fisher32_log_level(1 / 160)
    assert product_upper_limit(tail(110, 6000, 5), tail(163, 10_000), log_level=level) == pytest.approx(
        0.0433, abs=1e-4
    )
    assert product_upper_limit(tail(60, 6000, 5), tail(60, 10_000), log_level=level) == pytest.approx(
        0.0224, abs=1e-4
    )


def test_records_and_kinds_of_witnesses() -> None:
    wrong, apart = torch.arange(500) < 20, torch.arange(1000) < 30
    plain = product_disagreement_transfer(holdout_tail(wrong, **SWORN), apart, delta=DELTA, **AFTERWARDS)
    coded = product_disagreement_transfer(
        coded_tail(wrong, bits=40, coded_beforehand=True, independent_draws=True),
        apart,
        delta=DELTA,
        **AFTERWARDS,
    )
    drawn = pac_bayes_tail(
        wrong.expand(4, -1).double(), divergence=3.0, delta_sampling=0.005, prior_fixed=True,
        fresh_draws=True, independent_draws=True, priors=8,
    )  # fmt: skip
    stochastic = product_disagreement_transfer(drawn, apart, delta=DELTA, **AFTERWARDS)
    assert list(plain.terms) == ["empirical risk", "disagreement", "joint radius"]
    assert list(coded.terms) == [*plain.terms, "code length"]
    assert list(stochastic.terms) == [
        "sampled Gibbs risk",
        "sampling of g",
        "disagreement",
        "joint radius",
        "divergence",
    ]
    for bound in (plain, coded, stochastic):
        assert sum(bound.terms.values()) == pytest.approx(bound.value, rel=1e-12)
        assert bound.certificate
        assert bound.delta == DELTA
        assert bound.quantities["unlabelled points"] == 1000
    assert plain.value < min(coded.value, stochastic.value) < 1
    assert coded.terms["empirical risk"] + coded.terms["disagreement"] + coded.terms[
        "joint radius"
    ] == pytest.approx(plain.value)


def test_what_the_witness_has_spent_is_taken_from_delta() -> None:
    apart = torch.arange(1000) < 30
    spent = RiskTail("it", 0.05, 500, False, {"given": True}, spent=0.02)
    free = RiskTail("it", 0.05, 500, False, {"given": True})
    costly = product_disagreement_transfer(spent, apart, delta=0.05, **AFTERWARDS)
    cheap = product_disagreement_transfer(free, apart, delta=0.03, **AFTERWARDS)
    assert costly.value == cheap.value
    assert costly.delta == 0.05
    with pytest.raises(ValueError, match="the witness has spent"):
        product_disagreement_transfer(spent, apart, delta=0.02, **AFTERWARDS)


def test_needed_number_of_unlabelled_points() -> None:
    witness = holdout_tail(torch.arange(200) < 120, **SWORN)
    bound = product_disagreement_transfer(witness, torch.arange(8) < 2, delta=0.05, **AFTERWARDS)
    assert bound.vacuous
    assert bound.needed is not None
    assert bound.value_at(bound.needed) < 1 <= bound.value_at(bound.needed - 1)


def test_no_word_is_taken_for_granted(unchecked_shapes) -> None:
    zeros = torch.zeros(50)
    for word in ("drawn_afterwards", "same_law"):
        words = {**AFTERWARDS, word: False}
        bound = product_disagreement_transfer(holdout_tail(zeros, **SWORN), zeros, delta=DELTA, **words)
        assert bound.kind == "heuristic"
        with pytest.raises(ValueError, match=f"{word} = 'no'"):
            product_disagreement_transfer(
                holdout_tail(zeros, **SWORN), zeros, delta=DELTA, **{**AFTERWARDS, word: "no"}
            )
    for word in SWORN:
        witness = holdout_tail(zeros, **{**SWORN, word: False})
        assert product_disagreement_transfer(witness, zeros, delta=DELTA, **AFTERWARDS).kind == "heuristic"


def test_tails_by_mpmath() -> None:
    for k, n, p in ((3, 30, 0.3), (0, 59, 0.05), (29, 30, 0.99), (3, 30, 0.02)):
        with mpmath.workdps(30):
            truth = mpmath.log(
                mpmath.fsum(
                    mpmath.binomial(n, j) * mpmath.mpf(p) ** j * (1 - mpmath.mpf(p)) ** (n - j)
                    for j in range(k + 1)
                )
            )
        assert float(truth) <= tail(k, n).log_at(p) <= float(truth) + 1e-11
        assert tail(k, n, bits=3).log_at(p) == pytest.approx(
            min(0, float(truth) + 3 * math.log(2)), abs=1e-11
        )


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: fisher32_log_level(1.0), "delta"),
        (lambda: product_upper_limit(tail(1, 5), tail(1, 5), log_level=0.0), "log_level"),
        (lambda: RiskTail("it", 1.5, 5, True, {"a": True}), "mean"),
        (lambda: RiskTail("it", 0.5, 0, True, {"a": True}), "points"),
        (lambda: RiskTail("it", 0.25, 10, True, {"a": True}), "no count of 10 points"),
        (lambda: RiskTail("it", 0.5, 5, True, {"a": True}, excess=math.nan), "excess"),
        (lambda: RiskTail("it", 0.5, 5, True, {"a": True}, spent=1.0), "spent"),
        (lambda: coded_tail(torch.zeros(5), bits=-1, coded_beforehand=True, independent_draws=True), "bits"),
        (lambda: tail(1, 5).log_at(1.5), "p = 1.5"),
    ],
)
def test_bad_input_is_named(call, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        call()
