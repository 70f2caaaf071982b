"""Certificates are above a risk that is known, and say something."""

from __future__ import annotations

from certified import (
    ANY_PAIR,
    ROOT,
    STUDENT,
    TEACHER,
    says,
    world,
)
from scipy import stats

from kdtheory import MLP, certify, train
from kdtheory.certify import LABEL_RECIPE, STUDENT_RECIPE, WitnessPlan, certify_logits
from kdtheory.losses import label_loss
from kdtheory.recipe import Recipe
from kdtheory.roles import ROLES


def test_certificates_hold_together_on_a_world_of_known_risk() -> None:
    """Hold-out and unlabelled points drawn anew, at a δ large enough to be missed now and then."""
    known, delta, draws = world(), 0.3, 120
    tables = [says(module, known.inputs.float()) for module in (TEACHER, STUDENT)]
    chosen = tables[0].argmax(-1, keepdim=True)
    risk = float(known.expectation(1 - known.posterior(known.inputs).gather(-1, chosen).squeeze(-1)))
    missed = dict.fromkeys(("holdout", "student_holdout", "distillation", "any"), 0)
    values = []
    for draw in range(draws):
        labelled = known.sample(60, ROOT.child("coverage", draw, "labelled"))
        others = known.sample(60, ROOT.child("coverage", draw, "others"))
        found = certify_logits(
            tables[0][labelled.atoms],
            labelled.labels,
            student_logits=tables[1][labelled.atoms],
            teacher_unlabelled=tables[0][others.atoms],
            student_unlabelled=tables[1][others.atoms],
            delta=delta,
            may_share=ANY_PAIR,
            may_repeat=ROLES,
            fixed_in_advance=True,
        )
        below = {name for name, bound in found.lines.items() if bound.certificate and bound.value < risk}
        for name in missed:
            missed[name] += name in below if name != "any" else bool(below)
        values.append(found.lines["holdout"].value)
    for name, count in missed.items():
        allowed = delta if name == "any" else found.shares[name]
        assert stats.binomtest(count, draws, allowed, alternative="greater").pvalue > 1e-3, (name, count)
    assert missed["holdout"] > 0, "never missed at such a δ: not tight"
    assert sum(values) / draws < 2 * risk


def test_certificates_with_witnesses_are_above_a_known_risk_and_say_something() -> None:
    known = world()
    sample = known.sample(600, ROOT.child("witnessed"))
    others = known.sample(600, ROOT.child("others"))
    inputs, labels = sample.inputs.float(), sample.labels
    few = {"recipe": Recipe(steps=150, learning_rate=0.01), "members": 1, "device": "cpu"}
    overfit = train(MLP((64, 32, 10)), inputs, labels, loss=label_loss, stream=ROOT.child("overfit"), **few)
    chosen = overfit.logits(known.inputs.float())[0].argmax(-1, keepdim=True)
    risk = float(known.expectation(1 - known.posterior(known.inputs).gather(-1, chosen).squeeze(-1)))
    told: list[tuple[int, int]] = []
    found = certify(
        overfit.module(0),
        train=(inputs, labels),
        unlabelled=others.inputs.float(),
        witness=WitnessPlan(
            members=2,
            held_out=0.3,
            recipe=LABEL_RECIPE.but(steps=100, learning_rate=0.01),
            students=STUDENT_RECIPE.but(steps=80, learning_rate=0.01),
        ),
        may_share=ANY_PAIR,
        may_repeat=ROLES,
        stream=ROOT.child("witnesses"),
        device="cpu",
        progress=lambda done, total: told.append((done, total)),
        fixed_in_advance=True,
    )
    for name in ("witness_holdout", "witness_coded", "witness_stochastic"):
        assert risk < found.lines[name].value < 1, name
        assert found.lines[name].quantities["training steps"] == 280
    assert found.lines["witness_holdout"].value < 2.5 * risk
    assert found.lines["training_error"].value < risk, "the heuristic is one"
    assert told[-1] == (280, 280)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
