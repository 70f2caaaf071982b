"""Chapter 7: every numbered statement has a claim, the notes' conclusion is an erratum, seeds and mutants."""

from __future__ import annotations

import pytest

from kdtheory.claims import REGISTRY, Plan, examine, judge

CLAIMS = {name: claim for name, claim in REGISTRY.items() if claim.chapter == 7}
LEVEL = 1e-3


def test_every_numbered_statement_has_a_claim() -> None:
    assert {claim.section for claim in CLAIMS.values()} == {f"7.{item}" for item in range(1, 8)}
    assert {name for name, claim in CLAIMS.items() if claim.erratum} == {
        "distillation_forces_every_feature_in_the_printed_world"
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_the_verdict_the_control_and_the_mutants_come_out_as_declared(name: str) -> None:
    claim, found = CLAIMS[name], examine(CLAIMS[name], Plan(seed=0, device="cpu", mutants=True))
    assert judge(found.premise, alpha=LEVEL) is claim.expect, found.premise
    assert judge(found.control, alpha=LEVEL) is claim.control_brings, found.control
    for mutant, evidence in (found.mutants or {}).items():
        assert judge(evidence, alpha=LEVEL) is not claim.expect, mutant
