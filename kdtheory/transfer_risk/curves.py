"""Learning curves: the students of the first n points, for many n, from one Cholesky factor.

With Θ = LLᵀ on all N points the factor of the first n is the leading block of L, and y = L⁻¹z,
V = L⁻¹K(X, ·) have the prefixes that the n points alone would give:

    z_s(x) = Σ_{i≤n} V_ix y_i,    P_n(x)² = K(x, x) − Σ_{i≤n} V_ix²,    ‖Δŵ_n‖² = Σ_{i≤n} y_i².

So all n cost what n = N costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.ntk.kernel import Kernel
from kdtheory.ntk.solve import cholesky
from kdtheory.shown import Frame, in_html
from kdtheory.transfer_risk.angles import acute_angles, angle_tail, projection_angle
from kdtheory.transfer_risk.bounds import (
    average_transfer_risk,
    ji20_transfer_risk,
    label_free_transfer_risk,
    power_function_transfer_risk,
    transfer_risk,
)
from kdtheory.transfer_risk.functions import KernelFunction
from kdtheory.types import at_least_float32
from kdtheory.validate import check_at_least, check_finite

__all__ = ["NestedStudents", "TransferCurve", "checked_sizes", "nested_students", "transfer_curve"]


@door
@dataclass(frozen=True, eq=False)
class NestedStudents:
    """Students of the first n points, for each n of `sizes`; axes: sizes, points, label sets.

    Args:
        sizes: the n.
        outputs: z_s(x) of each on the fresh points.
        power: P_n(x), rounded up by what rounding may have taken off it.
        whitened: y = L⁻¹z, a column for each label set; the first n rows are those of the first n points.
    """

    sizes: tuple[int, ...]
    outputs: Float[Tensor, "s m r"]
    power: Float[Tensor, "s m"]
    whitened: Float[Tensor, "n r"]

    @property
    def squared_norms(self) -> Float[Tensor, "s r"]:
        """‖Δŵ_n‖² = zᵀΘ⁻¹z of each label set."""
        return self.whitened.square().cumsum(0)[[size - 1 for size in self.sizes]]

    def inner(self, first: int, second: int, /) -> Float[Tensor, "s"]:
        """⟨Δŵ_n, Δŵ′_n⟩ between the students of two label sets.

        Raises:
            ValueError: there is no label set of that number.
        """
        for name, value in (("first", first), ("second", second)):
            if value not in range(sets := self.whitened.shape[1]):
                raise ValueError(f"{name} = {value!r} must be the number of a label set, 0 to {sets - 1}")
        products = self.whitened[:, first] * self.whitened[:, second]
        return products.cumsum(0)[[size - 1 for size in self.sizes]]


@door
def nested_students(
    gram: Float[Tensor, "n n"],
    targets: Float[Tensor, "n *r"],
    cross: Float[Tensor, "n m"],
    diagonal: Float[Tensor, "m"],
    /,
    *,
    sizes: Sequence[int],
    jitter: float = 0.0,
) -> NestedStudents:
    """The students Δŵ = φ(X)Θ⁻¹z of the first n points, for all n at the cost of the largest.

    Time N³/3 + N²m, memory two copies of Θ and one of the cross matrix. In the least precise type of Θ, the
    cross matrix and the diagonal, float32 at least.

    Args:
        gram: Θ = K(X, X).
        targets: z, one set of labels, or several in columns.
        cross: K(X, x), a column for each fresh point.
        diagonal: K(x, x).
        sizes: the n, ascending.
        jitter: added to the diagonal of Θ, relative to its mean: every statement then holds for the kernel
            that has this much more on the diagonal of the training points.

    Raises:
        ValueError: shapes do not fit, an entry is not finite, the sizes are not ascending in 1 to N, or Θ is
            singular to rounding and the jitter too small.

    >>> students = nested_students(torch.eye(2), torch.tensor([3.0, 4.0]), torch.ones(2, 1),
    ...     torch.tensor([2.0]), sizes=(1, 2))
    >>> students.outputs.flatten(), students.squared_norms.flatten()
    (tensor([3., 7.]), tensor([ 9., 25.]))
    """
    sizes = checked_sizes(sizes, len(gram))
    labels = targets[:, None] if targets.ndim == 1 else targets
    for name, array in (("targets", labels), ("cross", cross), ("diagonal", diagonal)):
        check_finite(name, array)
    epsilon = max(torch.finfo(array.dtype).eps for array in (gram, cross, diagonal))
    like = min(at_least_float32(gram, cross, diagonal), key=Tensor.element_size)
    last = sizes[-1]
    factor = cholesky(gram[:last, :last].to(like), jitter=jitter)
    whitened = torch.linalg.solve_triangular(
        factor, torch.cat([labels[:last].to(like), cross[:last].to(like)], 1), upper=False
    )
    y, v = whitened[:, : labels.shape[1]], whitened[:, labels.shape[1] :]
    return _prefixes(y, v, diagonal.to(like), sizes, epsilon)


def _prefixes(
    y: Tensor, v: Tensor, diagonal: Tensor, sizes: tuple[int, ...], epsilon: float
) -> NestedStudents:
    """The sums over i ≤ n, from those over the rows between one size and the next."""
    outputs, explained = [], []
    low = 0
    for high in sizes:
        part, own = v[low:high], y[low:high]
        outputs.append(part.mT @ own)
        explained.append(torch.linalg.vector_norm(part, dim=0).square())
        low = high
    rounding = torch.tensor(sizes).to(diagonal)[:, None] * epsilon
    left = diagonal - torch.stack(explained).cumsum(0)
    power = (left.clamp_min(0) + rounding * diagonal).sqrt()
    return NestedStudents(sizes, torch.stack(outputs).cumsum(0), power, y)


@door
@dataclass(frozen=True, eq=False)
class TransferCurve:
    """The transfer risk and its bounds against n; one entry for each size.

    Args:
        sizes: n.
        risk: R_n on the fresh points.
        ji_zhu: p(π/2 − ᾱ_n) of the same points.
        refined: P_x[|z_s| + |z_*| ≤ P_nρ_n], or its form for an imperfect teacher.
        label_free: P_x[|z_s| ≤ P_nρ_n]; holds for a perfect teacher only.
        average: E R_n over Gaussian oracles.
        angle: ᾱ_n, in radians.
        norm: ‖Δŵ_n‖.
    """

    sizes: tuple[int, ...]
    risk: Float[Tensor, "s"]
    ji_zhu: Float[Tensor, "s"]
    refined: Float[Tensor, "s"]
    label_free: Float[Tensor, "s"]
    average: Float[Tensor, "s"]
    angle: Float[Tensor, "s"]
    norm: Float[Tensor, "s"]

    def to_frame(self) -> pd.DataFrame:
        """One row for each size."""
        names = ("risk", "ji_zhu", "refined", "label_free", "average", "angle", "norm")
        return Frame({"n": self.sizes} | {name: getattr(self, name).tolist() for name in names})

    def plot(self) -> Any:
        """The risk and its bounds over n; the axes."""
        names = ["risk", "ji_zhu", "refined", "label_free", "average"]
        return self.to_frame().plot(x="n", y=names, xlabel="points seen n", ylabel="share of fresh points")

    def _repr_html_(self) -> str:
        return in_html("the transfer risk and its bounds over n", self.to_frame())


@door
def transfer_curve(
    kernel: Kernel,
    inputs: Float[Tensor, "n *shape"],
    oracle: KernelFunction,
    fresh: Float[Tensor, "m *shape"],
    /,
    *,
    sizes: Sequence[int],
    targets: Float[Tensor, "n"] | None = None,
    jitter: float = 0.0,
) -> TransferCurve:
    """R_n and its bounds for the students of the first n points, of one oracle, on fresh points.

    Any kernel will do: that of infinitely wide networks, the empirical one of a trained network, or the
    linear one. With `targets` the teacher is imperfect: the students learn them instead of the oracle.

    Args:
        kernel: K, of the students and the oracle.
        inputs: X.
        oracle: Δw_*, a function of the same kernel.
        fresh: the points on which R_n is taken.
        sizes: the n, ascending.
        targets: what the students learn; z_*(X) where not given.
        jitter: as in `nested_students`; the bounds hold for the kernel so changed.

    Raises:
        ValueError: as `nested_students`; or the oracle, or the feature of a fresh point, is zero.

    >>> from kdtheory.ntk.linear import LinearKernel
    >>> from kdtheory.transfer_risk.functions import linear_function
    >>> curve = transfer_curve(LinearKernel(), torch.eye(2, dtype=torch.float64),
    ...     linear_function(torch.tensor([1.0, 1.0], dtype=torch.float64)),
    ...     torch.tensor([[1.0, 0.5], [-1.0, 3.0]], dtype=torch.float64), sizes=(1, 2))
    >>> curve.risk.tolist(), (curve.angle / torch.pi).round(decimals=3).tolist()
    ([0.5, 0.0], [0.25, 0.0])
    """
    truth, angles = oracle(fresh), angle_tail(acute_angles(oracle, fresh))
    own = oracle(inputs)
    taught = own if targets is None else targets.to(own)
    diagonal = kernel.diagonal(fresh)
    students = nested_students(
        kernel(inputs),
        torch.stack([taught, own], 1),
        kernel(inputs, fresh),
        diagonal,
        sizes=sizes,
        jitter=jitter,
    )
    student, projection = students.outputs.unbind(-1)
    angle, unseen = projection_angle(students.squared_norms[:, 1], oracle.squared_norm)
    norms = students.squared_norms[:, 0].sqrt()
    if targets is not None:
        cosine = students.inner(0, 1) / (norms * oracle.squared_norm.sqrt())
        # Rounded up as that of a projection is: a small angle is lost in the rounding of its cosine.
        epsilon = max(torch.finfo(array.dtype).eps for array in (norms, oracle.squared_norm))
        angle = (cosine - 64 * epsilon).clamp(-1, 1).arccos()
    repeated = truth.expand_as(student)
    return TransferCurve(
        students.sizes,
        transfer_risk(student, repeated),
        student.new_tensor([ji20_transfer_risk(angles, a) for a in angle.detach().tolist()]),
        power_function_transfer_risk(student, repeated, students.power, unseen, projection=projection),
        label_free_transfer_risk(student, students.power, unseen),
        average_transfer_risk(students.power, diagonal),
        angle,
        norms,
    )


def checked_sizes(sizes: Sequence[int], most: int) -> tuple[int, ...]:
    if not sizes:
        raise ValueError("sizes is empty; give at least one n")
    for size in sizes:
        check_at_least("sizes", size, 1)
    if list(sizes) != sorted(set(sizes)) or sizes[-1] > most:
        raise ValueError(f"sizes = {tuple(sizes)} must ascend and stay within the {most} points")
    return tuple(int(size) for size in sizes)
