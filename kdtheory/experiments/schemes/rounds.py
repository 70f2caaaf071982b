"""Rounds of self-distillation: kernels, nets on random features, nets trained whole, nets stopped early."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.experiments.schemes.image_kernels import (
    centred_targets,
    gaussian_kernel,
    random_features,
    regression,
    some_images,
    trained_on_features,
)
from kdtheory.networks import MLP
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.self_distillation.fixed_point import borup21_contraction, borup21_fixed_point, borup21_rounds
from kdtheory.self_distillation.lag import flow_filter, nagarajan23_lag, student_filter, time_at_progress
from kdtheory.self_distillation.rkhs import (
    effective_rank,
    mobahi20_multiplier_bounds,
    mobahi20_rounds,
    mobahi20_rounds_before_collapse,
    mobahi20_sparsity_growth,
)

ALPHA, PENALTY = 0.3, 0.5
NUGGETS = (0.02, 0.3, 1.0)


def _problem(run: Run, trial: int, size: int, nugget: float) -> tuple[Tensor, Tensor]:
    """The Gram matrix of a Gaussian kernel on real images, and centred one-hot targets."""
    inputs, labels = some_images(run, run.stream.child(trial), size)
    return gaussian_kernel(inputs, nugget=nugget), centred_targets(labels, run.images.num_classes)


def _samples(run: Run, members: int, size: int) -> tuple[Tensor, Tensor]:
    """Real images and their centred targets, a sample for each member."""
    drawn = [some_images(run, run.stream.child("images", i), size) for i in range(members)]
    targets = [centred_targets(labels, run.images.num_classes) for _, labels in drawn]
    return torch.stack([inputs for inputs, _ in drawn]), torch.stack(targets)


def targets_of_the_round(before: Tensor, _after: Tensor, /) -> Tensor:
    """The targets that a round is fitted to."""
    return before


def outputs_of_the_round(_before: Tensor, after: Tensor, /) -> Tensor:
    """The outputs that it ends with."""
    return after


@experiment
def rounds_of_least_norm(
    run: Run, /, *, norm_of: Callable[[Tensor, Tensor], Tensor] = targets_of_the_round
) -> Rows:
    """4 rounds, each to the same mean squared error ε, with Gaussian kernels on 30 real images and nuggets
    0.02, 0.3 and 1 (all eigenvalues equal), 4 problems each: outputs in closed form and by one linear system
    a round, each round's error over ε, and its multiplier c_t between its bounds.
    """
    closed, explicit, errors, ratios = [], [], [], []
    for trial, nugget in enumerate(NUGGETS * run.size(quick=4, full=40)):
        kernel, targets = _problem(run, trial, 30, nugget)
        error = 0.03 * float(targets.square().sum()) / len(targets)
        found = mobahi20_rounds(kernel, targets, error=error, rounds=4)
        before, eye = targets, torch.eye(len(kernel), dtype=kernel.dtype)
        for outputs, c in zip(found.outputs[1:], found.multipliers.tolist(), strict=True):
            after = kernel @ torch.linalg.solve(kernel + c * eye, before)
            closed.append(outputs)
            explicit.append(after)
            errors.append(float((after - before).square().sum()) / (len(kernel) * error))
            norm = float(norm_of(before, after).norm())
            low, high = mobahi20_multiplier_bounds(found.eigenvalues, norm=norm, error=error)
            ratios.append([low / c, c / high])
            before = after
    lower, upper = torch.tensor(ratios, dtype=torch.float64).unbind(1)
    return Rows(
        closed=torch.stack(closed), explicit=torch.stack(explicit), error=errors, lower=lower, upper=upper
    )


@experiment
def rounds_until_collapse(run: Run, /, *, spread: float = 1.0) -> Rows:
    """Numbers of rounds that are made with an error of 0.002 of the targets' mean square, Gaussian kernels on
    30 real images and nuggets 0.02, 0.3 and 1 (κ is some hundreds, some tens and 1), 4 problems each; and the
    bounds on that number for eigenvalues to the power `spread`.
    """
    made, counts = [], []
    for trial, nugget in enumerate(NUGGETS * run.size(quick=4, full=40)):
        kernel, targets = _problem(run, trial, 30, nugget)
        error = 0.002 * float(targets.square().sum()) / len(targets)
        found = mobahi20_rounds(kernel, targets, error=error, rounds=100_000)
        made.append(found.rounds)
        values = found.eigenvalues**spread
        counts.append(mobahi20_rounds_before_collapse(values, norm=float(targets.norm()), error=error))
    bounds = {name: [getattr(count, name) for count in counts] for name in ("printed", "least", "most")}
    return Rows(made=made, **bounds)


@experiment
def shares_of_directions(run: Run, /, *, evenness: float = 0.0) -> Rows:
    """The logarithms of the ratios of what is left of two eigendirections, for all pairs and rounds until
    collapse, Gaussian kernels on 30 real images with nuggets 0.02 and 0.3, 4 problems each; in the first
    round also where the targets lie along the lowest direction; and what the growth of each round allows.
    Each share is moved by `evenness` of the way to the mean of all.
    """
    bound, grown, first, attained = [], [], [], []

    def growth(kept: Tensor, pairs: Tensor) -> Tensor:
        moved = torch.lerp(kept, kept.mean(-1, keepdim=True).expand_as(kept), evenness)
        return (moved[:, None] / moved[:, :, None]).log()[:, pairs]

    for trial, nugget in enumerate(NUGGETS[:2] * run.size(quick=4, full=40)):
        kernel, targets = _problem(run, trial, 30, nugget)
        error = 0.01 * float(targets.square().sum()) / len(targets)
        found = mobahi20_rounds(kernel, targets, error=error, rounds=200)
        per_round = mobahi20_sparsity_growth(found.eigenvalues, norm=float(targets.norm()), error=error)
        above = torch.ones_like(per_round).triu(1).bool()
        least = per_round.log()[above]
        grown.append(growth(found.shrinkage, above).flatten())
        bound.append((torch.arange(1, 1 + len(found.shrinkage))[:, None] * least).flatten())
        lowest = torch.linalg.eigh(kernel).eigenvectors[:, 0]  # of norm 1, so that r_0 is the same
        once = mobahi20_rounds(kernel, lowest, error=0.01 / len(kernel), rounds=1)
        first.append(growth(once.shrinkage, above).flatten())
        attained.append(least)
    columns = {"bound": bound, "grown": grown, "first": first, "attained": attained}
    return Rows(**{name: torch.cat(values) for name, values in columns.items()})


@experiment
def rounds_that_keep_labels(run: Run, /, *, kept: float = ALPHA) -> Rows:
    """60 rounds of kernel ridge regression, λ = 0.5, on a share `kept` of the labels and the last outputs, by
    one linear system a round; the closed form for a share α = 0.3, its limit, the distances of the first
    rounds from the limit and their contraction. A Gaussian kernel on 60 real images, nuggets 0.02 and 1, 3
    problems each.
    """
    closed, explicit, limits, contracted, allowed = [], [], [], [], []
    nuggets = (0.02, 1.0) * run.size(quick=3, full=30)
    for trial, nugget in enumerate(nuggets):
        kernel, targets = _problem(run, trial, 60, nugget)
        limit = borup21_fixed_point(kernel, targets, penalty=PENALTY, alpha=ALPHA)
        smoother = torch.linalg.solve(kernel + PENALTY * torch.eye(60, dtype=kernel.dtype), kernel)
        rounds = [targets]
        for _ in range(60):
            rounds.append(smoother @ (kept * targets + (1 - kept) * rounds[-1]))
        off = (torch.stack(rounds[:8]) - limit).flatten(1).norm(dim=1)
        closed.append(borup21_rounds(kernel, targets, penalty=PENALTY, alpha=ALPHA, rounds=60))
        explicit.append(torch.stack(rounds))
        limits.append(limit)
        contracted.append(off[1:] / off[:-1])
        allowed.append(torch.full_like(off[1:], borup21_contraction(kernel, penalty=PENALTY, alpha=ALPHA)))
    columns = {"closed": closed, "explicit": explicit, "limit": limits}
    columns |= {"contracted": contracted, "allowed": allowed}
    stacked = {name: torch.stack(values) for name, values in columns.items()}
    return Rows(**stacked, nugget=torch.tensor(nuggets))


@experiment
def last_layers_over_rounds(run: Run, /, *, kept: float = 0.0) -> Rows:
    """100 fixed ReLU features of 30 real images, 4 draws: outputs of last layers trained by gradient descent
    with weight decay c_t/K, for 3 rounds on a share `kept` of the labels and their own outputs; and the
    rounds in closed form.
    """
    trained, closed = [], []
    for trial in range(run.size(quick=4, full=20)):
        stream = run.stream.child(trial)
        inputs, labels = some_images(run, stream, 30)
        features = random_features(inputs, width=100, stream=stream.child("features"))
        targets = centred_targets(labels, run.images.num_classes)
        error = 0.1 * float(targets.square().sum()) / len(targets)
        theory = mobahi20_rounds(features @ features.mT, targets, error=error, rounds=3)
        outputs = targets
        for c in theory.multipliers.tolist():
            learned = kept * targets + (1 - kept) * outputs
            nets = trained_on_features(features[None], learned[None], penalty=c, steps=400, stream=stream)
            outputs = nets.logits(features)[0]
            trained.append(outputs)
        closed.append(theory.outputs[1:])
    return Rows(trained=torch.stack(trained), closed=torch.cat(closed))


@experiment
def last_layers_that_keep_labels(run: Run, /, *, kept: float = ALPHA) -> Rows:
    """100 fixed ReLU features of 40 real images, a population of 4 with features of their own: the outputs of
    last layers after 12 rounds of gradient descent with weight decay on a share `kept` of the labels and
    their own outputs.
    """
    inputs, targets = _samples(run, run.size(quick=4, full=20), 40)
    streams = [run.stream.child("features", i) for i in range(len(inputs))]
    features = torch.stack(
        [random_features(x, width=100, stream=stream) for x, stream in zip(inputs, streams, strict=True)]
    )
    outputs = targets
    for _ in range(12):
        learned = kept * targets + (1 - kept) * outputs
        nets = trained_on_features(features, learned, penalty=PENALTY, steps=150, stream=run.stream)
        outputs = nets.logits(features)
    return Rows(outputs=outputs, features=features, targets=targets)


@experiment
def limit_of_last_layers(run: Run, /) -> Rows:
    """Ridge regression with λ/α on these features."""
    rows = last_layers_that_keep_labels.rows(run)
    limits = [
        borup21_fixed_point(own @ own.mT, targets, penalty=PENALTY, alpha=ALPHA)
        for own, targets in zip(rows.features, rows.targets, strict=True)
    ]
    return Rows(outputs=torch.stack(limits))


@experiment(tuned_on=(100, 101, 102, 103, 104, 105))
def nets_over_rounds(run: Run, /, *, kept: float = 0.0) -> Rows:
    """16 nets of 32 tanh units, both layers trained with weight decay 0.005 on ½‖f − y‖², on 100 real images
    of their own: outputs after 1 to 8 rounds on a share `kept` of the labels and the last outputs.
    """
    inputs, targets = _samples(run, run.size(quick=16, full=48), 100)
    outputs, learned = [], targets
    for t in range(8):
        probs, half_squared = regression(learned)
        nets = train(
            MLP((inputs.shape[-1], 32, targets.shape[-1]), activation="tanh"),
            inputs,
            teacher_probs=probs,
            loss=half_squared,
            members=len(inputs),
            stream=run.stream.child("nets", t),
            recipe=Recipe(steps=300, learning_rate=0.01, weight_decay=0.005),
            device=run.device,
        )
        outputs.append(nets.logits(inputs).cpu().double())
        learned = kept * targets + (1 - kept) * (outputs[-1] - outputs[-1].mean(-1, keepdim=True))
    return Rows(outputs=torch.stack(outputs))


@experiment
def effective_ranks_over_rounds(run: Run, /, *, kept: float = 0.0) -> Rows:
    """The effective ranks and the norms of their outputs, round by round. Effective rank: e to the entropy of
    the squared singular values (Roy & Vetterli 2007).
    """
    outputs = nets_over_rounds.given(kept=kept).rows(run).outputs
    ranks = [effective_rank(tables) for tables in outputs]
    return Rows(rank=torch.stack(ranks), norm=outputs.flatten(2).norm(dim=2))


@experiment
def progress_along_eigendirections(run: Run, /, *, matched: int = -1) -> Rows:
    """The spectrum of 60 real images and 30 pairs of training times from 0.05 to 20 over the matched
    eigenvalue, of which the student's progress there is between one and 99 per cent: what it has fitted of
    every other direction, what its teacher had when it was as far along the matched one, and the lag.
    """
    inputs, _ = some_images(run, run.stream.child("images"), 60)
    spectrum = torch.linalg.eigvalsh(inputs @ inputs.mT)
    values = spectrum[spectrum > 1e-3 * spectrum[-1]]
    draws = torch.rand(run.size(quick=30, full=300), 2, generator=run.stream.child("times").torch())
    others = torch.ones(len(values), dtype=torch.bool)
    others[matched] = False
    behind, ahead, lags, gaps = [], [], [], []
    for student, teacher in (0.05 * 400 ** draws.double() / values[matched]).tolist():
        times = {"student_time": student, "teacher_time": teacher}
        product = student_filter(values, **times)
        progress = float(product[matched])
        if not 0.01 < progress < 0.99:
            continue
        then = flow_filter(values, time=time_at_progress(float(values[matched]), progress=progress))
        behind.append(product[others])
        ahead.append(then[others])
        lags.append(nagarajan23_lag(values, **times))
        gaps.append(then - product)
    columns = {"student": behind, "teacher": ahead, "lag": lags, "gap": gaps}
    return Rows(**{name: torch.cat(parts) for name, parts in columns.items()})


@experiment
def nets_stopped_early(run: Run, /, *, kept: float = 0.0) -> Rows:
    """4 linear nets trained from zero on 60 real images of their own, 200 steps of size 0.01 over the largest
    curvature, on a share `kept` of the labels and the outputs of such nets after 400 steps; and these labels
    filtered by student and teacher.
    """
    inputs, targets = _samples(run, run.size(quick=4, full=40), 60)
    spectrum, vectors = torch.linalg.eigh(inputs @ inputs.mT)
    spectrum = spectrum.clamp_min(0)
    step = 0.01 / float(spectrum.max())
    descend = partial(trained_on_features, inputs, penalty=0.0, rate=0.01, momentum=0.0, stream=run.stream)
    learned = kept * targets + (1 - kept) * descend(targets, steps=400).logits(inputs)
    share = student_filter(spectrum, student_time=200 * step, teacher_time=400 * step)
    return Rows(
        outputs=descend(learned, steps=200).logits(inputs),
        filtered=vectors @ (share[..., None] * (vectors.mT @ targets)),
    )
