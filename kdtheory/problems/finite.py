"""Worlds of finitely many inputs: every expectation is a finite sum, every sample can be enumerated.

Letters: s atoms x_a of mass w_a, and p_a = p*(x_a) on k classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.doors import door
from kdtheory.problems._draws import axes, categorical, categorical_draws, check_inputs
from kdtheory.problems.world import World
from kdtheory.streams import Stream
from kdtheory.types import Sample, at_least_float32
from kdtheory.validate import check_at_least, check_finite, check_positive, check_probs, check_weights

__all__ = ["EnumeratedSamples", "FiniteWorld", "random_finite_world"]

_MOST_SAMPLES = 5_000_000


@door
@dataclass(frozen=True)
class EnumeratedSamples:
    """Every ordered sample of n labelled points that can occur, and its probability.

    Args:
        atoms: the atom of each point; `world.inputs[atoms]` are the inputs.
        labels: the label of each point.
        probability: of each sample, Π_i w_{a_i} p_{a_i}(y_i) > 0; they sum to one.
    """

    atoms: Int[Tensor, "S n"]
    labels: Int[Tensor, "S n"]
    probability: Float[Tensor, "S"]


@door
@final
@dataclass(frozen=True, eq=False)
class FiniteWorld(World):
    """x = x_a with probability w_a, y with probability p_a(y): every risk is a finite sum.

    Weights and probabilities are kept in float64, divided by their sums; inputs keep their dtype.

    Args:
        inputs: the atoms x_a; equal ones must have equal probabilities.
        weights: their masses w_a ≥ 0, of sum one.
        probs: p*(x_a), one row an atom.

    Raises:
        ValueError: shapes that disagree, entries that are not finite, weights or rows that are no
            probabilities, or one input with two different rows.

    >>> world = FiniteWorld(torch.tensor([[0.0], [1.0]]), torch.tensor([0.5, 0.5]),
    ...                     torch.tensor([[0.9, 0.1], [0.3, 0.7]]))
    >>> round(world.bayes_error, 6)  # ½·0.1 + ½·0.3
    0.2
    """

    inputs: Float[Tensor, "s d"]
    weights: Float[Tensor, "_"]
    probs: Float[Tensor, "_ k"]

    def __post_init__(self) -> None:
        shapes = tuple(self.inputs.shape), tuple(self.weights.shape), tuple(self.probs.shape)
        if [len(shape) for shape in shapes] != [2, 1, 2] or len({shape[0] for shape in shapes}) > 1:
            raise ValueError(
                "inputs, weights, probs have shapes {}, {}, {}; give [s d], [s], [s k]".format(*shapes)
            )
        check_finite("inputs", self.inputs)
        check_weights("weights", self.weights)
        check_probs("probs", self.probs)
        for name in ("weights", "probs"):
            masses = getattr(self, name).to(torch.float64)
            object.__setattr__(self, name, masses / masses.sum(-1, keepdim=True))
        twins = self.probs[first_twins(self.inputs)]
        if not torch.equal(twins, self.probs):
            atom = int((twins != self.probs).any(-1).nonzero()[0])
            raise ValueError(f"inputs: atom {atom} repeats an earlier one with other probs; merge the two")

    @property
    def num_atoms(self) -> int:
        """s, the number of atoms."""
        return self.inputs.shape[0]

    @property
    def num_classes(self) -> int:
        """k, the number of classes."""
        return self.probs.shape[1]

    @property
    def dim(self) -> int:
        """d, the dimension of the inputs."""
        return self.inputs.shape[1]

    @property
    def bayes_error(self) -> float:
        """The least probability of error, Σ_a w_a (1 − max_y p_a(y))."""
        return float(self.expectation(1 - self.probs.detach().amax(-1)).detach())

    def expectation(self, values: Float[Tensor, "*batch s"], /) -> Float[Tensor, "*batch"]:
        """E v(x) = Σ_a w_a v_a, exact, summed in float64.

        Args:
            values: v at every atom, on the last axis.

        Raises:
            ValueError: the last axis is not the world's number of atoms.
        """
        if values.ndim == 0 or values.shape[-1] != self.num_atoms:
            raise ValueError(
                f"values has shape {tuple(values.shape)}; its last axis must be the {self.num_atoms} atoms"
            )
        return values.to(torch.float64) @ self.weights.to(values.device)

    def sample(self, shape: int | tuple[int, ...], stream: Stream) -> Sample:
        """Independent draws of (x, y), with p*(x) and the atoms beside them; atoms repeat.

        Args:
            shape: how many, n or the axes (M, n).
            stream: where the randomness comes from.

        Raises:
            ValueError: an axis of `shape` is below 1, or there is none.
        """
        atoms = categorical_draws(self.weights, axes(shape), stream.child("atoms"))
        probs = self.probs[atoms]
        return Sample(self.inputs[atoms], categorical(probs, stream.child("labels")), probs, atoms)

    def posterior(self, inputs: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch k"]:
        """p*(x) of inputs that are atoms of this world, bit for bit.

        Raises:
            ValueError: an input is no atom, or its last axis is not `dim`.
        """
        check_inputs(inputs, self.dim)
        places = {key: atom for atom, key in enumerate(_keys(self.inputs))}
        found = [places.get(key, -1) for key in _keys(inputs.to(self.inputs.dtype))]
        atoms = torch.tensor(found).reshape(inputs.shape[:-1])
        if bool((atoms < 0).any()):
            raise ValueError(
                f"inputs: {int((atoms < 0).sum())} points are no atoms of this world; p* is not defined there"
            )
        return self.probs[atoms]

    def enumerate_samples(self, n: int) -> EnumeratedSamples:
        """All ordered samples (x_1, y_1), …, (x_n, y_n) of positive probability.

        With J pairs (x, y) of positive probability there are J^n of them.

        Raises:
            ValueError: n < 1, or more than 5,000,000 samples.
        """
        check_at_least("n", n, 1)
        joint = self.weights[:, None] * self.probs
        pairs = joint.nonzero()
        if n > _MOST_SAMPLES or (count := len(pairs) ** n) > _MOST_SAMPLES:
            raise ValueError(
                f"n = {n}: {len(pairs)}^{n} samples exceed {_MOST_SAMPLES:,}; take a smaller world or n"
            )
        places = len(pairs) ** torch.arange(n - 1, -1, -1)
        chosen = torch.arange(count)[:, None] // places % len(pairs)
        atoms, labels = pairs[chosen].unbind(-1)
        return EnumeratedSamples(atoms, labels, joint[atoms, labels].prod(-1))


@door
def random_finite_world(
    stream: Stream, *, atoms: int, num_classes: int, dim: int, concentration: float = 1.0
) -> FiniteWorld:
    """A finite world at random: x_a ~ N(0, I), w ~ Dirichlet(1, …, 1), p_a ~ Dirichlet(c, …, c), float64.

    Args:
        stream: where the randomness comes from.
        atoms: s, how many inputs.
        num_classes: k.
        dim: d.
        concentration: c > 0; small makes p*(x) nearly one-hot, large nearly uniform.

    Raises:
        ValueError: a count below 1 (below 2 classes), or a concentration that is not positive.

    >>> world = random_finite_world(Stream(0), atoms=4, num_classes=3, dim=2)
    >>> world.num_atoms, world.num_classes, world.dim
    (4, 3, 2)
    """
    check_at_least("atoms", atoms, 1)
    check_at_least("num_classes", num_classes, 2)
    check_at_least("dim", dim, 1)
    check_positive("concentration", concentration)
    inputs = stream.child("inputs").numpy().standard_normal((atoms, dim))
    weights = stream.child("weights").numpy().dirichlet([1.0] * atoms)
    probs = stream.child("probs").numpy().dirichlet([concentration] * num_classes, size=atoms)
    return FiniteWorld(torch.from_numpy(inputs), torch.from_numpy(weights), torch.from_numpy(probs))


def first_twins(inputs: Float[Tensor, "s d"], /) -> Int[Tensor, "s"]:
    """For each row, the first row that equals it, bit for bit (0 and −0 are one)."""
    first: dict[bytes, int] = {}
    return torch.tensor([first.setdefault(key, row) for row, key in enumerate(_keys(inputs))])


def _keys(inputs: Tensor) -> list[bytes]:
    # Adding zero turns −0 into 0, which compares equal but has another sign bit.
    (values,) = at_least_float32(inputs.detach().cpu())  # numpy has no bfloat16
    rows = (values + 0.0).reshape(-1, inputs.shape[-1]).contiguous().numpy()
    return [row.tobytes() for row in rows]
