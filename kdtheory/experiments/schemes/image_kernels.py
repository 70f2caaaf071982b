"""Real images as the points of a kernel: Gram matrices, centred targets, and nets on random features."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.experiments.run import Run
from kdtheory.networks import MLP
from kdtheory.populations import Loss, Population, train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream


def some_images(run: Run, stream: Stream, count: int) -> tuple[Tensor, Tensor]:
    """Inputs and labels of `count` images, drawn without replacement; float64."""
    images = run.images
    chosen = torch.randperm(images.num_images, generator=stream.torch())[:count]
    return images.inputs[chosen].double(), images.labels[chosen]


def gaussian_kernel(inputs: Tensor, *, nugget: float) -> Tensor:
    """(1−η)·exp(−‖x − x'‖²/2b²) + η·1[x = x'], b the median distance: its eigenvalues are at least η."""
    distances = torch.cdist(inputs, inputs)
    bandwidth = distances[distances > 0].median()
    smooth = (-(distances / bandwidth).square() / 2).exp()
    kernel = (1 - nugget) * smooth + nugget * torch.eye(len(inputs), dtype=inputs.dtype)
    return (kernel + kernel.mT) / 2


def centred_targets(labels: Tensor, num_classes: int) -> Tensor:
    """One-hot labels minus their means over the sample, float64."""
    targets = torch.nn.functional.one_hot(labels, num_classes).double()
    return targets - targets.mean(0)


def random_features(inputs: Tensor, *, width: int, stream: Stream) -> Tensor:
    """The hidden units √(2/m)·ρ(Wx) of a net that is never trained below its last layer; W Gaussian, d⁻¹."""
    weights = torch.randn(inputs.shape[-1], width, dtype=inputs.dtype, generator=stream.torch())
    hidden: Tensor = (inputs @ weights / inputs.shape[-1] ** 0.5).relu() * (2 / width) ** 0.5
    return hidden


def regression(targets: Tensor) -> tuple[Tensor, Loss]:
    """Targets [*, n, k] whose rows have sum zero as what training takes, and the loss ½‖f(x) − y‖² of them.

    Training takes probabilities, so that targets travel as 1/k + y/s, and the loss undoes it.
    """
    k, size = targets.shape[-1], targets.shape[-1] * float(targets.abs().max())

    def half_squared(logits: Tensor, probs: Tensor, _labels: Tensor | None) -> Tensor:
        return (logits - size * (probs - 1 / k)).square().sum(-1) / 2

    return 1 / k + targets / size, half_squared


def trained_on_features(
    features: Tensor,
    targets: Tensor,
    *,
    penalty: float,
    steps: int,
    stream: Stream,
    rate: float = 1.0,
    momentum: float = 0.9,
) -> Population:
    """Last layers on their way to the least Σ‖f(x_i) − y_i‖² + penalty·‖θ‖², by gradient descent from zero.

    One for each member of features [members n width] and targets [members n k], rows of sum zero; steps of
    `rate` over the largest curvature.
    """
    members, n, width = features.shape
    architecture = MLP((width, targets.shape[-1]), bias=False)
    curvature = float(torch.linalg.matrix_norm(features, ord=2).max()) ** 2 + penalty
    probs, half_squared = regression(targets)
    return train(
        architecture,
        features,
        teacher_probs=probs,
        loss=half_squared,
        members=members,
        stream=stream,
        recipe=Recipe(
            steps=steps,
            learning_rate=rate * n / curvature,
            optimizer="sgd",
            momentum=momentum,
            weight_decay=penalty / n,
            dtype=torch.float64,
        ),
        # of a mean over n points
        initial=torch.zeros(members, architecture.size, dtype=torch.float64),
        device="cpu",
    )
