"""The bibliography: complete entries, one per source that a claim cites."""

from __future__ import annotations

import bibtexparser
import pytest

from kdtheory.bibliography import DERIVED, _letters, bibtex, citation, keys
from kdtheory.claims import REGISTRY


def test_every_claim_cites_an_entry() -> None:
    assert REGISTRY
    assert {claim.source for claim in REGISTRY.values()} <= {*keys(), DERIVED}


@pytest.mark.parametrize("key", keys())
def test_entries_are_complete_bibtex(key: str) -> None:
    library = bibtexparser.parse_string(bibtex(key))
    (entry,) = library.entries
    assert entry.key == key
    assert {"author", "title", "year"} <= set(entry.fields_dict)
    assert entry.fields_dict["year"].value in citation(key)


def test_citations_read_as_a_reader_knows_them() -> None:
    assert citation("hinton2015distilling") == "Hinton, Vinyals and Dean 2015"
    assert not [key for key in keys() if set(citation(key)) & set("{}\\")]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"M{\"u}ller", "Müller"),
        (r"M\"uller", "Müller"),
        (r"Cl\'ement", "Clément"),
        (r"{\v{C}}ech", "Čech"),
        (r"Fran{\c c}ois", "François"),
        (r"{\L}o\'{s}", "Łoś"),
        (r"G{\'\i}", "Gí"),
        (r"S{\o}ren Gro{\ss}", "Søren Groß"),
        (r"{LeCun}", "LeCun"),
        ("Müller", "Müller"),
    ],
)
def test_names_are_read_as_tex_writes_them(written: str, read: str) -> None:
    assert _letters(written) == read


def test_an_unknown_key_is_refused_with_a_neighbour() -> None:
    with pytest.raises(ValueError, match="did you mean 'hinton2015distilling'"):
        bibtex("hinton2015distiling")
