"""Mutual learning's losses: against torch, in each other's terms, and where gradients may flow."""

from __future__ import annotations

import doctest
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from kdtheory.losses import label_loss, mutual
from kdtheory.losses.mutual import divergence_from_mean_peer, mean_peer_divergence, mutual_loss

F64 = torch.float64


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def test_the_examples_of_the_docstrings_hold():
    assert doctest.testmod(mutual).failed == 0


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_divergences_are_torchs(temperature):
    student, peers = drawn(5, 4, seed=1), drawn(3, 5, 4, seed=2)
    log_q = (student / temperature).log_softmax(-1)
    laws = (peers / temperature).softmax(-1)
    each = [F.kl_div(log_q, law, reduction="none").sum(-1) for law in laws]
    found = mean_peer_divergence(student, peers, temperature=temperature)
    torch.testing.assert_close(found, torch.stack(each).mean(0))
    joint = F.kl_div(log_q, laws.mean(0), reduction="none").sum(-1)
    torch.testing.assert_close(divergence_from_mean_peer(student, peers, temperature=temperature), joint)


def test_the_forms_differ_by_what_the_peers_disagree_about():
    student, peers = drawn(5, 4, seed=1), drawn(3, 5, 4, seed=2)
    laws = peers.softmax(-1)
    mean = laws.mean(0)
    disagreement = (laws * (laws.log() - mean.log())).sum(-1).mean(0)
    gap = mean_peer_divergence(student, peers) - divergence_from_mean_peer(student, peers)
    torch.testing.assert_close(gap, disagreement)


@pytest.mark.parametrize("divergence", [mean_peer_divergence, divergence_from_mean_peer])
def test_each_student_descends_its_own_loss_and_no_peer_is_moved_by_it(divergence):
    cohort, labels = drawn(6, 3 * 4).requires_grad_(), torch.tensor([0, 1, 2, 3, 0, 1])
    total = mutual_loss(
        cohort, None, labels, peers=3, weight=0.7, temperature=2.0, divergence=divergence
    ).sum()
    (found,) = torch.autograd.grad(total, cohort)
    parts = cohort.detach().split(4, -1)
    for place, part in enumerate(parts):
        leaf = part.clone().requires_grad_()
        others = torch.stack([other for index, other in enumerate(parts) if index != place])
        own = label_loss(leaf, None, labels) + 0.7 * 4 * divergence(leaf, others, temperature=2.0)
        (alone,) = torch.autograd.grad(own.sum(), leaf)
        torch.testing.assert_close(found[:, 4 * place : 4 * place + 4], alone)


def test_weight_zero_is_labels_alone():
    cohort, labels = drawn(6, 8), torch.tensor([0, 1, 2, 3, 0, 1])
    alone = sum(label_loss(part, None, labels) for part in cohort.split(4, -1))
    torch.testing.assert_close(mutual_loss(cohort, None, labels, peers=2, weight=0.0), alone)


loss_of = partial(mutual_loss, peers=2)


@pytest.mark.parametrize("divergence", [mean_peer_divergence, divergence_from_mean_peer])
def test_each_cohort_of_a_population_has_settings_of_its_own(divergence):
    cohorts, labels = drawn(3, 6, 2 * 4), torch.tensor([0, 1, 2, 3, 0, 1]).expand(3, -1)
    weight, temperature = torch.tensor([0.0, 0.7, 2.0]).double(), torch.tensor([1.0, 2.0, 4.0]).double()
    how = {"peers": 2, "divergence": divergence}
    found = mutual_loss(
        cohorts, None, labels, weight=weight[:, None], temperature=temperature[:, None], **how
    )
    for one, cohort in enumerate(cohorts):
        settings = {"weight": float(weight[one]), "temperature": float(temperature[one])}
        torch.testing.assert_close(found[one], mutual_loss(cohort, None, labels[one], **settings, **how))


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z: mean_peer_divergence(z, z), "peer_logits has shape"),
        (lambda z: mean_peer_divergence(z, z[None], temperature=0.0), "temperature = 0"),
        (lambda z: divergence_from_mean_peer(z * torch.nan, z[None]), "student_logits holds NaN"),
        (lambda z: mutual_loss(z, None, torch.zeros(2, dtype=torch.long), peers=1), "peers = 1"),
        (lambda z: loss_of(z, None, torch.zeros(2).long(), temperature=-1.0), "temperature = -1"),
        (lambda z: loss_of(z, None, torch.zeros(2).long(), temperature=0.0), "temperature = 0"),
        (lambda z: loss_of(z, None, torch.zeros(2).long(), weight=-1.0), "weight = -1"),
        (lambda z: loss_of(z, None, torch.zeros(2).long(), weight=torch.tensor([0.5, -0.5])), "weight = "),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(2, 4))
