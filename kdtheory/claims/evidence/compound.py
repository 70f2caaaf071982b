"""Evidence made of parts, and the two ways in which a check brings none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kdtheory.claims.evidence.kind import Evidence

__all__ = ["Failure", "Joint", "OutOfScope"]


@dataclass(frozen=True, kw_only=True)
class Joint(Evidence):
    """Several parts that must all hold (intersection–union test); one refuted part refutes the whole."""

    kind: ClassVar[str] = "joint"
    parts: Mapping[str, Evidence]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("a joint claim needs at least one part")

    @property
    def statistical(self) -> bool:
        """Whether chance decides any part."""
        return any(part.statistical for part in self.parts.values())

    @property
    def p_fails(self) -> float:
        sure = [part.p_fails for part in self.parts.values() if not part.statistical]
        sampled = [part.p_fails for part in self.parts.values() if part.statistical]
        # Bonferroni over the sampled parts: any of them could refute by chance.
        return min([1.0, *sure, *(len(sampled) * p for p in sampled)])

    @property
    def p_holds(self) -> float:
        return max(part.p_holds for part in self.parts.values())

    @property
    def says_nothing(self) -> bool:
        return all(part.says_nothing for part in self.parts.values())

    @property
    def key_figure(self) -> str:
        """The figure of the part that decides: the least sure one."""
        refuting = min(self.parts.values(), key=lambda part: part.p_fails)
        if refuting.p_fails < 0.05:
            return refuting.key_figure
        return max(self.parts.values(), key=lambda part: part.p_holds).key_figure


@dataclass(frozen=True, kw_only=True)
class OutOfScope(Evidence):
    """An assumption of the claim is not met here, and why: no evidence either way."""

    kind: ClassVar[str] = "out of scope"
    assumption: str
    because: str

    @property
    def p_fails(self) -> float:
        return 1.0

    @property
    def p_holds(self) -> float:
        return 1.0

    @property
    def key_figure(self) -> str:
        return f"{self.assumption.rstrip('.')}: {self.because}"


@dataclass(frozen=True, kw_only=True)
class Failure(Evidence):
    """The check raised an exception instead of bringing evidence."""

    kind: ClassVar[str] = "error"
    error: str
    traceback: str = ""

    @property
    def p_fails(self) -> float:
        return 1.0

    @property
    def p_holds(self) -> float:
        return 1.0

    @property
    def key_figure(self) -> str:
        return self.error
