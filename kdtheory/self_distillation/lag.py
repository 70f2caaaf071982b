"""A student that is stopped early lags where its teacher was slow (Nagarajan et al. 2023).

Linear regression by gradient flow from zero has fitted, at time t, the share a_t(d) = 1 − e^{−td} of the
targets along an eigenvector of XXᵀ with eigenvalue d. A student that is trained for t_s on the outputs of a
teacher that was trained for t_t has a_{t_s}(d)·a_{t_t}(d) of them.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.self_distillation._spectrum import check_eigenvalues
from kdtheory.types import told
from kdtheory.validate import check_fraction, check_positive

__all__ = ["flow_filter", "nagarajan23_lag", "student_filter", "time_at_progress"]


@door
def flow_filter(eigenvalues: Float[Tensor, "*d"], /, *, time: float) -> Float[Tensor, "*d"]:
    """a_t(d) = 1 − e^{−td}, the share fitted at time t of gradient flow on ½‖y − Xβ‖² from β = 0.

    Raises:
        ValueError: t ≤ 0, or an eigenvalue is negative.

    >>> flow_filter(torch.tensor([0.0, math.log(2)]), time=1.0)
    tensor([0.0000, 0.5000])
    """
    check_positive("time", time)
    check_eigenvalues(eigenvalues.reshape(-1), positive=False)
    return told(-torch.expm1(-time * eigenvalues.double()), eigenvalues)


@door
def student_filter(
    eigenvalues: Float[Tensor, "*d"], /, *, student_time: float, teacher_time: float
) -> Float[Tensor, "*d"]:
    """a_{t_s}(d)·a_{t_t}(d): what the student has fitted of the teacher's own targets.

    Raises:
        ValueError: a time is not positive, or an eigenvalue is negative.

    >>> student_filter(torch.tensor([math.log(2)]), student_time=1.0, teacher_time=2.0)  # ½·¾
    tensor([0.3750])
    """
    return flow_filter(eigenvalues, time=student_time) * flow_filter(eigenvalues, time=teacher_time)


@door
def time_at_progress(eigenvalue: float, /, *, progress: float) -> float:
    """t with 1 − e^{−td} = progress: −ln(1 − progress)/d.

    Raises:
        ValueError: d ≤ 0, or progress outside (0, 1).

    >>> round(time_at_progress(2.0, progress=0.75) / math.log(2), 9)
    1.0
    """
    check_positive("eigenvalue", eigenvalue)
    check_fraction("progress", progress, open_interval=True)
    return -math.log1p(-progress) / eigenvalue


@door
def nagarajan23_lag(
    eigenvalues: Float[Tensor, "K"], /, *, student_time: float, teacher_time: float
) -> Float[Tensor, "K"]:
    """a_τ(d) − a_{t_s}(d)a_{t_t}(d), τ such that both are equal at d_max: > 0 for every 0 < d < d_max.

    Nagarajan et al. (2023), who compare the student with the teacher at the moment when that one had come as
    far along the top direction. Proof (ours): with s = d/d_max, p = e^{−t_t d_max}, q = e^{−t_s d_max} the
    difference is p^s + x(1 − p^s) − ‖(p^s, (1−p)^s x)‖_{1/s} at x = q^s: a chord minus a strictly convex
    function of x, and both agree at x = 0 and x = 1.

    Args:
        eigenvalues: d, of which the largest must be positive.
        student_time: t_s.
        teacher_time: t_t.

    Raises:
        ValueError: a time is not positive, no eigenvalue is, or one is negative.

    >>> lag = nagarajan23_lag(torch.tensor([1.0, 2.0]).double(), student_time=1.0, teacher_time=1.0)
    >>> lag[0] > 0, abs(float(lag[1])) < 1e-12
    (tensor(True), True)
    """
    wide = eigenvalues.double()
    student = student_filter(wide, student_time=student_time, teacher_time=teacher_time)
    top = float(wide.detach().max())
    check_positive("the largest eigenvalue", top)
    # −ln(1 − a_{t_s}a_{t_t}): near progress one by the complements, the larger one taken out.
    near, far = sorted((teacher_time * top, student_time * top))
    progress = math.expm1(-near) * math.expm1(-far)
    whole = near - math.log1p(math.exp(near - far) - math.exp(-far))
    tau = (-math.log1p(-progress) if progress < 0.5 else whole) / top
    return told(flow_filter(wide, time=tau) - student, eigenvalues)
