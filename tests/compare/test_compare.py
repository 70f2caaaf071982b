"""Student and teacher compared: as arrays, modules and files; plans and their answers; exit codes."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from kdtheory import cli
from kdtheory.answers import percent
from kdtheory.bounds.assumptions import PLANNED
from kdtheory.bounds.paired import difference_upper_limit
from kdtheory.bounds.where_they_differ import planned_upper_limit
from kdtheory.cli._compared import read_answers
from kdtheory.compare import Answers, Guess, LabelPlan, compare, labels_needed, plan_labels, ways_ahead
from kdtheory.inversion import binomial_upper_limit

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 700)
TEACHER = np.where(RNG.random(700) < 0.03, (LABELS + 1) % 4, LABELS)
STUDENT = np.where(RNG.random(700) < 0.05, (TEACHER + 2) % 4, TEACHER)
HELD, REST = slice(0, 300), slice(300, None)
SAID = [{"holdout": who[HELD], "unlabelled": who[REST]} for who in (STUDENT, TEACHER)]
FIXED = {"fixed_in_advance": True}


def test_every_line_that_applies_and_shares_that_sum_to_delta() -> None:
    found = compare(*SAID, holdout=LABELS[HELD], **FIXED, margin=0.2, most=0.2)
    assert set(found.lines) == {"agreement", "cost", "gain", "student_error", "few_labels"}
    assert set(found.skipped) == {"where_they_differ", "stratified"}
    assert sum(bound.delta for bound in found.lines.values()) < found.delta
    assert all(bound.certificate for bound in found.lines.values())
    wrong = [who[HELD] != LABELS[HELD] for who in (STUDENT, TEACHER)]
    counts = int((wrong[0] & ~wrong[1]).sum()), int((wrong[1] & ~wrong[0]).sum())
    cost = found.lines["cost"]
    assert cost.value == difference_upper_limit(*counts, 300, delta=cost.delta)
    assert found.shown
    seen = f"the student classified {wrong[0].sum()} wrongly and its teacher {wrong[1].sum()}; with 95 %"
    assert found.statement.startswith(f"Of 300 labelled points that neither had seen {seen}")
    assert found.statement.endswith("a margin of 20 is shown")
    assert json.loads(json.dumps(found.to_json()))["shown"] is True
    assert set(found.to_frame().line) == set(found.lines)


def test_word_makes_heuristics_and_a_margin_is_not_shown_by_them() -> None:
    found = compare(*SAID, holdout=LABELS[HELD], fixed_in_advance=False, margin=0.2)
    assert not found.shown
    assert found.cost is None
    for unmet in (["one_law"], "one_law"):  # a single name may stand alone, as in `certify`
        other = compare(*SAID, holdout=LABELS[HELD], **FIXED, unmet=unmet)
        assert not other.lines["few_labels"].certificate
        assert other.lines["cost"].certificate


def test_a_limit_at_the_margin_shows_it() -> None:
    cost = compare(*SAID, holdout=LABELS[HELD], **FIXED).cost
    assert cost is not None
    assert compare(*SAID, holdout=LABELS[HELD], **FIXED, margin=cost.value).shown
    assert not compare(*SAID, holdout=LABELS[HELD], **FIXED, margin=math.nextafter(cost.value, 0.0)).shown


def test_a_margin_is_told_as_it_was_given() -> None:
    """Rounded in either direction it would be another one, shown or not."""
    for margin, told in ((0.012344, "1.2344"), (0.0123456789, "1.23456789"), (-0.00012349, "-0.012349")):
        found = compare(*SAID, holdout=LABELS[HELD], **FIXED, margin=margin)
        assert found.statement.endswith(f": a margin of {told} is not shown")
        assert any(f"a margin of {told} %," in said for said in found.ahead)


def test_how_many_labels_are_planned_is_fixed_beforehand_or_it_is_no_certificate() -> None:
    plan = plan_labels(*(said["unlabelled"] for said in SAID), labels=5, seed=1)
    rows = np.array(plan.indices)
    for fixed in (True, False):
        found = compare(
            *SAID,
            holdout=LABELS[HELD],
            answers=Answers(plan, rows, LABELS[REST][rows]),
            fixed_in_advance=fixed,
        )
        assert found.lines["where_they_differ"].assumptions[PLANNED] is fixed
    assert PLANNED.startswith("how many points to label was fixed beforehand")


def test_modules_say_what_their_logits_say() -> None:
    student, teacher = nn.Linear(3, 4), nn.Linear(3, 4)
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(1))
    y = torch.arange(100) % 4
    by_module = compare(student, teacher, holdout=(x[:100], y), unlabelled=x[100:], **FIXED)
    tables = [
        {"holdout": net(x[:100]).detach(), "unlabelled": net(x[100:]).detach()} for net in (student, teacher)
    ]
    by_logits = compare(*tables, holdout=y, **FIXED)
    assert by_module.to_json() == by_logits.to_json()
    assert "stratified" in by_module.lines


def test_a_plan_is_drawn_where_they_differ_and_answered_once() -> None:
    both = SAID[0]["unlabelled"], SAID[1]["unlabelled"]
    plan = plan_labels(*both, labels=8, seed=3)
    rows = np.array(plan.indices)
    assert len(rows) == 8
    assert (both[0][rows] != both[1][rows]).all()
    assert LabelPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    order = rows[::-1].copy()
    found = compare(*SAID, holdout=LABELS[HELD], answers=Answers(plan, order, LABELS[REST][order]), **FIXED)
    line = found.lines["where_they_differ"]
    assert line.quantities["labelled"] == 8
    won, lost = line.quantities["won"], line.quantities["lost"]
    assert line.terms["difference"] == pytest.approx((both[0] != both[1]).mean() * (lost - won) / 8)
    assert line.value == pytest.approx(sum(line.terms.values()))
    assert line.certificate
    assert found.points["planned"] == 8


def test_other_points_other_predictions_and_edited_plans_are_refused() -> None:
    both = SAID[0]["unlabelled"], SAID[1]["unlabelled"]
    plan = plan_labels(*both, labels=8, seed=3)
    rows = np.array(plan.indices)
    truth = LABELS[REST]

    def ask(answers: Answers, student: dict = SAID[0]) -> None:
        compare(student, SAID[1], holdout=LABELS[HELD], answers=answers, **FIXED)

    stranger = next(i for i in range(400) if i not in plan.indices)
    other = np.r_[rows[:-1], stranger]
    with pytest.raises(ValueError, match=f"point {stranger} is not in the plan"):
        ask(Answers(plan, other, truth[other]))
    with pytest.raises(ValueError, match="1 planned points have no label"):
        ask(Answers(plan, rows[:-1], truth[rows[:-1]]))
    twice = np.r_[rows, rows[:1]]
    with pytest.raises(ValueError, match="two labels"):
        ask(Answers(plan, twice, truth[twice]))
    chosen = replace(plan, indices=tuple(sorted(plan.indices)))
    with pytest.raises(ValueError, match="it was edited"):
        ask(Answers(chosen, rows, truth[rows]))
    moved = {**SAID[0], "unlabelled": np.roll(SAID[0]["unlabelled"], 1)}
    with pytest.raises(ValueError, match="other predictions"):
        ask(Answers(plan, rows, truth[rows]), moved)
    with pytest.raises(ValueError, match="differ nowhere"):
        plan_labels(both[0], both[0], labels=3, seed=0)


def test_beforehand_the_shortest_way_and_the_labels_that_a_margin_needs() -> None:
    guess = Guess(student=0.05, teacher=0.04, apart=0.03)
    frame = ways_ahead(guess, labels=200, unlabelled=10_000)
    assert frame.way[frame.shortest].tolist()[0] == "where_they_differ"
    assert len(ways_ahead(guess, labels=200)) == 2
    needed = labels_needed(0.03, guess)
    assert needed is not None
    assert difference_upper_limit(round(0.02 * needed), round(0.01 * needed), needed, delta=0.05) <= 0.03
    assert labels_needed(0.005, guess) is None
    with pytest.raises(ValueError, match="apart"):
        Guess(student=0.05, teacher=0.01, apart=0.01)


def test_points_in_two_roles_are_refused() -> None:
    rng = np.random.default_rng(1)
    tables = [rng.normal(size=(60, 4)) for _ in range(4)]
    student, teacher = (
        dict(zip(("holdout", "unlabelled"), part, strict=True)) for part in (tables[:2], tables[2:])
    )
    y = rng.integers(0, 4, 60)
    assert compare(student, teacher, holdout=y, **FIXED).lines["few_labels"].certificate
    again = [{"holdout": one["holdout"], "unlabelled": one["holdout"]} for one in (student, teacher)]
    with pytest.raises(ValueError, match="a point has one role"):
        compare(*again, holdout=y, **FIXED)
    twice = [{role: np.r_[part, part[:1]] for role, part in one.items()} for one in (student, teacher)]
    with pytest.raises(ValueError, match="no new draw"):
        compare(*twice, holdout=np.r_[y, y[:1]], **FIXED)
    compare(*twice, holdout=np.r_[y, y[:1]], **FIXED, may_repeat=("holdout", "unlabelled"))
    classes = [{role: part.argmax(-1) for role, part in one.items()} for one in again]
    with pytest.raises(ValueError, match="row for row"):
        compare(*classes, holdout=y, **FIXED)


def test_lines_that_rest_on_unlabelled_points_say_what_is_not_so_of_them() -> None:
    rng = np.random.default_rng(2)
    said = [{"holdout": rng.normal(size=(90, 3)), "unlabelled": rng.normal(size=(200, 3))} for _ in range(2)]
    classes = [said[who]["unlabelled"].argmax(-1) for who in (0, 1)]
    plan = plan_labels(*classes, labels=10, seed=0)
    answers = Answers(plan, np.array(plan.indices), np.zeros(10, int))
    y = rng.integers(0, 3, 90)
    rests = {"agreement", "where_they_differ", "few_labels", "stratified"}
    for word in ("unlabelled_unseen", "one_law"):
        found = compare(*said, holdout=y, answers=answers, unmet=[word], most=0.9, **FIXED)
        assert {name for name, bound in found.lines.items() if not bound.certificate} == rests
        assert not any(one.shown for one in found.classes.values())
        assert {one["kind"] for one in found.to_json()["classes"].values()} == {"heuristic"}
        assert "heuristics, for it is not so" in str(found)
    alone = [{"unlabelled": one["unlabelled"]} for one in said]  # there is no other law to speak of
    found = compare(*alone, answers=answers, unmet=["one_law"], **FIXED)
    assert all(bound.certificate for bound in found.lines.values())


def test_the_sentence_counts_what_its_certificates_rest_on() -> None:
    found = compare(*SAID, holdout=LABELS[HELD], unmet=["holdout_unseen"], **FIXED)
    assert found.cost is not None
    assert "labelled points that neither had seen" not in found.statement
    assert found.statement.startswith("Student and teacher differ at")


def test_rows_that_come_again_are_declared_and_points_of_two_kinds_take_two_limits() -> None:
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(3))
    nets = [nn.Linear(3, 4), nn.Linear(3, 4)]
    y, shared = torch.arange(60) % 4, {"may_share": [("holdout", "unlabelled")]}
    same = compare(*nets, holdout=(x, y), unlabelled=x, **FIXED, **shared)
    line = same.lines["few_labels"]
    assert line.certificate
    assert not any("both samples" in sentence for sentence in line.assumptions)
    apart, wrong = (torch.stack([net(x).argmax(-1) for net in nets]).detach() for _ in range(2))
    differ, errs = (apart[0] != apart[1]).numpy(), (wrong[0] != y).numpy()
    counts = int((errs & ~differ).sum()), int((~errs & differ).sum())
    limits = (
        binomial_upper_limit(int(differ.sum()), 60, delta=line.delta / 2),
        difference_upper_limit(*counts, 60, delta=line.delta / 2),
    )
    assert line.value == pytest.approx(min(1.0, sum(limits)), rel=1e-12)

    tables = [{"holdout": net(x).detach(), "unlabelled": net(x[:40]).detach()} for net in nets]
    line = compare(*tables, holdout=y, **FIXED, **shared).lines["few_labels"]
    assert line.assumptions[
        "the 40 of 60 rows of holdout that are in unlabelled too are other points with the same logits"
    ]

    again = torch.cat([x[:20], x[:20], x[:20]])
    found = compare(*nets, holdout=(again, y), **FIXED, may_repeat=["holdout"])
    assert found.cost is None  # 40 of 60 rows are not believed to be chance
    assert "the 40 of 60 rows of holdout that repeat others of it come again by chance" in " ".join(
        str(found).split()
    )
    few = torch.cat([x[:59], x[:1]])
    assert compare(*nets, holdout=(few, y), **FIXED, may_repeat=["holdout"]).cost is not None


def test_no_error_is_said_to_be_negative_where_samples_contradict_each_other() -> None:
    nets = [nn.Linear(1, 2), nn.Linear(1, 2)]
    for net, zero in zip(nets, (0.0, 10.0), strict=True):  # class 1 from there on
        net.weight.data, net.bias.data = torch.tensor([[0.0], [1.0]]), torch.tensor([0.0, -zero])
    near, far = torch.linspace(1, 2, 100)[:, None], torch.linspace(11, 12, 20)[:, None]
    found = compare(
        *nets,
        holdout=(near, torch.ones(100).long()),
        unlabelled=torch.cat([far, near[:1]]),
        may_share=[("holdout", "unlabelled")],
        **FIXED,
    )
    assert found.lines["few_labels"].value == 0


def test_modules_must_say_numbers() -> None:
    x, y = torch.randn(20, 3, generator=torch.Generator().manual_seed(4)), torch.zeros(20, dtype=torch.long)
    broken = nn.Linear(3, 2)
    broken.bias.data[0] = math.nan
    with pytest.raises(ValueError, match="student logits on holdout"):
        compare(broken, nn.Linear(3, 2), holdout=(x, y), **FIXED)


def test_answers_are_classes() -> None:
    both = SAID[0]["unlabelled"], SAID[1]["unlabelled"]
    plan = plan_labels(*both, labels=8, seed=3)
    logits = [
        {
            role: np.eye(4)[said] + np.arange(len(said))[:, None] + (role == "holdout") / 2
            for role, said in one.items()
        }
        for one in SAID
    ]
    for bad in (-1, 4):
        labels = np.array([bad] + [0] * 7)
        with pytest.raises(ValueError, match="labels of answers"):
            compare(
                *logits, holdout=LABELS[HELD], answers=Answers(plan, np.array(plan.indices), labels), **FIXED
            )


def test_more_planned_labels_keep_the_share_where_both_are_wrong() -> None:
    student, teacher = np.r_[np.zeros(1000, int), np.ones(1000, int)], np.zeros(2000, int)
    plan = plan_labels(student, teacher, labels=100, seed=0)
    labels = np.r_[np.zeros(40, int), np.ones(10, int), np.full(50, 2)]
    said = [{"unlabelled": who} for who in (student, teacher)]
    found = compare(*said, answers=Answers(plan, np.array(plan.indices), labels), **FIXED)
    line = found.lines["where_they_differ"]
    more = planned_upper_limit(160, 40, 400, 400, 1000, 2000, delta=line.delta)
    assert found.ahead[0] == f"400 planned labels instead of 100: at most {percent(more)}"


def test_expected_counts_fit_whatever_is_guessed() -> None:
    for guess in (Guess(student=0.5, teacher=0.5, apart=1.0), Guess(student=0.5, teacher=1.0, apart=0.5)):
        assert len(ways_ahead(guess, labels=3, unlabelled=10)) == 4


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"margin": 1.5}, "margin"),
        ({"delta": 0.0}, "delta"),
        ({"holdout": None}, "labels with 'holdout'"),
        ({"holdout": LABELS[:10]}, "10 labels"),
        ({"unlabelled": torch.zeros(3, 1)}, "unlabelled is for modules"),
        ({"unmet": ["nothing"]}, "unmet"),
    ],
)
def test_bad_input(changed: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        compare(*SAID, **{"holdout": LABELS[HELD], **FIXED, **changed})


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    before = sys.argv
    sys.argv = ["kdtheory", "compare", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        sys.argv = before
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.fixture
def files(tmp_path: Path) -> list[str | Path]:
    for name, array in (("s", STUDENT), ("t", TEACHER), ("y", LABELS)):
        np.save(tmp_path / f"{name}.npy", array[HELD])
        np.save(tmp_path / f"u{name}.npy", array[REST])
    names = {"student-logits": "s", "teacher-logits": "t", "labels": "y"}
    names |= {"unlabelled-student": "us", "unlabelled-teacher": "ut"}
    options = [part for option, name in names.items() for part in (f"--{option}", tmp_path / f"{name}.npy")]
    return [*options, "--fixed-in-advance"]


def test_exit_codes_of_a_margin(capsys: pytest.CaptureFixture[str], files: list[str | Path]) -> None:
    code, out, _ = run(capsys, *files, "--margin", "0.2")
    assert code == 0
    assert "is shown" in " ".join(out.split())
    code, out, _ = run(capsys, *files, "--margin", "0.001", "--json")
    assert code == 1
    assert json.loads(out)["shown"] is False
    code, _, err = run(capsys, *files[2:], "--margin", "0.2")
    assert code == 2
    assert "--student-logits lacking" in err


def test_names_of_columns_are_heeded_and_what_was_read_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    labels, noise = LABELS[HELD], np.random.default_rng(1).normal(size=(300, 4))
    student, teacher = (7 * np.eye(4)[said[HELD]] + noise for said in (STUDENT, TEACHER))
    classes = np.array([f"c{n}" for n in range(student.shape[1])])
    tens = np.arange(10, 10 * len(classes) + 1, 10)

    def written(name: str, table: np.ndarray, *columns: str | int) -> None:
        pd.DataFrame(table, columns=columns).to_csv(f"{name}.csv", index=False)

    def ask(s: str, t: str, y: str) -> tuple[int, str, str]:
        given = ("--student-logits", s, "--teacher-logits", t, "--labels", y)
        return run(capsys, *given, "--fixed-in-advance", "--header")

    np.save("y.npy", labels)
    written("s", student, *classes)
    written("t", teacher, *classes)
    written("swapped", student[:, ::-1], *classes[::-1])
    written("words", classes[labels], "label")
    written("s10", student, *tens)
    written("t10", teacher, *tens)
    written("y10", tens[labels], "label")
    written("y1", labels[labels > 0], "label")
    written("s1", student[labels > 0], *range(1, len(classes) + 1))
    written("p", student.argmax(1), "prediction")
    code, out, _ = ask("s.csv", "t.csv", "y.npy")
    assert code == 0
    assert f"t.csv: {len(labels)} rows, {len(classes)} columns (c0, c1, " in out
    answers = {out.splitlines()[0]}
    for files, said in {
        ("s.csv", "t.csv", "words.csv"): "c0 = 0, c1 = 1",
        ("s10.csv", "t10.csv", "y10.csv"): "10 = 0, 20 = 1",
        ("p.csv", "t.csv", "words.csv"): "1 column (prediction)",
    }.items():
        _, out, err = ask(*files)
        assert said in out, err
        answers.add(out.splitlines()[0])
    assert len(answers) == 1
    for files, said in {
        ("swapped.csv", "t.csv", "y.npy"): "write both with their columns in one order",
        ("s1.csv", "s1.csv", "y1.csv"): "are they names or places",
        ("s.csv", "t.csv", "p.csv"): "give the true classes",
    }.items():
        assert ask(*files)[0] == 2
        assert said in ask(*files)[2]


def test_two_calls_with_a_plan(
    capsys: pytest.CaptureFixture[str], files: list[str | Path], tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    guesses = ["--student-error", "0.08", "--teacher-error", "0.03"]
    code, out, err = run(capsys, *files, "--plan", plan, "--label", "6", *guesses, "--margin", "0.1")
    assert code in (0, 1), err
    assert "the shortest" in " ".join(out.split())
    assert "of 0.1 needs about" in " ".join(out.split())
    *_, out, err = run(capsys, *files, *guesses, "--margin", "0.01")
    assert "needs more labels than a million, if any number will do, by cost alone" in " ".join(out.split())
    code, _, err = run(capsys, *files, "--plan", plan)
    assert code == 2
    assert "plan is given alone" in err
    code, _, err = run(capsys, *files, "--plan", plan, "--label", "6", "--seed", "2")
    assert code == 2
    assert "is there already" in err
    indices = json.loads(plan.read_text())["indices"]
    answers = tmp_path / "answers.csv"
    answers.write_text("point,class\n" + "".join(f"{i},{LABELS[REST][i]}\n" for i in indices))
    code, out, err = run(capsys, *files, "--plan", plan, "--answers", answers, "--json")
    assert code == 0, err
    assert "where_they_differ" in [line["line"] for line in json.loads(out)["lines"]]
    for rows, said in (
        ([f"{LABELS[REST][i]},{i}" for i in indices], None),
        ([f"{i}.5,{LABELS[REST][i]}" for i in indices], "give their numbers, as they are in the plan"),
        ([f"{i},odd" for i in indices], "labels are whole numbers"),
    ):
        answers.write_text("\n".join(["point,class" if said else "class,point", *rows]))
        code, _, err = run(capsys, *files, "--plan", plan, "--answers", answers)
        assert code == 2
        assert (said or "give point first, then class") in err
    answers.write_text("point,class\n" + "".join(f"{i},inf\n" for i in indices))
    code, _, err = run(capsys, *files, "--plan", plan, "--answers", answers)
    assert code == 2
    assert "labels are whole numbers" in err
    answers.write_text("point,class\n" + "".join(f"{i + 1},0\n" for i in indices))
    code, _, err = run(capsys, *files, "--plan", plan, "--answers", answers)
    assert code == 2
    assert "not in the plan" in err


def test_answers_may_be_words_as_labels_are(tmp_path: Path) -> None:
    plan = plan_labels(np.array([0, 1, 2, 0]), np.array([0, 2, 1, 1]), labels=2, seed=0)
    (tmp_path / "plan.json").write_text(json.dumps(plan.to_json()))
    first, second = plan.indices
    (tmp_path / "a.csv").write_text(f"point,class\n{first},eel\n{second},cat\n")
    found = read_answers(tmp_path / "plan.json", tmp_path / "a.csv", None, ("cat", "dog", "eel"))
    assert (found.plan, found.indices.tolist(), found.labels.tolist()) == (plan, [first, second], [2, 0])


def test_a_call_that_fails_leaves_no_plan(
    capsys: pytest.CaptureFixture[str], files: list[str | Path], tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    wrong = (["--delta", "2"], ["--student-error", "0.1"], ["--unmet", "nothing"])
    for more in wrong:
        code, _, _ = run(capsys, *files, "--plan", plan, "--label", "6", *more)
        assert code == 2
        assert not plan.exists()
