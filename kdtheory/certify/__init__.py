"""Certify a teacher: every bound that applies to it and its student, side by side, at one δ for all."""

from __future__ import annotations

from kdtheory.certify.by_logits import certify_logits
from kdtheory.certify.door import certify
from kdtheory.certify.lines import LINES
from kdtheory.certify.plan import WITNESSES, WitnessPlan
from kdtheory.certify.result import Certificates

__all__ = ["LINES", "WITNESSES", "Certificates", "WitnessPlan", "certify", "certify_logits"]
