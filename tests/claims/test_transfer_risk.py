"""Chapter 6.2 and 6.4 to 6.10 of the ledger: every claim as declared, every numbered statement with one."""

from __future__ import annotations

import pytest
import torch

from kdtheory.claims import REGISTRY, Claim, Plan, Verdict, examine, judge, transfer_risk, with_control
from kdtheory.claims.transfer_risk.rates import DIM, REACH, slab_angles, slab_features, slab_risks
from kdtheory.streams import Stream

CLAIMS = [claim for claim in REGISTRY.values() if claim.check.__module__.startswith(transfer_risk.__name__)]
ALPHA = 1e-3  # about what a ledger of fifty decisions leaves of 0.05


def named(claim: Claim) -> str:
    return claim.name


def test_every_numbered_statement_has_a_claim() -> None:
    assert {claim.section for claim in CLAIMS} == {"6.2", "6.4", "6.5", "6.6", "6.7", "6.8", "6.9", "6.10"}
    assert {claim.section for claim in CLAIMS if claim.erratum} == {"6.2", "6.5"}
    assert {claim.section for claim in CLAIMS if claim.expect is Verdict.VACUOUS} == {"6.5", "6.10"}


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
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_verdicts_do_not_depend_on_the_seed(claim: Claim, seed: int) -> None:
    examination = examine(claim, Plan(seed=seed, device="cpu"))
    assert judge(examination.premise, alpha=ALPHA) is claim.expect
    assert judge(examination.control, alpha=ALPHA) is claim.control_brings


def test_risk_in_the_slab_is_what_fresh_points_say() -> None:
    stream = Stream(0)
    seen, fresh = (slab_features(k, 1.0, 0.0, stream.child(k)) for k in (4, 4000))
    angle = slab_angles(seen, (4,))
    student = torch.linalg.lstsq(seen, seen[:, :1], driver="gelsd").solution[:, 0]
    wrong = ((fresh @ student).sign() != fresh[:, 0].sign()).double()
    expected = float(slab_risks(angle, 1.0)[0])
    assert DIM > 1000
    assert REACH == 1.0
    assert float(wrong.mean()) == pytest.approx(expected, abs=4.5 * (expected / 4000) ** 0.5)
    assert expected > 0
