"""Witnesses: networks trained to be certified in the teacher's stead, from the teacher's own training labels.

The training points are split at random, before anything is trained, into a part A and the rest B:

- hold-out: networks trained on the labels of A, tested on B;
- coded: a student distilled from the teacher on all points, sent as a sparse difference from the first of
  those networks, and charged for its bits on B;
- stochastic: a Gaussian posterior over weights around the same network, distilled from the teacher on all
  points, with a PAC-Bayes certificate on B.

The hold-out witnesses must not learn from the teacher: it has seen the labels of B, and they would then be no
hold-out. The two others may, for their bounds allow it. None of them sees the unlabelled points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from kdtheory.bounds.disagreement import disagreement_transfer
from kdtheory.bounds.holdout import clopper34_holdout, hoeffding63_kl_holdout
from kdtheory.bounds.occam import langford05_occam
from kdtheory.bounds.result import Bound
from kdtheory.coding import QuantisedNetwork, code_length, quantise
from kdtheory.losses import distillation, label_loss
from kdtheory.networks import MLP, Architecture
from kdtheory.populations import Population, train
from kdtheory.stochastic import GaussianPosterior, pac_bayes_certificate, train_posterior
from kdtheory.streams import Stream
from kdtheory.validate import check_at_least, check_fraction, check_one_of, check_positive

__all__ = ["WITNESSES", "WitnessPlan", "Workshop", "least_coded"]

WITNESSES = ("holdout", "coded", "stochastic")
_CLIPS = (1.0, 0.5, 0.25, 0.125, 0.0625)
_COMPARED = 5000
Progress = Callable[[int, int], None]
Logits = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class WitnessPlan:
    """Which witnesses to train, and how.

    Args:
        kinds: of `WITNESSES`.
        architecture: None takes the teacher's own widths if it is a plain ReLU net, else one hidden layer of
            256; a stochastic witness must be an `MLP`.
        members: how many hold-out witnesses, to be averaged.
        held_out: the share of the training points in B.
        steps: of Adam, for the networks trained on A.
        distilled_steps: of Adam, for a coded or stochastic student.
        learning_rate, batch_size, weight_decay: of all of them.
        rounds: how often each point of B is tested by a fresh draw of the stochastic witness.

    Raises:
        ValueError: a kind is not known, or a number is out of its range.
    """

    kinds: tuple[str, ...] = WITNESSES
    architecture: Architecture | None = None
    members: int = 1
    held_out: float = 0.2
    steps: int = 2000
    distilled_steps: int = 1000
    learning_rate: float = 1e-3
    batch_size: int | None = 128
    weight_decay: float = 0.0
    rounds: int = 10

    def __post_init__(self) -> None:
        check_at_least("number of kinds", len(self.kinds), 1)
        for kind in self.kinds:
            check_one_of("witness", kind, WITNESSES)
        check_fraction("held_out", self.held_out, open_interval=True)
        check_positive("learning_rate", self.learning_rate)
        for name in ("members", "steps", "distilled_steps", "rounds"):
            check_at_least(name, getattr(self, name), 1)

    @property
    def all_steps(self) -> int:
        """Steps of one network, over all that is trained."""
        return self.members * self.steps + self.distilled_steps * len({*self.kinds} - {"holdout"})


@dataclass(frozen=True, eq=False)
class Workshop:
    """Trains the witnesses when they are first asked for.

    Args:
        plan: what to train.
        architecture: of every witness.
        inputs, labels: the teacher's training points.
        teacher_logits: the teacher on them.
        unlabelled: the points on which teacher and witness are compared.
        teacher_classes: the teacher's class there.
        stream: where the split, the initialisations, the order and the draws come from.
        device: where to train.
        progress: called with (done, total) steps.

    Raises:
        ValueError: fewer than 8 points in B.
    """

    plan: WitnessPlan
    architecture: Architecture
    inputs: Shaped[Tensor, "n *shape"]
    labels: Int[Tensor, "n"]
    teacher_logits: Float[Tensor, "n k"]
    unlabelled: Shaped[Tensor, "m *shape"]
    teacher_classes: Int[Tensor, "m"]
    stream: Stream
    device: str | torch.device = "auto"
    progress: Progress | None = None

    def __post_init__(self) -> None:
        n, held = len(self.inputs), self.plan.held_out
        if round(held * n) < 8 or round(held * n) > n - 1:
            raise ValueError(f"held_out = {held} of {n} training points must leave 8 or more to test by")
        for name in ("inputs", "unlabelled"):
            rows = getattr(self, name).float().reshape(-1, *self.architecture.input_shape)
            object.__setattr__(self, name, rows)

    @cached_property
    def split(self) -> tuple[Int[Tensor, "a"], Int[Tensor, "b"]]:
        """The rows of A and of B, drawn without a look at them."""
        order = torch.from_numpy(self.stream.child("split").numpy().permutation(len(self.inputs)))
        held = round(self.plan.held_out * len(order))
        return order[held:], order[:held]

    @cached_property
    def networks(self) -> Population:
        """Trained on the labels of A, and on nothing else."""
        rows = self.split[0]
        return train(
            self.architecture,
            self.inputs[rows],
            self.labels[rows],
            loss=label_loss,
            members=self.plan.members,
            stream=self.stream.child("networks"),
            steps=self.plan.steps,
            learning_rate=self.plan.learning_rate,
            batch_size=self.plan.batch_size,
            weight_decay=self.plan.weight_decay,
            device=self.device,
            progress=self._relay(0),
        )

    def holdout(self, delta: float, /) -> Bound:
        """Pr[f ≠ y] through the networks trained on A, averaged, with B for their hold-out."""
        rows = self.split[1]
        wrong = (self._classes(self.inputs[rows]) != self.labels[rows]).double()
        risk = clopper34_holdout if len(wrong) == 1 else hoeffding63_kl_holdout
        witness = risk(wrong.mean(0), delta=delta / 2, fixed_in_advance=True)
        apart = self._classes(self.unlabelled) != self.teacher_classes
        return disagreement_transfer(witness, apart, delta=delta / 2, drawn_afterwards=True)

    def coded(self, delta: float, /) -> Bound:
        """Pr[f ≠ y] through a student distilled from f, coded as a difference from a network of A."""
        rows, few = self.split[1], self.split[0][:_COMPARED]
        seen, said = self.inputs[few].double(), self.teacher_logits[few].argmax(-1)
        network, witness = least_coded(
            self._candidates(),
            self.inputs[rows].double(),
            self.labels[rows],
            centre=self._centre,
            delta=delta / 2,
            cost=lambda logits: float((logits(seen).argmax(-1) != said).double().mean()),
        )
        params = network.params(self._centre)
        apart = self.architecture.logits(params, self.unlabelled.double()).argmax(-1) != self.teacher_classes
        return disagreement_transfer(witness, apart, delta=delta / 2, drawn_afterwards=True)

    def stochastic(self, delta: float, /) -> Bound:
        """Pr[f ≠ y] through a Gaussian posterior over students distilled from f, around a network of A."""
        rows, draws = self.split[1], self.stream.child("draws")
        posterior = self._posterior(delta / 2)
        witness = pac_bayes_certificate(
            posterior,
            self.inputs[rows],
            self.labels[rows],
            delta=delta / 2,
            rounds=self.plan.rounds,
            stream=draws.child("labelled"),
            prior_fixed=True,
        )
        apart = posterior.errors(self.unlabelled, self.teacher_classes, draws.child("unlabelled"))
        return disagreement_transfer(witness, apart[0], delta=delta / 2, drawn_afterwards=True)

    def _candidates(self) -> Iterator[QuantisedNetwork]:
        """The centre itself, and the distilled student's difference from it, more and more of it."""
        for params, clips in ((self._centre, _CLIPS[:1]), (self._distilled, _CLIPS)):
            for clip in clips:
                yield quantise(
                    params, architecture=self.architecture, levels=1, centre=self._centre, clip=clip
                )

    @property
    def _centre(self) -> Tensor:
        return self.networks.params[0].cpu().double()

    @cached_property
    def _distilled(self) -> Tensor:
        student = train(
            self.architecture,
            self.inputs,
            teacher_probs=self.teacher_logits.softmax(-1),
            loss=distillation,
            members=1,
            initial=self.networks.params[:1],
            stream=self.stream.child("distilled"),
            steps=self.plan.distilled_steps,
            learning_rate=self.plan.learning_rate,
            batch_size=self.plan.batch_size,
            device=self.device,
            progress=self._relay(self.plan.members * self.plan.steps),
        )
        return student.params[0].cpu().double()

    def _posterior(self, delta: float) -> GaussianPosterior:
        assert isinstance(self.architecture, MLP)
        before = self.plan.all_steps - self.plan.distilled_steps
        return train_posterior(
            self.architecture,
            self.inputs,
            self.teacher_logits.softmax(-1),
            prior_mean=self.networks.params[0],
            certified=len(self.split[1]),
            delta=delta,
            stream=self.stream.child("posterior"),
            steps=self.plan.distilled_steps,
            learning_rate=self.plan.learning_rate,
            batch_size=self.plan.batch_size,
            device=self.device,
            progress=self._relay(before),
        )

    def _classes(self, inputs: Tensor) -> Tensor:
        return self.networks.logits(inputs).argmax(-1).cpu()

    def _relay(self, before: int) -> Progress | None:
        """Tell `progress` of one training among all of them."""
        tell = self.progress
        return None if tell is None else lambda done, _: tell(before + done, self.plan.all_steps)


def least_coded(
    networks: Iterable[QuantisedNetwork],
    inputs: Float[Tensor, "n ..."],
    labels: Int[Tensor, "n"],
    /,
    *,
    delta: float,
    centre: Float[Tensor, "size"] | None = None,
    cost: Callable[[Logits], float] = lambda logits: 0.0,
) -> tuple[QuantisedNetwork, Bound]:
    """The coded network whose Occam bound on the points, plus its `cost`, is least; and that bound.

    The bound holds for all messages at once, so the choice may look at the points; `cost` must not look at
    any that will be used afterwards.

    Args:
        networks: to choose from.
        inputs, labels: the points that the code, and `centre`, do not depend on.
        delta: δ.
        centre: where differences are sent from; zero where not given.
        cost: what else a choice costs, from inputs ↦ logits.

    Raises:
        ValueError: there is no network.
    """
    best: tuple[float, QuantisedNetwork, Bound] | None = None
    for network in networks:
        logits = partial(network.architecture.logits, network.params(centre))
        wrong = logits(inputs).argmax(-1) != labels
        bound = langford05_occam(wrong, bits=code_length(network), delta=delta, coded_beforehand=True)
        value = bound.value + cost(logits)
        if best is None or value < best[0]:
            best = value, network, bound
    if best is None:
        raise ValueError("networks is empty; give at least one")
    return best[1], best[2]
