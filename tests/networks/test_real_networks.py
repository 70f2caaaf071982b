"""A transformer, a GRU, a depthwise convolution net and a tied language model, through everything there is.

Each learns a rule that can be learned, is distilled, pruned, factorised, certified, and has a tangent kernel;
every number is compared with what plain torch, or the definition, makes of the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from kdtheory import certify
from kdtheory.batches import Batches
from kdtheory.compression import factorise, model_size, pruned
from kdtheory.ntk import EmpiricalKernel
from kdtheory.recipe import Recipe
from kdtheory.schemes import distil, evaluate, fit, hinton
from kdtheory.stats import binomial_upper_limit
from kdtheory.streams import Stream

WORDS, LENGTH, WIDTH = 12, 6, 8
pytestmark = pytest.mark.filterwarnings(
    "ignore:the kernel is taken from whole Jacobians", "ignore:enable_nested_tensor"
)


class Transformer(nn.Module):
    """A classifier of sentences."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.places = nn.Parameter(torch.randn(LENGTH, WIDTH) / 4)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, dropout=0.0, batch_first=True)
        self.encoder, self.head = (
            nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
            nn.Linear(WIDTH, 3),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.encoder(self.words(tokens) + self.places).mean(1))


class Recurrent(nn.Module):
    """The same with a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.rnn = nn.Embedding(WORDS, WIDTH), nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.rnn(self.words(tokens))[0][:, -1])


class Depthwise(nn.Sequential):
    """A classifier of images: a filter for each channel, then a mixture of channels."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
            nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1), nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3),
        )  # fmt: skip


class Language(nn.Module):
    """A model of the next word whose head is its embedding: logits n × L × k."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.rnn = nn.Embedding(WORDS, WIDTH), nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, WORDS, bias=False)
        self.head.weight = self.words.weight

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(self.rnn(self.words(tokens))[0])}


def sentences(n: int) -> tuple[Tensor, Tensor]:
    """The class is the last word's remainder by 3."""
    tokens = torch.randint(WORDS, (n, LENGTH), generator=Stream(0).child("sentences").torch())
    return tokens, tokens[:, -1] % 3


def images(n: int) -> tuple[Tensor, Tensor]:
    """Which of three corners is bright."""
    x = torch.randn(n, 1, 6, 6, generator=Stream(0).child("images").torch())
    y = torch.arange(n) % 3
    for corner, (row, column) in enumerate(((0, 0), (0, 3), (3, 0))):
        x[y == corner, :, row : row + 3, column : column + 3] += 2
    return x, y


def counting(n: int) -> tuple[Tensor, Tensor]:
    """Every word is the one before plus 5, and the first word means nothing: −100."""
    start = torch.randint(WORDS, (n, LENGTH), generator=Stream(0).child("text").torch())
    following = (start + 5) % WORDS
    following[:, 0] = -100
    return start, following


def everything(said: Tensor) -> Tensor:
    return said


def last(said: dict[str, Tensor]) -> Tensor:
    return said["logits"][:, -1]


@dataclass
class Case:
    """A network, its data, and where the one class of a point is in what it says."""

    make: Callable[[], nn.Module]
    data: Callable[[int], tuple[Tensor, Tensor]]
    pick: Callable[[Any], Tensor] = everything
    ignored: int | None = None


CASES = {
    "transformer": Case(Transformer, sentences),
    "gru": Case(Recurrent, sentences),
    "depthwise": Case(Depthwise, images),
    "language": Case(Language, counting, last, -100),
}
RECIPE = Recipe(steps=60, learning_rate=0.02)


@pytest.fixture(scope="module", params=CASES)
def taught(request: pytest.FixtureRequest) -> tuple[Case, nn.Module]:
    case = CASES[request.param]
    x, y = case.data(400)
    with Stream(1).child(request.param).default():
        net = case.make()
    data = Batches([(x[:200], y[:200])], ignore_index=case.ignored)
    return case, fit(net, data, recipe=RECIPE, device="cpu", stream=Stream(2)).module


def fresh(case: Case) -> tuple[Tensor, Tensor]:
    x, y = case.data(400)
    return x[200:], y[200:]


def test_evaluation_is_that_of_plain_torch(taught: tuple[Case, nn.Module]) -> None:
    case, net = taught
    x, y = fresh(case)
    found = evaluate(
        net, Batches([(x[:90], y[:90]), (x[90:], y[90:])], ignore_index=case.ignored), device="cpu"
    )
    with torch.no_grad():
        said = net(x)
    logits = said["logits"] if isinstance(said, dict) else said
    loss = functional.cross_entropy(logits.flatten(0, -2), y.flatten())
    assert found["log_loss"] == pytest.approx(loss.item(), rel=1e-4, abs=1e-7)
    counts = y != -100
    right = (logits.argmax(-1) == y)[counts].double().mean()
    assert found["accuracy"] == pytest.approx(right.item())
    assert right > 0.8, "it has learned its rule"


def test_a_student_comes_nearer_to_its_teacher(taught: tuple[Case, nn.Module]) -> None:
    case, net = taught
    x, y = case.data(400)
    learn, test = (
        Batches([(x[part], y[part])], ignore_index=case.ignored) for part in (slice(200), slice(200, 400))
    )
    with Stream(5).default():
        student = case.make()
    made = distil(student, net, learn, losses=hinton(2.0, 0.9), recipe=RECIPE, stream=Stream(6), device="cpu")
    before, after = (
        evaluate(each, test, teacher=net, device="cpu") for each in (student.eval(), made.module)
    )
    assert after["divergence"] < before["divergence"] / 2
    assert after["agreement"] > before["agreement"]
    assert math.isfinite(made.gradient_norm), made.note


def test_the_share_that_was_asked_is_zero_and_ties_stay(taught: tuple[Case, nn.Module]) -> None:
    case, net = taught
    made = pruned(net, sparsity=0.75)
    weights = {id(p): p for name, p in net.named_parameters() if p.ndim > 1 and "weight" in name}
    total = sum(p.numel() for p in weights.values())
    zeros = model_size(net).nonzero - model_size(made).nonzero
    assert zeros == round(0.75 * total) - sum(int((p == 0).sum()) for p in weights.values())
    x, y = fresh(case)
    again = fit(
        made, Batches([(x, y)], ignore_index=case.ignored), recipe=Recipe(steps=3), stream=Stream(0)
    ).module
    assert model_size(again).nonzero <= model_size(made).nonzero, "masks hold while it is trained"
    if isinstance(net, Language):
        assert torch.equal(again.head.weight, again.words.weight)


def test_full_rank_says_the_same_and_rank_one_is_smaller(taught: tuple[Case, nn.Module]) -> None:
    case, net = taught
    x, _ = fresh(case)
    head = "8" if isinstance(net, Depthwise) else "head"
    small = factorise(net, ranks=1)
    fewer = model_size(net).parameters - model_size(small).parameters
    assert fewer == 0 if isinstance(net, Language) else fewer > 0, "what is tied is left alone"
    with torch.no_grad():
        assert torch.isfinite(case.pick(small(x))).all()
        if not isinstance(net, Language):
            full = factorise(net, ranks={head: 3})
            assert torch.allclose(full(x), net(x), atol=1e-4)
    if isinstance(net, Language):
        with pytest.raises(ValueError, match="shares its weight with"):
            factorise(net, ranks={head: 3})


def test_the_certificate_is_the_binomial_limit_of_the_errors(taught: tuple[Case, nn.Module]) -> None:
    case, net = taught
    x, y = fresh(case)
    labels = y if y.ndim == 1 else y[:, -1]
    x, rows = torch.unique(x, dim=0, return_inverse=True)
    first = torch.stack([(rows == row).nonzero()[0, 0] for row in range(len(x))])
    with torch.no_grad():
        wrong = int((case.pick(net(x)).argmax(1) != labels[first]).sum())
    found = certify(net, holdout=(x, labels[first]), fixed_in_advance=True, output=case.pick)
    assert found.best_line == "holdout"
    assert found.best.value == pytest.approx(binomial_upper_limit(wrong, len(x), delta=0.05), rel=1e-9)
    assert found.best.value < 0.3, "not vacuous"
    if isinstance(net, Language):
        with pytest.raises(
            ValueError, match=r"tokens of a sequence are no independent draws.*logits\[:, -1\]"
        ):
            certify(net, holdout=(x, labels[first]), fixed_in_advance=True)


def test_the_kernel_is_that_of_one_gradient_after_the_other(taught: tuple[Case, nn.Module]) -> None:
    case, net = taught
    net = net.double()
    points = fresh(case)[0][:4]
    pick = None if case.pick is everything else case.pick
    found, slopes = EmpiricalKernel(net, pick=pick)(points), []
    for point in points.double() if points.is_floating_point() else points:
        outputs = case.pick(net(point[None]))[0]
        parts = [torch.autograd.grad(out, list(net.parameters()), retain_graph=True) for out in outputs]
        slopes.append(torch.stack([torch.cat([part.flatten() for part in each]) for each in parts]))
    jacobian = torch.stack(slopes)
    truth = torch.einsum("iop,jop->ij", jacobian, jacobian) / jacobian.shape[1]
    assert torch.allclose(found, truth, rtol=1e-8)
    net.float()
