"""Networks of every make through every door: the value that plain torch gives, or a sentence says why not.

Whatever comes out, the caller's module, arrays and generator are what they were.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from kdtheory import MLP, certify, train
from kdtheory.certify import LABEL_RECIPE, WitnessPlan
from kdtheory.compression import factorise, model_size, pruned
from kdtheory.losses import label_loss
from kdtheory.networks import copied
from kdtheory.ntk import EmpiricalKernel, ntk_vector_product
from kdtheory.recipe import Recipe
from kdtheory.schemes import Term, distil, evaluate, fit, labels_term, mutual, response_term
from kdtheory.stats import binomial_upper_limit
from kdtheory.streams import Stream

pytestmark = pytest.mark.filterwarnings(
    "ignore:the kernel is taken from whole Jacobians",
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::UserWarning:torch",
)

TRAINING = {"recipe": Recipe(steps=1, learning_rate=0.1, optimizer="sgd"), "device": "cpu"}
HERE = {**TRAINING, "stream": Stream(3)}
X = torch.randn(40, 5, generator=Stream(0).child("x").torch())
Y = torch.randint(2, (40,), generator=Stream(0).child("y").torch())


class After(nn.Module):
    """A linear layer, and something that is done with what it says."""

    def __init__(
        self, after: Callable[[nn.Module, Tensor], Any], before: Callable[..., Any] = lambda x: x
    ) -> None:
        super().__init__()
        self.layer, self.after, self.before = nn.Linear(5, 3), after, before

    def forward(self, x: Tensor) -> Any:
        return self.after(self, self.layer(self.before(x)))


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(5, 3), 0
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen += len(x)
        return self.layer(x)


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn, self.head = kind(1, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x[..., None])[0][:, -1])


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(1, 4), nn.Linear(4, 3)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        z = self.embed(x[..., None])
        return self.head(self.attention(z, z, z)[0].mean(1))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(x).tanh()).tanh())


class Locked(nn.Linear):
    def __init__(self) -> None:
        super().__init__(5, 3)
        self.lock = threading.Lock()


def deep(*extra: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 8), *extra, nn.Linear(8, 3))


def kept(net: nn.Module, z: Tensor) -> Tensor:
    net.features = [z]
    return z


def written(x: Tensor) -> Tensor:
    x -= 0.5
    return x


def quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(deep(nn.ReLU()), {nn.Linear})


def narrow_output(net: nn.Module, z: Tensor) -> Tensor:
    return z[:, :1]


@dataclass
class Case:
    """A network, how its logits are taken from it by hand, and by `output=`."""

    make: Callable[[], nn.Module]
    raw: Callable[[Any], Tensor] = lambda said: said
    pick: Any = None


def two(z: Tensor) -> Tensor:
    z = z.reshape(-1, 1)
    return torch.cat([torch.zeros_like(z), z], 1)


CASES = {
    "plain": Case(lambda: nn.Linear(5, 3)),
    "keeps what it computed": Case(lambda: After(kept)),
    "counts its calls": Case(Counting),
    "a mapping": Case(lambda: After(lambda _, z: {"logits": z, "loss": 0.0}), lambda said: said["logits"]),
    "an object": Case(lambda: After(lambda _, z: SimpleNamespace(logits=z)), lambda said: said.logits),
    "a tuple by place": Case(lambda: After(lambda _, z: (z * 0, z)), lambda said: said[1], 1),
    "a mapping by key": Case(lambda: After(lambda _, z: {"head": z}), lambda said: said["head"], "head"),
    "by a function": Case(lambda: After(lambda _, z: torch.stack([z * 0, z], 1)), *[lambda z: z[:, -1]] * 2),
    "one logit": Case(lambda: After(narrow_output), two),
    "one logit, squeezed": Case(lambda: After(lambda _, z: z[:, 0]), two),
    "DataParallel": Case(lambda: nn.DataParallel(nn.Linear(5, 3))),
    "compiled": Case(lambda: torch.compile(nn.Linear(5, 3), backend="eager")),
    "traced": Case(lambda: torch.jit.trace(nn.Linear(5, 3), X)),
    "scripted": Case(lambda: torch.jit.script(deep(nn.ReLU()))),
    "quantised": Case(quantised),
    "PReLU": Case(lambda: deep(nn.PReLU())),
    "GRU": Case(lambda: Recurrent(nn.GRU)),
    "LSTM": Case(lambda: Recurrent(nn.LSTM)),
    "attention": Case(Attending),
    "dropout at rest": Case(lambda: deep(nn.Dropout(0.5)).eval()),
    "tied": Case(Tied),
    "frozen": Case(lambda: nn.Linear(5, 3).requires_grad_(False)),
    "pruned": Case(lambda: pruned(deep(nn.Tanh()), sparsity=0.3)),
    "weight-normed": Case(lambda: deep(nn.Tanh(), parametrizations.weight_norm(nn.Linear(8, 8)))),
    "spectral": Case(lambda: deep(parametrizations.spectral_norm(nn.Linear(8, 8))).eval()),
    "batch-normed": Case(lambda: deep(nn.BatchNorm1d(8)).eval()),
    "writes on its input": Case(lambda: After(lambda _, z: z, written)),
    "a ReLU in place first": Case(lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(5, 3))),
    "float64": Case(lambda: nn.Linear(5, 3).double()),
    "mixes": Case(lambda: After(lambda _, z: z - z.mean(0))),
    "shifts": Case(lambda: After(lambda _, z: z + z.roll(1, 0))),
    "is random": Case(lambda: After(lambda _, z: functional.dropout(z, 0.5))),
    "a tuple": Case(lambda: After(lambda _, z: (z, z))),
    "nothing": Case(lambda: After(lambda _, z: None)),
    "classes": Case(lambda: After(lambda _, z: z.argmax(1))),
    "a map": Case(lambda: After(lambda _, z: z[:, :, None, None])),
    "an error of its own": Case(lambda: After(lambda _, z: {}["head"])),
    "a bad function": Case(lambda: nn.Linear(5, 3), pick=lambda said: said["head"]),
    "other inputs": Case(lambda: nn.Linear(4, 3)),
    "a lock": Case(Locked),
    "lazy": Case(lambda: nn.LazyLinear(3)),
    "meta": Case(lambda: nn.Linear(5, 3, device="meta")),
    "made in inference mode": Case(lambda: torch.inference_mode()(lambda: nn.Linear(5, 3))()),
}  # fmt: skip

ALL = {
    "a tuple": "gives a tuple of 2; pick the logits in it by (output|pick)=",
    "nothing": "gives a NoneType; pick the logits",
    "classes": "gives torch.int64 numbers; wrap it",
    "a map": r"gives \(\d+, 3, 1, 1\) for \d+ points; wrap it",
    "an error of its own": r"does not take a batch of shape \(\d+, 5\): KeyError: 'head'",
    "a bad function": "(output|pick)= fails on what .* gives, a Tensor of shape",
    "other inputs": r"does not take a batch of shape \(\d+, 5\): mat1 and mat2",
    "lazy": "has no shape yet; run the network",
    "meta": "on the meta device, without numbers; load them",
}
"""What no door takes."""

COMPANY = "says something else of the same points in another batch, or when it is asked again"
COPY = "cannot be copied, for 'lock' cannot"
UNTRAINED = "no parameter to train"
SAYS: dict[tuple[str, str], str] = {
    **{(net, door): COMPANY for net in ("mixes", "shifts", "is random") for door in ("evaluate", "certify")},
    **{(net, "kernel"): COMPANY for net in ("mixes", "shifts", "is random")},
    **{("a lock", door): COPY for door in ("evaluate", "fit", "distil", "mutual", "pruned", "factorise")},
    **{(net, door): UNTRAINED for net in ("quantised", "frozen") for door in ("fit", "mutual")},
    **{(net, "kernel"): "no parameter that requires a gradient" for net in ("quantised", "frozen")},
    ("quantised", "certify"): "in batches of one",
    ("quantised", "pruned"): "no layer to prune",
    ("traced", "pruned"): "is scripted, and its weights take no masks",
    ("scripted", "pruned"): "is scripted, and its weights take no masks",
    ("weight-normed", "pruned"): "computes its weight from other parameters",
    ("spectral", "pruned"): "computes its weight from other parameters",
    ("made in inference mode", "kernel"): r"give kdtheory.networks.copied\(module\)",
}  # fmt: skip
"""What one door does not take, and why."""

TRAINED, MADE = ("fit", "distil", "mutual"), ("pruned", "factorise")
LEFT_OUT = {(net, door) for net in ("mixes", "shifts", "is random") for door in (*TRAINED, *MADE)}
LEFT_OUT |= {(net, door) for net in set(ALL) - {"lazy", "meta"} for door in MADE}
LEFT_OUT |= {("dropout at rest", door) for door in ("fit", "mutual")}
LEFT_OUT |= {
    (net, "factorise") for net in ("tied", "weight-normed", "spectral", "quantised", "attention", "pruned")
}


def logits(case: Case, net: nn.Module, x: Tensor = X, *, training: bool = False) -> Tensor:
    """By hand."""
    own = net if isinstance(net, Locked) else copied(net).train(training)
    return case.raw(own(x.clone().to(next(iter(own.parameters()), x).dtype)))


def picked(case: Case) -> dict[str, Any]:
    return {} if case.pick is None else {"output": case.pick}


def entropy(z: Tensor) -> float:
    return float(functional.cross_entropy(z.detach(), Y))


def through_evaluate(case: Case, net: nn.Module) -> tuple[Any, Any]:
    found, z = evaluate(net, (X, Y), teacher=[net, net], device="cpu", **picked(case)), logits(case, net)
    right = float((z.argmax(1) == Y).double().mean())
    return [found[name] for name in ("accuracy", "log_loss", "agreement")], [right, entropy(z), 1.0]


def through_fit(case: Case, net: nn.Module) -> tuple[Any, Any]:
    found = fit(net, (X, Y), **HERE, **picked(case))
    with torch.no_grad():
        return found.history["value"].iloc[0], entropy(logits(case, net, training=True))


def through_distil(case: Case, net: nn.Module) -> tuple[Any, Any]:
    with Stream(7).default():
        student = nn.Linear(5, 2 if case.raw is two else 3) if case.pick is None else case.make()
    terms = {"soft": response_term(2.0), "labels": labels_term(), "mean": Term(functional.mse_loss)}
    history = distil(student, net, (X, Y), losses=terms, **HERE, **picked(case)).history
    z = logits(case, net).detach()
    said = (student(X) if case.pick is None else logits(case, student)).detach()
    soft = functional.kl_div((said / 2).log_softmax(1), (z.float() / 2).softmax(1), reduction="batchmean")
    return list(history["value"]), [float(4 * soft), entropy(said), float((said - z).square().mean())]


def through_mutual(case: Case, net: nn.Module) -> tuple[Any, Any]:
    found = mutual([net, net], (X, Y), **HERE, **picked(case))
    with torch.no_grad():
        own = entropy(logits(case, net, training=True))
    return list(found[1].history["value"]), [own, 0.0]


def through_certify(case: Case, net: nn.Module) -> tuple[Any, Any]:
    found = certify(net, holdout=(X, Y), fixed_in_advance=True, **picked(case))
    wrong = int((logits(case, net).argmax(1) != Y).sum())
    return found.best.value, binomial_upper_limit(wrong, len(Y), delta=0.05)


def through_kernel(case: Case, net: nn.Module) -> tuple[Any, Any]:
    found = EmpiricalKernel(net, pick=case.pick)(X[:4])
    own, slopes = net if isinstance(net, Locked) else copied(net), []
    trained = [p for p in own.parameters() if p.requires_grad]
    rows = X[:4].to(trained[0].dtype)
    for row in rows:
        said = own(row[None].clone())
        outputs = said.reshape(-1) if case.raw is two else case.raw(said)[0]
        parts = [
            torch.autograd.grad(out, trained, retain_graph=True, materialize_grads=True, allow_unused=True)
            for out in outputs
        ]
        slopes.append(torch.stack([torch.cat([g.flatten() for g in part]) for part in parts]))
    jacobian = torch.stack(slopes)
    return found.tolist(), (torch.einsum("iop,jop->ij", jacobian, jacobian) / jacobian.shape[1]).tolist()


def through_pruned(case: Case, net: nn.Module) -> tuple[Any, Any]:
    made = pruned(net, sparsity=0.5)
    weights = [(n, p) for n, p in net.named_parameters() if p.ndim > 1]
    total = sum(p.numel() for _, p in weights)
    rest = sum(int(p.count_nonzero()) for p in net.parameters() if p.ndim < 2)
    zeros = total - (model_size(made).nonzero - rest)
    return [zeros, entropy(logits(case, made))], [round(0.5 * total), entropy(logits(case, made))]


def through_factorise(case: Case, net: nn.Module) -> tuple[Any, Any]:
    made = factorise(net, ranks=1)
    assert model_size(made).parameters <= model_size(net).parameters
    full = factorise(
        net, ranks={path: min(m.weight.shape) for path, m in net.named_modules() if type(m) is nn.Linear}
    )
    return entropy(logits(case, full)), entropy(logits(case, net))


DOORS = {
    name.removeprefix("through_"): call
    for name, call in globals().copy().items()
    if name.startswith("through_")
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", CASES)
def test_a_value_or_a_sentence(name: str, door: str) -> None:
    if (name, door) in LEFT_OUT:
        pytest.skip(
            "training may mix and draw; compression does not call the module, or has tests of its own"
        )
    case = CASES[name]
    with Stream(0).child(name).default():
        net = case.make()
    before = state(net)
    if sentence := SAYS.get((name, door), ALL.get(name)):
        with pytest.raises(ValueError, match=sentence):
            DOORS[door](case, net)
    else:
        found, truth = (torch.tensor(values).flatten() for values in DOORS[door](case, net))
        assert found.tolist() == pytest.approx(truth.tolist(), rel=2e-4, abs=1e-5)
    after = state(net)
    assert after[:2] == before[:2], "its mode, or its attributes"
    assert all(torch.equal(value, kept) for value, kept in zip(after[2], before[2], strict=True))
    assert all(part.grad is None for part in net.parameters())


def state(net: nn.Module) -> tuple[bool, list[str], list[Tensor]]:
    held = [v for v in net.state_dict().values() if isinstance(v, Tensor)]
    solid = [v.clone() for v in held if not nn.parameter.is_lazy(v) and not v.is_meta]
    return net.training, [*sorted(vars(net)), str(getattr(net, "calls", 0))], solid


def test_the_table_has_no_row_without_a_network() -> None:
    assert set(ALL) <= set(CASES)
    assert {net for net, _ in SAYS} <= set(CASES)
    assert {door for _, door in SAYS} <= set(DOORS)


def test_what_quantises_by_the_batch_is_certified_in_batches_of_one() -> None:
    with Stream(0).default():
        net = quantised()
    with torch.no_grad():
        wrong = sum(int(net(x[None]).argmax()) != int(y) for x, y in zip(X, Y, strict=True))
    found = certify(net, holdout=(X, Y), fixed_in_advance=True, batch_size=1)
    assert found.best.value == pytest.approx(binomial_upper_limit(wrong, len(Y), delta=0.05))


INPUTS = {
    "float64": lambda: X.double(),
    "float16": lambda: X.half(),
    "uint8": lambda: (X.abs() * 40).to(torch.uint8),
    "asks for a gradient": lambda: X.clone().requires_grad_(),
    "made in inference mode": lambda: torch.inference_mode()(lambda: X + 0.0)(),
    "not contiguous": lambda: X.mT.contiguous().mT,
}
CALLS: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "evaluate": lambda net, x: sorted(evaluate(net, (x, Y), teacher=net, device="cpu").values()),
    "fit": lambda net, x: fit(net, (x, Y), **HERE).module.weight.tolist(),
    "certify": lambda net, x: certify(net, holdout=(x, Y), fixed_in_advance=True).to_json(),
    "kernel": lambda net, x: EmpiricalKernel(net)(x[:5], x[3:]).tolist(),
    "vector": lambda net, x: ntk_vector_product(net, x[:5], torch.ones(5, 3)).tolist(),
    "population": lambda net, x: train(
        MLP((5, 3)),
        x.float(),
        Y,
        loss=label_loss,
        members=2,
        recipe=Recipe(steps=2, learning_rate=0.1),
        stream=Stream(0),
    ).params.tolist(),
}
MODES = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode, "enable_grad": torch.enable_grad}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", INPUTS)
def test_inputs_of_every_kind_and_calls_in_every_mode(kind: str, call: str) -> None:
    with Stream(0).default():
        net = nn.Linear(5, 3)
    given = INPUTS[kind]()
    plain, before = given.detach().float().clone(), given.detach().clone()
    truth = CALLS[call](net, plain)
    for mode in MODES.values():
        with mode():
            assert CALLS[call](net, given) == truth
    assert torch.equal(given.detach(), before)


def test_witnesses_are_trained_in_every_mode() -> None:
    with Stream(0).default():
        net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
    extra = torch.randn(30, 5, generator=Stream(9).torch())

    def found() -> str:
        return certify(
            net,
            train=(torch.cat([X, X + 3]), torch.cat([Y, Y])),
            unlabelled=extra,
            fixed_in_advance=True,
            witness=WitnessPlan(recipe=LABEL_RECIPE.but(steps=3), held_out=0.2),
            stream=Stream(0),
            device="cpu",
        ).to_json()

    truth = found()
    for mode in MODES.values():
        with mode():
            assert found() == truth


def test_a_row_is_asked_in_company_even_where_it_is_alone() -> None:
    net = After(lambda _, z: z - z.mean(0))
    with pytest.raises(ValueError, match=COMPANY):
        EmpiricalKernel(net)(X[:1])


def test_an_evaluation_asks_each_net_once_more_and_no_further_batch_twice() -> None:
    asked: list[int] = []

    class Noting(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            asked.append(len(x))
            return super().forward(x)

    evaluate(Noting(5, 3), [(X[:30], Y[:30]), (X[30:], Y[30:])], device="cpu")
    assert asked == [30, 15, 10]
    asked.clear()
    large = torch.cat([X] * 10)
    certify(Noting(5, 3), holdout=(large + torch.arange(400.0)[:, None], torch.cat([Y] * 10)),
            fixed_in_advance=True, batch_size=300)  # fmt: skip
    assert asked == [300, 100, 64]


def test_copies_of_scripted_modules_are_leaves() -> None:
    net = torch.jit.script(deep(nn.ReLU()))
    made = copied(net)
    assert all(part.is_leaf and part.requires_grad for part in made.parameters())
