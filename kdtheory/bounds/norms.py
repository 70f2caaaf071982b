"""Norm-based complexities of ReLU nets, and the grid that lets norms be read off a net after training.

A net of depth d is x ↦ W_d ρ(… ρ(W_1 x)), ρ the ReLU, without biases; a bias is the weight of an input that
is always one (`homogeneous_layers`). M_j = ‖W_j‖_F, s_j = ‖W_j‖_2, b_j the sum of the Euclidean norms of
W_j's rows. Because ρ is positively homogeneous, the layers may be rescaled against each other: only ΠM_j,
Πs_j and the ratios b_j/s_j matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.validate import check_at_least, check_finite, check_positive

__all__ = [
    "NetNorms",
    "bartlett17_complexity",
    "golowich18_relu_net",
    "golowich18_vector_relu_net",
    "grid_point",
    "homogeneous_layers",
    "net_norms",
]

Matrix = Float[Tensor, "_ _"]


@door
@dataclass(frozen=True)
class NetNorms:
    """The norms of a net's layers, first to last.

    Args:
        frobenius: M_j.
        spectral: s_j.
        rows: b_j = Σ over rows of ‖row‖₂, the (2,1) norm of W_jᵀ.
        widths: d_0, …, d_d.
    """

    frobenius: tuple[float, ...]
    spectral: tuple[float, ...]
    rows: tuple[float, ...]
    widths: tuple[int, ...]

    @property
    def depth(self) -> int:
        """d, the number of layers."""
        return len(self.frobenius)


@door
def net_norms(layers: Sequence[Matrix], /) -> NetNorms:
    """M_j, s_j and b_j of the matrices W_1, …, W_d.

    Raises:
        ValueError: there is no layer, one is not finite or is zero, or shapes do not follow each other.

    >>> norms = net_norms([torch.diag(torch.tensor([3.0, 4.0])), torch.ones(1, 2)])
    >>> norms.frobenius[0], norms.spectral[0], norms.rows[0], norms.widths
    (5.0, 4.0, 7.0, (2, 2, 1))
    """
    check_at_least("number of layers", len(layers), 1)
    for before, after in pairwise(layers):
        if after.shape[1] != before.shape[0]:
            raise ValueError(f"layers: {tuple(before.shape)} is followed by {tuple(after.shape)}; none fits")
    exact = []
    for layer in layers:
        check_finite("layers", layer)
        exact.append(layer.detach().double())
        check_positive("norm of a layer", float(exact[-1].norm()))
    return NetNorms(
        tuple(float(layer.norm()) for layer in exact),
        tuple(float(torch.linalg.matrix_norm(layer, ord=2)) for layer in exact),
        tuple(float(layer.norm(dim=1).sum()) for layer in exact),
        (layers[0].shape[1], *(layer.shape[0] for layer in layers)),
    )


@door
def homogeneous_layers(
    weights: Sequence[Matrix], biases: Sequence[Float[Tensor, "_"]], /
) -> list[Float[Tensor, "_ _"]]:
    """An equal net without biases, on inputs with a coordinate 1 appended: [[W, b], [0, 1]], and [W, b] last.

    Raises:
        ValueError: not one bias for each weight, or of another length.

    >>> first, last = homogeneous_layers([torch.eye(2), torch.ones(1, 2)], [torch.ones(2), torch.zeros(1)])
    >>> first.shape, last.shape
    (torch.Size([3, 3]), torch.Size([1, 3]))
    """
    if len(weights) != len(biases) or any(w.shape[0] != len(b) for w, b in zip(weights, biases, strict=True)):
        raise ValueError("biases must be one for each row of each of the weights")
    layers = [torch.cat([weight, bias[:, None]], 1) for weight, bias in zip(weights, biases, strict=True)]
    for place, layer in enumerate(layers[:-1]):
        passes_one = torch.zeros_like(layer[:1])
        passes_one[0, -1] = 1
        layers[place] = torch.cat([layer, passes_one])
    return layers


@door
def grid_point(value: float, /, *, per_octave: int = 4) -> tuple[float, float]:
    """The least r_j = 2^{j/4} ≥ value, j ∈ Z, and its weight p_j = (2/3)/((|j|+1)(|j|+2)); Σ_j p_j = 1.

    A norm read off a trained net is rounded up to the grid, and δ is shared out: δ·p_j for the class of
    radius r_j. So the bound holds for all radii of the grid at once, and the choice may look at the data.

    Args:
        value: the norm.
        per_octave: how many grid points from r to 2r; fixed before the data.

    Raises:
        ValueError: the value is not positive and finite, or `per_octave` is below 1.

    >>> grid_point(3.0, per_octave=1)  # 2^2; (2/3)/(3·4)
    (4.0, 0.05555555555555555)
    """
    check_positive("value", value)
    check_at_least("per_octave", per_octave, 1)
    step = math.ceil(per_octave * math.log2(value) - 1e-9)
    while 2 ** (step / per_octave) < value:
        step += 1
    return float(2 ** (step / per_octave)), 2 / (3 * (abs(step) + 1) * (abs(step) + 2))


@door
def golowich18_relu_net(*, norm_product: float, input_norm: float, depth: int, n: int) -> float:
    """Rad_n ≤ (1/n)·ΠM_j·(√(2d ln 2) + 1)·(Σ‖x_i‖²)^½ for real-valued nets of depth d.

    Golowich, Rakhlin & Shamir (2018), Theorem 1.

    Args:
        norm_product: ΠM_j over all layers.
        input_norm: (Σ‖x_i‖²)^½, the Frobenius norm of the inputs.
        depth: d.
        n: the number of points.

    Raises:
        ValueError: a norm is not positive and finite, d < 1 or n < 1.

    >>> round(golowich18_relu_net(norm_product=2.0, input_norm=3.0, depth=2, n=6), 4)  # 1 + 2√(ln 2)
    2.6651
    """
    _check_net(norm_product, input_norm, depth, n)
    return norm_product * (math.sqrt(2 * depth * math.log(2)) + 1) * input_norm / n


@door
def golowich18_vector_relu_net(
    *, norm_product: float, input_norm: float, depth: int, outputs: int, n: int
) -> float:
    """Rad^vec_n ≤ (√k/n)·ΠM_j·(1 + t + 1/t)·(Σ‖x_i‖²)^½, t = √(2(d−1) ln 2), for nets with k outputs.

    After Golowich, Rakhlin & Shamir (2018), Theorem 1, which is for one output; constants derived here.
    Their peeling gives E exp(λZ) ≤ 2^{d−1} exp(λB + λ²B²/2) for Z = sup‖Σ_i ε_i h(x_i)‖₂ over the nets h of
    all layers but the last, B = Π_{j<d}M_j·(Σ‖x_i‖²)^½; so P(Z > B(1+u)) ≤ 2^{d−1}e^{−u²/2}, whose integral
    is E Z² ≤ B²((1+t)² + 2 + 2/t) ≤ B²(1 + t + 1/t)². The k rows of the last layer have signs of their own,
    so n·Rad^vec ≤ M_d·(k·E Z²)^½. For d = 1 the factor is 1: the linear class.

    Args:
        norm_product: ΠM_j over all layers.
        input_norm: (Σ‖x_i‖²)^½.
        depth: d.
        outputs: k.
        n: the number of points.

    Raises:
        ValueError: a norm is not positive and finite, or d, k or n is below 1.

    >>> golowich18_vector_relu_net(norm_product=2.0, input_norm=3.0, depth=1, outputs=4, n=6)
    2.0
    """
    _check_net(norm_product, input_norm, depth, n)
    check_at_least("outputs", outputs, 1)
    spread = math.sqrt(2 * (depth - 1) * math.log(2))
    factor = 1 + spread + 1 / spread if depth > 1 else 1.0
    return math.sqrt(outputs) * norm_product * factor * input_norm / n


@door
def bartlett17_complexity(
    *, spectral_product: float, ratios: Sequence[float], widths: Sequence[int], input_norm: float, n: int
) -> float:
    """Rad_n ≤ 1/(2√n) + 2√2·⌈½log₂n⌉·C/n for 1-Lipschitz functions of a net's output, with values in [0, 1].

    C = (Σ‖x_i‖²)^½·Πs_j·(Σ_j ((b_j/s_j)·√ln(2d_{j−1}d_j))^{2/3})^{3/2}. Bartlett, Foster & Telgarsky (2017),
    constants derived here, reference matrices zero. An ε-cover of the outputs, itself made of nets of the
    class, has ln size ≤ C²/ε²: Maurey's lemma layer by layer, shrunk by k/(k+1) so that no ceiling is needed,
    and projected on the convex class. Chaining with radii √n·2^{−j−1} adds 2√2·C/n a level.

    Args:
        spectral_product: Πs_j, times the Lipschitz constant of what follows the net.
        ratios: b_j/s_j, each layer.
        widths: d_0, …, d_d.
        input_norm: (Σ‖x_i‖²)^½.
        n: the number of points.

    Raises:
        ValueError: a norm is not positive and finite, a width or n is below 1, or not one ratio a layer.

    >>> net = {"ratios": [1.0], "widths": [1, 1], "input_norm": 2.0}
    >>> round(bartlett17_complexity(spectral_product=1.0, n=4, **net), 4)  # 1/4 + 2√2·2√(ln 2)/4
    1.4274
    """
    _check_net(spectral_product, input_norm, len(ratios), n)
    if len(widths) != len(ratios) + 1:
        raise ValueError(
            f"widths has {len(widths)} entries for {len(ratios)} layers; give one more than layers"
        )
    sizes = (2 * inside * out for inside, out in pairwise(widths))
    total: float = sum((r**2 * math.log(size)) ** (1 / 3) for r, size in zip(ratios, sizes, strict=True))
    cover = input_norm * spectral_product * math.pow(total, 1.5)
    levels = math.ceil(math.log2(n) / 2)
    return 1 / (2 * math.sqrt(n)) + 2 * math.sqrt(2) * levels * cover / n


def _check_net(product: float, input_norm: float, depth: int, n: int) -> None:
    check_positive("norm product", product)
    check_positive("input_norm", input_norm)
    check_at_least("depth", depth, 1)
    check_at_least("n", n, 1)
