"""Nets and points that several files of tests share."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from kdtheory.recipe import Recipe
from kdtheory.streams import Stream

SGD = partial(torch.optim.SGD, lr=0.1)
SHORT = {"recipe": Recipe(steps=3, learning_rate=0.1, optimizer="sgd"), "device": "cpu"}


def points(n: int = 30, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 5, generator=generator), torch.randint(classes, (n,), generator=generator)


class Net(nn.Module):
    """A net of which only what it does before and after its layer differs."""

    def __init__(self, after=lambda z: z, before=lambda x: x, classes: int = 3) -> None:
        super().__init__()
        with Stream(0).child("net").default():
            self.layer = nn.Linear(5, classes)
        self.after, self.before = after, before

    def forward(self, x: torch.Tensor):
        return self.after(self.layer(self.before(x)))
