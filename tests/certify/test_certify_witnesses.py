"""Witnesses: what each may see, its prior, its plan, its code."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from certified import (
    REST,
    ROOT,
    STUDENT,
    TEACHER,
    TRAIN,
    X,
    Y,
    says,
)
from torch import Tensor, nn

from kdtheory import MLP, certify, train
from kdtheory.certify import LABEL_RECIPE, STUDENT_RECIPE, WitnessPlan, split
from kdtheory.certify.coded import least_coded
from kdtheory.certify.word import Word
from kdtheory.certify.workshop import Workshop
from kdtheory.coding import code_length, quantise
from kdtheory.inversion import binomial_upper_limit
from kdtheory.losses import label_loss
from kdtheory.networks import ModuleArchitecture
from kdtheory.recipe import Recipe

SHORT = LABEL_RECIPE.but(steps=5, batch_size=None)
LONGER = SHORT.but(steps=60, learning_rate=0.01)


def workshop(
    labels: Tensor = TRAIN[1],
    unlabelled: Tensor = REST,
    prior: float | nn.Module | None = None,
    widths: tuple[int, ...] = (64, 8, 10),
    **plan: object,
) -> Workshop:
    settings = {
        "recipe": SHORT,
        "students": STUDENT_RECIPE.but(steps=5, batch_size=None),
        "members": 2,
        **plan,
    }
    said, classes = says(TEACHER, TRAIN[0]), says(TEACHER, unlabelled).argmax(-1)
    points = TRAIN[0], labels, said, unlabelled, classes
    return Workshop(WitnessPlan(**settings), MLP(widths), *points, ROOT, Word(True), prior, "cpu")


def test_the_holdout_witness_never_sees_what_tests_it() -> None:
    plain = workshop()
    kept, tested = plain.split
    assert sorted([*kept.tolist(), *tested.tolist()]) == list(range(1000))
    changed = TRAIN[1].clone()
    changed[tested] = (changed[tested] + 1) % 10
    assert torch.equal(workshop(changed).networks.params, plain.networks.params)
    changed[kept[0]] = (changed[kept[0]] + 1) % 10
    assert not torch.equal(workshop(changed).networks.params, plain.networks.params)


def test_no_witness_sees_the_unlabelled_points() -> None:
    first, second = workshop(), workshop(unlabelled=REST[:100])
    for kind in ("holdout", "coded", "stochastic"):
        one, other = (getattr(shop, kind)(0.02) for shop in (first, second))
        own = [
            term for term in one.terms if term in ("empirical risk", "sampled Gibbs risk", "sampling of g")
        ]
        assert own
        assert [one.terms[term] for term in own] == [other.terms[term] for term in own]
        assert {**one.quantities, "unlabelled points": 100} == other.quantities


def test_the_same_stream_trains_the_same_witnesses() -> None:
    assert workshop().stochastic(0.02) == workshop().stochastic(0.02)
    assert workshop().coded(0.02) == workshop().coded(0.02)


def test_the_least_coded_network_is_the_least() -> None:
    architecture, params = MLP((64, 10)), MLP((64, 10)).pack(STUDENT.state_dict()).double()
    networks = [quantise(params, architecture=architecture, levels=levels) for levels in (1, 2, 4, 8, 16)]
    inputs, labels = TRAIN[0].double(), TRAIN[1]
    values = []
    for network in networks:
        wrong = int((architecture.logits(network.params(), inputs).argmax(-1) != labels).sum())
        level = math.log(0.05) - code_length(network) * math.log(2)
        values.append(binomial_upper_limit(wrong, 1000, log_delta=level))
    flags = {"coded_beforehand": True, "independent_draws": True}
    network, tail = least_coded(networks, inputs, labels, delta=0.1, **flags)
    assert float(tail.limits(math.log(0.05))) == pytest.approx(min(values), rel=1e-12)
    assert network is networks[values.index(min(values))]


def test_a_witness_of_ones_own_architecture_and_of_one_kind() -> None:
    found = certify(
        nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10)),
        train=TRAIN,
        unlabelled=REST,
        witness=WitnessPlan(kinds=("holdout",), recipe=LABEL_RECIPE.but(steps=20)),
        stream=ROOT,
        device="cpu",
        fixed_in_advance=True,
    )
    assert "witness_holdout" in found.lines
    assert found.skipped["witness_coded"] == "no such witness was asked for"


@pytest.mark.usefixtures("unchecked_shapes")
def test_an_architecture_that_looks_at_the_batch_is_refused() -> None:
    def made() -> nn.Module:
        norm = nn.BatchNorm1d(16, track_running_stats=False)
        return nn.Sequential(nn.Linear(64, 16), norm, nn.ReLU(), nn.Linear(16, 10))

    plan = WitnessPlan(
        kinds=("holdout",),
        architecture=ModuleArchitecture(made, input_shape=(64,)),
        recipe=LABEL_RECIPE.but(steps=3),
    )
    with pytest.raises(ValueError, match="in another batch"):
        certify(
            TEACHER,
            train=TRAIN,
            unlabelled=REST,
            witness=plan,
            stream=ROOT,
            device="cpu",
            fixed_in_advance=True,
        )


def test_one_network_is_its_own_mean_and_its_own_draw() -> None:
    shop = workshop(members=1, recipe=LONGER)
    mean, drawn = shop.holdout(0.02), shop.drawn(0.02)
    for term in ("empirical risk", "disagreement"):
        assert mean.terms[term] == drawn.terms[term]
    assert mean.value == drawn.value


def test_the_mean_of_several_and_a_random_one_by_hand() -> None:
    shop = workshop(members=3, recipe=LONGER)
    rows, modules = shop.split[1], [shop.networks.module(member) for member in range(3)]
    tables = torch.stack([says(module, TRAIN[0][rows]) for module in modules])
    wrong = int((sum(tables).argmax(-1) != TRAIN[1][rows]).sum())
    assert shop.holdout(0.02).terms["empirical risk"] == wrong / len(rows)
    errors = [float((table.argmax(-1) != TRAIN[1][rows]).double().mean()) for table in tables]
    assert shop.drawn(0.02).terms["empirical risk"] == pytest.approx(sum(errors) / 3)
    said = says(TEACHER, REST).argmax(-1)
    apart = [float((says(module, REST).argmax(-1) != said).double().mean()) for module in modules]
    assert shop.drawn(0.02).terms["disagreement"] == pytest.approx(sum(apart) / 3)


def test_networks_start_where_they_are_told() -> None:
    start = MLP((64, 8, 10)).init(ROOT.child("start"), members=1)[0]
    shop = workshop(initial=start, recipe=SHORT.but(steps=1, learning_rate=1e-6))
    assert float((shop.networks.params - start).abs().max()) < 1e-5


def test_versions_of_an_example_carry_its_label() -> None:
    twice = workshop(augmentation=lambda x: torch.cat([x, x]))
    assert torch.allclose(twice.networks.params, workshop().networks.params, atol=1e-5)
    mirrored = workshop(augmentation=lambda x: torch.cat([x, x.reshape(-1, 8, 8).flip(2).flatten(1)]))
    assert not torch.allclose(mirrored.networks.params, workshop().networks.params, atol=1e-3)
    assert torch.equal(mirrored.split[1], workshop().split[1])


@pytest.mark.parametrize("bad", [lambda x: x[:-1], lambda x: x[:0], lambda x: x[:, :5]])
def test_versions_must_be_those_of_every_example(bad: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(ValueError, match="augmentation"):
        _ = workshop(augmentation=bad).networks


# Priors


def test_a_share_for_the_prior_has_a_split_of_its_own() -> None:
    shop = workshop(prior=0.4)
    tested = shop.prior.tested
    assert len(tested) == 600
    assert {*shop.split.tested.tolist()} < {*tested.tolist()}
    assert torch.equal(tested, split(TRAIN, held_out=1 - 0.4, stream=ROOT).tested)
    changed = TRAIN[1].clone()
    changed[tested] = (changed[tested] + 1) % 10
    assert torch.equal(workshop(changed, prior=0.4).prior.params, shop.prior.params)
    assert shop.stochastic(0.02).quantities["points"] == 600
    assert shop.coded(0.02).quantities["points"] == 600


def test_ones_own_prior_is_tested_by_every_point_and_trained_by_none() -> None:
    students = STUDENT_RECIPE.but(steps=20, batch_size=None)
    shop = workshop(prior=own(), widths=(64, 32, 10), kinds=("coded", "stochastic"), students=students)
    assert shop.all_steps == 20
    for kind in ("coded", "stochastic"):
        found = getattr(shop, kind)(0.02)
        assert found.quantities["points"] == 1000
        assert found.terms["disagreement"] < 0.15, "the prior was learned on other digits"
    assert "networks" not in vars(shop), "nothing was trained on labels"


def own() -> nn.Module:
    """A network of the same task, learned on images that are in no role."""
    stream, few = ROOT.child("own"), {"recipe": Recipe(steps=200, learning_rate=0.01), "members": 1}
    return train(MLP((64, 32, 10)), X[1200:1600], Y[1200:1600], loss=label_loss, stream=stream, **few).module(
        0
    )


def test_a_prior_that_cannot_be_used_is_refused() -> None:
    with pytest.raises(ValueError, match="prior is not of the witnesses' architecture, 64-8-10"):
        workshop(prior=TEACHER)
    other = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    with pytest.raises(ValueError, match="says something else"):
        workshop(prior=other, widths=(64, 32, 10))
    for share, named in (
        (0.0, "1 − prior"),
        (0.9999, "1 − prior"),
        (1, "1 − prior"),
    ):
        with pytest.raises(ValueError, match=named):
            workshop(prior=share)
    with pytest.raises(ValueError, match="prior is for witnesses"):
        certify(TEACHER, train=TRAIN, prior=0.5, fixed_in_advance=True)


# Codes


def foreign() -> nn.Module:
    """A network of a task with the same inputs, whose classes have other numbers."""
    module = copy.deepcopy(TEACHER)
    for parameter in module[2].parameters():
        parameter.data = parameter.data.roll(1, 0)
    return module


def test_a_difference_is_sent_where_it_pays_for_its_bits() -> None:
    shop = workshop(prior=foreign(), widths=(64, 32, 10), kinds=("coded",))
    found = shop.coded(0.02)
    assert found.quantities["numbers that differ"] >= 20
    assert found.value < 0.25
    assert found.terms["empirical risk"] < 0.03
    alone = shop.prior.features(TRAIN[0]).argmax(-1)
    assert float((alone != TRAIN[1]).double().mean()) > 0.9, "what it was sent from errs everywhere"


def test_nothing_is_sent_where_nothing_pays() -> None:
    recipe = {"kinds": ("coded",), "widths": (64, 32, 10)}
    prior = own()
    found = workshop(prior=prior, **recipe).coded(0.02)
    assert found.quantities["numbers that differ"] == 0
    assert found.quantities["bits"] == 5
    forced = workshop(prior=prior, centre_may_be_sent=False, **recipe).coded(0.02)
    assert forced.quantities["numbers that differ"] > 0
    assert forced.value > found.value
