"""Training on what the last fit said: simulated errors against closed forms and against a plain loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kdtheory.self_distillation import accumulated_error_limit, recursive_errors, replaced_error
from kdtheory.streams import Stream

SETTING = {"n": 12, "dim": 2, "noise_variance": 0.5}


def test_by_a_plain_loop_with_numpy() -> None:
    found = recursive_errors(Stream(0), rounds=3, replicates=1, accumulate=True, **SETTING)
    generator = Stream(0).torch()
    fitted, all_inputs, all_labels, errors = np.zeros(2), [], [], []
    for _ in range(3):
        inputs = torch.randn(1, 12, 2, generator=generator)[0].double().numpy()
        noise = torch.randn(1, 12, generator=generator)[0].double().numpy()
        all_inputs.append(inputs)
        all_labels.append(inputs @ fitted + math.sqrt(0.5) * noise)
        fitted = np.linalg.lstsq(np.vstack(all_inputs), np.hstack(all_labels), rcond=None)[0]
        errors.append(float(fitted @ fitted))
    assert found[0].tolist() == pytest.approx(errors, rel=1e-10)


def test_replaced_data_grow_and_accumulated_data_do_not() -> None:
    kinds = {
        accumulate: recursive_errors(Stream(1), rounds=8, replicates=20_000, accumulate=accumulate, **SETTING)
        for accumulate in (False, True)
    }
    for rounds in (1, 8):
        closed = replaced_error(rounds, **SETTING)
        assert float(kinds[False][:, rounds - 1].mean()) == pytest.approx(closed, rel=0.05)
    assert float(kinds[True].mean(0).max()) < accumulated_error_limit(**SETTING)


def test_labels_without_noise_pass_the_first_error_on() -> None:
    found = recursive_errors(
        Stream(2), rounds=4, replicates=3, accumulate=False, noisy_labels=False, **SETTING
    )
    torch.testing.assert_close(found, found[:, :1].expand(-1, 4))


@pytest.mark.parametrize("wrong", [{"n": 3}, {"dim": 0}, {"noise_variance": 0.0}])
def test_what_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replaced_error(1, **(SETTING | wrong))


def test_the_limit_of_accumulated_data_by_hand() -> None:
    assert accumulated_error_limit(n=10, dim=1, noise_variance=2.0) == pytest.approx(math.pi**2 / 6 / 4)
