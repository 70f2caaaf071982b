"""Chapter 7.5: neither the tangent-kernel regime nor training the average shows what ensembles do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Setting, claim
from kdtheory.claims.evidence import Evidence, Joint
from kdtheory.claims.multiview.single import ORTHOGONAL
from kdtheory.claims.multiview.worlds import BINARY, rarely, singles
from kdtheory.multiview import LazyPopulation, LimitPopulation, limit_start, train_lazy
from kdtheory.problems import Views
from kdtheory.risk import accuracy
from kdtheory.streams import Stream

TOGETHER = 4


def _start_as_trained(
    start: LimitPopulation,
    views: Views,
    /,
    *,
    steps: int,
    _true: Callable[..., LazyPopulation] = train_lazy,
    **how: bool,
) -> LazyPopulation:
    """Linearised, but not trained."""
    return _true(start, views, steps=0 * steps, **how)


def _first_class(logits: Tensor, labels: Tensor, /) -> Tensor:
    return (labels == 0).double().mean().expand(logits.shape[:-2])


@claim(
    section="7.5",
    formula=r"\text{accuracy}(F) \ge 0.99\text{ in the tangent-kernel regime}\ \Rightarrow"
    r"\ \text{accuracy}(\bar F_N) - \text{accuracy}(F) \le 0.01",
    source="allenzhu2020towards",
    assumes=(ORTHOGONAL, "The output of the start is taken off: training begins at 0."),
    control=Control("the same networks where features are learned", regime="features"),
    uses=(train_lazy, accuracy),
    mutants=(Mutant("the linearised networks are left at their start", train_lazy, _start_as_trained),),
    loose="a threshold on accuracy: no constant enters",
    cost=4,
)
def linearised_networks_lack_no_view(setting: Setting, /, *, regime: str = "tangent kernel") -> Evidence:
    """In the notes' world a network linearised at a large random start (init_std 0.3) is right on at least 99
    of 100 fresh points, those that lack a view included, where a network that learns features is right on 90:
    a linear model learns both views at once, since both are in as many points. So there is nothing left that
    an ensemble could gain.

    192 networks; an exact binomial test: fewer than one in ten below 0.99. What an ensemble of feature
    learners makes up for is not missing in this regime. That ensembles gain nothing is said for the reason
    alone that one network has it all already.

    It is not said that ensembles in this regime never gain. On Gaussian inputs, where one network has too
    few features, they do (study `multi_view_arms`). And they do in R^d where the output of the start is kept:
    a fresh point's noise patches then add to the logits about as much as was learned, which an ensemble
    averages out (`tests/multiview/test_dimension.py`); so it is taken off here.
    """
    logits, labels = _logits(setting.stream, setting.size(quick=192, full=800), regime)
    one = accuracy(logits, labels)
    return replace(rarely(one < 0.99, 0.1), notes={"mean accuracy of one": float(one.mean())})


def _logits(stream: Stream, members: int, regime: str) -> tuple[Tensor, Tensor]:
    """On fresh points with the exact shares of the world."""
    if regime == "features":
        found = singles(BINARY, members, stream)
        return found.nets.logits(found.test.coefficients), found.test.labels
    world = BINARY.world
    points = world.stratified(BINARY.plan.n, stream.child("train"))
    test = world.stratified(20, stream.child("test"))
    start = limit_start(
        replace(BINARY.network, init_std=0.3),
        points,
        noise_norm=world.noise_norm,
        members=members,
        stream=stream.child("nets"),
    )
    nets: LazyPopulation = train_lazy(start, points, steps=1000, centred=True)
    return nets.logits(test.coefficients), test.labels


@claim(
    section="7.5",
    formula=r"\Pr[\text{accuracy}(\bar F_N) < 0.975] > \tfrac12 \text{ where } \bar F_N"
    r" \text{ is trained as one}",
    source="allenzhu2020towards",
    assumes=(ORTHOGONAL,),
    control=Control("the networks are trained one by one", trained="apart"),
    uses=(accuracy,),
    mutants=(Mutant("the first class for every point", accuracy, _first_class),),
    tuned_on=(0, 1),
    loose="a threshold on accuracy: no constant enters",
    cost=3,
)
def training_the_average_is_not_an_ensemble(setting: Setting, /, *, trained: str = "together") -> Evidence:
    """Four networks whose average is trained as one mostly have a test accuracy below 0.975 in the notes'
    world, where the average of four trained apart is mostly above; it is still above 0.8 in four of five
    cases.

    The average is one wide network, in which the winning channels of one view satisfy the loss for all;
    trained at four times the rate, since each network sees a quarter of the gradient. Exact binomial tests
    over 160 averages: fewer than half of them reach 0.975, which lies between what the two have, and fewer
    than one in five are below 0.8.
    """
    averages = setting.size(quick=160, full=400)
    together = TOGETHER if trained == "together" else 1
    found = singles(BINARY, averages * TOGETHER // together, setting.stream, average_of=together)
    logits = found.nets.logits(found.test.coefficients).unflatten(0, (averages, -1)).mean(1)
    reached = accuracy(logits, found.test.labels)
    parts: dict[str, Evidence] = {
        "below 0.975": rarely(reached >= 0.975, 0.5),
        "above 0.8": rarely(reached < 0.8, 0.2),
    }
    return Joint(parts=parts, notes={"mean accuracy": float(reached.mean())})
