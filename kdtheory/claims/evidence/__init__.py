"""Evidence: one frozen record per kind of evidence, made of plain numbers."""

from kdtheory.claims.evidence.compound import Failure, Joint, OutOfScope
from kdtheory.claims.evidence.counted import Coverage
from kdtheory.claims.evidence.exact import Identity, Inequality, WorstRatio
from kdtheory.claims.evidence.kind import Evidence
from kdtheory.claims.evidence.record import from_record, to_record
from kdtheory.claims.evidence.sampled import Equality, MeanInequality, Rate

__all__ = [
    "Coverage",
    "Equality",
    "Evidence",
    "Failure",
    "Identity",
    "Inequality",
    "Joint",
    "MeanInequality",
    "OutOfScope",
    "Rate",
    "WorstRatio",
    "from_record",
    "to_record",
]
