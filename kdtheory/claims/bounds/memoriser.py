"""Chapter 5.7: the printed distillation lemma, and the memoriser that breaks it (Shen et al., 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdtheory.bounds.distillation import hsu21_as_printed, hsu21_distillation
from kdtheory.bounds.margins import distillation_error, softmax_confidence
from kdtheory.claims.bounds.two_gaussians import STD, linear_error, two_gaussians, two_sided
from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence
from kdtheory.claims.verdict import Verdict

DELTA = 0.05
GAMMA = 0.3
SIZE = 600
STUDENT = torch.tensor([2.0, 0.1], dtype=torch.float64)
PRINTED = (
    r"\Pr[f(x) \ne y] \le \tfrac2n \textstyle\sum_i (1 - \varphi_\gamma(g(x_i), y_i)) + \tfrac{16}{n}"
    r" + 6\sqrt{\tfrac{\ln(2/\delta) + \ln \lg n}{n}} + \inf_{j,\, g \in G_j}\bigl[8\Phi_{\gamma,n}(f,g)"
    r" + \tfrac1\gamma \operatorname{Rad}\bigr] + 6\sqrt{\tfrac{\ln(1/p_j)}{n}}"
)


def _always_apart(student: Tensor, teacher: Tensor, labels: Tensor, /, *, gamma: float) -> Tensor:
    return torch.ones((), dtype=student.dtype)


def _never_apart(student: Tensor, teacher: Tensor, labels: Tensor, /, *, gamma: float) -> Tensor:
    return torch.zeros((), dtype=student.dtype)


def _never_sure(logits: Tensor, labels: Tensor, /, *, gamma: float) -> Tensor:
    return torch.zeros_like(logits[..., 0])


def _always_sure(logits: Tensor, labels: Tensor, /, *, gamma: float) -> Tensor:
    return torch.ones_like(logits[..., 0])


@claim(
    section="5.7",
    formula=PRINTED,
    source="shen2021deep",
    assumes=("n ≥ 2.", "f may depend on the sample, as a trained teacher does."),
    control=Control("the distillation error is taken on fresh, unlabelled points", lemma="mended"),
    uses=(hsu21_as_printed, distillation_error, softmax_confidence, hsu21_distillation),
    mutants=(
        Mutant("every point counts as a disagreement", distillation_error, _always_apart),
        Mutant("the student is never sure", softmax_confidence, _never_sure),
    ),
    expect=Verdict.REFUTED,
)
def printed_lemma_bounds_a_teacher_that_saw_the_sample(
    setting: Setting, /, *, lemma: str = "printed"
) -> Evidence:
    """As printed, the lemma bounds every teacher's error by its student's loss, complexity and the
    distillation error on the sample, with probability at least 1 − δ.

    It cannot: that error sees the teacher on the sample alone. The counterexample is a ReLU net with 3n + 2
    hidden units that equals a good linear student g at the n = 600 points, by a hat on each, and is −g
    elsewhere; its error is above 0.99. G holds g alone, fixed beforehand (no complexity, p = 1), so that all
    readings of the printed infimum are one. The mended bound, with as many fresh unlabelled points, is
    honest about the memoriser: it says about 2.
    """
    truth, bounds = [], []
    for draw in range(setting.size(quick=300, full=1000)):
        stream = setting.stream.child(draw)
        inputs, labels = two_gaussians(SIZE, stream.child("labelled"))
        net, on_hats = memoriser(inputs)
        student = two_sided(STUDENT, inputs)
        truth.append((1 - on_hats) * (1 - linear_error(STUDENT)))
        if lemma == "printed":
            found = hsu21_as_printed(
                student, said(net, inputs), labels, gamma=GAMMA, delta=DELTA, margin_complexity=0.0
            )
        else:
            fresh, _ = two_gaussians(SIZE, stream.child("unlabelled"))
            found = hsu21_distillation(
                student,
                labels,
                two_sided(STUDENT, fresh),
                said(net, fresh),
                gamma=GAMMA,
                delta=DELTA,
                student_complexity=0.0,
                fixed_in_advance=True,
                drawn_afterwards=True,
                independent_draws=True,
                same_law=True,
            )
        bounds.append(found.value)
    return Coverage.of(truth, bounds, delta=DELTA)


@claim(
    section="5.7",
    formula=PRINTED,
    source="shen2021deep",
    assumes=("f and g were fixed before the sample was drawn.",),
    control=Control("f memorises the sample", teacher="memoriser"),
    uses=(hsu21_as_printed, distillation_error, softmax_confidence),
    mutants=(
        Mutant("the distillation error is left out", distillation_error, _never_apart),
        Mutant("the student's loss is left out", softmax_confidence, _always_sure),
    ),
)
def printed_lemma_covers_a_teacher_fixed_in_advance(
    setting: Setting, /, *, teacher: str = "fixed in advance"
) -> Evidence:
    """For a teacher and a student that were fixed before the sample the printed bound does hold with
    probability at least 1 − δ.

    n = 600. Three draws in five have a teacher close to the student; in one it says the opposite, in one
    both do, and both are then almost always wrong. The memoriser of the control is fitted to the sample.
    """
    truth, bounds = [], []
    for draw in range(setting.size(quick=300, full=3000)):
        stream = setting.stream.child(draw)
        inputs, labels = two_gaussians(SIZE, stream.child("labelled"))
        f, g = STUDENT + torch.tensor([0.0, 0.1], dtype=torch.float64), STUDENT
        f, g = ((f, g), (f, g), (f, g), (-f, g), (-f, -g))[draw % 5]
        student, taught = two_sided(g, inputs), two_sided(f, inputs)
        error = linear_error(f)
        if teacher == "memoriser":
            net, on_hats = memoriser(inputs)
            student, taught = two_sided(STUDENT, inputs), said(net, inputs)
            error = (1 - on_hats) * (1 - linear_error(STUDENT))
        found = hsu21_as_printed(student, taught, labels, gamma=GAMMA, delta=DELTA, margin_complexity=0.0)
        truth.append(error)
        bounds.append(found.value)
    return Coverage.of(truth, bounds, delta=DELTA, trivial=1.0)


def memoriser(inputs: Tensor, /) -> tuple[nn.Sequential, float]:
    """A ReLU net that is g at the given points and −g off narrow hats around them, and its chance to meet a
    hat.

    Along the second coordinate t, which has nothing to do with the label, a hat of half-width w stands on
    each t_i: s(x) = −g(x) + 2Σ_i g(x_i)·(ρ(t − t_i + w) − 2ρ(t − t_i) + ρ(t − t_i − w))/w; logits (−s, s).
    """
    places = inputs[:, 1]
    width = float(places.sort().values.diff().min()) / 64
    count = len(places)
    first = nn.Linear(2, 3 * count + 2, dtype=inputs.dtype)
    last = nn.Linear(3 * count + 2, 2, bias=False, dtype=inputs.dtype)
    heights = 2 * (inputs @ STUDENT) / width
    with torch.no_grad():
        first.weight.zero_()[: 3 * count, 1] = 1
        first.weight[-2:] = torch.stack([STUDENT, -STUDENT])
        first.bias.zero_()[: 3 * count] = torch.cat([width - places, -places, -width - places])
        score = torch.cat([heights, -2 * heights, heights, heights.new_tensor([-1.0, 1.0])])
        last.weight.copy_(torch.stack([-score, score]))
    density = 1 / (STD * (2 * torch.pi) ** 0.5)
    return nn.Sequential(first, nn.ReLU(), last), 2 * width * count * density


@torch.no_grad()
def said(net: nn.Module, inputs: Tensor, /) -> Tensor:
    """The logits of a net."""
    logits: Tensor = net(inputs)
    return logits
