"""Chapter 8.4: speculative decoding with a draft that was distilled from its target."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Equality, Evidence, Identity, Inequality, Joint
from kdtheory.claims.wrong import arguments, given, scaled, swapped, value
from kdtheory.experiments import Rows
from kdtheory.experiments.sequences.drafts import (
    acceptances_of_drafts,
    cycles_of_drafts,
    drafts_of_one_law,
    greedy_drafts,
    laws_of_speculative_decoding,
)
from kdtheory.losses import kl_divergence
from kdtheory.sequences import (
    acceptance,
    acceptance_lower_limits,
    greedy_acceptance,
    speculative_law,
    tokens_per_cycle,
    total_variation,
)

SOURCE = "leviathan2023fast"


def _affinity(draft: Tensor, target: Tensor, /) -> Tensor:
    return ((draft.log_softmax(-1) + target.log_softmax(-1)) / 2).exp().sum(-1)


def _replaced_by_the_target(draft: Tensor, target: Tensor, /, *, assumed: Tensor | None = None) -> Tensor:
    accepted = torch.minimum(draft, target)
    return accepted + (1 - accepted.sum(-1, keepdim=True)) * target


@claim(
    section="8.4",
    formula=r"\min(p,q) + \mathrm{TV}(p,q)\,\frac{(p-q)_+}{\mathrm{TV}(p,q)} = p",
    source=SOURCE,
    place="derived here",
    assumes=("The ratio p/q holds the law that the token was drawn from.",),
    experiment=laws_of_speculative_decoding,
    control=Control("the ratio holds the draft at half the temperature", temperature=0.5),
    mutants=(Mutant("a refused token is replaced by one from p", speculative_law, _replaced_by_the_target),),
    power=Scaled(speculative_law),
)
def speculative_decoding_has_the_law_of_its_target(rows: Rows, /) -> Evidence:
    """A token drawn from the draft q, accepted with probability min(1, p/q) and else replaced by one from
    (p − q)₊/TV(p, q), has the target's law p, for every q.

    Equality to 1e-12.
    """
    return Identity.of(rows.law, rows.target, tolerance=1e-12)


@claim(
    section="8.4",
    formula=r"\alpha = \sum_v \min(p_v,q_v) = 1 - \mathrm{TV}(p,q) \ge"
    r" \max\bigl\{1 - \sqrt{\mathrm{KL}(p\|q)/2},\ \tfrac12 e^{-\mathrm{KL}(p\|q)}\bigr\}",
    source=SOURCE,
    place="derived here; the limits by Pinsker and by Bretagnolle and Huber (1979)",
    experiment=acceptances_of_drafts,
    control=Control("the divergence is that of laws softened at T = 2", temperature=2.0),
    mutants=(
        Mutant("the distance is not halved", total_variation, scaled(2.0)),
        Mutant(
            "limits without their factors ½",
            acceptance_lower_limits,
            value(lambda limits: (1 - (1 - limits[0]) / 2, 2 * limits[1])),
        ),
        Mutant("the divergence is KL(q‖p)", acceptance_lower_limits, swapped()),
    ),
    power=Scaled(acceptance),
)
def acceptance_is_one_minus_the_total_variation(rows: Rows, /) -> Evidence:
    """A draft's token is accepted with probability α = 1 − TV(p, q), which is at least 1 − √(KL(p‖q)/2) and
    at least ½e^{−KL(p‖q)}.

    Equality to 1e-12, no violation of either limit, and both are what they say of Σ p ln(p/q), to 1e-9.
    """
    told = torch.stack([rows.pinsker, rows.bretagnolle_huber])
    stated = torch.stack([1 - (rows.divergence / 2).sqrt(), (-rows.divergence).exp() / 2])
    return Joint(
        parts={
            "1 − TV": Identity.of(rows.acceptance, 1 - rows.total_variation, tolerance=1e-12),
            "Pinsker": Inequality.of(rows.pinsker, rows.acceptance, slack=1e-12),
            "Bretagnolle–Huber": Inequality.of(rows.bretagnolle_huber, rows.acceptance, slack=1e-12),
            "as stated": Identity.of(told, stated, tolerance=1e-9, effect=1.0),
        }
    )


@claim(
    section="8.4",
    formula=r"\mathbb E[\text{tokens per cycle}] = \frac{1-\alpha^{\gamma+1}}{1-\alpha}",
    source=SOURCE,
    place="derived here",
    assumes=("Acceptances at different places are independent, with the same probability.",),
    experiment=cycles_of_drafts,
    control=Control("a draft is right as a whole or wrong as a whole", independent=1),
    mutants=(
        Mutant(
            "the target's own token is not counted", tokens_per_cycle, given(drafts=lambda count: count - 1)
        ),
    ),
    power=Scaled(tokens_per_cycle),
)
def tokens_of_a_cycle_are_a_geometric_sum(rows: Rows, /) -> Evidence:
    """With γ drafts of acceptance α, one call of the target brings (1 − α^{γ+1})/(1 − α) tokens on average.

    Within 2 % of the closed form. Where the four drafts are accepted or refused together, the mean is 1 + 4α.
    """
    cells = zip(rows.alpha, rows.tokens, rows.closed, strict=True)
    return Joint(
        parts={
            f"α = {alpha}": Equality.of(tokens, closed.expand_as(tokens), margin=0.02)
            for alpha, tokens, closed in cells
        }
    )


@claim(
    section="8.4",
    formula=r"\lim_{T\to 0} \sum_v \min\bigl(\varphi_T(z_p)_v, \varphi_T(z_q)_v\bigr) ="
    r" \mathbb 1\bigl[\arg\max z_p = \arg\max z_q\bigr]",
    source=SOURCE,
    place="derived here",
    assumes=("Neither law has two likeliest tokens.",),
    experiment=greedy_drafts,
    control=Control("tokens are drawn at T = 1", temperature=1.0),
    mutants=(
        Mutant("what is refused is counted", greedy_acceptance, value(torch.logical_not)),
        Mutant("the target's next token", greedy_acceptance, arguments(lambda q, p: (q, p.roll(1, -1)))),
    ),
    loose="A token is accepted or not: there is no factor to be wrong.",
)
def greedy_decoding_accepts_where_draft_and_target_agree(rows: Rows, /) -> Evidence:
    """Decoded greedily, a draft's token is accepted where its likeliest token is the target's, and nowhere
    else: what acceptance tends to as T → 0. So the share that is accepted is an agreement of two classifiers,
    and has the exact limit of one, from independent prefixes without a label.

    Equality to 1e-12, at T = 10⁻⁹ for the limit.
    """
    return Joint(
        parts={
            "agreement": Identity.of(rows.greedy, rows.alike, tolerance=1e-12, effect=1.0),
            "limit": Identity.of(rows.softened, rows.greedy, tolerance=1e-12, effect=1.0),
        }
    )


@claim(
    section="8.4",
    formula=r"q_{\mathrm{KL}} = w p_1 + (1-w) p_2,\quad q_{\mathrm{TV}} = p_1,\quad"
    r" 1-\alpha(q_{\mathrm{KL}}) = 2w\,(1-\alpha(q_{\mathrm{TV}})),\quad w > \tfrac12",
    source=SOURCE,
    place="derived here",
    assumes=("The draft says one law at two places, of which one is more frequent.",),
    experiment=drafts_of_one_law,
    control=Control("both places are as frequent", share=0.5),
    mutants=(
        Mutant("the divergence is KL(q‖p)", kl_divergence, swapped()),
        Mutant("nine tenths of the acceptance", acceptance, scaled(0.9)),
        Mutant("Hellinger's affinity in the place of Σ min(p, q)", acceptance, _affinity),
    ),
    power=Scaled(acceptance),
)
def the_draft_nearest_in_divergence_is_refused_more_often_than_need_be(rows: Rows, /) -> Evidence:
    """Of drafts that say one law at two places, the mean of the two targets has the least KL(target‖draft),
    and the target of the more frequent place is accepted the most: the first is refused 2w times as often,
    w the share of that place.

    "nearest", "accepted": none of 60 others is nearer or is accepted more, to 1e-12; "as often": refusals are
    2w(1−w)·TV(p₁, p₂) and (1−w)·TV(p₁, p₂), to 1e-12; "more": by a fifth or more.
    """
    refused, w = 1 - rows.acceptance, rows.share
    divergence, rest = rows.divergence, (1 - w) * rows.apart
    return Joint(
        parts={
            "nearest": Inequality.of(divergence[:, :1].expand_as(divergence), divergence, slack=1e-12),
            "accepted": Inequality.of(refused[:, 1:2].expand_as(refused), refused, slack=1e-12),
            "as often": Identity.of(refused[:, :2].T, torch.stack([2 * w * rest, rest]), tolerance=1e-12),
            "more": Inequality.of(1.2 * refused[:, 1], refused[:, 0]),
        }
    )
