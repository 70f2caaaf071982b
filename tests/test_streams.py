"""Streams: pure, independent of each other and of any global state."""

from __future__ import annotations

import enum

import numpy as np
import pytest
import torch
from scipy import stats

from kdtheory.streams import Stream


def test_a_stream_is_a_place_and_not_a_state() -> None:
    stream = Stream(3).child("a", 1)
    assert np.array_equal(stream.numpy().random(5), stream.numpy().random(5))
    assert torch.equal(torch.rand(5, generator=stream.torch()), torch.rand(5, generator=stream.torch()))


def test_places_differ_by_seed_name_and_depth() -> None:
    places = [Stream(0), Stream(1), Stream(0).child("a"), Stream(0).child("b"), Stream(0).child("a", "a")]
    places += [Stream(0).child("a", 1), Stream(0).child("a", "1"), Stream(0).child("a1")]
    draws = {float(place.numpy().random()) for place in places}
    assert len(draws) == len(places)


def test_siblings_are_uncorrelated() -> None:
    table = np.array([Stream(0).child("member", i).numpy().random(200) for i in range(60)])
    correlations = np.corrcoef(table)[np.triu_indices(60, 1)]
    # Under independence √n·r is nearly standard normal.
    assert stats.kstest(correlations * np.sqrt(200), "norm").pvalue > 1e-3


def test_the_global_generators_are_left_alone() -> None:
    before, state = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    Stream(0).child("x").torch()
    Stream(0).child("x").numpy().random()
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="seed = -1"):
        Stream(-1)


def test_equal_names_are_one_place_whatever_text_they_are() -> None:
    class Name(enum.StrEnum):
        TRAIN = "train"

    plain = Stream(3).child("train", 1)
    for place in (
        Stream(3).child(np.array(["train"])[0], 1),
        Stream(3).child(Name.TRAIN, 1),
        Stream(3, (np.str_("train"), 1)),
    ):
        assert place == plain
        assert place.sequence().generate_state(4).tolist() == plain.sequence().generate_state(4).tolist()
    assert Stream(3).child("train", "1").numpy().random() != plain.numpy().random()
