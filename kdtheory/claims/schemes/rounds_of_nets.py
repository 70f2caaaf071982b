"""Chapter 3.2: nets trained in rounds on their own outputs, beside the closed form (Mobahi et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Joint, MeanInequality
from kdtheory.experiments.schemes.image_kernels import (
    centred_targets,
    random_features,
    regression,
    some_images,
    trained_on_features,
)
from kdtheory.networks import MLP
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
from kdtheory.self_distillation.rkhs import SelfDistillation, effective_rank, mobahi20_rounds
from kdtheory.streams import Stream

SOURCE = "mobahi2020self"


def _a_round_late(
    kernel: Tensor,
    targets: Tensor,
    /,
    *,
    error: float,
    rounds: int,
    _true: Callable[..., SelfDistillation] = mobahi20_rounds,
) -> SelfDistillation:
    right = _true(kernel, targets, error=error, rounds=rounds)
    return replace(right, outputs=right.outputs.roll(1, 0))


def _all_directions(outputs: Tensor, /) -> Tensor:
    return torch.full(outputs.shape[:-2], float(min(outputs.shape[-2:])), dtype=outputs.dtype)


@claim(
    section="3.2",
    formula=r"f_t(X) = K(K + c_t I)^{-1} y_{t-1},\quad K = \Phi\Phi^\top",
    source=SOURCE,
    assumes=("Only the last layer is trained, to convergence: gradient norm at most 1e-5.",),
    control=Control("every round learns the labels again", learns="labels"),
    uses=(mobahi20_rounds,),
    power=Scaled(mobahi20_rounds, entry="outputs"),
    mutants=(Mutant("the outputs of the round before", mobahi20_rounds, _a_round_late),),
)
def nets_on_random_features_follow_the_rounds(setting: Setting, /, *, learns: str = "outputs") -> Evidence:
    """Nets whose last layer is trained by gradient descent with weight decay c_t/K, round after round on
    their own outputs, follow the closed form.

    400 fixed ReLU features of 30 real images, a population of one for each of 4 draws, momentum, 3 rounds;
    outputs within 0.1 per cent of the targets' size.
    """
    found, expected = [], []
    for trial in range(setting.size(quick=4, full=20)):
        stream = setting.stream.child(trial)
        inputs, labels = some_images(setting, stream, 30)
        features = random_features(inputs, width=400, stream=stream.child("features"))
        targets = centred_targets(labels, setting.images.num_classes)
        error = 0.1 * float(targets.square().sum()) / len(targets)
        theory = mobahi20_rounds(features @ features.mT, targets, error=error, rounds=3)
        learned = targets
        for t, c in enumerate(theory.multipliers.tolist(), 1):
            nets = trained_on_features(features[None], learned[None], penalty=c, steps=400, stream=stream)
            outputs = nets.logits(features)[0]
            found.append(outputs)
            expected.append(theory.outputs[t])
            learned = outputs if learns == "outputs" else targets
    return Identity.of(torch.stack(found), torch.stack(expected), tolerance=1e-3)


@claim(
    section="3.2",
    formula=r"\operatorname{rank}_{\mathrm{eff}} f_T(X) < 0.9\,\operatorname{rank}_{\mathrm{eff}} f_1(X),"
    r" \lVert f_T(X) \rVert < 0.9\,\lVert f_1(X) \rVert",
    source=SOURCE,
    assumes=("The nets are trained with weight decay, so that every round must give up something.",),
    control=Control("every round learns the labels again", learns="labels"),
    uses=(effective_rank,),
    mutants=(Mutant("all directions count alike", effective_rank, _all_directions),),
    tuned_on=(100, 101, 102, 103, 104, 105),
    loose="shrinking by a tenth is a threshold: no constant of a formula enters",
    cost=19,
)
def trained_nets_shrink_and_lose_rank_over_rounds(
    setting: Setting, /, *, learns: str = "outputs"
) -> Evidence:
    """Nets with both layers trained, each on the outputs of the one before, shrink and lose effective rank.

    Loss ½‖f − y‖², weight decay 0.005; 16 nets of 32 tanh units on 100 real images of their own, 8 rounds.
    Effective rank: e to the entropy of the squared singular values of the outputs (Roy & Vetterli 2007).
    """
    members = setting.size(quick=16, full=48)
    drawn = [some_images(setting, setting.stream.child("images", i), 100) for i in range(members)]
    inputs = torch.stack([x for x, _ in drawn])
    labels = torch.stack([centred_targets(y, setting.images.num_classes) for _, y in drawn])
    learned, outputs = labels, []
    for t in range(8):
        nets = _trained(inputs, learned, setting.stream.child("nets", t), setting.device)
        outputs.append(nets.logits(inputs).cpu().double())
        learned = outputs[-1] - outputs[-1].mean(-1, keepdim=True) if learns == "outputs" else labels
    ranks = [effective_rank(table) for table in outputs]
    norms = [table.flatten(1).norm(dim=1) for table in outputs]
    return Joint(
        parts={
            "rank": MeanInequality.of(ranks[-1], 0.9 * ranks[0]),
            "norm": MeanInequality.of(norms[-1], 0.9 * norms[0]),
        },
        notes={"effective rank by round": [float(rank.mean()) for rank in ranks]},
    )


def _trained(inputs: Tensor, targets: Tensor, stream: Stream, device: str) -> Population:
    probs, half_squared = regression(targets)
    return train(
        MLP((inputs.shape[-1], 32, targets.shape[-1]), activation="tanh"),
        inputs,
        teacher_probs=probs,
        loss=half_squared,
        members=len(inputs),
        stream=stream,
        recipe=Recipe(steps=300, learning_rate=0.01, weight_decay=0.005),
        device=device,
    )
