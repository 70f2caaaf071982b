"""Witnesses: networks trained to be certified in the teacher's stead, from the teacher's own training labels.

The training points are split at random, before anything is trained, into a part A and the rest B:

- hold-out: networks trained on the labels of A, tested on B, as one (the mean of their logits) or drawn;
- coded: a student distilled from the teacher, on points of A and B alike: a linear read-out of the networks
  of A, sent as a quantised difference from their mean, and charged for its bits on B;
- stochastic: a Gaussian posterior over weights around the first network, distilled from the teacher on all
  points, with a PAC-Bayes certificate on B.

The two last may start from another prior than the networks of A, and then have a B of their own.

The hold-out witnesses must not learn from the teacher: it has seen the labels of B, and they would then be no
hold-out. The two others may, for their bounds allow it. None of them sees the unlabelled points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from kdtheory.bounds.disagreement import disagreement_transfer
from kdtheory.bounds.holdout import clopper34_holdout, hoeffding63_kl_holdout
from kdtheory.bounds.product import product_disagreement_transfer
from kdtheory.bounds.result import Bound
from kdtheory.bounds.tails import holdout_tail
from kdtheory.certify.coded import distilled_readouts, least_coded, mean_readout, readouts
from kdtheory.certify.plan import WitnessPlan
from kdtheory.certify.prior import Prior, own_params
from kdtheory.losses import label_loss
from kdtheory.networks import MLP, Architecture
from kdtheory.populations import Population, train
from kdtheory.stochastic import GaussianPosterior, pac_bayes_certificate, train_posterior
from kdtheory.streams import Stream
from kdtheory.validate import check_fraction

__all__ = ["Workshop"]

_COMPARED = 5000
_TAUGHT = 20_000
_LEAST = 8
Progress = Callable[[int, int], None]


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
        own_prior: None for the networks of A; a share of the training points to learn a prior on; or a module
            of the user's own, learned on none of them.
        device: where to train.
        progress: called with (done, total) steps.

    Raises:
        ValueError: fewer than 8 points to test by, or a prior that cannot be used.
    """

    plan: WitnessPlan
    architecture: Architecture
    inputs: Shaped[Tensor, "n *shape"]
    labels: Int[Tensor, "n"]
    teacher_logits: Float[Tensor, "n k"]
    unlabelled: Shaped[Tensor, "m *shape"]
    teacher_classes: Int[Tensor, "m"]
    stream: Stream
    own_prior: float | nn.Module | None = None
    device: str | torch.device = "auto"
    progress: Progress | None = None

    def __post_init__(self) -> None:
        for name in ("inputs", "unlabelled"):
            rows = getattr(self, name).float().reshape(-1, *self.architecture.input_shape)
            object.__setattr__(self, name, rows)
        self._check_share("held_out", self.plan.held_out)
        if isinstance(self.own_prior, float):
            check_fraction("prior", self.own_prior, open_interval=True)
            self._check_share("1 − prior", 1 - self.own_prior)
        elif isinstance(self.own_prior, nn.Module):
            own_params(self.own_prior, self.architecture, self.inputs[:64])

    @property
    def all_steps(self) -> int:
        """Steps of one network, over all that is trained."""
        taught, students = 0, "stochastic" in self.plan.kinds
        if isinstance(self.own_prior, float) and {*self.plan.kinds} != {"holdout"}:
            taught = self.plan.label_steps(self._size - self._held(1 - self.own_prior))
        return self._network_steps + taught + students * self.plan.student_steps(self._size)

    @cached_property
    def split(self) -> tuple[Int[Tensor, "a"], Int[Tensor, "b"]]:
        """The rows of A and of B, drawn without a look at them."""
        return self._divided("split", self.plan.held_out)

    @cached_property
    def networks(self) -> Population:
        """Trained on the labels of A, and on nothing else."""
        return self._trained(self.split[0], "networks", self.plan.members, 0)

    @cached_property
    def prior(self) -> Prior:
        """What coded and stochastic students start from, and the rows that test them."""
        if self.own_prior is None:
            return Prior(self.architecture, self.networks.params.cpu(), self.split[1])
        if isinstance(self.own_prior, nn.Module):
            params = own_params(self.own_prior, self.architecture, self.inputs[:64])
            return Prior(self.architecture, params[None], torch.arange(self._size))
        learned, tested = self._divided("prior split", 1 - self.own_prior)
        network = self._trained(learned, "prior", 1, self._network_steps)
        return Prior(self.architecture, network.params.cpu(), tested)

    def holdout(self, delta: float, /) -> Bound:
        """Pr[f ≠ y] through one g, the mean logits of the networks trained on A, with B for its hold-out."""
        rows = self.split[1]
        wrong = self._logits(self.inputs[rows]).mean(0).argmax(-1) != self.labels[rows]
        apart = self._logits(self.unlabelled).mean(0).argmax(-1) != self.teacher_classes
        witness = holdout_tail(wrong, fixed_in_advance=True, independent_draws=True)
        return product_disagreement_transfer(
            witness, apart, delta=delta, drawn_afterwards=True, same_law=True
        )

    def drawn(self, delta: float, /) -> Bound:
        """Pr[f ≠ y] through a random one of the networks trained on A, with B for the hold-out of all."""
        rows = self.split[1]
        wrong = (self._logits(self.inputs[rows]).argmax(-1) != self.labels[rows]).double()
        risk = clopper34_holdout if len(wrong) == 1 else hoeffding63_kl_holdout
        witness = risk(wrong.mean(0), delta=delta / 2, fixed_in_advance=True, independent_draws=True)
        return self._transfer(witness, self._logits(self.unlabelled), delta)

    def coded(self, delta: float, /) -> Bound:
        """Pr[f ≠ y] through a read-out of the prior, distilled from f, and coded."""
        prior, tested = self.prior, self.prior.tested
        architecture, mean = mean_readout(len(prior.params), self.teacher_logits.shape[-1])
        features, soft = prior.features(self.inputs), self.teacher_logits.softmax(-1).float()
        taught = self.stream.child("distilled").numpy().permutation(self._size)[:_TAUGHT]
        students = distilled_readouts(features[taught], soft[taught], architecture, mean)
        few = self._learned[:_COMPARED]
        seen, said = features[few].double(), self.teacher_logits[few].argmax(-1)
        network, witness = least_coded(
            readouts(students, architecture, mean, centre_too=self.plan.centre_may_be_sent),
            features[tested].double(),
            self.labels[tested],
            centre=mean,
            delta=delta / 2,
            cost=lambda logits: float((logits(seen).argmax(-1) != said).double().mean()),
        )
        sent = architecture.logits(network.params(mean), prior.features(self.unlabelled).double())
        found = self._transfer(witness, sent, delta)
        differ = {"numbers that differ": int((network.integers != 0).sum()), "numbers": architecture.size}
        return replace(found, quantities={**found.quantities, **differ})

    def stochastic(self, delta: float, /) -> Bound:
        """Pr[f ≠ y] through a Gaussian posterior over students distilled from f, around the prior."""
        rows, draws = self.prior.tested, self.stream.child("draws")
        posterior = self._posterior(delta / 2)
        witness = pac_bayes_certificate(
            posterior,
            self.inputs[rows],
            self.labels[rows],
            delta=delta / 2,
            rounds=self.plan.rounds,
            stream=draws.child("labelled"),
            prior_fixed=True,
            fresh_draws=True,
            independent_draws=True,
        )
        apart = posterior.errors(self.unlabelled, self.teacher_classes, draws.child("unlabelled"))
        return disagreement_transfer(witness, apart[0], delta=delta / 2, drawn_afterwards=True, same_law=True)

    def _transfer(self, witness: Bound, logits: Tensor, delta: float) -> Bound:
        apart = logits.argmax(-1) != self.teacher_classes
        return disagreement_transfer(witness, apart, delta=delta / 2, drawn_afterwards=True, same_law=True)

    def _logits(self, inputs: Tensor) -> Tensor:
        return self.networks.logits(inputs).cpu()

    def _trained(self, rows: Tensor, name: str, members: int, before: int) -> Population:
        initial = self.plan.initial
        return train(
            self.architecture,
            *self.plan.examples(self.inputs[rows], self.labels[rows]),
            loss=label_loss,
            members=members,
            stream=self.stream.child(name),
            steps=self.plan.label_steps(len(rows)),
            initial=None if initial is None else initial.expand(members, -1),
            device=self.device,
            progress=self._relay(before),
            **self.plan.recipe,
        )

    def _posterior(self, delta: float) -> GaussianPosterior:
        assert isinstance(self.architecture, MLP)
        steps = self.plan.student_steps(self._size)
        return train_posterior(
            self.architecture,
            self.inputs,
            self.teacher_logits.softmax(-1),
            prior_mean=self.prior.params[0],
            certified=len(self.prior.tested),
            delta=delta,
            stream=self.stream.child("posterior"),
            steps=steps,
            learning_rate=self.plan.learning_rate,
            batch_size=self.plan.batch_size,
            device=self.device,
            progress=self._relay(self.all_steps - steps),
        )

    @property
    def _size(self) -> int:
        return len(self.inputs)

    @property
    def _learned(self) -> Tensor:
        """The rows that do not test the prior's students; all rows where every one tests."""
        kept = torch.ones(self._size, dtype=torch.bool)
        kept[self.prior.tested] = False
        return kept.nonzero()[:, 0] if bool(kept.any()) else self.prior.tested

    @property
    def _network_steps(self) -> int:
        if "holdout" not in self.plan.kinds and self.own_prior is not None:
            return 0
        return self.plan.members * self.plan.label_steps(self._size - self._held(self.plan.held_out))

    def _held(self, share: float) -> int:
        return round(share * self._size)

    def _divided(self, name: str, share: float) -> tuple[Tensor, Tensor]:
        order = torch.from_numpy(self.stream.child(name).numpy().permutation(self._size))
        held = self._held(share)
        return order[held:], order[:held]

    def _check_share(self, name: str, share: float) -> None:
        if not _LEAST <= self._held(share) <= self._size - 1:
            few = f"of {self._size} training points must leave {_LEAST} or more to test by"
            raise ValueError(f"{name} = {share:g} {few}, and one or more to learn from")

    def _relay(self, before: int) -> Progress | None:
        """Tell `progress` of one training among all of them."""
        tell = self.progress
        return None if tell is None else lambda done, _: tell(before + done, self.all_steps)
