"""Chapter 5 of the ledger without 5.8: every claim as declared, every numbered statement with a claim."""

from __future__ import annotations

import importlib

import pytest
import torch

from kdtheory.bounds.margins import distillation_error
from kdtheory.claims import REGISTRY, Claim, Plan, Verdict, examine, judge, with_control
from kdtheory.claims.memoriser import STUDENT, memoriser, said
from kdtheory.claims.two_gaussians import linear_error, two_gaussians, two_sided
from kdtheory.streams import Stream

MODULES = (
    "margins", "lipschitz", "complexity", "deviation", "distillation", "memoriser", "vacuity", "supervision"
)  # fmt: skip
for module in MODULES:
    importlib.import_module(f"kdtheory.claims.{module}")
CLAIMS = [
    claim for claim in REGISTRY.values() if claim.check.__module__.removeprefix("kdtheory.claims.") in MODULES
]
ALPHA = 1e-3  # about what a ledger of fifty decisions leaves of 0.05


def named(claim: Claim) -> str:
    return claim.name


def test_every_numbered_statement_has_a_claim() -> None:
    sections = {"5.1", "5.2", "5.3", "5.4", "5.5", "5.6", "5.7", "5.9", "5.10"}
    assert {claim.section for claim in CLAIMS} == sections
    assert sum(claim.section == "5.2" for claim in CLAIMS) == 4  # one for each constant
    assert {claim.section for claim in CLAIMS if claim.erratum} == {"5.3", "5.7"}
    assert {claim.section for claim in CLAIMS if claim.expect is Verdict.VACUOUS} == {"5.9"}


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


def test_the_memoriser_is_the_student_on_its_points_and_the_opposite_elsewhere() -> None:
    inputs, labels = two_gaussians(300, Stream(0).child("seen"))
    net, on_hats = memoriser(inputs)
    student, taught = two_sided(STUDENT, inputs), said(net, inputs)
    assert float(distillation_error(student, taught, labels, gamma=0.3)) < 1e-4
    fresh, truth = two_gaussians(20_000, Stream(0).child("fresh"))
    assert on_hats < 1e-3
    on_a_hat = (said(net, fresh) + two_sided(STUDENT, fresh)).abs().amax(-1) > 1e-3
    assert float(on_a_hat.double().mean()) < 2 * on_hats
    wrong = float((said(net, fresh).argmax(-1) != truth).double().mean())
    assert wrong == pytest.approx(1 - linear_error(STUDENT), abs=4 * (0.0063 / 20_000) ** 0.5)


def test_linear_error_is_what_fresh_points_say() -> None:
    inputs, labels = two_gaussians(200_000, Stream(0))
    direction = torch.tensor([1.0, 0.8], dtype=torch.float64)
    wrong = float((two_sided(direction, inputs).argmax(-1) != labels).double().mean())
    error = linear_error(direction)
    assert wrong == pytest.approx(error, abs=4 * (error / 200_000) ** 0.5)
