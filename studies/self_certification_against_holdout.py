"""When does a network that certifies itself on all its labels beat one that gives some up for a hold-out?

From n labelled images, each way at δ = 0.05; several samples at each n that is small enough, one at others:

- hold-out: a network learns from 4/5 of the labels, the rest certify it by the exact binomial limit;
- self-certified: a stochastic network, whose prior is learned on half of the labels and whose Gaussian
  posterior is trained on all of them against its own PAC-Bayes bound, which the other half certifies;
- self-certified with a sparing prior: the same, with 4/5 of the labels for the prior;
- teacher: a network learns from all n labels, and inherits the hold-out network's certificate by their
  disagreement on unlabelled images.

(a) What is certified, (b) the error on images that nobody has seen, of the stochastic ones with a fresh
network at each image. Bands reach over the samples of a size. With `--data DIR` on a folder of IDX files,
else on digits.

Labelled images and those that nobody has seen are one random division of all images, so that they are draws
of one law; a certificate may then still lie below the error at a rate of δ.

To look at: the teacher gives up no label and errs about as little as any, but its certificate can only be
above the hold-out's, by the disagreement. Self-certification pays for the choice of the posterior, and with
these networks and posteriors it has not caught up with the hold-out at any n.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from matplotlib.ticker import NullFormatter
from torch import Tensor
from torch.nn.functional import one_hot

from kdtheory.bounds import clopper34_holdout, holdout_tail, product_disagreement_transfer
from kdtheory.datasets import Images, load_splits
from kdtheory.losses import label_loss
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, band, counts_axis, legend_above, panel_letter
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.stochastic import pac_bayes_certificate, train_posterior
from kdtheory.streams import Stream

CLAIMS = (
    "disagreement_transfers_a_certificate",
    "pac_bayes_kl_covers_gibbs_posteriors",
    "holdout_limits_cover",
)
CONFIG = {
    "sizes": (100, 300, 1000, 3000, 10_000, 30_000, 60_000),
    "images_a_size": 6000,
    "most_samples": 3,
    "hidden": 256,
    "epochs": 10,
    "posterior_epochs": 20,
    "least_steps": 1000,
}
SMALL = {
    "sizes": (100, 300, 1200),
    "images_a_size": 600,
    "most_samples": 2,
    "hidden": 32,
    "epochs": 10,
    "posterior_epochs": 10,
    "least_steps": 200,
}
PANELS = 2

_DELTA = 0.05
_BATCH = 128
_STYLES = {
    "hold-out": (PALETTE["black"], "o", "--"),
    "self-certified": (PALETTE["vermillion"], "s", "-"),
    "self-certified, sparing prior": (PALETTE["orange"], "v", "-"),
    "teacher": (PALETTE["blue"], "^", "-"),
}


class _Lab(NamedTuple):
    """The common ground of all networks of one sample."""

    architecture: MLP
    inputs: Tensor
    labels: Tensor
    others: Images
    stream: Stream
    epochs: int
    posterior_epochs: int
    least_steps: int

    def steps(self, rows: int, epochs: int) -> int:
        return max(self.least_steps, epochs * rows // _BATCH)

    def learned(self, rows: int, name: str) -> Tensor:
        """The parameters of a network that learned from the first rows."""
        start = self.architecture.init(self.stream.child("start"), members=1)
        net = train(
            self.architecture,
            self.inputs[:rows],
            self.labels[:rows],
            loss=label_loss,
            members=1,
            initial=start,
            stream=self.stream.child(name),
            recipe=Recipe(
                steps=self.steps(rows, self.epochs),
                learning_rate=1e-3,
                batch_size=_BATCH,
                schedule="cosine",
                averaged=0.4,
            ),
        )
        return net.params[0]

    def classes(self, params: Tensor, inputs: Tensor) -> Tensor:
        parts = [self.architecture.logits(params, part).argmax(-1) for part in inputs.split(4096)]
        return torch.cat(parts)


def run(
    stream: Stream,
    *,
    data: Path | None,
    sizes: Sequence[int],
    images_a_size: int,
    most_samples: int,
    hidden: int,
    epochs: int,
    posterior_epochs: int,
    least_steps: int,
) -> list[dict[str, Any]]:
    """Rows: n, sample, way, the bound and the error; samples of one n do not overlap where images suffice.

    Args:
        stream: where starts, orders and draws come from.
        data: a folder of IDX files, or None for digits.
        sizes: the n.
        images_a_size: as many samples of n as these images make, and at most `most_samples`.
        most_samples: see there.
        hidden: width of every network's hidden layer.
        epochs: of networks, at least `least_steps` steps.
        posterior_epochs: of posteriors, over all n images; at least `least_steps` steps.
        least_steps: see there.
    """
    images, others = load_splits(data, stream=stream.child("images"))
    architecture = MLP((images.dim, hidden, images.num_classes))
    rows = []
    for n in sizes:
        for sample in range(max(1, min(most_samples, images_a_size // n))):
            at = slice(sample * n, (sample + 1) * n)
            here = stream.child(n, sample)
            lab = _Lab(
                architecture, images.inputs[at], images.labels[at], others, here, epochs, posterior_epochs,
                least_steps,
            )  # fmt: skip
            facts = {"images": images.name.partition("/")[0], "n": n, "sample": sample}
            rows += [{**facts, "way": way, "bound": b, "error": e} for way, (b, e) in _ways(lab).items()]
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Bounds and errors over n, one line for each way."""
    for ax, letter, column, title in zip(
        axes, "ab", ("bound", "error"), ("certified error", "error on unseen images"), strict=True
    ):
        for way, (color, marker, style) in _STYLES.items():
            part = rows[rows["way"] == way].groupby("n")[column]
            mean, low, high = part.mean(), part.min(), part.max()
            band(ax, mean.index, mean, low, high, color=color, marker=marker, linestyle=style, label=way)
        ax.set_yscale("log")
        ax.set_ylim(0.8 * rows[["bound", "error"]].min(axis=None), 1.1)
        ax.set_yticks([0.1, 0.2, 0.3, 0.5, 1.0], ["0.1", "0.2", "0.3", "0.5", "1"])
        ax.yaxis.set_minor_formatter(NullFormatter())
        counts_axis(ax, rows["n"], label="labelled images n")
        ax.set_ylabel(title)
        panel_letter(ax, letter, f"{title}\n{rows['images'].iloc[0]}, δ = {_DELTA:g} each")
    legend_above(axes[0], columns=4)


def _ways(lab: _Lab) -> dict[str, tuple[float, float]]:
    """Way ↦ bound and error."""
    n, others = len(lab.labels), lab.others
    learned = 4 * n // 5
    witness = lab.learned(learned, "witness")
    teacher = lab.classes(lab.learned(n, "teacher"), others.inputs)
    says = lab.classes(witness, others.inputs)
    wrong = lab.classes(witness, lab.inputs[learned:]) != lab.labels[learned:]
    limit = clopper34_holdout(wrong, delta=_DELTA, fixed_in_advance=True, independent_draws=True)
    inherited = product_disagreement_transfer(
        holdout_tail(wrong, fixed_in_advance=True, independent_draws=True),
        says != teacher,
        delta=_DELTA,
        drawn_afterwards=True,
        same_law=True,
    )
    return {
        "hold-out": (limit.value, _share(says != others.labels)),
        "self-certified": _self_certified(lab, n // 2, lab.learned(n // 2, "half")),
        "self-certified, sparing prior": _self_certified(lab, learned, witness),
        "teacher": (inherited.value, _share(teacher != others.labels)),
    }


def _self_certified(lab: _Lab, learned: int, prior: Tensor) -> tuple[float, float]:
    """Bound and error of a posterior that is trained on all labels, its prior on the first `learned`."""
    stream = lab.stream.child("posterior", learned)
    targets = one_hot(lab.labels, lab.architecture.widths[-1]).float()
    posterior = train_posterior(
        lab.architecture,
        lab.inputs,
        targets,
        prior_mean=prior,
        certified=len(targets) - learned,
        delta=_DELTA,
        stream=stream,
        recipe=Recipe(
            steps=lab.steps(len(targets), lab.posterior_epochs), learning_rate=1e-3, batch_size=_BATCH
        ),
    )
    bound = pac_bayes_certificate(
        posterior, lab.inputs[learned:], lab.labels[learned:], delta=_DELTA, rounds=10,
        stream=stream.child("tested"), prior_fixed=True, fresh_draws=True, independent_draws=True
    )  # fmt: skip
    errors = posterior.errors(lab.others.inputs, lab.others.labels, stream.child("judged"))
    return bound.value, _share(errors)


def _share(errors: Tensor) -> float:
    return float(errors.double().mean())
