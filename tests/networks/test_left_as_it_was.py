"""What a net keeps, writes on and switches is afterwards what it was, whoever asked it."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kdtheory import certify
from kdtheory.networks import alike, copied, left_as_it_was
from kdtheory.ntk import EmpiricalKernel
from kdtheory.recipe import Recipe
from kdtheory.schemes import Objective, distil, evaluate, fit, hinton
from kdtheory.stats import binomial_upper_limit
from kdtheory.streams import Stream

pytestmark = pytest.mark.filterwarnings("ignore:the kernel is taken from whole Jacobians")
X = torch.randn(40, 5, generator=Stream(0).child("x").torch())
Y = torch.randint(3, (40,), generator=Stream(0).child("y").torch())


@dataclass
class Memory:
    seen: list[int] = field(default_factory=list)
    total: Tensor = field(default_factory=lambda: torch.zeros(()))


def note(memory: Memory, n: int) -> None:
    memory.seen.append(n)
    memory.total += n


HELD: dict[str, tuple[Callable[[], Any], Callable[[Any, int], Any]]] = {
    "a tensor": (lambda: torch.zeros(2), lambda held, n: held.add_(n)),
    "an array": (lambda: np.zeros(2), lambda held, n: held.__iadd__(n)),
    "a list": (list, lambda held, n: held.append(n)),
    "a list in a mapping": (lambda: {"n": []}, lambda held, n: held["n"].append(n)),
    "a tensor in a tuple": (lambda: (torch.zeros(()),), lambda held, n: held[0].add_(n)),
    "an ordered mapping": (OrderedDict, lambda held, n: held.__setitem__(len(held), n)),
    "a mapping with defaults": (lambda: defaultdict(list), lambda held, n: held["n"].append(n)),
    "a counter": (Counter, lambda held, n: held.update([n])),
    "a queue": (lambda: deque([1, 2], maxlen=2), lambda held, n: held.append(n)),
    "a set": (set, lambda held, n: held.add(len(held))),
    "a dataclass": (Memory, note),
}


class Keeping(nn.Linear):
    def __init__(self, held: Any, keep: Callable[[Any, int], Any]) -> None:
        super().__init__(5, 3)
        self.held, self.keep = held, keep

    def forward(self, x: Tensor) -> Tensor:
        self.keep(self.held, len(x))
        return super().forward(x)


@pytest.mark.parametrize("door", ["certify", "kernel"])
@pytest.mark.parametrize("name", HELD)
def test_what_a_net_keeps_is_put_back(name: str, door: str) -> None:
    make, keep = HELD[name]
    net = Keeping(make(), keep)
    own, before = net.held, repr(net.held)
    if door == "certify":
        certify(net, holdout=(X, Y), fixed_in_advance=True)
    else:
        EmpiricalKernel(net)(X[:4])
    assert net.held is own
    assert repr(net.held) == before


class Merging(nn.Linear):
    """A low-rank update that evaluation merges into the weight, and training takes out again."""

    def __init__(self) -> None:
        super().__init__(5, 3)
        self.update, self.merged = nn.Parameter(torch.ones(3, 5)), False

    def train(self, mode: bool = True) -> Merging:
        if mode == self.merged:
            self.weight.data += -self.update.data if mode else self.update.data
            self.merged = not mode
        super().train(mode)
        return self

    def forward(self, x: Tensor) -> Tensor:
        said = super().forward(x)
        return said if self.merged else said + x @ self.update.T


def test_a_net_that_changes_its_weights_with_its_mode_is_asked_as_a_copy() -> None:
    net = nn.Sequential(Merging())
    before, truth = net[0].weight.clone(), net(X)
    found = certify(net, holdout=(X, Y), fixed_in_advance=True)
    wrong = int((truth.argmax(1) != Y).sum())
    assert found.best.value == pytest.approx(binomial_upper_limit(wrong, len(Y), delta=0.05))
    assert torch.equal(net[0].weight, before)
    assert torch.equal(net(X), truth)
    assert net.training


def test_a_table_that_cuts_its_rows_when_it_is_asked_keeps_them() -> None:
    net = nn.Sequential(nn.Embedding(50, 3, max_norm=0.5), nn.Flatten())
    before, tokens = net[0].weight.clone(), torch.arange(40)[:, None]
    certify(net, holdout=(tokens, Y), fixed_in_advance=True)
    assert torch.equal(net[0].weight, before)
    EmpiricalKernel(net)(tokens[:4])
    assert torch.equal(net[0].weight, before)


def test_buffers_without_plain_numbers_are_refused_or_kept() -> None:
    class Graph(nn.Linear):
        def __init__(self) -> None:
            super().__init__(5, 3)
            self.register_buffer("edges", torch.eye(5).to_sparse())

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(torch.sparse.mm(self.edges, x.T).T)

    net = Graph()
    found = certify(net, holdout=(X, Y), fixed_in_advance=True)
    wrong = int((net(X).argmax(1) != Y).sum())
    assert found.best.value == pytest.approx(binomial_upper_limit(wrong, len(Y), delta=0.05))
    for bad, why in (
        (nn.BatchNorm1d(5, affine=False, device="meta"), "on the meta device"),
        (nn.LazyBatchNorm1d(affine=False), "has no shape yet"),
    ):
        with left_as_it_was(bad):
            pass
        with pytest.raises(ValueError, match=why):
            certify(nn.Sequential(bad, nn.Linear(5, 3)), holdout=(X, Y), fixed_in_advance=True)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3])
def test_answers_that_depend_on_the_batch_are_told_at_any_scale(scale: float) -> None:
    said = torch.randn(40, 3, generator=Stream(2).torch(), dtype=torch.float64)
    mixed, rounded = said - said[:20].mean(0), said * (1 + 1e-6)
    assert not alike(scale * said, scale * mixed)
    assert alike(scale * said, scale * rounded)

    class Mixes(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            z = super().forward(x)
            return scale * (z - z.mean(0))

    with Stream(0).default():
        net = Mixes(5, 3)
    with pytest.raises(ValueError, match="says something else of the same points"):
        certify(net, holdout=(X, Y), fixed_in_advance=True)


@dataclass(slots=True)
class Settings:
    rate: float = 0.5
    seen: Any = None


def test_settings_in_slots_are_copied() -> None:
    net = nn.Linear(5, 3)
    net.settings = Settings(seen=net(X))
    made = copied(net)
    assert made.settings is not net.settings
    assert torch.equal(made.settings.seen, net.settings.seen)


@pytest.fixture(scope="module")
def graphs() -> dict[str, nn.Module]:
    """Exported: a net at rest, and one with dropout while it was trained."""
    with Stream(0).default():
        net = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
    rows = ({0: torch.export.Dim("n", min=2, max=4096)},)
    made = {"rest": net.eval()}
    for name in ("rest", "training"):
        net.train(name == "training")
        made[f"exported at {name}"] = torch.export.export(net, (X,), dynamic_shapes=rows).module()
    net.eval()
    return made


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_an_exported_graph_is_what_it_was_exported_from(graphs: dict[str, nn.Module]) -> None:
    net, graph = graphs["rest"], graphs["exported at rest"]
    how: dict[str, Any] = {"recipe": Recipe(steps=1), "stream": Stream(1), "device": "cpu"}
    for call in (
        lambda net: evaluate(net, (X, Y), teacher=[net, net], device="cpu"),
        lambda net: certify(net, holdout=(X, Y), fixed_in_advance=True).best.value,
        lambda net: (
            distil(nn.Linear(5, 3), net, (X, Y), losses=hinton(2.0, 1.0), **how).history["weight"].tolist()
        ),
        lambda net: EmpiricalKernel(net)(X[:3]).flatten().tolist(),
    ):
        assert call(graph) == pytest.approx(call(net), rel=1e-4)
    with torch.no_grad():
        first = float(nn.functional.cross_entropy(net(X), Y))
    assert fit(graph, (X, Y), **how).history["value"].iloc[0] == pytest.approx(first)
    for call in (
        lambda net: evaluate(net, (X, Y), device="cpu"),
        lambda net: certify(net, holdout=(X, Y), fixed_in_advance=True),
    ):
        with pytest.raises(ValueError, match="says something else of the same points"):
            call(graphs["exported at training"])


class Observing(nn.Linear):
    """Keeps the least of each input that it has seen, in a buffer that it makes as large as they are."""

    def __init__(self) -> None:
        super().__init__(5, 3)
        self.register_buffer("least", torch.empty(0))

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        self.least.resize_(x.shape[1]).copy_(x.amin(0))
        with torch.enable_grad():
            return super().forward(x)


def test_buffers_that_grow_in_place_are_put_back() -> None:
    net = Observing()
    own = net.least
    certify(net, holdout=(X, Y), fixed_in_advance=True)
    EmpiricalKernel(net, method="jacobian")(X[:3])
    assert net.least is own
    assert own.shape == (0,)
    found = fit(net, (X, Y), recipe=Recipe(steps=2), stream=Stream(1), device="cpu")
    assert found.note == ""
    assert found.module.least.shape == (5,)


def test_nets_are_asked_under_another_default_device() -> None:
    with Stream(0).default():
        net = nn.Linear(5, 3)
    objective = Objective(net, net, losses=hinton(2.0, 1.0))

    def said() -> tuple[Any, ...]:
        kernel, loss = EmpiricalKernel(net)(X[:2]), objective((X, Y))["loss"]
        return evaluate(net, (X, Y), device="cpu"), kernel.tolist(), loss.item()

    truth = said()
    with torch.device("meta"):
        assert said() == truth
