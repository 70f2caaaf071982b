"""Drafts for speculative decoding, by the loss that they are distilled with.

Sequences are real images read pixel by pixel: 64 tokens of nine shades of grey. The target is a network
that sees the last 24 tokens and the place of the next; a draft sees the last two tokens and has a hundredth
of the weights. Drafts learn on the prefixes of the training images, from the target's laws or from the tokens
that follow. Everything is measured on prefixes that the target itself decodes, from fresh starts, with one
target, its drafts and its sequences for each dot.
(a) The acceptance α, the mean of Σ min(p, q) over these prefixes, by the draft's loss. Bars are means.
(b) Tokens for one call of the target, measured by decoding, minus what the formula (1 − α^{γ+1})/(1 − α) says
at the draft's mean α, over the tokens γ that are proposed; means and 95 % intervals over targets. The formula
takes acceptances at different places for independent, and they are not. A cycle begins where a token was
refused, and there the draft is wrong more often than elsewhere: few proposed tokens bring less than the
formula says. Where it is right it goes on being right: many bring more.

To look at: a draft is best distilled with what it is used for, and the order of the losses in (a) is that
of their distance from it; the guess that KL(draft‖target), which seeks what both would say, would come
next to TV was wrong.

The table has, beside these, the share of prefixes at which both say the same token (what greedy decoding
accepts), and the mean surprise −ln p(y) of the decoded tokens under the target minus that of tokens drawn
from the target itself: speculative decoding changes how long it takes and not what is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from kdtheory.datasets import digits
from kdtheory.experiments.worlds import distilled_log_loss
from kdtheory.losses import SOFT_TERMS, label_loss
from kdtheory.networks import MLP
from kdtheory.plots import PALETTE, panel_letter, points
from kdtheory.populations import Population, train
from kdtheory.recipe import Recipe
from kdtheory.sequences import (
    acceptance,
    greedy_acceptance,
    negative_log_acceptance,
    tokens_per_cycle,
    total_variation,
)
from kdtheory.stats import mean_test
from kdtheory.streams import Stream

CLAIMS = (
    "speculative_decoding_has_the_law_of_its_target",
    "acceptance_is_one_minus_the_total_variation",
    "tokens_of_a_cycle_are_a_geometric_sum",
)
CONFIG = {
    "members": 8,
    "images": 1000,
    "width": 128,
    "draft_width": 8,
    "steps": 3000,
    "decoded": 100,
    "proposed": (1, 2, 3, 4, 6, 8),
}
SMALL = {"members": 2, "images": 100, "width": 16, "steps": 30, "decoded": 5, "proposed": (1, 4)}
PANELS = 2

SHADES, LENGTH, SIDE, IN_A_ROW = 9, 64, 8, 4
"""Tokens of the vocabulary, of an image and of a line; images that are decoded one after another."""
SEEN, DRAFT_SEEN = 24, 2
"""Tokens before the next that the target and the draft see."""


def _log(probs: Tensor) -> Tensor:
    return probs.clamp_min(1e-30).log()


LOSSES: Mapping[str, Callable[..., Tensor]] = {
    "the tokens that follow": label_loss,
    "KL(target‖draft)": distilled_log_loss,
    "KL(draft‖target)": lambda logits, probs, _: SOFT_TERMS["reverse_kl"](logits, _log(probs)),
    "TV": lambda logits, probs, _: total_variation(logits, _log(probs)),
    "−ln α": lambda logits, probs, _: negative_log_acceptance(logits, _log(probs)),
}
"""The draft's loss on one prefix."""


def run(
    stream: Stream,
    *,
    members: int,
    images: int,
    width: int,
    draft_width: int,
    steps: int,
    decoded: int,
    proposed: Sequence[int],
) -> list[dict[str, Any]]:
    """Rows: loss, target (0, 1, …), what is measured, γ, its value and what the formula says."""
    tokens = _tokens(images, stream)
    every = torch.arange(LENGTH).expand(images, LENGTH)
    far, near = (_seen(tokens, every, seen).flatten(0, 1) for seen in (SEEN, DRAFT_SEEN))
    recipe = Recipe(steps=steps, learning_rate=0.005, batch_size=512, schedule="cosine")
    target = train(
        MLP((far.shape[-1], width, width, SHADES)),
        far,
        tokens.flatten(),
        loss=label_loss,
        members=members,
        stream=stream.child("target"),
        recipe=recipe.but(learning_rate=0.002),
        device="cpu",
    )
    laws = target.logits(far).softmax(-1)
    said, _ = _decoded(target, target, 0, decoded, stream.child("the target itself"))
    rows = []
    for name, loss in LOSSES.items():
        draft = train(
            MLP((near.shape[-1], draft_width, SHADES)),
            near,
            tokens.flatten(),
            teacher_probs=laws,
            loss=loss,
            members=members,
            stream=stream.child("draft"),
            recipe=recipe,
            device="cpu",
        )
        for row in _measured(target, draft, said, proposed, stream.child("decoded")):
            weights = {"draft_weights": draft.params.shape[1], "target_weights": target.params.shape[1]}
            rows.append({"loss": name, **row, **weights})
    return rows


def draw(axes: Any, rows: pd.DataFrame) -> None:
    """Acceptance by loss, and tokens of a call over γ beside the formula, for two losses."""
    _draw_acceptance(axes[0], rows[rows["what"] == "acceptance"])
    _draw_tokens(axes[1], rows[rows["what"] == "tokens of a call"])


def _draw_acceptance(ax: Any, rows: pd.DataFrame) -> None:
    for place, (_, line) in enumerate(rows.groupby("loss", sort=False)):
        mean = 100 * line["value"].mean()
        ax.plot(
            100 * line["value"], [place] * len(line), "o", color=PALETTE["blue"], markersize=3.5, alpha=0.6
        )
        ax.plot([mean, mean], [place - 0.3, place + 0.3], color=PALETTE["black"], linewidth=1.4)
    ax.set_yticks(range(rows["loss"].nunique()), rows["loss"].unique())
    ax.invert_yaxis()
    ax.set_xlabel("tokens of the draft that are accepted (%)")
    ax.set_ylabel("loss of the draft")
    panel_letter(ax, "a", "what a draft is distilled with")


def _draw_tokens(ax: Any, rows: pd.DataFrame) -> None:
    for color, shift, name in (("blue", -0.08, "TV"), ("vermillion", 0.08, "KL(draft‖target)")):
        of_loss = rows[rows["loss"] == name].groupby("proposed")
        tests = [mean_test((line["value"] - line["formula"]).to_numpy()) for _, line in of_loss]
        low, high = np.array([test.interval() for test in tests]).T
        proposed = of_loss["value"].mean().index.to_numpy()
        means = [test.mean for test in tests]
        points(ax, proposed + shift, means, low, high, color=PALETTE[color], label=name)
    ax.axhline(0, color="0.4", linewidth=0.8)
    ax.set_xlabel(r"proposed tokens $\gamma$")
    ax.set_ylabel("tokens for one call of the target,\nminus what the formula says")
    ax.legend(loc="upper left")
    panel_letter(ax, "b", "what a call brings")


def _tokens(images: int, stream: Stream) -> Tensor:
    """images × 64 shades 0 to 8, line by line."""
    everything = digits()
    chosen = torch.randperm(everything.num_images, generator=stream.child("images").torch())[:images]
    return (everything.inputs[chosen] * (SHADES - 1)).floor().long()


def _seen(tokens: Tensor, places: Tensor, seen: int) -> Tensor:
    """What a network sees at each place: the `seen` tokens before it in its image, its line and column."""
    before = places[..., None] - torch.arange(seen, 0, -1)
    inside = before >= (places - places % LENGTH)[..., None]
    shades = tokens.gather(-1, before.clamp_min(0).flatten(-2)).view_as(before) * inside
    at = places % LENGTH
    lines, columns = (one_hot(part, SIDE).float() for part in (at // SIDE, at % SIDE))
    return torch.cat([shades / (SHADES - 1), lines, columns], -1)


def _logits(nets: Population, tokens: Tensor, places: Tensor, seen: int) -> Tensor:
    """members × sequences × places × shades, each member on its own tokens."""
    inputs = _seen(tokens, places, seen)
    logits = nets.logits(inputs.flatten(1, 2))
    return logits.view(*inputs.shape[:3], SHADES)


def _decoded(
    target: Population, draft: Population, proposed: int, sequences: int, stream: Stream
) -> tuple[Tensor, Tensor]:
    """Sequences that each target decodes with its draft, and the tokens for one call of the target."""
    generator, total, members = stream.torch(), IN_A_ROW * LENGTH, len(target)
    tokens = torch.zeros(members, sequences, total + 2 * proposed + 2, dtype=torch.long)
    at = torch.zeros(members, sequences, 1, dtype=torch.long)
    steps, calls, brought = torch.arange(proposed + 1), torch.zeros(members), torch.zeros(members)
    while bool((going := at < total).any()):
        q = torch.zeros(members, sequences, proposed, SHADES)
        for step in range(proposed):
            q[:, :, step] = _logits(draft, tokens, at + step, DRAFT_SEEN)[:, :, 0].softmax(-1)
            tokens.scatter_(-1, at + step, _drawn(q[:, :, step], generator))
        p = _logits(target, tokens, at + steps, SEEN).softmax(-1)
        chosen = tokens.gather(-1, at + steps[:-1])[..., None]
        ratio = p[:, :, :-1].gather(-1, chosen) / q.gather(-1, chosen)
        accepted = (torch.rand(ratio.shape, generator=generator) < ratio)[..., 0].long().cumprod(-1)
        count = accepted.sum(-1, keepdim=True)
        left = torch.cat([(p[:, :, :-1] - q).clamp_min(0), p[:, :, -1:]], 2)
        law = left.gather(2, count[..., None].expand(-1, -1, 1, SHADES))[:, :, 0]
        tokens.scatter_(-1, at + count, _drawn(law, generator))
        calls += going[..., 0].sum(-1)
        brought += ((count + 1) * going)[..., 0].sum(-1)
        at += (count + 1) * going
    return tokens[..., :total], brought / calls


def _drawn(laws: Tensor, generator: torch.Generator) -> Tensor:
    """One token of each law, which need not sum to one; of a law that is zero, any."""
    safe = laws + (laws.sum(-1, keepdim=True) <= 0)
    drawn: Tensor = safe.flatten(0, 1).multinomial(1, generator=generator).view(*laws.shape[:2], 1)
    return drawn


def _measured(
    target: Population, draft: Population, said: Tensor, proposed: Sequence[int], stream: Stream
) -> list[dict[str, Any]]:
    """Each target with its draft, on the sequences that it said itself and on decoded ones."""
    every = torch.arange(said.shape[-1]).expand_as(said)
    p, q = _logits(target, said, every, SEEN), _logits(draft, said, every, DRAFT_SEEN)
    alphas = acceptance(q, p).mean((1, 2))
    agreed = greedy_acceptance(q, p).float().mean((1, 2))
    rows = _rows("acceptance", alphas) + _rows("the same largest token", agreed)
    for count in proposed:
        decoded, tokens = _decoded(target, draft, count, said.shape[1], stream.child(count))
        formula = tokens_per_cycle(alphas, drafts=count)
        rows += _rows("tokens of a call", tokens, proposed=count, formula=formula)
        change = _surprise(target, decoded) - _surprise(target, said)
        rows += _rows("surprise minus the target's own", change, proposed=count)
    return rows


def _rows(
    what: str, values: Tensor, *, proposed: int = 0, formula: Tensor | None = None
) -> list[dict[str, Any]]:
    closed = values if formula is None else formula
    return [
        {"what": what, "target": member, "proposed": proposed, "value": value, "formula": other}
        for member, (value, other) in enumerate(zip(values.tolist(), closed.tolist(), strict=True))
    ]


def _surprise(target: Population, tokens: Tensor) -> Tensor:
    """The mean of −ln p(token) under each target, in nats."""
    every = torch.arange(tokens.shape[-1]).expand_as(tokens)
    logs = _logits(target, tokens, every, SEEN).log_softmax(-1)
    return -logs.gather(-1, tokens[..., None]).mean((1, 2, 3))
