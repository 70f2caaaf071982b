"""What `pip install` gives, of wheel and sdist: installed elsewhere, and every command of it is run there.

Both are built here, unless `KDTHEORY_DIST` names the folder where they are.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
NAME = "kd_gradient_is_the_closed_form"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="hatchling is not installed"),
]


def built(kind: str, folder: Path, source: Path = ROOT) -> Path:
    """The wheel or the sdist: the one that is there, or made from a source tree."""
    if (there := os.environ.get("KDTHEORY_DIST")) and source == ROOT:
        (made,) = (ROOT / there).glob("*.whl" if kind == "wheel" else "*.tar.gz")
        return made
    build = f"import sys; from hatchling.build import build_{kind}; print(build_{kind}(sys.argv[1]))"
    told = subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=source, capture_output=True, text=True, check=True
    )
    return folder / told.stdout.splitlines()[-1]


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the package, and by a path file what the package depends on."""
    folder = tmp_path_factory.mktemp("elsewhere")
    wheel = built(request.param, folder)
    if request.param == "sdist":
        with tarfile.open(wheel) as packed:
            packed.extractall(folder / "source", filter="data")
        (source,) = (folder / "source").iterdir()
        wheel = built("wheel", folder, source)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv/bin/python"
    (site,) = (folder / "venv/lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    subprocess.run(
        [*install, "--no-index", "--force-reinstall", "--ignore-installed", str(wheel)], check=True
    )
    return python


def run(python: Path, folder: Path, *arguments: str, code: int = 0) -> str:
    """What a command of the installed package prints, in a folder that has nothing to do with it."""
    bare = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    command = [str(python.with_name("kdtheory")), *arguments]
    told = subprocess.run(command, cwd=folder, env=bare, capture_output=True, text=True, check=False)
    assert told.returncode == code, told.stderr
    return told.stdout


def test_what_is_run_is_what_was_installed(installed: Path, tmp_path: Path) -> None:
    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    code = "import kdtheory, kdtheory.scripts as s; print(kdtheory.__file__); print(len(s.study_paths()))"
    told = subprocess.run(
        [str(installed), "-c", code], cwd=tmp_path, env=bare, capture_output=True, text=True, check=True
    )
    place, studies = told.stdout.splitlines()
    assert Path(place).is_relative_to(installed.parents[1])
    assert int(studies) == len(list((ROOT / "studies").glob("[a-z]*.py")))


def test_every_command_works_from_anywhere(installed: Path, tmp_path: Path) -> None:
    def kdtheory(*arguments: str, code: int = 0) -> str:
        return run(installed, tmp_path, *arguments, code=code)

    assert "kdtheory" in kdtheory("--version")
    assert NAME in kdtheory("list")
    assert "hinton2015distilling" in kdtheory("show", NAME)
    assert kdtheory("cite", "hsu21_distillation").startswith("@")
    assert "soft_ratio" in kdtheory("study", "--list")
    kdtheory("verify", NAME, "--mutants", "--out", "run")
    kdtheory("report", "--run", "run")
    assert NAME in (tmp_path / "run/report.html").read_text()
    kdtheory("study", "kd_gradient_temperature", "--small")
    assert (tmp_path / "runs/figures/kd_gradient_temperature/figure.png").is_file()
    for kind in ("claim", "study", "world"):
        kdtheory("new", kind, f"begun_{kind}")
    kdtheory("verify", "begun_claim.py", "--out", "own")
    kdtheory("study", "./begun_study.py", "--small")
    generator = np.random.default_rng(0)
    labels, logits = generator.integers(0, 3, 200), generator.normal(size=(200, 3))
    logits[np.arange(200), labels] += 5
    np.save(tmp_path / "t.npy", logits)
    np.save(tmp_path / "y.npy", labels)
    files = ["--teacher-logits", "t.npy", "--fixed-in-advance", "--json"]
    assert json.loads(kdtheory("certify", *files, "--labels", "y.npy"))["bounds"]
    assert json.loads(kdtheory("compare", *files, "--labels", "y.npy", "--student-logits", "t.npy"))


def test_the_sdist_has_what_its_tests_and_its_documentation_read(tmp_path: Path) -> None:
    with tarfile.open(built("sdist", tmp_path)) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "LICENSE", "Makefile"):
        assert name in names
    assert {"docs/conf.py", "tests/test_docs.py", "tests/blocks.py", "studies/soft_ratio.py"} <= names
    assert not [name for name in names if name.startswith(("docs/reference", "build", "runs", ".venv"))]


def test_all_that_names_a_version_names_the_same() -> None:
    import kdtheory

    assert f"\nversion: {kdtheory.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(
        rf"^## \[{re.escape(kdtheory.__version__)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE
    )
