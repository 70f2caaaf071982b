"""Claims as declared, examined and judged: what is incomplete is refused, what is blind is called blind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from kdtheory import bounds
from kdtheory import stats as library
from kdtheory.claims import (
    REGISTRY,
    Claim,
    Control,
    Mutant,
    Plan,
    Verdict,
    claim,
    examine,
    judge,
    judge_family,
    with_controls,
)
from kdtheory.claims.evidence import (
    Coverage,
    Evidence,
    Failure,
    Identity,
    Inequality,
    Joint,
    OutOfScope,
    WorstRatio,
)
from kdtheory.claims.examination import patched
from kdtheory.claims.wrong import Wrong, arguments, given, scaled, value
from kdtheory.doors import inside
from kdtheory.experiments import Experiment, Rows, Run
from kdtheory.losses import entropy
from kdtheory.stats import holm_adjusted
from kdtheory.streams import Stream


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """Claims made in these tests are forgotten after them."""
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


def _not_adjusted(p_values, /):
    return list(p_values)


def sums(run: Run, /, *, factor: float = 2.0) -> Rows:
    """Random numbers."""
    numbers = run.stream.child("numbers").numpy().random(run.size(quick=5, full=50))
    share = 2 * min(holm_adjusted([0.25, 0.5]))
    return Rows(by_factor=factor * share * numbers, by_adding=numbers + numbers)


def measured(measure: Callable[..., Rows] = sums, tuned_on: tuple[int, ...] = ()) -> Experiment:
    """An experiment that no registry keeps."""
    return Experiment(measure.__name__, measure, {"factor": 2.0}, tuned_on)


def declare(**changes) -> Claim:
    """A sound little claim, with parts of its declaration changed."""

    def doubling_is_adding(rows: Rows, /) -> Evidence:
        """Twice a number is the number plus itself.

        Judged on each.
        """
        return Identity.of(rows.by_factor, rows.by_adding, tolerance=1e-12)

    relation = changes.pop("relation", doubling_is_adding)
    declaration = {
        "section": "9.1",
        "formula": "2x = x + x",
        "source": "hinton2015distilling",
        "place": "derived here",
        "experiment": measured(),
        "control": Control("the factor is 3", factor=3.0),
        "mutants": (Mutant("no adjustment", holm_adjusted, _not_adjusted),),
    }
    return claim(**{**declaration, **changes})(relation)


def test_a_claim_knows_its_parts() -> None:
    made = declare()
    assert REGISTRY["doubling_is_adding"] is made
    assert made.statement == "Twice a number is the number plus itself."
    assert (made.chapter, made.premise, made.erratum) == (9, {"factor": 2.0}, False)
    assert made.control_brings is Verdict.REFUTED
    assert declare(expect=Verdict.REFUTED).control_brings is Verdict.SUPPORTED


def test_premise_control_and_mutant_run_the_same_check() -> None:
    found = examine(declare(), Plan(mutants=True))
    assert judge(found.premise) is Verdict.SUPPORTED
    assert judge(found.controls[0]) is Verdict.REFUTED
    assert found.mutants is not None
    assert judge(found.mutants["no adjustment"]) is Verdict.REFUTED
    assert found.premise.trials == 5
    assert examine(declare(), Plan(tier="full")).premise.trials == 50


def test_what_is_measured_depends_on_the_name_of_the_experiment_and_the_seed_only() -> None:
    made = declare()
    assert made.experiments[0].stream(4) == Stream(4).child("experiments", "sums")
    assert examine(made, Plan(seed=1)).premise == examine(made, Plan(seed=1)).premise


def test_what_a_claim_was_tuned_on_is_never_what_it_is_judged_on() -> None:
    assert declare(experiment=measured(tuned_on=(0, 3))).tuned_on == (0, 3)
    tuned = measured(tuned_on=(0, 3))
    before = {measured().stream(seed) for seed in tuned.tuned_on}
    shown = {tuned.stream(seed) for seed in range(50)}
    assert len(shown) == 50
    assert not before & shown
    first_draws = {stream.numpy().random() for stream in before}
    assert not first_draws & {stream.numpy().random() for stream in shown}
    again = measured(tuned_on=(0, 3, 7))  # tuned on one of the new streams: again none that was seen
    assert not (shown | before) & {again.stream(seed) for seed in range(50)}


def test_what_is_measured_and_the_rest_of_the_docstring_say_how_a_claim_is_judged() -> None:
    assert declare().how == "Random numbers.\n\nJudged on each."

    def long(rows: Rows, /) -> Evidence:
        """A statement
        of two lines.

        First
        paragraph.

        Second.
        """
        return OutOfScope(assumption="a", because="b")

    assert declare(relation=long).statement == "A statement of two lines."
    assert declare(relation=long).how == "Random numbers.\n\nFirst paragraph.\n\nSecond."


def test_each_of_several_controls_is_run() -> None:
    controls = (Control("the factor is 3", factor=3.0), Control("the factor is 2 and a bit", factor=2.1))
    made = declare(control=controls)
    assert made.controls == controls
    found = examine(made, Plan())
    assert [judge(control) for control in found.controls] == [Verdict.REFUTED] * 2
    assert found.controls[0] != found.controls[1]
    assert declare().controls == (Control("the factor is 3", factor=3.0),)


def test_a_mutant_that_cannot_be_planted_costs_one_row() -> None:
    def nameless(p_values, /): ...

    lone = Mutant("of a function that nothing names", nameless, _not_adjusted)
    found = examine(declare(mutants=(lone,)), Plan(mutants=True)).mutants
    assert found is not None
    assert "nothing refers" in found[lone.name].key_figure


def test_an_exception_is_an_error_and_not_a_pass() -> None:
    def breaks(rows: Rows, /) -> Evidence:
        """It breaks."""
        raise RuntimeError("out of luck")

    found = examine(declare(relation=breaks), Plan(mutants=True))
    assert judge(found.premise) is Verdict.ERROR
    assert "out of luck" in found.premise.key_figure
    assert (
        with_controls(judge(found.premise), [judge(found.controls[0])], brings=Verdict.REFUTED)
        is Verdict.ERROR
    )


def test_blind_is_whatever_the_control_did_not_bring() -> None:
    s, r, e = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.ERROR
    assert with_controls(s, [r], brings=r) is s
    assert with_controls(s, [s], brings=r) is Verdict.BLIND
    assert with_controls(s, [Verdict.INCONCLUSIVE], brings=r) is Verdict.BLIND
    assert with_controls(r, [s], brings=s) is r
    assert with_controls(s, [e], brings=r) is e
    assert with_controls(Verdict.OUT_OF_SCOPE, [s], brings=r) is Verdict.OUT_OF_SCOPE


def verdicts(family: list[Evidence]) -> list[Verdict]:
    return [judged.verdict for judged in judge_family(family)]


def test_the_family_shares_its_error_rate() -> None:
    one = Coverage(draws=100, violations=1, delta=0.05)  # p = 0.037: enough alone, not among ten
    exact = Identity.of([1.0], [1.0], tolerance=1e-9)
    supported, inconclusive = Verdict.SUPPORTED, Verdict.INCONCLUSIVE
    assert verdicts([one]) == [supported]
    assert verdicts([one, exact, exact]) == [supported] * 3
    assert verdicts([one] * 10 + [exact]) == [inconclusive] * 10 + [supported]
    scope = OutOfScope(assumption="a", because="b")
    assert verdicts([one, scope]) == [supported, Verdict.OUT_OF_SCOPE]


def test_a_part_of_joint_evidence_is_a_decision_like_any_other() -> None:
    one = Coverage(draws=100, violations=1, delta=0.05)  # p = 0.037
    sure = Coverage(draws=900, violations=1, delta=0.05)
    exact = Identity.of([1.0], [1.0], tolerance=1e-9)
    assert verdicts([Joint(parts={"a": one, "b": exact})]) == [Verdict.SUPPORTED]
    assert verdicts([Joint(parts={"a": one, "b": one})]) == [Verdict.INCONCLUSIVE]
    assert verdicts([Joint(parts={"a": one}), sure, sure]) == [Verdict.SUPPORTED] * 3  # Holm: the last of all
    assert verdicts([Joint(parts={"a": one}), one]) == [Verdict.INCONCLUSIVE] * 2
    assert judge(one, others=[1e-9]) is Verdict.SUPPORTED
    assert judge(one, others=[0.5]) is Verdict.INCONCLUSIVE


def test_the_parts_make_the_verdict_on_the_whole() -> None:
    exact, wrong = (Identity.of([x], [1.0], tolerance=1e-9) for x in (1.0, 2.0))
    trivial = Inequality.of([0.1], [1.0], trivial=1.0)
    scope, failed = OutOfScope(assumption="a", because="b"), Failure(error="e")
    loose = WorstRatio(attempts=1, ratio=0.5, must_reach=0.9)

    def whole(*parts: Evidence) -> Verdict:
        return judge(Joint(parts={str(n): part for n, part in enumerate(parts)}))

    assert whole(exact, wrong, failed, scope, loose) is Verdict.REFUTED
    assert whole(exact, failed, scope, loose) is Verdict.ERROR
    assert whole(exact, scope, loose) is Verdict.OUT_OF_SCOPE
    assert whole(exact, loose, trivial) is Verdict.INCONCLUSIVE
    assert whole(exact, trivial) is Verdict.SUPPORTED
    assert whole(trivial, trivial) is Verdict.VACUOUS
    nested = Joint(parts={"in": Joint(parts={"a": exact, "b": wrong}), "out": exact})
    assert judge_family([nested])[0].parts == {
        "in: a": Verdict.SUPPORTED, "in: b": Verdict.REFUTED, "out": Verdict.SUPPORTED
    }  # fmt: skip


def _half(**_settings: object) -> float:
    return 0.5


def test_a_package_that_is_asked_for_its_name_first_within_the_block_does_not_keep_the_wrong_one() -> None:
    right = bounds.hoeffding63_radius
    vars(bounds).pop("hoeffding63_radius")  # as if nobody had asked yet
    with patched(Mutant("half", right, _half)):
        assert bounds.hoeffding63_radius is _half
    assert bounds.hoeffding63_radius is right


def test_a_mutant_is_patched_wherever_the_package_refers_to_it() -> None:
    mutant = Mutant("no adjustment", library.holm_adjusted, _not_adjusted)
    from kdtheory.claims import verdict

    with patched(mutant):
        assert library.holm_adjusted is verdict.holm_adjusted is _not_adjusted
    assert library.holm_adjusted is verdict.holm_adjusted is not _not_adjusted


def test_a_mutant_of_nothing_is_refused() -> None:
    def nowhere() -> None: ...

    with pytest.raises(ValueError, match="nothing refers"), patched(Mutant("m", nowhere, nowhere)):
        pass


def test_claims_run_on_one_thread_and_put_it_back() -> None:
    seen = []

    def threads(rows: Rows, /) -> Evidence:
        """One thread."""
        seen.append(torch.get_num_threads())
        return Identity.of(np.ones(1), np.ones(1), tolerance=1e-9)

    before = torch.get_num_threads()
    examine(declare(relation=threads), Plan())
    assert (seen, torch.get_num_threads()) == ([1, 1], before)


def undocumented(rows: Rows, /) -> Evidence:
    return OutOfScope(assumption="a", because="b")


def sees_a_setting(rows: Rows, /, *, factor: float = 2.0) -> Evidence:
    """Something."""
    return OutOfScope(assumption="a", because="b")


def reads_two(rows: Rows, others: Rows, /) -> Evidence:
    """Something."""
    return OutOfScope(assumption="a", because="b")


def test_a_measurement_that_is_read_under_two_settings_is_told_once() -> None:
    def ones(_run: Run, /, *, factor: float = 1.0) -> Rows:
        """A hundred ones."""
        return Rows(one=[factor])

    def both(first: Rows, second: Rows, /) -> Evidence:
        """One is one."""
        return Identity.of(first.one, second.one, tolerance=1e-12)

    measured = Experiment("ones", ones, {"factor": 1.0})
    made = claim(
        section="9.1",
        formula="1 = 1",
        source="hinton2015distilling",
        place="derived here",
        experiment=(measured, measured.given(factor=1.5)),
        control=Control("both are doubled", factor=2.0),
        mutants=(Mutant("no adjustment", holm_adjusted, _not_adjusted),),
    )(both)
    assert made.how == "A hundred ones."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"control": Control("nothing")}, "overrides nothing"),
        ({"control": Control("the same", factor=2.0)}, "overrides nothing"),
        ({"control": Control("unknown", colour="red")}, "overrides colour"),
        ({"control": ()}, "no control"),
        ({"control": (Control("a", factor=3.0), Control("a", factor=4.0))}, "one reason"),
        ({"control": (Control("a", factor=3.0), Control("b", factor=2.0))}, "overrides nothing"),
        ({"reading": "'all' is read as 'any'"}, "not expected to be REFUTED"),
        ({"mutants": ()}, "no mutant"),
        ({"expect": Verdict.BLIND}, "nothing to expect"),
        ({"experiment": ()}, "no experiment"),
        ({"place": ""}, "derived here"),
        ({"relation": sees_a_setting}, "nothing else"),
        ({"relation": reads_two}, "2 arguments for 1 experiments"),
        ({"relation": undocumented}, "docstring is empty"),
    ],
)
def test_an_incomplete_declaration_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        declare(**changes)


def test_an_unknown_tier_is_refused() -> None:
    with pytest.raises(ValueError, match="tier = 'huge'"):
        Run(Stream(0), "huge")


@pytest.mark.parametrize(
    "wrong",
    [scaled(0.0), value(lambda found: 0 * found), arguments(torch.zeros_like), given(temperature=1e9)],
)
def test_a_wrong_version_is_wrong_behind_the_door_too(wrong: Wrong) -> None:
    logits = torch.tensor([[3.0, -1.0]])
    version = Mutant("wrong", entropy, wrong).wrong
    found = float(inside(version)(logits, temperature=1.0))
    assert found == float(version(logits, temperature=1.0)) != float(entropy(logits, temperature=1.0))
