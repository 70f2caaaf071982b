"""Arguments of another kind than the annotation names: what is taken for it, and the sentence for others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import nan
from typing import Any

import numpy as np
import pytest
import torch

from kdtheory import MLP, Stream
from kdtheory.bounds import clopper34_holdout, multiclass_margin, sauer72_log_growth, size_needed
from kdtheory.compression import truncated_svd
from kdtheory.losses import kd_loss, renyi_entropy, tempered_softmax
from kdtheory.ntk import LinearKernel, fill_gram
from kdtheory.recipe import Recipe
from kdtheory.risk import top_label_calibration_error
from kdtheory.schemes import hinton

pytestmark = pytest.mark.usefixtures("unchecked_shapes")
F64 = torch.float64
Z = torch.tensor([[1.0, 2.0, 0.5], [0.0, 3.0, 1.0]], dtype=F64)
Y = torch.tensor([1, 0])
P = Z.softmax(-1)
KD = {"temperature": 2.0, "weight": 0.5}
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


def test_a_stream_is_a_stream() -> None:
    assert MLP((2, 3)).init(Stream(7), members=2.0).shape == (2, 9)  # type: ignore[arg-type]
