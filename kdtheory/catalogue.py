"""The declarations of all claims, known without running or importing them: for `list`, `show` and `cite`.

`catalogue.json` is made from the registry by `python -m kdtheory.catalogue`; it also has the papers of bounds
and of functions that claims put to the test: the one that a function is named after, or else the claims'.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module, resources
from typing import TYPE_CHECKING, Any

from kdtheory import bibliography
from kdtheory.doors import gate

if TYPE_CHECKING:
    from kdtheory.claims import Claim

__all__ = ["catalogue", "described", "document", "in_order", "papers"]

Entry = dict[str, Any]
_AS_THEY_ARE = (
    "name", "section", "chapter", "topic", "order", "statement", "formula", "source", "place", "assumes",
    "how", "reading", "loose", "tuned_on", "erratum",
)  # fmt: skip
_PAPER = re.compile(r"([a-z]+)(\d\d)(?:_|$)")
"""How the name of a function begins that is a paper's result: golowich18_relu_net."""


@gate
def described(claim: Claim, /) -> Entry:
    """The declaration of a claim, as plain JSON types.

    Raises:
        ValueError: it is no claim.
    """
    from kdtheory.claims import Claim

    if not isinstance(claim, Claim):
        raise ValueError(f"claim = {claim!r} must be a Claim, as `REGISTRY` holds")
    same = {key: getattr(claim, key) for key in _AS_THEY_ARE}
    return {
        **{key: list(value) if isinstance(value, tuple) else value for key, value in same.items()},
        "module": claim.relation.__module__,
        "premise": _shown(claim.premise),
        "controls": [{"because": one.because, "overrides": _shown(one.overrides)} for one in claim.controls],
        "control_brings": claim.control_brings.name,
        "mutants": [mutant.name for mutant in claim.mutants],
        "expected": claim.expect.name,
        "power": claim.power.name if claim.power else "",
    }


def _shown(settings: Any) -> dict[str, str]:
    from kdtheory.experiments import shown

    return {key: shown(value) for key, value in settings.items()}


@gate
def in_order(entries: Iterable[Entry], /) -> list[Entry]:
    """Each claim once, by section, then by name."""
    unique = {entry["name"]: entry for entry in entries}.values()
    return sorted(unique, key=lambda one: (list(one["order"]), one["name"]))


@lru_cache(maxsize=1)
def catalogue() -> dict[str, dict[str, Any]]:
    """Declarations of claims, papers of functions, meanings of verdicts, by name; and formulas as MathML."""
    text = resources.files("kdtheory").joinpath("catalogue.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found


def document() -> dict[str, dict[str, Any]]:
    """The catalogue, made anew from the registry."""
    registry = import_module("kdtheory.claims").REGISTRY
    own = [claim for claim in registry.values() if claim.relation.__module__.startswith("kdtheory.")]
    formulas = import_module("kdtheory.report.formula").formulas
    bounds = [import_module(f"kdtheory.{name}") for name in ("bounds", "bounds.calibrated_ensembles")]
    cited: dict[str, set[str]] = {name: set() for one in bounds for name in one.__all__}
    for claim in own:
        tried = [*claim.mutants, *([claim.power] if claim.power else [])]
        for function in {one.target for one in tried}:
            cited.setdefault(function.__name__, set()).add(claim.source)
    return {
        "claims": {entry["name"]: entry for entry in in_order(map(described, own))},
        "functions": {name: papers(name) or sorted(cited[name]) for name in sorted(cited)},
        "verdicts": {verdict.name: verdict.value for verdict in import_module("kdtheory.claims").Verdict},
        "formulas": {claim.formula: formulas(claim.formula) for claim in own},
    }


@gate
def papers(function: str, /) -> list[str]:
    """The keys of the papers that a function is named after: golowich18_relu_net, hsu21.

    >>> papers("golowich18_relu_net")
    ['golowich2018size']
    """
    if (named := _PAPER.match(function)) is None:
        return []
    paper = re.compile(rf"{named[1]}\d\d{named[2]}\D")
    return list(filter(paper.match, bibliography.keys()))


if __name__ == "__main__":
    from kdtheory.files import write_json

    write_json(resources.files("kdtheory").joinpath("catalogue.json"), document())  # type: ignore[arg-type]
