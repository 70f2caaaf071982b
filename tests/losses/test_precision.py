"""Half precision, near agreement, extreme temperatures, features that vanish or coincide."""

from functools import partial

import pytest
import torch

from kdtheory import risk
from kdtheory.bounds.empirical_bernstein import maurer09_covering_radius, maurer09_finite_class_radius
from kdtheory.bounds.margins import margin_surrogate
from kdtheory.bounds.norm_margin import ramp_loss
from kdtheory.losses import (
    SOFT_TERMS,
    distillation,
    entropy,
    jensen_shannon,
    kd_gradient,
    kd_loss,
    kl_divergence,
    reverse_kl_divergence,
    squared_prob_distance,
    tempered_softmax,
    transformed_teacher_matching,
    zheng24_terms,
)
from kdtheory.losses.features import (
    attention_guided_loss,
    attention_transfer,
    hint_loss,
    local_structure_loss,
    non_local_loss,
)
from kdtheory.losses.mutual import PeerDivergence, divergence_from_mean_peer, mean_peer_divergence
from kdtheory.losses.relations import (
    correlation_congruence,
    flow_matrix_loss,
    probabilistic_transfer,
    relational_angle_loss,
    relational_distance_loss,
    similarity_preserving,
)
from kdtheory.ntk import relative_deviation
from kdtheory.transfer_risk import projection_angle

HALF = [torch.bfloat16, torch.float16]
DIVERGENCES = {
    "kl": kl_divergence,
    "reverse": reverse_kl_divergence,
    "jsd": partial(jensen_shannon, beta=0.3),
    "continuous jsd": partial(jensen_shannon, beta=0.1, continuous=True),
    "squared": squared_prob_distance,
}


def near(apart: float, shape: tuple[int, int] = (64, 100)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    teacher = 2 * torch.randn(shape, generator=generator)
    return teacher + apart * torch.randn(shape, generator=generator), teacher


@pytest.mark.parametrize("apart", [1e-6, 1e-3, 0.02, 0.3])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_divergences_keep_their_digits_near_the_teacher(name: str, apart: float) -> None:
    student, teacher = near(apart)
    found = DIVERGENCES[name](student, teacher)
    gap = (student.double() - teacher.double())[..., None, :]
    probs = teacher.double().softmax(-1)[..., None, :]
    exact = DIVERGENCES[name](student.double(), teacher.double())
    if name == "kl" and apart < 0.1:  # ln Σ p e^u − Σ p u by its first terms
        centred = gap - (probs * gap).sum(-1, keepdim=True)
        series = (probs * (centred**2 / 2 + centred**3 / 6 + centred**4 / 24)).sum(-1).log1p()[..., 0]
        torch.testing.assert_close(exact, series, rtol=1e-5, atol=0)
    assert bool((found >= 0).all())
    torch.testing.assert_close(found.double(), exact, rtol=2e-4, atol=0)


def test_gradients_near_the_teacher_are_those_of_float64() -> None:
    for name, divergence in DIVERGENCES.items():
        student, teacher = near(0.01)
        slopes = []
        for dtype in (torch.float32, torch.float64):
            at = student.to(dtype).requires_grad_()
            slopes.append(torch.autograd.grad(divergence(at, teacher.to(dtype)).sum(), at)[0].double())
        torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-3, atol=1e-8, msg=name)


def test_rows_that_are_near_and_rows_that_are_not_stand_side_by_side() -> None:
    student, teacher = near(0.01)
    student[::2] = student[::2].flip(-1)
    student[1, 0] = teacher[1, 0] = -torch.inf
    found = kl_divergence(student, teacher)
    torch.testing.assert_close(
        found.double(), kl_divergence(student.double(), teacher.double()), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("soft", SOFT_TERMS)
@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0, 1000.0])
def test_losses_of_half_precision_logits_are_those_of_the_same_numbers_in_float64(
    dtype: torch.dtype, soft: str, temperature: float
) -> None:
    student, teacher = (logits.to(dtype).requires_grad_() for logits in near(0.05))
    labels = torch.arange(64)
    found = kd_loss(student, teacher, labels, temperature=temperature, weight=0.9, soft=soft)
    exact = kd_loss(
        student.double(), teacher.double(), labels, temperature=temperature, weight=0.9, soft=soft
    )
    assert found.dtype is torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-6)
    (slope,) = torch.autograd.grad(found, student)
    assert slope.dtype is dtype
    assert bool(torch.isfinite(slope).all())


@pytest.mark.parametrize("temperature", [1e-46, 1e-20, 1e20, 1e40])
def test_extreme_temperatures_give_their_limits(temperature: float) -> None:
    student, teacher = near(0.5, (4, 10))
    law = tempered_softmax(teacher, temperature=temperature)
    uniform = torch.full_like(law, 0.1)
    limit = uniform if temperature > 1 else torch.eye(10)[teacher.argmax(-1)]
    torch.testing.assert_close(law, limit)
    if temperature == 1e20:
        gap = student - teacher
        limit = (gap - gap.mean(-1, keepdim=True)).square().mean(-1).mean() / 2
        found = kd_loss(student, teacher, None, temperature=temperature, weight=1.0)
        torch.testing.assert_close(found, limit)


@pytest.mark.parametrize("call", ["loss", "gradient", "softmax", "entropy", "weight"])
def test_a_column_of_settings_makes_no_table(call: str) -> None:
    student, teacher = near(0.1, (6, 5))
    column, labels = torch.ones(6, 1), torch.arange(6) % 5
    calls = {
        "loss": lambda: kd_loss(student, teacher, labels, temperature=column, weight=0.5),
        "gradient": lambda: kd_gradient(student, teacher, labels, temperature=column, weight=0.5),
        "softmax": lambda: tempered_softmax(teacher, temperature=column),
        "entropy": lambda: entropy(teacher, temperature=column),
        "weight": lambda: kd_loss(student, teacher, labels, temperature=1.0, weight=column / 2),
    }
    with pytest.raises(ValueError, match=r"\(6, 1\).*one for each example"):
        calls[call]()


def test_probabilities_in_half_precision_are_accepted_within_what_it_can_hold() -> None:
    _, teacher = near(0.0)
    labels = torch.arange(64)
    for dtype in HALF:
        probs = teacher.softmax(-1).to(dtype)
        found = risk.top_label_calibration_error(probs, labels)
        exact = risk.top_label_calibration_error(teacher.softmax(-1).double(), labels)
        assert abs(float(found) - float(exact)) < 0.01
        with pytest.raises(ValueError, match="misses a sum of one"):
            risk.top_label_calibration_error(probs * 1.05, labels)
        losses = torch.ones(64, 100, dtype=dtype) / 3
        assert float(risk.distilled_risk(losses, probs)) == pytest.approx(1 / 3, rel=5e-3)


PAIRED = {
    "rkd distance": relational_distance_loss,
    "rkd angle": relational_angle_loss,
    "similarity": similarity_preserving,
    "congruence": correlation_congruence,
    "gaussian congruence": partial(correlation_congruence, order=None),
    "pkt": probabilistic_transfer,
    "hint": hint_loss,
}
SPOILT = {
    "a zero row": lambda rows: rows[2].zero_(),
    "two equal rows": lambda rows: rows[1].copy_(rows[0]),
    "rows equal up to rounding": lambda rows: rows[1].copy_(rows[0] * (1 + 1e-7)),
    "a row that is nearly zero": lambda rows: rows[2].mul_(1e-12),
}


@pytest.mark.parametrize("name", PAIRED)
@pytest.mark.parametrize("spoilt", SPOILT)
def test_gradients_are_bounded_where_features_vanish_or_coincide(name: str, spoilt: str) -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(2, 6, 4, generator=generator)
    usual = student.clone().requires_grad_()
    (reference,) = torch.autograd.grad(PAIRED[name](usual, teacher), usual)
    SPOILT[spoilt](student)
    student.requires_grad_()
    (slope,) = torch.autograd.grad(PAIRED[name](student, teacher), student)
    assert float(slope.norm()) < 100 * max(1.0, float(reference.norm()))


def test_the_scale_of_small_features_does_not_count() -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    for name in ("rkd angle", "similarity", "congruence", "pkt"):
        loss = PAIRED[name]
        torch.testing.assert_close(loss(1e-14 * student, teacher), loss(student, teacher))


@pytest.mark.parametrize("power", [0.3, 0.5, 1.0, 2.0])
def test_attention_of_dead_units_has_a_finite_gradient(power: float) -> None:
    maps = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    student = maps.relu()
    student[0] = 0
    student.requires_grad_()
    (slope,) = torch.autograd.grad(attention_transfer(student, maps, power=power), student)
    assert float(slope.abs().max()) < 1e3


@pytest.mark.parametrize("dtype", HALF)
def test_relations_in_half_precision_are_those_of_the_same_numbers(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = (side.to(dtype) for side in torch.randn(2, 6, 4, generator=generator))
    for loss in PAIRED.values():
        exact = loss(student.double(), teacher.double())
        torch.testing.assert_close(loss(student, teacher).double(), exact, rtol=1e-4, atol=1e-6)
    maps = [torch.randn(2, 3, 4, 4, generator=generator).to(dtype) for _ in range(2)]
    wide = [side.double() for side in maps]
    for loss in (attention_transfer, lambda s, t: flow_matrix_loss((s, s), (t, t))):
        torch.testing.assert_close(loss(*maps).double(), loss(*wide), rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (torch.eye(2).repeat(2, 1), torch.tensor([0, -100, 0, 1]), "leave out the points to ignore"),
        (torch.eye(2), torch.tensor([7, 7]), "labels must lie in 0 to 1"),
        (torch.full((4, 2), float("nan")), torch.zeros(4, dtype=torch.long), "NaN"),
        (torch.eye(3), torch.eye(3), "whole class numbers"),
        (torch.eye(3), torch.eye(3).long(), "one-hot"),
        (torch.eye(3).long(), torch.arange(3), "floating-point"),
    ],
)
def test_accuracy_refuses_what_it_cannot_count(
    logits: torch.Tensor, labels: torch.Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        risk.accuracy(logits, labels)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.uint32, torch.uint64])
def test_labels_of_any_whole_type(dtype: torch.dtype) -> None:
    student, teacher = near(0.1, (6, 5))
    labels = (torch.arange(6) % 5).to(dtype)
    found = kd_loss(student, teacher, labels, temperature=2.0, weight=0.5)
    torch.testing.assert_close(found, kd_loss(student, teacher, labels.long(), temperature=2.0, weight=0.5))
    assert 0 <= float(risk.accuracy(student, labels)) <= 1


@pytest.mark.parametrize("temperature", [0.05, 0.5, 4.0])
@pytest.mark.parametrize("soft", ["kl", "reverse_kl", "jsd", "mse_probs"])
def test_divergences_are_never_negative(soft: str, temperature: float) -> None:
    student, teacher = near(0.01)
    probs = teacher.softmax(-1)
    for losses in (
        kd_loss(student, teacher, None, temperature=temperature, weight=1.0, soft=soft, reduction="none"),
        distillation(student, probs, None, temperature=temperature, soft=soft),
        distillation(student, student.softmax(-1), None, temperature=temperature, soft=soft),
    ):
        assert bool((losses >= 0).all())
    at = teacher.clone().requires_grad_()  # where rounding was cut off, the gradient is there still
    wide = teacher.double().requires_grad_()
    for logits in (at, wide):
        sharp = logits.detach() + 1e-3 * torch.sign(student - teacher)
        kd_loss(logits, sharp, None, temperature=temperature, weight=1.0, soft=soft).backward()
    torch.testing.assert_close(at.grad.double(), wide.grad, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-20, 1e-10, 1e10, 1e15])
@pytest.mark.parametrize(
    "name", ["rkd distance", "rkd angle", "similarity", "congruence", "pkt", "attention"]
)
def test_losses_that_see_no_scale_hold_at_any_scale_that_float32_has(name: str, scale: float) -> None:
    loss = PAIRED.get(name, partial(attention_transfer, power=4.0))
    student, teacher = torch.randn(2, 5, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    slopes = []
    for factor, dtype in ((scale, torch.float32), (1.0, torch.float64)):
        at = (student.to(dtype) * factor).requires_grad_()
        found = loss(at, teacher.to(dtype))
        slopes.append(factor * torch.autograd.grad(found, at)[0].double())
    torch.testing.assert_close(found, loss(student * scale, teacher * scale).double(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-3, atol=1e-5)


def test_attention_of_one_example_does_not_depend_on_how_large_the_others_are() -> None:
    student, teacher = torch.randn(2, 4, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    alone = attention_transfer(student, teacher, power=4.0)
    sizes = torch.tensor([1.0, 1e-3, 1e3, 1e6])[:, None, None, None]
    torch.testing.assert_close(attention_transfer(student * sizes, teacher, power=4.0), alone)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_what_is_no_real_number_of_two_bytes_is_refused_in_a_sentence(dtype: torch.dtype) -> None:
    maps, logits = torch.ones(4, 3, 2, 2).to(dtype), torch.ones(4, 3).to(dtype)
    of_maps = [
        *PAIRED.values(),
        attention_transfer,
        attention_guided_loss,
        non_local_loss,
        local_structure_loss,
    ]
    for loss in (*of_maps, lambda s, t: flow_matrix_loss((s, s), (t, t))):
        with pytest.raises(ValueError, match=r"has dtype .*give floating-point numbers"):
            loss(maps, maps)
    matching = partial(transformed_teacher_matching, temperature=2.0)
    for loss in (*DIVERGENCES.values(), matching, partial(zheng24_terms, temperature=2.0)):
        with pytest.raises(ValueError, match=r"has dtype .*give floating-point numbers"):
            loss(logits, logits)


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.8])
def test_a_jensen_shannon_of_neighbours_is_its_definition(beta: float) -> None:
    generator = torch.Generator().manual_seed(0)
    teacher, moved = torch.randn(2, 6, 4, dtype=torch.float64, generator=generator)
    student = teacher + 0.05 * moved
    p, q = teacher.softmax(-1), student.softmax(-1)
    mixed = beta * p + (1 - beta) * q
    wanted = beta * (p * (p / mixed).log()).sum(-1) + (1 - beta) * (q * (q / mixed).log()).sum(-1)
    torch.testing.assert_close(jensen_shannon(student, teacher, beta=beta), wanted, rtol=1e-9, atol=0)


SIDES = tuple(torch.randn(6, 8, 4, 4, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
RELATIONS = {
    "similarity": similarity_preserving,
    "correlation": correlation_congruence,
    "pkt": probabilistic_transfer,
    "distance": relational_distance_loss,
    "angle": relational_angle_loss,
    "flow": lambda one, other: flow_matrix_loss((one, one.relu()), (other, other.relu())),
    "non-local": non_local_loss,
    "local structure": partial(local_structure_loss, similarity="linear"),
    "attention": attention_transfer,
    "guided": attention_guided_loss,
    "hint": hint_loss,
}


@pytest.mark.parametrize("low", HALF)
@pytest.mark.parametrize("name", RELATIONS)
def test_autocast_rounds_what_layers_say_and_not_their_losses(name: str, low: torch.dtype) -> None:
    def slope(loss: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(loss, student)[0]  # as torch says, where autocast has ended

    student = SIDES[0].clone().requires_grad_()
    truth = RELATIONS[name](student, SIDES[1])
    with torch.autocast("cpu", dtype=low):
        found = RELATIONS[name](student, SIDES[1])
    assert torch.equal(found, truth)
    assert torch.equal(slope(found, student), slope(truth, student))


@pytest.mark.parametrize("divergence", [mean_peer_divergence, divergence_from_mean_peer])
@pytest.mark.parametrize("apart", [0.0, 1e-6, 1e-3, 0.02])
def test_divergences_from_peers_keep_their_digits_near_them(divergence: PeerDivergence, apart: float) -> None:
    student, peer = near(apart)
    peers = torch.stack([peer, peer])
    found = divergence(student, peers, temperature=4.0)
    exact = kl_divergence(student.double() / 4, peer.double() / 4)
    assert bool((found >= 0).all())
    torch.testing.assert_close(found.double(), exact, rtol=2e-3, atol=1e-11)


def test_pkt_keeps_its_digits_where_the_similarities_nearly_agree() -> None:
    for shift, apart in ((0.0, 1e-3), (0.0, 0.05), (300.0, 1.0)):
        student, teacher = (features + shift for features in near(apart, (6, 20)))
        found = probabilistic_transfer(student, teacher)
        exact = probabilistic_transfer(student.double(), teacher.double())
        assert float(found) >= 0
        assert float(found) == pytest.approx(float(exact), rel=2e-3, abs=1e-11)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("soft", SOFT_TERMS)
def test_bare_terms_of_half_precision_are_those_of_the_same_numbers_in_float32(
    dtype: torch.dtype, soft: str
) -> None:
    student, teacher = (logits.to(dtype) for logits in near(0.05))
    found = SOFT_TERMS[soft](student, teacher)
    torch.testing.assert_close(found, SOFT_TERMS[soft](student.float(), teacher.float()), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", HALF)
def test_numbers_made_of_half_precision_are_those_of_the_same_numbers_in_float64(dtype: torch.dtype) -> None:
    values = torch.linspace(0.011, 0.97, 64).to(dtype)
    other = values.flip(0)
    calls = {
        "finite class": partial(maurer09_finite_class_radius, n=100, class_size=3, delta=0.05),
        "covering": partial(maurer09_covering_radius, n=100, covering_number=3, delta=0.05),
        "surrogate": partial(margin_surrogate, gamma=0.7, num_classes=5),
        "ramp": partial(ramp_loss, gamma=0.7),
        "deviation": lambda part: relative_deviation(part, other.to(part), torch.ones_like(part)),
        "angle": lambda part: projection_angle(part, part.new_ones(()))[0],
    }
    for name, call in calls.items():
        found, exact = call(values), call(values.double())
        assert found.dtype is torch.float32, name
        if name != "angle":
            torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-7, msg=name)
        else:  # rounded up by what half precision may have lost
            assert bool((found >= exact).all())
