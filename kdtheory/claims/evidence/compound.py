"""Evidence made of parts, and the two ways in which a check brings none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kdtheory.claims.evidence.kind import Evidence
from kdtheory.doors import gate
from kdtheory.stats import holm_adjusted

__all__ = ["Failure", "Joint", "OutOfScope"]


@gate
@dataclass(frozen=True, kw_only=True)
class Joint(Evidence):
    """Several parts that must all hold; each is judged for itself, and one refuted part refutes the whole."""

    kind: ClassVar[str] = "joint"
    parts: Mapping[str, Evidence]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.parts:
            raise ValueError("a joint claim needs at least one part")

    @property
    def leaves(self) -> Mapping[str, Evidence]:
        """The parts by name; those of a part that has parts itself as "part: part of it"."""
        return {
            f"{name}: {inner}" if inner else name: leaf
            for name, part in self.parts.items()
            for inner, leaf in part.leaves.items()
        }

    @property
    def p_against(self) -> float:
        """The smallest of the parts, adjusted for their number by Holm where chance decides; to be read."""
        leaves = self.leaves.values()
        sure = [leaf.p_against for leaf in leaves if not leaf.sampled]
        return min([*sure, *holm_adjusted([leaf.p_against for leaf in leaves if leaf.sampled])])

    @property
    def p_in_favour(self) -> float:
        """The largest of the parts; to be read, for a verdict is made of the parts' verdicts."""
        return max(leaf.p_in_favour for leaf in self.leaves.values())

    @property
    def key_figure(self) -> str:
        """The figure of the part that decides: of those that lean to failing, if any do, the surest one;
        else the one that is least sure to hold."""
        leaves = self.leaves.values()
        if failing := [leaf for leaf in leaves if leaf.p_against < leaf.p_in_favour]:
            return min(failing, key=lambda leaf: leaf.p_against).key_figure
        return max(leaves, key=lambda leaf: leaf.p_in_favour).key_figure


@gate
@dataclass(frozen=True, kw_only=True)
class OutOfScope(Evidence):
    """An assumption of the claim is not met here, and why: no evidence either way."""

    kind: ClassVar[str] = "out of scope"
    assumption: str
    because: str

    @property
    def p_against(self) -> float:
        return 1.0

    @property
    def p_in_favour(self) -> float:
        return 1.0

    @property
    def key_figure(self) -> str:
        return f"{self.assumption.rstrip('.')}: {self.because}"


@gate
@dataclass(frozen=True, kw_only=True)
class Failure(Evidence):
    """The check raised an exception instead of bringing evidence."""

    kind: ClassVar[str] = "error"
    error: str
    traceback: str = ""

    @property
    def p_against(self) -> float:
        return 1.0

    @property
    def p_in_favour(self) -> float:
        return 1.0

    @property
    def key_figure(self) -> str:
        return self.error
