"""Chapter 3.3: self-distillation that keeps some labels ends in ridge regression (Borup & Andersen 2021)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.experiments.schemes.image_kernels import (
    centred_targets,
    gaussian_kernel,
    random_features,
    some_images,
    trained_on_features,
)
from kdtheory.self_distillation.fixed_point import (
    borup21_contraction,
    borup21_fixed_point,
    borup21_rounds,
    kernel_ridge,
)

ALPHA = 0.3
PENALTY = 0.5
SOURCE = "borup2021even"


def _penalty_times_alpha(kernel: Tensor, targets: Tensor, /, *, penalty: float, alpha: float) -> Tensor:
    return kernel_ridge(kernel, targets, penalty=penalty * alpha)


def _penalty_as_it_was(kernel: Tensor, targets: Tensor, /, *, penalty: float, alpha: float) -> Tensor:
    return kernel_ridge(kernel, targets, penalty=penalty)


def _weights_exchanged(
    *both: Tensor, penalty: float, alpha: float, rounds: int, _true: Callable[..., Tensor] = borup21_rounds
) -> Tensor:
    return _true(*both, penalty=penalty, alpha=1 - alpha, rounds=rounds)


def _squared_contraction(
    kernel: Tensor, /, *, penalty: float, alpha: float, _true: Callable[..., float] = borup21_contraction
) -> float:
    return _true(kernel, penalty=penalty, alpha=alpha) ** 2


@claim(
    section="3.3",
    formula=r"y_t = A(\alpha y + (1-\alpha) y_{t-1}) \to K(K + \tfrac{\lambda}{\alpha} I)^{-1} y,\quad"
    r" A = K(K + \lambda I)^{-1}",
    source=SOURCE,
    assumes=("α > 0.",),
    control=Control("no label is kept after the first round", kept=0.0),
    uses=(borup21_rounds, borup21_fixed_point, borup21_contraction),
    mutants=(
        Mutant("λα in place of λ/α", borup21_fixed_point, _penalty_times_alpha),
        Mutant("λ in place of λ/α", borup21_fixed_point, _penalty_as_it_was),
        Mutant("α and 1 − α exchanged", borup21_rounds, _weights_exchanged),
        Mutant("the contraction is squared", borup21_contraction, _squared_contraction),
    ),
)
def label_keeping_self_distillation_ends_in_ridge_regression(
    setting: Setting, /, *, kept: float = ALPHA
) -> Evidence:
    """Rounds of kernel ridge regression on a mixture of labels and last outputs converge, by a constant
    factor a round, to ridge regression with the penalty λ/α: they never collapse.

    A Gaussian kernel on 60 real images, α = 0.3, λ = 0.5, nuggets 0.02 and 1. The closed form is compared
    with one linear system a round, round 60 with the limit, and each round's distance from the limit with the
    contraction, which the nugget 1 (equal eigenvalues) attains.
    """
    closed, explicit, limits, contracted, allowed = [], [], [], [], []
    for trial, nugget in enumerate((0.02, 1.0) * setting.size(quick=3, full=30)):
        inputs, labels = some_images(setting, setting.stream.child(trial), 60)
        kernel = gaussian_kernel(inputs, nugget=nugget)
        targets = centred_targets(labels, setting.images.num_classes)
        found = borup21_rounds(kernel, targets, penalty=PENALTY, alpha=ALPHA, rounds=60)
        limit = borup21_fixed_point(kernel, targets, penalty=PENALTY, alpha=ALPHA)
        smoother = torch.linalg.solve(kernel + PENALTY * torch.eye(60, dtype=kernel.dtype), kernel)
        rounds = [targets]
        for _ in range(60):
            rounds.append(smoother @ (kept * targets + (1 - kept) * rounds[-1]))
        own = torch.stack(rounds)
        off = (own[:8] - limit).flatten(1).norm(dim=1)
        closed.append(found)
        explicit.append(own)
        limits.append(limit)
        contracted.append(off[1:] / off[:-1])
        allowed.append(torch.full_like(off[1:], borup21_contraction(kernel, penalty=PENALTY, alpha=ALPHA)))
    last = torch.stack([own[-1] for own in explicit])
    return Joint(
        parts={
            "closed form": Identity.of(torch.stack(closed), torch.stack(explicit), tolerance=1e-9),
            "limit": Identity.of(last, torch.stack(limits), tolerance=1e-6),
            "contraction": Inequality.of(torch.cat(contracted), torch.cat(allowed), slack=1e-9),
        }
    )


@claim(
    section="3.3",
    formula=r"f_t(X) \to K(K + \tfrac{\lambda}{\alpha} I)^{-1} y,\quad K = \Phi\Phi^\top",
    source=SOURCE,
    assumes=("Only the last layer is trained, to convergence.", "α > 0."),
    control=Control("no label is kept after the first round", kept=0.0),
    uses=(borup21_fixed_point,),
    mutants=(
        Mutant("λα in place of λ/α", borup21_fixed_point, _penalty_times_alpha),
        Mutant("λ in place of λ/α", borup21_fixed_point, _penalty_as_it_was),
    ),
    cost=2,
)
def nets_that_keep_labels_end_in_ridge_regression(setting: Setting, /, *, kept: float = ALPHA) -> Evidence:
    """Nets whose last layer is trained with weight decay, round after round on a mixture of labels and their
    own outputs, end where one training with a weight decay 1/α times as large ends.

    400 fixed ReLU features of 40 real images, a population of 4 with features of their own, 12 rounds of
    gradient descent with momentum; outputs within 1 per cent of the targets' size.
    """
    members = setting.size(quick=4, full=20)
    drawn = [some_images(setting, setting.stream.child("images", i), 40) for i in range(members)]
    features = torch.stack(
        [
            random_features(x, width=400, stream=setting.stream.child("features", i))
            for i, (x, _) in enumerate(drawn)
        ]
    )
    targets = torch.stack([centred_targets(y, setting.images.num_classes) for _, y in drawn])
    outputs = targets
    for t in range(12):
        nets = trained_on_features(
            features,
            kept * targets + (1 - kept) * outputs,
            penalty=PENALTY,
            steps=400,
            stream=setting.stream.child("nets", t),
        )
        outputs = nets.logits(features)
    limits = [
        borup21_fixed_point(own @ own.mT, wanted, penalty=PENALTY, alpha=ALPHA)
        for own, wanted in zip(features, targets, strict=True)
    ]
    return Identity.of(outputs, torch.stack(limits), tolerance=0.01)
