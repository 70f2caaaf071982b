"""Chapter 5.8: how a teacher inherits the certificate of any witness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.nn.functional import one_hot

from kdtheory.bounds.disagreement import disagreement_limit, disagreement_transfer
from kdtheory.bounds.holdout import clopper34_holdout
from kdtheory.bounds.occam import langford05_occam
from kdtheory.bounds.pac_bayes import maurer04_pac_bayes_kl
from kdtheory.bounds.result import Bound
from kdtheory.claims.bounds.wrong import scaled
from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence, Identity, Inequality, Joint, WorstRatio
from kdtheory.coding import code_length, quantise
from kdtheory.experiments.bounds.tested_nets import adversary, atoms_of, risks_of_classes
from kdtheory.experiments.worlds import relabelled_world
from kdtheory.losses import label_loss
from kdtheory.networks import MLP
from kdtheory.populations import train
from kdtheory.problems import FiniteWorld
from kdtheory.stochastic import train_posterior
from kdtheory.streams import Stream
from kdtheory.types import Sample

DELTA = 0.2
DRAWN = "The points are independent draws from one law."


def _no_disagreement(_disagreements: Tensor, /, **_: object) -> float:
    return 0.0


def _delta_not_added(
    witness: Bound,
    disagreements: Tensor,
    /,
    *,
    _true: Callable[..., Bound] = disagreement_transfer,
    **settings: Any,
) -> Bound:
    return replace(_true(witness, disagreements, **settings), delta=witness.delta)


@dataclass(frozen=True)
class _Experiment:
    """One population of draws: what each predictor says on the labelled and on the unlabelled points."""

    world: FiniteWorld
    labelled: Sample
    unlabelled: Sample
    rest: slice

    def errors(self, table: Tensor) -> Tensor:
        """Whether the classes in `table` [draws, atoms] are wrong on the labelled points that may test."""
        return (table.gather(-1, atoms_of(self.labelled)) != self.labelled.labels)[:, self.rest]

    def disagreements(self, table: Tensor, said: Tensor) -> Tensor:
        """Whether `table` [draws, atoms] leaves what a witness said at each unlabelled point [draws, m]."""
        return table.gather(-1, atoms_of(self.unlabelled)) != said

    def risk(self, table: Tensor) -> Tensor:
        return risks_of_classes(table, self.world)

    def memoriser(self, table: Tensor) -> Tensor:
        """Says what `table` says on the unlabelled points and the least likely class everywhere else."""
        return adversary(self.world, self.unlabelled, table.gather(-1, atoms_of(self.unlabelled)))


@claim(
    section="5.8",
    formula=r"\Pr\bigl[f \ne y\bigr] \le \Pr\bigl[g \ne y\bigr] + \Pr\bigl[f \ne g\bigr] \le"
    r" B_{\delta_1}(g) + \bar q_m(f \ne g, \delta_2)\quad \text{with probability } 1 - \delta_1 - \delta_2",
    source="hsu2021generalization",
    assumes=(DRAWN, "The unlabelled points were drawn after f and g were fixed."),
    control=Control("f was fitted to the unlabelled points", fitted="to the unlabelled points"),
    uses=(
        disagreement_transfer,
        disagreement_limit,
        clopper34_holdout,
        langford05_occam,
        maurer04_pac_bayes_kl,
    ),
    mutants=(
        Mutant("the disagreement is forgotten", disagreement_limit, _no_disagreement),
        Mutant("the two δ are not added", disagreement_transfer, _delta_not_added),
        Mutant("0.9 of the disagreement's limit", disagreement_limit, scaled(disagreement_limit, 0.9)),
    ),
    power=Scaled(disagreement_transfer),
    place="derived here",
    cost=6,
)
def disagreement_transfers_a_certificate(setting: Setting, /, *, fitted: str = "to the labels") -> Evidence:
    """A predictor that was trained on all labelled points, the hold-out among them, inherits the certificate
    of a witness, at the price of their disagreement on fresh unlabelled points: a witness trained on a part
    of the labels and tested on the rest, one quantised and coded in bits, and a stochastic one with a
    PAC-Bayes certificate. Where f errs wherever it leaves g the sum is attained.

    Real images with redrawn labels, everything trained anew in each draw: f and, for a large disagreement
    with the first witness, an f trained on random labels; δ = 0.2 in total; the risk of f is a sum over all
    images. "attained": g errs on a tenth and f leaves it on another, so that the bound is within a twentieth
    of the risk. "adversary": f sees how often g errs on the hold-out and then chooses how often to leave it,
    always where g is right; by enumeration, 10 points each, whatever the risk of g: δ in two shares is loose,
    and an eighth of it is used. The control's f says what
    g says on the unlabelled points, and errs elsewhere.
    """
    draws = setting.size(quick=56, full=640)
    experiment, tables, witnesses = _witnesses(setting, draws)
    parts: dict[str, Evidence] = {}
    spent: list[float] = []
    for name, (bounds, said, drawn) in witnesses.items():
        teachers = tables if name == "hold-out" else {"f": tables["f"]}
        if fitted == "to the unlabelled points":
            teachers = {"f": experiment.memoriser(said)}
        for teacher, table in teachers.items():
            differ = experiment.disagreements(table, drawn)
            whole = [
                disagreement_transfer(bound, row, delta=DELTA / 2, drawn_afterwards=True, same_law=True)
                for bound, row in zip(bounds, differ, strict=True)
            ]
            values = [bound.value for bound in whole]
            notes = {"mean bound": float(np.mean(values)), "mean risk": float(experiment.risk(table).mean())}
            parts[f"{name}, {teacher}"] = Coverage.of(
                experiment.risk(table), values, delta=DELTA, notes=notes
            )
            spent += [bound.delta for bound in whole]
    parts["δ in all"] = Identity.of(spent, [DELTA] * len(spent), tolerance=1e-9)
    missed = _chances_of_the_adversary(10)
    parts["adversary"] = Inequality.of(missed, np.full(len(missed), DELTA))
    return Joint(parts={**parts, "attained": _tight(setting.stream.child("tight"))})


Witness = tuple[list[Bound], Tensor, Tensor]


def _witnesses(setting: Setting, draws: int) -> tuple[_Experiment, dict[str, Tensor], dict[str, Witness]]:
    """Teachers' classes on all atoms; each witness's bounds, its classes there and at unlabelled points."""
    world, stream, part, size = relabelled_world(setting), setting.stream, 200, 700
    labelled = world.sample((draws, size), stream.child("labelled"))
    unlabelled = world.sample((draws, 200), stream.child("unlabelled"))
    experiment = _Experiment(world, labelled, unlabelled, slice(part, None))
    noise = torch.randint(0, world.num_classes, (draws, size), generator=stream.child("noise").torch())
    net = MLP((world.dim, 8, world.num_classes))

    def trained(name: str, rows: slice, labels: Tensor, **settings: Any) -> tuple[Tensor, Tensor]:
        nets = train(
            net, labelled.inputs[:, rows], labels[:, rows], loss=label_loss, members=draws,
            stream=stream.child(name), learning_rate=0.03, device=setting.device, **{"steps": 25, **settings},
        )  # fmt: skip
        return nets.params.cpu(), nets.logits(world.inputs).argmax(-1).cpu()

    first, said = trained("witness", slice(part), labelled.labels)
    tables = {
        "f": trained("f", slice(None), labelled.labels)[1],
        "f of noise": trained("f of noise", slice(None), noise, steps=15)[1],
    }
    further, _ = trained("student", slice(None), labelled.labels, initial=first, steps=10)
    one: dict[str, Any] = {"delta": DELTA / 2, "fixed_in_advance": True, "independent_draws": True}
    holdout = [clopper34_holdout(row, **one) for row in experiment.errors(said)]
    return (
        experiment,
        tables,
        {
            "hold-out": (holdout, said, said.gather(-1, atoms_of(unlabelled))),
            "coded": _coded(experiment, net, first, further),
            "stochastic": _stochastic(experiment, net, first, setting),
        },
    )


def _coded(experiment: _Experiment, net: MLP, centre: Tensor, params: Tensor) -> Witness:
    """Students sent as differences of 0 and ±1 steps from a network that never saw the other points."""
    codes = [
        quantise(row, architecture=net, levels=1, centre=middle, keep=0.01)
        for row, middle in zip(params, centre, strict=True)
    ]
    sent = torch.stack([code.params(middle) for code, middle in zip(codes, centre, strict=True)])
    said = net.logits(sent, experiment.world.inputs.double()).argmax(-1)
    bounds = [
        langford05_occam(
            row, bits=code_length(code), delta=DELTA / 2, coded_beforehand=True, independent_draws=True
        )
        for row, code in zip(experiment.errors(said), codes, strict=True)
    ]
    return bounds, said, said.gather(-1, atoms_of(experiment.unlabelled))


def _stochastic(experiment: _Experiment, net: MLP, prior_mean: Tensor, setting: Setting) -> Witness:
    labelled, stream = experiment.labelled, setting.stream.child("posterior")
    size = labelled.labels.shape[1] - experiment.rest.start
    posterior = train_posterior(
        net, labelled.inputs, one_hot(labelled.labels, net.widths[-1]).double(), prior_mean=prior_mean,
        certified=size, delta=DELTA / 2, stream=stream, steps=10, learning_rate=0.005, initial_std=0.05,
        prior_stds=(0.05,), device=setting.device,
    )  # fmt: skip
    rounds = [posterior.logits(labelled.inputs, stream.child("round", r)).argmax(-1).cpu() for r in range(5)]
    errors = (torch.stack(rounds, 1) != labelled.labels[:, None])[..., experiment.rest]
    shares: dict[str, Any] = {
        "delta": 0.4 * DELTA,
        "delta_sampling": 0.1 * DELTA,
        "prior_fixed": True,
        "fresh_draws": True,
        "independent_draws": True,
    }
    bounds = [
        maurer04_pac_bayes_kl(row, divergence=float(nats), **shares)
        for row, nats in zip(errors, posterior.divergence, strict=True)
    ]
    mean_said = net.logits(posterior.mean, experiment.world.inputs.to(posterior.mean)).argmax(-1).cpu()
    fresh = posterior.logits(experiment.unlabelled.inputs, stream.child("fresh")).argmax(-1).cpu()
    return bounds, mean_said, fresh


def _tight(stream: Stream) -> Evidence:
    """g errs on a tenth of all points, f leaves it on another tenth: Pr[f ≠ y] = 0.2."""
    places = stream.numpy().random((2, 20_000))
    witness = clopper34_holdout(
        torch.from_numpy(places[0] < 0.1), delta=DELTA / 2, fixed_in_advance=True, independent_draws=True
    )
    differ = torch.from_numpy(places[1] > 0.9)
    bound = disagreement_transfer(witness, differ, delta=DELTA / 2, drawn_afterwards=True, same_law=True)
    return WorstRatio(attempts=1, ratio=0.2 / bound.value, slack=0.0, must_reach=0.95)


def _chances_of_the_adversary(size: int) -> np.ndarray:
    """P[miss] for an f that knows the count k of g's errors when it chooses q = Pr[f ≠ g]; a risk of g an
    entry.

    Σ_k P[Bin(n, p) = k]·max_q P[limit(k, L) < p + q], L ~ Bin(n, q) the disagreements seen.
    """
    counts = np.arange(size + 1)
    rows = torch.arange(size) < torch.arange(size + 1)[:, None]  # row k has k errors
    one: dict[str, Any] = {"delta": DELTA / 2, "fixed_in_advance": True, "independent_draws": True}
    other: dict[str, Any] = {"delta": DELTA / 2, "drawn_afterwards": True, "same_law": True}
    witnesses = [clopper34_holdout(row, **one) for row in rows]
    limits = np.array([[disagreement_transfer(g, row, **other).value for row in rows] for g in witnesses])
    missed = []
    for risk in np.linspace(0.01, 0.9, 40):
        left = np.linspace(0, 1 - risk, 60)
        seen = stats.binom.pmf(counts, size, left[:, None])
        chance = np.einsum("ql,kql->kq", seen, limits[:, None] < (risk + left)[:, None])
        missed.append(float(stats.binom.pmf(counts, size, risk) @ chance.max(-1)))
    return np.array(missed)
