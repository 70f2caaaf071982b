"""Each code's loss written out again in its own plain form, and compared in value and in gradient.

The rivals are written from what the codes do, without this package: `torch.nn.functional` only.
"""

import dataclasses
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from kdtheory.losses import CONVENTIONS, SOFT_TERMS, Convention, entropy, kd_gradient

F64 = torch.float64
B, K = 6, 5


def _logs(student, teacher, t):
    return F.log_softmax(student / t, dim=1), F.log_softmax(teacher / t, dim=1)


def _kl_sum(student, teacher, t):
    log_s, log_t = _logs(student, teacher, t)
    return F.kl_div(log_s, log_t.exp(), reduction="sum")


def lecture_notes(student, teacher, labels, t, lambda_=0.5):
    log_s, log_t = _logs(student, teacher, t)
    soft = sum(-(log_t[i].exp() * log_s[i]).sum() for i in range(B)) / B
    return lambda_ * soft + (1 - lambda_) * F.cross_entropy(student, labels)


def repdistiller(student, teacher, labels, t, alpha=0.9, gamma=0.1):
    return gamma * F.cross_entropy(student, labels) + alpha * _kl_sum(student, teacher, t) * t**2 / B


def mdistiller(student, teacher, labels, t, KD_WEIGHT=0.9, CE_WEIGHT=0.1):
    log_s, log_t = _logs(student, teacher, t)
    soft = F.kl_div(log_s, log_t.exp(), reduction="none").sum(1).mean() * t**2
    return CE_WEIGHT * F.cross_entropy(student, labels) + KD_WEIGHT * soft


def torchdistill(student, teacher, labels, t, alpha=0.5, beta=None):
    log_s, log_t = _logs(student, teacher, t)
    soft = F.kl_div(log_s, log_t.exp(), reduction="batchmean")
    if not alpha or labels is None:
        return soft
    beta = 1 - alpha if beta is None else beta
    return alpha * F.cross_entropy(student, labels) + beta * t**2 * soft


def torchdistill_soft_only(student, teacher, labels, t):
    return F.kl_div(F.log_softmax(student / t, 1), F.softmax(teacher / t, 1), reduction="batchmean")


def pytorch_tutorial(student, teacher, labels, t, soft_target_loss_weight=0.25, ce_loss_weight=0.75):
    soft = -(F.softmax(teacher / t, dim=-1) * F.log_softmax(student / t, dim=-1)).sum() / B * t**2
    return soft_target_loss_weight * soft + ce_loss_weight * F.cross_entropy(student, labels)


def textbrewer_ce(student, teacher, labels, t, kd_loss_weight=1.0, hard_label_weight=0.0):
    log_s, log_t = _logs(student, teacher, t)
    soft = -(log_t.exp() * log_s).sum(-1).mean()
    return kd_loss_weight * soft + hard_label_weight * F.cross_entropy(student, labels)


def textbrewer_mse(student, teacher, labels, t, kd_loss_weight=1.0, hard_label_weight=0.0):
    soft = F.mse_loss(student / t, teacher / t)
    return kd_loss_weight * soft + hard_label_weight * F.cross_entropy(student, labels)


def kd_lib(student, teacher, labels, t, distil_weight=0.5):
    soft = F.mse_loss(F.softmax(teacher / t, dim=1), F.softmax(student / t, dim=1))
    return (1 - distil_weight) * F.cross_entropy(student, labels) + distil_weight * t * t * soft


def _trl(student, teacher, t, beta):
    """Token mean of the generalised divergence, the endpoints taken apart."""
    log_s, log_t = _logs(student, teacher, t)
    if beta == 0:
        return F.kl_div(log_s, log_t, reduction="none", log_target=True).sum() / B
    if beta == 1:
        return F.kl_div(log_t, log_s, reduction="none", log_target=True).sum() / B
    log_m = (beta * log_t.exp() + (1 - beta) * log_s.exp()).log()
    to_teacher = F.kl_div(log_m, log_t, reduction="none", log_target=True)
    to_student = F.kl_div(log_m, log_s, reduction="none", log_target=True)
    return (beta * to_teacher + (1 - beta) * to_student).sum() / B


def intel_distiller(student, teacher, labels, t, distill=0.5, student_weight=0.5):
    soft = F.kl_div(F.log_softmax(student / t, 1), F.softmax(teacher / t, 1), reduction="sum") / B
    return distill * soft + student_weight * F.cross_entropy(student, labels)


def kd_zoo(student, teacher, labels, t, lambda_kd=1.0):
    return lambda_kd * _kl_sum(student, teacher, t) * t * t / B + F.cross_entropy(student, labels)


def keras(student, teacher, labels, t, student_loss_weight=0.5):
    """Cross-entropies and divergences by probabilities, as clipping by 1e-7 leaves them here."""
    p, q = (teacher / t).softmax(-1), (student / t).softmax(-1)
    soft = (p * (p / q).log()).sum(-1).mean() * t**2
    return student_loss_weight * F.cross_entropy(student, labels) + (1 - student_loss_weight) * soft


def keras_default(student, teacher, labels, t, student_loss_weight=0.5):
    p, q = (F.hardtanh(z / t, 1e-7, 1.0) for z in (teacher, student))
    soft = F.kl_div(q.log(), p, reduction="batchmean")
    return student_loss_weight * F.cross_entropy(student, labels) + (1 - student_loss_weight) * soft


def liger_jsd(student, teacher, labels, t, weight_soft_loss=0.5, weight_hard_loss=0.5, beta=0.5):
    return weight_soft_loss * _trl(student, teacher, t, beta) + weight_hard_loss * F.cross_entropy(
        student, labels
    )


def modelopt(student, teacher, labels, t):
    log_s, log_t = _logs(student, teacher, t)
    return (log_t.exp() * (log_t - log_s)).mean() * t**2


def silverspoon_kl(student, teacher, labels, t, alpha=0.0):
    return (1 - alpha) * _kl_sum(student, teacher, t) / B * t**2 + alpha * F.cross_entropy(student, labels)


def silverspoon_jsd(student, teacher, labels, t, alpha=0.0, beta=0.5):
    return (1 - alpha) * _trl(student, teacher, t, beta) * t**2 + alpha * F.cross_entropy(student, labels)


def neural_compressor(student, teacher, labels, t, *, kl, hard=0.5, soft=0.5):
    log_s, log_t = _logs(student, teacher, t)
    distilled = (log_t.exp() * (log_t - log_s)).mean() if kl else -(log_t.exp() * log_s).sum(-1).mean()
    return hard * F.cross_entropy(student, labels) + soft * t**2 * distilled


RIVALS = {
    "intel_distiller": (
        lambda s, t, y, T, **w: intel_distiller(s, t, y, T, w.get("distill", 0.5), w.get("student", 0.5)),
        {"distill": 0.7, "student": 0.3},
    ),
    "kd_zoo": (kd_zoo, {"lambda_kd": 0.3}),
    "keras": (keras, {"student_loss_weight": 0.1}),
    "keras_default": (keras_default, {"student_loss_weight": 0.1}),
    "liger_jsd": (liger_jsd, {"weight_soft_loss": 2.0, "weight_hard_loss": 0.0, "beta": 0.5}),
    "modelopt": (modelopt, {}),
    "modelopt_batchmean": (lambda s, t, y, T: modelopt(s, t, y, T) * K, {}),
    "silverspoon_kl": (silverspoon_kl, {"alpha": 0.4}),
    "silverspoon_jsd": (silverspoon_jsd, {"alpha": 0.2, "beta": 0.7}),
    "neural_compressor_ce": (partial(neural_compressor, kl=False), {"hard": 0.25, "soft": 0.75}),
    "neural_compressor_kl": (partial(neural_compressor, kl=True), {"hard": 0.25, "soft": 0.75}),
    "lecture_notes": (lecture_notes, {"lambda_": 0.3}),
    "repdistiller": (repdistiller, {"alpha": 0.7, "gamma": 1.0}),
    "mdistiller": (mdistiller, {"KD_WEIGHT": 2.0}),
    "torchdistill": (torchdistill, {"alpha": 0.2}),
    "torchdistill_soft_only": (torchdistill_soft_only, {}),
    "pytorch_tutorial": (pytorch_tutorial, {"soft_target_loss_weight": 0.6}),
    "textbrewer_ce": (textbrewer_ce, {"hard_label_weight": 1.5}),
    "textbrewer_mse": (textbrewer_mse, {"hard_label_weight": 1.5}),
    "kd_lib": (kd_lib, {"distil_weight": 0.8}),
    "trl_forward": (lambda s, t, y, T: _trl(s, t, T, 0.0), {}),
    "trl_jsd": (lambda s, t, y, T: _trl(s, t, T, 0.5), {}),
    "trl_reverse": (lambda s, t, y, T: _trl(s, t, T, 1.0), {}),
}


def _batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(B, K, dtype=F64, generator=generator) * 2 for _ in range(2))
    return student.requires_grad_(), teacher, torch.randint(K, (B,), generator=generator)


def _gradient(loss, student):
    return torch.autograd.grad(loss, student)[0]


def test_every_entry_has_a_rival():
    assert set(RIVALS) == set(CONVENTIONS)


@pytest.mark.parametrize("name", sorted(RIVALS))
@pytest.mark.parametrize("temperature", [0.7, 4.0])
def test_an_entry_is_the_code_it_names_in_value_and_gradient(name, temperature):
    rival, other_settings = RIVALS[name]
    student, teacher, labels = _batch()
    for chosen in ({}, other_settings):
        expected = rival(student, teacher, labels, temperature, **chosen)
        found = CONVENTIONS[name].loss(student, teacher, labels, temperature=temperature, **chosen)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(
            _gradient(found, student), _gradient(expected, student), rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("name", sorted(RIVALS))
@pytest.mark.parametrize("temperature", [0.7, 4.0])
def test_the_rescaling_is_the_one_between_the_gradients_or_there_is_none(name, temperature):
    rival, other_settings = RIVALS[name]
    convention = CONVENTIONS[name]
    student, teacher, labels = _batch(1)
    soft, hard = (
        kd_gradient(student, teacher, labels, temperature=temperature, weight=weight) / B
        for weight in (1.0, 0.0)
    )
    gradient = _gradient(rival(student, teacher, labels, temperature, **other_settings), student)
    pair = convention.rescaling(temperature=temperature, num_classes=K, **other_settings)
    if pair is not None:
        torch.testing.assert_close(gradient, pair[0] * soft + pair[1] * hard, rtol=1e-9, atol=1e-12)
        return
    assert convention.differs
    basis = torch.stack([soft.detach().flatten(), hard.detach().flatten()], dim=1)
    best = basis @ torch.linalg.lstsq(basis, gradient.flatten()[:, None]).solution
    assert float((best[:, 0] - gradient.flatten()).norm() / gradient.norm()) > 0.05


def test_the_entropy_of_the_teacher_is_what_the_tutorial_adds():
    student, teacher, labels = _batch(2)
    tutorial = CONVENTIONS["pytorch_tutorial"].loss(student, teacher, labels, temperature=2.0)
    with_kl = dataclasses.replace(CONVENTIONS["pytorch_tutorial"], soft="kl")
    plain = with_kl.loss(student, teacher, labels, temperature=2.0)
    torch.testing.assert_close(tutorial - plain, 0.25 * 4 * entropy(teacher, temperature=2.0).mean())


def test_defaults_are_used_and_named_settings_are_checked():
    assert CONVENTIONS["repdistiller"].rescaling(temperature=4.0, num_classes=10) == (0.9, 0.1)
    assert CONVENTIONS["torchdistill_soft_only"].rescaling(temperature=4.0, num_classes=10) == (1 / 16, 0.0)
    with pytest.raises(ValueError, match="gamma is no setting of torchdistill, KDLoss; it has: alpha, beta"):
        CONVENTIONS["torchdistill"].rescaling(temperature=4.0, num_classes=10, gamma=0.5)


@pytest.mark.parametrize(
    "settings", [{"alpha": 0.0}, {"alpha": 0.0, "beta": 0.7}, {"alpha": 0.3, "beta": 0.9}]
)
def test_torchdistill_drops_its_weights_and_the_square_together_with_the_labels(settings):
    student, teacher, labels = _batch(3)
    code = CONVENTIONS["torchdistill"]
    found = code.loss(student, teacher, labels, temperature=2.0, **settings)
    torch.testing.assert_close(found, torchdistill(student, teacher, labels, 2.0, **settings))
    without = code.loss(student, teacher, None, temperature=2.0, **settings)
    torch.testing.assert_close(without, torchdistill(student, teacher, None, 2.0))
    expected = (0.25, 0.0) if settings["alpha"] == 0 else (0.9, 0.3)
    assert code.rescaling(temperature=2.0, num_classes=K, **settings) == expected


@pytest.mark.parametrize(("name", "beta"), [("trl_forward", 0.0), ("trl_jsd", 0.5), ("trl_reverse", 1.0)])
def test_trl_counts_tokens_where_there_are_labels_and_sequences_where_there_are_none(name, beta):
    student, teacher = (
        torch.randn(2, 3, 5, dtype=F64, generator=torch.Generator().manual_seed(i)) for i in (0, 1)
    )
    student.requires_grad_()
    code, flat = CONVENTIONS[name], (student.flatten(0, 1), teacher.flatten(0, 1))
    total = _trl(*flat, 1.0, beta) * B  # the rival divides by its B
    torch.testing.assert_close(code.loss(student, teacher, None, temperature=1.0), total / 2)
    labels = torch.tensor([[4, -100, 0], [-100, -100, 1]])
    kept = [0, 2, 5]
    counted = _trl(flat[0][kept], flat[1][kept], 1.0, beta) * B / 3
    torch.testing.assert_close(code.loss(student, teacher, labels, temperature=1.0), counted)
    nothing = code.loss(student, teacher, torch.full((2, 3), -100), temperature=1.0)
    assert nothing == 0
    assert not _gradient(nothing, student).any()


def test_trl_takes_its_beta():
    student, teacher, labels = _batch(4)
    for beta in (0.0, 0.3, 1.0):
        found = CONVENTIONS["trl_jsd"].loss(student, teacher, labels, temperature=2.0, beta=beta)
        torch.testing.assert_close(found, _trl(student, teacher, 2.0, beta))
    assert CONVENTIONS["trl_jsd"].rescaling(temperature=2.0, num_classes=K, beta=0.0) == (0.25, 0.0)
    assert CONVENTIONS["trl_jsd"].rescaling(temperature=2.0, num_classes=K, beta=0.3) is None


def test_liger_leaves_out_the_same_tokens_in_both_terms():
    student, teacher, labels = _batch(5)
    labels[[1, 4]] = -100
    kept = labels != -100
    found = CONVENTIONS["liger_jsd"].loss(student, teacher, labels, temperature=1.0)
    soft = _trl(student[kept], teacher[kept], 1.0, 0.5) * B / 4
    torch.testing.assert_close(found, (soft + F.cross_entropy(student, labels)) / 2)


def test_every_entry_was_executed_beside_its_code_or_derived_from_a_source():
    table = pd.read_csv(Path(__file__).parents[2] / "figures" / "conventions_of_codes" / "table.csv")
    double = table[(table["dtype"] == "float64") & (table["points"] != "surely wrong")]
    for name, convention in CONVENTIONS.items():
        how, _, version = convention.checked.partition(", ")
        assert version
        if how == "re-derived from source":
            assert name not in set(table["entry"])
            continue
        assert how == "executed"
        rows = double[double["entry"] == name]
        assert set(rows["version"].astype(str)) == {version.split()[-1]}
        assert rows["agrees"].all(), name
        assert {1.0, 4.0} <= set(rows["temperature"])


def test_every_entry_is_complete():
    for convention in CONVENTIONS.values():
        assert isinstance(convention, Convention)
        assert convention.code
        assert callable(convention.soft) or convention.soft in SOFT_TERMS
        soft, hard = convention.multipliers(convention.settings)
        assert soft > 0
        assert hard >= 0
