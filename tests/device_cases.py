"""What has a device, there and on the CPU: run as a script, a line of JSON for each case."""

from __future__ import annotations

import json
import runpy
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from elsewhere import Elsewhere, elsewhere
from fuzz_doors import place
from torch import Tensor, nn

from kdtheory import losses, risk
from kdtheory.certify import certify
from kdtheory.compare import compare
from kdtheory.compression import factorise, pruned
from kdtheory.losses import features, relations
from kdtheory.networks import MLP
from kdtheory.ntk import EmpiricalKernel, InfiniteConvNet, InfiniteMLP, gram_product, ntk_vector_product
from kdtheory.populations import train
from kdtheory.recipe import Recipe
from kdtheory.schemes import Loop, Objective, Validation, distil, evaluate, fit, hinton, mutual
from kdtheory.streams import Stream

Case = Callable[[Any], Any]
RECIPE = Recipe(steps=6, learning_rate=0.05)
BATCHES = RECIPE.but(batch_size=8)
K, N = 3, 24


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=Stream(0).child(str(shape)).torch())


X, Z, TAUGHT = randn(N, 5), randn(N, K), randn(N, K + 0).flip(0)
Y = torch.arange(N) % K
IMAGES = randn(6, 1, 4, 4)


def net(dropout: float = 0.0) -> nn.Module:
    with Stream(1).default():
        return nn.Sequential(
            nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Dropout(dropout), nn.Linear(7, K)
        )


def weights(module: nn.Module) -> Tensor:
    return torch.cat([part.detach().flatten() for part in module.parameters()])


def with_gradient(loss: Callable[..., Tensor]) -> Case:
    """The value, and the gradient with respect to the student's."""

    def case(device: Any) -> Tensor:
        student = Z.to(device).requires_grad_()
        value = loss(student, TAUGHT.to(device), Y.to(device)).sum()
        return torch.cat([value.detach()[None], torch.autograd.grad(value, student)[0].flatten()])

    return case


def of_features(loss: Callable[..., Tensor]) -> Case:
    """The same of the channels of layers."""

    def case(device: Any) -> Tensor:
        maps = randn(4, 3, 5, 5).to(device).requires_grad_()
        value = loss(maps, randn(4, 3, 5, 5).flip(0).to(device))
        return torch.cat([value.detach()[None], torch.autograd.grad(value, maps)[0].flatten()])

    return case


def trained(device: Any) -> Tensor:
    made = train(
        MLP((5, 6, K)), X, Y, teacher_probs=TAUGHT.softmax(-1), loss=losses.distillation,
        settings={"temperature": torch.tensor([1.0, 4.0, 8.0]), "weight": 0.5}, members=3,
        stream=Stream(2), recipe=BATCHES, device=device,
    )  # fmt: skip
    return made.logits(X)


def distilled(device: Any) -> Tensor:
    done = distil(
        net(0.2), net(), (X, Y), losses=hinton(temperature=2.0, weight=0.5), recipe=RECIPE,
        stream=Stream(3), loop=Loop(validation=Validation(data=(X, Y), every=2, patience=2)), device=device,
    )  # fmt: skip
    return weights(done.module)


def objective(device: Any) -> Tensor:
    aim = Objective(net(), net(), losses=hinton(temperature=2.0, weight=0.5)).to(device)
    value = aim((X.to(device), Y.to(device)))["loss"]
    value.backward()
    return torch.cat([part.grad.flatten() for part in aim.parameters() if part.grad is not None])


def certified(device: Any) -> Tensor:
    held = torch.cat([X, X + 0.5, X - 0.5])
    labels = torch.cat([Y, Y, Y])
    found = certify(
        net().to(device), holdout=(held.to(device), labels.to(device)), fixed_in_advance=True, device=device
    )
    return torch.tensor([bound.value for bound in found.lines.values()])


def compared(device: Any) -> Tensor:
    found = compare(
        net().to(device), net().to(device), holdout=(X.to(device), Y.to(device)), fixed_in_advance=True
    )
    return torch.tensor([bound.value for bound in found.lines.values()])


CASES: dict[str, Case] = {
    "kd_loss": with_gradient(lambda s, t, y: losses.kd_loss(s, t, y, temperature=4.0, weight=0.5)),
    "kd_loss by the reverse": with_gradient(
        lambda s, t, y: losses.kd_loss(s, t, y, temperature=2.0, weight=0.5, soft="reverse_kl")
    ),
    "label loss": with_gradient(lambda s, _t, y: losses.label_loss(s, None, y).mean()),
    "hint": of_features(features.hint_loss),
    "attention": of_features(features.attention_transfer),
    "local structure": of_features(features.local_structure_loss),
    "non-local": of_features(features.non_local_loss),
    "distances": with_gradient(lambda s, t, _y: relations.relational_distance_loss(s, t)),
    "angles": with_gradient(lambda s, t, _y: relations.relational_angle_loss(s, t)),
    "infinite kernel": lambda device: InfiniteMLP(2)(X.to(device)),
    "infinite kernel, erf": lambda device: InfiniteMLP(2, "erf")(X.to(device)),
    "convolutional kernel": lambda device: InfiniteConvNet(2)(IMAGES.to(device)),
    "product with a kernel": lambda device: gram_product(InfiniteMLP(2), X.to(device), X[:, 0].to(device)),
    "empirical kernel": lambda device: EmpiricalKernel(net().eval().to(device))(X.to(device)),
    "product with an empirical kernel": lambda device: ntk_vector_product(
        net().eval().to(device), X.to(device), Z.to(device)
    ),
    "population": trained,
    "fit": lambda device: weights(
        fit(net(0.2), (X, Y), recipe=RECIPE, stream=Stream(3), device=device).module
    ),
    "distil": distilled,
    "mutual": lambda device: weights(
        mutual([net(), net()], (X, Y), recipe=RECIPE, stream=Stream(3), device=device)[0].module
    ),
    "objective": objective,
    "evaluation": lambda device: torch.tensor(list(evaluate(net(), (X, Y), device=device).values())),
    "pruned": lambda device: weights(pruned(net().to(device), sparsity=0.5)),
    "factorised": lambda device: weights(factorise(net().to(device), ranks=2)),
    "certify": certified,
    "compare": compared,
}


APART: dict[str, Case] = {
    "kd_loss, teacher": lambda there: losses.kd_loss(
        Z.to(there), TAUGHT, Y.to(there), temperature=2.0, weight=0.5
    ),
    "kd_loss, labels": lambda there: losses.kd_loss(
        Z.to(there), TAUGHT.to(there), Y, temperature=2.0, weight=0.5
    ),
    "accuracy": lambda there: risk.accuracy(Z.to(there), Y),
    "hint": lambda there: features.hint_loss(Z, TAUGHT.to(there)),
    "objective": lambda there: Objective(
        net().to(there), net(), losses=hinton(temperature=2.0, weight=0.5)
    )((X, Y)),
}  # fmt: skip
"""Calls with arguments of both devices."""


def of_the_study() -> dict[str, Case]:
    """The cases of the study of devices, at its small sizes."""
    path = Path(__file__).parents[1] / "studies/benchmark_device.py"
    study = runpy.run_path(str(path))
    small = {name: study["SMALL"][name] for name in ("width", "members")}
    points = randn(study["SMALL"]["points"], study["SMALL"]["dim"])
    world = study["_World"](points, Stream(5), *small.values(), RECIPE)
    return {f"study: {name}": partial(case, world) for name, case in study["_CASES"].items()}


def main() -> None:
    """Each case: how far the value there is from the CPU's, or what went wrong and where."""
    warnings.simplefilter("error")
    with elsewhere() as there:
        for name, case in {**CASES, **of_the_study()}.items():
            told: dict[str, Any] = {"case": name}
            try:
                here, value = case("cpu").detach(), case(there).detach()
                told["there"] = isinstance(value, Elsewhere)
                told["apart"] = float((value.cpu() - here).abs().max() / here.abs().max().clamp_min(1e-30))
            except Exception as error:
                told["error"] = f"{error} ({place(error)})"
            sys.stdout.write(json.dumps(told) + "\n")
        for name, case in APART.items():
            try:
                case(there)
            except ValueError as error:
                sys.stdout.write(json.dumps({"apart": name, "told": str(error)}) + "\n")


if __name__ == "__main__":
    main()
