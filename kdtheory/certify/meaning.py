"""The meaning of lines in words, what is known by the best of them, and what would make it shorter."""

from __future__ import annotations

from collections.abc import Mapping

from kdtheory.answers import confidence, percent
from kdtheory.bounds import Bound
from kdtheory.bounds.product import fisher32_log_level, product_upper_limit
from kdtheory.bounds.tails import RiskTail
from kdtheory.bounds.two_samples import sum_upper_limit

__all__ = ["MEANINGS", "in_words", "known", "least_by_a_witness", "shorter"]

_TIMES = 4
_MET = {"fixed": True}
_TWO_SAMPLES = ("joint_disagreement_transfer", "product_disagreement_transfer(holdout)")
_PLUS = "plus how often the teacher differs from it on unlabelled points"
MEANINGS = {
    "holdout": "its errors on points that it had not seen, by the exact binomial limit",
    "holdout_kl": "its errors on points that it had not seen, by Chernoff's bound",
    "holdout_hoeffding": "its errors on points that it had not seen, by Hoeffding's inequality",
    "holdout_bernstein": "its errors on points that it had not seen, by the empirical Bernstein inequality",
    "student_holdout": f"the student's errors on points that it had not seen, {_PLUS}",
    "student_coded": f"the student, written down in bits and tested on its own training points, {_PLUS}",
    "witness_holdout": "the errors of networks trained for the purpose (their mean logits), on labels kept "
    f"from them, {_PLUS}",
    "witness_drawn": f"the same for one of these networks, drawn at random, {_PLUS}",
    "witness_coded": f"a network that copies the teacher, written down in bits, on labels, {_PLUS}",
    "witness_stochastic": f"networks drawn at random around one that copies the teacher, on labels, {_PLUS}",
    "distillation": "how unsure the student is of the labels, plus how far its probabilities are from the "
    "teacher's",
    "distillation_by_margins": "how often the student is unsure of the label, plus how far its margins are "
    "from the teacher's",
    "frobenius_norms": "its errors and narrow margins on its training points, and the Frobenius norms of its "
    "layers",
    "spectral_norms": "its errors and narrow margins on its training points, and the spectral norms of its "
    "layers",
    "vc_dimension": "its errors on its training points, and how many ways networks of its widths can answer",
    "as_printed": "the distillation bound as the lecture notes print it, which has no proof",
    "training_error": "its errors on points that it learned from, counted as if it had not",
    "disagreement": "how often it differs from networks trained like it, taken for its error",
    "shipped_witness": "another network, to ship in its stead: the witnesses' mean logits, by labels kept "
    "from them",
    "shipped_distilled": "another network, to ship in its stead: one that copies the witnesses, by the same "
    "labels",
}
"""Line ↦ what is counted."""


def in_words(line: str, bound: Bound, /) -> str:
    """The meaning of a line, and that it is no certificate, or says nothing."""
    if not bound.certificate:
        unmet = "; ".join(sentence for sentence, met in bound.assumptions.items() if not met)
        return f"{MEANINGS[line]}. A heuristic: it is not so that {unmet}"
    return f"{MEANINGS[line]}{'. It says nothing' if bound.vacuous else ''}"


def known(line: str, bound: Bound, delta: float, /) -> str:
    """The sentence of a certificate that says something, at the δ of all."""
    limit = f"is at most {percent(bound.value)} with {confidence(delta)} confidence"
    counted = {name: int(bound.quantities.get(name, 0)) for name in ("points", "errors", "unlabelled points")}
    n, errors, others = counted.values()
    if line.startswith("holdout"):
        wrong = round(bound.terms["empirical risk"] * n)
        return f"of {n:,} points that it had not seen {wrong:,} were classified wrongly; its error {limit}"
    if line in ("student_holdout", "witness_holdout") and "errors" in bound.quantities and others:
        who = {"student_holdout": "its student", "witness_holdout": "a witness trained for it"}[line]
        apart = round(bound.terms["disagreement"] * others)
        return (
            f"{who} classified {errors:,} of {n:,} points wrongly that it had not seen, and it differs from "
            f"that one at {apart:,} of {others:,} unlabelled points; its error {limit}"
        )
    return f"its error {limit}, by {MEANINGS[line]}"


def shorter(line: str, bound: Bound, /) -> tuple[str, ...]:
    """The gain of more points of each kind in this line, the shares that were seen being as they are.

    By the bound's own formula at its own share of δ: the numbers are computed. That more labels make better
    networks, too, is left out.
    """
    if bound.name in _TWO_SAMPLES and bound.quantities["witnesses"] == 1 and "errors" in bound.quantities:
        return _of_two(bound)
    counts = bound.quantities
    size = int(counts.get("unlabelled points", counts.get("points", counts.get("n", 0))))
    if bound.value_at is None or not size:
        return ()
    kind = "unlabelled points" if "unlabelled points" in counts else "such points"
    also = ", and of unlabelled ones in proportion" if "m" in counts else ""
    limit = percent(bound.value_at(_TIMES * size))
    told = (f"{_TIMES * size:,} {kind} instead of {size:,}{also}, all shares as they are: at most {limit}",)
    if not line.startswith("holdout"):
        return told
    return (*told, f"however many: not below the {percent(bound.terms['empirical risk'])} that were wrong")


def _of_two(bound: Bound) -> tuple[str, ...]:
    """More labels, more unlabelled points, and both, of a limit that two samples share."""
    n, k, m = (int(bound.quantities[name]) for name in ("points", "errors", "unlabelled points"))
    apart = round(bound.terms["disagreement"] * m)
    times = ((_TIMES, 1), (1, _TIMES), (_TIMES, _TIMES))
    limits = [_two_limit(bound, (a * k, a * n), (b * apart, b * m)) for a, b in times]
    kinds = (
        f"{_TIMES * n:,} labels kept for testing instead of {n:,}",
        f"{_TIMES * m:,} unlabelled points instead of {m:,}",
        "both",
    )
    told = [f"{kind}: at most {percent(limit)}" for kind, limit in zip(kinds, limits, strict=True)]
    seen = f"however many of both: not below {percent(k / n + apart / m)}"
    return (*told, f"{seen}, the wrong and the differing that were seen")


def _two_limit(bound: Bound, first: tuple[int, int], second: tuple[int, int]) -> float:
    if bound.name.startswith("joint"):
        return sum_upper_limit(*first, *second, delta=bound.delta)
    tails = [RiskTail("points", k / n, n, True, _MET) for k, n in (first, second)]
    return product_upper_limit(*tails, log_level=fisher32_log_level(bound.delta))


def least_by_a_witness(points: Mapping[str, int], /, *, delta: float, held_out: float) -> float:
    """The best that a hold-out witness can give: it errs on no label kept from it, and differs nowhere.

    At all of δ, so that no line of `certify` on as many points is below it.

    Args:
        points: of the roles train and unlabelled.
        delta: δ of all.
        held_out: the share of labels kept.
    """
    kept = max(1, round(held_out * points["train"]))
    tails = [RiskTail("points", 0.0, n, True, _MET) for n in (kept, points["unlabelled"])]
    return product_upper_limit(*tails, log_level=fisher32_log_level(delta))
