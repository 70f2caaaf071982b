"""Losses on features against explicit loops, known values and their own laws."""

from __future__ import annotations

import doctest
import importlib
from functools import partial

import naive_losses as naive
import pytest
import torch
from torch import nn

from kdtheory.losses import features as library
from kdtheory.losses.features import (
    SIMILARITIES,
    attention_guided_loss,
    attention_map_loss,
    attention_masked_loss,
    attention_masks,
    attention_transfer,
    hint_loss,
    local_structure,
    local_structure_loss,
    non_local_loss,
    non_local_relation,
    polynomial_similarity,
    rbf_similarity,
)

F64 = torch.float64
MODULES = ("hint", "attention", "non_local", "local_structure")


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def maps(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    return drawn(*shape, seed=1), drawn(*shape, seed=2)


def rotation(d: int) -> torch.Tensor:
    return torch.linalg.qr(drawn(d, d, seed=9)).Q


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_the_docstrings_hold(module):
    assert doctest.testmod(importlib.import_module(f"{library.__name__}.{module}")).failed == 0


def test_hint_is_its_loop_and_a_half_of_torchs_sum():
    student, teacher = maps(4, 3, 2, 2)
    assert float(hint_loss(student, teacher)) == pytest.approx(naive.hint(student, teacher), rel=1e-12)
    torch.testing.assert_close(hint_loss(student, teacher), nn.functional.mse_loss(student, teacher) * 12 / 2)


def test_a_trained_linear_hint_reaches_the_least_squares_residual():
    student, teacher = drawn(12, 4, seed=1), drawn(12, 6, seed=2)
    best = torch.linalg.lstsq(student, teacher).solution
    residual = float((teacher - student @ best).square().sum() / 24)
    weight = torch.zeros(4, 6, dtype=F64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = hint_loss(student, teacher, projection=lambda s: s @ weight)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert float(closure().detach()) == pytest.approx(residual, rel=1e-9)


@pytest.mark.parametrize("power", [1.0, 2.0, 3.5])
def test_attention_transfer_is_its_loop(power):
    student, teacher = drawn(3, 4, 3, 2, seed=1), drawn(3, 2, 3, 2, seed=2)
    expected = naive.attention_transfer(student, teacher, power)
    assert float(attention_transfer(student, teacher, power=power)) == pytest.approx(expected, rel=1e-12)


def test_attention_transfer_of_two_sizes_averages_the_larger_down():
    student, teacher = drawn(2, 3, 4, 4, seed=1), drawn(2, 3, 2, 2, seed=2)
    pooled = nn.functional.avg_pool2d(student, 2)
    torch.testing.assert_close(attention_transfer(student, teacher), attention_transfer(pooled, teacher))


@pytest.mark.parametrize("form", ["joint", "averaged"])
def test_attention_guided_losses_are_their_loops(form):
    student, teacher = maps(3, 4, 2, 3)
    on_maps, on_masks = naive.attention_guided(student, teacher, 0.5, form)
    found = attention_map_loss(student, teacher)
    masked = attention_masked_loss(student, teacher, temperature=0.5, form=form)
    assert float(found) == pytest.approx(on_maps, rel=1e-12)
    assert float(masked) == pytest.approx(on_masks, rel=1e-12)
    both = attention_guided_loss(
        student, teacher, temperature=0.5, form=form, map_weight=2.0, mask_weight=3.0
    )
    torch.testing.assert_close(both, 2 * found + 3 * masked)


@pytest.mark.parametrize("form", ["joint", "averaged"])
def test_masks_are_their_loops(form):
    student, teacher = maps(2, 3, 2, 4)
    places, channels = attention_masks(student, teacher, temperature=0.3, form=form)
    for example in range(2):
        s, t = student[example].tolist(), teacher[example].tolist()
        expected = naive.masks(s, t, 0.3, form)
        torch.testing.assert_close(places[example].flatten(), torch.tensor(expected[0], dtype=F64))
        torch.testing.assert_close(channels[example], torch.tensor(expected[1], dtype=F64))


def test_no_gradient_flows_through_the_masks():
    student, teacher = (side.requires_grad_() for side in maps(2, 3, 2, 2))
    loss = attention_masked_loss(student, teacher, temperature=0.1)
    spatial, channel = attention_masks(student.detach(), teacher.detach(), temperature=0.1)
    weights = spatial[:, None] * channel[:, :, None, None]
    fixed = ((student - teacher).square() * weights).flatten(1).sum(1).sqrt().mean()
    torch.testing.assert_close(torch.autograd.grad(loss, student), torch.autograd.grad(fixed, student))


def test_equal_maps_cost_nothing_and_send_a_finite_gradient():
    student = drawn(2, 3, 2, 2).requires_grad_()
    for loss in (attention_guided_loss, non_local_loss, attention_transfer):
        value = loss(student, student.detach().clone())
        assert float(value.detach()) == 0
        assert torch.isfinite(torch.autograd.grad(value, student)[0]).all()


def test_non_local_relation_is_its_loop_on_oblong_maps():
    features = drawn(2, 3, 2, 4)
    for example, found in zip(features.tolist(), non_local_relation(features), strict=True):
        expected = torch.tensor(naive.non_local(example), dtype=F64).permute(2, 0, 1)
        torch.testing.assert_close(found, expected)


def test_non_local_loss_takes_functions_and_any_width_that_they_bring_to_one():
    student, teacher = drawn(2, 3, 2, 2, seed=1), drawn(2, 5, 2, 2, seed=2)
    value = partial(torch.mean, dim=-1, keepdim=True)
    found = non_local_loss(student, teacher, value=value, pair=lambda a, b: (a @ b.mT).softmax(-1))
    expected = 0.0
    for s, t in zip(student, teacher, strict=True):
        relations = []
        for side in (s.flatten(1).mT, t.flatten(1).mT):
            relations.append((side @ side.mT).softmax(-1) @ side.mean(1, keepdim=True) / 4)
        expected += float((relations[0] - relations[1]).norm()) / 2
    assert float(found) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("similarity", sorted(SIMILARITIES))
@pytest.mark.parametrize("graph", ["complete", "ring"])
def test_local_structure_is_its_loop(similarity, graph):
    student, teacher = drawn(5, 3, seed=1) / 2, drawn(5, 4, seed=2) / 2
    ring = torch.eye(5, dtype=torch.bool).roll(1, 1) | torch.eye(5, dtype=torch.bool).roll(-1, 1)
    edges = None if graph == "complete" else ring
    listed = (~torch.eye(5, dtype=torch.bool) if edges is None else edges).tolist()
    found = local_structure(student, edges=edges, similarity=similarity)
    expected = torch.tensor(naive.local_structure(student, listed, similarity), dtype=F64)
    torch.testing.assert_close(found, expected)
    loss = local_structure_loss(student, teacher, edges=edges, similarity=similarity)
    wanted = naive.local_structure_loss(student, teacher, listed, similarity)
    assert float(loss) == pytest.approx(wanted, rel=1e-10)


def test_settings_of_a_similarity_come_by_partial():
    student, teacher = drawn(4, 3, seed=1), drawn(4, 3, seed=2)
    plain = local_structure_loss(student, teacher, similarity="polynomial")
    given = local_structure_loss(student, teacher, similarity=partial(polynomial_similarity, degree=2))
    torch.testing.assert_close(given, plain)
    wide = local_structure_loss(student, teacher, similarity=partial(rbf_similarity, scale=1e9))
    assert float(wide) == pytest.approx(0, abs=1e-15)  # all alike


def test_off_the_edges_there_is_no_gradient():
    student = drawn(4, 3, seed=1).requires_grad_()
    edges = torch.tensor([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]], dtype=torch.bool)
    loss = local_structure_loss(student, drawn(4, 3, seed=2), edges=edges)
    assert torch.isfinite(torch.autograd.grad(loss, student)[0]).all()


@pytest.mark.parametrize("similarity", ["euclidean", "rbf", "linear", "polynomial"])
def test_local_structure_ignores_rotations_and_some_ignore_translations(similarity):
    features = drawn(6, 3)
    plain = local_structure(features, similarity=similarity)
    torch.testing.assert_close(local_structure(features @ rotation(3), similarity=similarity), plain)
    moved = local_structure(features + 2, similarity=similarity)
    assert torch.allclose(moved, plain) == (similarity in ("euclidean", "rbf"))


@pytest.mark.parametrize(
    "loss",
    [
        hint_loss,
        attention_transfer,
        attention_map_loss,
        partial(attention_masked_loss, temperature=0.5),
        non_local_loss,
        partial(local_structure_loss, similarity="rbf"),
    ],
)
def test_losses_have_right_gradients(loss):
    student, teacher = (side.requires_grad_() for side in maps(3, 2, 2, 2))
    if isinstance(loss, partial) and loss.func is attention_masked_loss:
        return  # its masks are constants on purpose: tested above
    assert torch.autograd.gradcheck(loss, (student, teacher))


Z, M = torch.zeros(4, 3), torch.zeros(2, 3, 2, 2)
BAD = {
    "hint: batches": (lambda: hint_loss(Z, Z[:2]), "b = 4 in student_features"),
    "hint: shapes": (lambda: hint_loss(Z, Z[:, :2]), "give a projection"),
    "hint: NaN": (lambda: hint_loss(Z, Z * torch.nan), "teacher_features holds 12 NaN"),
    "hint: no batch": (lambda: hint_loss(Z[0], Z[0]), "student_features has shape"),
    "transfer: no maps": (lambda: attention_transfer(Z, Z), r"give the axes \[b c h w\]"),
    "transfer: power": (lambda: attention_transfer(M, M, power=0.0), "power = 0"),
    "masks: T": (lambda: attention_masks(M, M, temperature=0.0), "temperature = 0"),
    "masks: form": (lambda: attention_masks(M, M, temperature=1.0, form="sum"), "form = 'sum'"),
    "masks: shapes": (lambda: attention_masks(M, M[:, :1], temperature=1.0), "must be the same"),
    "non-local: widths": (lambda: non_local_loss(M, M[:, :1]), "the student's relation"),
    "structure: one example": (lambda: local_structure(Z[:1]), "must be a whole number of at least 2"),
    "structure: similarity": (lambda: local_structure(Z, similarity="cosine"), "similarity = 'cosine'"),
    "structure: lonely": (
        lambda: local_structure(Z, edges=torch.zeros(4, 4, dtype=torch.bool)),
        "4 examples without neighbours",
    ),
    "structure: edges": (lambda: local_structure(Z, edges=torch.ones(4, 3)), r"a boolean tensor"),
    "structure: degree": (lambda: polynomial_similarity(Z, degree=0), "degree = 0"),
    "structure: beyond all numbers": (
        lambda: local_structure_loss(Z, Z + 1e15, similarity="polynomial"),
        r"teacher_features has similarities of NaN or \+inf",
    ),
    "structure: scale": (lambda: rbf_similarity(Z, scale=-1.0), "scale = -1"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_named(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
