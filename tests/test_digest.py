"""The digest of code: it changes with what a function rests on, and with nothing else."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from kdtheory.claims import REGISTRY
from kdtheory.digest import _origin, code_digest
from kdtheory.records import code_of

FILES = {
    "__init__.py": "",
    "check.py": "from resting.middle import twice\nimport resting.aside\n\n\n"
    "def check():\n    from resting.later.deep import end\n\n    return twice(end.END)\n",
    "middle.py": "from . import below\n\n\ndef twice(x):\n    return below.TWO * x\n",
    "below.py": "TWO = 2\n",
    "aside.py": "",
    "other.py": "ELSE = 1\n",
    "later/__init__.py": "",
    "later/deep/__init__.py": "from . import end\n",
    "later/deep/end.py": "END = 1\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "resting"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    _origin.cache_clear()
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "resting"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "rests"),
    [
        ("check.py", True),
        ("middle.py", True),
        ("below.py", True),
        ("aside.py", True),
        ("other.py", False),
        ("later/deep/__init__.py", True),
        ("later/deep/end.py", True),
    ],
)
def test_what_a_function_imports_directly_or_through_others_counts(
    package: Path, name: str, rests: bool
) -> None:
    check = importlib.import_module("resting.check").check
    before = code_digest(check)
    assert code_digest(check) == before
    (package / name).write_text(FILES[name] + "# changed\n")
    assert (code_digest(check) != before) is rests


def test_whether_what_a_function_may_import_is_loaded_plays_no_part(package: Path) -> None:
    check = importlib.import_module("resting.check").check
    before = code_digest(check)
    importlib.import_module("resting.later.deep.end")
    assert code_digest(check) == before


def test_a_function_without_a_file_rests_on_its_own_code() -> None:
    made = []
    for line in ("return 1", "return 2", "return 1"):
        names = {"__name__": "notebook"}
        exec(f"def check():\n    {line}\n", names)
        made.append(code_digest(names["check"]))
    assert made[0] == made[2] != made[1]


IMPORTS = """
from collections import deque
from functools import cache, partial
from numpy.random import default_rng
from pandas import DataFrame
from scipy.sparse import csr_array
from torch import nested, nn, ones, tensor, zeros
from torch.utils.data import DataLoader, TensorDataset

class Net(nn.Sequential):
  def __init__(self, by):
    super().__init__()
    self.by = by

class Slot:
  __slots__ = ("by",)
  def __init__(self, by):
    self.by = by
"""
GRAPH = "class N: pass\na, b = N(), N()\na.to, b.to = {b, 1}, {a, 'q'}\ndef check(): return a\n"
CHAIN = """
def check(): return x
def nested(deep, x): return nested(deep - 1, [x]) if deep else x
x = nested(500, """
OTHERS = [
    ("nn.Sequential(nn.ReLU())", "nn.Sequential(nn.Tanh())"),
    ("nn.Dropout(0.1)", "nn.Dropout(0.5)"),
    ("Net(1)", "Net(2)"),
    ("Slot(1)", "Slot(2)"),
    ("ones(2).to_sparse()", "2 * ones(2).to_sparse()"),
    ("ones(2, 2).to_sparse_csr()", "(2 * ones(2, 2)).to_sparse_csr()"),
    ("nested.nested_tensor([ones(1), ones(2)])", "nested.nested_tensor([ones(1), zeros(2)])"),
    ("tensor([1j]).conj().imag", "tensor([2j]).conj().imag"),
    ("TensorDataset(ones(2))", "TensorDataset(zeros(2))"),
    ("DataLoader(TensorDataset(ones(2)))", "DataLoader(TensorDataset(zeros(2)))"),
    ("default_rng(0)", "default_rng(1)"),
    ("csr_array([[1.0]])", "csr_array([[2.0]])"),
    ("DataFrame(range(99))", "DataFrame([*range(50), 0, *range(51, 99)])"),
    ("deque([ones(2000)])", "deque([1 + 0 * ones(2000).cumsum(0).eq(999)])"),
]


@pytest.mark.parametrize(
    "text",
    [
        "import random\ndef check(): return random.random()",
        "from numpy.random import rand\ndef check(): return rand()",
        "from scipy.stats import binom, norm\nx = norm(0, 1)\ndef check(): return binom, x",
        "from torch import default_generator, rand\ndef check(): return rand(1, generator=default_generator)",
    ],
)
def test_a_function_does_not_rest_on_the_state_of_what_belongs_to_a_library(text: str) -> None:
    names = {"__name__": "notebook"}
    exec(text, names)
    before = code_digest(names["check"])
    for draw in (random.random, np.random.rand, lambda: torch.rand(1)):
        draw()
    assert code_digest(names["check"]) == before


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support", "ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def check(x=1): return x", "def check(x=2): return x"),
        ("def h(k=1): return k\ndef check(): return h()", "def h(k=2): return k\ndef check(): return h()"),
        ("x = [1]\ndef check(): return x", "x = [2]\ndef check(): return x"),
        ("x = {1: 2}\ndef check(): return x", "x = {1: 3}\ndef check(): return x"),
        ("x = 0.0\ndef check(): return x", "x = -0.0\ndef check(): return x"),
        ("x = ones(2)\ndef check(): return x", "x = 2 * ones(2)\ndef check(): return x"),
        ("x = ones(2)\ndef check(): return x", "x = ones(2).double()\ndef check(): return x"),
        ("x = partial(max, 1)\ndef check(): return x", "x = partial(max, 2)\ndef check(): return x"),
        ("class A:\n  x = 1\ndef check(): return A.x", "class A:\n  x = 2\ndef check(): return A.x"),
        ("@cache\ndef h(): return 1\ndef check(): h()", "@cache\ndef h(): return 2\ndef check(): h()"),
        ("def m(k):\n  return lambda: k\ncheck = m(1)", "def m(k):\n  return lambda: k\ncheck = m(2)"),
        ("x = cache\ndef check(): return x", "x = partial\ndef check(): return x"),
        *([f"x = {value}\ndef check(): return x" for value in pair] for pair in OTHERS),
        (f"{GRAPH}a.v = 1", f"{GRAPH}a.v = 2"),
        (f"{CHAIN}1)", f"{CHAIN}2)"),
    ],
)  # fmt: skip
def test_a_function_without_a_file_rests_on_the_values_that_it_names(old: str, new: str) -> None:
    made = []
    for text in (old, new, old, "\n\n" + old):
        names = {"__name__": "notebook"}
        exec(f"{IMPORTS}\n{text}", names)
        made.append(code_digest(names["check"]))
    assert made[0] == made[2] == made[3] != made[1]


TYPED = """
import torch
from kdtheory import Control, Mutant, Rows, claim, experiment
from kdtheory.claims.evidence import Identity
from kdtheory.losses import entropy

SIZE = 3


def drawn(run):
    return torch.ones(SIZE)


@experiment
def typed_rows(run, /, *, factor=1.0):
    return Rows(left=drawn(run) * factor, right=drawn(run))


@claim(formula="a", source="derived here", place="derived here", experiment=typed_rows,
       control=Control("doubled", factor=2.0), mutants=(Mutant("none", entropy, lambda logits: logits * 0),))
def typed_in_holds(rows, /):
    \"\"\"It holds.\"\"\"
    return Identity.of(rows.left, rows.right, tolerance=1e-9)
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SIZE = 3", "SIZE = 4"),
        ("torch.ones", "torch.zeros"),
        ("* factor", "+ factor"),
        ("factor=2.0", "factor=lambda: 2.0"),
        ("factor=1.0", "factor=1.5"),
        ("factor=2.0", "factor=3.0"),
        ("logits * 0", "logits * 2"),
        ("rows.left, rows.right", "rows.right, rows.left"),
        ("It holds", "It holds"),
    ],
)
def test_a_claim_that_is_typed_in_rests_on_all_that_is_typed(
    old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdtheory.claims.core.REGISTRY", {})
    codes = set()
    for text in (TYPED, TYPED.replace(old, new)):
        names = {"__name__": "notebook"}
        exec(text, names)
        codes.add(code_of(names["typed_in_holds"]))
    assert len(codes) == 1 + (old != new)


def test_claims_of_one_module_rest_on_the_same_code_and_others_on_other() -> None:
    codes: dict[str, set[str]] = {}
    for claim in REGISTRY.values():
        codes.setdefault(claim.relation.__module__, set()).add(code_of(claim))
    assert all(len(some) == 1 for some in codes.values())
    assert len(set.union(*codes.values())) == len(codes) > 20
