"""Chapters 3.3 and 3.4: rounds that keep some labels (Borup & Andersen 2021), students that lag (Nagarajan et
al. 2023).
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdtheory.claims.core import Control, Mutant, claim
from kdtheory.claims.evidence import Evidence, Identity, Inequality, Joint
from kdtheory.claims.wrong import given, scaled, value
from kdtheory.experiments import Rows
from kdtheory.experiments.schemes.rounds import (
    last_layers_that_keep_labels,
    limit_of_last_layers,
    nets_stopped_early,
    progress_along_eigendirections,
    rounds_that_keep_labels,
)
from kdtheory.self_distillation.fixed_point import (
    borup21_contraction,
    borup21_fixed_point,
    borup21_rounds,
    kernel_ridge,
)
from kdtheory.self_distillation.lag import flow_filter, nagarajan23_lag, student_filter

KEEPING, LAG = "borup2021even", "nagarajan2023student"
NO_LABELS = Control("no label is kept after the first round", kept=0.0)


def _penalty_times_alpha(kernel: Tensor, targets: Tensor, /, *, penalty: float, alpha: float) -> Tensor:
    return kernel_ridge(kernel, targets, penalty=penalty * alpha)


WRONG_PENALTIES = (
    Mutant("λα in place of λ/α", borup21_fixed_point, _penalty_times_alpha),
    Mutant("λ in place of λ/α", borup21_fixed_point, given(alpha=1.0)),
)


@claim(
    section="3.3",
    formula=r"y_t = A(\alpha y + (1-\alpha) y_{t-1}) \to K(K + \tfrac{\lambda}{\alpha} I)^{-1} y,\quad"
    r" A = K(K + \lambda I)^{-1}",
    source=KEEPING,
    place="the limit of the rounds; the contraction is derived here",
    assumes=("α > 0.",),
    experiment=rounds_that_keep_labels,
    control=NO_LABELS,
    mutants=(
        *WRONG_PENALTIES,
        Mutant("α and 1 − α exchanged", borup21_rounds, given(alpha=lambda alpha: 1 - alpha)),
        Mutant("the contraction is squared", borup21_contraction, value(lambda factor: factor**2)),
    ),
)
def label_keeping_self_distillation_ends_in_ridge_regression(rows: Rows, /) -> Evidence:
    """Rounds of kernel ridge regression on a mixture of labels and last outputs converge, by a constant
    factor a round, to ridge regression with the penalty λ/α: they never collapse.

    "attained": with the nugget 1 all eigenvalues are equal, and the contraction is exact.
    """
    equal = rows.nugget == 1
    return Joint(
        parts={
            "closed form": Identity.of(rows.closed, rows.explicit, tolerance=1e-9),
            "limit": Identity.of(rows.explicit[:, -1], rows.limit, tolerance=1e-6),
            "contraction": Inequality.of(rows.contracted, rows.allowed, slack=1e-9),
            "attained": Identity.of(rows.contracted[equal], rows.allowed[equal], tolerance=1e-9),
        }
    )


@claim(
    section="3.3",
    formula=r"f_t(X) \to K(K + \tfrac{\lambda}{\alpha} I)^{-1} y,\quad K = \Phi\Phi^\top",
    source=KEEPING,
    place="the limit of the rounds, of nets",
    assumes=("Only the last layer is trained, to convergence.", "α > 0."),
    experiment=(last_layers_that_keep_labels, limit_of_last_layers),
    control=NO_LABELS,
    mutants=WRONG_PENALTIES,
    cost=2,
)
def nets_that_keep_labels_end_in_ridge_regression(nets: Rows, limit: Rows, /) -> Evidence:
    """Nets whose last layer is trained with weight decay, round after round on a mixture of labels and their
    own outputs, end where one training with a weight decay 1/α times as large ends.

    Within 1 per cent of the targets' size.
    """
    return Identity.of(nets.outputs, limit.outputs, tolerance=0.01)


def _teacher_twice(eigenvalues: Tensor, /, *, student_time: float, teacher_time: float) -> Tensor:
    return 1 - torch.exp(-(student_time + teacher_time) * eigenvalues)


@claim(
    section="3.4",
    formula=r"a_{t_s}(d)\,a_{t_t}(d) < a_\tau(d)\ \text{ for } 0 < d < d_{\max},\quad"
    r" a_{t_s}(d_{\max})\,a_{t_t}(d_{\max}) = a_\tau(d_{\max}),\quad a_t(d) = 1 - e^{-td}",
    source=LAG,
    place="the theorem on linear models; the lag in closed form is derived here",
    assumes=("Gradient flow from zero on the squared loss of a linear model.",),
    experiment=progress_along_eigendirections,
    control=Control("equal progress on the lowest direction", matched=0),
    mutants=(
        Mutant("the student goes on from its teacher", student_filter, _teacher_twice),
        Mutant("e^{−td}, what is left, for what is fitted", flow_filter, value(lambda fitted: 1 - fitted)),
        Mutant("the lag with its sign changed", nagarajan23_lag, scaled(-1.0)),
    ),
)
def student_lags_on_every_lower_eigendirection(rows: Rows, /) -> Evidence:
    """When a student has come as far as its teacher once had along the top eigendirection, it is behind what
    the teacher then had along every lower one: distillation exaggerates the bias of gradient descent.
    """
    return Joint(
        parts={
            "behind": Inequality.of(rows.student, rows.teacher * (1 - 1e-6), slack=1e-12),
            "lag": Identity.of(rows.lag, rows.gap, tolerance=1e-9),
        }
    )


@claim(
    section="3.4",
    formula=r"V f_{t_s}(X) = a_{t_s}(D)\,a_{t_t}(D)\,V y",
    source=LAG,
    place="the theorem on linear models, of nets",
    assumes=("A linear net, trained from zero by small steps of gradient descent on the squared loss.",),
    experiment=nets_stopped_early,
    control=Control("the student is trained on the labels, not on the teacher's outputs", kept=1.0),
    mutants=(
        Mutant("the student goes on from its teacher", student_filter, _teacher_twice),
        Mutant("twice the time", flow_filter, given(time=lambda time: 2 * time)),
    ),
)
def linear_nets_trained_in_two_stages_are_filtered_twice(rows: Rows, /) -> Evidence:
    """A linear net trained for a while on the outputs of another that was itself stopped early has fitted,
    along each eigendirection, the product of what the two fitted of their targets.

    Along all directions, within 1 per cent of the targets' size.
    """
    return Identity.of(rows.outputs, rows.filtered, tolerance=0.01)
