"""Training of a linearised network, in closed form at any time.

Near its start θ_0 a wide network is the linear model f(x) = f_0(x) + J(x)·Δw, J(x) = ∂f(θ_0, x)/∂θ, with
kernel K(x, x′) = J(x)·J(x′) (Jacot, Gabriel, Hongler 2018; Lee et al. 2019). Gradient flow at rate η on the
squared loss ½Σ_i (f(x_i) − y_i)² moves the *vector* u of all training outputs,

    u(t) = y + e^{−ηHt}(u(0) − y),      f_t(x) = f_0(x) + k_xᵀ H⁻¹(I − e^{−ηHt})(y − u(0)),

H = K(X, X), k_x = K(X, x), Δw(t) = Σ_i a_i(t) J(x_i) with a(t) = H⁻¹(I − e^{−ηHt})(y − u(0)). The CS 541
notes write −H(t)(f(x_t) − y) for a single x_t, as if each output decayed on its own. (They also call the
kernel a map R^d → R^k: K maps R^d × R^d to R, and it is the feature map J that goes to a larger space.)
A mean over n points is the rate η/n; torch's `MSELoss`, which lacks the ½, the rate 2η/n.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.types import at_least_float32, promoted, recordable
from kdtheory.validate import check_at_least, check_finite, check_positive, check_same_shape

__all__ = ["LinearisedTraining", "linearised_training", "relative_deviation", "weight_change"]


@door
@dataclass(frozen=True, eq=False)
class LinearisedTraining:
    """A linearised network on its way from `initial` to `targets`; made by `linearised_training`.

    Args:
        eigenvalues: of H; those that are zero to rounding are exactly zero here.
        eigenvectors: of H, in columns.
        initial: u(0), the outputs on the training points before training.
        targets: y.
        rate: η.
        discrete: whether time counts steps of gradient descent instead.
    """

    eigenvalues: Float[Tensor, "n"]
    eigenvectors: Float[Tensor, "n n"]
    initial: Float[Tensor, "n *k"]
    targets: Float[Tensor, "n *k"]
    rate: float
    discrete: bool

    def outputs(self, time: float, /) -> Float[Tensor, "n *k"]:
        """u(t) on the training points; exactly u(0) at t = 0, and y at t = ∞ where H is not singular.

        Raises:
            ValueError: the time is negative or NaN, or a discrete one no number of steps.
        """
        if self._checked(time) == 0:
            return self.initial.clone()
        return self.targets + self._spectral(self._decay(time), self.initial - self.targets)

    def predict(
        self, cross: Float[Tensor, "m n"], initial: Float[Tensor, "m *k"], /, *, time: float
    ) -> Float[Tensor, "m *k"]:
        """f_t(x) = f_0(x) + k_xᵀa(t) on other points.

        Args:
            cross: K(x, X), one row for each point.
            initial: f_0(x), the outputs there before training.
            time: t, in units of the flow, or steps; `math.inf` is the end.

        Raises:
            ValueError: shapes do not fit, an entry is not finite, or the time is not as in `outputs`.
        """
        check_finite("cross", cross)
        check_finite("initial", initial)
        if initial.shape[1:] != self.targets.shape[1:] or cross.shape != (len(initial), len(self.targets)):
            raise ValueError(
                f"cross has shape {tuple(cross.shape)} and initial {tuple(initial.shape)}; give one row each "
                f"for every point, {len(self.targets)} columns and outputs {tuple(self.targets.shape[1:])}"
            )
        return initial + _rows(cross, self.coefficients(time))

    def coefficients(self, time: float, /) -> Float[Tensor, "n *k"]:
        """a(t) = H⁻¹(I − e^{−ηHt})(y − u(0)): the weights have moved by Δw(t) = Σ_i a_i(t) J(x_i).

        Nothing moves along an eigenvector of eigenvalue zero, on which no k_x has a component.

        Raises:
            ValueError: as `outputs`.
        """
        self._checked(time)
        positive = self.eigenvalues > 0
        safe = torch.where(positive, self.eigenvalues, 1.0)
        return self._spectral(torch.where(positive, self._progress(time) / safe, 0.0), self._gap)

    def squared_distance(self, time: float, /) -> Float[Tensor, "*k"]:
        """‖Δw(t)‖² = a(t)ᵀH a(t), how far the weights are from their start."""
        along = _rows(self.eigenvectors.mT, self.coefficients(time))
        return _rows(self.eigenvalues[None], along.square())[0]

    @property
    def _gap(self) -> Tensor:
        return self.targets - self.initial

    def _decay(self, time: float) -> Tensor:
        """e^{−ηλt} or (1 − ηλ)^t; 1 where λ = 0, also at t = ∞."""
        still = self.eigenvalues == 0
        if self.discrete and time < math.inf:
            decay = (1 - self.rate * self.eigenvalues) ** time
        else:
            exponent = torch.where(still, 0.0, self.rate * self.eigenvalues)
            decay = torch.where(
                still, 1.0, (-exponent.clamp_min(torch.finfo(exponent.dtype).tiny) * time).exp()
            )
        return decay

    def _progress(self, time: float) -> Tensor:
        """1 − decay, with all its digits where that is small."""
        small = self.rate * self.eigenvalues
        if not self.discrete or time == math.inf:
            return torch.where(small > 0, -torch.expm1(-small.clamp_min(1e-300) * time), 0.0)
        slow = small < 0.5
        return torch.where(
            slow, -torch.expm1(time * torch.log1p(-torch.where(slow, small, 0.0))), 1 - self._decay(time)
        )

    def _spectral(self, factor: Tensor, vector: Tensor) -> Tensor:
        """V diag(factor) Vᵀ vector."""
        along = _rows(self.eigenvectors.mT, vector)
        return _rows(self.eigenvectors * factor, along)

    def _checked(self, time: float) -> float:
        if not time >= 0:
            raise ValueError(f"time = {time} must be at least 0; math.inf is the end of training")
        if self.discrete and time < math.inf:
            check_at_least("time", time, 0)  # type: ignore[arg-type]
        if (
            self.discrete
            and time == math.inf
            and self.rate * (top := float(self.eigenvalues.detach().max())) >= 2
        ):
            limit = 2 / top
            raise ValueError(f"rate = {self.rate} diverges; gradient descent converges below {limit:.4g}")
        return time


@door
def linearised_training(
    gram: Float[Tensor, "n n"],
    targets: Float[Tensor, "n *k"],
    initial: Float[Tensor, "n *k"],
    /,
    *,
    rate: float = 1.0,
    discrete: bool = False,
) -> LinearisedTraining:
    """u(t) = y + e^{−ηHt}(u(0) − y): training of the linear model with kernel matrix H on the squared loss.

    One eigendecomposition serves every time. With several outputs each is trained with the same H (which is
    what infinitely wide networks do).

    Args:
        gram: H = K(X, X).
        targets: y.
        initial: u(0) = f_0(X).
        rate: η of the loss ½Σ(f − y)²; see the module for other losses.
        discrete: take steps of gradient descent, u_t = y + (I − ηH)^t(u(0) − y), instead of the flow.

    Raises:
        ValueError: H is not symmetric and positive semi-definite to rounding, an entry is NaN or infinite,
            shapes do not fit, or the rate is not positive.

    >>> run = linearised_training(torch.diag(torch.tensor([1.0, 2.0])), torch.ones(2), torch.zeros(2))
    >>> 1 - run.outputs(math.log(2.0))  # e^{−λt} of the way is left
    tensor([0.5000, 0.2500])
    >>> run.outputs(math.inf)
    tensor([1., 1.])
    """
    check_finite("gram", gram)
    check_finite("targets", targets)
    check_finite("initial", initial)
    check_positive("rate", rate)
    gram, targets, initial = promoted(*at_least_float32(gram, targets, initial))
    if gram.shape != (len(targets), len(targets)):
        raise ValueError(
            f"gram has shape {tuple(gram.shape)} for {len(targets)} targets; give K of the same points"
        )
    scale = float(gram.detach().abs().max())
    if not torch.allclose(gram, gram.mT, rtol=0, atol=1e-6 * scale):
        raise ValueError("gram is not symmetric; take (H + Hᵀ)/2 if rounding is the cause")
    values, vectors = torch.linalg.eigh(gram)
    # Rounding of a Gram matrix moves its eigenvalues by about n·ε·‖H‖.
    plain = values.detach()
    floor = len(gram) * torch.finfo(gram.dtype).eps * float(plain.abs().max())
    if float(plain[0]) < -floor:
        raise ValueError(
            f"gram has the eigenvalue {float(plain[0]):.3g}: it is not positive semi-definite, "
            "so it is no kernel's matrix"
        )
    clean = torch.where(values <= floor, 0.0, values)
    return LinearisedTraining(clean, vectors, initial, targets, rate, discrete)


@door
@torch.inference_mode(False)
def weight_change(
    outputs: Callable[[Tensor], Tensor], params: Float[Tensor, "size"], coefficients: Float[Tensor, "n *k"], /
) -> Float[Tensor, "size"]:
    """Δw = J(X)ᵀa = Σ_i a_i ∂f(θ, x_i)/∂θ, the weights that coefficients stand for.

    Args:
        outputs: θ to f(θ, X), in the shape of the coefficients.
        params: θ_0, where the network is linearised.
        coefficients: a.

    Raises:
        ValueError: the outputs do not have the shape of the coefficients.

    >>> x = torch.tensor([[3.0, 4.0]])
    >>> weight_change(lambda w: x @ w, torch.zeros(2), torch.tensor([2.0]))
    tensor([6., 8.])
    """
    leaf = recordable(params).requires_grad_()
    with torch.enable_grad():
        values = outputs(leaf)
        check_same_shape("outputs(params)", values, "coefficients", coefficients)
        (change,) = torch.autograd.grad(values, leaf, coefficients)
    return change


@door
def relative_deviation(
    predicted: Float[Tensor, "*shape"], trained: Float[Tensor, "*shape"], start: Float[Tensor, "*shape"], /
) -> Float[Tensor, ""]:
    """‖f_lin − f_t‖/‖f_t − f_0‖: how far a prediction is off, relative to the way the network has gone.

    Raises:
        ValueError: shapes differ, an entry is not finite, or the network has not moved.

    >>> relative_deviation(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0]), torch.tensor([1.0, 3.0]))
    tensor(0.5000)
    """
    check_finite("predicted", predicted)
    check_finite("trained", trained)
    predicted, trained, start = at_least_float32(predicted, trained, start)
    way = (trained - start).norm()
    if not float(way.detach()) > 0:
        raise ValueError("trained equals start: the network has not moved, so there is nothing to relate to")
    deviation: Tensor = (predicted - trained).norm() / way
    return deviation


def _rows(matrix: Tensor, vectors: Tensor) -> Tensor:
    """matrix @ vectors, where the vectors may have any axes behind the first."""
    matrix, vectors = promoted(matrix, vectors)
    product: Tensor = torch.tensordot(matrix, vectors, dims=1)
    return product
