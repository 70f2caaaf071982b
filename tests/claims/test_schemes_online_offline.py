"""Chapter 3.1: every claim of teachers and peers as declared, its mutants noticed."""

from __future__ import annotations

import pytest

import kdtheory.claims.schemes.online_offline as module
from kdtheory.claims import REGISTRY, Claim, Plan, Verdict, examine, judge, with_control

CLAIMS = [claim for claim in REGISTRY.values() if claim.check.__module__ == module.__name__]
ALPHA = 3e-4  # about what a ledger of a hundred and fifty decisions leaves of 0.05


def named(claim: Claim) -> str:
    return claim.name


def test_the_module_has_its_claims() -> None:
    assert len(CLAIMS) == 4
    assert {claim.section for claim in CLAIMS} == {"3.1"}


@pytest.mark.parametrize("claim", CLAIMS, ids=named)
def test_claim_and_control_come_out_as_declared(claim: Claim) -> None:
    examination = examine(claim, Plan(seed=0, device="cpu"))
    premise, control = (judge(part, alpha=ALPHA) for part in (examination.premise, examination.control))
    assert (premise, control) == (claim.expect, claim.control_brings)
    assert with_control(premise, control, brings=claim.control_brings) is claim.expect


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS, ids=named)
def test_every_mutant_changes_the_verdict(claim: Claim) -> None:
    mutants = examine(claim, Plan(seed=0, device="cpu", mutants=True)).mutants
    assert mutants
    for name, evidence in mutants.items():
        verdict = judge(evidence, alpha=ALPHA)
        assert verdict not in (claim.expect, Verdict.ERROR, Verdict.OUT_OF_SCOPE), name


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS, ids=named)
@pytest.mark.parametrize("seed", [1, 2])
def test_verdicts_do_not_depend_on_the_seed(claim: Claim, seed: int) -> None:
    examination = examine(claim, Plan(seed=seed, device="cpu"))
    assert judge(examination.premise, alpha=ALPHA) is claim.expect
    assert judge(examination.control, alpha=ALPHA) is claim.control_brings
