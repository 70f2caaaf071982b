"""Every public door, argument by argument: what is no number, or does not fit the others, is refused.

The tables of bad input in the tests of each topic name messages; here each tensor in turn has one NaN or one
row less, and each setting is NaN or negative. Shapes are not checked by type, as in a user's process.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from kdtheory import (
    MLP,
    Stream,
    bounds,
    compression,
    losses,
    multiview,
    risk,
    self_distillation,
    transfer_risk,
)
from kdtheory.doors import door
from kdtheory.losses import features, labelwise, mutual, relations
from kdtheory.ntk.effective_logits import distillation_slope, effective_logits, overruling_soft_ratio
from kdtheory.ntk.linear import LinearKernel
from kdtheory.ntk.solve import cholesky

F64 = torch.float64


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


S, T, W = drawn(5, 4), drawn(5, 4, seed=1), torch.tensor([0.1, 0.2, 0.3, 0.2, 0.2], dtype=F64)
P, Q, Y = S.softmax(-1), T.softmax(-1), torch.tensor([0, 3, 1, 2, 1])
L = drawn(5, 4, seed=2).abs()
MAPS, OTHERS = drawn(3, 2, 2, 2), drawn(3, 2, 2, 2, seed=1)
X, V = drawn(6, 3), drawn(6, seed=4)
GRAM, EIGEN = X[:3] @ X[:3].T + torch.eye(3, dtype=F64), torch.tensor([3.0, 2.0, 0.5], dtype=F64)
TEMPERED = {"temperature": 2.0}
DOORS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {
    "kd_loss": (losses.kd_loss, (S, T, Y), {"temperature": 2.0, "weight": 0.5, "hard_weight": 0.5}),
    "kd_gradient": (losses.kd_gradient, (S, T, Y), {"temperature": 2.0, "weight": 0.5}),
    "soft_label_loss": (losses.soft_label_loss, (S, P), {}),
    "kl_divergence": (losses.kl_divergence, (S, T), {}),
    "reverse_kl": (losses.reverse_kl_divergence, (S, T), {}),
    "jensen_shannon": (losses.jensen_shannon, (S, T), {"beta": 0.3}),
    "squared_logits": (losses.squared_logit_distance, (S, T), {}),
    "squared_probs": (losses.squared_prob_distance, (S, T), {}),
    "high_temperature_gradient": (losses.high_temperature_gradient, (S, T), {}),
    "high_temperature_divergence": (losses.high_temperature_divergence, (S, T), {}),
    "tempered_softmax": (losses.tempered_softmax, (S,), TEMPERED),
    "entropy": (losses.entropy, (S,), TEMPERED),
    "entropy derivative": (losses.entropy_temperature_derivative, (S,), TEMPERED),
    "renyi_entropy": (losses.renyi_entropy, (S,), {"order": 0.5}),
    "matching": (losses.transformed_teacher_matching, (S, T), TEMPERED),
    "zheng24": (losses.zheng24_terms, (S, T), TEMPERED),
    "log_loss": (labelwise.log_loss, (S,), {}),
    "brier_loss": (labelwise.brier_loss, (S,), {}),
    "zero_one_loss": (labelwise.zero_one_loss, (S,), {}),
    "softmax_margin_loss": (labelwise.softmax_margin_loss, (S,), {"gamma": 0.5}),
    "mean_peer": (mutual.mean_peer_divergence, (S, torch.stack([T, P])), TEMPERED),
    "from_mean_peer": (mutual.divergence_from_mean_peer, (S, torch.stack([T, P])), TEMPERED),
    "attention_transfer": (features.attention_transfer, (MAPS, OTHERS), {"power": 2.0}),
    "attention_masks": (features.attention_masks, (MAPS, OTHERS), TEMPERED),
    "attention_map_loss": (features.attention_map_loss, (MAPS, OTHERS), {}),
    "attention_masked_loss": (features.attention_masked_loss, (MAPS, OTHERS), TEMPERED),
    "attention_guided_loss": (
        features.attention_guided_loss,
        (MAPS, OTHERS),
        {"temperature": 0.1, "map_weight": 1.0, "mask_weight": 2.0},
    ),
    "hint_loss": (features.hint_loss, (MAPS, OTHERS), {}),
    "local_structure": (features.local_structure, (X,), {}),
    "local_structure_loss": (features.local_structure_loss, (X, X.flip(0)), {}),
    "polynomial": (features.polynomial_similarity, (X,), {"degree": 2, "offset": 1.0}),
    "rbf": (features.rbf_similarity, (X,), {"scale": 1.0}),
    "non_local_relation": (features.non_local_relation, (MAPS,), {}),
    "non_local_loss": (features.non_local_loss, (MAPS, OTHERS), {}),
    "flow_matrix": (relations.flow_matrix, (MAPS, OTHERS), {}),
    "flow_matrix_loss": (
        lambda *a: relations.flow_matrix_loss(a[:2], a[2:]),
        (MAPS, OTHERS, OTHERS, MAPS),
        {},
    ),
    "distance_potentials": (relations.distance_potentials, (X,), {}),
    "angle_potentials": (relations.angle_potentials, (X,), {}),
    "relational_distance": (relations.relational_distance_loss, (X, X.flip(0)), {}),
    "relational_angle": (relations.relational_angle_loss, (X, X.flip(0)), {}),
    "similarity_preserving": (relations.similarity_preserving, (X, X.flip(0)), {}),
    "correlation_kernel": (relations.correlation_kernel, (X,), {"gamma": 0.4, "order": 2}),
    "correlation_congruence": (relations.correlation_congruence, (X, X.flip(0)), {"gamma": 0.4, "order": 2}),
    "similarity_probs": (relations.similarity_probs, (X,), {}),
    "probabilistic_transfer": (relations.probabilistic_transfer, (X, X.flip(0)), {}),
    "calibration_error": (risk.calibration_error, (P, Q, W), {}),
    "top_label": (risk.top_label_calibration_error, (P, Y), {"bins": 5}),
    "accuracy": (risk.accuracy, (S, Y), {}),
    "one_hot_losses": (risk.one_hot_losses, (L, Y), {}),
    "distilled_losses": (risk.distilled_losses, (L, P), {}),
    "one_hot_risk": (risk.one_hot_risk, (L, Y), {}),
    "distilled_risk": (risk.distilled_risk, (L, P), {}),
    "total_variation": (risk.total_variation, (P, Q, W), {}),
    "hidden_mass": (risk.hidden_mass, (W, P), {"n": 3, "feedback": "soft"}),
    "partial_label_limit": (risk.partial_label_limit, (P,), {}),
    "gradient_noise": (risk.gradient_noise, (drawn(5, 4, 2), P, W), {}),
    "population_risk": (risk.population_risk, (L, P, W), {}),
    "excess_risk": (risk.excess_risk, (L, L / 2, P, W), {}),
    "bayes_log_risk": (risk.bayes_log_risk, (P, W), {}),
    "bayes_zero_one_risk": (risk.bayes_zero_one_risk, (P, W), {}),
    "bayes_brier_risk": (risk.bayes_brier_risk, (P, W), {}),
    "teacher_bias_variance": (risk.teacher_bias_variance, (L, Q, P, W), {"n": 3}),
    "one_hot_variance": (risk.one_hot_variance, (L, P, W), {"n": 3}),
    "distilled_variance": (risk.distilled_variance, (L, Q, W), {"n": 3}),
    "label_noise_variance": (risk.label_noise_variance, (L, P, W), {"n": 3}),
    "transfer_risk": (transfer_risk.transfer_risk, (V, V), {}),
    "power_function": (
        lambda s, o, p, r: transfer_risk.power_function_transfer_risk(s, o, p, r),
        (V, V, V.abs(), V[:1].abs()[0]),
        {},
    ),
    "projection": (
        lambda s, p: transfer_risk.power_function_transfer_risk(
            s, s, s.abs(), torch.ones(()).double(), projection=p
        ),
        (V, V),
        {},
    ),
    "label_free": (transfer_risk.label_free_transfer_risk, (V, V.abs(), torch.ones(()).double()), {}),
    "average": (transfer_risk.average_transfer_risk, (V.abs(), V.abs()), {}),
    "misjudging": (transfer_risk.misjudging_probability, (V, V.abs()), {}),
    "inefficiency": (transfer_risk.data_inefficiency, (V.abs(),), {}),
    "phuong19_student": (transfer_risk.phuong19_student, (X, V[:3]), {}),
    "interpolant": (lambda x, y: transfer_risk.interpolant(LinearKernel(), x, y), (X[:3], V[:3]), {}),
    "margin rate": (partial(transfer_risk.phuong19_margin_rate, 5), (), {"exponent": 0.5}),
    "cholesky": (cholesky, (GRAM,), {"jitter": 0.1}),
    "slope": (
        distillation_slope,
        (V, V, torch.tensor([0, 1, 0, 1, 1, 0])),
        {"soft_ratio": 0.5, "temperature": 2.0},
    ),
    "effective_logits": (
        effective_logits,
        (V, torch.tensor([0, 1, 0, 1, 1, 0])),
        {"soft_ratio": 0.5, "temperature": 2.0},
    ),
    "overruling": (overruling_soft_ratio, (V,), TEMPERED),
    "kernel_ridge": (self_distillation.kernel_ridge, (GRAM, V[:3]), {"penalty": 0.1}),
    "borup21_rounds": (
        self_distillation.borup21_rounds,
        (GRAM, V[:3]),
        {"penalty": 0.1, "alpha": 0.5, "rounds": 2},
    ),
    "borup21_fixed_point": (
        self_distillation.borup21_fixed_point,
        (GRAM, V[:3]),
        {"penalty": 0.1, "alpha": 0.5},
    ),
    "contraction": (self_distillation.borup21_contraction, (GRAM,), {"penalty": 0.1, "alpha": 0.5}),
    "flow_filter": (self_distillation.flow_filter, (EIGEN,), {"time": 1.0}),
    "student_filter": (
        self_distillation.student_filter,
        (EIGEN,),
        {"student_time": 1.0, "teacher_time": 2.0},
    ),
    "lag": (self_distillation.nagarajan23_lag, (EIGEN,), {"student_time": 1.0, "teacher_time": 2.0}),
    "ridge": (self_distillation.ridge, (X, V), {"penalty": 0.1}),
    "pure": (self_distillation.pure_distilled_ridge, (X, V), {"penalty": 0.1}),
    "path": (self_distillation.ridge_path, (X, V), {"penalties": EIGEN}),
    "derivative": (self_distillation.ridge_derivative, (X, V), {"penalty": 0.1}),
    "fixed_design": (
        self_distillation.fixed_design_mixing,
        (EIGEN, V[:3]),
        {"penalty": 0.1, "noise_variance": 0.1, "n": 5},
    ),
    "mobahi20_rounds": (self_distillation.mobahi20_rounds, (GRAM, V[:3]), {"error": 0.1, "rounds": 1}),
    "multiplier": (self_distillation.mobahi20_multiplier, (EIGEN, V[:3]), {"error": 0.1}),
    "multiplier bounds": (
        self_distillation.mobahi20_multiplier_bounds,
        (EIGEN,),
        {"norm": 3.0, "error": 0.1},
    ),
    "collapse": (self_distillation.mobahi20_rounds_before_collapse, (EIGEN,), {"norm": 3.0, "error": 0.1}),
    "sparsity": (self_distillation.mobahi20_sparsity_growth, (EIGEN,), {"norm": 3.0, "error": 0.1}),
    "effective_rank": (self_distillation.effective_rank, (S,), {}),
    "truncated_svd": (compression.truncated_svd, (S,), {"rank": 2}),
    "factors": (compression.low_rank_factors, (S,), {"rank": 2}),
    "eckart_young": (compression.eckart_young_error, (S,), {"rank": 2}),
    "largest_entries": (compression.largest_entries, (S,), {"kept": 2}),
    "best_sparse": (compression.best_sparse, (S,), {"kept": 2}),
    "sparse_error": (compression.sparse_error, (S,), {"kept": 2}),
    "perturbation": (
        lambda w, u, **k: compression.neyshabur18_perturbation([w], [u], **k),
        (S, T),
        {"input_norm": 1.0},
    ),
    "predictions_unchanged": (compression.predictions_unchanged, (S,), {"change": 0.5}),
    "massart": (bounds.massart00_finite_class, (S,), {}),
    "l2": (bounds.l2_linear_complexity, (X,), {"radius": 1.0}),
    "l1": (bounds.l1_linear_complexity, (X,), {"radius": 1.0}),
    "vector": (bounds.vector_linear_complexity, (X,), {"radius": 1.0, "outputs": 2}),
    "softmax_confidence": (bounds.softmax_confidence, (S, Y), {"gamma": 0.5}),
    "multiclass_margin": (bounds.multiclass_margin, (S, Y), {}),
    "softmax_distance": (bounds.softmax_distance, (S, T), {"gamma": 0.5}),
    "distillation_error": (bounds.distillation_error, (S, T, Y), {"gamma": 0.5}),
    "label_free_error": (bounds.label_free_distillation_error, (S, T), {"gamma": 0.5}),
    "ramp_loss": (bounds.ramp_loss, (V,), {"gamma": 0.5}),
    "supervision": (bounds.supervision_complexity, (GRAM, V[:3]), {}),
    "adjusted": (bounds.adjusted_supervision_complexity, (GRAM, V[:3]), {}),
    "first_view": (multiview.first_view, (drawn(2, 3, 4, 6),), {"num_views": 2}),
}
ANY_NUMBER = {"mean_peer", "from_mean_peer", "phuong19_student"}
"""Whose arguments need not have one number of rows: peers, points in any number."""
EITHER_SIGN = {"offset"}


def spoiled(value: Tensor) -> Tensor:
    """The tensor with its last entry not a number; of labels, with one that is no class."""
    changed = value.clone()
    changed.reshape(-1)[-1] = math.nan if value.is_floating_point() else 99
    return changed


def refused(door: str, args: tuple[Any, ...], settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        DOORS[door][0](*args, **settings)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.usefixtures("unchecked_shapes")
def test_every_argument_of_a_door_is_looked_at(door: str) -> None:
    function, args, settings = DOORS[door]
    function(*args, **settings)  # as it stands it is good
    for place, value in enumerate(args):
        refused(door, (*args[:place], spoiled(value), *args[place + 1 :]), settings)
        if value.is_floating_point():
            infinite = value.clone()
            infinite.reshape(-1)[0] = math.inf
            refused(door, (*args[:place], infinite, *args[place + 1 :]), settings)
        if len(args) > 1 and value.ndim and door not in ANY_NUMBER:
            refused(door, (*args[:place], value[:-1], *args[place + 1 :]), settings)
    for name, value in settings.items():
        if not isinstance(value, str):
            for bad in [math.nan] if name in EITHER_SIGN else [math.nan, -1]:
                refused(door, args, settings | {name: bad})


def agree(one: Any, other: Any, *, rtol: float) -> None:
    """Numbers, tensors, and records and collections of such, up to rounding."""
    if dataclasses.is_dataclass(one):
        one, other = vars(one), vars(other)
    if isinstance(one, dict):
        one, other = list(one.values()), list(other.values())
    if isinstance(one, (list, tuple)):
        for a, b in zip(one, other, strict=True):
            agree(a, b, rtol=rtol)
    elif isinstance(one, Tensor | float) and not isinstance(one, bool):
        a, b = torch.as_tensor(one).double(), torch.as_tensor(other).double()
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol * max(1.0, float(b.abs().max())))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.usefixtures("unchecked_shapes")
def test_arguments_may_have_different_precisions(door: str, dtype: torch.dtype) -> None:
    function, args, settings = DOORS[door]
    for place, value in enumerate(args):
        if not value.is_floating_point():
            continue
        rounded = value.to(dtype)
        law = value.ndim > 0 and bool(((value.sum(-1) - 1).abs() < 1e-9).all())  # rounded, it is one no more
        wide, rtol = (value, 20 * torch.finfo(dtype).eps) if law else (rounded.double(), 2e-4)
        found = function(*args[:place], rounded, *args[place + 1 :], **settings)
        agree(found, function(*args[:place], wide, *args[place + 1 :], **settings), rtol=rtol)


LEFT_OUT: dict[str, dict[str, Any]] = {
    "kd_loss": {"hard_weight": 0.75, "soft": "kl", "temperature_squared": True, "reduction": "batchmean"},
    "kd_gradient": {"temperature_squared": True},
    "jensen_shannon": {"beta": 0.5, "continuous": False},
    "entropy": {"temperature": 1.0},
    "mean_peer": {"temperature": 1.0},
    "from_mean_peer": {"temperature": 1.0},
    "attention_transfer": {"power": 2.0},
    "attention_masks": {"form": "joint"},
    "attention_masked_loss": {"form": "joint"},
    "attention_guided_loss": {"temperature": 0.1, "form": "joint", "map_weight": 1.0, "mask_weight": 1.0},
    "local_structure": {"edges": None, "similarity": "euclidean"},
    "local_structure_loss": {"edges": None, "similarity": "euclidean"},
    "polynomial": {"degree": 2, "offset": 0.0},
    "rbf": {"scale": 1.0},
    "correlation_kernel": {"gamma": 0.4, "order": 2},
    "correlation_congruence": {"gamma": 0.4, "order": 2},
    "similarity_probs": {"with_itself": False},
    "probabilistic_transfer": {"with_itself": False},
    "top_label": {"bins": 15},
    "cholesky": {"jitter": 0.0},
    "slope": {"temperature": 1.0, "temperature_squared": False},
    "effective_logits": {"temperature": 1.0, "temperature_squared": False},
    "overruling": {"temperature": 1.0, "temperature_squared": False},
    "eckart_young": {"norm": "frobenius"},
}
"""What the documentation says of settings that are not given: the papers' values, or ours."""


@pytest.mark.parametrize("door", LEFT_OUT)
def test_settings_left_out_are_what_the_documentation_says(door: str) -> None:
    function, args, settings = DOORS[door]
    rest = {name: value for name, value in settings.items() if name not in LEFT_OUT[door]}
    if door == "kd_loss":
        rest |= {"weight": 0.25}
    plain, given = function(*args, **rest), function(*args, **rest | LEFT_OUT[door])
    torch.testing.assert_close(plain, given, rtol=0, atol=0)


def test_another_default_device_is_told_where_it_is_what_a_call_fails_by() -> None:
    with torch.device("meta"):
        with pytest.raises(ValueError, match=r"the default device is meta, .* torch\.set_default_device"):
            MLP((4, 3, 2)).init(Stream(0), members=2)
        for said in ("as somebody else says", "CUDA error: device-side assert triggered"):
            with pytest.raises(RuntimeError, match=said):
                door(failing)(said)


def failing(said: str, /) -> None:
    raise RuntimeError(said)
