"""Formulas become MathML, or say why not."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from kdtheory.claims import REGISTRY
from kdtheory.report.formula import formulas, mathml, typeset
from kdtheory.report.indices import indexed

CONVERTS = (
    r"\frac{\partial L}{\partial z_s} = \lambda T(\varphi_T(z_s) - \varphi_T(z_t)) + (1-\lambda)\varphi_1",
    r"\operatorname{Var} \hat R = \frac1N \mathbb{E}_x \operatorname{Var}_{y\mid x} \ell(f(x))_y",
    r"\tfrac12\lVert\varphi_\gamma(u)-\varphi_\gamma(v)\rVert_1 \le \frac{\|u-v\|_\infty}{2\gamma}",
    r"R(f) \le \hat R_*(f) + \sqrt{\frac{2\hat V_*(f)\ln(2|F|/\delta)}{N}} + \frac{7}{3(N-1)}",
    r"\sum_{j=1}^{k} p_j < \{1, 2\}",
    r"\varphi_T(z) \to \operatorname{unif}(\arg\max_j z_j)\ (T \to 0^+)",
    r"\begin{aligned} a &= b \\ &\le c \end{aligned}",
)
DOES_NOT = (
    "",
    r"\nosuchcommand{x}",
    r"\frac{a}",
    r"a } b",
    r"x_",
    r"\text{a < b}",
    r"\text{<script>alert(1)</script>}",
    r"a & b",
    r"\href{javascript:alert(1)}{x}",
    r"\style{position:fixed}{x}",
    r"\class{pill}{x}",
)


@pytest.mark.parametrize("latex", CONVERTS)
def test_the_formulas_of_the_field_convert(latex: str) -> None:
    element = ET.fromstring(mathml(latex))
    assert element.tag == "math"
    assert element.get("display") == "block"


@pytest.mark.parametrize("latex", DOES_NOT)
def test_what_does_not_convert_is_refused_and_shown_as_latex(latex: str) -> None:
    with pytest.raises(ValueError, match="does not convert"):
        mathml(latex)
    shown = typeset(latex)
    assert shown.startswith("<code")
    assert "<script" not in shown


def test_a_sum_has_its_limits_below_and_above() -> None:
    limits = ET.fromstring(mathml(r"\sum_{j=1}^{k} p_j")).find(".//munderover")
    assert limits is not None
    assert ["".join(child.itertext()) for child in limits] == ["∑", "j=1", "k"]


def test_every_registered_formula_converts_and_nothing_is_left_as_latex() -> None:
    for claim in REGISTRY.values():
        for shown in (mathml(claim.formula), formulas(claim.formula)):
            assert "\\" not in shown, claim.name


@pytest.mark.parametrize(
    ("latex", "parts"),
    [
        (r"a = b,\qquad c\quad d", 3),
        (r"\left( a \quad b \right)", 1),
        (r"\begin{aligned} a \quad b \end{aligned}", 1),
        (r"\sqrt{a \quad b}", 1),
        (r"\{a\} \quad b", 2),
    ],
)
def test_a_formula_may_be_broken_where_nothing_is_open(latex: str, parts: int) -> None:
    assert formulas(latex).count("<math") == parts


def test_delimiters_of_a_given_size_are_signs() -> None:
    shown = mathml(r"\sup\bigl\{ r : \Bigl\lceil r \Bigr\rceil \bigr\}")
    assert all(f">{sign}</mo>" in shown for sign in "{}⌈⌉")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("KL(φ_T(z_t)‖φ_T(z_s))", "KL(φ<sub>T</sub>(z<sub>t</sub>)‖φ<sub>T</sub>(z<sub>s</sub>))"),
        ("f(x_i)_{y_i} < 2^n", "f(x<sub>i</sub>)<sub>y<sub>i</sub></sub> < 2<sup>n</sup>"),
        ("Rad_n, Rad^vec_n", "Rad<sub>n</sub>, Rad<sup>vec</sup><sub>n</sub>"),
        ("max_{j≠y} f_j", "max<sub>j≠y</sub> f<sub>j</sub>"),
        ("top_k, may_share, q_old, a _b_ c", "top_k, may_share, q_old, a _b_ c"),
    ],
)
def test_indices_in_words_are_set_and_names_are_left(text: str, shown: str) -> None:
    assert indexed(text) == shown
