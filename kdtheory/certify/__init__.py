"""Certify a teacher: every bound that applies to it and its student, side by side, at one δ for all."""

from __future__ import annotations

from kdtheory.certify.by_logits import certify_logits
from kdtheory.certify.division import Division, split
from kdtheory.certify.door import certify
from kdtheory.certify.lines import LINES, PARTS, SHIPPED
from kdtheory.certify.plan import WITNESSES, ShipPlan, WitnessPlan
from kdtheory.certify.result import Certificates
from kdtheory.certify.ship import Shipped
from kdtheory.certify.word import ASSUMPTIONS

__all__ = [
    "ASSUMPTIONS",
    "LINES",
    "PARTS",
    "SHIPPED",
    "WITNESSES",
    "Certificates",
    "Division",
    "ShipPlan",
    "Shipped",
    "WitnessPlan",
    "certify",
    "certify_logits",
    "split",
]
