"""Tensors and networks of another device than the CPU: values are the same, and no two devices meet.

The device is one of `elsewhere.py`, for which torch wants a process of its own.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

PACKAGES = (
    "certify", "compare", "compression", "imitation", "losses", "multiview", "networks", "ntk", "populations",
    "risk", "schemes", "schemes.populations", "self_distillation", "sequences", "stochastic", "transfer_risk",
)  # fmt: skip
HERE = Path(__file__).parent


def python(*arguments: str) -> str:
    started = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=started, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@cache
def lines(script: str) -> list[dict]:
    return [json.loads(line) for line in python(str(HERE / script)).splitlines()]


def test_what_is_trained_computed_and_certified_there_is_what_it_is_here() -> None:
    found = [one for one in lines("device_cases.py") if "case" in one]
    assert [one for one in found if "error" in one or one["apart"] > 1e-5] == []
    ours = {"evaluation", "certify", "compare"}  # numbers of Python's
    ours |= {f"study: {name}" for name in (
        "evaluation", "certificates", "schemes compared", "product with a kernel",
        "populations by three schemes", "networks on views",
    )}  # fmt: skip
    assert {one["case"] for one in found if not one["there"]} == ours


def test_the_study_of_devices_runs_all_that_takes_one() -> None:
    study = (HERE.parent / "studies/benchmark_device.py").read_text(encoding="utf-8")
    nodes = [node for node in ast.walk(ast.parse(study)) if isinstance(node, ast.Attribute | ast.Name)]
    named = {node.attr if isinstance(node, ast.Attribute) else node.id for node in nodes}
    packages = [importlib.import_module(f"kdtheory.{name}") for name in PACKAGES]
    takes = {name for one in packages for name in one.__all__ if takes_device(getattr(one, name))}
    assert len(takes) > 8
    assert takes - named == set()


def takes_device(public: object) -> bool:
    return inspect.isfunction(public) and "device" in inspect.signature(public).parameters


def test_arguments_of_two_devices_are_told_apart() -> None:
    found = {one["apart"]: one["told"] for one in lines("device_cases.py") if "told" in one}
    assert len(found) == 5
    for told in found.values():
        assert re.search(r"(\w+) is on \S+ and (\w+) on \S+; move one, \1\.to\(\2\.device\)$", told)


def test_every_door_takes_tensors_from_there() -> None:
    found = lines("device_doors.py")
    assert len(found) > 350
    assert [one for one in found if "error" in one or one["apart"] > 1e-6] == []


def test_tensors_of_two_devices_do_not_meet_unnoticed() -> None:
    code = (
        "import torch\nfrom elsewhere import elsewhere\n"
        "with elsewhere() as there:\n"
        "    try:\n        torch.ones(2).to(there) + torch.ones(2)\n"
        "    except RuntimeError as error:\n        print(error)\n"
    )
    assert "aten.add.Tensor of tensors on elsewhere:0 and on cpu" in python("-c", code)
