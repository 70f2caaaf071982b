"""Torch's default generator, lent to a block and given back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kdtheory.streams import Stream


def test_the_default_generator_starts_at_the_stream_and_is_put_back():
    before = torch.default_generator.get_state()
    with Stream(4).child("a").default():
        first = nn.Linear(3, 2).weight.detach().clone()
    with Stream(4).child("a").default():
        assert torch.equal(nn.Linear(3, 2).weight, first)
    with pytest.raises(RuntimeError), Stream(4).default():
        nn.Linear(3, 2)(torch.ones(5))  # what fails in the block changes nothing
    assert torch.equal(torch.default_generator.get_state(), before)
    with Stream(4).child("b").default():
        assert not torch.equal(nn.Linear(3, 2).weight, first)
