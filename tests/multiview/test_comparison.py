"""The comparison of single networks, ensembles and students: its parts against direct calls."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import pad

from kdtheory.losses import label_loss
from kdtheory.multiview import (
    ComparisonPlan,
    compare,
    compare_plain,
    limit_start,
    span_coordinates,
    train_limit,
    views_held,
)
from kdtheory.networks import PatchNetwork
from kdtheory.populations import train
from kdtheory.problems import MultiViewWorld
from kdtheory.recipe import Recipe
from kdtheory.risk import accuracy
from kdtheory.streams import Stream

WORLD = MultiViewWorld(classes=3, noise_chance=0.4, noise_weights=(0.2, 0.4), patch_dim=24)
NETWORK = PatchNetwork(3, WORLD.num_patches, 24, channels=4, power=3, init_std=0.05)
PLAN = ComparisonPlan(
    n=30, recipe=Recipe(steps=40, learning_rate=1.0, optimizer="sgd"), temperature=3.0, student_steps=60
)


def test_comparison_is_what_direct_calls_give() -> None:
    found = compare(WORLD, NETWORK, PLAN, members=3, students=2, stream=Stream(0), test_points=50)
    points, test = WORLD.stratified(30, Stream(0).child("train")), WORLD.views(50, Stream(0).child("test"))

    def start(name: str, members: int):
        stream = Stream(0).child(name)
        return limit_start(NETWORK, points, noise_norm=WORLD.noise_norm, members=members, stream=stream)

    single = train_limit(
        start("single", 3), points, recipe=Recipe(steps=40, learning_rate=1.0, optimizer="sgd")
    )
    teacher = single.train_logits(points)
    for arm, name, logits in (
        (found.distilled, "distilled", teacher.mean(0)),
        (found.self_distilled, "self-distilled", teacher[:2]),
    ):
        nets = train_limit(
            start(name, 2),
            points,
            recipe=Recipe(steps=60, learning_rate=1.0, optimizer="sgd"),
            teacher_logits=logits,
            temperature=3.0,
        )
        torch.testing.assert_close(arm.logits, nets.logits(test.coefficients))
        held = views_held(nets.projections, num_views=2, threshold=NETWORK.threshold)
        assert torch.equal(arm.held, held)
    expected = accuracy(single.logits(test.coefficients).mean(0), test.labels)
    assert found.ensemble_accuracy == float(expected)
    assert found.single_accuracy.shape == (3,)


def test_without_students_of_one_network_their_arm_is_empty_and_nothing_else_changes() -> None:
    sizes = {"members": 3, "students": 2, "stream": Stream(0), "test_points": 50}
    whole, found = (compare(WORLD, NETWORK, PLAN, self_students=count, **sizes) for count in (2, 0))
    assert found.self_distilled.logits.shape == (0, 50, 3)
    assert torch.equal(found.distilled.logits, whole.distilled.logits)


def test_warm_students_start_from_the_labels() -> None:
    warm = replace(PLAN, student_steps=0, warm_steps=40)
    found = compare(WORLD, NETWORK, warm, members=2, students=2, stream=Stream(0), test_points=50)
    points = WORLD.stratified(30, Stream(0).child("train"))
    stream = Stream(0).child("distilled")
    start = limit_start(NETWORK, points, noise_norm=WORLD.noise_norm, members=2, stream=stream)
    nets = train_limit(start, points, recipe=Recipe(steps=40, learning_rate=1.0, optimizer="sgd"))
    torch.testing.assert_close(found.distilled.train_logits, nets.train_logits(points))


def test_plain_networks_see_the_same_points_and_learn_them() -> None:
    plan = replace(PLAN, recipe=PLAN.recipe.but(steps=200), student_steps=200)
    plain = compare_plain(
        WORLD, NETWORK, plan, members=3, students=2, stream=Stream(0), test_points=60, device="cpu"
    )
    limit = compare(WORLD, NETWORK, plan, members=3, students=2, stream=Stream(0), test_points=60)
    assert torch.equal(plain.test.coefficients, limit.test.coefficients)
    assert torch.equal(plain.train.coefficients, limit.train.coefficients)
    assert float(accuracy(plain.single.train_logits, plain.train.labels).min()) > 0.9
    assert float(plain.single_accuracy.mean()) > 0.6
    assert plain.distilled.held.shape == limit.distilled.held.shape == (2, 3, 2)


def test_bad_comparisons_are_refused() -> None:
    with pytest.raises(ValueError, match="self_students = 3"):
        compare(WORLD, NETWORK, PLAN, members=2, students=3, stream=Stream(0))
    with pytest.raises(ValueError, match="cap = 4"):
        compare_plain(
            WORLD, NETWORK, replace(PLAN, cap=4.0), members=2, students=1, stream=Stream(0), device="cpu"
        )


def test_fresh_points_have_the_exact_shares_where_asked() -> None:
    sizes = {"members": 2, "students": 1, "test_points": 60, "stratified": True}
    plain = compare_plain(WORLD, NETWORK, PLAN, stream=Stream(0), device="cpu", **sizes)
    limit = compare(WORLD, NETWORK, PLAN, stream=Stream(0), **sizes)
    for found in (plain, limit):
        assert found.test.labels.bincount().tolist() == [20, 20, 20]
        assert int(found.test.single.sum()) == 12
    assert torch.equal(plain.test.coefficients, limit.test.coefficients)


def test_descent_in_the_span_of_the_training_patches_is_descent_in_all_of_it() -> None:
    world = replace(WORLD, patch_dim=400)
    found = compare_plain(
        world, NETWORK, PLAN, members=2, students=1, stream=Stream(0), test_points=10, device="cpu"
    )
    points, test = world.stratified(30, Stream(0).child("train")), world.views(10, Stream(0).child("test"))
    inputs, fresh = (
        world.patches(part, Stream(0).child(name)) for part, name in ((points, "train"), (test, "test"))
    )
    short, whole = span_coordinates(world, inputs, fresh)
    wide = replace(NETWORK, patch_dim=whole.shape[-1] // world.num_patches)
    rows = short.new_zeros(30, world.num_patches, wide.patch_dim)
    rows[..., : short.shape[-1] // world.num_patches] = short.unflatten(-1, (world.num_patches, -1))
    start = wide.init(Stream(0).child("single"), members=2)
    nets = train(
        wide,
        rows.flatten(1),
        points.labels,
        loss=label_loss,
        members=2,
        stream=Stream(0),
        recipe=Recipe(steps=40, learning_rate=1.0, optimizer="sgd"),
        initial=start,
        device="cpu",
    )
    torch.testing.assert_close(found.single.logits, nets.logits(whole).double(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        found.single.train_logits, nets.logits(rows.flatten(1)).double(), rtol=1e-4, atol=1e-5
    )


def test_coordinates_in_the_span_keep_all_products() -> None:
    world = replace(WORLD, patch_dim=400)
    parts = [world.sample(20, Stream(seed)).inputs for seed in (0, 1)]
    short = span_coordinates(world, *parts)
    own, all_of_them = world.num_features + 20 * 2, world.num_features + 2 * 20 * 2
    assert short[0].shape == (20, world.num_patches * own)
    assert short[1].shape == (20, world.num_patches * all_of_them)
    split = [p.double().unflatten(-1, (world.num_patches, -1)).flatten(0, 1) for p in short]
    brief = torch.cat([pad(split[0], (0, all_of_them - own)), split[1]])
    rows = torch.cat([p.unflatten(-1, (world.num_patches, -1)).flatten(0, 1) for p in parts])
    torch.testing.assert_close(brief @ brief.T, rows @ rows.T, rtol=1e-4, atol=1e-5)
    first = slice(0, world.num_features)
    torch.testing.assert_close(brief[:, first], rows[:, first], rtol=1e-5, atol=1e-6)
    few = WORLD.sample(20, Stream(0)).inputs
    assert span_coordinates(WORLD, few, few)[0].shape[-1] == WORLD.dim
