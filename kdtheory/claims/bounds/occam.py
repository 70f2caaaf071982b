"""Chapter 5.8: one certificate for all classifiers that a code can name."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from kdtheory.bounds.occam import occam_log_delta
from kdtheory.claims.bounds.holdout import wald_limits
from kdtheory.claims.bounds.wrong import kl_inverse_at
from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence, Joint, WorstRatio
from kdtheory.experiments.bounds.enumeration import log_any, log_misses
from kdtheory.inversion import binomial_upper_limits, kl_upper_inverse

DELTA = 0.05
DRAWN = "The points are independent draws from one law."


def _bits_forgotten(_bits: float, /, *, delta: float) -> float:
    return math.log(delta)


def _digits_for_bits(bits: float, /, *, delta: float) -> float:
    return math.log(delta) - bits * math.log10(2)


def _charged(share: float, *, delta_power: float = 1.0) -> Callable[..., float]:
    """ln(δ·2^{−b}) with a share of the bits, and δ to a power."""

    def wrong(bits: float, /, *, delta: float, _true: Callable[..., float] = occam_log_delta) -> float:
        return _true(share * bits, delta=delta**delta_power)

    return wrong


@claim(
    section="5.8",
    formula=r"\Pr\Bigl[\forall g:\ e(g) \le"
    r" \sup\{q : P[\mathrm{Bin}(n,q) \le n\hat e(g)] \ge \delta 2^{-b(g)}\}\Bigr] \ge 1-\delta,"
    r"\qquad e(g) \le \mathrm{kl}^{-1}\Bigl(\hat e(g), \tfrac{b(g)\ln 2 + \ln 1/\delta}{n}\Bigr)",
    source="langford2005tutorial",
    assumes=(DRAWN, "The code was fixed before the points were drawn."),
    control=Control("the code was made after the points were seen", code="made afterwards"),
    uses=(occam_log_delta, binomial_upper_limits, kl_upper_inverse),
    mutants=(
        Mutant("b ln 2 is forgotten", occam_log_delta, _bits_forgotten),
        Mutant("b log₁₀ 2 for b ln 2", occam_log_delta, _digits_for_bits),
        Mutant("the normal approximation", binomial_upper_limits, wald_limits),
        Mutant("0.9 b", occam_log_delta, _charged(0.9)),
        Mutant("0.9 ln(1/δ)", occam_log_delta, _charged(1.0, delta_power=0.9)),
        Mutant("0.9 of the kl level", kl_upper_inverse, kl_inverse_at(0.9)),
    ),
    power=Scaled(occam_log_delta),
)
def occam_limits_cover_all_coded_classifiers(
    setting: Setting, /, *, code: str = "fixed beforehand"
) -> Evidence:
    """With probability at least 1 − δ the Occam limit holds for all classifiers of a prefix code at once, so
    for the one that looks best on the points too; and with many independent classifiers the union loses next
    to nothing: either limit, by its worst risk, is missed with probability at least 0.9 δ.

    1,024 random labellings of 64 inputs, labels by a fair coin, so that every risk is ½; n = 32, δ = 0.05; a
    code of 10 bits for each and Elias's gamma code of its number. The tightness is computed: for 1,024
    independent classifiers of one risk just above a limit. A code made afterwards names the best in no bits.
    """
    draws, size, n = setting.size(quick=6000, full=20_000), 1024, 32
    generator = setting.stream.child("draws").torch()
    classes = torch.randint(0, 2, (size, 64), generator=generator).double() * 2 - 1
    atoms = torch.randint(0, 64, (draws, n), generator=generator)
    signs = torch.randint(0, 2, (draws, n), generator=generator).double() * 2 - 1
    margins = torch.zeros(draws, 64, dtype=torch.float64).scatter_add_(1, atoms, signs) @ classes.T
    errors = ((n - margins) / 2).numpy()
    gamma = 2 * np.floor(np.log2(np.arange(1, size + 1))) + 1
    parts: dict[str, Evidence] = {}
    for name, bits in (("10 bits each", np.full(size, 10.0)), ("gamma code", gamma)):
        charged = bits if code == "fixed beforehand" else np.zeros(size)
        levels = np.array([occam_log_delta(b, delta=DELTA) for b in charged])
        count, level = _least_limit(errors, levels, n)
        half = np.full(draws, 0.5)
        exact = binomial_upper_limits(count, n, log_delta=level)
        parts[f"{name}, exact"] = Coverage.of(half, exact, delta=DELTA)
        parts[f"{name}, kl"] = Coverage.of(half, kl_upper_inverse(count / n, -level / n), delta=DELTA)
    one = occam_log_delta(10.0 if code == "fixed beforehand" else 0.0, delta=DELTA)
    counts = np.arange(n // 2)
    tight = {
        "exact": binomial_upper_limits(counts, n, log_delta=one),
        "kl": kl_upper_inverse(counts / n, -one / n),
    }
    for name, limit in tight.items():
        missed = math.exp(float(log_any(log_misses(limit, counts, n).max(), math.log(size))))
        parts[f"tight, {name}"] = WorstRatio(attempts=len(counts), ratio=missed / DELTA, must_reach=0.9)
    return Joint(parts=parts)


def _least_limit(errors: np.ndarray, levels: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """For each draw, count and ln(δ·2^{−b}) of the classifier whose kl limit is the least."""
    counts, places = np.arange(n + 1), {level: index for index, level in enumerate(np.unique(levels))}
    table = np.stack([kl_upper_inverse(counts / n, -level / n) for level in places])
    row = np.array([places[level] for level in levels])
    best = table[row, errors.round().astype(int)].argmin(-1)
    return errors[np.arange(len(errors)), best], levels[best]
