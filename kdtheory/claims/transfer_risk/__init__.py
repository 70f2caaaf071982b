"""Chapter 6.2 and 6.4 to 6.10: linearised training and transfer risk."""

from kdtheory.claims.transfer_risk import (
    angles,
    average,
    dynamics,
    effective,
    inefficiency,
    linear,
    rates,
    refined,
)

__all__ = [
    "angles",
    "average",
    "dynamics",
    "effective",
    "inefficiency",
    "linear",
    "rates",
    "refined",
]
