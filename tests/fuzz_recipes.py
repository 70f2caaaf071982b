"""Good values of single doors' arguments, where name and type do not say enough."""

from __future__ import annotations

import importlib
import math
from functools import partial
from pathlib import Path

import numpy as np
import torch
from fuzz_makers import (
    INDICES,
    Maker,
    always,
    answers,
    coded_network,
    cohort,
    file,
    kept,
    law,
    laws,
    logits_of_roles,
    logits_or_kept,
    losses,
    maps,
    matrices,
    named_params,
    number,
    one,
    own_params,
    own_rows,
    plan,
    positive,
    rows,
    steps,
    two_layers,
    vector,
    wrong,
)
from fuzz_values import DIFFERS, NET, PATCHES, SAYS, TYPES, WORLD, module, points
from torch import nn
from torch.func import stack_module_state

from kdtheory import coding, compare, datasets, multiview, networks
from kdtheory.batches import Batch
from kdtheory.claims import REGISTRY, Claim
from kdtheory.losses import distillation
from kdtheory.losses.labelwise import log_loss
from kdtheory.plain import plain_fields as plan_fields
from kdtheory.recipe import HONOURED, Recipe
from kdtheory.schemes import hinton
from kdtheory.streams import Stream
from kdtheory.tensor_trees import to_bytes

CERTIFIED: dict[str, Maker] = {
    "teacher": one(module, logits_of_roles),
    "unmet": one((), "independent", ("independent", "one_law")),
    "may_share": always(()),
    "may_repeat": one((), ("train",)),
    "output": always(None),
    "shares": one(None, {"holdout": 1.0}),
    "witness": always(None),
    "prior": always(None),
    "ship": always(False),
    "device": always("cpu"),
}
COMPARED: dict[str, Maker] = {
    "student": always({"holdout": SAYS[:24], "unlabelled": SAYS}),
    "teacher": always({"holdout": DIFFERS[:24], "unlabelled": DIFFERS}),
    "holdout": always(SAYS[:24]),
    "unlabelled": always(None),
    "answers": one(None, lambda draw: compare.Answers(plan(draw), *answers(draw))),
    "margin": one(None, 0.1),
    "most": one(None, 0.5),
    "confident": one(0.9, 0.5),
    "unmet": one((), ("independent",)),
    "may_share": always(()),
    "may_repeat": always(()),
}
TOLD: dict[str, Maker] = {
    "terms": one({}, {"radius": 0.1}),
    "assumptions": one({"the points are independent": True}, {"fixed": False}),
    "quantities": always({"n": 5.0}),
}
POPULATIONS: dict[str, Maker] = {
    "inputs": rows(4),
    "labels": always(torch.arange(6) % 3),
    "teacher_probs": laws(6, 3),
    "optimizer": one("adam", "sgd"),
    "schedule": one("constant", "cosine"),
    "loss": always(distillation),
    "settings": one(None, {"temperature": 2.0}),
    "device": always("cpu"),
}
ARCHITECTURES: dict[str, Maker] = {
    "params": own_params(2),
    "gradient": own_params(2),
    "member": one(0, 1),
    "inputs": own_rows,
    "named": named_params,
}
RECIPES: dict[str, dict[str, Maker]] = {
    "catalogue": {"claim": lambda draw: TYPES[Claim](draw), "function": one("golowich18_relu_net", "mean")},
    "files": {
        "path": always(Path("written.json")),
        "folder": file(""),
        "root": file(""),
        "content": always(b"content"),
        "document": one({}, {"a": [1.0, None]}),
    },
    "files.read_json": {"path": file("told.json")},
    "outside": {
        "source": one("kdtheory.claims.response", "kdtheory.claims.response.softmax"),
        "module": lambda draw: importlib.import_module("kdtheory.claims.response"),
        "claims": one((), (REGISTRY["kd_gradient_is_the_closed_form"],)),
    },
    "scripts": {"name": one("soft_ratio", "multi_view_phases"), "script": file("line.py")},
    "tensor_trees": {
        "tree": one({}, {"a": [1, None, torch.eye(2)]}),
        "content": lambda draw: to_bytes({"a": [1, None, torch.eye(2)]}),
    },
    "roles.Train.of": {"source": points, "labels": always(None)},
    "roles.HoldOut.of": {"source": points, "labels": always(None)},
    "roles.Unlabelled.of": {"source": rows(4)},
    "batches.class_numbers": {"labels": always(torch.arange(5) % 3), "count": always(5)},
    "batches.Batches": {"data": points, "inputs": always(None), "labels": always(None)},
    "batches.Batches.read": {"batch": points},
    "batches.Batch": {"labels": always(torch.arange(5) % 3), "ignored": one(None, 2), "logits": rows(3, 5)},
    "bounds": {"errors": wrong, "disagreements": wrong},
    "bounds.result.Bound": TOLD,
    "bounds.tails.RiskTail": TOLD | {"mean": one(0.1, 0.3), "points": always(50)},
    "bounds.empirical_bernstein": {"values": losses(20)},
    "bounds.margins.softmax_distance_lipschitz": {"norm": one("sup", "euclidean")},
    "bounds.pac_bayes": {"values": losses(2, 9)},
    "bounds.tails.pac_bayes_tail": {"values": losses(2, 9)},
    "bounds.vc.bartlett19_vc_dimension": {"widths": one((4, 1), (4, 3, 1))},
    "certify": CERTIFIED | {"held_out": one(0.5, 0.4)},
    "certify.by_logits": {
        "student_logits": always(None),
        "student_unlabelled": always(None),
        "teacher_unlabelled": always(None),
    },
    "coding.decode_architecture": {"message": lambda draw: coding.encode_architecture(NET)},
    "coding.decode_network": {"message": coded_network, "architecture": always(NET)},
    "compare.ahead": {"guess": lambda draw: compare.Guess(0.1, 0.05, draw.one_of(0.1, 0.06))},
    "compare.ahead.Guess": {"student": always(0.1), "teacher": always(0.05), "apart": one(0.06, 0.1)},
    "compare.ahead.labels_needed": {"way": one("cost", "error")},
    "compare.door.Answers": {"plan": plan},
    "compare.door": COMPARED,
    "compare.lines": {"role": one("holdout"), "who": one("student", "teacher")},
    "compare.plan": {"student": always(SAYS), "teacher": always(DIFFERS), "seed": always(1)},
    "compare.plan.LabelPlan": {"document": lambda draw: plan(draw).to_json()},
    "compare.plan.LabelPlan.answered": {
        "indices": lambda draw: np.array(draw.owner.indices),
        "labels": lambda draw: np.zeros(len(draw.owner.indices), dtype=int),
    },
    "compression.modules.narrow": {"module": two_layers, "widths": one((3,), (5,))},
    "compression.perturbation": {"weights": matrices, "perturbations": matrices},
    "datasets.arrays.as_labels": {
        "read": lambda draw: datasets.ReadArray(np.arange(6) % 3),
        "points": one(None, 6),
        "classes": always(None),
    },
    "datasets.arrays.as_logits": {"read": lambda draw: datasets.ReadArray(draw.normal(5, 3).numpy())},
    "datasets.arrays.read_labels": {
        "path": file("labels.npy"),
        "points": one(None, 6),
        "classes": always(None),
    },
    "datasets.arrays": {"path": file("logits.csv", "logits.npy", "logits.npz")},
    "datasets.columns": {"names": one({"a": ("x", "y"), "b": None}, {"a": ("x", "y"), "b": ("z", "y")})},
    "datasets.idx.read_idx": {"path": file("t10k-labels-idx1-ubyte")},
    "datasets.idx.idx_folder": {"path": file(""), "split": one("train", "test")},
    "datasets.images.Images": {
        "inputs": losses(6, 4),
        "labels": always(torch.arange(6) % 3),
        "num_classes": always(3),
        "shape": one(None, (2, 2)),
    },
    "datasets.load": {"data": one(None, file(""))},
    "datasets.stored": {"path": file("logits.csv", "logits.npy", "logits.npz")},
    "datasets.stored.ReadArray": {"array": lambda draw: draw.normal(5, 3).numpy()},
    "imitation": {"inputs": rows(4), "outputs": one(slice(None), slice(0, 2))},
    "inversion.binomial_upper_limits": {
        "successes": one(1, np.array([0, 2])),
        "trials": one(5, np.array([4, 9])),
        "log_delta": one(-3.0, np.array([-1.0, -9.0])),
    },
    "losses": {"temperature": one(1.0, 2.0), "weight": always(1.0), "hard_weight": one(0.0, 0.5)},
    "losses.features.non_local": {"student_features": maps, "teacher_features": maps},
    "losses.mutual.mutual_loss": {"_teacher_probs": always(None), "cohort_logits": cohort},
    "losses.response.kd_loss": {"teacher_logits": logits_or_kept("*batch k")},
    "losses.token_losses.token_kd_loss": {"teacher_logits": logits_or_kept("n length k")},
    "losses.truncated": {"teacher": kept},
    "losses.truncated.TopK": {"log_probs": lambda draw: laws(2, 3)(draw).log(), "indices": always(INDICES)},
    "multiview.comparison": {
        "recipe": always(Recipe(steps=2, learning_rate=2.0, optimizer="sgd")),
        "plan": always(
            multiview.ComparisonPlan(
                n=20, recipe=Recipe(steps=2, learning_rate=2.0, optimizer="sgd"), student_steps=2
            )
        ),
        "world": always(WORLD),
        "network": always(PATCHES),
        "stratified": always(False),
        "cap": one(math.inf, 2.0),
        "test_points": always(20),
        "members": always(2),
        "self_students": one(None, 1),
        "train": rows(20, 3),
        "fresh": rows(20, 5),
        "device": always("cpu"),
    },
    "multiview.coverage": {"projections": lambda draw: draw.normal(2, 3, 2, 6).to(draw.dtype)},
    "multiview.limit.limit_of": {
        "params": lambda draw: draw.normal(2, PATCHES.size),
        "inputs": rows(20),
    },
    "multiview.limit.train_limit": {"teacher_logits": one(None, rows(2))},
    "multiview.lazy.LazyPopulation.logits": {
        "coefficients": lambda draw: draw.normal(3, 4).abs().to(draw.dtype)
    },
    "multiview.limit.LimitPopulation.logits": {
        "coefficients": lambda draw: draw.normal(3, 4).abs().to(draw.dtype)
    },
    "networks": {
        "ask": lambda draw: lambda batch: batch.args[0],
        "inputs": lambda draw: networks.Inputs((torch.eye(5),)),
        "said": always(torch.eye(5)),
        "again": always(torch.eye(5)),
        "close": one(1e-3, 0.1),
        "examples": always(5),
        "chosen": one(slice(0, 2), torch.tensor([1, 0]), torch.tensor([True, False, True, False, False])),
        "net": module,
        "factory": lambda draw: lambda: nn.Linear(4, 3),
    },
    "networks.mlp.MLP": ARCHITECTURES,
    "networks.modules.ModuleArchitecture": ARCHITECTURES | {"input_shape": always((4,))},
    "networks.ntk_mlp.NTKMLP": ARCHITECTURES,
    "networks.patches.PatchNetwork": ARCHITECTURES,
    "ntk.blocks.fill_gram": {"out": lambda draw: np.empty((6, 6)), "rows": rows(4), "jobs": always(1)},
    "ntk.iterative": {
        "jobs": always(1),
        "scale": always(None),
        "landmarks": one(1, 3),
        "tolerance": one(0.1, 0.01),
        "most": one(3, 50),
    },
    "ntk.linearised.weight_change": {"coefficients": lambda draw: draw.normal(3).to(draw.dtype)},
    "plain": {
        "kind": one(float, tuple[float, ...], dict[str, int], bool),
        "value": one(1.0, [1.0, 2.0], {"a": 1}, True, None),
    },
    "plain.made": {"kind": always(compare.LabelPlan), "value": lambda draw: plan_fields(plan(draw))},
    "plain.plain_fields": {"value": plan},
    "populations.population.Population": {"inputs": rows(4), "member": one(0, 1)},
    "populations.training": POPULATIONS,
    "problems.finite.FiniteWorld.posterior": {"inputs": lambda draw: draw.owner.inputs[:2]},
    "problems.finite.FiniteWorld.enumerate_samples": {"n": one(1, 2, 3)},
    "problems.gaussian_mixture.GaussianMixture": {
        "means": lambda draw: draw.normal(3, 2, 4).to(draw.dtype),
        "covariances": lambda draw: torch.eye(4).expand(3, 2, 4, 4).to(draw.dtype),
        "weights": lambda draw: torch.full((3, 2), 1 / 6, dtype=draw.dtype),
    },
    "problems.gaussian_mixture.gaussian_mixture": {
        "means": rows(4, 3),
        "std": one(1.0, 0.5),
        "covariance": always(None),
        "weights": always(None),
    },
    "problems.multi_view.MultiViewWorld.posterior": {
        "inputs": lambda draw: draw.owner.sample(3, Stream(1)).inputs
    },
    "problems.multi_view.MultiViewWorld.stratified": {"n": always(20)},
    "problems.relabelled": {"logits": rows(3, 9)},
    "problems.teachers.KernelLogits": {"centres": rows(4, 2)},
    "ntk.empirical.EmpiricalKernel.stacked": {
        "parameters": lambda draw: stack_module_state([draw.owner.module] * 2)[0],
        "rows": lambda draw: draw.normal(3, 4).float(),
    },
    "bibliography": {"sources": always(("hinton2015distilling",)), "path": file("papers.bib")},
    "schemes.objective": {
        "losses": lambda draw: hinton(2.0, 0.5),
        "student": module,
        "teacher": module,
        "batch": lambda draw: TYPES[Batch](draw),
        "example": lambda draw: draw.normal(5, 4).float(),
        "output": always(None),
    },
    "recipe.Recipe.check_honoured": {"by": one(*HONOURED)},
    "recipe.Recipe.optimizer_of": {"parameters": lambda draw: [draw.normal(3).float().requires_grad_()]},
    "iterates.TailAverage": {
        "parameters": lambda draw: [draw.normal(3).float()],
        "share": one(0.5, 1.0),
        "steps": one(2, 4),
        "step": one(0, 3),
    },
    "risk.gradients.network_gradient_noise": {"loss": always(log_loss)},
    "risk.variance_reduction.VarianceReduction": {
        "plain": number(1.0),
        "covariance": number(0.5),
        "teacher": number(1.0),
        "weight": number(0.3),
    },
    "roles": {
        "parts": lambda draw: (draw.normal(6, 2), draw.normal(6, 3)),
        "names": one((None, None), (None, "mask")),
        "labels": always(torch.arange(9) % 3),
        "may_share": one((), (("train", "holdout"),)),
        "may_repeat": one((), ("train",)),
    },
    "rows": {"here": always("one"), "there": always("one")},
    "schemes.comparison.Comparison": {"over": one("fit", "again")},
    "schemes.loop.Training": {
        "optimizer": always(partial(torch.optim.SGD, lr=0.1)),
        "schedule": always(None),
    },
    "schemes.populations": POPULATIONS,
    "schemes.projections": {"student_features": rows(4), "teacher_features": rows(3)},
    "sequences": {"teacher": law, "student": law, "estimator": one("k1", "k2", "k3")},
    "sequences.laws.SequenceLaw": {"tokens": always(torch.tensor([[0, 1], [1, 1]])), "steps": steps},
    "sequences.laws.SequenceLaw.random": {"vocabulary": one(2, 3), "horizon": one(1, 2)},
    "sequences.laws.SequenceLaw.of_net": {
        "net": lambda draw: lambda tokens: torch.nn.functional.one_hot(tokens, 3).double(),
        "vocabulary": one(2, 3),
        "horizon": one(1, 2),
        "start": one((0,), (1, 0)),
    },
    "sequences.speculative": {name: laws(3, 4) for name in ("draft", "target", "assumed")},
    "sequences.speculative.tokens_per_cycle": {"alpha": one(0.3, 0.8)},
    "stats.log_log_slopes": {
        "horizons": always(np.array([1.0, 2.0, 4.0])),
        "values": lambda draw: draw.normal(2, 3).exp().numpy(),
    },
    "stochastic": {"inputs": rows(4, 9), "labels": always(torch.arange(9) % 3), "targets": laws(9, 3)},
    "stochastic.train_posterior": {
        "prior_mean": lambda draw: draw.normal(NET.size).float(),
        "steps": always(2),
        "batch_size": one(None, 4),
        "device": always("cpu"),
        "learning_rate": one(0.01, 0.1),
        "initial_std": one(0.01, 0.1),
    },
    "stochastic.GaussianPosterior": {name: positive(NET.size) for name in ("mean", "std", "prior_mean")},
    "transfer_risk.angles.AngleTail": {"angles": lambda draw: draw.normal(5).sigmoid().sort().values},
    "transfer_risk.angles.isotropic_angle_tail": {"dim": one(2, 5)},
    "transfer_risk.functions.KernelFunction": {"anchors": rows(4, 3), "coefficients": vector(3)},
    "transfer_risk.curves.NestedStudents": {"first": one(0, 1), "second": one(0, 1)},
    "weak_to_strong": {
        "head": rows(3, 5),
        "features": rows(4),
        "teachers": lambda draw: {"one": draw.normal(6, 3).softmax(-1), "two": draw.normal(6, 3).softmax(-1)},
        "teacher_probs": laws(6, 3),
    },
    "rows.EqualRows": {"known": always({})},
    "transfer_risk.large": {
        "jobs": always(1),
        "landmarks": one(1, 3),
        "tolerance": one(0.1, 0.01),
    },
    "workers.spread": {
        "function": always(max),
        "tasks": always(((1, 2), (4, 3))),
        "jobs": always(1),
        "shared": always(()),
        "ahead": one(None, 1),
    },
}


def recipe(door: str, parameter: str) -> Maker | None:
    """That of the door itself, or of the nearest package or class that it is in."""
    parts = door.split(".")
    for end in range(len(parts), 0, -1):
        found = RECIPES.get(".".join(parts[:end]), {}).get(parameter)
        if found is not None:
            return found
    return None
