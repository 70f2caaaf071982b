"""The certificates of one's own networks as one offline page."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from kdtheory.certify import Certificates
from kdtheory.plots import certificates_figure
from kdtheory.report.build import page_template

__all__ = ["certificates_page"]


def certificates_page(
    networks: Mapping[str, Certificates], measures: Mapping[str, Mapping[str, float]] | None = None, /
) -> str:
    """One self-contained page: what is certified of each network, its figure, every term, what is skipped.

    Args:
        networks: name ↦ what `certify` returned.
        measures: name ↦ what `evaluate` returned, for those networks that were evaluated.

    Raises:
        ValueError: there is no network, or a measure of one that is not there.
    """
    if not networks:
        raise ValueError("networks is empty; give at least one network's certificates")
    known = measures or {}
    if unknown := set(known) - set(networks):
        raise ValueError(f"measures has {min(unknown)!r}, and networks has not; name both alike")
    shown = [
        {
            "name": name,
            "found": found,
            "measures": known.get(name, {}),
            "figure": _embedded(
                certificates_figure(found.to_frame(), form="png", label="its error is at most")
            ),
        }
        for name, found in networks.items()
    ]
    return page_template("certificates.html.j2").render(networks=shown)


def _embedded(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
