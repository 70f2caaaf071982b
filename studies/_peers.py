"""The peers of `few_labels_beside_peers`: ppi-python, glide-py and statsmodels, in an environment of theirs.

Called as `python _peers.py DRAWS.npz LIMITS.npz`: upper limits at δ for each draw. A limit that a package
refuses to give is NaN.
"""

import sys
from importlib.util import find_spec

import numpy as np
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

draws = np.load(sys.argv[1])
delta = float(draws["delta"])


def points(alike, alone, both, n):
    """s ≠ y and s ≠ t at each labelled point, from the counts of the cells that are rare."""
    wrong, apart = np.zeros(n), np.zeros(n)
    wrong[:alike] = 1
    apart[alike : alike + alone] = 1
    wrong[alike + alone : alike + alone + both] = apart[alike + alone : alike + alone + both] = 1
    return wrong, apart


def powered(counts, far, n, others, limit):
    found = []
    for (alike, alone, both), k in zip(counts, far, strict=True):
        wrong, apart = points(alike, alone, both, n)
        try:
            found.append(limit(wrong, apart, np.arange(others) < k))
        except ValueError:
            found.append(np.nan)
    return np.array(found)


def ppi(tuned):
    from ppi_py import ppi_mean_ci

    def limit(wrong, apart, elsewhere):
        lam = None if tuned else 1.0
        ends = ppi_mean_ci(wrong, apart, elsewhere * 1.0, alpha=delta, alternative="smaller", lam=lam)
        return float(ends[1][0])

    return limit


def glide(wrong, apart, elsewhere):
    from glide.estimators import PPIMeanEstimator

    known = np.concatenate([wrong, np.full(len(elsewhere), np.nan)])
    proxy = np.concatenate([apart, elsewhere * 1.0])
    result = PPIMeanEstimator().estimate(known, proxy, confidence_level=1 - 2 * delta)
    return float(result.confidence_interval.upper_bound)


def score(lost, won, both, n):
    """Two independent samples, the pairing left aside; its search fails where counts are few and near."""
    try:
        ends = confint_proportions_2indep(
            lost + both, n, won + both, n, method="score", compare="diff", alpha=2 * delta, correction=False
        )
    except ValueError:
        return np.nan
    return float(ends[1])


def exact(lost, won, both, n):
    """The exact limit of the share of losses among the points where just one errs, times their share seen."""
    apart = lost + won
    most = proportion_confint(lost, apart, alpha=2 * delta, method="beta")[1] if apart else 1.0
    return (2 * most - 1) * apart / n


def there(name):
    return find_spec(name) is not None


def main():
    found = {}
    for world in range(int(draws["powered_worlds"])):
        counts, far = draws[f"powered{world}"], draws[f"far{world}"]
        n, others = (int(size) for size in draws[f"sizes{world}"])
        methods = {"ppi-python": ppi(False), "ppi-python, tuned": ppi(True)}
        if there("glide"):
            methods["glide-py"] = glide
        for name, limit in methods.items():
            found[f"powered{world} {name}"] = powered(counts, far, n, others, limit)
    for world in range(int(draws["paired_worlds"])):
        counts, n = draws[f"paired{world}"], int(draws[f"paired_size{world}"])
        for name, limit in (("statsmodels, score", score), ("statsmodels, exact", exact)):
            distinct, which = np.unique(counts, axis=0, return_inverse=True)
            limits = np.array([limit(*map(int, row), n) for row in distinct])
            found[f"paired{world} {name}"] = limits[which.reshape(-1)]
    np.savez(sys.argv[2], **found)


if __name__ == "__main__":
    main()
