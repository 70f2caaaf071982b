"""Evidence as plain JSON types and back: `{"kind": …, …numbers…}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdtheory.claims.evidence.compound import Failure, Joint, OutOfScope
from kdtheory.claims.evidence.counted import Coverage
from kdtheory.claims.evidence.exact import Identity, Inequality, WorstRatio
from kdtheory.claims.evidence.kind import Evidence
from kdtheory.claims.evidence.sampled import Equality, MeanInequality, Rate
from kdtheory.doors import gate

__all__ = ["KINDS", "from_record", "to_record"]

KINDS: dict[str, type[Evidence]] = {
    kind.kind: kind
    for kind in (
        Identity, Inequality, WorstRatio, MeanInequality, Equality, Rate, Coverage, Joint, OutOfScope, Failure
    )
}  # fmt: skip


@gate
def to_record(evidence: Evidence, /) -> dict[str, Any]:
    """The evidence as plain JSON types, with the p-values that its verdict rests on."""
    return evidence.to_plain()


@gate
def from_record(record: Mapping[str, Any], /) -> Evidence:
    """The evidence that `to_record` wrote.

    Raises:
        ValueError: the record is of no known kind, lacks a field, or has one of another type.
    """
    return Evidence.from_plain(record, "evidence")
