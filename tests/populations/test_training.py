"""A population against the plain torch loop over the same nets: the slow, obvious rival."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdtheory.networks import MLP, Architecture, ModuleArchitecture
from kdtheory.populations import Population, _groups, train
from kdtheory.recipe import Recipe
from kdtheory.streams import Stream
from kdtheory.types import torch_threads

MLP_SMALL = MLP((6, 16, 12, 4))
STEPS = 200
TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """One inner thread, or the number that the test asks for, and the old number afterwards."""
    asked = getattr(request, "param", 1)
    with torch_threads(asked):
        yield asked


side_by_side = pytest.mark.parametrize("threads", [1, 2], indirect=True)


def label_loss(logits: Tensor, teacher_probs: Tensor | None, labels: Tensor) -> Tensor:
    return -torch.log_softmax(logits, -1).gather(-1, labels[..., None])[..., 0]


def tempered_loss(
    logits: Tensor, teacher_probs: Tensor, labels: Tensor, *, temperature: Any, weight: Any
) -> Tensor:
    scale = temperature[..., None] if isinstance(temperature, Tensor) else temperature
    teacher = torch.softmax(teacher_probs.log() / scale, -1)
    soft = (teacher * (teacher.log() - F.log_softmax(logits / scale, dim=-1))).sum(-1)
    return weight * temperature**2 * soft + (1 - weight) * label_loss(logits, None, labels)


def data(
    *axes: int, k: int = 4, shape: tuple[int, ...] = (6,), dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    generator = Stream(9).torch()
    inputs = torch.randn(*axes, *shape, generator=generator)
    labels = torch.randint(k, axes, generator=generator)
    probs = torch.softmax(2 * torch.randn(*axes, k, generator=generator), -1)
    return inputs.to(dtype), labels, probs.to(dtype)


def plain_loop(
    module: nn.Module,
    inputs: Tensor,
    loss: Callable[[Tensor, slice | Tensor], Tensor],
    make: Callable[..., torch.optim.Optimizer],
    batches: Callable[[int], Any] = lambda step: slice(None),
    steps: int = STEPS,
) -> nn.Module:
    optimizer = make(module.parameters())
    for step in range(steps):
        rows = batches(step)
        optimizer.zero_grad()
        loss(module(inputs[rows]), rows).mean().backward()
        optimizer.step()
    return module


def distance(population: Population, member: int, module: nn.Module) -> float:
    flat = population.architecture.pack({name: p.detach() for name, p in module.named_parameters()})
    return float((population.params[member] - flat).abs().max())


OPTIMIZERS: list[tuple[dict[str, Any], Callable[..., torch.optim.Optimizer]]] = [
    ({"optimizer": "sgd", "learning_rate": 0.1}, lambda p: torch.optim.SGD(p, lr=0.1)),
    (
        {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.01},
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    ),
    ({"optimizer": "adam", "learning_rate": 0.001}, lambda p: torch.optim.Adam(p, lr=0.001)),
    (
        {"optimizer": "adam", "learning_rate": 0.01, "weight_decay": 0.05},
        lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.05),
    ),
]


@pytest.mark.parametrize(("settings", "make"), OPTIMIZERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_population_of_one_is_the_plain_loop(settings, make, dtype: torch.dtype) -> None:
    inputs, labels, _ = data(40, dtype=dtype)
    start = MLP_SMALL.init(Stream(0), members=1, dtype=dtype)
    population = train(
        MLP_SMALL, inputs, labels, loss=label_loss, members=1, stream=Stream(1),
        recipe=Recipe(steps=STEPS, dtype=dtype, **settings), initial=start, device="cpu",
    )  # fmt: skip
    loop = plain_loop(
        MLP_SMALL.module(start, 0),
        inputs,
        lambda z, rows: F.cross_entropy(z, labels[rows], reduction="none"),
        make,
    )
    assert distance(population, 0, loop) < TOLERANCE
    assert (population.params - start).abs().max() > 100 * TOLERANCE


@pytest.mark.parametrize(("settings", "make"), OPTIMIZERS[1:3])
@pytest.mark.parametrize("own", [False, True])
def test_minibatches_are_the_plain_loop(settings, make, own: bool) -> None:
    members, n, size = 3, 26, 8
    inputs, labels, probs = data(members, n) if own else data(n)
    start = MLP_SMALL.init(Stream(0), members=members)
    temperature, weight = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.2, 0.9, 1.0])
    population = train(
        MLP_SMALL, inputs, labels, teacher_probs=probs, loss=tempered_loss,
        settings={"temperature": temperature, "weight": weight}, members=members, stream=Stream(1),
        recipe=Recipe(steps=STEPS, batch_size=size, **settings), initial=start, device="cpu",
    )  # fmt: skip
    for i in range(members):
        x, y, q = (inputs[i], labels[i], probs[i]) if own else (inputs, labels, probs)
        generator = Stream(1).child("order", i).torch()
        epochs = -(-STEPS * size // n) + 1
        order = [rows for _ in range(epochs) for rows in torch.randperm(n, generator=generator).split(size)]
        t, w = temperature[i].item(), weight[i].item()
        loop = plain_loop(
            MLP_SMALL.module(start, i), x,
            lambda z, rows, y=y, q=q, t=t, w=w: tempered_loss(z, q[rows], y[rows], temperature=t, weight=w),
            make, lambda step, order=order: order[step],
        )  # fmt: skip
        assert distance(population, i, loop) < TOLERANCE


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("averaged", [0.0, 0.3])
def test_falling_rates_and_tail_averages_are_torchs_own(schedule: str, averaged: float) -> None:
    inputs, labels, _ = data(30, dtype=torch.float64)
    start = MLP_SMALL.init(Stream(0), members=2, dtype=torch.float64)
    population = train(
        MLP_SMALL,
        inputs,
        labels,
        loss=label_loss,
        members=2,
        stream=Stream(1),
        recipe=Recipe(
            steps=STEPS, learning_rate=0.02, schedule=schedule, averaged=averaged, dtype=torch.float64
        ),
        initial=start,
        device="cpu",
    )
    module = MLP_SMALL.module(start, 1)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    rate = {
        "constant": torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0, 1),
        "linear": torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS),
        "cosine": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS),
    }[schedule]
    mean = torch.optim.swa_utils.AveragedModel(module)
    for step in range(STEPS):
        optimizer.zero_grad()
        F.cross_entropy(module(inputs), labels).backward()
        optimizer.step()
        rate.step()
        if step >= (1 - averaged) * STEPS:
            mean.update_parameters(module)
    assert distance(population, 1, mean.module if averaged else module) < TOLERANCE
    assert population.last_loss[1] == pytest.approx(
        F.cross_entropy(population.module(1)(inputs), labels).item(), rel=1e-9
    )


def test_each_member_has_its_own_sample_targets_temperature_and_weight() -> None:
    members, own = 5, data(5, 30, dtype=torch.float64)
    settings = {"temperature": torch.linspace(1, 5, members), "weight": torch.linspace(0, 1, members)}
    common: dict[str, Any] = {
        "loss": tempered_loss,
        "recipe": Recipe(steps=50, learning_rate=0.01, dtype=torch.float64),
        "device": "cpu",
    }
    start = MLP_SMALL.init(Stream(0), members=members, dtype=torch.float64)
    together = train(
        MLP_SMALL, own[0], own[1], teacher_probs=own[2], settings=settings, members=members,
        stream=Stream(1), initial=start, **common,
    )  # fmt: skip
    for i in range(members):
        alone = train(
            MLP_SMALL, own[0][i], own[1][i], teacher_probs=own[2][i], members=1, stream=Stream(1),
            settings={name: float(value[i]) for name, value in settings.items()},
            initial=start[i : i + 1], **common,
        )  # fmt: skip
        torch.testing.assert_close(together.params[i], alone.params[0], rtol=1e-8, atol=1e-9)
        torch.testing.assert_close(together.last_loss[i], alone.last_loss[0])
        torch.testing.assert_close(together.gradient_norm[i], alone.gradient_norm[0], rtol=1e-6, atol=1e-9)


def label_population(members: int, **settings: Any) -> Population:
    inputs, labels, _ = data(30, dtype=torch.float64)
    recipe = Recipe(steps=30, learning_rate=0.01, dtype=torch.float64, batch_size=7)
    arguments = {"recipe": recipe, "device": "cpu"} | settings
    return train(MLP_SMALL, inputs, labels, loss=label_loss, members=members, stream=Stream(5), **arguments)


def test_a_member_does_not_depend_on_the_others() -> None:
    many, few = label_population(7), label_population(3)
    torch.testing.assert_close(many.params[:3], few.params, rtol=1e-8, atol=1e-9)


@side_by_side
@pytest.mark.parametrize("most", [1, 2, 3, 7])
def test_the_grouping_does_not_show(monkeypatch: pytest.MonkeyPatch, most: int, threads: int) -> None:
    expected = label_population(7)
    monkeypatch.setattr(_groups, "_MOST_MEMBERS", most)
    monkeypatch.setattr(_groups, "_FEW_MEMBERS", 0)
    grouped = label_population(7)
    torch.testing.assert_close(grouped.params, expected.params, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(grouped.last_loss, expected.last_loss)


def test_the_same_stream_gives_the_same_population() -> None:
    first, again = label_population(4), label_population(4)
    assert torch.equal(first.params, again.params)
    assert not torch.equal(first.params[0], first.params[1])


@side_by_side
def test_training_leaves_the_callers_things_alone(threads: int) -> None:
    start = MLP_SMALL.init(Stream(0), members=2, dtype=torch.float64)
    kept, generator = start.clone(), torch.default_generator.get_state()
    dtype = torch.get_default_dtype()
    with torch.no_grad():
        population = label_population(2, initial=start)
    assert torch.equal(start, kept)
    assert torch.equal(torch.default_generator.get_state(), generator)
    assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, dtype)
    assert not population.params.requires_grad
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [threads]


def small_conv() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 4))


def same_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4))


def test_a_module_trains_as_the_mlp_does() -> None:
    inputs, labels, _ = data(30, dtype=torch.float64)
    start = MLP_SMALL.init(Stream(0), members=3, dtype=torch.float64)
    module = ModuleArchitecture(same_mlp, (6,))
    by_hand, by_autograd = (
        train(
            architecture,
            inputs,
            labels,
            loss=label_loss,
            members=3,
            stream=Stream(1),
            recipe=Recipe(steps=50, learning_rate=0.01, dtype=torch.float64, batch_size=11),
            initial=architecture.pack(MLP_SMALL.unpack(start)),
            device="cpu",
        )
        for architecture in (MLP_SMALL, module)
    )
    torch.testing.assert_close(
        module.pack(MLP_SMALL.unpack(by_hand.params)), by_autograd.params, rtol=1e-8, atol=1e-9
    )
    torch.testing.assert_close(by_hand.gradient_norm, by_autograd.gradient_norm)


@pytest.mark.parametrize("own", [False, True])
def test_a_convolutional_net_is_the_plain_loop(own: bool) -> None:
    inputs, labels, _ = data(2, 20, shape=(1, 6, 6)) if own else data(20, shape=(1, 6, 6))
    architecture = ModuleArchitecture(small_conv, (1, 6, 6))
    population = train(
        architecture,
        inputs,
        labels,
        loss=label_loss,
        members=2,
        stream=Stream(1),
        recipe=Recipe(steps=STEPS, learning_rate=0.003),
        device="cpu",
    )
    start = architecture.init(Stream(1).child("init"), members=2)
    for i in range(2):
        x, y = (inputs[i], labels[i]) if own else (inputs, labels)
        loop = plain_loop(
            architecture.module(start, i), x,
            lambda z, rows, y=y: F.cross_entropy(z, y[rows], reduction="none"),
            lambda p: torch.optim.Adam(p, lr=0.003),
        )  # fmt: skip
        assert distance(population, i, loop) < TOLERANCE
    torch.testing.assert_close(
        population.logits(inputs)[1], population.module(1)(inputs[1] if own else inputs)
    )


@pytest.mark.parametrize("architecture", [MLP_SMALL, ModuleArchitecture(same_mlp, (6,))])
def test_population_logits_are_the_modules_in_any_grouping(
    architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, labels, _ = data(30)
    population = train(
        architecture,
        inputs,
        labels,
        loss=label_loss,
        members=5,
        stream=Stream(1),
        recipe=Recipe(steps=2, learning_rate=0.01),
        device="cpu",
    )
    whole = population.logits(inputs)
    monkeypatch.setattr(_groups, "_EVALUATION_NUMBERS", 1)
    torch.testing.assert_close(population.logits(inputs), whole)
    torch.testing.assert_close(population.logits(inputs.expand(5, -1, -1)), whole)
    torch.testing.assert_close(population.module(3)(inputs), whole[3])
    assert len(population) == 5


@side_by_side
def test_progress_counts_every_model_step(threads: int) -> None:
    seen: list[tuple[int, int]] = []
    label_population(5, progress=lambda done, total: seen.append((done, total)))
    done = [count for count, _ in seen]
    assert done == sorted(done)
    assert seen[-1] == (150, 150)


@side_by_side
def test_an_error_in_the_loss_or_an_interrupt_comes_out(threads: int) -> None:
    calls = 0

    def breaks_later(logits: Tensor, teacher_probs: Tensor | None, labels: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 20:
            raise ArithmeticError("broken on purpose")
        return label_loss(logits, teacher_probs, labels)

    def interrupts(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(ArithmeticError, match="on purpose"):
        train(
            MLP_SMALL,
            *data(30)[:2],
            loss=breaks_later,
            members=8,
            stream=Stream(0),
            recipe=Recipe(steps=10_000, learning_rate=0.1),
            device="cpu",
        )
    with pytest.raises(KeyboardInterrupt):
        label_population(8, recipe=Recipe(steps=100_000), progress=interrupts)
    assert torch.get_num_threads() == threads
