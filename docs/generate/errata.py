"""The names of the claims that are expected to be refuted, for `make docs`, which executes them."""

from __future__ import annotations

import sys

from kdtheory.catalogue import catalogue


def errata() -> list[str]:
    """The names of printed statements that are expected to be refuted."""
    return [name for name, entry in catalogue()["claims"].items() if entry["erratum"]]


if __name__ == "__main__":
    sys.stdout.write(" ".join(errata()))
