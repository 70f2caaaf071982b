"""The other side of `conventions_of_codes`: a code's own loss, in a process and an environment of its own.

Called as `python _losses_of_codes.py CODE INPUTS.npz CASES.json`; prints one JSON object: the version of the
code, and of each case the value and its gradient in the student's logits.
"""

import json
import os
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

os.environ["KERAS_BACKEND"] = "torch"
os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

_IGNORED = -100


def torchdistill(case, student, teacher, labels):
    from torchdistill.losses.mid_level import KDLoss

    own = {name: case[name] for name in ("alpha", "beta") if name in case}
    loss = KDLoss("fc", "output", "fc", "output", temperature=case["temperature"], **({"alpha": 0.5} | own))
    return loss({"fc": {"output": student}}, {"fc": {"output": teacher}}, labels)


def textbrewer(case, student, teacher, labels):
    from textbrewer.losses import kd_ce_loss, kd_mse_loss

    soft = {"textbrewer_ce": kd_ce_loss, "textbrewer_mse": kd_mse_loss}[case["entry"]]
    hard = case.get("hard_label_weight", 0.0)  # the distiller adds the student's own loss under this weight
    return soft(student, teacher, case["temperature"]) + (
        hard * F.cross_entropy(student, labels) if hard else 0
    )


def trl(case, student, teacher, labels):
    from trl.experimental.gkd import GKDTrainer

    beta = {"trl_forward": 0.0, "trl_reverse": 1.0}.get(case["entry"], case.get("beta", 0.5))
    return GKDTrainer.generalized_jsd_loss(
        student, teacher, labels, beta=beta, temperature=case["temperature"]
    )


def keras(case, student, teacher, labels):
    import keras

    how = {"keras": {"loss": keras.losses.KLDivergence()}, "keras_default": {}}[case["entry"]]
    loss = keras.distillation.LogitsDistillation(temperature=case["temperature"], **how)
    identity = keras.layers.Activation("linear")
    inputs = keras.Input((student.shape[-1],), dtype=str(student.dtype).removeprefix("torch."))
    nets = [keras.Model(inputs, identity(inputs)) for _ in range(2)]
    own = {name: case[name] for name in ("student_loss_weight",) if name in case}
    made = keras.distillation.Distiller(*nets, loss, **own)
    made.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    made._extract_all_teacher_features = lambda x: {"final_output": teacher}
    made._extract_all_student_features = lambda x, said: {"final_output": student}
    return made.compute_loss(x=student, y=labels, y_pred=student)


def liger(case, student, teacher, labels):
    from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

    own = {name: case[name] for name in ("weight_hard_loss", "weight_soft_loss", "beta") if name in case}
    made = LigerFusedLinearJSDLoss(temperature=case["temperature"], compiled=False, **own)
    flat, taught = student.flatten(0, -2), teacher.flatten(0, -2)
    one = torch.eye(flat.shape[-1], dtype=flat.dtype)
    return made(flat, one, taught, one.clone(), labels.flatten())


def modelopt(case, student, teacher, labels):
    from modelopt.torch.distill.losses import LogitsDistillationLoss

    own = {"reduction": "batchmean"} if case["entry"] == "modelopt_batchmean" else {}
    return LogitsDistillationLoss(temperature=case["temperature"], **own)(student, teacher)


def silverspoon(case, student, teacher, labels):
    from silverspoon_kd.distillers.response_based_distiller import ResponseBasedDistiller
    from silverspoon_kd.losses import get_loss_function

    name = {"silverspoon_kl": "kl_divergence", "silverspoon_jsd": "jsd"}[case["entry"]]
    own = {"beta": case["beta"]} if "beta" in case else {}
    soft = get_loss_function(name, temperature=case["temperature"], **own)
    holder = SimpleNamespace(args=SimpleNamespace(alpha=case.get("alpha", 0.0)), soft_loss_fn=soft)
    holder._combine_losses = lambda losses, weights, **_: sum(weights[key] * losses[key] for key in losses)
    hard = F.cross_entropy(student, labels) if labels is not None else None
    return ResponseBasedDistiller._compute_total_loss(holder, student, teacher, hard, track_metrics=False)[0]


def neural_compressor(case, student, teacher, labels):
    from neural_compressor.compression.distillation.criterions import PyTorchKnowledgeDistillationLoss

    kind = {"neural_compressor_ce": "CE", "neural_compressor_kl": "KL"}[case["entry"]]
    own = {"loss_weights": [case["hard"], case["soft"]]} if "hard" in case else {}
    made = PyTorchKnowledgeDistillationLoss(case["temperature"], ["CE", kind], **own)
    return made.loss_cal_sloss(student, teacher, made.loss_cal(student, labels))


CODES = {
    "torchdistill": (torchdistill, "torchdistill"),
    "textbrewer": (textbrewer, "textbrewer"),
    "trl": (trl, "trl"),
    "keras": (keras, "keras"),
    "liger": (liger, "liger-kernel"),
    "modelopt": (modelopt, "nvidia-modelopt"),
    "silverspoon": (silverspoon, "silverspoon-kd"),
    "neural_compressor": (neural_compressor, "neural-compressor"),
}


def outcome(loss, case, arrays):
    dtype = getattr(torch, case["dtype"])
    student, teacher = (
        torch.from_numpy(arrays[f"{name}_{case['shape']}"]).to(dtype) for name in ("student", "teacher")
    )
    student.requires_grad_()
    labels = torch.from_numpy(arrays[f"labels_{case['shape']}"]) if case["labels"] else None
    value = loss(case, student, teacher, labels)
    value.backward()
    return {"value": float(value.detach()), "gradient": student.grad.double().flatten().tolist()}


def main():
    loss, package = CODES[sys.argv[1]]
    with np.load(sys.argv[2]) as arrays:
        cases = json.loads(Path(sys.argv[3]).read_text())
        told = [outcome(loss, case, arrays) for case in cases]
    print(json.dumps({"version": version(package), "cases": told}))  # noqa: T201


if __name__ == "__main__":
    main()
