"""Recorded values as a reader wants to see them: four significant digits, powers of ten, real minus signs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["numeral", "reworded", "rows"]

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def numeral(value: Any, /) -> str:
    """One recorded value as text.

    >>> numeral(0.123456), numeral(-2.5e-7), numeral(1e-9), numeral(60000), numeral(True)
    ('0.1235', '−2.5×10⁻⁷', '10⁻⁹', '60,000', 'yes')
    >>> numeral([0.5, 1, "a"])
    '0.5, 1, a'
    """
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if isinstance(value, float):
        return _real(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(numeral, value))
    return str(value)


def _real(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.3e}".split("e")
    power = int(exponent)
    if -4 < power < 6:
        plain = f"{value:,.{max(0, 3 - power)}f}"
        return _trimmed(plain).replace("-", "−")
    raised = f"10{str(power).translate(_RAISED)}"
    digits = _trimmed(mantissa).replace("-", "−")
    return {"1": raised, "−1": f"−{raised}"}.get(digits, f"{digits}×{raised}")


def _trimmed(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


_WRITTEN = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:(e[-+]?\d+)|(?![\w.]*\w))")


def reworded(sentence: str, /) -> str:
    """A sentence whose powers of ten and minus signs are those of `numeral`; other digits stay.

    >>> reworded("worst error 2.3e-16 of the effect, slope -1.006, 300 trials")
    'worst error 2.3×10⁻¹⁶ of the effect, slope −1.006, 300 trials'
    """
    return _WRITTEN.sub(lambda one: numeral(float(one[0])) if one[1] else one[0].replace("-", "−"), sentence)


def rows(values: Mapping[str, Any], /, *, within: str = "") -> list[tuple[str, str]]:
    """Named values as (label, text) rows; a mapping among them is spread out, and None is left out.

    >>> rows({"limit": 0.5, "found": {"at_n": 100}, "counterexample": None})
    [('limit', '0.5'), ('found · at n', '100')]
    """
    spread: list[tuple[str, str]] = []
    for name, value in values.items():
        label = f"{within} · {name}" if within else str(name)
        if isinstance(value, Mapping):
            spread += rows(value, within=label)
        elif value is not None:
            spread.append((label.replace("_", " "), numeral(value)))
    return spread
