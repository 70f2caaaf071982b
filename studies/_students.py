"""Students of networks that are known by what they said, and the teacher that only repeats it."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from _tones import BINS, SEEN, Tones, spectra
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from kdtheory.recipe import Recipe
from kdtheory.schemes import Batches, distil, response_term
from kdtheory.streams import Stream

__all__ = ["Student", "Told", "distilled", "logits_of"]

RATE = 6e-3


class Student(nn.Module):
    """From spectra to 360 logits: convolutions along pitch, and what each place adds."""

    def __init__(self, width: int) -> None:
        super().__init__()
        shape = {"padding": "same"}
        self.layers = nn.Sequential(
            nn.Conv1d(len(SEEN) + 1, width, 9, **shape), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Conv1d(width, width, 9, **shape), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Conv1d(width, width, 9, **shape), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Conv1d(width, 1, 9, **shape),
        )  # fmt: skip
        self.places = nn.Parameter(torch.zeros(BINS))
        self.register_buffer("height", torch.linspace(-1, 1, BINS))

    def forward(self, seen: Tensor, told: Tensor | None = None) -> Tensor:
        """Logits; what a teacher said beside the spectra is left alone."""
        height = self.height.expand(len(seen), 1, -1)
        logits: Tensor = self.layers(torch.cat([seen, height], 1))[:, 0] + self.places
        return logits


class Told(nn.Module):
    """A teacher that is known by what it said."""

    def forward(self, inputs: Tensor, told: Tensor) -> Tensor:
        return told


def distilled(lesson: Tones, told: Tensor, width: int, epochs: int, stream: Stream, /) -> nn.Module:
    """A student of what a teacher said of some tones, and of no label."""
    with stream.child("start").default():
        student = Student(width)
    steps = epochs * -(-len(told) // 64)
    cycle = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=RATE, total_steps=steps + 1)
    recipe = Recipe(steps=steps, learning_rate=RATE, schedule=cycle)
    loader = DataLoader(TensorDataset(spectra(lesson.frames), told), batch_size=64, shuffle=True)
    taught = distil(
        student, Told(), Batches(loader, inputs=(0, 1), labels=False), losses={"full": response_term(1.0)},
        recipe=recipe, stream=stream.child("student"), device="cpu",
    )  # fmt: skip
    return taught.module.eval()


@torch.no_grad()
def logits_of(student: nn.Module, tones: Tones, /) -> Tensor:
    """What it says of tones, some at a time."""
    parts = np.split(tones.frames, range(1000, len(tones.frames), 1000))
    return torch.cat([student(spectra(part)) for part in parts])
