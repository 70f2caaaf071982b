"""Chapter 2 end to end: every claim, its control and its mutants, at the quick tier."""

from __future__ import annotations

import pytest

from kdtheory.claims import REGISTRY, Plan, examine, judge, with_control

CLAIMS = {name: claim for name, claim in REGISTRY.items() if claim.chapter == 2}
LEVEL = 1e-4


@pytest.fixture(scope="module")
def examinations():
    return {name: examine(claim, Plan(seed=0, device="cpu", mutants=True)) for name, claim in CLAIMS.items()}


def test_every_item_of_the_chapter_has_a_claim():
    assert {claim.section for claim in CLAIMS.values()} == {"2.1", "2.2", "2.3", "2.4", "2.5"}
    assert {claim.section for claim in CLAIMS.values() if claim.erratum} == {"2.1", "2.3"}


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_the_verdict_is_as_expected_and_the_control_as_declared(name, examinations):
    claim, found = CLAIMS[name], examinations[name]
    control = judge(found.control, alpha=LEVEL)
    assert control is claim.control_brings, found.control
    assert with_control(judge(found.premise, alpha=LEVEL), control, brings=control) is claim.expect, found


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_every_mutant_changes_the_verdict(name, examinations):
    for mutant, evidence in examinations[name].mutants.items():
        verdict = judge(evidence, alpha=LEVEL)
        assert verdict is CLAIMS[name].control_brings, f"{mutant}: {verdict.name}, {evidence.key_figure}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_verdicts_do_not_depend_on_the_seed(name, seed):
    claim, found = CLAIMS[name], examine(CLAIMS[name], Plan(seed=seed, device="cpu", mutants=True))
    assert judge(found.premise, alpha=LEVEL) is claim.expect
    for evidence in (found.control, *found.mutants.values()):
        assert judge(evidence, alpha=LEVEL) is claim.control_brings
