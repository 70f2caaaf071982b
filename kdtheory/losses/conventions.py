"""The distillation losses of the codes in use, as options of `kd_loss`, and how their gradients are related.

A code's loss is a soft term and a hard term under multipliers of its own. The reference is
T²·KL(φ_T(z_t)‖φ_T(z_s)) and CE(e_y, φ_1(z_s)), each a mean over the batch. Where the gradient of a code's
soft term is the reference one up to a factor, its loss has

    gradient = a·∇(reference soft term) + b·∇(reference hard term),   (a, b) = `Convention.rescaling(...)`

so two codes agree when their pairs (a, b) do. Where there is no such factor the entry says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from kdtheory.doors import door
from kdtheory.losses.response import Reduction, kd_loss
from kdtheory.losses.softmax import Setting
from kdtheory.validate import check_same_shape

__all__ = ["Convention"]

Multipliers = Callable[[Mapping[str, Any]], tuple[float, float]]
_IGNORED = -100  # torch's label for what does not count


@door
@dataclass(frozen=True)
class Convention:
    """One code's distillation loss.

    Args:
        code: which code it is, and where in it.
        checked: at which version, and how: "executed" beside the code by the study `conventions_of_codes`,
            or "re-derived from source" where it is no package or does not run here.
        soft: the soft term, as `kd_loss` takes it.
        temperature_squared: whether the code multiplies its soft term by T².
        reduction: what the code means its soft term over.
        settings: the code's own weights by their own names, at its defaults or at its published recipe.
        multipliers: the multipliers (soft, hard) that these settings stand for.
        temperature: the temperature of its defaults or recipe; None where it has none.
        differs: None where the gradient is a multiple of the reference one, else the reason why it is not.
        note: what else a user should know.
        soft_settings: the settings that its soft term takes.
        bare_without: the setting at whose 0, as without labels, the code returns its soft term alone, with no
            weight and no T².
        tokens: whether labels of −100 are left out, and a sum over all tokens is divided by the number of
            sequences where there are no labels.
    """

    code: str
    checked: str
    soft: Any
    temperature_squared: bool
    reduction: Reduction
    settings: Mapping[str, float | None]
    multipliers: Multipliers
    temperature: float | None = None
    differs: str | None = None
    note: str = field(default="")
    soft_settings: tuple[str, ...] = ()
    bare_without: str | None = None
    tokens: bool = False

    def loss(
        self,
        student_logits: Float[Tensor, "*batch k"],
        teacher_logits: Float[Tensor, "*batch k"],
        labels: Int[Tensor, "*batch"] | None,
        /,
        *,
        temperature: Setting,
        **settings: float | None,
    ) -> Float[Tensor, ""]:
        """The code's loss, by `kd_loss`; `settings` are its own weights, with its defaults where left out.

        Raises:
            ValueError: a setting that this code does not know, or input that `kd_loss` refuses.
        """
        known = self._known(settings)
        bare = self._is_bare(known) or (self.bare_without is not None and labels is None)
        soft_weight, hard_weight = (1.0, 0.0) if bare else self.multipliers(known)
        share = 1.0
        if self.tokens and labels is not None:
            check_same_shape("labels", labels, "the tokens", student_logits[..., 0])
            counted = labels != _IGNORED
            student_logits, teacher_logits, labels = (
                each[counted] for each in (student_logits, teacher_logits, labels)
            )
            if not len(student_logits):
                return student_logits.sum()  # no token counts: 0, and a gradient of 0
        elif self.tokens:
            share = max(1, student_logits.ndim - 1 and student_logits[..., 0].numel() // len(student_logits))
        return share * kd_loss(
            student_logits,
            teacher_logits,
            labels,
            temperature=temperature,
            weight=soft_weight,
            hard_weight=hard_weight,
            soft=partial(self.soft, **{name: known[name] for name in self.soft_settings})
            if self.soft_settings
            else self.soft,
            temperature_squared=self.temperature_squared and not bare,
            reduction=self.reduction,
        )

    def rescaling(
        self, *, temperature: float, num_classes: int, **settings: float | None
    ) -> tuple[float, float] | None:
        """(a, b) with gradient = a·∇(T²·KL) + b·∇CE, batch means both; None where no such pair exists.

        Raises:
            ValueError: a setting that this code does not know.

        >>> from kdtheory.losses import CONVENTIONS
        >>> CONVENTIONS["pytorch_tutorial"].rescaling(temperature=2.0, num_classes=10)
        (0.25, 0.75)
        >>> CONVENTIONS["lecture_notes"].rescaling(temperature=2.0, num_classes=10)
        (0.125, 0.5)
        """
        known = self._known(settings)
        if self.differs is not None and known.get("beta") != 0:
            return None
        bare = self._is_bare(known)
        soft_weight, hard_weight = (1.0, 0.0) if bare else self.multipliers(known)
        by_temperature = 1.0 if self.temperature_squared and not bare else 1 / temperature / temperature
        by_classes = 1 / num_classes if self.reduction == "mean" else 1.0
        return soft_weight * by_temperature * by_classes, hard_weight

    def _known(self, settings: Mapping[str, float | None]) -> Mapping[str, Any]:
        """The code's settings, its defaults where left out."""
        unknown = sorted(set(settings) - set(self.settings))
        if unknown:
            known = ", ".join(self.settings) or "none"
            raise ValueError(f"{unknown[0]} is no setting of {self.code}; it has: {known}")
        return {**self.settings, **settings}

    def _is_bare(self, known: Mapping[str, Any]) -> bool:
        return self.bare_without is not None and known[self.bare_without] == 0
