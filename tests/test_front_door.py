"""The first second: what is imported by what, and what the catalogue says beside the registry."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import kdtheory
from kdtheory.catalogue import catalogue, document, papers
from kdtheory.certify import ASSUMPTIONS
from kdtheory.cli.certify import DOUBTED

HEAVY = ("torch", "scipy", "numba", "matplotlib", "pandas", "numpy", "sklearn", "kdtheory.claims")
NAME = "kd_gradient_is_the_closed_form"
LIGHT = {
    "help": ["--help"],
    "help of a command": ["verify", "--help"],
    "version": ["--version"],
    "list": ["list"],
    "list as JSON": ["list", "--json"],
    "show": ["show", NAME],
    "cite": ["cite", NAME],
    "cite a bound": ["cite", "hsu21_distillation"],
    "studies": ["study", "--list"],
    "a typing error": ["verfy"],
    "a wrong option": ["verify", "--sed", "1"],
    "a wrong name": ["verify", "kd_gradient_is_closed_form"],
    "a wrong study": ["study", "soft_rati"],
}


def python(code: str, folder: Path) -> str:
    """What Python prints, as an outsider starts it."""
    started = {**os.environ, "PYTHONPATH": str(Path(kdtheory.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=started, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("arguments", LIGHT.values(), ids=LIGHT)
def test_a_command_that_only_tells_imports_no_mathematics(arguments: list[str], tmp_path: Path) -> None:
    code = (
        f"import sys; sys.argv = ['kdtheory', *{arguments!r}]\n"
        "from kdtheory.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print(); print('loaded', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert python(code, tmp_path).splitlines()[-1] == "loaded []"


def test_names_of_the_package_are_imported_when_they_are_asked_for(tmp_path: Path) -> None:
    code = f"""
import sys, kdtheory
loaded = lambda: [name for name in {HEAVY!r} if name in sys.modules]
print(loaded(), set(kdtheory.__all__) <= set(dir(kdtheory)))
from kdtheory import train
print(train.__module__, [name for name in ("scipy", "pandas", "numba", "matplotlib") if name in sys.modules])
"""
    first, second = python(code, tmp_path).splitlines()
    assert (first, second) == ("[] True", "kdtheory.populations.training []")


def test_a_first_verdict_imports_one_module_of_claims_and_what_it_rests_on(tmp_path: Path) -> None:
    code = f"""
import sys
sys.argv = ["kdtheory", "verify", {NAME!r}, "--out", "run", "--json"]
from kdtheory.cli import main
try:
    main()
except SystemExit as ended:
    print(ended.code)
homes = {{claim["module"] for claim in __import__("kdtheory").catalogue.catalogue()["claims"].values()}}
heavy = ("sklearn", "scipy.stats", "pandas", "numba", "matplotlib")
print([name for name in heavy if name in sys.modules], sum(name in sys.modules for name in homes))
"""
    *_, ended, loaded = python(code, tmp_path).splitlines()
    assert (ended, loaded) == ("0", "[] 1")


def test_the_first_training_of_a_process_loads_no_compiler(tmp_path: Path) -> None:
    program = """
import sys
import torch
from kdtheory import MLP, Recipe, Stream, train
from kdtheory.losses import distillation
probs, labels = torch.full((6, 3), 1 / 3), torch.tensor([0, 1, 2, 0, 1, 2])
for optimizer in ("adam", "sgd"):
    recipe = Recipe(steps=2, learning_rate=0.1, batch_size=4, optimizer=optimizer, weight_decay=0.1)
    train(MLP((2, 3)), torch.ones(6, 2), labels, teacher_probs=probs, loss=distillation, members=2,
          settings={"weight": 0.5}, stream=Stream(0), recipe=recipe)
print([name for name in ("sympy", "torch._dynamo") if name in sys.modules])
"""
    assert python(program, tmp_path).strip() == "[]"


def test_a_public_name_is_not_hidden_by_the_package_of_the_same_name(tmp_path: Path) -> None:
    code = """
import kdtheory.certify.plan
from kdtheory import certify
import kdtheory.losses
print(callable(certify), callable(kdtheory.certify), kdtheory.losses.__name__, kdtheory.risk.__name__)
print(hasattr(kdtheory, "nothing_of_the_sort"))
"""
    assert python(code, tmp_path) == "True True kdtheory.losses kdtheory.risk\nFalse\n"


def test_what_type_checkers_see_is_what_there_is() -> None:
    tree = ast.parse(Path(kdtheory.__file__).read_text())
    (branch,) = (node for node in tree.body if isinstance(node, ast.If))
    listed = {alias.name for node in branch.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert listed == set(kdtheory.__all__)
    assert all(getattr(kdtheory, name) for name in kdtheory.__all__)


def test_the_catalogue_is_what_the_claims_say() -> None:
    there = json.loads(resources.files("kdtheory").joinpath("catalogue.json").read_text(encoding="utf-8"))
    assert there == document(), "run `make catalogue`"
    assert there == catalogue()


def test_functions_are_cited_by_the_paper_in_their_name() -> None:
    functions = catalogue()["functions"]
    assert functions["golowich18_relu_net"] == ["golowich2018size"]
    assert functions["clopper34_holdout"] == ["clopper1934use"]
    assert papers("hsu21") == ["hsu2021generalization"]
    assert papers("nothing") == papers("author99_bound") == []


def test_what_may_not_hold_of_files_is_listed_in_the_help() -> None:
    assert set(DOUBTED) == set(ASSUMPTIONS) - {"prior_unseen", "start_unseen"}


def test_claims_are_imported_when_the_registry_is_first_read(tmp_path: Path) -> None:
    code = f"""
import sys, threading
import kdtheory.claims.response.temperature
import kdtheory.report, kdtheory.claims as claims
chapters = lambda: sum(name.startswith("kdtheory.claims.bounds") for name in sys.modules)
before, found = chapters(), []
threads = [threading.Thread(target=lambda: found.append(len(claims.REGISTRY))) for _ in range(4)]
[one.start() for one in threads], [one.join() for one in threads]
there = dict(claims.REGISTRY)
same = found[0] == len(there) == len({{**claims.REGISTRY}})
print(before, chapters() > 1, len(set(found)), same, {NAME!r} in there)
print(list(there) == sorted(there, key=lambda name: there[name].order))
"""
    assert python(code, tmp_path).split() == ["0", "True", "1", "True", "True", "True"]
