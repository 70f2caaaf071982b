"""Chapter 5.9: bounds too large to say anything, and what distillation takes off them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from kdtheory.bounds.norm_margin import bartlett17_margin, golowich18_margin
from kdtheory.bounds.norms import NetNorms, homogeneous_layers, net_norms
from kdtheory.bounds.vc import bartlett19_log_growth, relu_net_size, vapnik71
from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Inequality, MeanInequality, OutOfScope
from kdtheory.claims.verdict import Verdict
from kdtheory.claims.worlds import distilled_log_loss
from kdtheory.losses import label_loss
from kdtheory.networks import MLP
from kdtheory.populations import Population, train
from kdtheory.streams import Stream

DELTA = 0.05
CLASSES = "At least 2 classes of real images."
SHAPES: tuple[tuple[int, ...], ...] = (
    (2, 16, 3),
    (64, 32, 10),
    (64, 128, 10),
    (784, 128, 10),
    (784, 512, 512, 10),
)
Growth = Callable[..., float]


def _log_of_the_weights(widths: Sequence[int], /, *, n: int, bias: bool = True) -> float:
    return math.log(relu_net_size(widths, bias=bias))


def _growth_over_weights(
    widths: Sequence[int], /, *, n: int, bias: bool = True, _true: Growth = bartlett19_log_growth
) -> float:
    return _true(widths, n=n, bias=bias) / relu_net_size(widths, bias=bias)


def _norms_of_one(
    layers: Sequence[Tensor], /, *, _true: Callable[[Sequence[Tensor]], NetNorms] = net_norms
) -> NetNorms:
    one = (1.0,) * len(layers)
    return replace(_true(layers), frobenius=one, spectral=one)


@claim(
    section="5.9",
    formula=r"\Pr[f(x) \ne y] \le \hat e + \sqrt{2 \ln \Pi(n)/n} + \sqrt{\ln(1/\delta)/2n},\quad"
    r" W \ge n \Rightarrow \sqrt{2 \ln \Pi(n)/n} \ge 1",
    source="bartlett2019nearly",
    assumes=("ReLU nets with W ≥ n weights.",),
    control=Control("the class is taken for a single net", counted="one net"),
    uses=(bartlett19_log_growth, relu_net_size, vapnik71),
    mutants=(
        Mutant("ln W for the growth function", bartlett19_log_growth, _log_of_the_weights),
        Mutant("the growth is divided by W", bartlett19_log_growth, _growth_over_weights),
    ),
    expect=Verdict.VACUOUS,
)
def vc_bound_of_a_net_with_more_weights_than_points_says_nothing(
    setting: Setting, /, *, counted: str = "the class"
) -> Evidence:
    """A ReLU net with at least as many weights as there are points obeys the VC bound, which is at least 1:
    it says nothing, whatever was learned.

    Nets trained until they memorise the coin-flip labels of n noise points, whose true error is exactly ½;
    and the formula alone for nets of five shapes on n = W, W/2 and W/10 points with no error on them: it
    reaches 1, the largest error there is.
    Counted as a single net, the capacity is gone and the memorisers refute the bound.
    """
    n, hidden = 200, 64
    error, _ = _memorisers(setting, n, hidden)
    memorised: tuple[int, ...] = (100, hidden, 2)
    cases = [(memorised, n, value, 0.5) for value in error.tolist()]
    for widths in SHAPES:
        size = relu_net_size(widths)
        cases += [(widths, size // part, 0.0, 1.0) for part in (1, 2, 10)]
    bounds = []
    for widths, points, seen, _ in cases:

        def growth(size: int, widths: tuple[int, ...] = widths) -> float:
            return bartlett19_log_growth(widths, n=size) if counted == "the class" else 0.0

        bound = vapnik71(
            seen, n=points, log_growth=growth, delta=DELTA, fixed_in_advance=True, independent_draws=True
        )
        bounds.append(bound.value)
    return Inequality.of([case[-1] for case in cases], bounds, trivial=1.0)


@claim(
    section="5.9",
    formula=r"\Pr[f(x) \ne y] \le \tfrac1n \textstyle\sum_i \mathrm{ramp}(m_i/\gamma)"
    r" + 2\operatorname{Rad}(\textstyle\prod_j \lVert W_j \rVert) + 3\sqrt{\ln(2/(\delta p))/2n}",
    source="bartlett2017spectrally",
    assumes=("ReLU nets; the grid of norms was fixed before the sample was drawn.",),
    control=Control("the norms are taken to be 1", norms_read="one"),
    uses=(net_norms, golowich18_margin, bartlett17_margin),
    mutants=(Mutant("all norms are read as 1", net_norms, _norms_of_one),),
    expect=Verdict.VACUOUS,
)
def norm_bounds_of_memorisers_hold_and_say_nothing(
    setting: Setting, /, *, norms_read: str = "as they are"
) -> Evidence:
    """Nets that memorise obey the margin bounds by Frobenius and by spectral norms, at levels far above 1.

    Nets trained on coin-flip labels of 400 noise points in 400 dimensions, true error exactly ½, γ = 6: their
    margins on the sample are larger. With norms of one the Frobenius bound is below ½ and refuted.
    """
    n, hidden = 400, 32
    _, nets = _memorisers(setting, n, hidden)
    points, labels = _noise(setting, n)
    extended = torch.cat([points, torch.ones(n, 1)], 1).double()
    bounds = []
    for member, logits in enumerate(nets.logits(points).double().cpu()):
        norms = net_norms(_layers(nets, member))
        if norms_read == "one":
            norms = replace(norms, frobenius=(1.0, 1.0), spectral=(1.0, 1.0))
        for form in (golowich18_margin, bartlett17_margin):
            bound = form(
                logits,
                labels,
                norms=norms,
                input_norm=float(extended.norm()),
                gamma=6.0,
                delta=DELTA,
                fixed_in_advance=True,
                independent_draws=True,
            )
            bounds.append(bound.value)
    notes = {"log10 of the bounds": [round(math.log10(value), 2) for value in bounds]}
    return Inequality.of([0.5] * len(bounds), bounds, trivial=1.0, notes=notes)


@claim(
    section="5.9",
    formula=r"\log_{10} \textstyle\prod_j \lVert W_j^{(g)} \rVert_F + 2"
    r" \le \log_{10} \textstyle\prod_j \lVert W_j^{(f)} \rVert_F",
    source="hsu2021generalization",
    assumes=(CLASSES,),
    control=Control("the student is the teacher itself", student="the teacher"),
    uses=(net_norms, golowich18_margin, distilled_log_loss),
    mutants=(Mutant("all norms are read as 1", net_norms, _norms_of_one),),
)
def distillation_takes_powers_of_ten_off_the_norm_bound(
    setting: Setting, /, *, student: str = "distilled"
) -> Evidence:
    """A student distilled into fewer layers with weight decay has a norm bound at least a hundred times
    lower than its teacher's.

    Teachers with three hidden layers of 64 on 500 real images; students without a hidden layer, trained on
    the teachers' softened outputs with weight decay. Both bounds at γ = 1, one pair a seed.
    """
    members, images = setting.size(quick=6, full=30), setting.images
    if images.num_classes < 2:
        return OutOfScope(assumption=CLASSES, because=f"the images have {images.num_classes}")
    chosen = torch.randperm(images.num_images, generator=setting.stream.child("images").torch())[:500]
    points, labels = images.inputs[chosen].flatten(1), images.labels[chosen]
    shape = (points.shape[1], 64, 64, 64, images.num_classes)
    teachers = _fitted(setting, MLP(shape), points, labels, members, "teachers")
    softened = teachers.logits(points).softmax(-1).cpu()
    students = teachers
    if student == "distilled":
        students = train(
            MLP((shape[0], shape[-1])),
            points,
            teacher_probs=softened,
            loss=distilled_log_loss,
            members=members,
            stream=setting.stream.child("students"),
            steps=150,
            learning_rate=0.02,
            weight_decay=1e-3,
            device=setting.device,
        )
    low, high = (_log_bounds(nets, points, labels) for nets in (students, teachers))
    notes = {"log10 of the student's": low.tolist(), "log10 of the teacher's": high.tolist()}
    return MeanInequality.of(low + 2, high, notes=notes)


def _noise(setting: Setting, n: int) -> tuple[Tensor, Tensor]:
    """n points of norm about one, with labels that have nothing to do with them."""
    generator = setting.stream.child("noise").torch()
    dim = 400 if n == 400 else 100
    points = torch.randn(n, dim, generator=generator) / dim**0.5
    return points, torch.randint(2, (n,), generator=generator)


def _memorisers(setting: Setting, n: int, hidden: int) -> tuple[Tensor, Population]:
    """Their errors on the sample, and the nets."""
    points, labels = _noise(setting, n)
    nets = _fitted(setting, MLP((points.shape[1], hidden, 2)), points, labels, 3, "memorisers")
    return (nets.logits(points).cpu().argmax(-1) != labels).double().mean(-1), nets


def _fitted(
    setting: Setting, shape: MLP, points: Tensor, labels: Tensor, members: int, name: str
) -> Population:
    stream: Stream = setting.stream.child(name)
    return train(
        shape,
        points,
        labels,
        loss=label_loss,
        members=members,
        stream=stream,
        steps=150,
        learning_rate=0.01,
        device=setting.device,
    )


def _layers(nets: Population, member: int) -> list[Tensor]:
    named = {name: value.double() for name, value in nets.architecture.unpack(nets.params[member]).items()}
    weights = [value for name, value in named.items() if name.endswith("weight")]
    return homogeneous_layers(weights, [value for name, value in named.items() if name.endswith("bias")])


def _log_bounds(nets: Population, points: Tensor, labels: Tensor) -> Tensor:
    """log₁₀ of the Frobenius margin bound of each member at γ = 1."""
    size = float(torch.cat([points, torch.ones(len(points), 1)], 1).double().norm())
    settings: dict[str, Any] = {
        "input_norm": size,
        "gamma": 1.0,
        "delta": DELTA,
        "fixed_in_advance": True,
        "independent_draws": True,
    }
    found = [
        golowich18_margin(logits, labels, norms=net_norms(_layers(nets, member)), **settings).value
        for member, logits in enumerate(nets.logits(points).double().cpu())
    ]
    return torch.tensor(found, dtype=torch.float64).log10()
