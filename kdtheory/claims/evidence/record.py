"""Evidence as a JSON object and back: `{"kind": …, …numbers…}`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from kdtheory.claims.evidence.compound import Failure, Joint, OutOfScope
from kdtheory.claims.evidence.exact import Identity, Inequality, WorstRatio
from kdtheory.claims.evidence.kind import Evidence
from kdtheory.claims.evidence.sampled import Coverage, Equality, MeanInequality, Rate

__all__ = ["KINDS", "from_record", "to_record"]

KINDS: dict[str, type[Evidence]] = {
    kind.kind: kind
    for kind in (
        Identity, Inequality, WorstRatio, MeanInequality, Equality, Rate, Coverage, Joint, OutOfScope, Failure
    )
}  # fmt: skip


def to_record(evidence: Evidence, /) -> dict[str, Any]:
    """The evidence as plain JSON types, with the p-values that its verdict rests on."""
    values = {entry.name: getattr(evidence, entry.name) for entry in dataclasses.fields(evidence)}
    return {
        "kind": evidence.kind,
        **{name: _plain(value) for name, value in values.items()},
        "p_holds": evidence.p_holds,
        "p_fails": evidence.p_fails,
        "key_figure": evidence.key_figure,
    }


def from_record(record: Mapping[str, Any], /) -> Evidence:
    """The evidence that `to_record` wrote.

    Raises:
        ValueError: the record is of no known kind or lacks a field.
    """
    kind = KINDS.get(record.get("kind", ""))
    if kind is None:
        raise ValueError(f"evidence of kind {record.get('kind')!r} is not known; the record is damaged")
    names = {entry.name for entry in dataclasses.fields(kind)}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in record.items()
        if name in names
    }
    if kind is Joint:
        values["parts"] = {name: from_record(part) for name, part in values["parts"].items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"a record of kind {kind.kind!r} is damaged: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Evidence):
        return to_record(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic, Tensor)):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
