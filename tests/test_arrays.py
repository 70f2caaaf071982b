"""Arrays from other people's files: the same numbers from every format, and no file that does harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from kdtheory.datasets import read_array, read_labels, read_logits, stored

Z = np.arange(12.0).reshape(4, 3) / 7
Y = np.array([0, 2, 1, 2])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("z.npy", Z)
    np.savez("z.npz", logits=Z)
    np.savez("two.npz", logits=Z, labels=Y)
    pd.DataFrame(Z).to_csv("bare.csv", index=False, header=False)
    pd.DataFrame(Z, columns=["cat", "dog", "7"]).to_csv("named.csv", index=False)
    np.save("y.npy", Y)
    pd.DataFrame({"label": Y}).to_csv("y.csv", index=False)
    return tmp_path


@pytest.mark.parametrize("name", ["z.npy", "z.npz", "z.npz:logits", "two.npz:logits", "bare.csv"])
def test_logits_are_the_same_from_every_format(name: str) -> None:
    logits = read_logits(name)
    assert logits.dtype == torch.float64
    assert np.array_equal(logits.numpy(), Z)


@pytest.mark.parametrize("name", ["y.npy", "y.csv", "two.npz:labels"])
def test_labels_are_the_same_from_every_format(name: str) -> None:
    assert read_labels(name).tolist() == Y.tolist()


def test_a_header_with_a_number_in_it_is_not_silently_a_row() -> None:
    assert np.array_equal(read_array("named.csv"), Z)
    pd.DataFrame(Z, columns=["cat", "dog", "emu"]).to_csv("named.csv", index=False)
    assert np.array_equal(read_array("named.csv"), Z)


def test_a_class_may_be_ruled_out() -> None:
    np.save("z.npy", np.array([[0.0, -np.inf]]))
    assert read_logits("z.npy").tolist() == [[0.0, -np.inf]]


def test_whole_labels_may_be_written_as_floats() -> None:
    np.save("y.npy", Y.astype(float))
    assert read_labels("y.npy").dtype == torch.int64


def test_parquet_without_a_reader_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "find_spec", lambda name: None)
    Path("z.parquet").write_bytes(b"PAR1")
    with pytest.raises(
        ValueError, match=r"no reader for Parquet is installed; pip install kdtheory\[parquet\]"
    ):
        read_array("z.parquet")


def test_real_parquet_files_are_read() -> None:
    pytest.importorskip("pyarrow")
    pd.DataFrame(Z, columns=["cat", "dog", "emu"]).to_parquet("z.parquet", index=False)
    pd.DataFrame({"label": Y}).to_parquet("y.parquet", index=False)
    assert np.array_equal(read_logits("z.parquet").numpy(), Z)
    assert read_labels("y.parquet").tolist() == Y.tolist()
    pd.DataFrame({"cat": Z[:, 0], "name": ["a", "b", "c", "d"]}).to_parquet("z.parquet", index=False)
    with pytest.raises(ValueError, match="column name holds something other than numbers"):
        read_array("z.parquet")
    Path("y.parquet").write_bytes(Path("y.parquet").read_bytes()[:40])
    with pytest.raises(ValueError, match=r"y\.parquet"):
        read_array("y.parquet")


TEXTS = {
    "numbers of columns, as pandas writes them": ("0,1,2\n", ",", "."),
    "numbers of columns from 1": ("1,2,3\n", ",", "."),
    "a byte-order mark": ("\ufeffcat,dog,emu\n", ",", "."),
    "a byte-order mark and numbers of columns": ("\ufeff0,1,2\n", ",", "."),
    "names, some of them numbers": ("cat,dog,7\n", ",", "."),
    "names in quotes": ('"cat","a, b","7"\n', ",", "."),
    "semicolons": ("", ";", "."),
    "semicolons and decimal commas": ("", ";", ","),
    "names, semicolons and decimal commas": ("cat;dog;emu\n", ";", ","),
    "tabs": ("cat\tdog\temu\n", "\t", "."),
    "tabs and decimal commas": ("", "\t", ","),
    "blanks": ("", " ", "."),
    "commas and blanks": ("cat, dog, emu\n", ", ", "."),
}


@pytest.mark.parametrize("case", TEXTS)
def test_tables_as_other_programs_write_them(case: str) -> None:
    head, separator, decimal = TEXTS[case]
    rows = [separator.join(repr(float(cell)).replace(".", decimal) for cell in row) for row in Z]
    Path("t.csv").write_text(head + "\n".join(rows) + "\n\n", encoding="utf-8")
    assert np.array_equal(read_logits("t.csv").numpy(), Z)


def test_a_first_line_that_may_be_names_or_numbers_is_refused_until_somebody_says_which() -> None:
    whole = np.array([[0, 1, 2], [5, 3, 1], [4, 4, 2]])
    np.savetxt("t.csv", whole, fmt="%d", delimiter=",")
    with pytest.raises(ValueError, match=r"first line \(0, 1, 2\) may be names.*--no-header"):
        read_logits("t.csv")
    assert read_logits("t.csv", header=False).tolist() == whole.tolist()
    assert read_logits("t.csv", header=True).tolist() == whole[1:].tolist()
    np.savetxt("t.csv", np.vstack([[7, 3, 9], Z + 0.25]), fmt="%.17g", delimiter=",")
    with pytest.raises(ValueError, match=r"first line \(7, 3, 9\) may be names"):
        read_logits("t.csv")


def test_a_name_0_above_labels_is_told_from_a_label_by_the_number_of_points() -> None:
    pd.Series(Y).to_csv("y.csv", index=False)
    with pytest.raises(ValueError, match=r"first line \(0\) may be names"):
        read_labels("y.csv")
    assert read_labels("y.csv", points=4).tolist() == Y.tolist()
    assert read_labels("y.csv", header=True).tolist() == Y.tolist()
    assert read_labels("y.csv", points=5).tolist() == [0, *Y.tolist()]


def test_labels_beside_an_identifier_and_labels_in_words() -> None:
    pd.DataFrame({"id": [7, 8, 9, 10], "label": Y}).to_csv("y.csv", index=False)
    assert read_labels("y.csv").tolist() == Y.tolist()
    names = np.array(["cat", "dog", "emu"])
    pd.DataFrame({"id": [7, 8, 9, 10], "label": names[Y]}).to_csv("y.csv", index=False)
    assert read_labels("y.csv", classes=names.tolist()).tolist() == Y.tolist()
    with pytest.raises(ValueError, match=r"holds words \('cat'\)"):
        read_labels("y.csv")
    with pytest.raises(ValueError, match="no name of a class"):
        read_labels("y.csv", classes=["cat", "dog", "eel"])
    pd.DataFrame({"size": Z[:, 0], "label": Y}).to_csv("y.csv", index=False)
    with pytest.raises(ValueError, match="columns size, label; keep the one of the labels"):
        read_labels("y.csv")


def test_probabilities_are_refused_unless_they_are_said_to_be_so() -> None:
    probs = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)
    np.save("p.npy", probs.astype(np.float32))
    with pytest.raises(ValueError, match=r"holds probabilities, not logits; say probabilities=True"):
        read_logits("p.npy")
    np.save("p.npy", probs)
    assert np.allclose(read_logits("p.npy", probabilities=True).exp().numpy(), probs)
    with pytest.raises(ValueError, match="sum of one"):
        read_logits("z.npy", probabilities=True)


@pytest.mark.parametrize("dtype", ["Float64", "Int64", "float32", "double[pyarrow]", "int32[pyarrow]"])
def test_nullable_and_arrow_columns(dtype: str) -> None:
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame((Z * 7).round(), columns=["cat", "dog", "emu"]).astype(dtype)
    frame.to_parquet("z.parquet", index=False)
    assert read_logits("z.parquet").tolist() == (Z * 7).round().tolist()
    frame.iloc[0, 0] = pd.NA
    if dtype != "float32":
        frame.to_parquet("z.parquet", index=False)
        with pytest.raises(ValueError, match="NaN"):
            read_logits("z.parquet")


def with_header(shape: str) -> str:
    """An .npy file of 12 numbers whose header says something else, of the same length."""
    content = bytearray(Path("z.npy").read_bytes())
    place = content.index(b"(4, 3)")
    content[place : place + 6 + 20] = shape.encode().ljust(26)[:26]
    Path("bad.npy").write_bytes(bytes(content))
    return "bad.npy"


def damaged(name: str, keep: int) -> str:
    Path(name).write_bytes(Path(name).read_bytes()[:keep])
    return name


def renamed(name: str, other: str) -> str:
    Path(name).rename(other)
    return other


def saved(array: np.ndarray) -> str:
    np.save("bad.npy", array)
    return "bad.npy"


def written(text: str) -> str:
    Path("bad.csv").write_text(text)
    return "bad.csv"


BAD = {
    "missing": (read_array, lambda: "nowhere.npy", "nowhere.npy is not there"),
    "a folder": (read_array, lambda: (Path("d.npy").mkdir(), "d.npy")[1], "d.npy is not there"),
    "suffix": (
        read_array,
        lambda: "z.pt",
        r"ends in '.pt'; give one of .npy, .npz, .csv, .tsv",
    ),
    "no suffix": (read_array, lambda: "logits", "ends in 'nothing'"),
    "a text called .npy": (read_array, lambda: Path(written("1,2\n")).rename("n.npy"), "does not begin as"),
    "pickled": (read_array, lambda: saved(np.array([{}], dtype=object)), "pickled objects"),
    "truncated": (read_array, lambda: damaged("z.npy", 150), "cannot be read"),
    "empty": (read_array, lambda: damaged("z.npy", 0), "cannot be read"),
    "truncated zip": (read_array, lambda: damaged("z.npz", 100), "cannot be read"),
    "a renamed .npy": (read_array, lambda: renamed("z.npy", "q.npz"), "rename it to .npy"),
    "a renamed .npz": (read_array, lambda: renamed("z.npz", "q.npy"), "rename it to .npz"),
    "several arrays": (read_array, lambda: "two.npz", "logits, labels; name one"),
    "no such array": (read_array, lambda: "two.npz:probs", "logits, labels; name one array"),
    "empty table": (read_array, lambda: written(""), "cannot be read"),
    "a hole in a column": (read_labels, lambda: written("y\n0\n\n2\n1\n"), "line 3 is empty"),
    "a hole under the name": (read_labels, lambda: written("y\n\n0\n2\n"), "line 2 is empty"),
    "an index": (
        read_logits,
        lambda: written(",cat,dog\n0,1.5,2\n1,3,4\n"),
        "first cell is empty, as above an index",
    ),
    "an index of numbered columns": (
        read_logits,
        lambda: written(",0,1\n0,1.5,2\n1,3,4\n"),
        "first cell is empty, as above an index",
    ),
    "an index without a name": (
        read_logits,
        lambda: written("0,1.5,2.5,1.5\n1,3.5,4.5,2.5\n2,1.5,1.5,1.5\n"),
        "column 0 numbers the rows",
    ),
    "an index by name": (
        read_logits,
        lambda: written("id,cat,dog\n7,1.5,2\n3,3,4\n"),
        "column 'id'",
    ),
    "predictions among logits": (
        read_logits,
        lambda: written("pred,cat,dog\n1,1.5,2\n0,3,4\n"),
        "column 'pred', which is no class",
    ),
    "folds among logits": (
        read_logits,
        lambda: written("cat,dog,Fold\n1.5,2.5,0\n3.5,4.5,0\n"),
        "column 'Fold', which is no class",
    ),
    "labels: predictions": (
        read_labels,
        lambda: written("y_pred\n0\n1\n"),
        "column 'y_pred', of what was said; give the true classes",
    ),
    "labels among logits": (
        read_logits,
        lambda: written("cat,dog,label\n1.5,2,0\n3,4,1\n"),
        "column 'label'",
    ),
    "a header that is a cell short": (
        read_logits,
        lambda: written("cat,dog\n0,1.5,2\n1,3,4\n"),
        "line 1 has 2 cells and line 2 has 3",
    ),
    "a header that is no header": (read_array, lambda: with_header("(4, 3(, }"), "cannot be read"),
    "a header with a truth value": (read_array, lambda: with_header("(True, 3), }"), r"shape \(True, 3\)"),
    "a header that asks for too much": (
        read_array,
        lambda: with_header("(400000000, 3), }"),
        "its header promises 9,600,000,000 bytes, more than the",
    ),
    "names in the middle": (
        read_logits,
        lambda: written("cat,dog\n1.5,2.5\n3.5,4.5\ncat,dog\n1.5,1.5\n"),
        "line 4 has the names of columns again",
    ),
    "numbers for names in the middle": (
        read_logits,
        lambda: written("0,1\n1.5,2.5\n" + "3.5,4.5\n" * 60 + "0,1\n1.5,1.5\n"),
        "line 63 has the names of columns again",
    ),
    "an error of Excel's in the first column": (
        read_logits,
        lambda: written("1.5,2.5\n#N/A,4.5\n1.5,1.5\n"),
        r"NaN",
    ),
    "another error of Excel's": (
        read_logits,
        lambda: written("1.5,2.5\n#DIV/0!,4.5\n1.5,1.5\n"),
        r"column 0 holds something other than numbers, such as '#DIV/0!'",
    ),
    "whole numbers beyond int64": (
        read_logits,
        lambda: written("a,b\n18446744073709551615,2\n3,4\n"),
        "holds 18446744073709551615; give whole numbers below",
    ),
    "thousands": (read_logits, lambda: written('a,b\n"1,234.5","2.5"\n"1.5","3.5"\n'), "such as '1,234.5'"),
    "decimal commas far below": (
        read_logits,
        lambda: written("a;b\n" + "1;2\n" * 60 + "1.5;2,5\n"),
        "2,5 has a decimal comma and 1.5 a decimal point; write one",
    ),
    "words and numbers in line 1": (read_array, lambda: written("a,1.5\n1,2\n"), "mixes words"),
    "words": (read_array, lambda: written("a,b\n1,2\nx,3\n"), "column a holds"),
    "NaN": (read_logits, lambda: saved(np.full((2, 2), np.nan)), "NaN"),
    "+inf": (read_logits, lambda: saved(np.full((2, 2), np.inf)), "inf"),
    "a hole in a table": (read_logits, lambda: written("1.5,2\n3,\n"), "NaN"),
    "a vector": (read_logits, lambda: saved(np.zeros(3)), "logits are a table"),
    "one class": (read_logits, lambda: saved(np.zeros((3, 1))), "2 classes"),
    "an array with NaN": (read_array, lambda: saved(np.full((2, 2), np.nan)), r"holds NaN \(4 entries\)"),
    "names alone": (read_array, lambda: written("a,b\n"), "no row"),
    "no rows": (read_logits, lambda: saved(np.zeros((0, 3))), "no row"),
    "complex": (read_logits, lambda: saved(np.zeros((3, 2), complex)), "logits are numbers"),
    "labels: a table": (read_labels, lambda: "z.npy", "one class number for each point"),
    "labels: fractions": (read_labels, lambda: saved(np.array([0.5])), "holds 0.5; labels are whole numbers"),
    "labels: NaN": (read_labels, lambda: saved(np.array([np.nan])), "holds nan"),
    "labels: infinite": (read_labels, lambda: saved(np.array([np.inf])), "holds inf"),
    "labels: negative": (read_labels, lambda: saved(np.array([-1])), "label -1"),
    "labels: none": (read_labels, lambda: saved(np.zeros(0, int)), "one class number"),
    "labels: truth values": (read_labels, lambda: saved(np.array([True])), "whole numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_in_one_line(case: str) -> None:
    read, path, message = BAD[case]
    with pytest.raises(ValueError, match=message) as refused:
        read(path())
    assert "\n" not in str(refused.value)


def test_decimal_commas_are_seen_wherever_they_begin() -> None:
    Path("t.csv").write_text("a;b\n" + "1;2\n" * 60 + "1,5;2\n")
    assert read_logits("t.csv")[-1].tolist() == [1.5, 2.0]


def test_two_classes_of_one_name_have_no_labels_in_words() -> None:
    Path("y.csv").write_text("label\ncat\ndog\n")
    with pytest.raises(ValueError, match="two classes are called 'cat'"):
        read_labels("y.csv", header=True, classes=["cat", "dog", "cat"])
