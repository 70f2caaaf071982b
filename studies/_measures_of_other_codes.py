"""The other side of `measures_of_codes`: a code's own losses, calibration errors, masks and factors.

Called as `python _measures_of_other_codes.py CODE INPUTS.npz CASES.json`; prints one JSON object: the version
of the code, and of each case the value and, of a loss, its gradient in the student's features.
"""

import json
import os
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

os.environ["NNCF_LOG_LEVEL"] = "ERROR"
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

_SIDE = {"path": "layer", "io": "output"}


def torchdistill(case, inputs):
    from torchdistill.losses import mid_level

    own, name = dict(case["settings"]), case["entry"].split(",")[0]
    pair = {"pair": {"student": _SIDE, "teacher": _SIDE}}
    ends = {f"{side}_{what}": value for side in ("student", "teacher") for what, value in
            {"module_path": "layer", "module_io": "output"}.items()}  # fmt: skip
    paths = {"student_output_path": "layer", "teacher_output_path": "layer"}
    student, teacher = ({"layer": {"output": inputs[side]}} for side in ("student", "teacher"))
    if name == "MSELoss":
        at = {"input": {"is_from_teacher": False}, "target": {"is_from_teacher": True}}
        own = {key: {**side, "module_path": "layer", "io": "output"} for key, side in at.items()}
        return mid_level.SimpleLossWrapper(nn.MSELoss(), **own)(student, teacher, None)
    given = {
        "ATLoss": {"at_pairs": pair},
        "AltActTransferLoss": {"feature_pairs": pair, "margin": 1.0, "reduction": "mean"},
        "CCKDLoss": {
            "student_linear_path": "layer",
            "teacher_linear_path": "layer",
            "reduction": "batchmean",
        },
        "ChSimLoss": {"feature_pairs": pair},
        "FTLoss": {"paraphraser_path": "layer", "translator_path": "layer"},
        "HierarchicalContextLoss": ends,
        "PKTLoss": ends,
        "RKDLoss": {**paths, "reduction": "mean"},
        "SPKDLoss": {**paths, "reduction": "batchmean"},
        "VIDLoss": {"feature_pairs": pair},
    }
    if name == "FSPLoss":
        ports = {f"{side}_{which}": {"path": which, "io": "output"} for side in ("student", "teacher")
                 for which in ("first", "second")}  # fmt: skip
        student, teacher = (
            {"first": {"output": inputs[f"{side}_before"]}, "second": {"output": inputs[side]}}
            for side in ("student", "teacher")
        )
        return mid_level.FSPLoss({"pair": ports})(student, teacher)
    if name == "VIDLoss":
        student["layer"]["output"] = (
            inputs["student"],
            torch.full_like(inputs["student"], own.pop("variance")),
        )
    if name == "HierarchicalContextLoss":
        student["layer"]["output"] = (inputs["student"], None)
    return getattr(mid_level, name)(**{**given[name], **own})(student, teacher)


def rederived(case, inputs):
    from _rederived_losses import LOSSES

    more = [inputs[key] for key in ("student_before", "teacher_before") if case["entry"] == "flow"]
    return LOSSES[case["entry"]](inputs["student"], inputs["teacher"], *more, **case["settings"])


def torchmetrics(case, inputs):
    from torchmetrics.functional.classification import multiclass_calibration_error

    probs = inputs["probs"]
    return multiclass_calibration_error(
        probs, inputs["labels"], num_classes=probs.shape[1], **case["settings"]
    )


def netcal(case, inputs):
    from netcal import metrics

    measure = getattr(metrics, case["entry"])(**case["settings"])
    return measure.measure(inputs["probs"].numpy(), inputs["labels"].numpy())


class Net(nn.Module):
    """Two linear layers with the given weights, and their names."""

    def __init__(self, inputs):
        super().__init__()
        for name, weight in (("first", inputs["first"]), ("second", inputs["second"])):
            layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
            layer.weight = nn.Parameter(weight.clone())
            setattr(self, name, layer)

    def forward(self, x):
        return self.second(self.first(x).relu())


def _kept(quantity, inputs, net, weights):
    """What is reported of a pruned net, whose weights now are `weights`."""
    if quantity == "zeros":
        return sum(int((weight == 0).sum()) for weight in weights)
    if quantity == "parameters":
        return sum(parameter.numel() for parameter in net.parameters())
    before = (inputs["first"], inputs["second"])
    return sum((old - new).square().sum() for old, new in zip(before, weights, strict=True)).sqrt()


def torch_itself(case, inputs):
    return (_factors_of_torch if case["area"] == "low rank" else _pruned_by_torch)(case, inputs)


def _pruned_by_torch(case, inputs):
    from torch.nn.utils import prune

    net, own = Net(inputs), case["settings"]
    layers = [(net.first, "weight"), (net.second, "weight")]
    for _ in range(own.get("times", 1)):
        if case["entry"] == "global_unstructured":
            prune.global_unstructured(layers, prune.L1Unstructured, amount=own["amount"])
            continue
        for layer, name in layers:
            if case["entry"] == "l1_unstructured":
                prune.l1_unstructured(layer, name, own["amount"])
            else:
                prune.ln_structured(layer, name, own["amount"], n=own["n"], dim=0)
    return _kept(case["quantity"], inputs, net, [layer.weight.detach() for layer, _ in layers])


def torch_pruning(case, inputs):
    import torch_pruning as tp

    net, own = Net(inputs), dict(case["settings"])
    ratio = own.pop("pruning_ratio")
    scores = tp.importance.MagnitudeImportance(p=2, **own)
    example = torch.ones(1, inputs["first"].shape[1], dtype=inputs["first"].dtype)
    tp.pruner.BasePruner(net, example, scores, pruning_ratio=ratio, ignored_layers=[net.second]).step()
    if case["quantity"] == "parameters":
        return tp.utils.count_ops_and_params(net, example)[1]
    return torch.linalg.vector_norm(net.first.weight.detach())


def nncf(case, inputs):
    import nncf as package

    inputs = {key: value.float() for key, value in inputs.items()}
    mode = getattr(package.PruneMode, f"UNSTRUCTURED_MAGNITUDE_{case['entry'].upper()}")
    net = package.prune(Net(inputs), mode, ratio=case["settings"]["ratio"],
                        examples_inputs=torch.ones(1, inputs["first"].shape[1]))  # fmt: skip
    masks = {name: hook.binary_mask for name, hook in net.named_modules() if hasattr(hook, "binary_mask")}
    of = {layer: next(mask for name, mask in masks.items() if layer in name) for layer in ("first", "second")}
    return _kept(case["quantity"], inputs, net, [inputs[layer] * of[layer] for layer in ("first", "second")])


def _told(case, weight, made, numbers):
    """The error of an approximation, or how many numbers its factors hold."""
    return torch.linalg.vector_norm(weight - made) if case["quantity"] == "error" else numbers


def _factors_of_torch(case, inputs):
    weight, rank = inputs["matrix"], case["settings"]["rank"]
    if case["entry"] == "linalg.svd":
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        left, values, right = left[:, :rank], values[:rank], right[:rank]
    else:
        left, values, right = torch.svd_lowrank(weight, q=rank)
        right = right.mT
    numbers = left.numel() + values.numel() + right.numel()
    return _told(case, weight, left * values @ right, numbers)


def scikit_learn(case, inputs):
    from sklearn import decomposition

    made = getattr(decomposition, case["entry"])(case["settings"]["rank"], random_state=0)
    scores = made.fit_transform(inputs["matrix"].numpy())
    numbers = scores.size + made.components_.size + (made.mean_.size if case["entry"] == "PCA" else 0)
    return _told(case, inputs["matrix"], torch.from_numpy(made.inverse_transform(scores)), numbers)


def scipy(case, inputs):
    from scipy.sparse.linalg import svds

    left, values, right = svds(inputs["matrix"].numpy(), k=case["settings"]["rank"])
    numbers = left.size + values.size + right.size
    return _told(case, inputs["matrix"], torch.from_numpy(left * values @ right), numbers)


def tensorly(case, inputs):
    import tensorly as tl
    from tensorly.decomposition import partial_tucker
    from tensorly.tenalg import svd_interface

    tl.set_backend("pytorch")
    rank = case["settings"]["rank"]
    if case["entry"] == "svd_interface":
        left, values, right = svd_interface(inputs["matrix"], n_eigenvecs=rank)
        numbers = left.numel() + values.numel() + right.numel()
        return _told(case, inputs["matrix"], left * values @ right, numbers)
    modes = case["settings"]["modes"]
    (core, factors), _ = partial_tucker(inputs["kernel"], rank=[rank] * len(modes), modes=modes)
    made = tl.tenalg.multi_mode_dot(core, factors, modes=modes)
    return _told(case, inputs["kernel"], made, core.numel() + sum(part.numel() for part in factors))


CODES = {
    "torchdistill": (torchdistill, "torchdistill"),
    "repdistiller": (rederived, None),
    "mdistiller": (rederived, None),
    "torchmetrics": (torchmetrics, "torchmetrics"),
    "netcal": (netcal, "netcal"),
    "torch": (torch_itself, "torch"),
    "torch_pruning": (torch_pruning, "torch-pruning"),
    "nncf": (nncf, "nncf"),
    "scipy": (scipy, "scipy"),
    "scikit_learn": (scikit_learn, "scikit-learn"),
    "tensorly": (tensorly, "tensorly"),
}


def outcome(measure, case, arrays):
    dtype, points = getattr(torch, case["dtype"]), f"{case['points']}/"
    inputs = {
        key.removeprefix(points): torch.from_numpy(values)
        for key, values in arrays.items()
        if key.startswith(points)
    }
    inputs = {
        key: values.to(dtype) if values.is_floating_point() else values for key, values in inputs.items()
    }
    if "student" not in inputs:
        return {"value": float(measure(case, inputs)), "gradient": None}
    student = inputs["student"].requires_grad_()
    # A copy, since some codes write into what they are given; at length one where these are the points.
    lengths = torch.linalg.vector_norm(student, dim=1, keepdim=True) if case["points"] == "unit rows" else 1
    value = measure(case, {**inputs, "student": student / lengths, "teacher": inputs["teacher"].clone()})
    (gradient,) = torch.autograd.grad(value, student)
    return {"value": float(value.detach()), "gradient": gradient.double().flatten().tolist()}


def main():
    measure, package = CODES[sys.argv[1]]
    torch.manual_seed(0)  # of the randomised factorisations
    with np.load(sys.argv[2]) as stored:
        arrays = dict(stored)
    told = [outcome(measure, case, arrays) for case in json.loads(Path(sys.argv[3]).read_text())]
    if package is None:
        from _rederived_losses import COMMITS

        told_version = COMMITS[sys.argv[1]]
    else:
        told_version = version(package)
    print(json.dumps({"version": told_version, "cases": told}))  # noqa: T201


if __name__ == "__main__":
    main()
