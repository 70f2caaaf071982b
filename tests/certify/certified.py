"""A teacher and a student of digits, what is certified of them, and a world in which their risk is known."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from kdtheory import MLP, Stream, certify, train
from kdtheory.datasets import digits
from kdtheory.losses import distillation, label_loss
from kdtheory.problems import FiniteWorld, relabelled_images
from kdtheory.recipe import Recipe
from kdtheory.roles import ROLES

ROOT = Stream(5).child("test_certify")
ORDER = torch.from_numpy(ROOT.child("order").numpy().permutation(1797))
X, Y = digits().inputs[ORDER], digits().labels[ORDER]
TRAIN, HOLDOUT, REST = (X[:1000], Y[:1000]), (X[1000:1200], Y[1000:1200]), X[1200:]
ANY_PAIR = list(itertools.combinations(ROLES, 2))


def learned(widths: tuple[int, ...], steps: int, **teaching: Tensor) -> nn.Module:
    loss = distillation if teaching else label_loss
    stream = ROOT.child("learned", *widths)
    few = {"recipe": Recipe(steps=steps, learning_rate=0.01), "members": 1, "stream": stream, "device": "cpu"}
    return train(MLP(widths), *TRAIN, **teaching, loss=loss, **few).module(0)


TEACHER = learned((64, 32, 10), 200)
STUDENT = learned((64, 10), 200, teacher_probs=TEACHER(TRAIN[0]).softmax(-1).detach())
FOUND = certify(TEACHER, STUDENT, train=TRAIN, holdout=HOLDOUT, unlabelled=REST, fixed_in_advance=True)


@torch.no_grad()
def says(module: nn.Module, inputs: Tensor) -> Tensor:
    return module(inputs).double()


def world() -> FiniteWorld:
    return relabelled_images(digits(), says(STUDENT, digits().inputs), temperature=1.0)
