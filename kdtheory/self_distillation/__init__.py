"""Self-distillation in closed form: a model of one kind learns, round after round, from its own outputs.

`rkhs` (each round as smooth as its error allows), `fixed_point` (rounds that keep some of the labels), `lag`
(gradient flow stopped early), `mixing` (how much weight the teacher should have in ridge regression) and
`recursion` (rounds of fresh data labelled by the last fit).
"""

from kdtheory.self_distillation.fixed_point import (
    borup21_contraction,
    borup21_fixed_point,
    borup21_rounds,
    kernel_ridge,
)
from kdtheory.self_distillation.lag import (
    flow_filter,
    nagarajan23_lag,
    student_filter,
    time_at_progress,
)
from kdtheory.self_distillation.mixing import (
    Mixing,
    fixed_design_mixing,
    optimal_mixing,
    pure_distilled_ridge,
    ridge,
    ridge_derivative,
    ridge_path,
)
from kdtheory.self_distillation.recursion import (
    accumulated_error_limit,
    recursive_errors,
    replaced_error,
)
from kdtheory.self_distillation.rkhs import (
    RoundsBeforeCollapse,
    SelfDistillation,
    effective_rank,
    mobahi20_multiplier,
    mobahi20_multiplier_bounds,
    mobahi20_rounds,
    mobahi20_rounds_before_collapse,
    mobahi20_sparsity_growth,
)

__all__ = [
    "Mixing",
    "RoundsBeforeCollapse",
    "SelfDistillation",
    "accumulated_error_limit",
    "borup21_contraction",
    "borup21_fixed_point",
    "borup21_rounds",
    "effective_rank",
    "fixed_design_mixing",
    "flow_filter",
    "kernel_ridge",
    "mobahi20_multiplier",
    "mobahi20_multiplier_bounds",
    "mobahi20_rounds",
    "mobahi20_rounds_before_collapse",
    "mobahi20_sparsity_growth",
    "nagarajan23_lag",
    "optimal_mixing",
    "pure_distilled_ridge",
    "recursive_errors",
    "replaced_error",
    "ridge",
    "ridge_derivative",
    "ridge_path",
    "student_filter",
    "time_at_progress",
]
