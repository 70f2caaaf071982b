"""Tables as other people's programs write them: each kind is read right, or refused with its cure."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kdtheory.datasets import check_same_columns, read_labels, read_logits, read_table

Z = np.array([[0.5, -1.25, 2.75], [1.5, 0.25, -0.75], [-2.5, 1.125, 0.375], [0.0625, 3.5, -1.5]])
LINES = [",".join(map(str, row)) for row in Z.tolist()]
ROWS = "\n".join(LINES)
P = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def text(content: str | bytes) -> str:
    Path("t.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return "t.csv"


def table(array: np.ndarray) -> str:
    return "\n".join(",".join(map(str, row)) for row in array.tolist())


READ = {
    "carriage returns": ROWS.replace("\n", "\r\n"),
    "blank lines": "\n\n" + ROWS.replace("\n", "\n\n"),
    "comments": "# logits of a net\n" + ROWS.replace("\n", "\n# half way, in words\n", 1),
    "names in a comment, as numpy writes them": "# cat,dog,emu\n" + ROWS,
    "a separator at the end": ROWS.replace("\n", ",\n") + ",",
    "a separator at the end, and names": "cat,dog,emu\n" + ROWS.replace("\n", ",\n") + ",",
    "tabs at the end": ROWS.replace(",", "\t").replace("\n", "\t\n") + "\t",
    "bars": ROWS.replace(",", "|"),
    "numbers in quotes": "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in LINES),
    "decimal commas in quotes": "\n".join(
        ",".join(f'"{cell}"'.replace(".", ",") for cell in line.split(",")) for line in LINES
    ),
    "decimal commas and blanks": ROWS.replace(",", " ").replace(".", ","),
    "names in quotes and blanks, as R writes them": '"V1" "V2" "V3"\n' + ROWS.replace(",", " "),
    "Excel's line of the separator": "sep=;\n" + ROWS.replace(",", ";"),
    "UTF-16": ("\ufeff" + ROWS).encode("utf-16-le"),
    "a class that is called None": "cat,None,emu\n" + ROWS,
}


@pytest.mark.parametrize("case", READ)
def test_tables_are_read_right(case: str) -> None:
    assert read_logits(text(READ[case])).tolist() == Z.tolist()


TEN = np.vstack([Z, Z + 0.125, Z - 0.25])
REFUSED = {
    "fractional names in order": ("0.0,1.0,2.0\n" + ROWS, "may be names of columns"),
    "names in another order": ("2,0,1\n" + ROWS, "may be names of columns"),
    "names with a sign": ("-1,0,1\n" + ROWS, "may be names of columns"),
    "two lines of names": ("a,a,b\n0,1,0\n" + ROWS, "second line .* may be names too"),
    "thousands in the first line": (
        "1'000.5,2'000.5,3'000\n" + ROWS,
        "may be numbers that are written otherwise",
    ),
    "per cent in the first line": ("10%,20%,70%\n" + ROWS, "may be numbers that are written otherwise"),
    "hexadecimal numbers in the first line": ("0x1,0x2,0x3\n" + ROWS, "written otherwise"),
    "only names": ("0,1,2\n", "may be names of columns"),
    "a number below all of float64": (ROWS + "\n-1e400,1.5,0.25", "-1e400, beyond what float64 has"),
    "a number above all of float64": ("a,a,b\n1e400,1.5,0.25\n" + ROWS, "1e400, beyond what float64"),
    "holes in the first line": ("NA,NA,NA\n" + ROWS, "NaN"),
    "a row name more than names": (
        '"V1","V2","V3"\n"1",' + ROWS.replace("\n", '\n"2",'),
        "has 3 cells .* has 4",
    ),
    "identifiers in any order": (table(np.c_[[3, 1, 2, 0], Z]), "column 0 numbers the rows"),
    "identifiers from 100": (table(np.c_[np.arange(100, 104), Z]), "column 0 numbers the rows"),
    "labels among logits": (
        table(np.c_[TEN, np.arange(12) % 3]),
        "column 3 holds whole numbers .* as labels do",
    ),
    "identifiers among votes": (table(np.c_[np.arange(12), np.arange(12) % 3]), "column 0 numbers the rows"),
    "thousands or decimals": ("1,234;5,678\n-1,000;2,000", "may be a decimal mark or part thousands"),
    "halves of decimal commas": ("0,0625,1,5\n2,0125,3,5", "halves of numbers with decimal commas"),
    "thousands": ('"1,234.5","2.5"\n"1.5","1,000.0"', "'1,234.5'"),
    "exponents with D": ("1.5D+00,2.5D-01\n1.0D0,2.0D0", "'1.5D.00'|'1.0D0'"),
    "words": ("cat,dog\nx,y\n", "'x' where logits should be"),
    "a mixed column": ("cat,dog\n1.5,y\n2.5,3.5", "column dog .* such as 'y'"),
    "a line too long, late": ("\n".join(["1.5,2.5"] * 60 + ["1.5,2.5,3.5"]), "line 61 has 3"),
    "a line too short, late": ("\n".join(["1.5,2.5"] * 60 + ["1.5"]), "line 61 has 1"),
    "zero bytes": (ROWS + "\n\0\0", "zero bytes"),
    "another encoding": ("käse,b,c\n".encode("latin-1") + ROWS.encode(), "no UTF-8 text"),
    "gzip": (gzip.compress(ROWS.encode()), "gzip file; unpack it"),
    "zip": (b"PK\x03\x04rest", "zip file"),
    "a Parquet file": (b"PAR1rest", "rename it to .parquet"),
    "percentages": (table(100 * P), "percentages; divide by 100"),
    "negative logarithms": (table(-np.log(P)), "give ln p, its negative"),
    "negative logarithms to base 2": (table(-np.log2(P)), "give ln p, its negative"),
    "chances of the others": (table(1 - P), "holds 1 . p"),
    "times": (table(np.c_[1.6e9 + np.arange(12) / 3, TEN]), "column 0 goes from row to row by one step"),
    "what was made of a row": ("a,b,Confidence\n" + ROWS, "'Confidence', a number of the row and no class"),
    "the loss of a row": ("a,b,loss\n-1.5,2.5,0.25\n2.5,-1.5,0.5", "'loss', a number of the row"),
    "rounded probabilities": (table(np.vstack([P, P, P]).round(2)), "holds probabilities"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_tables_that_are_no_logits_or_may_be_two_things_are_refused(case: str) -> None:
    content, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as refused:
        read_logits(text(content))
    assert "\n" not in str(refused.value)


def test_logarithms_of_probabilities_are_logits() -> None:
    np.save("z.npy", np.log(P))
    assert np.allclose(read_logits("z.npy").softmax(-1).numpy(), P)
    with pytest.raises(ValueError, match="which are logits: leave out probabilities"):
        read_logits("z.npy", probabilities=True)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f8"])
def test_probabilities_of_any_type(dtype: str) -> None:
    np.save("p.npy", P.astype(dtype))
    assert np.allclose(read_logits("p.npy", probabilities=True).exp().numpy(), P, atol=1e-3)


def test_names_that_come_twice_stay_what_they_are_and_no_word_stands_for_one_of_them() -> None:
    read = read_table(text("a,a,a.1\n" + ROWS))
    assert read.names == ("a", "a", "a.1")
    with pytest.raises(ValueError, match="two classes are called 'a'"):
        read_labels(text("class\na\na.1\n"), classes=read.names, points=2)


def test_a_loss_may_be_an_outcome_and_one_step_from_row_to_row_a_toy() -> None:
    assert read_logits(text("win,draw,loss\n0.5,1.5,2.5\n2.5,1.5,0.5")).shape == (2, 3)
    line = np.linspace(-1, 1, 12)
    assert read_logits(text(table(np.c_[line, -line]))).shape == (12, 2)


def test_a_constant_class_is_a_class() -> None:
    zeros = np.c_[np.zeros(12), TEN[:, 0]]  # one logit as two classes
    np.save("z.npy", zeros)
    assert read_logits("z.npy").tolist() == zeros.tolist()


WORDS = ["cat", "dog", "emu"]
LABELS: dict[str, tuple[str, dict, list[int]]] = {
    "words without a name": ("cat\ndog\ncat\n", {"classes": WORDS}, [0, 1, 0]),
    "words with a name": ("label\ncat\ndog\n", {"classes": WORDS, "points": 2}, [0, 1]),
    "words with blanks around": (" cat \nemu\n", {"classes": WORDS}, [0, 2]),
    "words of two": ("ice cream\nhot dog\n", {"classes": ["hot dog", "ice cream"]}, [1, 0]),
    "a word that means a hole elsewhere": ("cat\nNone\n", {"classes": ["cat", "None"]}, [0, 1]),
    "a name that is a fraction": ("0.0\n0\n2\n", {"points": 2}, [0, 2]),
    "files beside labels": ("file,label\na.png,2\nb.png,0\n", {}, [2, 0]),
    "classes numbered from one, by name": ("3\n1\n", {"classes": ["1", "2", "3"], "points": 2}, [2, 0]),
    "classes whose names end in numbers": ("0\n1\n", {"classes": ["c0", "c1", "c2"], "points": 2}, [0, 1]),
    "from one": ("3\n1\n", {"classes": ["logit_1", "logit_2", "logit_3"], "points": 2}, [2, 0]),
    "two numbers in a name": ("0\n1\n", {"classes": ["v2x1", "v2x0"], "points": 2}, [0, 1]),
    "classes numbered from one, by place": ("0\n1\n", {"classes": ["1", "2", "3"], "points": 2}, [0, 1]),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_are_read_right(case: str) -> None:
    content, settings, right = LABELS[case]
    assert read_labels(text(content), **settings).tolist() == right


def test_labels_that_may_be_names_or_places_are_refused() -> None:
    with pytest.raises(ValueError, match="are they names or places"):
        read_labels(text("1\n2\n"), classes=["1", "2", "3"], points=2)
    with pytest.raises(ValueError, match=r"are they names or places.* Put the columns in order"):
        read_labels(text("1\n2\n"), classes=["logit_0", "logit_1", "logit_10", "logit_2"], points=2)
    np.save("y.npy", np.array([0, 1]))
    with pytest.raises(ValueError, match="are they names or places"):
        read_labels("y.npy", classes=["p(1)", "p(0)"])
    with pytest.raises(ValueError, match="may be the name of the column or a label"):
        read_labels(text("yes\nno\n"))
    pytest.importorskip("pyarrow")
    pd.DataFrame({"y": ["cat", None]}).to_parquet("y.parquet")
    with pytest.raises(ValueError, match="words are missing"):
        read_labels("y.parquet", classes=["cat", "None"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,label\n2,0\n0,1\n1,1", r"numbers its rows by 'id' and has them in another order \(2, 0"),
        ("label,row\n0,1.0\n1,3.0\n1,2.0", "by 'row' and has them in another order"),
        ("id,label\n1,cat\n10,cat\n2,dog\n3,dog\n4,cat\n5,cat\n6,dog\n7,dog\n8,cat\n9,dog", "another order"),
        ("id\n0\n1", "the column 'id' alone, which is no class"),
        ("fold\n0\n1", "the column 'fold' alone, which is no class"),
    ],
)
def test_labels_that_stand_in_another_order_or_are_none_are_refused(content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_labels(text(content), header=True, classes=["cat", "dog"])


@pytest.mark.parametrize("rows", ["0,1\n1,0", "1,1\n2,0", "7,1\n3,0"])
def test_labels_beside_numbers_of_their_rows_are_read_as_they_stand(rows: str) -> None:
    assert read_labels(text(f"id,label\n{rows}"), header=True).tolist() == [1, 0]


def test_few_votes_may_happen_to_be_in_order() -> None:
    assert read_logits(text("a,b\n0,5\n1,4\n2,3"), header=True).shape == (3, 2)


def test_columns_in_another_order_are_noticed() -> None:
    check_same_columns({"a": ("cat", "dog"), "b": None, "c": ("Cat", "dog"), "d": ("l0", "l1")})
    check_same_columns({"a": ("A", "a"), "b": ("A", "a"), "c": ("cat", "cat"), "d": ("cat", "cat")})
    with pytest.raises(ValueError, match="b has class 'a' in column 0 and a in column 1"):
        check_same_columns({"a": ("A", "a"), "b": ("a", "A")})
    with pytest.raises(ValueError, match="b has class 'fox' in column 1 and a has 'dog' there"):
        check_same_columns({"a": ("cat", "dog"), "b": ("cat", "fox")})
    with pytest.raises(ValueError, match="b has class 'dog' in column 0 and a in column 1"):
        check_same_columns({"a": ("cat", "dog"), "b": ("dog", "cat")})
    with pytest.raises(ValueError, match="c has class 'dog' in column 0 and b in column 1"):
        check_same_columns({"a": ("l0", "l1"), "b": ("cat", "dog"), "c": ("dog", "cat")})


def test_parquet_columns_of_other_kinds() -> None:
    pytest.importorskip("pyarrow")
    words = pd.Categorical(["cat", "emu"], categories=["emu", "cat"])
    pd.DataFrame({"y": words}).to_parquet("y.parquet")
    assert read_labels("y.parquet", classes=WORDS).tolist() == [0, 2]
    pd.DataFrame(Z, columns=WORDS, index=list("abcd")).to_parquet("z.parquet")
    assert read_logits("z.parquet").tolist() == Z.tolist()
    pd.DataFrame({"logits": Z.tolist()}).to_parquet("z.parquet")
    with pytest.raises(ValueError, match="column logits holds lists"):
        read_logits("z.parquet")


def test_archives_and_headers() -> None:
    np.savez("a.npz", **{"net/logits": Z})
    assert read_logits("a.npz:net/logits").tolist() == Z.tolist()
    Path("empty.npz").write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(ValueError, match="it holds no array"):
        read_logits("empty.npz")
    np.save("s.npy", np.zeros(3, dtype=[("a", "f8"), ("b", "f8")]))
    with pytest.raises(ValueError, match="has fields"):
        read_logits("s.npy")
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000000, 100), }".ljust(117) + b"\n"
    with Path("z.npy").open("wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        file.truncate(128 + 80_000_000_000)
    with pytest.raises(ValueError, match=r"80,000,000,000 bytes; give fewer points"):
        read_logits("z.npy")


@pytest.mark.parametrize(
    ("names", "labels", "places"),
    [
        ("01,02,03", "03,02,03", [2, 1, 2]),
        ("1.0,2.0,3.0", "3,2,3", [2, 1, 2]),
        ("1,2,3", "3.0,2.0,3.0", [2, 1, 2]),
        ("-1,1", "-1,1,-1", [0, 1, 0]),
        ("0.0,1.0", "1,0,1", [1, 0, 1]),
        ("01,02,03", "01,02,01", "are they names or places"),
        ("1.0,2.0,3.0", "1.0,2.0,1.0", "are they names or places"),
        ("3,03", "3,3,3", "two classes are called alike"),
        ("1,2,3", "3,2.5,3", "labels are whole numbers"),
    ],
)
def test_classes_with_numbers_for_names(names: str, labels: str, places: list[int] | str) -> None:
    file = text("label\n" + labels.replace(",", "\n"))
    if isinstance(places, list):
        assert read_labels(file, header=True, classes=names.split(",")).tolist() == places
    else:
        with pytest.raises(ValueError, match=places):
            read_labels(file, header=True, classes=names.split(","))


def test_wider_numbers_are_no_infinity() -> None:
    wide = np.array([[0.5, 1.5], [2.5, 3.5]], dtype=np.longdouble)
    if np.finfo(np.longdouble).max > np.finfo(np.float64).max:
        np.save("t.npy", wide * np.array(1e300, np.longdouble) ** 2)
        with pytest.raises(ValueError, match="beyond what float64 has"):
            read_logits("t.npy")
    np.save("t.npy", wide)
    assert read_logits("t.npy").tolist() == wide.tolist()
