"""One step of imitation: against a plain module, and its first order against finite differences."""

from __future__ import annotations

import pytest
import torch

from kdtheory.imitation import first_order_alignment, imitation_step
from kdtheory.networks import MLP
from kdtheory.streams import Stream

NET = MLP((4, 5, 3), activation="tanh")
START, OTHER = NET.init(Stream(0), members=2, dtype=torch.float64)
INPUTS = torch.randn(7, 4, dtype=torch.float64, generator=Stream(1).torch())


def test_the_step_is_that_of_a_plain_module() -> None:
    module = NET.module(START[None], 0).double()
    wanted = NET.logits(OTHER, INPUTS)[:, :2]
    loss = (module(INPUTS)[:, :2] - wanted).square().sum() / 14
    loss.backward()
    plain = NET.pack({name: value.grad for name, value in module.named_parameters()})
    step = imitation_step(NET, START, OTHER, INPUTS, step_size=0.3, outputs=slice(0, 2))
    torch.testing.assert_close(step, -0.3 * plain)


def test_first_order_by_a_finite_difference() -> None:
    move = OTHER - START
    closed = first_order_alignment(NET, START, move, INPUTS, step_size=0.3, outputs=slice(1, 3))
    moved = (NET.logits(START + 1e-6 * move, INPUTS) - NET.logits(START - 1e-6 * move, INPUTS))[:, 1:] / 2e-6
    torch.testing.assert_close(closed, 0.3 * moved.square().sum() / 7, rtol=1e-6, atol=0)


def test_what_the_caller_has_switched_off_changes_nothing() -> None:
    step = imitation_step(NET, START, OTHER, INPUTS, step_size=0.3)
    aligned = first_order_alignment(NET, START, OTHER, INPUTS, step_size=0.3)
    assert float(aligned) > 0
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            made = START.clone(), OTHER.clone(), INPUTS.clone()
            assert torch.equal(imitation_step(NET, *made, step_size=0.3), step)
            assert torch.equal(first_order_alignment(NET, *made, step_size=0.3), aligned)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="step_size"):
        imitation_step(NET, START, OTHER, INPUTS, step_size=0.0)
    with pytest.raises(ValueError, match="has"):
        first_order_alignment(NET, START[:3], OTHER[:3], INPUTS, step_size=1.0)
