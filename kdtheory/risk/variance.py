"""Variance of one-hot and of Bayes-distilled risk at a fixed predictor (Menon et al., 2021, Lemma 1), exact.

By the law of total variance, with v(x) = Var_{y ~ p*(x)} ℓ(f(x))_y,

    Var R̂ = (1/N) Var ℓ(f(x))_y = (1/N) E_x v(x) + (1/N) Var_x[p*(x)ᵀℓ(f(x))] = (1/N) E_x v(x) + Var R̂_*.

So the gap is the label noise alone. It is zero iff ℓ(f(x)) is constant on the support of p*(x) for almost
every x. "Fixed" means independent of the sample: for an f fitted to the same points neither side is the
variance of its empirical risk. A finite world has atoms x with masses `weights`; leading axes broadcast.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.risk._doors import check_world
from kdtheory.types import at_least_float32
from kdtheory.validate import check_at_least

__all__ = ["distilled_variance", "label_noise_variance", "one_hot_variance"]


@door
def one_hot_variance(
    losses: Float[Tensor, "*#batch s k"],
    probs: Float[Tensor, "*#batch s k"],
    weights: Float[Tensor, "*#batch s"],
    /,
    *,
    n: int,
) -> Float[Tensor, "*batch"]:
    """Var R̂(f) = (1/N) Var_{x,y} ℓ(f(x))_y for N independent draws.

    Args:
        losses: ℓ(f(x))_y on the atoms, f independent of the draws.
        probs: p*(x).
        weights: the mass of each atom.
        n: N, the size of the sample.

    Raises:
        ValueError: N < 1, a loss is not finite, or `probs`, `weights` are no probabilities of fitting size.

    >>> import torch
    >>> losses, probs = torch.tensor([[0.0, 2.0]]), torch.tensor([[0.5, 0.5]])
    >>> one_hot_variance(losses, probs, torch.ones(1), n=4)
    tensor(0.2500)
    """
    check_at_least("n", n, 1)
    check_world(losses, probs, weights)
    losses, probs, weights = at_least_float32(losses, probs, weights)
    risk = (weights * (probs * losses).sum(-1)).sum(-1)
    squares = (probs * (losses - risk[..., None, None]).square()).sum(-1)
    return (weights * squares).sum(-1) / n


@door
def distilled_variance(
    losses: Float[Tensor, "*#batch s k"],
    teacher_probs: Float[Tensor, "*#batch s k"],
    weights: Float[Tensor, "*#batch s"],
    /,
    *,
    n: int,
) -> Float[Tensor, "*batch"]:
    """Var R̃(f) = (1/N) Var_x[p^t(x)ᵀℓ(f(x))] for N independent draws; Var R̂_* when p^t = p*.

    Args:
        losses: ℓ(f(x))_y on the atoms, f independent of the draws.
        teacher_probs: p^t(x), a teacher independent of the draws.
        weights: the mass of each atom.
        n: N, the size of the sample.

    Raises:
        ValueError: N < 1, a loss is not finite, or `teacher_probs`, `weights` are no probabilities of fitting
            size.

    >>> import torch
    >>> losses, probs = torch.tensor([[0.0, 2.0], [0.0, 6.0]]), torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    >>> distilled_variance(losses, probs, torch.tensor([0.5, 0.5]), n=4)
    tensor(0.2500)
    """
    check_at_least("n", n, 1)
    check_world(losses, teacher_probs, weights, name="teacher_probs")
    losses, teacher_probs, weights = at_least_float32(losses, teacher_probs, weights)
    values = (teacher_probs * losses).sum(-1)
    mean = (weights * values).sum(-1, keepdim=True)
    return (weights * (values - mean).square()).sum(-1) / n


@door
def label_noise_variance(
    losses: Float[Tensor, "*#batch s k"],
    probs: Float[Tensor, "*#batch s k"],
    weights: Float[Tensor, "*#batch s"],
    /,
    *,
    n: int,
) -> Float[Tensor, "*batch"]:
    """(1/N) E_x Var_{y|x} ℓ(f(x))_y, the part of Var R̂(f) that Bayes labels remove.

    Menon et al. (2021), Lemma 1: it equals `one_hot_variance` − `distilled_variance` at p^t = p*, and is ≥ 0.

    Args:
        losses: ℓ(f(x))_y on the atoms, f independent of the draws.
        probs: p*(x).
        weights: the mass of each atom.
        n: N, the size of the sample.

    Raises:
        ValueError: N < 1, a loss is not finite, or `probs`, `weights` are no probabilities of fitting size.

    >>> import torch
    >>> losses, probs = torch.tensor([[0.0, 2.0], [0.0, 6.0]]), torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    >>> label_noise_variance(losses, probs, torch.tensor([0.5, 0.5]), n=4)  # (1/4) · (1/2) · 1
    tensor(0.1250)
    """
    check_at_least("n", n, 1)
    check_world(losses, probs, weights)
    losses, probs, weights = at_least_float32(losses, probs, weights)
    mean = (probs * losses).sum(-1, keepdim=True)
    noise = (probs * (losses - mean).square()).sum(-1)
    return (weights * noise).sum(-1) / n
