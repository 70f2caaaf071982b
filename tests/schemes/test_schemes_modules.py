"""The schemes for single modules against the plain torch loops that they stand for."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from kdtheory.compression import factorise, model_size, pruned
from kdtheory.losses.features import attention_transfer, hint_loss
from kdtheory.losses.mutual import divergence_from_mean_peer
from kdtheory.losses.relations import flow_matrix_loss, relational_distance_loss
from kdtheory.recipe import Recipe
from kdtheory.schemes import (
    Ensemble,
    Loop,
    Term,
    born_again,
    compare,
    distil,
    evaluate,
    fit,
    hinton,
    labels_term,
    linear_projection,
    mutual,
    response_term,
)
from kdtheory.streams import Stream

SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9)


@pytest.fixture(autouse=True)
def no_global_draw():
    """Whatever a scheme does, torch's default generator is where it was."""
    before = torch.default_generator.get_state()
    yield
    assert torch.equal(torch.default_generator.get_state(), before)


def made(factory, *names):
    with Stream(0).child("modules", *names).default():
        return factory()


def mlp(*names, hidden=6):
    return made(lambda: nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, 3)), *names)


def convolutional(*names, channels=3):
    return made(
        lambda: nn.Sequential(
            nn.Conv2d(1, channels, 3), nn.BatchNorm2d(channels), nn.ReLU(inplace=True),
            nn.Conv2d(channels, 2 * channels, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * channels * 4, 3),
        ),
        *names,
    )  # fmt: skip


def points(n=12, shape=(4,), seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (n,), generator=generator)
    return torch.randn(n, *shape, generator=generator), labels


def test_distil_is_the_plain_loop_and_leaves_student_and_teacher_as_they_were():
    student, teacher, (x, y) = mlp("student"), mlp("teacher", hidden=9), points()
    teacher.train()
    before = [copy.deepcopy(net.state_dict()) for net in (student, teacher)]
    training = {"recipe": Recipe(steps=7, learning_rate=0.1, momentum=0.9, optimizer="sgd"), "device": "cpu"}
    found = distil(student, teacher, (x, y), losses=hinton(3.0, 0.7), **training, stream=Stream(1))
    rival = copy.deepcopy(student)
    optimizer = SGD(rival.parameters())
    soft = (teacher(x) / 3).softmax(-1).detach()
    values = []
    for _ in range(7):
        z = rival(x)
        kl = F.kl_div((z / 3).log_softmax(-1), soft, reduction="batchmean") * 9
        hard = F.cross_entropy(z, y)
        values += [float(kl.detach()), float(hard.detach())]
        optimizer.zero_grad()
        (0.7 * kl + 0.3 * hard).backward()
        optimizer.step()
    for name, value in rival.state_dict().items():
        torch.testing.assert_close(found.module.state_dict()[name], value)
    assert found.history["value"].tolist() == pytest.approx(values, rel=1e-4)
    assert found.history["loss"].tolist() == ["response", "labels"] * 7
    for net, state in zip((student, teacher), before, strict=True):
        assert all(torch.equal(net.state_dict()[name], value) for name, value in state.items())
    assert teacher.training
    assert not found.module.training


def test_the_gradient_norm_is_that_of_the_whole_epoch():
    student, (x, y) = mlp("student"), points(11)
    batches = DataLoader(TensorDataset(x, y), batch_size=4)
    found = fit(
        student,
        batches,
        recipe=Recipe(steps=3, learning_rate=0.1, momentum=0.9, optimizer="sgd"),
        device="cpu",
        stream=Stream(1),
    )
    loss = F.cross_entropy(found.module(x), y)
    gradients = torch.autograd.grad(loss, list(found.module.parameters()))
    norm = float(torch.cat([part.flatten() for part in gradients]).norm())
    assert found.gradient_norm == pytest.approx(norm, rel=1e-4)
    assert found.converged(2 * norm)
    assert not found.converged(norm / 2)


def test_a_shuffling_loader_and_dropout_are_drawn_from_the_stream():
    student = made(lambda: nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3)), "dropout")
    loader = DataLoader(TensorDataset(*points(20)), batch_size=5, shuffle=True)
    runs = [
        fit(student, loader, recipe=Recipe(steps=9), device="cpu", stream=Stream(seed)).history["value"]
        for seed in (0, 0, 1)
    ]
    assert runs[0].tolist() == runs[1].tolist()
    assert runs[0].tolist() != runs[2].tolist()


def test_layers_by_path_with_a_projection_trained_along():
    student, teacher = convolutional("student"), convolutional("teacher", channels=5)
    data = points(10, (1, 6, 6))
    losses = {
        "labels": labels_term(0.1),
        "a.hint": Term(hint_loss, student="1", teacher="1", projection=linear_projection),
        "attention": Term(attention_transfer, weight=2.0, student="4", teacher="4"),
        "relation": Term(relational_distance_loss, student="5", teacher="5"),
    }
    training = {"recipe": Recipe(steps=60, learning_rate=0.02), "device": "cpu", "loop": Loop(every=20)}
    found = distil(student, teacher, data, losses=losses, **training, stream=Stream(2))
    table = found.history.pivot_table(index="step", columns="loss", values="value")
    assert table.index.tolist() == [0, 20, 40, 59]
    for name in losses:
        assert table[name].iloc[-1] < table[name].iloc[0], name
    assert not any(
        module._forward_hooks for net in (student, teacher, found.module) for module in net.modules()
    )


def test_a_term_of_two_layers_hands_the_loss_a_pair():
    net = convolutional("student")
    losses = {"flow": Term(flow_matrix_loss, student=("2", "4"), teacher=("2", "4"))}
    data = points(10, (1, 6, 6))
    found = distil(
        net.eval(), net, data, losses=losses, recipe=Recipe(steps=1), device="cpu", stream=Stream(0)
    )
    assert found.history["loss"].tolist() == ["flow"]
    assert set(found.history["weight"]) == {1.0}


def test_inputs_without_labels_are_enough_where_no_term_asks_for_them():
    x, _ = points(8)
    loader = DataLoader(x, batch_size=4)
    run = partial(
        distil, mlp("student"), mlp("teacher"), loader, recipe=Recipe(steps=3), device="cpu", stream=Stream(0)
    )
    assert len(run(losses={"soft": response_term(2.0)}).history) == 3
    with pytest.raises(ValueError, match=r"losses\['hard'\] needs labels"):
        run(losses={"hard": labels_term()})


def test_several_teachers_teach_their_mean_probabilities():
    teachers, (x, _) = [mlp("one"), mlp("two")], points()
    expected = torch.stack([teacher(x).softmax(-1) for teacher in teachers]).mean(0).log()
    torch.testing.assert_close(Ensemble(teachers)(x), expected)
    training = {"recipe": Recipe(steps=2), "device": "cpu"}
    kwargs = {"losses": hinton(1.0, 1.0), **training, "stream": Stream(0)}
    several = distil(mlp("student"), teachers, points(), **kwargs)
    joined = distil(mlp("student"), Ensemble(teachers), points(), **kwargs)
    assert several.history["value"].tolist() == joined.history["value"].tolist()


def test_mutual_is_the_plain_loop_of_detached_peers():
    students, (x, y) = [mlp("a"), mlp("b", hidden=9), mlp("c")], points()
    training = {"recipe": Recipe(steps=5, learning_rate=0.1, momentum=0.9, optimizer="sgd"), "device": "cpu"}
    found = mutual(students, (x, y), weight=0.6, temperature=2.0, **training, stream=Stream(0))
    rivals = [copy.deepcopy(student) for student in students]
    optimizers = [SGD(rival.parameters()) for rival in rivals]
    for _ in range(5):
        logits = [rival(x) for rival in rivals]
        for place, own in enumerate(logits):
            peers = [other.detach() for index, other in enumerate(logits) if index != place]
            log_q = (own / 2).log_softmax(-1)
            kl = sum(F.kl_div(log_q, (p / 2).softmax(-1), reduction="batchmean") for p in peers) / 2
            optimizers[place].zero_grad()
            (F.cross_entropy(own, y) + 0.6 * 4 * kl).backward()
        for optimizer in optimizers:
            optimizer.step()
    for trained, rival in zip(found, rivals, strict=True):
        for name, value in rival.state_dict().items():
            torch.testing.assert_close(trained.module.state_dict()[name], value)
        assert trained.history["loss"].tolist() == ["labels", "peers"] * 5
    again = mutual(
        students, (x, y), weight=0.6, temperature=2.0, divergence=divergence_from_mean_peer,
        **training, stream=Stream(0),
    )  # fmt: skip
    for one, other in zip(found, again, strict=True):  # the other form trains alike
        torch.testing.assert_close(one.module.state_dict(), other.module.state_dict(), rtol=1e-4, atol=1e-6)


def test_born_again_hands_each_student_to_the_next():
    data, training = (
        points(),
        {"recipe": Recipe(steps=4, learning_rate=0.1, momentum=0.9, optimizer="sgd"), "device": "cpu"},
    )
    make = lambda: nn.Linear(4, 3)  # noqa: E731
    line = born_again(make, data, rounds=2, losses=hinton(2.0, 0.5), **training, stream=Stream(5))
    here = Stream(5).child(2)
    with here.child("init").default():
        fresh = make()
    last = distil(fresh, line[1].module, data, losses=hinton(2.0, 0.5), **training, stream=here)
    torch.testing.assert_close(last.module.state_dict(), line[2].module.state_dict())


@pytest.mark.parametrize("structured", [False, True])
def test_a_pruned_teacher_is_distilled_with_its_zeros(structured):
    teacher, data = mlp("teacher", hidden=9), points(20)
    small = pruned(teacher, sparsity=0.6, structured=structured)
    small(data[0])  # a masked weight is now the result of a computation
    learn = partial(
        distil, losses={"response": response_term(2.0)}, stream=Stream(3),
        recipe=Recipe(steps=100, learning_rate=0.02), device="cpu",
    )  # fmt: skip
    found = learn(small, teacher, data)
    before, after = (
        evaluate(net, data, teacher=teacher, device="cpu")["divergence"] for net in (small, found.module)
    )
    assert after < before / 2
    assert model_size(found.module).nonzero == model_size(small).nonzero < model_size(teacher).nonzero
    again = learn(found.module, found.module, data)
    assert torch.equal(again.module[0].weight_mask, small[0].weight_mask)


def test_low_rank_layers_are_distilled_as_they_are():
    teacher, data = convolutional("teacher", channels=5)[3:], points(20, (5, 4, 4))
    small = factorise(teacher, ranks=2)
    training = {"recipe": Recipe(steps=100, learning_rate=0.02), "device": "cpu"}
    losses = {"response": response_term(2.0)}
    found = distil(small, teacher, data, losses=losses, **training, stream=Stream(3))
    assert [tuple(p.shape) for p in found.module.parameters()] == [tuple(p.shape) for p in small.parameters()]
    before, after = (
        evaluate(net, data, teacher=teacher, device="cpu")["divergence"] for net in (small, found.module)
    )
    assert after < before / 2


def test_running_statistics_are_trained_and_not_touched_by_the_last_look():
    net, data = convolutional("student"), points(10, (1, 6, 6))
    found = fit(net, data, recipe=Recipe(steps=1), device="cpu", stream=Stream(0))
    rival = copy.deepcopy(net).train()
    rival(data[0])
    torch.testing.assert_close(found.module[1].running_mean, rival[1].running_mean)
    assert int(found.module[1].num_batches_tracked) == 1


def test_a_schedule_is_stepped_once_a_step():
    seen = []

    def halving(optimizer):
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: seen.append(step) or 0.5**step)

    fit(
        mlp("s"),
        points(),
        recipe=Recipe(steps=3, learning_rate=0.1, momentum=0.9, optimizer="sgd", schedule=halving),
        device="cpu",
        stream=Stream(0),
    )
    assert seen == [0, 1, 2, 3]


def test_evaluate_is_what_one_counts_by_hand():
    net, teacher, (x, y) = mlp("student"), mlp("teacher"), points(40)
    found = evaluate(
        net, DataLoader(TensorDataset(x, y), batch_size=7), teacher=teacher, bins=4, device="cpu"
    )
    p, q = (each(x).softmax(-1).double().detach() for each in (net, teacher))
    confidence, chosen = p.max(-1)
    error = 0.0
    for low in (0.0, 0.25, 0.5, 0.75):
        inside = (confidence > low) & (confidence <= low + 0.25)
        if inside.any():
            right = (chosen[inside] == y[inside]).double().mean()
            error += float(inside.double().mean() * (right - confidence[inside].mean()).abs())
    assert found["accuracy"] == pytest.approx(float((chosen == y).double().mean()))
    assert found["calibration_error"] == pytest.approx(error, abs=1e-6)
    assert found["agreement"] == pytest.approx(float((chosen == q.argmax(-1)).double().mean()))
    assert found["divergence"] == pytest.approx(float((q * (q / p).log()).sum(-1).mean()), rel=1e-5)
    assert found["log_loss"] == pytest.approx(float(F.cross_entropy(net(x), y).detach()), rel=1e-5)


def test_a_shuffled_loader_shows_student_and_teacher_the_same_points():
    net, (x, y) = mlp("student"), points(40)
    loader = DataLoader(
        TensorDataset(x, y), batch_size=7, shuffle=True, generator=torch.Generator().manual_seed(0)
    )
    assert evaluate(net, loader, teacher=net, device="cpu")["agreement"] == 1


def test_compare_pairs_the_schemes_by_seed():
    data, training = points(30), {"recipe": Recipe(steps=5), "device": "cpu"}
    teacher = mlp("teacher")

    def scheme(losses):
        def run(here):
            with here.default():
                student = nn.Linear(4, 3)
            return distil(student, teacher, data, losses=losses, **training, stream=here)

        return run

    schemes = {"labels": scheme({"labels": labels_term()}), "kd": scheme(hinton(2.0, 0.9))}
    found = compare(schemes, points(50, seed=1), teacher=teacher, seeds=3, stream=Stream(0), device="cpu")
    assert set(found.measures["measure"]) == {
        "accuracy", "log_loss", "calibration_error", "agreement", "divergence", "gradient_norm",
    }  # fmt: skip
    assert len(found.losses) == 3 * 5 * (1 + 2)
    wide = found.measures.pivot_table(index=["measure", "seed"], columns="scheme", values="value")
    gains = found.gains("labels").set_index("measure")
    expected = (wide["kd"] - wide["labels"]).groupby("measure").mean()
    for measure, value in expected.items():
        assert gains.loc[measure, "mean"] == pytest.approx(value)
    summary = found.summary()
    assert (summary["low"] <= summary["mean"]).all()
    assert (summary["seeds"] == 3).all()


def wide():
    return made(lambda: nn.Linear(4, 5))


class Resting(nn.Linear):
    """A layer with another inside that is never called."""

    def __init__(self):
        super().__init__(4, 3)
        self.idle = nn.Linear(4, 6)


BAD = {
    "no term": (
        lambda: distil(mlp(), mlp(), points(), losses={}, recipe=Recipe(steps=1), stream=Stream(0)),
        "losses",
    ),
    "a layer": (
        lambda: distil(
            mlp(),
            mlp(),
            points(),
            losses={"h": Term(hint_loss, student="fc")},
            recipe=Recipe(steps=1),
            stream=Stream(0),
        ),
        "layer 'fc' is not known",
    ),
    "weight": (lambda: Term(hint_loss, weight=-1.0), "weight = -1"),
    "projection": (lambda: Term(hint_loss, teacher=None, projection=linear_projection), "one layer"),
    "temperature": (lambda: response_term(0.0), "temperature = 0"),
    "mixing weight": (lambda: hinton(1.0, 1.5), "weight = 1.5"),
    "every": (lambda: Loop(every=0), "every = 0"),
    "a batch size": (
        lambda: fit(mlp(), points(), recipe=Recipe(steps=1, batch_size=3), stream=Stream(0)),
        "batch_size = 3 is not for a module",
    ),
    "precision": (
        lambda: fit(mlp(), points(), recipe=Recipe(steps=1, dtype=torch.float64), stream=Stream(0)),
        "dtype = torch.float64 is not for a module; give None; convert the module and its data",
    ),
    "one student": (
        lambda: mutual([mlp()], points(), recipe=Recipe(steps=1), stream=Stream(0)),
        "at least 2",
    ),
    "cohort weight": (
        lambda: mutual([mlp(), mlp()], points(), weight=-1.0, recipe=Recipe(steps=1), stream=Stream(0)),
        "weight = -1",
    ),
    "cohort classes": (
        lambda: mutual([mlp(), wide()], points(), recipe=Recipe(steps=1), stream=Stream(0)),
        r"logits of shape \(12, 5\).*\(12, 3\)",
    ),
    "no Term": (
        lambda: distil(
            mlp(), mlp(), points(), losses={"h": hint_loss}, recipe=Recipe(steps=1), stream=Stream(0)
        ),
        r"losses\['h'\] is a function",
    ),
    "many numbers": (
        lambda: distil(
            mlp(),
            mlp(),
            points(),
            losses={"h": Term(lambda s, t: (s - t).square().sum(-1))},
            recipe=Recipe(steps=1),
            stream=Stream(0),
        ),
        r"losses\['h'\] gives a tensor of shape \(12,\)",
    ),
    "no module": (
        lambda: distil(
            mlp(), [mlp(), 3], points(), losses=hinton(1.0, 0.5), recipe=Recipe(steps=1), stream=Stream(0)
        ),
        "is an int",
    ),
    "no parameter": (
        lambda: fit(nn.Identity(), points(), recipe=Recipe(steps=1), stream=Stream(0)),
        "no parameter",
    ),
    "NaN": (
        lambda: fit(mlp(), (points()[0] * torch.nan, points()[1]), recipe=Recipe(steps=1), stream=Stream(0)),
        "'labels' is nan before the first step",
    ),
    "bare tensor": (lambda: evaluate(mlp(), points()[0]), "data is a Tensor"),
    "class numbers": (
        lambda: fit(mlp(), (points()[0], points()[1] + 3), recipe=Recipe(steps=1), stream=Stream(0)),
        "labels",
    ),
    "one-hot": (
        lambda: fit(
            mlp(), (points()[0], torch.eye(3)[points()[1]]), recipe=Recipe(steps=1), stream=Stream(0)
        ),
        "one whole class number each",
    ),
    "layer at rest": (
        lambda: distil(
            made(Resting),
            mlp(),
            points(),
            losses={"h": Term(hint_loss, student="idle", teacher="0")},
            recipe=Recipe(steps=1),
            stream=Stream(0),
        ),
        "layer 'idle' took no part",
    ),
    "rounds": (
        lambda: born_again(mlp, points(), rounds=0, recipe=Recipe(steps=1), stream=Stream(0)),
        "rounds = 0",
    ),
    "no teacher": (lambda: Ensemble([]), "members is empty"),
    "seeds": (lambda: compare({"a": lambda s: None}, points(), seeds=1, stream=Stream(0)), "seeds = 1"),
    "several students": (
        lambda: compare({"a": lambda s: [mlp()]}, points(), seeds=2, stream=Stream(0)),
        r"schemes\['a'\] gives a list",
    ),
    "unlabelled test": (lambda: evaluate(mlp(), DataLoader(points()[0])), "no labels"),
    "unlabelled fit": (
        lambda: fit(mlp(), DataLoader(points()[0]), recipe=Recipe(steps=1), stream=Stream(0)),
        "needs labels",
    ),
    "batches": (
        lambda: fit(mlp(), DataLoader([{"x": "one"}]), recipe=Recipe(steps=1), stream=Stream(0)),
        "the inputs must be tensors",
    ),
    "lengths": (
        lambda: fit(mlp(), (points()[0], points(5)[1]), recipe=Recipe(steps=1), stream=Stream(0)),
        "12 rows and 5 labels",
    ),
    "map sizes": (
        lambda: linear_projection(torch.ones(1, 2, 3, 3), torch.ones(1, 2, 4, 4), Stream(0)),
        "no smaller",
    ),
    "map and vector": (
        lambda: linear_projection(torch.ones(1, 2), torch.ones(1, 2, 4, 4), Stream(0)),
        "two of maps",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.usefixtures("unchecked_shapes")
def test_bad_input_is_named(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
