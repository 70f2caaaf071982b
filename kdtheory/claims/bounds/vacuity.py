"""Chapter 5.9: bounds too large to say anything, and what a student takes off them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from kdtheory.bounds.margins import label_free_distillation_error
from kdtheory.bounds.norm_margin import bartlett17_margin, golowich18_margin
from kdtheory.bounds.norms import (
    NetNorms,
    bartlett17_complexity,
    golowich18_vector_relu_net,
    homogeneous_layers,
    net_norms,
)
from kdtheory.bounds.vc import bartlett19_log_growth, relu_net_size, vapnik71
from kdtheory.claims.core import Control, Mutant, Scaled, Setting, claim
from kdtheory.claims.evidence import Equality, Evidence, Inequality, Joint, MeanInequality, OutOfScope
from kdtheory.claims.verdict import Verdict
from kdtheory.experiments.worlds import distilled_log_loss
from kdtheory.losses import label_loss
from kdtheory.networks import MLP
from kdtheory.populations import Population, train
from kdtheory.streams import Stream

DELTA = 0.05
IMAGES = "At least 600 real images."
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
    power=Scaled(bartlett19_log_growth, towards="less"),
    loose="The bound is above 1, which is all that is said of it.",
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


def _no_covering(*, n: int, **_net: Any) -> float:
    return 0.0


def _no_frobenius(*, n: int, **_net: Any) -> float:
    return 0.0


@claim(
    section="5.9",
    formula=r"\Pr[f(x) \ne y] \le \tfrac1n \textstyle\sum_i \mathrm{ramp}(m_i/\gamma)"
    r" + 2\operatorname{Rad}(\textstyle\prod_j \lVert W_j \rVert) + 3\sqrt{\ln(2/(\delta p))/2n}",
    source="bartlett2017spectrally",
    place="constants derived here",
    assumes=("ReLU nets; the grid of norms was fixed before the sample was drawn.",),
    control=Control("the norms are taken to be 1", norms_read="one"),
    uses=(net_norms, golowich18_margin, bartlett17_margin, bartlett17_complexity, golowich18_vector_relu_net),
    mutants=(
        Mutant("all norms are read as 1", net_norms, _norms_of_one),
        Mutant("no complexity by spectral norms", bartlett17_complexity, _no_covering),
        Mutant("no complexity by Frobenius norms", golowich18_vector_relu_net, _no_frobenius),
    ),
    power=Scaled(golowich18_margin, towards="less"),
    loose="Both bounds are far above 1, which is all that is said of them.",
    expect=Verdict.VACUOUS,
)
def norm_bounds_of_memorisers_hold_and_say_nothing(
    setting: Setting, /, *, norms_read: str = "as they are"
) -> Evidence:
    """Nets that memorise obey the margin bounds by Frobenius and by spectral norms, at levels above 1.

    Nets trained on coin-flip labels of 400 noise points in 400 dimensions, true error exactly ½, γ = 6: their
    margins on the sample are larger. With norms of one the Frobenius bound is below ½ and refuted; that by
    spectral norms is above it even so, and needs its complexity all the same.
    """
    n, hidden = 400, 32
    _, nets = _memorisers(setting, n, hidden)
    points, labels = _noise(setting, n)
    extended = torch.cat([points, torch.ones(n, 1)], 1).double()
    bounds: dict[str, list[float]] = {"Frobenius": [], "spectral": []}
    for member, logits in enumerate(nets.logits(points).double().cpu()):
        norms = net_norms(_layers(nets, member))
        if norms_read == "one":
            norms = replace(norms, frobenius=(1.0, 1.0), spectral=(1.0, 1.0))
        for name, form in (("Frobenius", golowich18_margin), ("spectral", bartlett17_margin)):
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
            bounds[name].append(bound.value)
    notes = {
        f"log10, {name}": [round(math.log10(value), 2) for value in found] for name, found in bounds.items()
    }
    parts = {name: Inequality.of([0.5] * len(found), found, trivial=1.0) for name, found in bounds.items()}
    return Joint(parts=parts, notes=notes)


@claim(
    section="5.9",
    formula=r"\mathrm{bound}(g) + 2\Phi^{TV}(f, g) \approx \mathrm{bound}(g') + 2\Phi^{TV}(f, g')"
    r" < \tfrac12\,\mathrm{bound}(f),\quad g \text{ of } f,\ g' \text{ of the labels}",
    source="hsu2021generalization",
    place="Figure 1, in small nets; found here",
    assumes=(IMAGES,),
    control=(
        Control("there is no weight decay", weight_decay=0.0),
        Control("the students' targets are uniform", targets="uniform"),
    ),
    uses=(net_norms, golowich18_margin, label_free_distillation_error, distilled_log_loss),
    mutants=(Mutant("all norms are read as 1", net_norms, _norms_of_one),),
    power=Scaled(golowich18_margin),
    loose="Teachers and students are measured by the same bound: a factor common to both is not seen.",
    cost=4,
)
def weight_decay_and_not_distillation_lowers_the_norm_bound(
    setting: Setting, /, *, weight_decay: float = 1e-3, targets: str = "of the teacher"
) -> Evidence:
    """In small nets what lowers the norm bound that a teacher inherits from a student of its own shape, the
    distillation error added, is the student's weight decay and not the distillation: students of the labels,
    with the same decay, bring as much. It is between a factor of two and ten, no powers of ten.

    Ten teachers with three hidden layers of 32 on 300 real images; students of that shape, on the teacher's
    softened outputs and on the labels of the same images, decay 1e-3, all trained alike. Frobenius bounds at
    γ = 1 plus 2Φ^TV at γ = 1 on images that nobody trained on; logarithms to the base 10, one pair a
    teacher. Φ^TV is at most 0.15. The published figure (residual nets) has powers of ten, with no student of
    labels beside it.
    """
    members, images = setting.size(quick=10, full=40), setting.images
    if images.num_images < 600:
        return OutOfScope(assumption=IMAGES, because=f"there are {images.num_images}")
    chosen = torch.randperm(images.num_images, generator=setting.stream.child("images").torch())
    inputs, points, labels = images.inputs.flatten(1), chosen[:300], images.labels[chosen[:300]]
    fresh = inputs[chosen[300:1300]]
    shape = MLP((inputs.shape[1], 32, 32, 32, images.num_classes))
    settings: dict[str, Any] = {
        "members": members,
        "steps": 200,
        "learning_rate": 0.01,
        "device": setting.device,
    }
    teachers = train(
        shape, inputs[points], labels, loss=label_loss, stream=setting.stream.child("teachers"), **settings
    )
    softened = teachers.logits(inputs[points]).softmax(-1).cpu()
    if targets == "uniform":
        softened = torch.full_like(softened, 1 / images.num_classes)
    settings |= {"stream": setting.stream.child("students"), "weight_decay": weight_decay}
    students = {
        "distilled": train(
            shape, inputs[points], teacher_probs=softened, loss=distilled_log_loss, **settings
        ),
        "of labels": train(shape, inputs[points], labels, loss=label_loss, **settings),
    }
    high, logs, apart = _log_bounds(teachers, inputs[points], labels), {}, {}
    for name, nets in students.items():
        apart[name] = _apart(nets, teachers, fresh)
        logs[name] = (10 ** _log_bounds(nets, inputs[points], labels) + 2 * apart[name]).log10()
    lower = {
        f"{name}, by a factor of two": MeanInequality.of(low + math.log10(2), high)
        for name, low in logs.items()
    }
    notes = {"log10 of the teachers'": high.tolist()} | {
        f"log10, {name}": low.tolist() for name, low in logs.items()
    }
    return Joint(
        parts={
            **lower,
            "alike": Equality.of(logs["distilled"], logs["of labels"], margin=0.2, effect=1.0),
            "no power of ten": MeanInequality.of(high, logs["distilled"] + 1),
            "distillation error": MeanInequality.of(apart["distilled"], torch.full((members,), 0.15)),
        },
        notes=notes,
    )


def _apart(students: Population, teachers: Population, points: Tensor) -> Tensor:
    """Φ^TV of each pair at γ = 1."""
    pairs = zip(students.logits(points).cpu(), teachers.logits(points).cpu(), strict=True)
    return torch.stack(
        [label_free_distillation_error(one.double(), other.double(), gamma=1.0) for one, other in pairs]
    )


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
