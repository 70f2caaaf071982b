"""What a bound takes the caller's word for: each flag is asked for, printed, and no text."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from adversaries import peeking_guess_failure

from kdtheory import bounds
from kdtheory.bounds.holdout import progressive_limit

ZEROS = torch.zeros(400)
LOGITS, LABELS = torch.tensor([[4.0, 0.0]]).repeat(400, 1).double(), torch.zeros(400, dtype=torch.long)
NORMS = bounds.NetNorms((1.0,), (1.0,), (1.0,), (3, 2))
WITNESS = bounds.clopper34_holdout(ZEROS, delta=0.05, fixed_in_advance=True, independent_draws=True)
TAIL = bounds.holdout_tail(ZEROS, fixed_in_advance=True, independent_draws=True)
MARGIN = {"norms": NORMS, "input_norm": 20.0, "gamma": 1.0, "delta": 0.05}
PAIR, FOUR = (ZEROS, ZEROS), (LOGITS, LABELS, LOGITS, LOGITS)
DOORS = {
    "clopper34_holdout": ((ZEROS,), {"delta": 0.05}),
    "hoeffding63_kl_holdout": ((ZEROS,), {"delta": 0.05}),
    "hoeffding63_holdout": ((ZEROS,), {"delta": 0.05}),
    "maurer09_holdout": ((ZEROS,), {"delta": 0.05}),
    "blum99_progressive": ((ZEROS,), {"delta": 0.05, "guess": 0.1}),
    "maurer09_finite_class": ((ZEROS,), {"delta": 0.05, "class_size": 3}),
    "maurer09_covering": ((ZEROS,), {"delta": 0.05, "covering_number": 3}),
    "bartlett02_deviation": ((ZEROS,), {"delta": 0.05, "complexity": 0.1}),
    "vapnik71": ((0.1,), {"delta": 0.05, "n": 400, "log_growth": lambda n: 3.0}),
    "langford05_occam": ((ZEROS,), {"delta": 0.05, "bits": 3}),
    "langford05_occam_kl": ((ZEROS,), {"delta": 0.05, "bits": 3}),
    "maurer04_pac_bayes_kl": ((ZEROS[None],), {"delta": 0.04, "delta_sampling": 0.01, "divergence": 1.0}),
    "disagreement_transfer": ((WITNESS, ZEROS), {"delta": 0.05}),
    "product_disagreement_transfer": ((TAIL, ZEROS), {"delta": 0.05}),
    "joint_disagreement_transfer": (PAIR, {"delta": 0.05}),
    "golowich18_margin": ((LOGITS, LABELS), MARGIN),
    "bartlett17_margin": ((LOGITS, LABELS), MARGIN),
    "harutyunyan23_kernel_margin": (
        (ZEROS + 1,),
        {"squared_norm": 1.0, "trace": 1.0, "gamma": 1.0, "delta": 0.05},
    ),
    "hsu21_distillation": (FOUR, {"gamma": 1.0, "delta": 0.05, "student_complexity": 0.1}),
    "hsu21_distillation_by_margins": (FOUR, {"gamma": 1.0, "delta": 0.05, "margin_complexity": 0.1}),
    "hsu21_fixed_student": (FOUR, {"gamma": 1.0, "delta": 0.05}),
    "hsu21_fixed_student_by_margins": (FOUR, {"gamma": 1.0, "delta": 0.05}),
}
CHECKED = {"the losses lie in [0, 1]", "the values lie in [0, 1]"}  # read off the losses themselves


def words(name: str) -> list[str]:
    parameters = inspect.signature(inspect.unwrap(getattr(bounds, name))).parameters.values()
    return [each.name for each in parameters if each.annotation in ("bool", bool)]


def test_every_bound_is_here() -> None:
    made = {
        name
        for name in bounds.__all__
        if str(inspect.signature(getattr(bounds, name)).return_annotation).endswith("Bound")
        and name != "Bound"
    }
    assert made == {*DOORS, "hsu21_as_printed"}  # which is a heuristic whatever is said


@pytest.mark.parametrize("name", DOORS)
def test_no_word_is_taken_for_granted(name: str) -> None:
    parameters = inspect.signature(getattr(bounds, name)).parameters
    for word in words(name):
        assert parameters[word].default is inspect.Parameter.empty
        assert parameters[word].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("name", DOORS)
def test_each_word_is_printed_and_a_no_makes_a_heuristic(name: str) -> None:
    points, settings = DOORS[name]
    door, yes = getattr(bounds, name), dict.fromkeys(words(name), True)
    certificate = door(*points, **settings, **yes)
    assert certificate.certificate
    printed = set(certificate.assumptions) - CHECKED
    for word in yes:
        found = door(*points, **settings, **{**yes, word: False})
        assert found.kind == "heuristic"
        assert found.value == certificate.value
        unmet = {sentence for sentence, met in found.assumptions.items() if not met}
        assert len(unmet) == 1, "one sentence for each word"
        assert unmet <= printed
        printed -= unmet
        assert next(iter(unmet)) in found.coverage
    inherits = name in ("disagreement_transfer", "product_disagreement_transfer")
    from_witness = set(WITNESS.assumptions) if inherits else set()
    assert printed <= from_witness, "no sentence that nobody was asked about"


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize("word", ["no", 1, None])
def test_a_text_is_no_word(name: str, word: object, unchecked_shapes) -> None:
    points, settings = DOORS[name]
    yes = dict.fromkeys(words(name), True)
    for flag in yes:
        with pytest.raises(ValueError, match=f"{flag} = "):
            getattr(bounds, name)(*points, **settings, **{**yes, flag: word})


def test_guess_made_of_the_points_breaks_progressive_validation() -> None:
    """δ = .05: more failures, the more points there are; at most δ where the guess was fixed."""
    n = 40

    def failure(guess_of: Callable[[float], float]) -> float:
        return peeking_guess_failure(lambda mean, seen: progressive_limit(mean, guess_of(seen), n, 0.05), n)

    assert failure(lambda seen: seen) > 0.05
    assert max(failure(lambda _, guess=guess: guess) for guess in (0.0, 0.2, 0.5)) <= 0.05
