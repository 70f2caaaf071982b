"""The best weight of the teacher against the noise of the labels.

A student learns (1−ξ)·labels + ξ·outputs of a teacher that was trained on the same labels with the same
penalty. (a) Ridge regression on fixed inputs, 8 principal coordinates of real digits and a planted linear
truth: the closed form of ξ* in expectation over the noise as lines, best weights of drawn noise as points
(where the mean slope of the risk in ξ is zero, with a 95 % interval of the ratio by the delta method). (b)
What the best mixture gains, as a share of the teacher's excess risk, over the teacher's penalty: nothing
where that penalty is the best one, marked by a vertical line for each noise. (c) Soft-max regression on
digits of which a share of the training labels is replaced by others, for two weights λ of the decay λ‖θ‖²/2:
the error on unseen images with true labels over ξ, minus that of the teacher, mean and 95 % interval over the
draws; teacher and students minimise a convex loss to convergence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from kdtheory.datasets import digits
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, band, panel_letter, points
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.self_distillation import fixed_design_mixing, ridge, ridge_derivative
from kdtheory.stats import mean_test
from kdtheory.streams import Stream

CLAIMS = (
    "pure_student_is_a_step_along_the_ridge_path",
    "optimally_mixed_student_beats_its_teacher_by_the_slope_of_the_risk",
    "best_weight_of_the_teacher_grows_with_the_noise_and_beyond_one",
)
CONFIG = {
    "draws": 4000,
    "penalties": (0.02, 0.05, 0.2),
    "members": 10,
    "flipped": (0.0, 0.5),
    "decays": (0.003, 0.01),
    "weights": (-0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
    "steps": 500,
}
SMALL = {
    "draws": 300,
    "penalties": (0.05, 0.2),
    "members": 3,
    "flipped": (0.0, 0.5),
    "decays": (0.01,),
    "weights": (0.0, 0.5, 1.0),
    "steps": 100,
}
PANELS = 3

_STDS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0)
_SHOWN = (0.3, 1.0, 3.0)
_COLORS = ("blue", "vermillion", "green", "purple")
_EXAMPLES = 300


def run(
    stream: Stream,
    *,
    draws: int,
    penalties: Sequence[float],
    members: int,
    flipped: Sequence[float],
    decays: Sequence[float],
    weights: Sequence[float],
    steps: int,
) -> list[dict[str, Any]]:
    """Rows of three sweeps: "noise" (ridge, ξ* over σ), "penalty" (gain over λ), "digits" (error over ξ)."""
    inputs, truth = _design(stream)
    rows = [
        {
            "sweep": "noise",
            "penalty": penalty,
            "std": std,
            **_ridge_row(inputs, truth, penalty, std, draws, stream),
        }
        for penalty in penalties
        for std in _STDS
    ]
    for std in _SHOWN:
        for penalty in np.geomspace(1e-3, 10, 121).tolist():
            mixing = _expected(inputs, truth, penalty, std)
            share = mixing.gain / mixing.risk
            facts = {"sweep": "penalty", "std": std, "penalty": penalty}
            rows.append(facts | {"exact": mixing.weight, "gain_share": share, "slope": mixing.slope})
    for share in flipped:
        for decay in decays:
            rows += _digits_rows(share, decay, weights, members, steps, stream.child("digits", str(share)))
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Best weight over noise; gain over penalty; error of soft-max students over the weight."""
    _draw_noise(axes[0], rows[rows["sweep"] == "noise"])
    _draw_penalty(axes[1], rows[rows["sweep"] == "penalty"])
    _draw_digits(axes[2], rows[rows["sweep"] == "digits"])
    for ax, letter, title in zip(
        axes,
        "abc",
        (
            "ridge: best weight over the noise",
            "ridge: gain over the penalty",
            "soft-max regression on digits",
        ),
        strict=True,
    ):
        panel_letter(ax, letter, title)


def _draw_noise(ax: Any, rows: pd.DataFrame) -> None:
    for color, (penalty, line) in zip(_COLORS, rows.groupby("penalty"), strict=False):
        ax.plot(line["std"], line["exact"], color=PALETTE[color], linewidth=1.2)
        interval = line["measured"], line["low"], line["high"]
        points(ax, line["std"], *interval, color=PALETTE[color], label=rf"$\lambda$ = {penalty:g}")
    for level in (-1, 0, 1):
        ax.axhline(level, color="0.5", linewidth=0.8, linestyle=":")
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(-4, 30)
    ax.text(
        0.97, 0.04, "logarithmic beyond ±1 (dotted)", transform=ax.transAxes, ha="right", fontsize="small"
    )
    ax.set_xlabel(r"standard deviation $\sigma$ of the labels' noise")
    ax.set_ylabel(r"best weight $\xi^*$ of the teacher")
    ax.legend(loc="upper left", fontsize="small")


def _draw_penalty(ax: Any, rows: pd.DataFrame) -> None:
    for color, (std, line) in zip(_COLORS, rows.groupby("std"), strict=False):
        ax.plot(line["penalty"], 100 * line["gain_share"], color=PALETTE[color], label=rf"$\sigma$ = {std:g}")
        best = line.loc[line["gain_share"].idxmin(), "penalty"]
        ax.axvline(best, color=PALETTE[color], linewidth=0.8, linestyle=":")
    ax.set_xscale("log")
    ax.set_xlabel(r"penalty $\lambda$ (dotted: the best one, $R'(\lambda) = 0$)")
    ax.set_ylabel("gain of the best mixture\n(% of the teacher's risk)")
    ax.set_ylim(top=100)
    ax.legend(loc="upper left", fontsize="small")


def _draw_digits(ax: Any, rows: pd.DataFrame) -> None:
    for color, ((share, decay), line) in zip(_COLORS, rows.groupby(["flipped", "decay"]), strict=False):
        label = rf"{share:.0%} of the labels wrong, $\lambda$ = {decay:g}"
        change = 100 * line["measured"], 100 * line["low"], 100 * line["high"]
        band(ax, line["weight"], *change, color=PALETTE[color], label=label)
    ax.axhline(0, color="0.5", linewidth=0.8)
    ax.axvline(1, color="0.5", linewidth=0.8)
    ax.set_xlabel(r"weight $\xi$ of the teacher")
    ax.set_ylabel("error minus the teacher's\n(percentage points)")
    ax.set_ylim(top=2 * ax.get_ylim()[1])  # the key has the upper half
    ax.legend(loc="upper left", fontsize="small")


def _design(stream: Stream) -> tuple[Tensor, Tensor]:
    """8 principal coordinates of 100 digits, and a linear truth of norm one."""
    images = digits().inputs.double()
    rows = torch.randperm(len(images), generator=stream.child("images").torch())[:100]
    centred = images[rows] - images[rows].mean(0)
    left, singular, _ = torch.linalg.svd(centred, full_matrices=False)
    truth = torch.randn(8, dtype=torch.float64, generator=stream.child("truth").torch())
    return left[:, :8] * singular[:8], truth / truth.norm()


def _expected(inputs: Tensor, truth: Tensor, penalty: float, std: float) -> Any:
    values, vectors = torch.linalg.eigh(inputs.mT @ inputs / len(inputs))
    along = vectors.mT @ truth
    return fixed_design_mixing(values, along, penalty=penalty, noise_variance=std**2, n=len(inputs))


def _ridge_row(
    inputs: Tensor, truth: Tensor, penalty: float, std: float, draws: int, stream: Stream
) -> dict[str, float]:
    """ξ* exactly, and −E R′/(2λ E‖dβ/dλ‖²) over drawn noise."""
    generator = stream.child("noise", str(penalty), str(std)).torch()
    noise = std * torch.randn(len(inputs), draws, dtype=torch.float64, generator=generator)
    targets = (inputs @ truth)[:, None] + noise
    errors = ridge(inputs, targets, penalty=penalty) - truth[:, None]
    derivatives = ridge_derivative(inputs, targets, penalty=penalty)
    pulled = inputs.mT @ (inputs @ derivatives) / len(inputs)
    slopes, curvatures = 2 * (errors * pulled).sum(0), (derivatives * pulled).sum(0)
    scale = 2 * penalty * float(curvatures.mean())
    weight = -float(slopes.mean()) / scale
    # Delta method: the ratio's error is the mean of slope + 2ξλ·curvature over the scale.
    low, high = mean_test((-(slopes + 2 * weight * penalty * curvatures) / scale).numpy()).interval()
    exact = _expected(inputs, truth, penalty, std).weight
    return {"exact": exact, "measured": weight, "low": weight + low, "high": weight + high}


def _digits_rows(
    share: float, decay: float, weights: Sequence[float], members: int, steps: int, stream: Stream
) -> list[dict[str, Any]]:
    """The error at each weight minus the teacher's, paired over draws of images and of wrong labels."""
    drawn = [_drawn(share, stream.child(i)) for i in range(members)]
    x, y = (torch.stack(part) for part in list(zip(*drawn, strict=True))[:2])
    tests = [(test_x, test_y) for _, _, test_x, test_y in drawn]
    teachers, _ = _fitted(x, y, None, 0.0, decay, steps, stream)
    probs = torch.stack([t.softmax(-1) for t in teachers(x)])
    before = _errors(teachers, tests)
    rows = []
    for weight in weights:
        students, gradient = _fitted(x, y, probs, weight, decay, steps, stream)
        test = mean_test((_errors(students, tests) - before).numpy())
        low, high = test.interval()
        facts = {"sweep": "digits", "flipped": share, "decay": decay, "weight": weight, "members": members}
        change = {"measured": test.mean, "low": low, "high": high}
        rows.append(facts | change | {"teacher_error": float(before.mean()), "gradient_norm": gradient})
    return rows


def _drawn(share: float, stream: Stream) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    images = digits()
    order = torch.randperm(images.num_images, generator=stream.child("order").torch())
    generator = stream.child("labels").torch()
    y = images.labels[order[:_EXAMPLES]]
    wrong = (y + torch.randint(1, 10, y.shape, generator=generator)) % 10
    y = torch.where(torch.rand(y.shape, generator=generator) < share, wrong, y)
    rest = order[_EXAMPLES:]
    return images.inputs[order[:_EXAMPLES]], y, images.inputs[rest], images.labels[rest]


def _fitted(
    x: Tensor, y: Tensor, probs: Tensor | None, weight: float, decay: float, steps: int, stream: Stream
) -> Any:
    """Soft-max regression on (1−ξ)e_y + ξp, convex for every ξ; the members' logits and largest gradient."""

    def mixed(logits: Tensor, teacher_probs: Tensor | None, labels: Tensor) -> Tensor:
        scores = logits.log_softmax(-1)
        hard = -scores.gather(-1, labels[..., None])[..., 0]
        return (
            hard if teacher_probs is None else (1 - weight) * hard - weight * (teacher_probs * scores).sum(-1)
        )

    architecture = MLP((x.shape[-1], 10))
    nets = train(
        architecture,
        x,
        y,
        teacher_probs=probs,
        loss=mixed,
        members=len(x),
        stream=stream,
        recipe=Recipe(
            steps=steps,
            learning_rate=0.5,
            optimizer="sgd",
            momentum=0.9,
            weight_decay=decay,
            dtype=torch.float64,
        ),
        initial=torch.zeros(len(x), architecture.size, dtype=torch.float64),
        device="cpu",
    )
    return nets.logits, float(nets.gradient_norm.max())


def _errors(logits: Any, tests: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    predicted = logits(torch.stack([x for x, _ in tests])).argmax(-1)
    return (predicted != torch.stack([y for _, y in tests])).double().mean(-1)
