"""The page on folklore names every claim of its chapter, in order, with the verdict that is expected."""

from __future__ import annotations

from pathlib import Path

from kdtheory.claims import REGISTRY, Plan
from kdtheory.experiments.folklore.students import members_of

PAGE = Path(__file__).parents[1] / "docs" / "folklore.md"


def test_the_page_has_the_number_of_networks() -> None:
    words = " ".join(PAGE.read_text().split())
    assert f"with {members_of(Plan(seed=0).run)} networks a side" in words


def test_the_table_is_that_of_the_chapter() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| 10.")]
    told = {}
    for line in lines:
        section, _, outcome, _, name = (cell.strip() for cell in line.strip("|").split("|"))
        told[name.strip("`")] = (section, outcome)
    claims = {claim.name: claim for claim in REGISTRY.values() if claim.section.startswith("10.")}
    assert set(told) == set(claims)
    for name, (section, outcome) in told.items():
        assert section == claims[name].section
        assert claims[name].expect.name in outcome
    assert [section for section, _ in told.values()] == sorted(
        (section for section, _ in told.values()), key=lambda one: int(one.split(".")[1])
    )
