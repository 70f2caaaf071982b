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
from kdtheory.losses.divergences import jensen_shannon
from kdtheory.losses.response import Reduction, kd_loss
from kdtheory.losses.softmax import Setting
from kdtheory.validate import check_same_shape

__all__ = ["CONVENTIONS", "Convention"]

Multipliers = Callable[[Mapping[str, Any]], tuple[float, float]]
_IGNORED = -100  # torch's label for what does not count


@door
@dataclass(frozen=True)
class Convention:
    """One code's distillation loss.

    Args:
        code: which code it is, and where in it.
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
        soft_weight, hard_weight = _soft_only(known) if bare else self.multipliers(known)
        share = 1.0
        if self.tokens and labels is not None:
            check_same_shape("labels", labels, "the tokens", student_logits[..., 0])
            counted = labels != _IGNORED
            student_logits, teacher_logits, labels = student_logits[counted], teacher_logits[counted], None
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

        >>> CONVENTIONS["pytorch_tutorial"].rescaling(temperature=2.0, num_classes=10)
        (0.25, 0.75)
        >>> CONVENTIONS["lecture_notes"].rescaling(temperature=2.0, num_classes=10)
        (0.125, 0.5)
        """
        known = self._known(settings)
        if self.differs is not None and known.get("beta") != 0:
            return None
        bare = self._is_bare(known)
        soft_weight, hard_weight = _soft_only(known) if bare else self.multipliers(known)
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


def _on_soft(name: str) -> Multipliers:
    """One weight λ in front of the soft term, 1 − λ in front of the hard term."""
    return lambda settings: (settings[name], 1 - settings[name])


def _free(soft: str, hard: str) -> Multipliers:
    """Two weights, neither tied to the other."""
    return lambda settings: (settings[soft], settings[hard])


def _soft_only(settings: Mapping[str, Any]) -> tuple[float, float]:
    return 1.0, 0.0


CONVENTIONS: dict[str, Convention] = {
    "lecture_notes": Convention(
        code="CS 541 lecture notes, section 3",
        soft="cross_entropy",
        temperature_squared=False,
        reduction="batchmean",
        settings={"lambda_": 0.5},
        multipliers=_on_soft("lambda_"),
        note="λ and the reduction are left open there; T² is not mentioned.",
    ),
    "repdistiller": Convention(
        code="RepDistiller, distiller_zoo/KD.py",
        soft="kl",
        temperature_squared=True,
        reduction="batchmean",
        settings={"alpha": 0.9, "gamma": 0.1},
        multipliers=_free("alpha", "gamma"),
        temperature=4.0,
        note="γ weighs the labels, α the teacher; γ is 1 unless the recipe of its scripts (0.1) is given.",
    ),
    "mdistiller": Convention(
        code="mdistiller, mdistiller/distillers/KD.py",
        soft="kl",
        temperature_squared=True,
        reduction="batchmean",
        settings={"KD_WEIGHT": 0.9, "CE_WEIGHT": 0.1},
        multipliers=_free("KD_WEIGHT", "CE_WEIGHT"),
        temperature=4.0,
    ),
    "torchdistill": Convention(
        code="torchdistill, KDLoss",
        soft="kl",
        temperature_squared=True,
        reduction="batchmean",
        settings={"alpha": 0.5, "beta": None},
        multipliers=lambda settings: (
            1 - settings["alpha"] if settings["beta"] is None else settings["beta"],
            settings["alpha"],
        ),
        bare_without="alpha",
        note="α weighs the *labels*; its other weight β is 1 − α unless given. At α = 0, as without labels, "
        "both β and T² go away: the soft gradient jumps by βT².",
    ),
    "torchdistill_soft_only": Convention(
        code="torchdistill, KDLoss without targets or with alpha = 0",
        soft="kl",
        temperature_squared=False,
        reduction="batchmean",
        settings={},
        multipliers=_soft_only,
        note="T² goes away together with the hard term: the soft gradient jumps by T² at alpha = 0.",
    ),
    "pytorch_tutorial": Convention(
        code="PyTorch tutorial on knowledge distillation",
        soft="cross_entropy",
        temperature_squared=True,
        reduction="batchmean",
        settings={"soft_target_loss_weight": 0.25, "ce_loss_weight": 0.75},
        multipliers=_free("soft_target_loss_weight", "ce_loss_weight"),
        temperature=2.0,
        note="its loss is larger than the reference by the constant T²·H(φ_T(z_t)) under the soft weight.",
    ),
    "textbrewer_ce": Convention(
        code="TextBrewer, kd_ce_loss",
        soft="cross_entropy",
        temperature_squared=False,
        reduction="batchmean",
        settings={"kd_loss_weight": 1.0, "hard_label_weight": 0.0},
        multipliers=_free("kd_loss_weight", "hard_label_weight"),
        temperature=4.0,
    ),
    "textbrewer_mse": Convention(
        code="TextBrewer, kd_mse_loss",
        soft="mse_logits",
        temperature_squared=False,
        reduction="mean",
        settings={"kd_loss_weight": 1.0, "hard_label_weight": 0.0},
        multipliers=_free("kd_loss_weight", "hard_label_weight"),
        temperature=4.0,
        differs="its soft gradient 2(z_s − z_t)/(kT²) is not centred: it also pulls the sum of the logits "
        "along, which no loss of probabilities sees. Only on centred logits does it tend, as T → ∞, to a "
        "multiple of the reference.",
    ),
    "kd_lib": Convention(
        code="KD_Lib, VanillaKD",
        soft="mse_probs",
        temperature_squared=True,
        reduction="mean",
        settings={"distil_weight": 0.5},
        multipliers=_on_soft("distil_weight"),
        temperature=20.0,
        differs="the squared distance of softmaxes sends its gradient through the softmax once more: "
        "2(T/k)·J(φ_T(z_s))·(φ_T(z_s) − φ_T(z_t)) with J(p) = diag p − ppᵀ, which vanishes for a confident "
        "wrong student.",
    ),
    "trl_forward": Convention(
        code="TRL, generalized_jsd_loss at beta = 0",
        soft="kl",
        temperature_squared=False,
        reduction="batchmean",
        settings={},
        multipliers=_soft_only,
        temperature=1.0,
        tokens=True,
        note="with labels a mean over the tokens whose label is not −100, 0 where there is none; without "
        "labels the sum over all tokens divided by the number of sequences. There is no hard term. A teacher "
        "that rules a class out gives NaN there at β = 0 and ½, and a number here.",
    ),
    "trl_jsd": Convention(
        code="TRL, generalized_jsd_loss at 0 < beta < 1",
        soft=jensen_shannon,
        soft_settings=("beta",),
        temperature_squared=False,
        reduction="batchmean",
        settings={"beta": 0.5},
        multipliers=_soft_only,
        temperature=1.0,
        tokens=True,
        differs="a mixture stands between student and teacher: its gradient "
        "(1−β)·p_s·(ln(p_s/m) − KL(p_s‖m)) is no multiple of p_s − p_t. As β → 0 it behaves like "
        "β(p_s − p_t); at β = 0 it jumps to p_s − p_t.",
    ),
    "trl_reverse": Convention(
        code="TRL, generalized_jsd_loss at beta = 1",
        soft="reverse_kl",
        temperature_squared=False,
        reduction="batchmean",
        settings={},
        multipliers=_soft_only,
        temperature=1.0,
        tokens=True,
        differs="the reverse divergence has gradient p_s·(ln(p_s/p_t) − KL(p_s‖p_t)), no multiple of "
        "p_s − p_t.",
    ),
}
"""One entry for each code, read from the sources named."""
