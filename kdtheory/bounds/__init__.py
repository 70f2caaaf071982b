"""Bounds that hold with probability at least 1 − δ, with their terms by name and their assumptions."""

from typing import TYPE_CHECKING

from kdtheory._lazy import lazily

if TYPE_CHECKING:
    from kdtheory.bounds.complexity import (
        l1_linear_complexity,
        l2_linear_complexity,
        massart00_finite_class,
        maurer16_vector_contraction,
        talagrand_contraction,
        vector_linear_complexity,
    )
    from kdtheory.bounds.covering import segment_covering_number
    from kdtheory.bounds.deviation import (
        bartlett02_deviation,
        bartlett02_deviation_radius,
        hoeffding63_radius,
    )
    from kdtheory.bounds.disagreement import disagreement_limit, disagreement_transfer
    from kdtheory.bounds.distillation import (
        hsu21_as_printed,
        hsu21_distillation,
        hsu21_distillation_by_margins,
    )
    from kdtheory.bounds.empirical_bernstein import (
        maurer09_covering,
        maurer09_covering_radius,
        maurer09_finite_class,
        maurer09_finite_class_radius,
    )
    from kdtheory.bounds.fixed_student import hsu21_fixed_student, hsu21_fixed_student_by_margins
    from kdtheory.bounds.holdout import (
        blum99_progressive,
        clopper34_holdout,
        hoeffding63_holdout,
        hoeffding63_kl_holdout,
        maurer09_holdout,
    )
    from kdtheory.bounds.kernel_margin import (
        adjusted_supervision_complexity,
        harutyunyan23_kernel_margin,
        supervision_complexity,
    )
    from kdtheory.bounds.margins import (
        confidence_lipschitz,
        distillation_error,
        label_free_distillation_error,
        margin_surrogate,
        margin_surrogate_lipschitz,
        multiclass_margin,
        softmax_confidence,
        softmax_distance,
        softmax_distance_lipschitz,
    )
    from kdtheory.bounds.norm_margin import bartlett17_margin, golowich18_margin, ramp_loss
    from kdtheory.bounds.norms import (
        NetNorms,
        bartlett17_complexity,
        golowich18_relu_net,
        golowich18_vector_relu_net,
        grid_point,
        homogeneous_layers,
        net_norms,
    )
    from kdtheory.bounds.occam import langford05_occam, langford05_occam_kl
    from kdtheory.bounds.pac_bayes import gaussian_kl, maurer04_kl_limit, maurer04_pac_bayes_kl
    from kdtheory.bounds.product import fisher32_log_level, product_disagreement_transfer, product_upper_limit
    from kdtheory.bounds.rademacher import (
        RademacherEstimate,
        exact_rademacher,
        finite_class,
        linear_class,
        sampled_rademacher,
        vector_linear_class,
    )
    from kdtheory.bounds.result import Bound, size_needed
    from kdtheory.bounds.tails import RiskTail, coded_tail, holdout_tail, pac_bayes_tail
    from kdtheory.bounds.two_samples import joint_disagreement_transfer, sum_upper_limit
    from kdtheory.bounds.vc import (
        bartlett19_log_growth,
        bartlett19_vc_dimension,
        relu_net_size,
        sauer72_log_growth,
        vapnik71,
    )

__all__ = [
    "Bound",
    "NetNorms",
    "RademacherEstimate",
    "RiskTail",
    "adjusted_supervision_complexity",
    "bartlett02_deviation",
    "bartlett02_deviation_radius",
    "bartlett17_complexity",
    "bartlett17_margin",
    "bartlett19_log_growth",
    "bartlett19_vc_dimension",
    "blum99_progressive",
    "clopper34_holdout",
    "coded_tail",
    "confidence_lipschitz",
    "disagreement_limit",
    "disagreement_transfer",
    "distillation_error",
    "exact_rademacher",
    "finite_class",
    "fisher32_log_level",
    "gaussian_kl",
    "golowich18_margin",
    "golowich18_relu_net",
    "golowich18_vector_relu_net",
    "grid_point",
    "harutyunyan23_kernel_margin",
    "hoeffding63_holdout",
    "hoeffding63_kl_holdout",
    "hoeffding63_radius",
    "holdout_tail",
    "homogeneous_layers",
    "hsu21_as_printed",
    "hsu21_distillation",
    "hsu21_distillation_by_margins",
    "hsu21_fixed_student",
    "hsu21_fixed_student_by_margins",
    "joint_disagreement_transfer",
    "l1_linear_complexity",
    "l2_linear_complexity",
    "label_free_distillation_error",
    "langford05_occam",
    "langford05_occam_kl",
    "linear_class",
    "margin_surrogate",
    "margin_surrogate_lipschitz",
    "massart00_finite_class",
    "maurer04_kl_limit",
    "maurer04_pac_bayes_kl",
    "maurer09_covering",
    "maurer09_covering_radius",
    "maurer09_finite_class",
    "maurer09_finite_class_radius",
    "maurer09_holdout",
    "maurer16_vector_contraction",
    "multiclass_margin",
    "net_norms",
    "pac_bayes_tail",
    "product_disagreement_transfer",
    "product_upper_limit",
    "ramp_loss",
    "relu_net_size",
    "sampled_rademacher",
    "sauer72_log_growth",
    "segment_covering_number",
    "size_needed",
    "softmax_confidence",
    "softmax_distance",
    "softmax_distance_lipschitz",
    "sum_upper_limit",
    "supervision_complexity",
    "talagrand_contraction",
    "vapnik71",
    "vector_linear_class",
    "vector_linear_complexity",
]
lazily(__name__)
