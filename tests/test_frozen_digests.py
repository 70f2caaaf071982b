"""Trained parameters, to the bit, against digests of before."""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader, TensorDataset

from kdtheory import MLP, Stream, certify, train
from kdtheory.certify import LABEL_RECIPE, STUDENT_RECIPE, WitnessPlan
from kdtheory.datasets import digits
from kdtheory.losses import distillation, label_loss
from kdtheory.multiview import ComparisonPlan, compare, compare_plain, limit_start, train_limit
from kdtheory.networks import PatchNetwork
from kdtheory.problems import MultiViewWorld
from kdtheory.recipe import Recipe
from kdtheory.schemes import born_again, distil, fit, hinton, mutual
from kdtheory.schemes import populations as many
from kdtheory.stochastic import train_posterior

FROZEN = Path("/work/jobs/frozen_digests.json")
X, Y = digits().inputs[:300], digits().labels[:300]
NET = MLP((64, 8, 10))
PROBS = (torch.randn(300, 10, generator=Stream(3).torch()) * 2).softmax(-1)
SMALL = MultiViewWorld(noise_patches=1, noise_norm=1.4, patch_dim=40)
PATCHES = PatchNetwork(2, SMALL.num_patches, 40, channels=6, power=3, init_std=0.05)


def sha(*tensors):
    digest = hashlib.sha256()
    for one in tensors:
        digest.update(one.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def of(net):
    return sha(*net.state_dict().values())


def halving(optimizer):
    return torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)


def start():
    with Stream(8).default():
        return nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 10))


def loader():
    return DataLoader(TensorDataset(X, Y), batch_size=32, shuffle=True)


CASES = {
    "adam": lambda: sha(
        train(
            NET,
            X,
            Y,
            loss=label_loss,
            members=3,
            stream=Stream(0),
            recipe=Recipe(steps=20, learning_rate=0.01),
            device="cpu",
        ).params
    ),
    "sgd": lambda: sha(
        train(
            NET,
            X,
            Y,
            loss=label_loss,
            members=3,
            stream=Stream(0),
            recipe=Recipe(steps=20, learning_rate=0.1, optimizer="sgd"),
            device="cpu",
        ).params
    ),
    "momentum": lambda: sha(
        train(
            NET,
            X,
            Y,
            loss=label_loss,
            members=3,
            stream=Stream(0),
            recipe=Recipe(
                steps=20,
                learning_rate=0.1,
                optimizer="sgd",
                momentum=0.9,
                weight_decay=0.01,
                schedule="linear",
                dtype=torch.float64,
            ),
            device="cpu",
        ).params
    ),
    "batches": lambda: sha(
        train(
            NET,
            X,
            Y,
            loss=label_loss,
            members=3,
            stream=Stream(0),
            recipe=Recipe(
                steps=20,
                learning_rate=0.01,
                weight_decay=0.01,
                schedule="cosine",
                averaged=0.5,
                batch_size=32,
            ),
            device="cpu",
        ).params
    ),
    "taught": lambda: sha(
        train(
            NET,
            X,
            Y,
            loss=distillation,
            teacher_probs=PROBS,
            settings={"temperature": torch.tensor([1.0, 2.0, 4.0]), "weight": 0.5},
            members=3,
            stream=Stream(0),
            recipe=Recipe(steps=20, learning_rate=0.01),
            device="cpu",
        ).params
    ),
    "many.distil": lambda: sha(
        many.distil(
            NET,
            X,
            Y,
            PROBS,
            temperature=2.0,
            weight=0.5,
            members=2,
            stream=Stream(0),
            recipe=Recipe(steps=10, learning_rate=0.01),
            device="cpu",
        ).params
    ),
    "many.mutual": lambda: sha(
        many.mutual(
            NET,
            X,
            Y,
            members=2,
            stream=Stream(0),
            recipe=Recipe(steps=10, learning_rate=0.01, batch_size=50),
            device="cpu",
        ).params
    ),
    "many.born_again": lambda: sha(
        *(
            one.params
            for one in many.born_again(
                NET,
                X,
                Y,
                rounds=1,
                members=2,
                stream=Stream(0),
                recipe=Recipe(steps=10, learning_rate=0.01),
                device="cpu",
            )
        )
    ),
    "fit": lambda: of(fit(start(), loader(), recipe=Recipe(steps=12), device="cpu", stream=Stream(1)).module),
    "fit sgd": lambda: of(
        fit(
            start(),
            loader(),
            recipe=Recipe(steps=12, learning_rate=0.1, momentum=0.9, optimizer="sgd", schedule=halving),
            device="cpu",
            stream=Stream(1),
        ).module
    ),
    "distil": lambda: of(
        distil(
            start(),
            start(),
            (X, Y),
            losses=hinton(2.0, 0.5),
            recipe=Recipe(steps=12, learning_rate=0.01),
            device="cpu",
            stream=Stream(1),
        ).module
    ),
    "mutual": lambda: "".join(
        of(one.module)
        for one in mutual([start(), start()], (X, Y), recipe=Recipe(steps=6), device="cpu", stream=Stream(1))
    ),
    "born_again": lambda: "".join(
        of(one.module)
        for one in born_again(
            start,
            loader(),
            rounds=1,
            losses=hinton(2.0, 0.5),
            recipe=Recipe(steps=6),
            device="cpu",
            stream=Stream(1),
        )
    ),
    "posterior": lambda: sha(
        *(lambda q: (q.mean, q.std))(
            train_posterior(
                NET,
                X,
                one_hot(Y, 10).float(),
                prior_mean=NET.init(Stream(4), members=1)[0],
                certified=200,
                delta=0.05,
                stream=Stream(5),
                recipe=Recipe(steps=6, learning_rate=0.01, batch_size=64),
                device="cpu",
            )
        )
    ),
    "limit": lambda: limit(torch.float64),
    "limit in float32": lambda: limit(torch.float32),
    "compare": lambda: compared(compare),
    "compare_plain": lambda: compared(partial(compare_plain, device="cpu")),
    "certify": lambda: certified(
        WitnessPlan(
            members=1,
            held_out=0.4,
            recipe=LABEL_RECIPE.but(learning_rate=0.01, steps=30, weight_decay=0.001),
            students=STUDENT_RECIPE.but(steps=25, learning_rate=0.01),
        )
    ),
    "certify, usual steps": lambda: certified(
        WitnessPlan(kinds=("holdout", "stochastic"), members=1, rounds=2)
    ),
}


def limit(dtype):
    points = SMALL.stratified(20, Stream(0).child("train"))
    first = limit_start(PATCHES, points, noise_norm=1.4, members=2, stream=Stream(2))
    nets = train_limit(
        first, points, recipe=Recipe(steps=40, learning_rate=1.0, dtype=dtype, optimizer="sgd")
    )
    more = train_limit(
        nets,
        points,
        recipe=Recipe(steps=10, learning_rate=0.5, optimizer="sgd"),
        teacher_logits=nets.train_logits(points),
        temperature=2.0,
        cap=4.0,
    )
    return sha(nets.projections, nets.memory, more.projections)


def compared(how):
    found = how(
        SMALL,
        PATCHES,
        ComparisonPlan(n=20, recipe=Recipe(steps=30, learning_rate=1.0, optimizer="sgd"), student_steps=40),
        members=3,
        students=2,
        stream=Stream(0),
        test_points=20,
    )
    return sha(found.single.logits, found.distilled.logits, found.self_distilled.logits)


def certified(plan):
    net = start().eval()
    found = certify(
        net,
        train=(X, Y),
        unlabelled=digits().inputs[300:500],
        fixed_in_advance=True,
        delta=0.05,
        witness=plan,
        stream=Stream(0),
        device="cpu",
    )
    return json.dumps({name: line.value for name, line in found.lines.items() if "witness" in name})


@pytest.mark.parametrize("name", CASES)
def test_parameters_are_those_of_before(name):
    frozen = json.loads(FROZEN.read_text()) if FROZEN.exists() else {}
    found = CASES[name]()
    if os.environ.get("FREEZE"):
        FROZEN.write_text(json.dumps({**frozen, name: found}, indent=1))
    else:
        assert found == frozen[name]
