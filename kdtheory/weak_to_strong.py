"""The gain of distilling a head on frozen features, by Pythagoras: the misfit of student and teacher.

A softmax-linear student q_W(x) = softmax(Wᵀ(φ(x), 1)) that minimises the mean forward divergence from a
teacher p at T = 1 ends at S with Σ_x (p − S)(x)·(φ(x), 1) = 0. So for *every* q of that family, on the
sample,

    KL(p‖q) = KL(p‖S) + KL(S‖q)   (means over the sample, exactly; derived here).

Where the truth q* is one of them, the student is nearer to it than its teacher by exactly the misfit KL(p‖S),
which needs no label. For squares on a convex class, E(f_sw−f*)² ≤ E(f_w−f*)² − E(f_sw−f_w)², with equality on
a subspace (Charikar, Pabbaraju, Shiragur 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float
from scipy import optimize, special
from torch import Tensor

from kdtheory.doors import door
from kdtheory.losses import kl_divergence
from kdtheory.types import promoted
from kdtheory.validate import check_finite, check_probs

__all__ = ["distilled_head", "head_logits", "misfits"]

_STATIONARY = 1e-9
_STEPS = 200
_RANK = 1e-15
_LARGEST = 1e30


@door
def head_logits(head: Float[Tensor, "d1 k"], features: Float[Tensor, "n d"], /) -> Float[Tensor, "n k"]:
    """(φ(x), 1)·W, the logits of a head whose last row is the bias.

    Raises:
        ValueError: the head has not one row for each feature, and one more.
    """
    if len(head) != features.shape[1] + 1:
        raise ValueError(
            f"head has shape {tuple(head.shape)} for {features.shape[1]} features; give a row for each, and "
            "one for the bias"
        )
    head, features = promoted(head, features)
    return features @ head[:-1] + head[-1]


@door
def distilled_head(
    features: Float[Tensor, "n d"], teacher_probs: Float[Tensor, "n k"], /
) -> Float[Tensor, "d1 k"]:
    """The softmax-linear head that is nearest to the teacher: the minimum of the mean KL(p‖softmax(Wᵀφ)).

    Found by a trust-region Newton method with the exact Hessian; the last class has weights 0, which fixes
    what the softmax leaves free.

    Args:
        features: φ(x) on the sample.
        teacher_probs: p(x), every entry > 0: else there is no minimum.

    Returns:
        W, float64: d rows of weights and one of biases.

    Raises:
        ValueError: not finite, no probabilities, an entry of 0, a sample of another size, or a mean gradient
            above 10⁻⁹ at the end, as with features that separate a teacher that is nearly certain.

    >>> coin = torch.tensor([[0.25, 0.75], [0.75, 0.25]])
    >>> head = distilled_head(torch.tensor([[1.0], [-1.0]]), coin)
    >>> head_logits(head, torch.tensor([[1.0]])).softmax(-1)
    tensor([[0.2500, 0.7500]], dtype=torch.float64)
    """
    check_finite("features", features)
    check_probs("teacher_probs", teacher_probs)
    if features.ndim != 2 or len(features) != len(teacher_probs):
        raise ValueError(
            f"features has shape {tuple(features.shape)} and teacher_probs {tuple(teacher_probs.shape)}; "
            "give n × d and n × k"
        )
    if not bool((teacher_probs > 0).all()):
        raise ValueError("teacher_probs has an entry of 0, which no head reaches; soften the teacher")
    if (largest := float(features.detach().abs().max())) > _LARGEST:
        raise ValueError(f"features go up to {largest:.3g}, whose squares overflow; scale them")
    design = np.c_[features.detach().cpu().double().numpy(), np.ones(len(features))]
    wanted = teacher_probs.detach().cpu().double().numpy()
    wanted = wanted / wanted.sum(1, keepdims=True)
    shape = design.shape[1], wanted.shape[1] - 1

    def log_probs(flat: np.ndarray) -> np.ndarray:
        logits = np.c_[design @ flat.reshape(shape), np.zeros(len(design))]
        logs: np.ndarray = special.log_softmax(logits, axis=1)
        return logs

    def probs(flat: np.ndarray) -> np.ndarray:
        laws: np.ndarray = np.exp(log_probs(flat))
        return laws

    def loss(flat: np.ndarray) -> float:
        return float((wanted * (np.log(wanted) - log_probs(flat))).sum(1).mean())

    def gradient(flat: np.ndarray) -> np.ndarray:
        slopes: np.ndarray = design.T @ (probs(flat) - wanted)[:, :-1] / len(design)
        return slopes.ravel()

    def hessian(flat: np.ndarray) -> np.ndarray:
        q = probs(flat)[:, :-1]
        curvature = q[:, :, None] * (np.eye(shape[1]) - q[:, None, :])
        weighed = design[:, :, None, None] * curvature[:, None]
        full: np.ndarray = (design.T @ weighed.reshape(len(design), -1)).reshape(shape[0], *weighed.shape[1:])
        return full.transpose(1, 2, 0, 3).reshape(flat.size, flat.size) / len(design)

    found = optimize.minimize(
        loss, np.zeros(shape[0] * shape[1]), jac=gradient, hess=hessian, method="trust-exact",
        options={"gtol": _STATIONARY / 10, "maxiter": 500},
    )  # fmt: skip
    flat = _polished(found.x, design, gradient, hessian)
    if (left := float(np.abs(gradient(flat)).max())) > _STATIONARY:
        raise ValueError(
            f"teacher_probs: no head is stationary to 1e-9 (gradient {left:.1e}); soften the teacher, give "
            "more points than features, or scale features that are far from 1"
        )
    return torch.from_numpy(np.c_[flat.reshape(shape), np.zeros(shape[0])]).to(features.device)


@door
def misfits(
    features: Float[Tensor, "n d"], teachers: Mapping[str, Float[Tensor, "n k"]], /
) -> dict[str, float]:
    """KL(teacher‖best head) on the sample for each teacher: what distilling it into a head gains.

    If the truth is a head on these features, the student's divergence from it is its teacher's minus this
    number. A teacher with misfit 0 is a head itself, and passes on its errors whole.

    Args:
        features: of the frozen network on unlabelled points.
        teachers: name ↦ class-probabilities on the same points.

    Raises:
        ValueError: no teacher, or as `distilled_head`.
    """
    if not teachers:
        raise ValueError("teachers is empty; give at least one")
    features = features.detach()
    return {
        name: float(
            kl_divergence(
                head_logits(distilled_head(features, probs), features), probs.detach().double().log()
            ).mean()
        )
        for name, probs in teachers.items()
    }


def _polished(
    flat: np.ndarray,
    design: np.ndarray,
    gradient: Callable[[np.ndarray], np.ndarray],
    hessian: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Newton steps that change no logit by more than one, as long as the gradient falls.

    Near the minimum they double the digits. Where a teacher is nearly certain the minimum is far out, and the
    gradient falls like e^{−logit}: a whole step would leave what the Hessian says.
    """
    left = gradient(flat)
    for _ in range(_STEPS):
        step = np.linalg.lstsq(hessian(flat), left, rcond=_RANK)[0]
        moved = np.abs(design @ step.reshape(design.shape[1], -1)).max()
        nearer = flat - step / max(1.0, moved)
        slopes = gradient(nearer)
        if not np.abs(slopes).max() < np.abs(left).max():
            break
        flat, left = nearer, slopes
    return flat
