"""Certificates of witnesses, and what a predictor inherits from them at the price of their disagreement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.nn.functional import one_hot

from kdtheory.bounds.disagreement import disagreement_transfer
from kdtheory.bounds.holdout import clopper34_holdout
from kdtheory.bounds.occam import langford05_occam
from kdtheory.bounds.pac_bayes import maurer04_pac_bayes_kl
from kdtheory.coding import code_length, quantise
from kdtheory.experiments.bounds.tested_nets import (
    atoms_of,
    classes_of,
    errors_of,
    fixed_beforehand,
    part_of,
    risks_of_classes,
)
from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.worlds import relabelled_world
from kdtheory.losses import label_loss
from kdtheory.networks import MLP
from kdtheory.populations import Population, train
from kdtheory.problems import FiniteWorld
from kdtheory.recipe import Recipe
from kdtheory.stochastic import train_posterior
from kdtheory.types import Sample

DELTA = 0.2
_PART, _LABELLED, _UNLABELLED = 200, 700, 200
_REST = slice(_PART, None)
_HALF: dict[str, Any] = {"delta": DELTA / 2, "independent_draws": True}
_APART: dict[str, Any] = {"delta": DELTA / 2, "drawn_afterwards": True, "same_law": True}


@experiment
def witnesses_of_predictors(run: Run, /) -> Rows:
    """Real images with redrawn labels, everything trained anew in each of 56 draws: a witness on 200 of 700
    labelled points; a student of all of them that starts from it, sent as differences of 0 and ±1 steps; a
    posterior around it; f on all points and, for a large disagreement, an f on random labels. Classes on all
    images of each f; by witness, whether it errs on the 500 other points and what it says on 200 unlabelled
    ones; the bits of the code and the divergence of the posterior.
    """
    world, stream, draws = relabelled_world(run), run.stream, run.size(quick=56, full=640)
    labelled = world.sample((draws, _LABELLED), stream.child("labelled"))
    unlabelled = world.sample((draws, _UNLABELLED), stream.child("unlabelled"))
    generator = stream.child("noise").torch()
    noise = torch.randint(0, world.num_classes, (draws, _LABELLED), generator=generator)
    net = MLP((world.dim, 8, world.num_classes))

    def trained(name: str, sample: Sample, labels: Tensor, **settings: Any) -> Population:
        return train(
            net, sample.inputs, labels, loss=label_loss, members=draws, stream=stream.child(name),
            recipe=Recipe(learning_rate=0.03, steps=settings.pop("steps", 25)), device=run.device, **settings,
        )  # fmt: skip

    part = part_of(labelled, 0, _PART)
    first = trained("witness", part, part.labels)
    centre, witness = first.params.cpu(), classes_of(first, world)
    further = trained("student", labelled, labelled.labels, initial=centre, steps=10).params.cpu()
    codes = [
        quantise(row, architecture=net, levels=1, centre=middle, keep=0.01)
        for row, middle in zip(further, centre, strict=True)
    ]
    sent = torch.stack([code.params(middle) for code, middle in zip(codes, centre, strict=True)])
    coded = net.logits(sent, world.inputs.double()).argmax(-1)
    posterior = train_posterior(
        net,
        labelled.inputs,
        one_hot(labelled.labels, world.num_classes).double(),
        prior_mean=centre,
        certified=_LABELLED - _PART,
        delta=DELTA / 2,
        stream=stream.child("posterior"),
        recipe=Recipe(steps=10, learning_rate=0.005),
        initial_std=0.05,
        prior_stds=(0.05,),
        device=run.device,
    )

    def drawn(inputs: Tensor, *names: str | int) -> Tensor:
        return posterior.logits(inputs, stream.child("posterior", *names)).argmax(-1).cpu()

    rounds = torch.stack([drawn(labelled.inputs, "round", number) for number in range(5)], 1)
    return Rows(
        unlabelled=unlabelled,
        f=classes_of(trained("f", labelled, labelled.labels), world),
        f_of_noise=classes_of(trained("f of noise", labelled, noise, steps=15), world),
        errors={
            "hold-out": errors_of(witness, labelled)[:, _REST],
            "coded": errors_of(coded, labelled)[:, _REST],
            "stochastic": (rounds != labelled.labels[:, None])[..., _REST],
        },
        said={
            "hold-out": witness.gather(-1, atoms_of(unlabelled)),
            "coded": coded.gather(-1, atoms_of(unlabelled)),
            "stochastic": drawn(unlabelled.inputs, "fresh"),
        },
        bits=[code_length(code) for code in codes],
        divergence=posterior.divergence.tolist(),
    )


@experiment
def certificates_of_witnesses(run: Run, /) -> Rows:
    """The certificate of each witness in each draw at δ = 0.1: by a test on the labels that it was not
    trained on, by its code, and by PAC-Bayes.
    """
    rows = witnesses_of_predictors.rows(run)
    shares: dict[str, Any] = {
        "delta": 0.4 * DELTA,
        "delta_sampling": 0.1 * DELTA,
        "prior_fixed": True,
        "fresh_draws": True,
        "independent_draws": True,
    }
    tested = [clopper34_holdout(row, fixed_in_advance=True, **_HALF) for row in rows.errors["hold-out"]]
    coded = [
        langford05_occam(row, bits=bits, coded_beforehand=True, **_HALF)
        for row, bits in zip(rows.errors["coded"], rows.bits, strict=True)
    ]
    drawn = [
        maurer04_pac_bayes_kl(row, divergence=nats, **shares)
        for row, nats in zip(rows.errors["stochastic"], rows.divergence, strict=True)
    ]
    return Rows(**{"hold-out": tested, "coded": coded, "stochastic": drawn})


@experiment
def inherited_certificates(
    run: Run, /, *, predictor: Callable[[FiniteWorld, Sample, Tensor, Tensor], Tensor] = fixed_beforehand
) -> Rows:
    """By witness and f: the risk, a sum over all images, and the bound in each draw, δ = 0.2 in all.
    `predictor` is what becomes of f when the unlabelled points are there and the witness has spoken.
    """
    world, rows = relabelled_world(run), witnesses_of_predictors.rows(run)
    cases = [("hold-out", "f"), ("hold-out", "f_of_noise"), ("coded", "f"), ("stochastic", "f")]
    certificates, risks, bounds, spent = certificates_of_witnesses.rows(run), {}, {}, []
    for witness, name in cases:
        table = predictor(world, rows.unlabelled, rows.said[witness], rows[name])
        apart = table.gather(-1, atoms_of(rows.unlabelled)) != rows.said[witness]
        found = [
            disagreement_transfer(bound, row, **_APART)
            for bound, row in zip(certificates[witness], apart, strict=True)
        ]
        case = f"{witness}, {name.replace('_', ' ')}"
        risks[case] = risks_of_classes(table, world)
        bounds[case] = [bound.value for bound in found]
        spent += [bound.delta for bound in found]
    return Rows(risk=risks, bound=bounds, delta=spent)


@experiment
def transfers_at_their_worst(run: Run, /) -> Rows:
    """g errs on a tenth of all points and f leaves it on another: the risk of f over its bound, from 200,000
    points each. And an f that sees how often g errs on 10 points and then chooses how often to leave it,
    always where g is right: P[miss] by enumeration, for each of 40 risks of g.

    Σ_k P[Bin(n, p) = k]·max_q P[limit(k, L) < p + q], L ~ Bin(n, q) the disagreements seen.
    """
    places = torch.from_numpy(run.stream.numpy().random((2, 200_000)))
    attained = disagreement_transfer(
        clopper34_holdout(places[0] < 0.1, fixed_in_advance=True, **_HALF), places[1] > 0.9, **_APART
    )
    size, missed = 10, []
    counts, rows = np.arange(size + 1), torch.arange(size) < torch.arange(size + 1)[:, None]
    witnesses = [clopper34_holdout(row, fixed_in_advance=True, **_HALF) for row in rows]
    limits = np.array([[disagreement_transfer(g, row, **_APART).value for row in rows] for g in witnesses])
    for risk in np.linspace(0.01, 0.9, 40):
        left = np.linspace(0, 1 - risk, 60)
        seen = stats.binom.pmf(counts, size, left[:, None])
        chance = np.einsum("ql,kql->kq", seen, limits[:, None] < (risk + left)[:, None])
        missed.append(float(stats.binom.pmf(counts, size, risk) @ chance.max(-1)))
    return Rows(attained=0.2 / attained.value, missed=missed)
