"""Tones of known pitch, and what a small network sees of them.

A tone is a frame of 1,024 samples at 16 kHz: up to 12 harmonics of its pitch below 7.6 kHz, of amplitude
h^(−s)·e^(g/2) with a slope s uniform in [0, 2] and g normal, at phases of chance, and white noise that is
weaker by 0 to 30 dB. Frames have mean 0 and standard deviation 1, as CREPE wants them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdtheory.streams import Stream

__all__ = [
    "BINS",
    "LAWS",
    "NOTES",
    "Tones",
    "in_tune",
    "log_uniform",
    "made_tones",
    "note_of",
    "spectra",
]

RATE, SAMPLES, HARMONICS, HIGHEST = 16_000, 1024, 12, 7_600.0
BINS, NOTES, LOWEST = 360, 72, 1997.3794084376191
"""Of 20 cents; the lowest is so many cents above 10 Hz, as CREPE has them. Notes are C1 to B6."""
A4 = 1200 * np.log2(44.0)
SEEN = (1 / 3, 1 / 2, *range(1, 11))
"""The multiples of a pitch at which a network sees how strong the frame is."""
_ROWS = 500


@dataclass(frozen=True, eq=False)
class Tones:
    """Frames, and the place of each pitch among the bins: 3.2 lies in bin 3."""

    frames: NDArray[np.float32]
    places: NDArray[np.float64]

    @property
    def bins(self) -> NDArray[np.int64]:
        """Which of 360 bins of 20 cents."""
        return np.rint(self.places).astype(np.int64)

    @property
    def notes(self) -> NDArray[np.int64]:
        """Which of 72 notes."""
        return note_of(self.places)


def log_uniform(draws: np.random.Generator, number: int, /) -> Tones:
    """Any pitch from 31.5 Hz to 2 kHz, every bin as often."""
    return _tones(draws, draws.random(number) * BINS - 0.5)


def in_tune(draws: np.random.Generator, number: int, /) -> Tones:
    """Notes of the tempered scale (A4 = 440 Hz), every one as often, at most 10 cents out of tune."""
    notes, off = draws.integers(NOTES, size=number), draws.uniform(-10, 10, number)
    return _tones(draws, (A4 + 100 * (notes - 45) + off - LOWEST) / 20)


LAWS = {"bins": log_uniform, "notes": in_tune}


def note_of(places: NDArray[np.generic], /) -> NDArray[np.int64]:
    """The note, C1 = 0, whose pitch is nearest to that of a place among the bins."""
    nearest = np.rint((20 * places.astype(np.float64) + LOWEST - A4) / 100).astype(np.int64) + 45
    return np.clip(nearest, 0, NOTES - 1)


def _tones(draws: np.random.Generator, places: NDArray[np.float64]) -> Tones:
    frames = [_frames(draws, part) for part in np.split(places, range(_ROWS, len(places), _ROWS))]
    return Tones(np.concatenate(frames), places)


def _frames(draws: np.random.Generator, places: NDArray[np.float64]) -> NDArray[np.float32]:
    pitch = 10 * 2 ** ((20 * places + LOWEST) / 1200)
    count, times = len(pitch), np.arange(SAMPLES) / RATE
    multiples = np.arange(1, HARMONICS + 1)
    strength = multiples ** -draws.uniform(0, 2, (count, 1))
    strength = strength * np.exp(draws.normal(0, 0.5, (count, HARMONICS)))
    strength[pitch[:, None] * multiples > HIGHEST] = 0
    phases = draws.uniform(0, 2 * np.pi, (count, HARMONICS))
    # Harmonics are powers of the first one: one exponential instead of twelve.
    turn, power = np.exp(2j * np.pi * pitch[:, None] * times), 1.0
    frames = np.zeros((count, SAMPLES))
    for place in range(HARMONICS):
        power = power * turn
        frames += ((strength * np.exp(1j * phases))[:, place, None] * power).real
    frames /= frames.std(1, keepdims=True)
    frames += 10 ** (-draws.uniform(0, 30, (count, 1)) / 20) * draws.standard_normal((count, SAMPLES))
    frames -= frames.mean(1, keepdims=True)
    return (frames / frames.std(1, keepdims=True)).astype(np.float32)


def spectra(frames: NDArray[np.float32], /) -> Tensor:
    """ln(|⟨frame, windowed wave of m·f⟩|² + 1) for m in 12 multiples of each bin's pitch f: n × 12 × 360."""
    window = np.hanning(SAMPLES)
    pitches = 10 * 2 ** ((20 * np.arange(BINS) + LOWEST) / 1200)
    waves = []
    for multiple in SEEN:
        turns = np.exp(-2j * np.pi * np.outer(np.arange(SAMPLES) / RATE, multiple * pitches))
        wave = window[:, None] * turns * (multiple * pitches < RATE / 2)
        waves.append(torch.from_numpy(wave.astype(np.complex64)))
    seen = []
    for part in torch.from_numpy(frames).split(_ROWS):
        strong = [(part @ wave.real).square() + (part @ wave.imag).square() for wave in waves]
        seen.append(torch.stack(strong, 1).log1p())
    return torch.cat(seen)


def made_tones(law: str, stream: Stream, number: int, /) -> Tones:
    """So many tones of a law."""
    return LAWS[law](stream.numpy(), number)
