"""Chapter 5.8 end to end: every claim, its control and its mutants, at the quick tier."""

from __future__ import annotations

import pytest

import kdtheory.claims.certificates
import kdtheory.claims.transfer
from kdtheory.claims import REGISTRY, Plan, examine, judge, with_control
from kdtheory.claims.verdict import Verdict

MODULES = {kdtheory.claims.certificates.__name__, kdtheory.claims.transfer.__name__}
CLAIMS = {name: claim for name, claim in REGISTRY.items() if claim.check.__module__ in MODULES}
LEVEL = 1e-3
"""About what a ledger of fifty decisions leaves to each."""


def test_every_kind_of_certificate_has_a_claim() -> None:
    assert {claim.section for claim in CLAIMS.values()} == {"5.8"}
    assert len(CLAIMS) == 8


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_the_verdict_is_as_expected_and_the_control_as_declared(name: str) -> None:
    claim = CLAIMS[name]
    found = examine(claim, Plan(seed=0, device="cpu"))
    control = judge(found.control, alpha=LEVEL)
    assert control is claim.control_brings, found.control
    assert with_control(judge(found.premise, alpha=LEVEL), control, brings=control) is claim.expect, found


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_verdicts_do_not_depend_on_the_seed_and_mutants_change_them(name: str, seed: int) -> None:
    claim = CLAIMS[name]
    found = examine(claim, Plan(seed=seed, device="cpu", mutants=seed == 1))
    assert judge(found.premise, alpha=LEVEL) is claim.expect
    for evidence in (found.control, *(found.mutants or {}).values()):
        assert judge(evidence, alpha=LEVEL) is Verdict.REFUTED
