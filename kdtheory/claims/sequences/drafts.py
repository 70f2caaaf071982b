"""Chapter 8.4: speculative decoding with a draft that was distilled from its target."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Equality, Evidence, Identity, Inequality, Joint
from kdtheory.sequences import (
    acceptance,
    acceptance_lower_limits,
    speculative_law,
    tokens_per_cycle,
    total_variation,
)

SOURCE = "leviathan2023fast"
VOCABULARY, DRAFTS = 8, 4


def _replaced_by_the_target(
    draft: Tensor,
    target: Tensor,
    /,
    *,
    assumed: Tensor | None = None,
    _true: Callable[..., Tensor] = speculative_law,
) -> Tensor:
    accepted = torch.minimum(draft, target)
    return accepted + (1 - accepted.sum(-1, keepdim=True)) * target


def _one_token_too_few(
    alpha: Tensor, /, *, drafts: int, _true: Callable[..., Tensor] = tokens_per_cycle
) -> Tensor:
    return _true(alpha, drafts=drafts - 1)


def _distance_not_halved(*logits: Tensor, _true: Callable[..., Tensor] = total_variation) -> Tensor:
    return 2 * _true(*logits)


def _limits_of_the_divergence_without_its_half(
    *logits: Tensor, _true: Callable[..., tuple[Tensor, Tensor]] = acceptance_lower_limits
) -> tuple[Tensor, Tensor]:
    pinsker, huber = _true(*logits)
    return 1 - (1 - pinsker) / 2, 2 * huber


def _logits(setting: Setting) -> tuple[Tensor, Tensor]:
    """Drafts from close to their targets to far from them."""
    trials = setting.size(quick=200, full=2000)
    drawn = torch.randn(2, trials, VOCABULARY, dtype=torch.float64, generator=setting.stream.torch())
    target = 1.5 * drawn[0]
    apart = torch.logspace(-1, 1, trials, dtype=torch.float64)[:, None]
    return target + apart * drawn[1], target


@claim(
    section="8.4",
    formula=r"\min(p,q) + \mathrm{TV}(p,q)\,\frac{(p-q)_+}{\mathrm{TV}(p,q)} = p",
    source=SOURCE,
    place="derived here",
    assumes=("The ratio p/q holds the law that the token was drawn from.",),
    control=Control("the ratio holds the draft at half the temperature", temperature=0.5),
    uses=(speculative_law,),
    mutants=(Mutant("a refused token is replaced by one from p", speculative_law, _replaced_by_the_target),),
    power=Scaled(speculative_law),
)
def speculative_decoding_has_the_law_of_its_target(
    setting: Setting, /, *, temperature: float = 1.0
) -> Evidence:
    """A token drawn from the draft q, accepted with probability min(1, p/q) and else replaced by one from
    (p − q)₊/TV(p, q), has the target's law p, for every q.

    How it's judged: random targets on 8 tokens with drafts from near to far; equality to 1e-12.
    """
    draft, target = _logits(setting)
    assumed = (draft / temperature).softmax(-1)
    found = speculative_law(draft.softmax(-1), target.softmax(-1), assumed=assumed)
    return Identity.of(found, target.softmax(-1), tolerance=1e-12)


@claim(
    section="8.4",
    formula=r"\alpha = \sum_v \min(p_v,q_v) = 1 - \mathrm{TV}(p,q) \ge"
    r" \max\bigl\{1 - \sqrt{\mathrm{KL}(p\|q)/2},\ \tfrac12 e^{-\mathrm{KL}(p\|q)}\bigr\}",
    source=SOURCE,
    place="derived here; the limits by Pinsker and by Bretagnolle and Huber (1979)",
    control=Control("the divergence is that of laws softened at T = 2", temperature=2.0),
    uses=(acceptance, total_variation, acceptance_lower_limits),
    mutants=(
        Mutant("the distance is not halved", total_variation, _distance_not_halved),
        Mutant(
            "limits without their factors ½",
            acceptance_lower_limits,
            _limits_of_the_divergence_without_its_half,
        ),
    ),
    power=Scaled(acceptance),
)
def acceptance_is_one_minus_the_total_variation(setting: Setting, /, *, temperature: float = 1.0) -> Evidence:
    """A draft's token is accepted with probability α = 1 − TV(p, q), which is at least 1 − √(KL(p‖q)/2) and
    at least ½e^{−KL(p‖q)}.

    How it's judged: random targets on 8 tokens with drafts from near to far; equality to 1e-12, and no
    violation of either limit.
    """
    draft, target = _logits(setting)
    alpha = acceptance(draft, target)
    pinsker, huber = acceptance_lower_limits(draft / temperature, target / temperature)
    return Joint(
        parts={
            "1 − TV": Identity.of(alpha, 1 - total_variation(draft, target), tolerance=1e-12),
            "Pinsker": Inequality.of(pinsker, alpha, slack=1e-12),
            "Bretagnolle–Huber": Inequality.of(huber, alpha, slack=1e-12),
        }
    )


@claim(
    section="8.4",
    formula=r"\mathbb E[\text{tokens per cycle}] = \frac{1-\alpha^{\gamma+1}}{1-\alpha}",
    source=SOURCE,
    place="derived here",
    assumes=("Acceptances at different places are independent, with the same probability.",),
    control=Control("a draft is right as a whole or wrong as a whole", together=True),
    uses=(tokens_per_cycle,),
    mutants=(Mutant("the target's own token is not counted", tokens_per_cycle, _one_token_too_few),),
    power=Scaled(tokens_per_cycle),
)
def tokens_of_a_cycle_are_a_geometric_sum(setting: Setting, /, *, together: bool = False) -> Evidence:
    """With γ drafts of acceptance α, one call of the target brings (1 − α^{γ+1})/(1 − α) tokens on average.

    How it's judged: α = 0.3, 0.6 and 0.9 and γ = 4, cycles drawn one by one; within 2 % of the closed form.
    Where the four drafts are accepted or refused together, the mean is 1 + 4α.
    """
    cycles = setting.size(quick=80_000, full=800_000)
    parts: dict[str, Evidence] = {}
    for alpha in (0.3, 0.6, 0.9):
        generator = setting.stream.child(str(alpha)).torch()
        accepted = torch.rand(cycles, DRAFTS, dtype=torch.float64, generator=generator) < alpha
        kept = accepted[:, :1].expand(-1, DRAFTS) if together else accepted
        tokens = 1 + kept.long().cumprod(1).sum(1).double()
        closed = float(tokens_per_cycle(torch.tensor(alpha, dtype=torch.float64), drafts=DRAFTS))
        parts[f"α = {alpha}"] = Equality.of(tokens, torch.full_like(tokens, closed), margin=0.02)
    return Joint(parts=parts)
