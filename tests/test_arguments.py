"""Arguments of another kind than the annotation names: what is taken for it, and the sentence for others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import nan
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kdtheory import MLP, Stream
from kdtheory.bounds import (
    clopper34_holdout,
    exact_rademacher,
    finite_class,
    gaussian_kl,
    multiclass_margin,
    sauer72_log_growth,
    size_needed,
    softmax_distance,
)
from kdtheory.bounds.agreement import agreement_of_classes
from kdtheory.coding import decode_architecture
from kdtheory.compression import factorise, pruned, truncated_svd
from kdtheory.losses import kd_loss, label_loss, renyi_entropy, tempered_softmax
from kdtheory.losses.labelwise import softmax_margin_loss, zero_one_loss
from kdtheory.losses.mutual import mutual_loss
from kdtheory.multiview import ComparisonPlan
from kdtheory.networks import Inputs, ModuleArchitecture
from kdtheory.ntk import LinearKernel, fill_gram
from kdtheory.ntk.linearised import relative_deviation
from kdtheory.recipe import Recipe
from kdtheory.risk import top_label_calibration_error
from kdtheory.roles import Arguments
from kdtheory.schemes import hinton
from kdtheory.self_distillation import mobahi20_sparsity_growth
from kdtheory.stochastic import GaussianPosterior

pytestmark = pytest.mark.usefixtures("unchecked_shapes")
F64 = torch.float64
Z = torch.tensor([[1.0, 2.0, 0.5], [0.0, 3.0, 1.0]], dtype=F64)
Y = torch.tensor([1, 0])
P = Z.softmax(-1)
KD = {"temperature": 2.0, "weight": 0.5}
POSTERIOR = GaussianPosterior(MLP((2, 3)), torch.zeros(9), torch.ones(9), torch.zeros(9))
HELD = partial(clopper34_holdout, torch.zeros(9), independent_draws=True)


SAME: dict[str, tuple[Callable[[Any], Any], Any, tuple[Any, ...]]] = {
    "a count": (lambda n: sauer72_log_growth(3, n=n), 9, (9.0, np.int64(9), np.array(9.0), torch.tensor(9))),
    "bins": (lambda b: top_label_calibration_error(P, Y, bins=b), 5, (5.0, np.float32(5), torch.tensor(5.0))),
    "a rank": (lambda r: truncated_svd(Z, rank=r), 1, (1.0, np.uint8(1), torch.tensor(1))),
    "steps": (lambda n: Recipe(steps=n).steps, 3, (3.0, np.int32(3), torch.tensor(3.0))),
    "widths": (lambda w: MLP(w).widths, (4, 3), ([4, 3], np.array([4, 3]), torch.tensor([4, 3]), (4.0, 3))),
    "a rate": (
        lambda d: HELD(delta=d, fixed_in_advance=True).value,
        0.25,
        (np.float64(0.25), torch.tensor(0.25)),
    ),
    "a flag": (
        lambda f: HELD(delta=0.1, fixed_in_advance=f).certificate,
        True,
        (np.True_, torch.tensor(True)),
    ),
    "labels": (
        lambda y: multiclass_margin(Z, y),
        Y,
        tuple(
            Y.to(t) for t in (torch.uint8, torch.int8, torch.uint16, torch.int32, torch.uint32, torch.uint64)
        ),
    ),
    "labels of kd_loss": (
        lambda y: kd_loss(Z, Z, y, **KD),
        Y,
        tuple(Y.to(t) for t in (torch.uint8, torch.uint64)),
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_what_means_the_same_is_taken_for_it(case: str) -> None:
    call, plain, others = SAME[case]
    expected = call(plain)
    for other in others:
        found = call(other)
        assert type(found) is type(expected)
        assert bool(torch.as_tensor(found == expected).all()), other


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a broken count": (lambda: truncated_svd(Z, rank=1.5), "rank = 1.5 must be a whole number"),
    "a truth value as a count": (lambda: truncated_svd(Z, rank=True), "rank = True must be a whole number"),
    "a text as a count": (lambda: Recipe(steps="3"), "steps = '3' must be a whole number"),  # type: ignore
    "None as a count": (lambda: truncated_svd(Z, rank=None), "rank = None must be a whole number"),  # type: ignore
    "NaN as a count": (lambda: size_needed(lambda n: 1 / n, least=nan), "least = nan must be a whole number"),  # type: ignore
    "NaN as a rate": (lambda: HELD(delta=nan, fixed_in_advance=True), "delta = nan must be a real number"),
    "a text as a rate": (lambda: renyi_entropy(Z, order="2"), "order = '2' must be a real number"),  # type: ignore
    "a text as a flag": (
        lambda: HELD(delta=0.1, fixed_in_advance="no"),
        "fixed_in_advance = 'no' must be True",
    ),
    "1 as a flag": (
        lambda: HELD(delta=0.1, fixed_in_advance=1),
        "fixed_in_advance = 1 must be True or False",
    ),
    "a number that asks for a gradient": (
        lambda: renyi_entropy(Z, order=torch.tensor(2.0, requires_grad=True)),  # type: ignore
        "order asks for a gradient",
    ),
    "a list as logits": (lambda: kd_loss(Z.tolist(), Z, Y, **KD), "student_logits is a list; give a tensor"),
    "an array as logits": (lambda: kd_loss(Z, Z.numpy(), Y, **KD), "teacher_logits = ndarray of shape"),
    "whole numbers as logits": (
        lambda: kd_loss(Z.long(), Z, Y, **KD),
        "student_logits has dtype torch.int64",
    ),
    "complex logits": (
        lambda: tempered_softmax(Z + 0j, temperature=1.0),
        "logits has dtype torch.complex128",
    ),
    "sparse logits": (lambda: tempered_softmax(Z.to_sparse(), temperature=1.0), "logits has layout"),
    "logits without numbers": (
        lambda: tempered_softmax(Z.to("meta"), temperature=1.0),
        "logits has no numbers",
    ),
    "real labels": (lambda: multiclass_margin(Z, Y.double()), "labels has dtype torch.float64"),
    "a label too many": (
        lambda: top_label_calibration_error(P, torch.zeros(3).long()),
        r"labels has shape \(3,\)",
    ),
    "a near miss": (lambda: kd_loss(Z, Z, Y, **KD, reduction="batch_mean"), "did you mean 'batchmean'"),  # type: ignore
    "another case": (lambda: kd_loss(Z, Z, Y, **KD, soft="KL"), "did you mean 'kl'"),
    "a seed as a stream": (lambda: MLP((2, 3)).init(7, members=2), "stream is an int; give a Stream"),  # type: ignore
    "a text as several": (lambda: MLP("43"), "widths = '43' must be several"),  # type: ignore
    "a text as temperature": (lambda: hinton("4", 0.5), "temperature = '4' must be a real number"),  # type: ignore
    "whole numbers to write in": (
        lambda: fill_gram(LinearKernel(), Z, np.empty((2, 2), dtype=int)),
        "out has dtype int64",
    ),
    "parameters of another net": (
        lambda: MLP((2, 3)).logits(torch.zeros(4), Z[:, :2]),
        r"params has shape \(4,\)",
    ),
    "parameters that are no numbers": (
        lambda: MLP((2, 3)).logits(torch.full((9,), nan), Z[:, :2]),
        "logits has no value: params holds NaN",
    ),
    "inputs of other members": (
        lambda: MLP((2, 3)).logits(torch.zeros(3, 9), torch.zeros(2, 5, 2)),
        r"inputs has shape \(2, 5, 2\) for \(3,\) members",
    ),
    "inputs of another posterior": (lambda: POSTERIOR.logits(Z, Stream(0)), r"give rows of examples, n × 2"),
    "a posterior without spread": (
        lambda: replace(POSTERIOR, std=torch.zeros(9)),
        "std = .* must be finite and greater than 0",
    ),
    "a mean that is no number": (
        lambda: gaussian_kl(torch.tensor([nan]), torch.ones(1), torch.zeros(1), 1.0),
        "gaussian_kl has no value: mean holds NaN",
    ),
    "a prior of other shape": (
        lambda: gaussian_kl(torch.zeros(2, 3), torch.ones(2, 3), torch.zeros(4, 3), 1.0),
        r"prior_mean has shape \(4, 3\)",
    ),
    "numbers beyond their type": (
        lambda: relative_deviation(Z, Z * 1e200, Z),
        "relative_deviation has no value: trained leaves the range",
    ),
    "no rows of data": (lambda: Inputs(3), "args = 3 must be several"),  # type: ignore
    "a batch of texts": (lambda: Inputs(("a",)), "holds no tensor with axes"),
    "rows by fractions": (lambda: Inputs((Z,)).rows(torch.tensor([0.5])), "picks no rows"),
    "a truth value for one row of many": (lambda: Inputs((Z,)).rows(torch.tensor([True])), "picks no rows"),
    "a row that is not there": (lambda: Inputs((Z,)).rows(torch.tensor([7])), "goes beyond the"),
    "classes that do not divide by peers": (
        lambda: mutual_loss(torch.zeros(2, 7), None, torch.tensor([0, 1]), peers=2),
        "cohort_logits has 7 entries a row",
    ),
    "a device of no name": (lambda: Stream(0).torch("2"), "device = '2' is not available"),
    "a device without numbers": (
        lambda: MLP((2, 3)).init(Stream(0), members=1, device="meta"),
        "device = 'meta' holds no numbers",
    ),
    "parts that are none": (lambda: Arguments(3, (None,)), "parts = 3 must be several"),  # type: ignore
    "more names than parts": (lambda: Arguments((Z,), (None, "mask")), "for 1 parts; give one for each"),
    "signs of another class": (lambda: exact_rademacher(finite_class(P), 2), "this class takes draws ×"),
    "a norm beyond numbers": (
        lambda: mobahi20_sparsity_growth(torch.tensor([1.0, 2.0]), norm=1e308, error=1e-5),
        "take a larger error",
    ),
    "sparsity as a text": (lambda: pruned(nn.Linear(4, 3), sparsity="0.5"), "sparsity = '0.5' must be"),  # type: ignore
    "ranks of nothing": (lambda: factorise(nn.Linear(4, 3), ranks=None), "ranks = None must be"),  # type: ignore
    "a module that takes other inputs": (
        lambda: ModuleArchitecture(partial(nn.Linear, 4, 3), (3,)),
        r"does not take a batch of shape \(2, 3\)",
    ),
    "labels that are no classes": (
        lambda: label_loss(Z, None, torch.full((len(Z),), 9)),
        "labels spans 9 to 9",
    ),
    "a message that is no bits": (lambda: decode_architecture("01x", inputs=2), "message holds 'x'"),
    "a record with a text for a number": (
        lambda: ComparisonPlan(n="six", recipe=Recipe(steps=2, learning_rate=2.0, optimizer="sgd")),  # type: ignore
        "n = 'six' must be a whole number",
    ),
    "labels as fractions in an array": (
        lambda: agreement_of_classes(np.array([0.5, 1.0]), np.array([0.0, 1.0]), classes=2, delta=0.1),
        "must be whole numbers",
    ),
    "a member that is not there": (
        lambda: MLP((2, 3)).module(torch.zeros(2, 9), 2),
        "member = 2 must be one of",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_is_refused_by_name(case: str) -> None:
    call, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=sentence):
        call()


@pytest.mark.parametrize("dtype", [torch.float32, F64, torch.bfloat16])
def test_a_margin_may_be_smaller_than_any_number_of_the_logits_type(dtype: torch.dtype) -> None:
    logits = Z.to(dtype)
    torch.testing.assert_close(softmax_margin_loss(logits, gamma=1e-46).double(), zero_one_loss(Z))
    apart = softmax_distance(logits, logits.flip(-1), gamma=1e-46)
    assert apart.tolist() == [0.0, 0.0]  # the largest logit stands in the middle


def test_rows_of_nested_inputs_are_taken_by_number_of_any_type() -> None:
    chosen = torch.tensor([1, 0], dtype=torch.uint8)  # which torch would take for truth values
    found = Inputs((Z, [Z, (Z, 3)])).rows(chosen)
    torch.testing.assert_close(found.args[0], Z.flip(0))
    torch.testing.assert_close(found.args[1][1][0], Z.flip(0))
    assert found.args[1][1][1] == 3


def test_a_stream_is_a_stream() -> None:
    assert MLP((2, 3)).init(Stream(7), members=2.0).shape == (2, 9)  # type: ignore[arg-type]
