"""Risks of a predictor: on a sample, under a known law, their variances, and the noise of their gradients."""

from kdtheory.risk.calibration import calibration_error, top_label_calibration_error
from kdtheory.risk.empirical import accuracy, distilled_losses, distilled_risk, one_hot_losses, one_hot_risk
from kdtheory.risk.finite_domain import (
    hidden_mass,
    partial_label_limit,
    total_variation,
    total_variation_bound,
    transferred,
)
from kdtheory.risk.gradients import GradientNoise, gradient_noise, network_gradient_noise
from kdtheory.risk.population import (
    bayes_brier_risk,
    bayes_log_risk,
    bayes_zero_one_risk,
    excess_risk,
    population_risk,
)
from kdtheory.risk.teacher import TeacherBiasVariance, teacher_bias_variance
from kdtheory.risk.variance import distilled_variance, label_noise_variance, one_hot_variance
from kdtheory.risk.variance_reduction import VarianceReduction, variance_reduction

__all__ = [
    "GradientNoise",
    "TeacherBiasVariance",
    "VarianceReduction",
    "accuracy",
    "bayes_brier_risk",
    "bayes_log_risk",
    "bayes_zero_one_risk",
    "calibration_error",
    "distilled_losses",
    "distilled_risk",
    "distilled_variance",
    "excess_risk",
    "gradient_noise",
    "hidden_mass",
    "label_noise_variance",
    "network_gradient_noise",
    "one_hot_losses",
    "one_hot_risk",
    "one_hot_variance",
    "partial_label_limit",
    "population_risk",
    "teacher_bias_variance",
    "top_label_calibration_error",
    "total_variation",
    "total_variation_bound",
    "transferred",
    "variance_reduction",
]
