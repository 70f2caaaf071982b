"""Chapter 10.3, 10.8 and 10.11: what soft targets do to the optimiser, to the peak, to a delay."""

from __future__ import annotations

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, Identity, MeanInequality
from kdtheory.claims.folklore.wrong import NO_CONSTANT
from kdtheory.claims.verdict import Verdict
from kdtheory.claims.wrong import given
from kdtheory.experiments import Rows
from kdtheory.experiments.folklore.dynamics import (
    DESCENT,
    errors_around_the_threshold,
    students_from_large_starts,
    students_with_and_without_the_square,
)
from kdtheory.losses import distillation
from kdtheory.self_distillation.mixing import ridge_path


@claim(
    section="10.3",
    formula=r"\theta_s(T^2 \mathcal L) = \theta_s(\mathcal L)\quad\text{under Adam with } \varepsilon = 0",
    source="derived here",
    place="derived here",
    assumes=("There is no label term.", "Adam's ε counts for nothing beside √v."),
    experiment=students_with_and_without_the_square,
    control=Control("plain gradient descent", recipe=DESCENT),
    mutants=(Mutant("half of the loss are the labels", distillation, given(weight=0.5)),),
    loose="a factor on the loss is what Adam does not see",
)
def adam_does_not_see_the_square_of_the_temperature(rows: Rows, /) -> Evidence:
    """A student of its teacher alone, trained by Adam, is the same with the factor T² on its loss and
    without.

    Adam divides by the root of the mean squared gradient, so that a factor cancels but for ε. The guess was
    equality; the logits agree to 1e-6 of the largest (T = 8, both losses times 2³⁰ so that ε = 1e-8 is lost).
    """
    return Identity.of(rows.with_logits, rows.without_logits, tolerance=1e-6)


@claim(
    section="10.3",
    formula=r"\mathbb E\,\mathrm{acc}(\mathcal L, \text{descent}) \le"
    r" \mathbb E\,\mathrm{acc}(T^2\mathcal L, \text{descent}) - 0.1",
    source="derived here",
    place="found on images",
    assumes=("The learning rate is that of T = 1.",),
    experiment=students_with_and_without_the_square.given(recipe=DESCENT),
    control=Control("T = 1.1, where T² is nearly 1", temperature=1.1),
    mutants=(Mutant("both have the factor", distillation, given(temperature_squared=True)),),
)
def plain_descent_without_the_square_learns_little(rows: Rows, /) -> Evidence:
    """By plain gradient descent at T = 8 a student whose loss lacks the factor T² is at least ten points
    less accurate after the steps in which the other learns: its rate is 64 times smaller.

    So it was guessed; under Adam the two are one.
    """
    return MeanInequality.of(rows.without_accuracy + 0.1, rows.with_accuracy)


@claim(
    section="10.3",
    formula=r"\mathbb E\,\mathrm{acc}\bigl((1-\lambda)\mathrm{CE} + \lambda\mathrm{KL}_T\bigr) \le"
    r" \mathbb E\,\mathrm{acc}\bigl((1-\lambda)\mathrm{CE} + \lambda T^2\mathrm{KL}_T\bigr) - 0.01",
    source="derived here",
    place="found on images",
    assumes=("The teacher is better than the labels of so few points.",),
    experiment=students_with_and_without_the_square.given(weight=0.5),
    control=Control("the labels weigh 0.02, next to nothing", weight=0.98),
    mutants=(Mutant("both have the factor", distillation, given(temperature_squared=True)),),
    loose=NO_CONSTANT,
)
def beside_labels_the_square_is_the_weight_of_the_teacher(rows: Rows, /) -> Evidence:
    """Beside a label term the factor T² sets how much the teacher weighs, under Adam too: at T = 8 and λ = ½
    a student without it is at least one point less accurate.

    So it was guessed: without T² the weight ½ is in truth 1/65 of the teacher's gradient beside the labels'.
    """
    return MeanInequality.of(rows.without_accuracy + 0.01, rows.with_accuracy)


@claim(
    section="10.8",
    formula=r"\mathbb E\,\mathrm{err}(\text{width} = n) \le \mathbb E\,\mathrm{err}(\text{width} = n/2)",
    source="derived here",
    place="as it is repeated",
    assumes=("Least squares of the least norm on random features, up to rounding.",),
    experiment=errors_around_the_threshold,
    control=Control("ridge regression", penalty=0.01),
    mutants=(
        Mutant("a penalty is added", ridge_path, given(penalties=lambda all_of_them: all_of_them + 0.01)),
    ),
    expect=Verdict.REFUTED,
    reading="it is read as said of least squares without a penalty",
    loose="a factor on outputs does not change which is the largest",
    cost=4,
)
def soft_targets_remove_the_interpolation_peak(rows: Rows, /) -> Evidence:
    """Fitted to a teacher's logits, twice as many features do no harm on the way to width = n, where labels
    have the peak of double descent.

    The guess was that the peak stays, and it does, though it is lower than that of labels: logits are a
    smooth function of the image, but no linear one of these features, and what is left over acts as noise
    where the design is nearly singular. A small ridge penalty takes the peak away.
    """
    notes = {
        name: dict(zip(map(str, rows.width), rows[name].mean(0).tolist(), strict=True))
        for name in ("soft", "hard")
    }
    return MeanInequality.of(rows.soft[:, 1], rows.soft[:, 0], notes=notes)


@claim(
    section="10.11",
    formula=r"\mathbb E\,\mathrm{acc}_s(\text{taught}) \ge \mathbb E\,\mathrm{acc}_s(\text{labels}) + 0.04,"
    r"\quad T = 1",
    source="derived here",
    place="as it is repeated",
    assumes=("Both have fitted their own images; their weights, large at the start, still fall.",),
    experiment=students_from_large_starts,
    control=Control("T = 4", temperature=4.0),
    mutants=(Mutant("T = 4", distillation, given(temperature=4.0)),),
    expect=Verdict.REFUTED,
    reading="it is read as said of every temperature, T = 1 too",
    loose=NO_CONSTANT,
    cost=5,
)
def distillation_ends_the_delay_of_grokking(rows: Rows, /) -> Evidence:
    """Nets with large starts, who fit their images long before they know others, know more by four points or
    more after 300 steps, when their own are fitted, if they learn from a teacher at T = 1.

    The guess, from one seed of another task, was: T = 1 brings nothing and T = 4 halves the delay. At T = 1
    it came out so; at T = 4 the gain did, and how much of the delay it takes is not judged. At T = 1 a sure
    teacher is nearly its labels, and where these are fitted no gradient is left but weight decay; at T = 4
    its logits still have to be met.
    """
    return MeanInequality.of(
        rows.labels + 0.04, rows.taught, notes={"own images fitted": float(rows.fitted.mean())}
    )
