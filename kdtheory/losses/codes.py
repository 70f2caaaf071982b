"""The distillation losses of the codes in use: one `Convention` each, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kdtheory.losses.conventions import Convention, Multipliers
from kdtheory.losses.divergences import jensen_shannon

__all__ = ["CONVENTIONS"]

_MIXTURE = (
    "a mixture stands between student and teacher: its gradient "
    "(1−β)·p_s·(ln(p_s/m) − KL(p_s‖m)) is no multiple of p_s − p_t. As β → 0 it behaves like "
    "β(p_s − p_t); at β = 0 it jumps to p_s − p_t."
)


def _divergence_of_clipped_logits(student: Tensor, teacher: Tensor) -> Tensor:
    """Σ t·ln(t/s) of what is no probability, clipped to [1e-7, 1]."""
    s, t = (logits.clamp(1e-7, 1.0) for logits in (student, teacher))
    return (t * (t / s).log()).sum(-1)


def _on_soft(name: str) -> Multipliers:
    """One weight λ in front of the soft term, 1 − λ in front of the hard term."""
    return lambda settings: (settings[name], 1 - settings[name])


def _free(soft: str, hard: str) -> Multipliers:
    """Two weights, neither tied to the other."""
    return lambda settings: (settings[soft], settings[hard])


def _soft_only(_: Mapping[str, Any]) -> tuple[float, float]:
    return 1.0, 0.0


CONVENTIONS: dict[str, Convention] = {
    "lecture_notes": Convention(
        code="CS 541 lecture notes, section 3",
        checked="re-derived from source, section 3 of the notes of 2021",
        soft="cross_entropy",
        temperature_squared=False,
        reduction="batchmean",
        settings={"lambda_": 0.5},
        multipliers=_on_soft("lambda_"),
        note="λ and the reduction are left open there; T² is not mentioned.",
    ),
    "repdistiller": Convention(
        code="RepDistiller, distiller_zoo/KD.py",
        checked="re-derived from source, commit 1e2f816",
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
        checked="re-derived from source, commit e8c5bb3",
        soft="kl",
        temperature_squared=True,
        reduction="batchmean",
        settings={"KD_WEIGHT": 0.9, "CE_WEIGHT": 0.1},
        multipliers=_free("KD_WEIGHT", "CE_WEIGHT"),
        temperature=4.0,
    ),
    "torchdistill": Convention(
        code="torchdistill, KDLoss",
        checked="executed, torchdistill 1.1.5",
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
        checked="executed, torchdistill 1.1.5",
        soft="kl",
        temperature_squared=False,
        reduction="batchmean",
        settings={},
        multipliers=_soft_only,
        note="T² goes away together with the hard term: the soft gradient jumps by T² at alpha = 0.",
    ),
    "pytorch_tutorial": Convention(
        code="PyTorch tutorial on knowledge distillation",
        checked="re-derived from source, commit 035c541",
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
        checked="executed, textbrewer 0.2.1.post1",
        soft="cross_entropy",
        temperature_squared=False,
        reduction="batchmean",
        settings={"kd_loss_weight": 1.0, "hard_label_weight": 0.0},
        multipliers=_free("kd_loss_weight", "hard_label_weight"),
        temperature=4.0,
    ),
    "textbrewer_mse": Convention(
        code="TextBrewer, kd_mse_loss",
        checked="executed, textbrewer 0.2.1.post1",
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
        checked="re-derived from source, KD-Lib 0.0.30",
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
        checked="executed, trl 1.16.0",
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
        checked="executed, trl 1.16.0",
        soft=jensen_shannon,
        soft_settings=("beta",),
        temperature_squared=False,
        reduction="batchmean",
        settings={"beta": 0.5},
        multipliers=_soft_only,
        temperature=1.0,
        tokens=True,
        differs=_MIXTURE,
    ),
    "trl_reverse": Convention(
        code="TRL, generalized_jsd_loss at beta = 1",
        checked="executed, trl 1.16.0",
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
    "intel_distiller": Convention(
        code="Intel Distiller, KnowledgeDistillationPolicy",
        checked="re-derived from source, commit 06faf4c",
        soft="kl",
        temperature_squared=False,
        reduction="batchmean",
        settings={"distill": 0.5, "student": 0.5},
        multipliers=_free("distill", "student"),
        temperature=1.0,
        note="its soft term is computed from `out.new_tensor(out)`, a copy of the student's logits through "
        "which no gradient reaches the student: what is minimised there is the loss on labels alone, under "
        "its weight. The pair is that of the loss as written.",
    ),
    "kd_zoo": Convention(
        code="Knowledge-Distillation-Zoo, SoftTarget in train_kd.py",
        checked="re-derived from source, commit e8e298d",
        soft="kl",
        temperature_squared=True,
        reduction="batchmean",
        settings={"lambda_kd": 1.0},
        multipliers=lambda settings: (settings["lambda_kd"], 1.0),
        temperature=4.0,
        note="the labels keep their full weight.",
    ),
    "keras": Convention(
        code="Keras, distillation.Distiller with LogitsDistillation(loss=KLDivergence())",
        checked="executed, keras 3.15.1",
        soft="kl",
        temperature_squared=True,
        reduction="batchmean",
        settings={"student_loss_weight": 0.5},
        multipliers=lambda settings: (1 - settings["student_loss_weight"], settings["student_loss_weight"]),
        temperature=3.0,
        note="its weight is on the *labels*. Probabilities are clipped to [1e-7, 1]: a class to which the "
        "student gives less passes no gradient, so that a student who is wrong by 17 logits and more learns "
        "nothing of the teacher there.",
    ),
    "keras_default": Convention(
        code="Keras, distillation.Distiller with LogitsDistillation()",
        checked="executed, keras 3.15.1",
        soft=_divergence_of_clipped_logits,
        temperature_squared=False,
        reduction="batchmean",
        settings={"student_loss_weight": 0.5},
        multipliers=lambda settings: (1 - settings["student_loss_weight"], settings["student_loss_weight"]),
        temperature=3.0,
        differs="its default, the name 'kl_divergence', becomes a function that is not known for the "
        "divergence, so that no softmax is taken and no T²: Σ t·ln(t/s) of logits over T clipped to "
        "[1e-7, 1], of which only those in between have a gradient.",
    ),
    "liger_jsd": Convention(
        code="Liger-Kernel, LigerFusedLinearJSDLoss",
        checked="executed, liger-kernel 0.8.5",
        soft=jensen_shannon,
        soft_settings=("beta",),
        temperature_squared=False,
        reduction="batchmean",
        settings={"weight_soft_loss": 0.5, "weight_hard_loss": 0.5, "beta": 0.5},
        multipliers=_free("weight_soft_loss", "weight_hard_loss"),
        temperature=1.0,
        tokens=True,
        differs=_MIXTURE,
        note="both terms are means over the tokens whose label is not −100.",
    ),
    "modelopt": Convention(
        code="NVIDIA ModelOpt, LogitsDistillationLoss",
        checked="executed, nvidia-modelopt 0.47.0",
        soft="kl",
        temperature_squared=True,
        reduction="mean",
        settings={},
        multipliers=_soft_only,
        temperature=1.0,
        note='by default a mean over the classes too, k times smaller; `reduction="none"` sums over them, so '
        "that its mean is k times the default.",
    ),
    "modelopt_batchmean": Convention(
        code="NVIDIA ModelOpt, LogitsDistillationLoss with reduction 'batchmean'",
        checked="executed, nvidia-modelopt 0.47.0",
        soft="kl",
        temperature_squared=True,
        reduction="batchmean",
        settings={},
        multipliers=_soft_only,
        temperature=1.0,
    ),
    "silverspoon_kl": Convention(
        code="silverspoon-kd, ResponseBasedDistiller with kl_divergence_loss",
        checked="executed, silverspoon-kd 0.1.0",
        soft="kl",
        temperature_squared=True,
        reduction="batchmean",
        settings={"alpha": 0.0},
        multipliers=lambda settings: (1 - settings["alpha"], settings["alpha"]),
        temperature=1.0,
        note="α weighs the *labels*, and is 0 unless given. A mean over all tokens, padding too.",
    ),
    "silverspoon_jsd": Convention(
        code="silverspoon-kd, ResponseBasedDistiller with jsd_loss",
        checked="executed, silverspoon-kd 0.1.0",
        soft=jensen_shannon,
        soft_settings=("beta",),
        temperature_squared=True,
        reduction="batchmean",
        settings={"alpha": 0.0, "beta": 0.5},
        multipliers=lambda settings: (1 - settings["alpha"], settings["alpha"]),
        temperature=1.0,
        differs=_MIXTURE,
        note="β = 0 and β = 1 are refused there.",
    ),
    "neural_compressor_ce": Convention(
        code="Intel Neural Compressor 2, KnowledgeDistillationLoss with loss types CE, CE",
        checked="executed, neural-compressor 2.6",
        soft="cross_entropy",
        temperature_squared=True,
        reduction="batchmean",
        settings={"hard": 0.5, "soft": 0.5},
        multipliers=_free("soft", "hard"),
        temperature=1.0,
        note="its setting is `loss_weights`, labels first, which sum to one. Version 3 has no such loss.",
    ),
    "neural_compressor_kl": Convention(
        code="Intel Neural Compressor 2, KnowledgeDistillationLoss with loss types CE, KL",
        checked="executed, neural-compressor 2.6",
        soft="kl",
        temperature_squared=True,
        reduction="mean",
        settings={"hard": 0.5, "soft": 0.5},
        multipliers=_free("soft", "hard"),
        temperature=1.0,
        note="a mean over the classes too: k times smaller than with CE in its place, whose gradient is "
        "otherwise the same.",
    ),
}
"""One entry for each code, executed beside it or read from the source named; see `Convention.checked`."""
