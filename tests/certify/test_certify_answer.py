"""What certify and compare say to whoever acts on them: sentence, order, numbers of what helps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kdtheory import Stream
from kdtheory.answers import confidence, percent
from kdtheory.bounds.paired import difference_upper_limit
from kdtheory.bounds.product import fisher32_log_level, product_upper_limit
from kdtheory.bounds.tails import RiskTail
from kdtheory.bounds.two_samples import sum_upper_limit
from kdtheory.certify import LINES, SHIPPED, certify, certify_logits
from kdtheory.certify.meaning import MEANINGS, least_by_a_witness
from kdtheory.compare import compare
from kdtheory.compare.lines import LINES as COMPARED
from kdtheory.compare.meaning import MEANINGS as COMPARED_MEANINGS
from kdtheory.inversion import binomial_upper_limit

STREAM = Stream(7).child("answers").numpy()
LABELS = np.arange(600) % 5


def logits_of(classes: np.ndarray) -> np.ndarray:
    return 3.0 * np.eye(5)[classes] + STREAM.random((len(classes), 5))


TEACHER = logits_of(np.where(np.arange(600) < 28, (LABELS + 1) % 5, LABELS))
OTHERS = np.arange(900) % 5
PAIR = {
    "student_logits": TEACHER / 2,
    "teacher_unlabelled": logits_of(OTHERS),
    "student_unlabelled": logits_of(np.where(np.arange(900) < 45, (OTHERS + 1) % 5, OTHERS)),
}
FIXED = {"fixed_in_advance": True}


def test_every_line_has_words() -> None:
    assert list(MEANINGS) == [line.name for line in (*LINES, *SHIPPED)]
    assert list(COMPARED_MEANINGS) == [line.name for line in COMPARED]


@pytest.mark.parametrize("delta", [0.05, 0.001])
def test_the_sentence_has_the_counts_the_limit_and_the_delta_that_was_asked_for(delta: float) -> None:
    found = certify_logits(TEACHER, LABELS, **FIXED, delta=delta)
    limit = binomial_upper_limit(28, 600, delta=delta)
    assert found.statement == (
        "Of 600 points that it had not seen 28 were classified wrongly; its error is at most "
        f"{percent(limit)} with {confidence(delta)} confidence"
    )
    assert str(found).splitlines()[0].startswith("Of 600 points that it had not seen 28 were classified")
    assert float(percent(limit).removesuffix(" %")) / 100 >= limit
    four, floor = found.ahead
    assert four.startswith("2,400 such points instead of 600, ")
    assert four.endswith(f"at most {percent(binomial_upper_limit(112, 2400, delta=delta))}")
    assert floor == "however many: not below the 4.67 % that were wrong"


def test_lines_are_told_by_worth_and_what_is_not_certified_after_what_is() -> None:
    found = certify_logits(TEACHER, LABELS, **PAIR, **FIXED)
    names = [row[1] for row in found.answer.rows]
    assert names[:2] == ["holdout", "student_holdout"]
    assert set(names) == set(found.lines)
    vacuous = [name for name in names if found.lines[name].vacuous]
    assert names[-len(vacuous) :] == vacuous
    text, everything = str(found), found.answer.text(everything=True)
    assert max(map(len, everything.splitlines())) <= 80
    assert "no training labels were given" not in text
    assert "- vc_dimension: no training labels were given" in everything
    assert f"- holdout: {found.shares['holdout']:.4g}" in everything
    assert found._repr_html_() == found.answer.html()


def test_what_shortens_a_limit_of_two_samples_is_computed_for_each_of_them() -> None:
    found = certify_logits(TEACHER, LABELS, **PAIR, **FIXED, shares={"student_holdout": 1})
    assert found.statement.startswith(
        "Its student classified 28 of 600 points wrongly that it had not seen, and it differs from "
        "that one at 45 of 900 unlabelled points; its error is at most "
    )
    limits = [
        sum_upper_limit(k, n, apart, m, delta=0.05)
        for k, n, apart, m in ((112, 2400, 45, 900), (28, 600, 180, 3600), (112, 2400, 180, 3600))
    ]
    assert [said.rpartition(" at most ")[2] for said in found.ahead[:3]] == list(map(percent, limits))
    assert "2,400 labels kept for testing instead of 600" in found.ahead[0]
    assert percent(28 / 600 + 45 / 900) in found.ahead[3]


def test_a_witness_is_named_with_the_least_that_it_can_give() -> None:
    train = torch.arange(400.0)[:, None], torch.arange(400) % 2
    says = {"train": torch.eye(2).repeat(200, 1), "unlabelled": torch.eye(2).repeat(150, 1)}
    points = {"train": train, "unlabelled": torch.arange(1000.0, 1300.0)[:, None]}
    found = certify(says, **points, **FIXED)
    least = least_by_a_witness(found.points, delta=0.05, held_out=0.1)
    tails = [RiskTail("flat", 0.0, n, True, {"fixed": True}) for n in (40, 300)]
    assert least == product_upper_limit(*tails, log_level=fisher32_log_level(0.05))
    assert found.statement == "Nothing is certified: every number rests on something that is not so"
    assert any(f"gives {percent(least)} at best" in said for said in found.ahead)
    without = certify({"train": says["train"]}, train=train, **FIXED)
    assert any("400 unlabelled points, which it needs" in said for said in without.ahead)


def test_a_comparison_says_what_a_margin_needs() -> None:
    student, teacher = LABELS.copy(), LABELS.copy()
    student[:30] = (student[:30] + 1) % 5
    teacher[20:40] = (teacher[20:40] + 2) % 5
    both = {"holdout": student}, {"holdout": teacher}
    found = compare(*both, holdout=LABELS, **FIXED, margin=0.03)
    assert not found.shown
    assert found.statement.startswith(
        "Of 600 labelled points that neither had seen the student classified 30 wrongly and its teacher 20; "
        "with 95 % confidence the student errs on at most "
    )
    assert found.statement.endswith(" points of 100 more than its teacher: a margin of 3 is not shown")
    four, margin = found.ahead
    own = found.lines["cost"].delta
    assert four.endswith(f"at most {percent(difference_upper_limit(80, 40, 2400, delta=own))}")
    needed = int(margin.removeprefix("about ").partition(" ")[0].replace(",", ""))
    for size, enough in ((needed, True), (9 * needed // 10, False)):
        counts = -(-20 * size // 600), 10 * size // 600
        assert (difference_upper_limit(*counts, size, delta=own) <= 0.03) is enough
    hopeless = compare(*both, holdout=LABELS, **FIXED, margin=0.01).ahead[1]
    assert hopeless.startswith("no number of labels of points drawn at random shows a margin of 1 %")
    barely = compare(*both, holdout=LABELS, **FIXED, margin=10 / 600 + 1e-6).ahead[1]
    assert barely.startswith("a million labels of points drawn at random do not show a margin of 1.6667")
    told = found.answer.text(everything=True)
    assert "Class by class of the teacher:" in told
    assert "Class by class" not in str(found)
    assert "Class by class" in str(compare(*both, holdout=LABELS, **FIXED, most=0.2))
    assert max(map(len, told.splitlines())) <= 80


def test_no_witness_is_spoken_of_where_too_few_labels_would_test_it() -> None:
    for size, told in ((74, False), (80, True)):
        logits = np.stack([np.arange(size), np.zeros(size)], -1)
        found = certify_logits(logits, np.zeros(size, int), labels_role="train", fixed_in_advance=True)
        assert any("witness" in line for line in found.ahead) is told


def test_one_point_of_each_kind_is_enough_for_an_answer() -> None:
    one = np.array([[1.0, 0.0]])
    rest = {"student_logits": one, "teacher_unlabelled": one + 1, "student_unlabelled": one}
    for shares in (None, {"holdout": 1, "holdout_bernstein": 1}):
        found = certify_logits(one, np.zeros(1, int), **rest, fixed_in_advance=True, shares=shares)
        assert found.best is not None
        assert "two labelled points" in found.skipped["as_printed" if shares is None else "holdout_bernstein"]
