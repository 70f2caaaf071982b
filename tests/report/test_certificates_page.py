"""The page of certificates: complete, offline, and of the networks that were given."""

from __future__ import annotations

import pytest
import torch

from kdtheory import Certificates, certify
from kdtheory.report import certificates_page


@pytest.fixture(scope="module")
def found() -> Certificates:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(200, 3, generator=generator), torch.randint(2, (200,), generator=generator)
    net = torch.nn.Linear(3, 2)
    with torch.no_grad():
        net.weight.fill_(0.5)
        net.bias.zero_()
    return certify(net, holdout=(x, y), fixed_in_advance=True)


def test_the_page_has_every_line_term_and_reason_and_asks_for_nothing(found: Certificates) -> None:
    page = certificates_page({"a <b> net": found}, {"a <b> net": {"accuracy": 0.25, "log_loss": 1.5}})
    for line, bound in found.lines.items():
        assert line.replace("_", " ") in page
        assert all(term.replace("_", " ").replace("'", "&#39;") in page for term in bound.terms)
        assert all(sentence.replace("'", "&#39;") in page for sentence in bound.assumptions)
    assert all(line.replace("_", " ") in page for line in found.skipped)
    assert "a &lt;b&gt; net" in page
    assert "<b>" not in page
    assert "<dt>log loss</dt><dd>1.5</dd>" in page
    assert "http://" not in page
    assert "https://" not in page
    assert page.count("data:image/png") == 1


def test_names_that_do_not_fit_are_refused(found: Certificates) -> None:
    with pytest.raises(ValueError, match="networks is empty"):
        certificates_page({})
    with pytest.raises(ValueError, match="measures has 'student'"):
        certificates_page({"teacher": found}, {"student": {"accuracy": 1.0}})
