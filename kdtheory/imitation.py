"""One step of imitation from a shared start: why a student moves towards its teacher on any inputs.

Teacher θ₀ + εΔ, student at θ₀, and one step −η∇ of (1/2n) Σ_i ‖f_θ(x_i) − f_T(x_i)‖² over n inputs, on
outputs of any choice. Then ⟨Δθ_S, Δ⟩ = ηε‖JΔ‖²/n + O(ε²) ≥ 0, with J the Jacobian of those outputs at θ₀:
never against the teacher's move, on noise inputs and on outputs that were not trained (Cloud et al. 2025;
derived here).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from kdtheory.doors import door
from kdtheory.networks import Architecture
from kdtheory.types import recordable
from kdtheory.validate import check_finite, check_positive, check_same_shape

__all__ = ["first_order_alignment", "imitation_step"]


@door
@torch.inference_mode(False)
@torch.enable_grad()
def imitation_step(
    architecture: Architecture,
    student: Float[Tensor, "size"],
    teacher: Float[Tensor, "size"],
    inputs: Float[Tensor, "n ..."],
    /,
    *,
    step_size: float,
    outputs: slice = slice(None),
) -> Float[Tensor, "size"]:
    """Δθ_S = −η∇_θ (1/2n) Σ_i ‖f_θ(x_i) − f_T(x_i)‖², one step of a student on its teacher's outputs.

    Args:
        architecture: of both.
        student: θ.
        teacher: θ_T.
        inputs: any.
        step_size: η.
        outputs: which logits are imitated; the rest are left alone.

    Raises:
        ValueError: parameters or inputs are not finite or of different sizes, η ≤ 0.
    """
    _check(architecture, student, teacher, inputs, step_size)
    inputs = recordable(inputs)
    wanted = architecture.logits(teacher, inputs)[..., outputs].detach()
    leaf = student.detach().clone().requires_grad_()
    loss = (architecture.logits(leaf, inputs)[..., outputs] - wanted).square().sum() / (2 * len(inputs))
    return -step_size * torch.autograd.grad(loss, leaf)[0]


@door
@torch.inference_mode(False)
@torch.enable_grad()
def first_order_alignment(
    architecture: Architecture,
    start: Float[Tensor, "size"],
    move: Float[Tensor, "size"],
    inputs: Float[Tensor, "n ..."],
    /,
    *,
    step_size: float,
    outputs: slice = slice(None),
) -> Float[Tensor, ""]:
    """η‖JΔ‖²/n, what ⟨Δθ_S, Δ⟩/ε tends to as ε → 0 for a student that starts at θ₀, its teacher at θ₀ + εΔ.

    Args:
        architecture: of both.
        start: θ₀.
        move: Δ.
        inputs: any.
        step_size: η.
        outputs: which logits are imitated.

    Raises:
        ValueError: as `imitation_step`.
    """
    _check(architecture, start, move, inputs, step_size)
    start, move, inputs = (recordable(array) for array in (start, move, inputs))
    said = architecture.logits(start.requires_grad_(), inputs)[..., outputs]
    weights = torch.zeros_like(said, requires_grad=True)  # wᵀJ is linear in w, and its slope along Δ is JΔ
    pulled = torch.autograd.grad((said * weights).sum(), start, create_graph=True)[0]
    moved = torch.autograd.grad((pulled * move).sum(), weights)[0]
    return step_size * moved.square().sum() / len(inputs)


def _check(
    architecture: Architecture, first: Tensor, second: Tensor, inputs: Tensor, step_size: float
) -> None:
    check_positive("step_size", step_size)
    check_same_shape("the first parameters", first, "the second", second)
    if first.shape != (architecture.size,):
        raise ValueError(
            f"parameters have shape {tuple(first.shape)}; {architecture.name} has {architecture.size}"
        )
    for name, values in (("parameters", first), ("the other parameters", second), ("inputs", inputs)):
        check_finite(name, values)
