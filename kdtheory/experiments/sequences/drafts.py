"""Drafts and targets of speculative decoding: laws, acceptances, tokens of a cycle."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.experiments.core import experiment
from kdtheory.experiments.rows import Rows
from kdtheory.experiments.run import Run
from kdtheory.losses import kl_divergence
from kdtheory.sequences import (
    acceptance,
    acceptance_lower_limits,
    greedy_acceptance,
    speculative_law,
    tokens_per_cycle,
    total_variation,
)

__all__ = [
    "acceptances_of_drafts",
    "cycles_of_drafts",
    "drafts_of_one_law",
    "greedy_drafts",
    "laws_of_speculative_decoding",
]

VOCABULARY, DRAFTS = 8, 4


def _logits(run: Run) -> tuple[Tensor, Tensor]:
    """Drafts from close to their targets to far from them."""
    trials = run.size(quick=200, full=2000)
    drawn = torch.randn(2, trials, VOCABULARY, dtype=torch.float64, generator=run.stream.torch())
    target = 1.5 * drawn[0]
    apart = torch.logspace(-1, 1, trials, dtype=torch.float64)[:, None]
    return target + apart * drawn[1], target


@experiment
def laws_of_speculative_decoding(run: Run, /, *, temperature: float = 1.0) -> Rows:
    """200 random targets on 8 tokens with drafts from near to far: the law of a decoded token, where the
    ratio holds the draft at this temperature, and the target's.
    """
    draft, target = _logits(run)
    assumed = (draft / temperature).softmax(-1)
    law = speculative_law(draft.softmax(-1), target.softmax(-1), assumed=assumed)
    return Rows(law=law, target=target.softmax(-1))


@experiment
def acceptances_of_drafts(run: Run, /, *, temperature: float = 1.0) -> Rows:
    """200 random targets on 8 tokens with drafts from near to far: acceptance, total variation, and the two
    lower limits by the divergence of both at this temperature; and Σ p ln(p/q).
    """
    draft, target = _logits(run)
    pinsker, huber = acceptance_lower_limits(draft / temperature, target / temperature)
    q, p = draft.log_softmax(-1), target.log_softmax(-1)
    return Rows(
        acceptance=acceptance(draft, target),
        total_variation=total_variation(draft, target),
        pinsker=pinsker,
        bretagnolle_huber=huber,
        divergence=(p.exp() * (p - q)).sum(-1),
    )


@experiment
def cycles_of_drafts(run: Run, /, *, independent: int = DRAFTS) -> Rows:
    """80,000 cycles of four drafts at each α = 0.3, 0.6, 0.9, of which `independent` are accepted by
    themselves and the others with them: the tokens that each cycle brings, and their closed mean.
    """
    cycles, alphas = run.size(quick=80_000, full=800_000), (0.3, 0.6, 0.9)
    tokens = []
    for alpha in alphas:
        generator = run.stream.child(str(alpha)).torch()
        drawn = torch.rand(cycles, independent, dtype=torch.float64, generator=generator) < alpha
        accepted = drawn.repeat_interleave(DRAFTS // independent, 1)
        tokens.append(1 + accepted.long().cumprod(1).sum(1).double())
    closed = tokens_per_cycle(torch.tensor(alphas, dtype=torch.float64), drafts=DRAFTS)
    return Rows(alpha=alphas, tokens=torch.stack(tokens), closed=closed)


@experiment
def greedy_drafts(run: Run, /, *, temperature: float = 1e-9) -> Rows:
    """200 random targets on 8 tokens with drafts from near to far: acceptance of both laws at this
    temperature; whether greedy decoding accepts; and whether the draft's likeliest token is the target's.
    """
    draft, target = _logits(run)
    at_first = [logits == logits.amax(-1, keepdim=True) for logits in (draft, target)]
    return Rows(
        softened=acceptance(draft / temperature, target / temperature),
        greedy=greedy_acceptance(draft, target).double(),
        alike=(at_first[0] & at_first[1]).any(-1).double(),
    )


@experiment
def drafts_of_one_law(run: Run, /, *, share: float = 0.7) -> Rows:
    """40 pairs of random targets on 8 tokens, at places of which one comes in this `share` of all cases, and
    drafts that say one law at both: the mean of the two targets, the target of the first place, and 60
    others, among them the geometric mean and mixtures; mean KL(target‖draft), mean acceptance, and the total
    variation of the targets.
    """
    rows = []
    for trial in range(run.size(quick=40, full=400)):
        generator = run.stream.child(trial).torch()
        targets = torch.randn(2, VOCABULARY, dtype=torch.float64, generator=generator).log_softmax(-1)
        first, second = targets.exp()
        mixtures = torch.linspace(0, 1, 21, dtype=torch.float64)[:, None]
        others = torch.cat(
            [
                (mixtures * first + (1 - mixtures) * second).log(),
                mixtures * targets[0] + (1 - mixtures) * targets[1],
                share * targets[:1] + (1 - share) * targets[1:],
                torch.randn(17, VOCABULARY, dtype=torch.float64, generator=generator),
            ]
        )
        drafts = torch.cat([(share * first + (1 - share) * second).log()[None], targets[:1], others])
        of_each = [
            torch.stack([measure(drafts, target.expand_as(drafts)) for target in targets])
            for measure in (kl_divergence, acceptance)
        ]
        weights = torch.tensor([share, 1 - share], dtype=torch.float64)
        rows.append(torch.stack([*(weights @ one for one in of_each), total_variation(*targets).expand(62)]))
    divergence, accepted, apart = torch.stack(rows, 1)
    return Rows(divergence=divergence, acceptance=accepted, apart=apart[:, 0], share=share)
