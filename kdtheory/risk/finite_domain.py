"""A learner of a teacher's answers on a finite domain: hard, partial, soft (Zhao & Zhu 2023).

A teacher π gives answer a ∈ A on input s ∈ S with probability π(a|s). The learner sees n inputs from the law
ρ and one answer to each; with it the name of the answer alone ("hard"), the probability π(a|s) of that answer
too ("partial"), or all of π(·|s) ("soft"). Its error is the total variation under the input law,
Σ_s ρ(s)·½Σ_a |π̂(a|s) − π(a|s)|. Rates: √(|S||A|/n), |S||A|/n and |S|/n, each for the hardest ρ and π at
that n; the constants are derived here.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.doors import door
from kdtheory.types import at_least_float32, at_most_one, promoted
from kdtheory.validate import check_at_least, check_one_of, check_probs, check_weights

__all__ = [
    "FEEDBACK",
    "hidden_mass",
    "partial_label_limit",
    "total_variation",
    "total_variation_bound",
    "transferred",
]

FEEDBACK = ("hard", "partial", "soft")


@door
def transferred(
    counts: Int[Tensor, "*draws S A"], teacher: Float[Tensor, "S A"], /, *, feedback: str
) -> Float[Tensor, "*draws S A"]:
    """π̂: what the sample tells about π, and even shares of what it does not tell.

    Hard: the frequencies N_sa/N_s. Partial: π(a|s) where (s, a) was seen, and the rest of the mass in even
    shares over the answers not seen. Soft: π(·|s) where s was seen. An input never seen: 1/|A| each.

    Args:
        counts: N_sa, how often each answer was given to each input.
        teacher: π; only what the feedback shows of it is used.
        feedback: "hard", "partial" or "soft".

    Raises:
        ValueError: the feedback is not known, rows are no probabilities, counts are negative or do not fit.

    >>> seen, pi = torch.tensor([[2, 1, 0, 0]]), torch.tensor([[0.5, 0.1, 0.4, 0.0]])
    >>> [[round(p, 3) for p in transferred(seen, pi, feedback=f)[0].tolist()] for f in ("hard", "partial")]
    [[0.667, 0.333, 0.0, 0.0], [0.5, 0.1, 0.2, 0.2]]
    """
    check_one_of("feedback", feedback, FEEDBACK)
    check_probs("teacher", teacher)
    if bool((counts < 0).any()):
        raise ValueError(f"counts go down to {int(counts.min())}; give counts ≥ 0")
    (teacher,) = at_least_float32(teacher)
    visits = counts.sum(-1, keepdim=True)
    even = torch.full_like(teacher, 1 / teacher.shape[-1])
    if feedback == "hard":
        shares = counts.to(torch.float64) / visits.clamp_min(1)
        return torch.where(visits > 0, shares.to(teacher), even)
    if feedback == "soft":
        return torch.where(visits > 0, teacher, even)
    known = torch.where(counts > 0, teacher, 0.0)
    unseen = (counts == 0).sum(-1, keepdim=True).clamp_min(1)
    rest = (1 - known.sum(-1, keepdim=True)).clamp_min(0) / unseen
    return torch.where(counts > 0, teacher, rest.expand_as(known))


@door
def total_variation(
    estimate: Float[Tensor, "*draws S A"], teacher: Float[Tensor, "S A"], weights: Float[Tensor, "S"], /
) -> Float[Tensor, "*draws"]:
    """Σ_s ρ(s)·½Σ_a |π̂(a|s) − π(a|s)|, in [0, 1].

    Raises:
        ValueError: rows are no probabilities, the weights are no law, or their numbers differ.

    >>> total_variation(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]]), torch.ones(1))
    tensor(0.5000)
    """
    check_probs("estimate", estimate)
    check_probs("teacher", teacher)
    check_weights("weights", weights)
    estimate, teacher, weights = promoted(*at_least_float32(estimate, teacher, weights))
    return at_most_one(((estimate - teacher).abs().sum(-1) / 2) @ weights)


@door
def hidden_mass(
    weights: Float[Tensor, "S"], teacher: Float[Tensor, "S A"], /, *, n: int, feedback: str
) -> float:
    """The expected mass of what n draws never show: Σ ρ(s)(1 − ρ(s))ⁿ of inputs, Σ m_sa(1 − m_sa)ⁿ of pairs.

    m_sa = ρ(s)π(a|s). Inputs for soft feedback, pairs for partial; each is at least the expected total
    variation of `transferred`, and at most |S|/(e n) and |S||A|/(e n), since m(1 − m)ⁿ ≤ 1/(e n).

    Args:
        weights: ρ.
        teacher: π.
        n: the number of draws.
        feedback: "partial" or "soft".

    Raises:
        ValueError: n < 1, hard feedback (which shows the probability of nothing), no probabilities, or not
            a weight for each row.

    >>> hidden_mass(torch.tensor([0.5, 0.5]), torch.eye(2), n=2, feedback="soft")
    0.25
    """
    check_one_of("feedback", feedback, FEEDBACK[1:])
    check_at_least("n", n, 1)
    check_weights("weights", weights)
    check_probs("teacher", teacher)
    weights, teacher = weights.double(), teacher.double()
    mass = weights if feedback == "soft" else weights[:, None] * teacher
    hidden = (
        mass * (float(n) * torch.log1p(-mass.clamp(max=1))).exp()
    )  # 1 − m in full: n may be large and m small
    return float(hidden.detach().sum())


@door
def total_variation_bound(*, inputs: int, answers: int, n: int, feedback: str) -> float:
    """E TV ≤ √(|S|(|A|−1)/2n) + |S|/(e n) for hard, |S||A|/(e n) for partial and |S|/(e n) for soft labels.

    The rates are Zhao & Zhu (2023); constants derived here. Hard: given N_s visits, ½E Σ_a|π̂ − π| ≤
    ½√((|A|−1)/N_s), E[1/N_s; N_s > 0] ≤ 2/((n+1)ρ(s)), and Cauchy–Schwarz over s; inputs never seen as for
    soft. Says nothing where it is ≥ 1.

    Raises:
        ValueError: a count is below 1, or the feedback is not known.

    >>> total_variation_bound(inputs=10, answers=4, n=100, feedback="soft") * math.e
    0.1
    """
    check_one_of("feedback", feedback, FEEDBACK)
    for name, value in (("inputs", inputs), ("answers", answers), ("n", n)):
        check_at_least(name, value, 1)
    if feedback == "partial":
        return inputs * answers / (math.e * n)
    unseen = inputs / (math.e * n)
    return unseen if feedback == "soft" else math.sqrt(inputs * (answers - 1) / (2 * n)) + unseen


@door
def partial_label_limit(probs: Float[Tensor, "*batch k"], /) -> Float[Tensor, "*batch k"]:
    """π²/Σπ², the minimiser of E_{a~π}[−π(a) ln q(a)]: cross-entropy on partial labels sharpens its teacher.

    A learner that puts the probability of the sampled answer into the cross-entropy weighs each answer by π
    twice, once by sampling it and once as its target (Zhao & Zhu 2023); it does not converge to π unless π is
    even over its support.

    Raises:
        ValueError: rows are no probabilities.

    >>> partial_label_limit(torch.tensor([0.75, 0.25]))
    tensor([0.9000, 0.1000])
    """
    check_probs("probs", probs)
    squares = at_least_float32(probs)[0].square()
    return squares / squares.sum(-1, keepdim=True)
