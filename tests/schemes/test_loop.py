"""What the built-in loop does beside plain steps: clipping, low precision, callbacks, early stopping."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from small_nets import points
from torch import nn

from kdtheory import MLP, Stream, train
from kdtheory.iterates import TailAverage
from kdtheory.losses import kd_loss, label_loss
from kdtheory.recipe import Recipe
from kdtheory.schemes import (
    Batches,
    Loop,
    Moment,
    Term,
    Validation,
    distil,
    evaluate,
    fit,
    hinton,
    labels_term,
    mutual,
)  # fmt: skip

STEP = Recipe(steps=1, learning_rate=1.0, optimizer="sgd")
X, Y = points()
HELD = points(12)[0].flip(1), points(12)[1]
fit_here = partial(fit, stream=Stream(0), device="cpu")


def net(*, dropout: float = 0.0) -> nn.Module:
    with Stream(5).default():
        return nn.Sequential(nn.Linear(5, 8), nn.Dropout(dropout), nn.ReLU(), nn.Linear(8, 3))


def vector(module: nn.Module) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in module.parameters()])


def values_of(module: nn.Module, data: tuple[torch.Tensor, torch.Tensor]) -> float:
    return float(nn.functional.cross_entropy(module.eval()(data[0]), data[1]).detach())


@pytest.mark.parametrize("most", [1e-3, 0.2, 1e3])
def test_a_step_is_no_longer_than_the_clipped_gradient(most: float) -> None:
    start = net()
    plain = vector(fit_here(start, (X, Y), recipe=STEP).module) - vector(start)
    clipped = vector(fit_here(start, (X, Y), recipe=STEP.but(clip_norm=most)).module) - vector(start)
    length = float(plain.norm())
    assert float(clipped.norm()) == pytest.approx(min(length, most), rel=1e-4)
    torch.testing.assert_close(clipped / clipped.norm(), plain / length, rtol=1e-3, atol=1e-4)


def test_each_member_of_a_population_has_a_gradient_of_its_own_that_is_clipped() -> None:
    shape = MLP((5, 4, 3))
    start = shape.init(Stream(2), members=3, dtype=torch.float64) * torch.tensor([[0.1], [1.0], [3.0]])
    how = {"loss": label_loss, "members": 3, "stream": Stream(0), "initial": start, "device": "cpu"}
    plain, clipped = (
        train(shape, X, Y, **how, recipe=STEP.but(clip_norm=most, dtype=torch.float64)).params - start
        for most in (None, 0.4)
    )
    lengths = plain.norm(dim=-1)
    assert float(lengths.min()) < 0.4 < float(lengths.max())
    torch.testing.assert_close(clipped.norm(dim=-1), lengths.clamp(max=0.4), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
def test_layers_are_computed_in_low_precision_and_parameters_kept_in_their_own(low: torch.dtype) -> None:
    seen: list[torch.dtype] = []

    class Spy(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            said = super().forward(x)
            if self.training:
                seen.append(said.dtype)
            return said

    with Stream(1).default():
        student = nn.Sequential(Spy(5, 8), nn.Tanh(), nn.Linear(8, 3))
    recipe = Recipe(steps=20, learning_rate=0.05, clip_norm=5.0)
    found = fit_here(student, (X, Y), recipe=recipe.but(autocast=low))
    assert seen == [low] * 20 + [torch.float32], "the gradient norm at the end is not low"
    full = fit_here(student, (X, Y), recipe=recipe)
    assert {value.dtype for value in found.module.parameters()} == {torch.float32}
    assert not torch.equal(vector(found.module), vector(full.module))
    torch.testing.assert_close(vector(found.module), vector(full.module), rtol=0.05, atol=0.05)


def test_a_scaled_gradient_that_overflows_takes_no_step() -> None:
    class Steep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x * 300.0)

    with Stream(1).default():
        steep = Steep()
    found = fit_here(steep, (X, Y), recipe=STEP.but(autocast=torch.float16, schedule="cosine"))
    assert torch.equal(vector(found.module), vector(steep))
    later = fit_here(steep, (X, Y), recipe=STEP.but(steps=12, learning_rate=1e-4, autocast=torch.float16))
    assert not torch.equal(vector(later.module), vector(steep)), "the scale has come down"


def test_callbacks_are_told_every_step_draw_what_they_like_and_may_end_it() -> None:
    seen: list[Moment] = []
    losses: list[float] = []

    def look(now: Moment) -> None:
        torch.rand(7)
        losses.append(now.losses["labels"])
        seen.append(now)

    recipe = Recipe(steps=9, learning_rate=0.1, schedule="linear")
    plain = fit_here(net(dropout=0.5), (X, Y), recipe=recipe)
    told = fit_here(net(dropout=0.5), (X, Y), recipe=recipe, loop=Loop(callbacks=(look,)))
    assert torch.equal(vector(plain.module), vector(told.module))
    assert losses == plain.history["value"].tolist()
    assert [(now.step, now.steps) for now in seen] == [(step, 9) for step in range(1, 10)]
    assert [now.learning_rate for now in seen] == pytest.approx([0.1 * (1 - s / 9) for s in range(1, 10)])
    assert all(now.module is told.module for now in seen)
    ended = fit_here(net(), (X, Y), recipe=recipe, loop=Loop(every=5, callbacks=(lambda now: now.step == 4,)))
    assert ended.step == 4
    assert ended.history["step"].tolist() == [0, 3]
    rival = fit_here(net(), (X, Y), recipe=recipe, loop=Loop(callbacks=(lambda now: now.step >= 4,)))
    assert torch.equal(vector(ended.module), vector(rival.module))


def failing(error: BaseException, *told: Any) -> None:
    if getattr(told[0], "step", told[0]) == 4:
        raise error


LAST: dict[str, dict[str, Any]] = {
    "a callback": {"loop": Loop(callbacks=(partial(failing, OSError("disk full")),))},
    "a callback that is interrupted": {"loop": Loop(callbacks=(partial(failing, KeyboardInterrupt()),))},
    "a callback after one that ends it": {
        "loop": Loop(callbacks=(lambda now: now.step == 4, partial(failing, OSError("disk full"))))
    },
    "a schedule": {
        "recipe": Recipe(
            steps=4, schedule=partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=1e-3, total_steps=3)
        )
    },
}


@pytest.mark.parametrize("what", LAST)
def test_what_fails_after_the_last_step_loses_nothing(what: str) -> None:
    how = {"recipe": Recipe(steps=9 if "ends" in what else 4)} | LAST[what]
    plain = fit_here(net(), (X, Y), recipe=how["recipe"].but(steps=4)) if "loop" in how else None
    found = fit_here(net(), (X, Y), **how)
    assert "after the last step (" in found.note
    assert found.step == 4
    assert plain is None or torch.equal(vector(found.module), vector(plain.module))


def test_what_fails_before_the_last_step_is_raised() -> None:
    loop = Loop(callbacks=(partial(failing, OSError("disk full")),))
    with pytest.raises(OSError, match="disk full"):
        fit_here(net(), (X, Y), recipe=Recipe(steps=5), loop=loop)
    with pytest.raises(ValueError, match="schedule fails at step 3"):
        fit_here(net(), (X, Y), recipe=LAST["a schedule"]["recipe"].but(steps=5))


def test_parameters_in_float16_have_no_gradients_that_can_be_scaled() -> None:
    with pytest.raises(ValueError, match=r"autocast = torch\.float16 .* give module\.float\(\)"):
        fit_here(net().half(), (X.half(), Y), recipe=STEP.but(autocast=torch.float16))


def test_students_that_teach_each_other_are_told_apart() -> None:
    seen: list[Any] = []
    loop = Loop(callbacks=(lambda now: seen.append(now.losses),))
    mutual([net(), net()], (X, Y), recipe=Recipe(steps=1), stream=Stream(0), device="cpu", loop=loop)
    assert list(seen[0]) == ["0.labels", "0.peers", "1.labels", "1.peers"]


@pytest.mark.parametrize("every", [1, 3])
def test_early_stopping_restores_the_best_and_stops_in_time(every: int) -> None:
    recipe = Recipe(steps=200, learning_rate=0.05)
    kept: list[tuple[float, torch.Tensor]] = []

    def note(now: Moment) -> None:
        module = copy.deepcopy(now.module)
        kept.append((values_of(module, HELD), vector(module)))

    loop = Loop(callbacks=(note,), validation=Validation(data=HELD, every=every, patience=5))
    found = fit_here(net(dropout=0.3), (X, Y), recipe=recipe, loop=loop)
    looks = [step for step in range(1, len(kept) + 1) if step % every == 0]
    assert found.validation["step"].tolist() == looks
    assert found.validation["value"].tolist() == pytest.approx([kept[step - 1][0] for step in looks])
    best = min(looks, key=lambda step: kept[step - 1][0])
    assert found.step == best
    assert len(kept) == best + 5 * every < 200, "five looks without a new least"
    assert torch.equal(vector(found.module), kept[best - 1][1])
    assert not torch.equal(vector(found.module), kept[-1][1])
    unseen = fit_here(net(dropout=0.3), (X, Y), recipe=recipe.but(steps=best))
    assert torch.equal(vector(unseen.module), kept[best - 1][1]), "looking changes nothing"


def test_the_best_has_its_own_batch_statistics() -> None:
    with Stream(1).default():
        normed = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    recipe = Recipe(steps=60, learning_rate=0.1)
    held = X, Y.roll(1)
    found = fit_here(normed, (X, Y), recipe=recipe, loop=Loop(validation=Validation(data=held)))
    assert 0 < found.step < 60
    assert len(found.validation) == 60, "one batch is an epoch"
    assert values_of(found.module, held) == pytest.approx(found.validation["value"].min())


def test_the_teacher_is_asked_about_the_examples_of_the_validation() -> None:
    with Stream(1).default():
        teacher, student = net(), nn.Linear(5, 3)
    terms = hinton(temperature=2.0, weight=1.0) | {"labels": labels_term(0.5)}
    loop = Loop(validation=Validation(data=HELD))
    found = distil(
        student, teacher, (X, Y), losses=terms, recipe=Recipe(steps=2), stream=Stream(0), device="cpu",
        loop=loop,
    )  # fmt: skip
    rival = distil(
        found.module, teacher, HELD, losses=terms, recipe=Recipe(steps=1), stream=Stream(0), device="cpu"
    )
    expected = (rival.history["weight"] * rival.history["value"]).sum()
    assert found.step == 2
    assert found.validation["value"].iloc[-1] == pytest.approx(expected)


def test_a_loop_that_cannot_be_is_refused() -> None:
    endless = torch.utils.data.DataLoader(Endless())
    looks = Validation(data=HELD)
    with pytest.raises(ValueError, match="patience = 0 must be"):
        Validation(data=HELD, patience=0)
    with pytest.raises(ValueError, match=r"averaged = 0.5 and a validation both choose the parameters"):
        fit_here(net(), (X, Y), recipe=STEP.but(averaged=0.5), loop=Loop(validation=looks))
    with pytest.raises(ValueError, match=r"no end of an epoch; give validation every=… steps"):
        fit_here(net(), endless, recipe=STEP, loop=Loop(validation=looks))
    with pytest.raises(ValueError, match="has no length, so that it may have no end"):
        fit_here(net(), (X, Y), recipe=STEP, loop=Loop(validation=Validation(data=endless)))
    with pytest.raises(ValueError, match=r"validation\.data is a Tensor"):
        fit_here(net(), (X, Y), recipe=STEP, loop=Loop(validation=Validation(data=X)))


class Endless(torch.utils.data.IterableDataset):
    def __iter__(self) -> Any:
        while True:
            yield X[0], Y[0]


def test_examples_and_tokens_that_do_not_count_weigh_nothing() -> None:
    """Batches with nine of ten, none and all ignored: means and gradients are over all that count."""
    with Stream(3).default():
        x, student, teacher = torch.randn(30, 5), nn.Linear(5, 3), nn.Linear(5, 3)
    y = torch.arange(30) % 3
    y[:9] = y[20:] = -100
    batches = Batches([(x[i : i + 10], y[i : i + 10]) for i in (0, 10, 20)], ignore_index=-100)
    counts, rows = y != -100, torch.ones(30, dtype=torch.bool)

    def features(s: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return (s - t).square().mean()

    terms = hinton(temperature=2.0, weight=0.5) | {"features": Term(features, 3.0, "0", "0")}
    student, teacher = nn.Sequential(student), nn.Sequential(teacher)
    found = distil(
        student, teacher, batches, losses=terms, recipe=Recipe(steps=3, learning_rate=1e-30),
        stream=Stream(0), device="cpu", loop=Loop(validation=Validation(data=batches)),
    )  # fmt: skip
    s, t = student(x), teacher(x).detach()
    value = kd_loss(s[counts], t[counts], y[counts], temperature=2.0, weight=0.5) + 3 * features(
        s[rows], t[rows]
    )
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(value, tuple(student.parameters()))])
    assert found.validation["value"].tolist() == pytest.approx([float(value.detach())])
    assert found.gradient_norm == pytest.approx(float(gradient.norm()))
    assert found.history["value"].tail(3).tolist()[:2] == [0.0, 0.0], "nothing counts in the last batch"
    pair = mutual([student, teacher], batches, recipe=Recipe(steps=3), stream=Stream(0), device="cpu")
    assert pair[0].history["value"].tail(2).tolist() == [0.0, 0.0]


def test_where_nothing_counts_it_is_said() -> None:
    ignored = Batches((X, torch.full_like(Y, -100)), ignore_index=-100)
    idle = fit_here(net(), ignored, recipe=STEP)
    assert "every label of data is ignore_index" in idle.note
    with pytest.raises(ValueError, match=r"every label of validation\.data is ignore_index"):
        fit_here(net(), (X, Y), recipe=Recipe(steps=2), loop=Loop(validation=Validation(data=ignored)))
    after = fit_here(net(), (X, Y), recipe=STEP, loop=Loop(validation=Validation(data=ignored)))
    assert "every label of validation.data is ignore_index" in after.note, (
        "and the step that was taken is kept"
    )
    with pytest.raises(ValueError, match="every label of data is ignore_index"):
        evaluate(net(), ignored, device="cpu")
    looks = Validation(data=(X * torch.nan, Y))
    assert (
        "the validation was never a number"
        in fit_here(net(), (X, Y), recipe=STEP, loop=Loop(validation=looks)).note
    )


def test_each_token_weighs_the_same_in_batches_of_other_lengths() -> None:
    class Next(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Embedding(11, 6), nn.Linear(6, 11))

    with Stream(2).default():
        start = Next()
        ragged = [(torch.randint(11, (4, length)), torch.randint(11, (4, length))) for length in (2, 3, 7)]
    loop = Loop(validation=Validation(data=ragged))
    found = fit_here(start, ragged, recipe=Recipe(steps=1, learning_rate=1e-30), loop=loop)
    logits = torch.cat([start(x).flatten(0, 1) for x, _ in ragged])
    value = nn.functional.cross_entropy(logits, torch.cat([y.flatten() for _, y in ragged]))
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(value, tuple(start.parameters()))])
    assert found.validation["value"].tolist() == pytest.approx([float(value.detach())])
    assert found.gradient_norm == pytest.approx(float(gradient.norm()))


def test_looks_and_the_end_leave_what_a_module_counts() -> None:
    class Counting(nn.Linear):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return super().forward(x)

    how = {"recipe": STEP.but(steps=4, averaged=0.0), "loop": Loop(validation=Validation(data=HELD))}
    assert fit_here(Counting(5, 3), (X, Y), **how).module.calls == 4


def test_an_average_is_kept_where_its_batch_statistics_cannot_be_measured() -> None:
    class Uneven:
        def __len__(self) -> int:
            return 3

        def __iter__(self) -> Any:
            yield from ((X[at], Y[at]) for at in (slice(8), slice(8, 16), slice(16, 17)))

    with Stream(1).default():
        normed = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    recipe = Recipe(steps=2, learning_rate=0.1, averaged=1.0)
    found = fit_here(normed, Uneven(), recipe=recipe)
    whole = fit_here(normed, [(X[:8], Y[:8]), (X[8:16], Y[8:16])], recipe=recipe)
    assert "no batch statistics of the averaged parameters (ValueError: " in found.note
    assert "no gradient norm after the last step (ValueError: " in found.note
    assert torch.equal(vector(found.module), vector(whole.module))
    assert int(found.module[1].num_batches_tracked) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_mean_of_many_iterates_is_one_in_half_precision_too(dtype: torch.dtype) -> None:
    weights = torch.zeros(2, dtype=dtype)
    average, seen = TailAverage([weights], 1.0, 1000), []
    for step in range(1000):
        weights.fill_(step / 1000)
        seen.append(float(weights[0]))
        average.see(step)
    assert average.settle()
    assert float(weights[1]) == pytest.approx(sum(seen) / 1000, rel=max(1e-4, torch.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_gradient_norm_of_half_precision_is_that_of_its_numbers(dtype: torch.dtype) -> None:
    many = X.repeat(200, 1).to(dtype), Y.repeat(200)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*many), batch_size=len(X))
    half = net().to(dtype)
    wide = copy.deepcopy(half).double(), (many[0].double(), many[1])
    none = Recipe(steps=0)
    exact = fit_here(*wide, recipe=none).gradient_norm
    assert fit_here(half, loader, recipe=none).gradient_norm == pytest.approx(exact, rel=0.02)
    large = 100 * many[0], many[1]
    assert fit_here(half, large, recipe=none).gradient_norm < float("inf")
