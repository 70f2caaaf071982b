"""How much weight the teacher should have: self-distilled ridge regression with labels mixed in.

β_λ = (XᵀX/n + λI)⁻¹Xᵀy/n is teacher, β_pd = (XᵀX/n + λI)⁻¹XᵀXβ_λ/n its pure student, trained with the same
penalty on Xβ_λ alone. A student whose targets are (1−ξ)y + ξXβ_λ is β(ξ) = (1−ξ)β_λ + ξβ_pd; ξ is any real
number (Das & Sanghavi 2023 found ξ > 1 best under much noise). Since β_pd − β_λ = λ·dβ_λ/dλ, the risk

    R(β(ξ)) = R(λ) + ξλR′(λ) + ξ²λ²‖dβ_λ/dλ‖²_Σ,   R(λ) = ‖β_λ − β*‖²_Σ + constant,

is a parabola in ξ with its minimum at ξ* = −R′(λ)/(2λ‖dβ_λ/dλ‖²_Σ), lower than R(λ) by the gain
R′(λ)²/(4‖dβ_λ/dλ‖²_Σ). The sign of ξ* is that of −R′(λ): a teacher that is regularised too little is
followed, one that is regularised too much is contradicted, and at R′(λ) = 0 distillation gains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.self_distillation._spectrum import check_eigenvalues, eigenbasis
from kdtheory.types import at_least_float32, promoted
from kdtheory.validate import check_at_least, check_finite, check_positive, check_same_shape

__all__ = [
    "Mixing",
    "fixed_design_mixing",
    "optimal_mixing",
    "pure_distilled_ridge",
    "ridge",
    "ridge_derivative",
    "ridge_path",
]


@door
@dataclass(frozen=True)
class Mixing:
    """The risk of the student as a parabola in ξ.

    Args:
        risk: R(λ), the teacher's excess risk ‖β_λ − β*‖²_Σ.
        slope: R′(λ).
        curvature: ‖dβ_λ/dλ‖²_Σ > 0.
        penalty: λ > 0.

    Raises:
        ValueError: curvature or penalty is not positive.
    """

    risk: float
    slope: float
    curvature: float
    penalty: float

    def __post_init__(self) -> None:
        check_positive("curvature", self.curvature)
        check_positive("penalty", self.penalty)

    @property
    def weight(self) -> float:
        """ξ* = −R′(λ)/(2λ‖dβ/dλ‖²_Σ)."""
        return -self.slope / (2 * self.penalty * self.curvature)

    @property
    def gain(self) -> float:
        """R(λ) − R(β(ξ*)) = R′(λ)²/(4‖dβ/dλ‖²_Σ)."""
        return self.slope * self.slope / (4 * self.curvature)

    def at(self, weight: float) -> float:
        """R(β(ξ)) at any ξ."""
        step = weight * self.penalty
        return self.risk + step * self.slope + step * step * self.curvature


@door
def ridge(
    inputs: Float[Tensor, "n d"], targets: Float[Tensor, "n *columns"], /, *, penalty: float
) -> Float[Tensor, "d *columns"]:
    """β_λ = (XᵀX/n + λI)⁻¹Xᵀy/n, the minimiser of ‖y − Xβ‖²/n + λ‖β‖²; one for each column of targets.

    Raises:
        ValueError: λ ≤ 0, a value that is not finite, or not one target for each input.

    >>> ridge(torch.tensor([[1.0], [1.0]]), torch.tensor([1.0, 3.0]), penalty=1.0).round(decimals=5)
    tensor([1.])
    """
    inputs, targets = promoted(*at_least_float32(inputs, targets))
    return _regressed(inputs, targets, [penalty], power=1)[0]


@door
def ridge_path(
    inputs: Float[Tensor, "n d"],
    targets: Float[Tensor, "n *columns"],
    /,
    *,
    penalties: Float[Tensor, "penalties"],
) -> Float[Tensor, "penalties d *columns"]:
    """β_λ = (XᵀX/n + λI)⁻¹Xᵀy/n of each of several λ, by one decomposition of X: each is that of `ridge`.

    Raises:
        ValueError: no penalty, or as `ridge`.

    >>> x, y = torch.tensor([[1.0], [1.0]]), torch.tensor([1.0, 3.0])
    >>> ridge_path(x, y, penalties=torch.tensor([1.0, 3.0])).round(decimals=5).flatten()
    tensor([1.0000, 0.5000])
    """
    inputs, targets = promoted(*at_least_float32(inputs, targets))
    return torch.stack(_regressed(inputs, targets, penalties.tolist(), power=1))


@door
def pure_distilled_ridge(
    inputs: Float[Tensor, "n d"], targets: Float[Tensor, "n *columns"], /, *, penalty: float
) -> Float[Tensor, "d *columns"]:
    """β_pd: ridge regression with the same λ on the outputs Xβ_λ of the teacher (Das & Sanghavi 2023).

    Raises:
        ValueError: as `ridge`.

    >>> pure_distilled_ridge(torch.tensor([[1.0], [1.0]]), torch.tensor([1.0, 3.0]), penalty=1.0)
    tensor([0.5000])
    """
    inputs, targets = promoted(*at_least_float32(inputs, targets))
    outputs = torch.tensordot(inputs, ridge(inputs, targets, penalty=penalty), dims=1)
    return ridge(inputs, outputs, penalty=penalty)


@door
def ridge_derivative(
    inputs: Float[Tensor, "n d"], targets: Float[Tensor, "n *columns"], /, *, penalty: float
) -> Float[Tensor, "d *columns"]:
    """dβ_λ/dλ = −(XᵀX/n + λI)⁻¹β_λ = (β_pd − β_λ)/λ.

    Raises:
        ValueError: as `ridge`.

    >>> ridge_derivative(torch.tensor([[1.0], [1.0]]), torch.tensor([1.0, 3.0]), penalty=1.0)
    tensor([-0.5000])
    """
    inputs, targets = promoted(*at_least_float32(inputs, targets))
    return -_regressed(inputs, targets, [penalty], power=2)[0]


@door
def optimal_mixing(
    inputs: Float[Tensor, "n d"],
    targets: Float[Tensor, "n"],
    /,
    *,
    penalty: float,
    truth: Float[Tensor, "d"],
    covariance: Float[Tensor, "d d"],
) -> Mixing:
    """R(λ), R′(λ) = 2(β_λ − β*)ᵀΣ dβ_λ/dλ and ‖dβ_λ/dλ‖²_Σ for one sample: the risk in the population.

    Das & Sanghavi (2023), and Dang, Patil & Rinaldo (2026) for the form with derivatives.

    Args:
        inputs: X.
        targets: y.
        penalty: λ > 0.
        truth: β*, the best linear predictor.
        covariance: Σ = E xxᵀ of fresh inputs; XᵀX/n for the risk on the same inputs.

    Raises:
        ValueError: as `ridge`, truth or covariance are of another size, the covariance is not symmetric
            positive semi-definite, or what β_λ predicts is the same for every λ.

    >>> x, y = torch.tensor([[1.0], [1.0]]), torch.tensor([1.0, 3.0])
    >>> mixing = optimal_mixing(x, y, penalty=1.0, truth=torch.tensor([2.0]), covariance=torch.eye(1))
    >>> round(mixing.weight, 5)  # shrunk to 1 where 2 is right: the teacher is contradicted
    -2.0
    """
    check_finite("truth", truth)
    check_finite("covariance", covariance)
    if truth.shape != inputs.shape[1:] or covariance.shape != 2 * truth.shape:
        raise ValueError(
            f"truth has shape {tuple(truth.shape)} and covariance {tuple(covariance.shape)}; "
            f"they must be d and d × d, d = {inputs.shape[1]}"
        )
    inputs, targets, truth, covariance = promoted(*at_least_float32(inputs, targets, truth, covariance))
    eigenbasis(covariance, name="covariance")
    error = ridge(inputs, targets, penalty=penalty) - truth
    derivative = ridge_derivative(inputs, targets, penalty=penalty)
    pulled = covariance @ derivative
    numbers = torch.stack([error @ covariance @ error, 2 * error @ pulled, derivative @ pulled])
    risk, slope, curvature = numbers.detach().tolist()
    if not curvature > 0:
        raise ValueError(
            "inputs, targets and covariance say nothing: what β_λ predicts does not change with the penalty, "
            "so that no weight is best"
        )
    return Mixing(risk, slope, curvature, penalty)


@door
def fixed_design_mixing(
    eigenvalues: Float[Tensor, "d"],
    coefficients: Float[Tensor, "d"],
    /,
    *,
    penalty: float,
    noise_variance: float,
    n: int,
) -> Mixing:
    """The mixing in expectation over the noise of y = Xβ* + ε, X fixed, Σ = XᵀX/n (Das & Sanghavi 2023).

    With d_k the eigenvalues of XᵀX/n, θ_k the coefficients of β* along its eigenvectors and s = σ²/n:
    E R(λ) = Σ d_k(λ²θ_k² + s d_k)/(d_k + λ)², E R′(λ) = Σ 2d_k²(λθ_k² − s)/(d_k + λ)³ and
    E‖dβ/dλ‖²_Σ = Σ d_k²(d_kθ_k² + s)/(d_k + λ)⁴. The best λ has R′ = 0; it is σ²/(nθ²) if all θ_k² = θ².

    Args:
        eigenvalues: d_k ≥ 0, not all zero.
        coefficients: θ_k.
        penalty: λ > 0.
        noise_variance: σ² ≥ 0 of the labels.
        n: the number of inputs.

    Raises:
        ValueError: a setting is out of its range, or there is neither signal nor noise.

    >>> mixing = fixed_design_mixing(torch.ones(3), torch.ones(3), penalty=0.5, noise_variance=2.0, n=4)
    >>> mixing.slope, mixing.weight  # λ = σ²/(nθ²): nothing to gain
    (0.0, -0.0)
    """
    check_positive("penalty", penalty)
    check_at_least("n", n, 1)
    if noise_variance:
        check_positive("noise_variance", noise_variance)
    check_eigenvalues(eigenvalues, positive=False)
    check_finite("coefficients", coefficients)
    check_same_shape("eigenvalues", eigenvalues, "coefficients", coefficients)
    d, signal = eigenvalues.detach().double(), coefficients.detach().double().square()
    share = noise_variance / n
    shrunk = d + penalty
    curvature = float((d**2 * (d * signal + share) / shrunk**4).sum())
    check_positive("the sum of signal and noise along the inputs", curvature)
    return Mixing(
        float((d * (penalty**2 * signal + share * d) / shrunk**2).sum()),
        float((2 * d**2 * (penalty * signal - share) / shrunk**3).sum()),
        curvature,
        penalty,
    )


def _regressed(inputs: Tensor, targets: Tensor, penalties: Sequence[float], *, power: int) -> list[Tensor]:
    """(XᵀX/n + λI)^−power Xᵀy/n of each λ by the singular values of X: beside XᵀX's a small λ is lost."""
    for penalty in penalties:
        check_positive("penalty", penalty)
    check_at_least("the number of penalties", len(penalties), 1)
    check_finite("inputs", inputs)
    check_finite("targets", targets)
    if inputs.ndim != 2 or targets.shape[:1] != inputs.shape[:1]:
        shapes = f"inputs has shape {tuple(inputs.shape)} and targets {tuple(targets.shape)}"
        raise ValueError(f"{shapes}; give n × d and n, or n × columns")
    left, values, right = torch.linalg.svd(inputs, full_matrices=False)
    wide = values.double()  # squares may lie outside float32's range
    onto, found = left.mT @ targets.reshape(len(targets), -1), list[Tensor]()
    for penalty in penalties:
        shares, shrunk = wide / len(inputs), wide.square() / len(inputs) + penalty
        for _ in range(power):
            shares = shares / shrunk
        weights: Tensor = right.mT @ (shares.to(values)[:, None] * onto)
        found.append(weights.reshape(-1, *targets.shape[1:]))
    return found
