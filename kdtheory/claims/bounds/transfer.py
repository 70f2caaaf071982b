"""Chapter 5.8: PAC-Bayes certificates, and how a teacher inherits the certificate of any witness."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import stats
from torch import Tensor
from torch.nn.functional import one_hot

from kdtheory.bounds.disagreement import disagreement_limit, disagreement_transfer
from kdtheory.bounds.holdout import clopper34_holdout
from kdtheory.bounds.occam import langford05_occam
from kdtheory.bounds.pac_bayes import maurer04_kl_limit, maurer04_log_moment, maurer04_pac_bayes_kl
from kdtheory.bounds.result import Bound
from kdtheory.claims.bounds.tested_nets import atoms_of, risks_of_classes
from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence, Identity, Inequality, Joint, WorstRatio
from kdtheory.claims.worlds import relabelled_world
from kdtheory.coding import code_length, quantise
from kdtheory.inversion import bernoulli_kl, kl_upper_inverse
from kdtheory.losses import label_loss
from kdtheory.networks import MLP
from kdtheory.populations import train
from kdtheory.problems import FiniteWorld
from kdtheory.stochastic import train_posterior
from kdtheory.streams import Stream
from kdtheory.types import Sample

DELTA = 0.05
DRAWN = "The points are independent draws from one law."


def _no_moment(_n: int, /) -> float:
    return 0.0


def _moment_without_two(n: int, /) -> float:
    return math.log(n) / 2


@claim(
    section="5.8",
    formula=r"\sqrt n \le \mathbb E\, e^{n\,\mathrm{kl}(\hat e \| e)} \le 2\sqrt n \qquad (n \ge 8)",
    source="maurer2004note",
    assumes=("n ≥ 8 independent losses.",),
    control=Control("the n points are copies of one", points="copies"),
    uses=(maurer04_log_moment, bernoulli_kl),
    mutants=(
        Mutant("the moment is taken for 1", maurer04_log_moment, _no_moment),
        Mutant("√n for 2√n", maurer04_log_moment, _moment_without_two),
    ),
)
def kl_moment_is_of_order_root_n(setting: Setting, /, *, points: str = "independent") -> Evidence:
    """The exponential moment of n·kl between the rate seen and the true one is at most 2√n, whatever the
    rate, and not much less: this is what PAC-Bayes pays for letting the data choose the posterior.

    Exact sums over the n + 1 counts, n from 8 to 500, five rates; the ratio to 2√n must reach 0.62 (it tends
    to √(π/8) = 0.627). With copies of one point the count is 0 or n and the moment explodes.
    """
    lhs, rhs = [], []
    for n in (8, 20, 100, setting.size(quick=300, full=500)):
        for rate in (0.01, 0.1, 0.3, 0.5, 0.9):
            k = np.arange(n + 1)
            chance = stats.binom.logpmf(k, n, rate)
            if points == "copies":
                chance = np.where(k == 0, math.log1p(-rate), np.where(k == n, math.log(rate), -np.inf))
            lhs.append(np.logaddexp.reduce(chance + n * bernoulli_kl(k / n, rate)))
            rhs.append(maurer04_log_moment(n))
    ratio = float(np.exp(min(np.subtract(lhs, rhs).max(), 100.0)))
    parts = {
        "bound": Inequality.of(lhs, rhs),
        "tight": WorstRatio(attempts=len(lhs), ratio=ratio, must_reach=0.62),
    }
    return Joint(parts=parts)


def _divergence_forgotten(
    gibbs: object,
    _divergence: object,
    /,
    *,
    n: int,
    delta: float,
    _true: Callable[..., np.ndarray] = maurer04_kl_limit,
) -> np.ndarray:
    return _true(gibbs, 0.0, n=n, delta=delta)


def _divided_twice(
    gibbs: object,
    divergence: np.ndarray,
    /,
    *,
    n: int,
    delta: float,
    _true: Callable[..., np.ndarray] = maurer04_kl_limit,
) -> np.ndarray:
    return _true(gibbs, np.asarray(divergence) / n, n=n, delta=delta)


def _halved_kl(
    p: ArrayLike, level: ArrayLike, /, *, _true: Callable[..., np.ndarray] = kl_upper_inverse
) -> np.ndarray:
    return _true(p, np.asarray(level) / 2)


@claim(
    section="5.8",
    formula=r"\Pr\Bigl[\forall Q:\ \mathrm{kl}(\hat e_Q \| e_Q) \le"
    r" \frac{\mathrm{KL}(Q\|P) + \ln(2\sqrt n/\delta)}{n}\Bigr] \ge 1-\delta",
    source="maurer2004note",
    assumes=(DRAWN, "The prior was fixed before the points were drawn.", "n ≥ 8."),
    control=Control("the prior was made after the points were seen", prior="made afterwards"),
    uses=(maurer04_kl_limit, kl_upper_inverse),
    mutants=(
        Mutant("KL(Q‖P) is forgotten", maurer04_kl_limit, _divergence_forgotten),
        Mutant("KL(Q‖P) is divided by n twice", maurer04_kl_limit, _divided_twice),
        Mutant("half the level", kl_upper_inverse, _halved_kl),
    ),
)
def pac_bayes_kl_covers_gibbs_posteriors(setting: Setting, /, *, prior: str = "fixed beforehand") -> Evidence:
    """With probability at least 1 − δ the PAC-Bayes-kl bound holds for all posteriors at once, so for those
    that concentrate on the classifiers that look best on the points.

    4,096 random labellings of 64 inputs, P uniform on them, labels by a fair coin: every risk is ½. Gibbs
    posteriors Q ∝ e^{−βk} in the number k of errors on n = 60 points, at four β, all to be covered;
    ê_Q and KL(Q‖P) are exact sums. A prior made afterwards is Q itself, at no divergence.
    """
    draws, n = setting.size(quick=400, full=4000), 60
    generator = setting.stream.child("draws").torch()
    classes = torch.randint(0, 2, (4096, 64), generator=generator).double() * 2 - 1
    atoms = torch.randint(0, 64, (draws, n), generator=generator)
    signs = torch.randint(0, 2, (draws, n), generator=generator).double() * 2 - 1
    margins = torch.zeros(draws, 64, dtype=torch.float64).scatter_add_(1, atoms, signs) @ classes.T
    errors = (n - margins) / 2
    least = np.ones(draws)
    for beta in (0.3, 1.0, 3.0, 30.0):
        log_q = (-beta * errors).log_softmax(-1)
        gibbs = (log_q.exp() * errors).sum(-1).numpy() / n
        nats = (log_q.exp() * log_q).sum(-1).numpy() + math.log(4096)
        nats = np.maximum(nats, 0) if prior == "fixed beforehand" else np.zeros(draws)
        least = np.minimum(least, maurer04_kl_limit(gibbs.clip(0, 1), nats, n=n, delta=DELTA))
    return Coverage.of(np.full(draws, 0.5), least, delta=DELTA, trivial=1.0)


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
        seen = torch.zeros_like(table, dtype=torch.bool).scatter_(1, atoms_of(self.unlabelled), True)
        return torch.where(seen, table, self.world.probs.argmin(-1).expand_as(table))


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
    ),
)
def disagreement_transfers_a_certificate(setting: Setting, /, *, fitted: str = "to the labels") -> Evidence:
    """A predictor that was trained on all labelled points inherits the certificate of a witness, at the price
    of their disagreement on fresh unlabelled points: a witness trained on a part of the labels and tested on
    the rest, one quantised and coded in bits, and a stochastic one with a PAC-Bayes certificate.

    Real images with redrawn labels, everything trained anew in each draw: f and, for a large disagreement
    with the first witness, an f trained on random labels; δ = 0.05 in total; the risk of f is a sum over all
    images. On a made instance where f errs wherever it leaves g and g errs elsewhere, the bound is within a
    tenth of the risk. The control's f says what g says on the unlabelled points, and errs elsewhere.
    """
    draws = setting.size(quick=240, full=1000)
    experiment, tables, witnesses = _witnesses(setting, draws)
    parts: dict[str, Evidence] = {}
    for name, (bounds, said, drawn) in witnesses.items():
        teachers = tables if name == "hold-out" else {"f": tables["f"]}
        if fitted == "to the unlabelled points":
            teachers = {"f": experiment.memoriser(said)}
        for teacher, table in teachers.items():
            differ = experiment.disagreements(table, drawn)
            whole = [
                disagreement_transfer(bound, row, delta=DELTA / 2, drawn_afterwards=True)
                for bound, row in zip(bounds, differ, strict=True)
            ]
            values = [bound.value for bound in whole]
            notes = {"mean bound": float(np.mean(values)), "mean risk": float(experiment.risk(table).mean())}
            parts[f"{name}, {teacher}"] = Coverage.of(
                experiment.risk(table), values, delta=DELTA, notes=notes
            )
            parts[f"{name}, {teacher}, δ"] = Identity.of(
                [b.delta for b in whole], [DELTA] * draws, tolerance=1e-9
            )
    return Joint(parts={**parts, "tight": _tight(setting.stream.child("tight"))})


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
    one: dict[str, Any] = {"delta": DELTA / 2, "fixed_in_advance": True}
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
        langford05_occam(row, bits=code_length(code), delta=DELTA / 2, coded_beforehand=True)
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
    witness = clopper34_holdout(torch.from_numpy(places[0] < 0.1), delta=DELTA / 2, fixed_in_advance=True)
    differ = torch.from_numpy(places[1] > 0.9)
    bound = disagreement_transfer(witness, differ, delta=DELTA / 2, drawn_afterwards=True)
    return WorstRatio(attempts=1, ratio=0.2 / bound.value, slack=0.0, must_reach=0.9)
