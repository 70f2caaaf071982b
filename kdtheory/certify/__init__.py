"""Certify a teacher: every bound that applies to it and its student, side by side, at one δ for all."""

from __future__ import annotations

from kdtheory.certify.door import certify, certify_logits
from kdtheory.certify.lines import LINES
from kdtheory.certify.result import Certificates
from kdtheory.certify.witnesses import WITNESSES, WitnessPlan

__all__ = ["LINES", "WITNESSES", "Certificates", "WitnessPlan", "certify", "certify_logits"]
