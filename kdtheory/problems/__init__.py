"""Worlds: joint laws of (x, y) whose truth p*(x) is known."""

from __future__ import annotations

from kdtheory.problems.finite import EnumeratedSamples, FiniteWorld, random_finite_world
from kdtheory.problems.gaussian_mixture import GaussianMixture, gaussian_mixture
from kdtheory.problems.multi_view import MultiViewWorld, Views
from kdtheory.problems.relabelled import relabelled_images
from kdtheory.problems.teachers import (
    KernelLogits,
    LinearLogits,
    TeacherLogits,
    TeacherWorld,
    kernel_teacher,
    linear_teacher,
)
from kdtheory.problems.world import World

__all__ = [
    "EnumeratedSamples",
    "FiniteWorld",
    "GaussianMixture",
    "KernelLogits",
    "LinearLogits",
    "MultiViewWorld",
    "TeacherLogits",
    "TeacherWorld",
    "Views",
    "World",
    "gaussian_mixture",
    "kernel_teacher",
    "linear_teacher",
    "random_finite_world",
    "relabelled_images",
]
