"""Best low-rank and best sparse approximations against searches, enumeration and SciPy."""

from __future__ import annotations

import itertools
import math

import pytest
import scipy.linalg
import torch
import torch.nn.utils.prune

from kdtheory.compression import (
    best_sparse,
    eckart_young_error,
    largest_entries,
    low_rank_factors,
    model_size,
    predictions_unchanged,
    sparse_bits,
    sparse_error,
    truncated_svd,
)
from kdtheory.streams import Stream


def matrix(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=Stream(seed).torch())


@pytest.mark.parametrize("rank", [0, 1, 3, 5])
def test_truncated_svd_attains_the_eckart_young_error(rank: int) -> None:
    w = matrix(0, 4, 5, 7)  # a batch
    off = w - truncated_svd(w, rank=rank)
    singular = torch.stack([torch.from_numpy(scipy.linalg.svdvals(one.numpy())) for one in w])
    assert torch.allclose(off.flatten(1).norm(dim=1), singular[:, rank:].square().sum(1).sqrt(), atol=1e-12)
    assert torch.allclose(off.flatten(1).norm(dim=1), eckart_young_error(w, rank=rank), atol=1e-12)
    spectral = torch.linalg.matrix_norm(off, ord=2)
    assert torch.allclose(spectral, eckart_young_error(w, rank=rank, norm="spectral"), atol=1e-12)
    left, right = low_rank_factors(w, rank=rank)
    assert left.shape == (4, 5, rank)
    assert right.shape == (4, rank, 7)


def test_no_factors_found_by_descent_are_nearer() -> None:
    w = matrix(1, 6, 5)
    parts = [matrix(2, 6, 2).requires_grad_(), matrix(3, 2, 5).requires_grad_()]
    optimizer = torch.optim.LBFGS(parts, max_iter=1000, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (w - parts[0] @ parts[1]).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    found, best = float(closure().detach().sqrt()), float(eckart_young_error(w, rank=2))
    assert best - 1e-9 <= found <= best * 1.001


def test_best_sparse_against_every_mask() -> None:
    w = matrix(4, 3, 3)
    for kept in range(10):
        every = [
            float(w.reshape(-1)[list(out)].square().sum().sqrt())
            for out in itertools.combinations(range(9), 9 - kept)
        ]
        assert math.isclose(float(sparse_error(w, kept=kept)), min(every), abs_tol=1e-12)
        near = best_sparse(w, kept=kept)
        assert int((near != 0).sum()) == kept
        assert math.isclose(float((w - near).norm()), min(every), abs_tol=1e-12)


def test_ties_keep_exactly_as_many_as_asked() -> None:
    assert largest_entries(torch.ones(2, 5), kept=3).sum(-1).tolist() == [3, 3]


@pytest.mark.parametrize(("entries", "kept"), [(10, 0), (10, 10), (10, 4), (500, 123)])
def test_sparse_bits_count_the_subsets(entries: int, kept: int) -> None:
    subsets = math.comb(entries, kept)
    places = (subsets - 1).bit_length()
    assert sparse_bits(entries, kept, bits_per_weight=8) == entries.bit_length() + places + 8 * kept


def test_model_size_takes_the_shorter_code_of_each_array() -> None:
    layer = torch.nn.Linear(100, 10)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, :3] = 1
        layer.bias.fill_(1)
    size = model_size(layer, bits_per_weight=16)
    assert (size.parameters, size.nonzero) == (1010, 13)
    assert size.bits == sparse_bits(1000, 3, bits_per_weight=16) + 160


def test_margin_above_the_change_keeps_the_argmax_and_below_does_not() -> None:
    logits = matrix(5, 200, 4)
    top = logits.topk(2).values
    change = float((top[:, 0] - top[:, 1]).median()) / math.sqrt(2)
    safe = predictions_unchanged(logits, change=change)
    # The worst change moves the first two towards each other, along (1, −1)/√2.
    worst = logits.clone()
    order = logits.argsort(descending=True)
    worst.scatter_add_(1, order[:, :1], torch.full((200, 1), -change / math.sqrt(2)).double())
    worst.scatter_add_(1, order[:, 1:2], torch.full((200, 1), change / math.sqrt(2)).double())
    same = worst.argmax(1) == logits.argmax(1)
    assert bool((same == safe).sum() >= 199)  # the median itself ties
    assert bool(same[safe].all())


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: truncated_svd(torch.ones(2, 3), rank=3), "rank"),
        (lambda: truncated_svd(torch.ones(3), rank=1), "weight"),
        (lambda: truncated_svd(torch.ones(2, 2) * math.inf, rank=1), "weight"),
        (lambda: eckart_young_error(torch.ones(2, 2), rank=1, norm="l1"), "norm"),
        (lambda: best_sparse(torch.ones(2, 2), kept=5), "kept"),
        (lambda: largest_entries(torch.ones(2), kept=-1), "kept"),
        (lambda: sparse_bits(3, 4), "kept"),
        (lambda: model_size(torch.nn.Linear(1, 1), bits_per_weight=0), "bits_per_weight"),
        (lambda: predictions_unchanged(torch.ones(2, 3), change=-1.0), "change"),
    ],
)
def test_bad_input_is_named(call, named: str, unchecked_shapes: None) -> None:
    with pytest.raises(ValueError, match=named):
        call()


@pytest.mark.parametrize(
    ("entries", "kept"),
    [(2**20, 1), (2**24 + 1, 2), (2**28 - 1, 2**28 - 3), (2**30, 1), (2**50, 1), (20_001, 7_003)],
)
def test_sparse_bits_of_large_arrays_are_whole_numbers(entries: int, kept: int) -> None:
    places = (math.comb(entries, min(kept, entries - kept)) - 1).bit_length()
    assert sparse_bits(entries, kept) == entries.bit_length() + places + 32 * kept


@pytest.mark.parametrize("size", [1e25, 1e-25])
def test_errors_of_matrices_do_not_leave_the_range_of_their_type(size: float) -> None:
    w = torch.diag(torch.tensor([5.0, 4.0, 3.0])) * size
    assert float(eckart_young_error(w, rank=1)) == pytest.approx(5 * size, rel=1e-6)
    assert float(sparse_error(w, kept=1)) == pytest.approx(5 * size, rel=1e-6)


def test_only_a_mask_of_its_own_hides_entries_of_a_parameter() -> None:
    class Odd(torch.nn.Module):
        """A parameter with the name that pruning gives, and no mask; and a buffer that is none."""

        def __init__(self) -> None:
            super().__init__()
            self.scale_orig = torch.nn.Parameter(torch.ones(5))
            self.layer = torch.nn.Linear(4, 2, bias=False)
            self.register_buffer("layer_mask", torch.zeros(2, 4))

    odd = Odd()
    assert (model_size(odd).parameters, model_size(odd).nonzero) == (13, 13)
    torch.nn.utils.prune.l1_unstructured(odd.layer, "weight", amount=6)
    assert (model_size(odd).parameters, model_size(odd).nonzero) == (13, 7)
    assert model_size(odd).bits == 5 * 32 + sparse_bits(8, 2, bits_per_weight=32)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
def test_the_two_factors_have_one_norm(shape: tuple[int, int]) -> None:
    w = matrix(6, *shape)
    left, right = low_rank_factors(w, rank=3)
    torch.testing.assert_close(left.mT @ left, right @ right.mT)
    torch.testing.assert_close(left @ right, w)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_margin_is_not_rounded_up_to_what_is_safe(dtype: torch.dtype) -> None:
    logits = torch.randn(5000, 2, generator=torch.Generator().manual_seed(0)).to(dtype)
    margins = (logits[:, 0].double() - logits[:, 1].double()).abs()
    for change in (float(margins.median()), float((logits[:, 0] - logits[:, 1]).abs().median())):
        safe = predictions_unchanged(logits, change=change / math.sqrt(2))
        assert not bool(safe[margins < change * (1 - 1e-12)].any())
