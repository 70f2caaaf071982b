"""What people bring to the schemes: outputs that are no tensor, nets that write, batches of every make."""

from __future__ import annotations

import math
from collections import namedtuple
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from small_nets import SHORT, Net, points
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from kdtheory.losses.features import hint_loss
from kdtheory.networks import Inputs, logits_in
from kdtheory.schemes import (
    Batches,
    Objective,
    Term,
    distil,
    evaluate,
    fit,
    hinton,
    labels_term,
    linear_projection,
    mutual,
)
from kdtheory.streams import Stream

Pair = namedtuple("Pair", "logits aux")


@dataclass
class ModelOutput:
    logits: torch.Tensor
    loss: float = 0.0


def written_on(x: torch.Tensor) -> torch.Tensor:
    x -= 0.5
    return x


def laws(z: torch.Tensor) -> torch.Tensor:
    return z.softmax(-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_probabilities_are_not_taken_for_logits(dtype: torch.dtype) -> None:
    ends, plain, data = Net(laws).to(dtype), Net().to(dtype), points()
    said = r"gives probabilities, not logits; leave out its last softmax"
    for net, teacher in ((ends, None), (plain, ends), (plain, [plain, ends])):
        with pytest.raises(ValueError, match=said):
            evaluate(net, data, teacher=teacher)
    for scheme in (
        partial(fit, ends, data),
        partial(distil, plain, ends, data, losses=hinton(2.0, 0.5)),
        partial(distil, plain, [plain, ends], data, losses=hinton(2.0, 0.5)),
        partial(mutual, [plain, ends], data),
    ):
        with pytest.raises(ValueError, match=said):
            scheme(**SHORT, stream=Stream(1))


def test_logits_that_look_a_little_like_probabilities_are_logits() -> None:
    data = points()
    for after in (lambda z: z.log_softmax(-1), lambda z: z.softmax(-1) * 1.01, torch.zeros_like, torch.relu):
        assert math.isfinite(evaluate(Net(after), data)["log_loss"])


OUTPUTS = {
    "an object with .logits": (ModelOutput, None),
    "a named tuple with .logits": (lambda z: Pair(z, z * 0), None),
    "a mapping": (lambda z: {"logits": z, "features": z * 0}, None),
    "a tuple": (lambda z: (z * 0, z), 1),
    "a list": (lambda z: [z, z * 0], 0),
    "a mapping by key": (lambda z: {"scores": z}, "scores"),
    "an attribute": (lambda z: Pair(z * 0, z), "aux"),
    "a function": (lambda z: {"deep": [z]}, lambda said: said["deep"][0] if isinstance(said, dict) else said),
}


@pytest.mark.parametrize("case", OUTPUTS)
def test_logits_are_found_in_every_kind_of_output(case: str) -> None:
    after, pick = OUTPUTS[case]
    net, plain, data = Net(after), Net(), points()
    picked = {} if pick is None else {"output": pick}
    found = evaluate(net, data, teacher=plain, **picked)
    assert found == evaluate(plain, data, teacher=plain)
    for scheme in (
        partial(fit, net, data),
        partial(distil, net, net, data, losses=hinton(2.0, 0.5)),
        lambda **settings: mutual([net, net], data, **settings)[0],
    ):
        trained = scheme(**SHORT, stream=Stream(1), **picked)
        assert math.isfinite(trained.gradient_norm), trained.note
    rival = fit(plain, data, **SHORT, stream=Stream(1)).module
    assert torch.equal(
        fit(net, data, **SHORT, stream=Stream(1), **picked).module.layer.weight, rival.layer.weight
    )


BAD_OUTPUTS = {
    "a tuple": (lambda z: (z, z), r"gives a tuple of 2; pick the logits in it by output="),
    "a mapping": (lambda z: {"scores": z}, r"gives a dict with 'scores'; pick the logits"),
    "too many axes": (
        lambda z: z[..., None, None].expand(-1, -1, 2, 2),
        r"gives \(30, 3, 2, 2\) for 30 points",
    ),
    "a mean": (lambda z: z.mean(0), r"gives \(3,\) for"),
    "classes": (lambda z: z.argmax(-1), r"gives torch.int64 numbers"),
    "statistics over the batch": (lambda z: z - z.mean(0), "something else of the same points in another"),
    "randomness": (lambda z: nn.functional.dropout(z, 0.5), "something else .* when it is asked again"),
}


@pytest.mark.parametrize("case", BAD_OUTPUTS)
def test_other_outputs_are_refused_with_the_cure(case: str) -> None:
    after, message = BAD_OUTPUTS[case]
    with pytest.raises(ValueError, match=message):
        evaluate(Net(after), points())


@pytest.mark.parametrize("after", [lambda z: z - z.mean(0), lambda z: z + torch.rand_like(z)])
def test_a_teacher_whose_answers_depend_on_each_other_or_on_chance_is_told_of(after) -> None:
    terms, here = hinton(2.0, 0.5), {**SHORT, "stream": Stream(0)}
    for data in (points(), [points(), points(20)]):
        taught = distil(Net(), Net(after), data, losses=terms, **here)
        assert "the teacher says something else of the same points" in taught.note
        assert distil(Net(), Net(), data, losses=terms, **here).note == ""
    fixed = Net(before=lambda x: x.reshape(30, 5))  # takes batches of 30 alone, as exported graphs do
    assert distil(Net(), fixed, points(), losses=terms, **here).note == ""


def test_one_logit_is_two_classes() -> None:
    data = points(classes=2)
    one = Net(lambda z: z[:, :1], classes=2)
    two = Net(lambda z: torch.cat([torch.zeros_like(z[:, :1]), z[:, :1]], -1), classes=2)
    squeezed = Net(lambda z: z[:, 0], classes=2)
    alone = Net(torch.squeeze, classes=1), DataLoader(TensorDataset(*data), batch_size=29)  # then of one
    measures = [evaluate(net, data) for net in (one, two, squeezed)]
    assert measures[0] == measures[1] == measures[2]
    assert math.isfinite(evaluate(*alone)["log_loss"])
    trained = [fit(net, data, **SHORT, stream=Stream(0)).module for net in (one, two, squeezed)]
    assert torch.equal(trained[0].layer.weight, trained[1].layer.weight)
    assert torch.equal(trained[0].layer.weight, trained[2].layer.weight)
    assert logits_in(torch.ones(1, 1), examples=1).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("before", [written_on, nn.functional.relu_])
def test_nets_that_write_on_their_inputs_change_nobodys_arrays(before) -> None:
    net, (x, y) = Net(before=before), points()
    rival = Net(before=lambda z: before(z.clone()))
    kept = x.clone()
    found = evaluate(net, (x, y), teacher=net)
    assert (found["agreement"], found["divergence"]) == (1.0, 0.0)
    for data in ((x, y), DataLoader(TensorDataset(x, y), batch_size=30)):
        mine = fit(net, data, **SHORT, stream=Stream(0)).module
        assert torch.equal(mine.layer.weight, fit(rival, data, **SHORT, stream=Stream(0)).module.layer.weight)
        terms = hinton(2.0, 0.5)
        learned = distil(net, net, data, losses=terms, **SHORT, stream=Stream(0)).module
        other = distil(rival, rival, data, losses=terms, **SHORT, stream=Stream(0)).module
        assert torch.equal(learned.layer.weight, other.layer.weight)
    assert torch.equal(x, kept)


INPUTS = {
    "float64": lambda x: x.double(),
    "half": lambda x: x.half(),
    "requires a gradient": lambda x: x.clone().requires_grad_(),
    "uint8": lambda x: (x.abs() * 50).to(torch.uint8),
    "made in inference mode": lambda x: torch.inference_mode()(lambda: x + 0.0)(),
}


@pytest.mark.parametrize("case", INPUTS)
def test_inputs_come_in_the_precision_of_the_net(case: str) -> None:
    x, y = points()
    x = INPUTS[case](x)
    plain = x.detach().float().clone()
    assert evaluate(Net(), (x, y)) == evaluate(Net(), (plain, y))
    mine, rival = (fit(Net(), (z, y), **SHORT, stream=Stream(0)).module for z in (x, plain))
    assert torch.equal(mine.layer.weight, rival.layer.weight)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_training_inside_a_mode_without_gradients_is_training(mode) -> None:
    rival = fit(Net(), points(), **SHORT, stream=Stream(0)).module
    net, data = Net(), points()
    with mode():
        mine = fit(net, data, **SHORT, stream=Stream(0)).module
        mutual([net, net], data, **SHORT, stream=Stream(0))
    assert torch.equal(mine.layer.weight, rival.layer.weight)


def test_any_default_device_leaves_loaders_and_projections_as_they_are() -> None:
    net, x, y = Net(), *points()
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
    terms = {"hint": Term(hint_loss, student="layer", teacher="layer", projection=linear_projection)}
    here = {**SHORT, "stream": Stream(0)}

    def all_of_it() -> list[float]:
        objective = Objective(net, net, losses=terms, example=(x, y), stream=Stream(0))
        pair = mutual([net, net], loader, **here)
        taught = distil(net, net, loader, losses=terms, **here)
        return [
            float(objective((x, y))["loss"].detach()),
            evaluate(net, loader)["accuracy"],
            *(found.gradient_norm for found in (taught, *pair)),
        ]

    rival = all_of_it()
    with torch.device("meta"):
        assert all_of_it() == rival
    with torch.inference_mode():
        objective = Objective(net, net, losses=terms, example=(x, y), stream=Stream(0))
    objective((x, y))["loss"].backward()
    assert all(part.grad is not None for part in objective.projections.parameters())


def wrapped(kind: str, net: nn.Module) -> nn.Module:
    if kind == "DataParallel":
        return nn.DataParallel(net)
    if kind == "compiled":
        return torch.compile(net, backend="eager")
    if kind == "scripted":
        return torch.jit.script(net)
    if kind == "traced":
        return torch.jit.trace(net, torch.zeros(2, 5))
    return nn.Sequential(net)


@pytest.mark.parametrize("kind", ["DataParallel", "compiled", "scripted", "traced", "Sequential"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:The .grad attr")
def test_wrapped_modules_are_what_they_wrap(kind: str) -> None:
    data, net = points(), nn.Linear(5, 3)
    other = wrapped(kind, net)
    assert evaluate(other, data, teacher=other) == evaluate(net, data, teacher=net)
    terms, here = hinton(2.0, 0.5), {**SHORT, "stream": Stream(0)}
    taught = distil(Net(), other, data, losses=terms, **here).module
    assert torch.equal(
        taught.layer.weight, distil(Net(), net, data, losses=terms, **here).module.layer.weight
    )


def same_batch(batch, **how) -> bool:
    """Whether training on these batches is training on (x, y)."""
    x, y = points()
    mine = fit(Net(), Batches([batch(x, y)], **how), **SHORT, stream=Stream(0)).module
    rival = fit(Net(), [(x, y)], **SHORT, stream=Stream(0)).module
    return torch.equal(mine.layer.weight, rival.layer.weight)


def test_batches_of_every_make() -> None:
    assert same_batch(lambda x, y: {"x": x, "labels": y})
    assert same_batch(lambda x, y: {"pixels": x, "target": y})
    assert same_batch(lambda x, y: {"index": y, "pixels": x, "class": y}, inputs="pixels", labels="class")
    assert same_batch(lambda x, y: (x, y, torch.arange(30)), inputs=0, labels=1)
    assert same_batch(lambda x, y: [x, torch.full((30,), 5), y], inputs=0, labels=2)
    assert same_batch(lambda x, y: (x, y.to(torch.uint8)))
    assert same_batch(lambda x, y: (x, y.to(torch.int16)))


def test_nets_of_several_inputs_take_them_in_order_or_by_name() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net()

        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            return self.net(x) / lengths[:, None]

    (x, y), lengths = points(), torch.full((30,), 2)
    half = evaluate(Net(lambda z: z / 2), (x, y))
    assert evaluate(Two(), Batches([(x, lengths, y)], inputs=(0, 1), labels=2)) == half
    assert evaluate(Two(), [{"lengths": lengths, "x": x, "labels": y}]) == half


BAD_BATCHES = {
    "three parts": (
        lambda x, y: (x, y, y),
        r"3 parts \(\(30, 5\), \(30,\), \(30,\)\); say what they are by Batches",
    ),
    "one-hot": (lambda x, y: (x, torch.eye(3)[y]), r"one whole class number each, labels.argmax\(-1\)"),
    "whole one-hot": (lambda x, y: (x, torch.eye(3)[y].long()), "one label for each row"),
    "a column": (lambda x, y: (x, y[:, None]), r"each row of the logits, labels\[\.\.\., 0\] of a"),
    "fractions": (lambda x, y: (x, y.float()), r"labels.long\(\)"),
    "ignored without a word": (lambda x, y: (x, y.clone().fill_(-100)), "leave out the points to ignore"),
    "words": (lambda x, y: (x, ["cat"] * 30), "labels are a list"),
    "a number": (lambda x, y: 3, "a batch is a int"),
    "inputs without numbers": (lambda x, y: (x.to("meta"), y), "on the meta device, without numbers"),
    "labels without numbers": (lambda x, y: (x, y.to("meta")), "on the meta device, without numbers"),
}


@pytest.mark.parametrize("case", BAD_BATCHES)
def test_batches_that_can_be_read_in_two_ways_are_refused(case: str) -> None:
    batch, message = BAD_BATCHES[case]
    for call in (partial(fit, **SHORT, stream=Stream(0)), evaluate):
        with pytest.raises(ValueError, match=message):
            call(Net(), [batch(*points())])


@pytest.mark.parametrize("name", ["keys", "type", "a.b", "", "student", "projections", "train", "0"])
def test_terms_may_have_any_name(name: str) -> None:
    def projected(student: torch.Tensor, teacher: torch.Tensor, stream: Stream) -> nn.Module:
        return nn.Linear(3, 3)

    loss = nn.functional.mse_loss
    terms = {
        name: Term(loss, projection=projected),
        f"{name}.": Term(loss, projection=projected),
        "l": labels_term(),
    }
    trained = distil(Net(), Net(), points(), losses=terms, **SHORT, stream=Stream(0))
    assert set(trained.history["loss"]) == set(terms)


def test_errors_of_torch_name_the_net_and_the_shape() -> None:
    x, y = points()
    for call in (
        partial(evaluate, Net(), (x[:, :4], y)),
        partial(fit, Net(), (x[:, :4], y), **SHORT, stream=Stream(0)),
    ):
        with pytest.raises(ValueError, match=r"does not take a batch of shape \((30|8), 4\): mat1 and mat2"):
            call()


def test_embeddings_are_looked_up_and_bytes_are_numbers() -> None:
    table = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 3))
    tokens = torch.randint(9, (5, 3), generator=torch.Generator().manual_seed(0))
    for dtype in (torch.uint8, torch.int32, torch.int64):
        if dtype is not torch.uint8:
            assert torch.equal(Inputs((tokens.to(dtype),)).logits(table), table(tokens))
    images = (torch.arange(20) * 12).to(torch.uint8).reshape(4, 5)
    net = nn.Linear(5, 3)
    assert torch.equal(Inputs((images,)).logits(net), net(images.float()))
