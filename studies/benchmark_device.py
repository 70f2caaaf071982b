"""Kernels, populations, modules and their evaluation on the device there is, against their values on the CPU.

Each case computes the same from the same inputs on the CPU and on the device that "auto" stands for, float32
on both; *apart* is the largest difference relative to the largest value, seconds are the least of the repeats
after one run that warms up. Where there is no other device, both sides are the CPU, the column says so, and
the table shows no more than that two runs agree.

To look at: differences of the size of rounding, after training that of rounding carried along; and the ratio
of the times, which only a device of its own makes worth a look.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from kdtheory.certify import certify
from kdtheory.losses import distillation, label_loss
from kdtheory.multiview import ComparisonPlan, compare_plain
from kdtheory.networks import MLP, PatchNetwork
from kdtheory.ntk import EmpiricalKernel, InfiniteMLP, gram_product, ntk_vector_product
from kdtheory.plots import PALETTE
from kdtheory.populations import train
from kdtheory.problems import MultiViewWorld
from kdtheory.recipe import Recipe
from kdtheory.schemes import born_again, compare, distil, evaluate, fit, hinton, mutual, populations
from kdtheory.stochastic import train_posterior
from kdtheory.streams import Stream
from kdtheory.types import resolve_device

CLAIMS: tuple[str, ...] = ()
CONFIG: dict[str, Any] = {"points": 300, "dim": 64, "width": 64, "members": 4, "steps": 30, "repeats": 1}
SMALL: dict[str, Any] = {"points": 40, "dim": 6, "width": 8, "members": 3, "steps": 5, "repeats": 1}

_CLASSES = 10


def run(
    stream: Stream, *, points: int, dim: int, width: int, members: int, steps: int, repeats: int
) -> list[dict[str, Any]]:
    """Rows: case, device, seconds on it and on the CPU, the ratio, how far the values are apart.

    Args:
        stream: where points, starts and orders come from.
        points, dim: of the data.
        width: of the hidden layer.
        members: of the populations.
        steps: of every training.
        repeats: of each time.
    """
    device = resolve_device("auto")
    x = torch.from_numpy(stream.child("points").numpy().standard_normal((points, dim))).float()
    world = _World(x, stream, width, members, Recipe(steps=steps, learning_rate=0.01))
    rows = []
    for name, case in _CASES.items():
        sides = [_measured(partial(case, world, where), repeats) for where in ("cpu", device)]
        (own, value), (seconds, other) = sides
        apart = float((other.cpu().double() - value.double()).abs().max() / value.double().abs().max())
        rows.append(
            {
                "case": name, "device": str(device), "seconds": float(f"{seconds:.3g}"),
                "cpu_seconds": float(f"{own:.3g}"), "ratio": round(seconds / own, 3),
                "apart": float(f"{apart:.2g}"),
            }
        )  # fmt: skip
    return rows


def draw(ax: Any, rows: pd.DataFrame) -> None:
    """The seconds on both sides."""
    places = range(len(rows))
    ax.plot(rows["cpu_seconds"], places, "o", color=PALETTE["black"], label="cpu")
    ax.plot(rows["seconds"], places, "s", color=PALETTE["blue"], label=f"auto: {rows['device'].iloc[0]}")
    ax.set_yticks(places, rows["case"])
    ax.set_xscale("log")
    ax.set_xlabel("seconds")
    ax.legend()


class _World:
    """The data that all cases share."""

    def __init__(self, x: Tensor, stream: Stream, width: int, members: int, recipe: Recipe) -> None:
        self.x, self.y, self.stream = x, torch.arange(len(x)) % _CLASSES, stream
        self.members, self.recipe = members, recipe
        self.net = MLP((x.shape[1], width, _CLASSES))
        with stream.child("module").default():
            self.module = nn.Sequential(nn.Linear(x.shape[1], width), nn.ReLU(), nn.Linear(width, _CLASSES))
        self.probs = torch.eye(_CLASSES)[self.y] * 0.9 + 0.1 / _CLASSES

    def on(self, device: Any) -> tuple[Tensor, nn.Module]:
        """Points and a copy of the module there."""
        module = nn.Sequential(*(type(part)(*_sizes(part)) for part in self.module))
        module.load_state_dict(self.module.state_dict())
        return self.x.to(device), module.to(device)

    def trained(self, device: Any, **settings: Any) -> Tensor:
        """The logits of a population that was trained there."""
        shared = {"members": self.members, "stream": self.stream.child("population"), "recipe": self.recipe}
        return train(self.net, self.x, self.y, **settings, **shared, device=device).logits(self.x[:100])

    def fitted(self, device: Any) -> Tensor:
        """The weights of a module that was fitted there."""
        return _weights(fit(self.fresh(), (self.x, self.y), **self.shared(device)).module)

    def shared(self, device: Any) -> dict[str, Any]:
        """What every scheme is told."""
        return {"recipe": self.recipe, "stream": self.stream.child("scheme"), "device": device}

    def fresh(self) -> nn.Module:
        """A copy of the module, here."""
        return self.on("cpu")[1]

    def distilled(self, device: Any) -> Tensor:
        """The weights of a student of the module."""
        losses = hinton(temperature=4.0, weight=0.9)
        done = distil(self.fresh(), self.fresh(), (self.x, self.y), losses=losses, **self.shared(device))
        return _weights(done.module)

    def cohort(self, device: Any) -> Tensor:
        """The weights of two students that teach each other."""
        pair = [self.fresh(), self.fresh()]
        with self.stream.child("second").default():
            pair[1][0].reset_parameters()
        done = mutual(pair, (self.x, self.y), **self.shared(device))
        return torch.cat([_weights(one.module) for one in done])

    def generations(self, device: Any) -> Tensor:
        """The weights of the last of two generations."""
        done = born_again(self.fresh, (self.x, self.y), rounds=1, **self.shared(device))
        return _weights(done[-1].module)

    def compared(self, device: Any) -> Tensor:
        """The measures of two seeds."""
        shared = {"recipe": self.recipe, "device": device}
        scheme = {"labels": lambda here: fit(self.fresh(), (self.x, self.y), stream=here, **shared)}
        found = compare(scheme, (self.x, self.y), seeds=2, stream=self.stream, device=device)
        return torch.tensor(found.measures["value"].tolist())

    def populations(self, device: Any) -> Tensor:
        """The logits of populations by the three schemes."""
        shared = {**self.shared(device), "members": 2}
        made = [
            populations.distil(self.net, self.x, self.y, self.probs, temperature=4.0, weight=0.9, **shared),
            populations.born_again(self.net, self.x, self.y, rounds=1, **shared)[-1],
            populations.mutual(self.net, self.x, self.y, **shared),
        ]
        return torch.cat([one.logits(self.x[:100]).cpu().flatten() for one in made])

    def posterior(self, device: Any) -> Tensor:
        """The mean and deviation of a posterior."""
        start = self.net.init(self.stream.child("prior"), members=1)[0]
        found = train_posterior(
            self.net, self.x, self.probs, prior_mean=start, certified=len(self.x), delta=0.05,
            **self.shared(device),
        )  # fmt: skip
        return torch.cat([found.mean, found.std]).detach()

    def certified(self, device: Any) -> Tensor:
        """The limits of the module's error."""
        held = (self.x + 1.0, self.y)
        found = certify(self.fresh(), holdout=held, fixed_in_advance=True, device=device)
        return torch.tensor([bound.value for bound in found.lines.values()])

    def views(self, device: Any) -> Tensor:
        """The accuracies of networks and students on multi-view data."""
        world = MultiViewWorld(classes=3, noise_chance=0.4, noise_weights=(0.2, 0.4), patch_dim=24)
        network = PatchNetwork(3, world.num_patches, 24, channels=4, power=3, init_std=0.05)
        plan = ComparisonPlan(n=30, recipe=self.recipe.but(optimizer="sgd"), student_steps=self.recipe.steps)
        found = compare_plain(
            world, network, plan, members=2, students=2, stream=self.stream, test_points=60, device=device
        )
        return torch.stack([found.single.logits, found.distilled.logits]).cpu()


def _weights(module: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(module.parameters()).detach()


def _sizes(part: nn.Module) -> tuple[int, ...]:
    return (part.in_features, part.out_features) if isinstance(part, nn.Linear) else ()


_DEEP = {"weight_std": 2**0.5, "bias_std": 0.1}
_CASES: dict[str, Callable[[_World, Any], Tensor]] = {
    "infinite kernel, ReLU": lambda world, device: InfiniteMLP(3, **_DEEP)(world.x.to(device)),
    "infinite kernel, erf": lambda world, device: InfiniteMLP(3, "erf", **_DEEP)(world.x.to(device)),
    "product with a kernel": lambda world, device: gram_product(
        InfiniteMLP(3, **_DEEP), world.x.to(device), world.x[:, 0]
    ),
    "empirical kernel": lambda world, device: EmpiricalKernel(world.on(device)[1])(world.on(device)[0][:200]),
    "product with an empirical kernel": lambda world, device: ntk_vector_product(
        world.on(device)[1], world.on(device)[0][:200], world.probs[:200].to(device)
    ),
    "population on labels": lambda world, device: world.trained(device, loss=label_loss),
    "population, distilled": lambda world, device: world.trained(
        device, loss=distillation, teacher_probs=world.probs, settings={"temperature": 4.0, "weight": 0.9}
    ),
    "module on labels": lambda world, device: world.fitted(device),
    "module, distilled": lambda world, device: world.distilled(device),
    "modules that teach each other": lambda world, device: world.cohort(device),
    "modules of two generations": lambda world, device: world.generations(device),
    "schemes compared": lambda world, device: world.compared(device),
    "populations by three schemes": lambda world, device: world.populations(device),
    "posterior": lambda world, device: world.posterior(device),
    "certificates": lambda world, device: world.certified(device),
    "networks on views": lambda world, device: world.views(device),
    "evaluation": lambda world, device: torch.tensor(
        list(evaluate(world.module, (world.x, world.y), device=device).values())
    ),
}


def _measured(call: Callable[[], Tensor], repeats: int) -> tuple[float, Tensor]:
    value, seconds = call().cpu(), []
    for _ in range(repeats):
        start = time.perf_counter()
        value = call().cpu()  # which waits for the device
        seconds.append(time.perf_counter() - start)
    return min(seconds), value


if __name__ == "__main__":
    table = pd.DataFrame(run(Stream(0), **CONFIG))
    sys.stdout.write(table.to_string(index=False) + "\n")
    if (table["device"] == "cpu").all():
        sys.stdout.write("there is no device but the CPU: both sides ran on it\n")
