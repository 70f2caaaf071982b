"""Bad input, tabled: at every public door a `ValueError` that names the argument and the value or the cure.

Shapes are not checked by type here, as in a user's process. The command line's table is in `cli/`,
that of broken files in `test_datasets.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from pathlib import Path

import pytest
import torch

from kdtheory import MLP, Stream, train
from kdtheory.bounds import maurer09_finite_class
from kdtheory.datasets import idx_folder
from kdtheory.losses import distillation, kd_gradient, kd_loss, soft_label_loss, tempered_softmax
from kdtheory.problems import FiniteWorld, gaussian_mixture, linear_teacher, random_finite_world
from kdtheory.recipe import Recipe
from kdtheory.risk import distilled_risk, one_hot_risk, one_hot_variance

Z = torch.zeros(3, 4, dtype=torch.float64)
Y = torch.tensor([0, 1, 3])
P = torch.full((3, 4), 0.25, dtype=torch.float64)
W = torch.full((3,), 1 / 3, dtype=torch.float64)
WORLD = random_finite_world(Stream(0), atoms=3, num_classes=4, dim=2)
KD = {"temperature": 2.0, "weight": 0.5}
FIXED = {"fixed_in_advance": True, "independent_draws": True}


def with_(value: float, tensor: torch.Tensor = Z) -> torch.Tensor:
    """`tensor` with one entry replaced."""
    changed = tensor.clone()
    changed[1, 2] = value
    return changed


def training(**changes: object) -> object:
    arguments = {
        "inputs": torch.zeros(5, 2), "labels": torch.tensor([0, 1, 2, 0, 1]), "teacher_probs": None,
        "loss": lambda logits, probs, labels: logits.square().sum(-1), "members": 2, "stream": Stream(0),
        "recipe": Recipe(steps=1, learning_rate=0.1),
    }  # fmt: skip
    arguments.update(changes)
    return train(MLP((2, 3)), arguments.pop("inputs"), arguments.pop("labels"), **arguments)  # type: ignore


TABLE: dict[str, tuple[Callable[[], object], str]] = {
    "kd_loss: shapes differ": (lambda: kd_loss(Z, Z[:2], Y, **KD), "teacher_logits"),
    "kd_loss: classes differ": (lambda: kd_loss(Z, Z[:, :3], Y, **KD), "teacher_logits"),
    "kd_loss: labels of another length": (lambda: kd_loss(Z, Z, Y[:2], **KD), "labels"),
    "kd_loss: NaN logits": (lambda: kd_loss(with_(nan), Z, Y, **KD), "student_logits"),
    "kd_loss: infinite logits": (lambda: kd_loss(Z, with_(inf), Y, **KD), "teacher_logits"),
    "kd_loss: label out of range": (lambda: kd_loss(Z, Z, Y + 1, **KD), "labels spans 1 to 4"),
    "kd_loss: negative label": (lambda: kd_loss(Z, Z, Y - 1, **KD), "labels spans -1"),
    "kd_loss: real labels": (lambda: kd_loss(Z, Z, Y.double(), **KD), "labels has dtype"),
    "kd_loss: T = 0": (lambda: kd_loss(Z, Z, Y, temperature=0.0, weight=0.5), "temperature = 0"),
    "kd_loss: T < 0": (lambda: kd_loss(Z, Z, Y, temperature=-1.0, weight=0.5), "temperature = -1"),
    "kd_loss: T = NaN": (lambda: kd_loss(Z, Z, Y, temperature=nan, weight=0.5), "temperature = nan"),
    "kd_loss: λ > 1": (lambda: kd_loss(Z, Z, Y, temperature=1.0, weight=1.5), "weight = 1.5"),
    "kd_loss: λ < 0": (lambda: kd_loss(Z, Z, Y, temperature=1.0, weight=-0.5), "weight = -0.5"),
    "kd_loss: no rows": (lambda: kd_loss(Z[:0], Z[:0], Y[:0], **KD), "no row"),
    "kd_loss: one class": (lambda: kd_loss(Z[:, :1], Z[:, :1], Y, **KD), "2 classes"),
    "kd_loss: unknown soft term": (lambda: kd_loss(Z, Z, Y, soft="l3", **KD), "soft = 'l3'"),
    "kd_loss: unknown reduction": (lambda: kd_loss(Z, Z, Y, reduction="max", **KD), "reduction = 'max'"),  # type: ignore
    "kd_gradient: T = 0": (lambda: kd_gradient(Z, Z, Y, temperature=0.0, weight=0.5), "temperature"),
    "distillation: T = 0": (lambda: distillation(Z, P, Y, temperature=0.0), "temperature"),
    "distillation: λ = 2": (lambda: distillation(Z, P, Y, weight=2.0), "weight"),
    "tempered_softmax: T = 0": (lambda: tempered_softmax(Z, temperature=0.0), "temperature"),
    "soft_label_loss: rows do not sum to one": (lambda: soft_label_loss(Z, P * 2), "probs"),
    "soft_label_loss: negative": (lambda: soft_label_loss(Z, with_(-0.25, P)), "probs"),
    "one_hot_risk: label out of range": (lambda: one_hot_risk(Z, Y + 1), "labels"),
    "one_hot_risk: NaN": (lambda: one_hot_risk(with_(nan), Y), "losses"),
    "distilled_risk: rows do not sum to one": (lambda: distilled_risk(Z, P / 2), "teacher_probs"),
    "distilled_risk: shapes differ": (lambda: distilled_risk(Z, P[:, :3] * 4 / 3), "teacher_probs"),
    "one_hot_variance: n = 0": (lambda: one_hot_variance(Z, P, W, n=0), "n = 0"),
    "one_hot_variance: masses": (lambda: one_hot_variance(Z, P, W * 2, n=5), "weights"),
    "bound: δ = 0": (lambda: maurer09_finite_class(W, class_size=5, delta=0.0, **FIXED), "delta"),
    "bound: δ = 1": (lambda: maurer09_finite_class(W, class_size=5, delta=1.0, **FIXED), "delta"),
    "bound: n = 1": (lambda: maurer09_finite_class(W[:1], class_size=5, delta=0.1, **FIXED), "at least 2"),
    "bound: no class": (lambda: maurer09_finite_class(W, class_size=0, delta=0.1, **FIXED), "class_size"),
    "world: masses": (lambda: FiniteWorld(WORLD.inputs, W * 2, P), "weights"),
    "world: probs": (lambda: FiniteWorld(WORLD.inputs, W, P * 2), "probs"),
    "world: n = 0": (lambda: WORLD.sample(0, Stream(0)), "shape"),
    "world: inputs of another dimension": (lambda: WORLD.posterior(torch.zeros(2, 5)), "inputs"),
    "mixture: std = 0": (lambda: gaussian_mixture(Z, std=0.0), "std"),
    "teacher: T = 0": (lambda: linear_teacher(Stream(0), dim=2, num_classes=3, temperature=0), "temperature"),
    "MLP: one width": (lambda: MLP((3,)), "widths"),
    "MLP: activation": (lambda: MLP((3, 2), activation="step"), "activation = 'step'"),
    "train: n = 0": (lambda: training(inputs=torch.zeros(0, 2), labels=Y[:0]), "rows of inputs"),
    "train: NaN inputs": (lambda: training(inputs=torch.full((5, 2), nan)), "inputs holds NaN"),
    "train: inputs of another dimension": (lambda: training(inputs=torch.zeros(5, 3)), "inputs has shape"),
    "train: label out of range": (lambda: training(labels=torch.tensor([0, 1, 3, 0, 1])), "labels"),
    "train: labels of another length": (lambda: training(labels=torch.tensor([0, 1, 2])), "labels has shape"),
    "train: teacher's rows": (lambda: training(teacher_probs=torch.ones(5, 3)), "teacher_probs"),
    "train: no members": (lambda: training(members=0), "members = 0"),
    "train: learning rate": (
        lambda: training(recipe=Recipe(steps=1, learning_rate=0.0)),
        "learning_rate = 0",
    ),
    "train: optimiser": (lambda: training(recipe=Recipe(steps=1, optimizer="lion")), "optimizer = 'lion'"),
    "train: setting of another length": (
        lambda: training(settings={"temperature": torch.ones(3)}),
        "temperature",
    ),
    "train: a loss that takes the mean": (
        lambda: training(loss=lambda logits, probs, labels: logits.mean()),
        "one number per example",
    ),
    "data: no folder": (lambda: idx_folder(Path("nowhere")), "nowhere"),
    "stream: negative seed": (lambda: Stream(-1), "seed = -1"),
}


@pytest.mark.parametrize("case", TABLE)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_refused_by_name(case: str) -> None:
    call, named = TABLE[case]
    with pytest.raises(ValueError, match=named):
        call()
