"""Witnesses: networks trained to be certified in the teacher's stead, from the teacher's own training labels.

The training points are split at random, before anything is trained, into a part A and the rest B
(`kdtheory.certify.split` tells which):

- hold-out: networks trained on the labels of A, tested on B, as one (the mean of their logits) or drawn;
- coded: a student distilled from the teacher, on points of A and B alike: a linear read-out of the networks
  of A, sent as a quantised difference from their mean, and charged for its bits on B;
- stochastic: a Gaussian posterior over weights around the first network, distilled from the teacher on all
  points, with a PAC-Bayes certificate on B.

The two last may start from another prior than the networks of A, and then have a B of their own, which holds
the first or lies in it.

The hold-out witnesses must not learn from the teacher: it has seen the labels of B, and they would then be no
hold-out. The two others may, for their bounds allow it. None of them sees the unlabelled points. That nobody
chose their recipe by the labels of B is the caller's word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from kdtheory.bounds.calibrated_ensembles import jiang22_disagreement
from kdtheory.bounds.product import product_disagreement_transfer
from kdtheory.bounds.result import Bound
from kdtheory.bounds.tails import RiskTail, holdout_tail
from kdtheory.certify.coded import distilled_readouts, least_coded, mean_readout, readouts
from kdtheory.certify.division import Division, divided
from kdtheory.certify.plan import ShipPlan, WitnessPlan
from kdtheory.certify.prior import Prior, is_the_teacher, own_params
from kdtheory.certify.word import Word, unlabelled_flags
from kdtheory.losses import label_loss
from kdtheory.networks import MLP, Architecture, alike
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
from kdtheory.stochastic import GaussianPosterior, posterior_tail, train_posterior
from kdtheory.streams import Stream

__all__ = ["Workshop"]

_COMPARED = 5000
_TAUGHT = 20_000
_TRIED = 32
_SAMPLING = 1 / 20  # of δ, for the limit of the Gibbs risk from its draws
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
        word: what the caller says of how plan and starts came about.
        own_prior: None for the networks of A; a share of the training points to learn a prior on; or a module
            of the user's own, learned on none of them.
        device: where to train.
        progress: called with (done, total) steps.
        ship: how a network to ship is distilled from the hold-out witnesses; None trains none.

    Raises:
        ValueError: fewer than 8 points to test by, or a prior or start that cannot be used, or that is the
            teacher itself.
    """

    plan: WitnessPlan
    architecture: Architecture
    inputs: Shaped[Tensor, "n *shape"]
    labels: Int[Tensor, "n"]
    teacher_logits: Float[Tensor, "n k"]
    unlabelled: Shaped[Tensor, "m *shape"]
    teacher_classes: Int[Tensor, "m"]
    stream: Stream
    word: Word
    own_prior: float | nn.Module | None = None
    device: str | torch.device = "auto"
    progress: Progress | None = None
    ship: ShipPlan | None = None

    def __post_init__(self) -> None:
        for name in ("inputs", "unlabelled"):
            rows = getattr(self, name).float().reshape(-1, *self.architecture.input_shape)
            object.__setattr__(self, name, rows)
        _ = self.split
        self._check_architecture()
        if (initial := self.plan.initial) is not None:
            if initial.shape != (self.architecture.size,):
                shapes = (
                    f"shape {tuple(initial.shape)}, and {self.architecture.name} {self.architecture.size}"
                )
                raise ValueError(f"initial has {shapes} parameters; give one vector of that size")
            self._refuse_the_teacher("initial", initial.detach().cpu().float())
        if isinstance(self.own_prior, nn.Module):
            params = own_params(self.own_prior, self.architecture, self.inputs[:64])
            self._refuse_the_teacher("prior", params)
        elif isinstance(self.own_prior, Real) and not isinstance(self.own_prior, bool):
            object.__setattr__(self, "own_prior", float(self.own_prior))
            self._divided(1 - float(self.own_prior), "1 − prior")
        elif self.own_prior is not None:
            kind = type(self.own_prior).__name__
            raise ValueError(f"prior is a {kind}; give a share of the training points, or a module")

    def rests_on(self, line: str, /) -> list[str]:
        """Names of `ASSUMPTIONS` that a line through a witness rests on besides."""
        own = isinstance(self.own_prior, nn.Module) and line in ("witness_coded", "witness_stochastic")
        return ["prior_unseen"] if own else ["start_unseen"] * (self.plan.initial is not None)

    def unseen(self, line: str, /) -> bool:
        """Whether what starts there was fixed without the labels that test it."""
        return all(map(self.word.holds, ("plan", *self.rests_on(line))))

    def relay(self, before: int, /) -> Progress | None:
        """Tell `progress` of one training among all of them."""
        tell = self.progress
        return None if tell is None else lambda done, _: tell(before + done, self.all_steps)

    @property
    def all_steps(self) -> int:
        """Steps of one network, over all that is trained."""
        taught, students = 0, int("stochastic" in self.plan.kinds)
        if isinstance(self.own_prior, float) and {*self.plan.kinds} != {"holdout"}:
            taught = self.plan.recipe.steps_for(self._size - self._held(1 - self.own_prior))
        students = students * self.plan.students.steps_for(self._size)
        return self._network_steps + taught + students + self.ship_steps

    @property
    def ship_recipe(self) -> Recipe | None:
        """The recipe of the network to ship that is distilled from the witnesses."""
        points = self._size - self._held(self.plan.held_out) + len(self.unlabelled)
        return None if self.ship is None else self.ship.recipe_after(self.plan, points)

    @property
    def ship_steps(self) -> int:
        """Steps of the network to ship that is distilled from the witnesses."""
        return (self.ship_recipe and self.ship_recipe.steps) or 0

    @cached_property
    def split(self) -> Division:
        """The rows of A and of B, drawn without a look at them."""
        return self._divided(self.plan.held_out, "held_out")

    @cached_property
    def networks(self) -> Population:
        """Trained on the labels of A, and on nothing else."""
        return self._trained(self.split[0], "networks", self.plan.members, 0)

    @cached_property
    def prior(self) -> Prior:
        """The start of coded and stochastic students, and the rows that test them."""
        if self.own_prior is None:
            return Prior(self.architecture, self.networks.params.cpu(), self.split[1])
        if isinstance(self.own_prior, nn.Module):
            params = own_params(self.own_prior, self.architecture, self.inputs[:64])
            return Prior(self.architecture, params[None], torch.arange(self._size))
        learned, tested = self._divided(1 - self.own_prior, "1 − prior")
        network = self._trained(learned, "prior", 1, self._network_steps)
        return Prior(self.architecture, network.params.cpu(), tested)

    def holdout(self, delta: float, /) -> Bound:
        """Pr[f ≠ y] through one g, the mean logits of the networks trained on A, with B for its hold-out."""
        rows = self.split[1]
        wrong = self._logits(self.inputs[rows]).mean(0).argmax(-1) != self.labels[rows]
        apart = self._logits(self.unlabelled).mean(0).argmax(-1) != self.teacher_classes
        return self._transfer(self._held_out(wrong), apart, delta)

    def drawn(self, delta: float, /) -> Bound:
        """Pr[f ≠ y] through a random one of the networks trained on A, with B for the hold-out of all."""
        rows = self.split[1]
        wrong = (self._logits(self.inputs[rows]).argmax(-1) != self.labels[rows]).double()
        apart = self._logits(self.unlabelled).argmax(-1) != self.teacher_classes
        return self._transfer(self._held_out(wrong.mean(0)), apart, delta)

    def disagreement(self, delta: float, /) -> Bound:
        """How often f differs from the networks trained on A, taken for Pr[f ≠ y]: a heuristic."""
        apart = self._logits(self.unlabelled).argmax(-1) != self.teacher_classes
        return jiang22_disagreement(apart, delta=delta, calibrated=False)

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
            delta=delta,
            coded_beforehand=self.unseen("witness_coded"),
            independent_draws=self.word.holds("independent"),
            cost=lambda logits: float((logits(seen).argmax(-1) != said).double().mean()),
        )
        sent = architecture.logits(network.params(mean), prior.features(self.unlabelled).double())
        found = self._transfer(witness, sent.argmax(-1) != self.teacher_classes, delta)
        differ = {"numbers that differ": int((network.integers != 0).sum()), "numbers": architecture.size}
        return replace(found, quantities={**found.quantities, **differ})

    def stochastic(self, delta: float, /) -> Bound:
        """Pr[f ≠ y] through a Gaussian posterior over students distilled from f, around the prior."""
        rows, draws = self.prior.tested, self.stream.child("draws")
        posterior = self._posterior(delta / 2)
        witness = posterior_tail(
            posterior,
            self.inputs[rows],
            self.labels[rows],
            delta_sampling=_SAMPLING * delta,
            rounds=self.plan.rounds,
            stream=draws.child("labelled"),
            prior_fixed=self.unseen("witness_stochastic"),
            fresh_draws=True,
            independent_draws=self.word.holds("independent"),
        )
        apart = posterior.errors(self.unlabelled, self.teacher_classes, draws.child("unlabelled"))
        return self._transfer(witness, apart[0], delta)

    def _held_out(self, losses: Tensor) -> RiskTail:
        drawn = self.word.holds("independent")
        return holdout_tail(losses, fixed_in_advance=self.unseen("witness_holdout"), independent_draws=drawn)

    def _transfer(self, witness: RiskTail, apart: Tensor, delta: float) -> Bound:
        return product_disagreement_transfer(witness, apart, delta=delta, **unlabelled_flags(self.word))

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
            recipe=self.plan.on_labels(len(rows)),
            initial=None if initial is None else initial.expand(members, -1),
            device=self.device,
            progress=self.relay(before),
        )

    def _posterior(self, delta: float) -> GaussianPosterior:
        assert isinstance(self.architecture, MLP)
        return train_posterior(
            self.architecture,
            self.inputs,
            self.teacher_logits.softmax(-1),
            prior_mean=self.prior.params[0],
            certified=len(self.prior.tested),
            delta=delta,
            stream=self.stream.child("posterior"),
            recipe=self.plan.students,
            device=self.device,
            progress=self.relay(self.all_steps - self.ship_steps - self.plan.students.steps_for(self._size)),
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
        return self.plan.members * self.plan.recipe.steps_for(self._size - self._held(self.plan.held_out))

    def _held(self, share: float) -> int:
        return round(share * self._size)

    def _divided(self, share: float, name: str) -> Division:
        return divided(self._size, share, stream=self.stream, name=name)

    @torch.no_grad()
    def _check_architecture(self) -> None:
        """A witness is a function of each point alone: it must say the same of a point in any batch."""
        params = self.architecture.init(self.stream.child("tried"), members=1)[0]
        few = self.inputs[:_TRIED]
        again = [self.architecture.logits(params, part) for part in few.flip(0).split(_TRIED // 4)]
        if not alike(self.architecture.logits(params, few), torch.cat(again).flip(0)):
            raise ValueError(
                f"architecture = {self.architecture.name} says something else of the same points in another "
                "batch; give one whose logits are a function of each point alone"
            )

    def _refuse_the_teacher(self, name: str, params: Tensor) -> None:
        known = self.inputs, self.labels, self.teacher_logits, self.unlabelled, self.teacher_classes
        if is_the_teacher(self.architecture, params, *known):
            raise ValueError(
                f"{name} is the teacher, which may have seen the labels that test; give one that has not, "
                "or, where the teacher has seen none of them either, give them as holdout"
            )
