"""Chapter 4.3: the risk on a teacher's labels has a variance and a bias (Menon et al., 2021)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from kdtheory.claims.core import Control, Mutant, Scaled, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.claims.wrong import Wrong, given, scaled
from kdtheory.experiments import Rows
from kdtheory.experiments.risk.teachers import errors_of_teachers, fitted_to_the_sample
from kdtheory.risk.teacher import TeacherBiasVariance, teacher_bias_variance


def _max_norm(right: Callable[..., TeacherBiasVariance]) -> Callable[..., TeacherBiasVariance]:
    def wrong(losses: Tensor, *tables: Tensor, n: int) -> TeacherBiasVariance:
        parts = right(losses, *tables, n=n)
        return replace(parts, loss_norm=losses.abs().amax((-1, -2)).expand_as(parts.bias))

    return wrong


@claim(
    section="4.3",
    formula=r"\mathbb E(\tilde R - R)^2"
    r" = \tfrac1N \operatorname{Var}[p^{t\top}\ell] + (\mathbb E[(p^t - p^*)^\top\ell])^2"
    r" \le \tfrac1N \operatorname{Var}[p^{t\top}\ell] + C^2 (\mathbb E\lVert p^t - p^*\rVert_2)^2",
    source="menon2021statistical",
    place="derived here",
    assumes=("f does not depend on the sample.", "The teacher does not depend on the sample."),
    experiment=errors_of_teachers,
    control=Control("the teacher is fitted to the same sample", teacher=fitted_to_the_sample),
    mutants=(
        Mutant("the variance is not divided by N", teacher_bias_variance, given(n=1)),
        Mutant("half the bias", teacher_bias_variance, scaled(0.5, entry="bias")),
        Mutant("C from the largest entry of ℓ", teacher_bias_variance, Wrong(_max_norm)),
    ),
    power=Scaled(teacher_bias_variance, entry="bias"),
)
def teacher_error_is_variance_plus_squared_bias(rows: Rows, /) -> Evidence:
    """A teacher's risk misses the true risk by a variance that falls as 1/N and a squared bias that does not,
    and the bias is at most C times the teacher's mean distance from p*.

    A teacher fitted to the sample (label frequencies, add-one smoothed) makes the same computation wrong.
    """
    return Joint(
        parts={
            "identity": Identity.of(rows.error, rows.exact, tolerance=1e-9),
            "bound": Inequality.of(rows.error, rows.bound, slack=1e-12),
        }
    )
