"""Chapter 5.10: kernel classifiers and the supervision complexity of labels and of a teacher's targets."""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.bounds.kernel_margin import harutyunyan23_kernel_margin, supervision_complexity
from kdtheory.bounds.norm_margin import ramp_loss
from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Coverage, Evidence, Identity, Joint, MeanInequality
from kdtheory.streams import Stream

DELTA = 0.05
SIZE = 4000


def _kernel_forgotten(kernel: Tensor, targets: Tensor, /) -> Tensor:
    return targets.square().sum()


def _kernel_for_its_inverse(kernel: Tensor, targets: Tensor, /) -> Tensor:
    return targets @ kernel @ targets


def _no_margin_loss(margins: Tensor, /, *, gamma: float) -> Tensor:
    return torch.zeros_like(margins)


@claim(
    section="5.10",
    formula=r"\lVert f \rVert^2 = y^\top K^{-1} y = \min\{\lVert w \rVert^2 : \Phi w = y\},\quad"
    r" \mathbb E\,[y_t^\top K^{-1} y_t] \le \mathbb E\,[y^\top K^{-1} y]",
    source="harutyunyan2023supervision",
    assumes=("The teacher's targets are its class-probabilities, 2p(x) − 1, and p is smooth in the kernel.",),
    control=Control("the teacher's targets are dealt out to the wrong points", teacher="shuffled"),
    uses=(supervision_complexity,),
    mutants=(
        Mutant("the kernel is forgotten", supervision_complexity, _kernel_forgotten),
        Mutant("K for K⁻¹", supervision_complexity, _kernel_for_its_inverse),
    ),
)
def teacher_targets_have_lower_supervision_complexity(
    setting: Setting, /, *, teacher: str = "Bayes"
) -> Evidence:
    """The supervision complexity yᵀK⁻¹y is the squared norm of the smoothest function through the targets,
    and it is lower for a good teacher's soft targets than for the labels, whose noise is not smooth.

    The first by least squares on 40 random features of 12 points. The second on 60 points of the plane with
    the kernel e^{−‖x−x'‖}, labels drawn from p*(x) = σ(8x₁) and p* itself as teacher.
    """
    trials = setting.size(quick=100, full=1000)
    least, soft, hard = [], [], []
    for trial in range(trials):
        generator = setting.stream.child(trial).torch()
        features = torch.randn(12, 40, dtype=torch.float64, generator=generator)
        wanted = torch.randn(12, dtype=torch.float64, generator=generator)
        shortest = (torch.linalg.pinv(features) @ wanted).square().sum()
        least.append((supervision_complexity(features @ features.T, wanted), shortest))
        points = torch.randn(60, 2, dtype=torch.float64, generator=generator)
        probs = torch.sigmoid(8 * points[:, 0])
        labels = 2 * torch.bernoulli(probs, generator=generator) - 1
        targets = 2 * probs - 1
        if teacher == "shuffled":
            targets = targets[torch.randperm(60, generator=generator)]
        kernel = _laplace(points)
        soft.append(supervision_complexity(kernel, targets))
        hard.append(supervision_complexity(kernel, labels))
    found, shortest = torch.tensor(least, dtype=torch.float64).T
    return Joint(
        parts={
            "least norm": Identity.of(found, shortest, tolerance=1e-9),
            "teacher": MeanInequality.of(torch.stack(soft), torch.stack(hard)),
        }
    )


@claim(
    section="5.10",
    formula=r"\Pr[\mathrm{err}] \le \tfrac1n \textstyle\sum_i \mathrm{ramp}(y_i f(x_i)/\gamma)"
    r" + \tfrac{2B\sqrt{\operatorname{tr} K}}{\gamma n} + 3\sqrt{\ln(2/(\delta p))/2n},"
    r"\quad B \ge \lVert f \rVert",
    source="harutyunyan2023supervision",
    assumes=("The kernel and γ were fixed before the sample was drawn.",),
    control=Control("f memorises the sample and its norm is not counted", classifier="memoriser"),
    uses=(harutyunyan23_kernel_margin, ramp_loss),
    mutants=(Mutant("the margin loss is left out", ramp_loss, _no_margin_loss),),
)
def kernel_margin_bound_covers_the_classifier(setting: Setting, /, *, classifier: str = "ridge") -> Evidence:
    """With probability at least 1 − δ the error of a kernel classifier is at most its margin loss, its norm
    times √(tr K) over γn, twice, and the deviation; the norm is read off afterwards and rounded up to a
    grid.

    Ridge classifiers on 120 atoms of the plane, n = 4,000, γ = ½, δ = 0.05; every fourth says the opposite
    of what it learned, so that an error near 1 is met too. The memoriser of the control says the likelier
    label on 400 points of 4,000 atoms, the less likely one elsewhere, with the norm of a function of one
    point.
    """
    truth, bounds = [], []
    for draw in range(setting.size(quick=300, full=3000)):
        stream = setting.stream.child(draw)
        if classifier == "ridge":
            error, margins, norm = _ridge(stream, opposite=draw % 4 == 3)
        else:
            error, margins, norm = _memoriser(stream)
        found = harutyunyan23_kernel_margin(
            margins,
            squared_norm=norm,
            trace=float(len(margins)),
            gamma=0.5,
            delta=DELTA,
            fixed_in_advance=classifier == "ridge",
            independent_draws=True,
        )
        truth.append(error)
        bounds.append(found.value)
    return Coverage.of(truth, bounds, delta=DELTA, trivial=1.0)


def _ridge(stream: Stream, *, opposite: bool) -> tuple[float, Tensor, float]:
    """Exact error, margins on the sample and ‖f‖² of a ridge classifier; K is one on its diagonal."""
    generator = stream.torch()
    atoms = torch.randn(120, 2, dtype=torch.float64, generator=generator)
    probs = torch.sigmoid(6 * atoms[:, 0])
    places = torch.randint(120, (SIZE,), generator=generator)
    labels = 2 * torch.bernoulli(probs[places], generator=generator) - 1
    counts = torch.bincount(places, minlength=120).double()
    sums = torch.zeros(120, dtype=torch.float64).index_add_(0, places, labels)
    kernel = _laplace(atoms)
    system = counts[:, None] * kernel + 30 * torch.eye(120, dtype=torch.float64)
    weights = torch.linalg.solve(system, sums) * (-1 if opposite else 1)
    values = kernel @ weights
    error = torch.where(values > 0, 1 - probs, probs).mean()
    return float(error), labels * values[places], float(weights @ values)


def _memoriser(stream: Stream) -> tuple[float, Tensor, float]:
    """The same of a function that is right on the sample's atoms alone; its norm is passed off as one."""
    generator = stream.torch()
    probs = torch.sigmoid(6 * torch.randn(4000, dtype=torch.float64, generator=generator))
    places = torch.randint(4000, (400,), generator=generator)
    labels = 2 * torch.bernoulli(probs[places], generator=generator) - 1
    unseen = torch.ones(4000, dtype=torch.bool).index_fill_(0, places, False)
    likelier = torch.where(probs > 0.5, 1.0, -1.0).double()
    said = torch.where(unseen, -likelier, likelier)
    error = torch.where(said > 0, 1 - probs, probs).mean()
    return float(error), labels * said[places], 1.0


def _laplace(points: Tensor) -> Tensor:
    kernel: Tensor = (-torch.cdist(points, points)).exp()
    return (kernel + kernel.mT) / 2
