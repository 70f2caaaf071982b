"""Transfer risk: how often a student that learned n points from an oracle disagrees with it on fresh ones."""

from __future__ import annotations

from kdtheory.transfer_risk.angles import (
    AngleTail,
    acute_angles,
    angle_tail,
    dkw_width,
    isotropic_angle_tail,
    projection_angle,
)
from kdtheory.transfer_risk.bounds import (
    average_transfer_risk,
    ji20_transfer_risk,
    label_free_transfer_risk,
    misjudging_probability,
    power_function_transfer_risk,
    transfer_risk,
)
from kdtheory.transfer_risk.curves import NestedStudents, TransferCurve, nested_students, transfer_curve
from kdtheory.transfer_risk.functions import KernelFunction, angle_between, interpolant, linear_function
from kdtheory.transfer_risk.inefficiency import data_inefficiency, flipped_teacher
from kdtheory.transfer_risk.large import LargeTransferCurve, large_transfer_curve
from kdtheory.transfer_risk.linear_students import (
    phuong19_margin_rate,
    phuong19_student,
    phuong19_transfer_risk,
)

__all__ = [
    "AngleTail",
    "KernelFunction",
    "LargeTransferCurve",
    "NestedStudents",
    "TransferCurve",
    "acute_angles",
    "angle_between",
    "angle_tail",
    "average_transfer_risk",
    "data_inefficiency",
    "dkw_width",
    "flipped_teacher",
    "interpolant",
    "isotropic_angle_tail",
    "ji20_transfer_risk",
    "label_free_transfer_risk",
    "large_transfer_curve",
    "linear_function",
    "misjudging_probability",
    "nested_students",
    "phuong19_margin_rate",
    "phuong19_student",
    "phuong19_transfer_risk",
    "power_function_transfer_risk",
    "projection_angle",
    "transfer_curve",
    "transfer_risk",
]
