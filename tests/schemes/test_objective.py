"""The loss as an object, in a plain torch loop."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from small_nets import Net, points
from torch import nn

from kdtheory import Stream
from kdtheory.losses.features import hint_loss
from kdtheory.recipe import Recipe
from kdtheory.schemes import Objective, Term, distil, hinton, labels_term, linear_projection

TERMS = hinton(temperature=3.0, weight=0.7)
RECIPE = Recipe(steps=6, learning_rate=0.1, optimizer="sgd")


def nets(*widths: int) -> list[nn.Module]:
    with Stream(5).default():
        return [nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3)) for width in widths]


def data() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(10, 4, generator=Stream(1).torch()), torch.arange(10) % 3


def test_a_loop_of_ones_own_trains_what_distil_trains() -> None:
    student, teacher = nets(5, 9)
    rival = distil(student, teacher, data(), losses=TERMS, recipe=RECIPE, stream=Stream(0), device="cpu")
    objective = Objective(student, teacher, losses=TERMS)
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.1)
    for _ in range(6):
        named = objective(data())
        optimizer.zero_grad()
        named["loss"].backward()
        optimizer.step()
    for name, value in rival.module.state_dict().items():
        assert torch.equal(value, student.state_dict()[name])
    assert float(named["response"]) == rival.history.query("loss == 'response'")["value"].iloc[-1]


def test_the_teacher_is_no_part_of_what_is_trained_kept_or_switched() -> None:
    student, teacher = nets(5, 9)
    before = copy.deepcopy(teacher.state_dict())
    teacher.train()
    objective = Objective(student, teacher, losses=TERMS).train()
    assert [id(value) for value in objective.parameters()] == [id(value) for value in student.parameters()]
    assert all(name.startswith("student.") for name in objective.state_dict())
    assert teacher.training
    assert not objective.teacher.training
    objective(data())["loss"].backward()
    assert all(value.grad is None for value in objective.teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert next(objective.double().teacher.parameters()).dtype == torch.float64, "it moves along"


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    student, teacher = nets(5, 9)
    terms = TERMS | {
        "hint": Term(hint_loss, weight=0.25, student="0", teacher="0", projection=linear_projection)
    }
    objective = Objective(student, teacher, losses=terms, example=data(), stream=Stream(0))
    named = objective(data())
    parts = sum(term.weight * named[name] for name, term in terms.items())
    assert float(named["loss"].detach()) == pytest.approx(float(parts), rel=1e-6)
    assert len(list(objective.parameters())) == len(list(student.parameters())) + len(
        list(objective.projections.parameters())
    )
    assert all(value.requires_grad for value in objective.projections.parameters())


def test_a_batch_is_read_as_batches_are() -> None:
    student, teacher = nets(5, 9)
    x, y = data()
    objective = Objective(student, teacher, losses=TERMS, inputs="x", labels="y")
    plain = Objective(student, teacher, losses=TERMS)
    assert torch.equal(objective({"x": x, "y": y, "weight": y})["loss"], plain((x, y))["loss"])
    assert torch.equal(objective(x=x, y=y)["loss"], plain((x, y))["loss"])


def test_modes_of_a_student_are_left_as_they_were() -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5).eval(), nn.Linear(5, 3))
    terms = {"hint": Term(hint_loss, student="0", teacher="0", projection=linear_projection)}
    Objective(net, nets(9)[0], losses=terms, example=data(), stream=Stream(0))
    assert [part.training for part in net] == [True, False, True]
    assert int(net[1].num_batches_tracked) == 0


def test_bad_objectives_are_refused() -> None:
    student, teacher = nets(5, 9)
    with pytest.raises(ValueError, match="losses is empty"):
        Objective(student, teacher, losses={})
    with pytest.raises(ValueError, match=r"losses\['loss'\]: this is the name of the whole"):
        Objective(student, losses={"loss": labels_term()})
    terms = {"hint": Term(hint_loss, student="0", teacher="0", projection=linear_projection)}
    with pytest.raises(ValueError, match="give example, a batch, and stream"):
        Objective(student, teacher, losses=terms)(data())
    with pytest.raises(ValueError, match="needs labels and the data have none"):
        Objective(student, losses={"labels": labels_term()})(data()[0])
    with pytest.raises(ValueError, match="layer 'fc' is not known"):
        Objective(student, teacher, losses={"hint": Term(hint_loss, student="fc")})
    with pytest.raises(ValueError, match=r"losses\['response'\] needs a teacher"):
        Objective(student, losses=TERMS)


def test_a_net_with_several_entries_is_called_as_it_is() -> None:
    objective = Objective(Net(), Net(), losses=TERMS)
    assert float(objective(points())["loss"].detach()) > 0


def test_a_net_that_has_changed_since_the_last_batch_is_looked_at_again() -> None:
    x, y = data()
    objective = Objective(*nets(4, 5), losses=hinton(2.0, 0.5))
    single = objective((x, y))["loss"].item()
    objective.student.double()  # by its owner, not through the objective
    assert objective((x, y))["loss"].item() == pytest.approx(single, rel=1e-6)
    objective.double()
    assert objective((x, y))["loss"].dtype == torch.float64
    objective.float()
    assert objective((x, y))["loss"].item() == pytest.approx(single, rel=1e-6)
    (other,) = nets(6)
    objective.student = other
    objective((x, y))["loss"].backward()
    assert all(part.grad is not None for part in other.parameters())
    with pytest.raises(ValueError, match="the student does not take a batch of shape"):
        objective((torch.ones(10, 5), y))
    assert objective((x, y))["loss"].isfinite()
    objective.student = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(8, 3))
    with pytest.raises(ValueError, match=r"the (student|teacher) does not take"):
        objective((torch.zeros(10, 2, dtype=torch.long), y))


def test_a_net_that_writes_on_its_inputs_changes_no_later_batch() -> None:
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(x.mul_(0.5))

    x, y = data()
    before = x.clone()
    objective = Objective(Writes(), Writes(), losses=hinton(2.0, 0.5))
    values = {objective((x, y))["loss"].item() for _ in range(3)}
    assert len(values) == 1
    assert torch.equal(x, before)


def test_it_is_sent_to_other_processes_as_it_is() -> None:
    objective = Objective(*nets(5, 9), losses=TERMS)
    loss = objective(data())["loss"]
    again = pickle.loads(pickle.dumps(objective))
    assert float(again(data())["loss"].detach()) == float(loss.detach())


def test_a_term_without_weight_sends_nothing_even_where_it_is_infinite() -> None:
    """A class that the student rules out costs the labels of that class infinitely much."""
    student, teacher = nets(5, 9)
    with torch.no_grad():
        student[2].bias[0] = -torch.inf
        teacher[2].bias[0] = -torch.inf
    terms = hinton(temperature=3.0, weight=1.0)
    found = Objective(student, teacher, losses=terms)(data())
    found["loss"].backward()
    assert float(found["labels"]) == torch.inf
    assert float(found["loss"].detach()) == float(found["response"])
    assert bool(torch.isfinite(student[0].weight.grad).all())
    trained = distil(student, teacher, data(), losses=terms, recipe=RECIPE, stream=Stream(0), device="cpu")
    assert bool(torch.isfinite(trained.module[0].weight).all())
