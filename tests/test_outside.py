"""Claims from outside the package: files, modules, entry points, papers of one's own, pytest, skeletons."""

from __future__ import annotations

import importlib
import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from kdtheory import Plan, bibliography, outside, verify
from kdtheory.assertion import assert_claim
from kdtheory.claims import REGISTRY
from kdtheory.cli.names import chosen_claims, chosen_entries
from kdtheory.digest import code_digest
from kdtheory.experiments import EXPERIMENTS
from kdtheory.records import RunDirectory
from kdtheory.report import report

pytest_plugins = ["pytester"]

NAME = "a_sum_is_a_sum"
CLAIM = '''"""Claims of a test."""

import torch

from kdtheory import Control, Mutant, Rows, Run, claim, experiment
from kdtheory.claims.evidence import Identity
from kdtheory.claims.wrong import scaled
from kdtheory.losses import kl_divergence


@experiment
def rows_of_NAME(run: Run, /, *, factor: float = 1.0) -> Rows:
    """Divergences of drawn logits, twice."""
    student, teacher = torch.randn(2, 20, 5, generator=run.stream.torch(), dtype=torch.float64)
    gap = teacher.softmax(-1) * (teacher.log_softmax(-1) - student.log_softmax(-1))
    return Rows(divergence=kl_divergence(student, teacher), by_hand=factor * gap.sum(-1))


@claim(
    section="2.7", formula="a = b", source="SOURCE", place="derived here", experiment=rows_of_NAME,
    control=Control("twice as much", factor=CONTROL),
    mutants=(Mutant("MUTANT", kl_divergence, scaled(WRONG)),),
)
def NAME(rows: Rows, /):
    """A divergence is what it is by hand."""
    return Identity.of(rows.divergence, rows.by_hand, tolerance=1e-9)
'''
ENTRY = "@misc{me2026own, author = {Me, My Self}, title = {Own}, year = {2026}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own; path, modules, registries and bibliography are as before afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    registries = (REGISTRY, EXPERIMENTS, sys.modules, bibliography._READ)
    before = [set(registry) for registry in registries]
    yield tmp_path
    for registry, kept in zip(registries, before, strict=True):
        for name in set(registry) - kept:
            del registry[name]


def script(path: Path, *, name: str = NAME, **words: str) -> Path:
    """A file that declares a claim, of which some words are otherwise."""
    replaced = {"SOURCE": "derived here", "CONTROL": "2.0", "MUTANT": "half", "WRONG": "0.5"} | words
    text = CLAIM.replace("NAME", name)
    for word, otherwise in replaced.items():
        text = text.replace(word, otherwise)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_claims_are_found_by_file_module_and_package(folder: Path) -> None:
    script(folder / "by_file" / "claims_of_a_file.py", name="one")
    script(folder / "claims_of_a_module.py", name="two")
    script(folder / "claims_of_a_package" / "first.py", name="three")
    script(folder / "claims_of_a_package" / "below" / "second.py", name="four")
    for place in ("claims_of_a_package", "claims_of_a_package/below"):
        (folder / place / "__init__.py").write_text("")
    found = chosen_claims(["by_file/claims_of_a_file.py", "claims_of_a_module", "claims_of_a_package.first"])
    assert {claim.name for claim in found} == {"one", "two", "three"}
    assert [claim.name for claim in outside.load_claims("claims_of_a_package")] == ["four", "three"]
    by_path = outside.load_claims("claims_of_a_package/below/second.py")
    assert by_path == (REGISTRY["four"],)
    assert by_path[0].relation.__module__ == "claims_of_a_package.below.second"
    (told,) = chosen_entries(["claims_of_a_module"])
    assert (told["name"], told["premise"], told["mutants"]) == ("two", {"factor": "1.0"}, ["half"])


def test_a_module_that_only_imports_a_claim_does_not_declare_it(folder: Path) -> None:
    script(folder / "declares.py")
    (folder / "imports.py").write_text(f"from declares import {NAME}\n")
    with pytest.raises(ValueError, match=r"imports\.py declares no claim"):
        outside.load_claims("imports.py")


def test_what_cannot_be_loaded_is_said_in_one_line(folder: Path) -> None:
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "json.py").write_text("")
    (folder / "no-name.py").write_text("")
    for source, message in {
        "broken.py": r"broken cannot be imported \(ZeroDivisionError: division by zero\)",
        "json.py": "has the name of another module, json; rename it",
        "no-name.py": "is no name of a module",
        "nowhere.py": "there is no file 'nowhere.py'",
        "not.there": "there is no module 'not.there'",
    }.items():
        with pytest.raises(ValueError, match=message):
            outside.load_claims(source)
    taken = script(folder / "taken.py", name="kd_gradient_is_the_closed_form")
    with pytest.raises(ValueError, match="the name is taken"):
        outside.load_claims(str(taken))


def test_installed_claims_are_offered_by_an_entry_point(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(folder / "offers.py")
    point = EntryPoint("mine", "offers", outside.GROUP)
    monkeypatch.setattr(outside, "entry_points", lambda group: [point] if group == outside.GROUP else [])
    assert [claim.name for claim in chosen_claims(["a_sum*"])] == [NAME]
    assert NAME in {entry["name"] for entry in chosen_entries([])}
    assert verify(NAME)[0].as_expected
    for wrong, why in {"nowhere_at_all": "there is no module", "offers:NAME": "there is no module"}.items():
        point = EntryPoint("mine", wrong, outside.GROUP)
        with pytest.raises(ValueError, match=f"entry point 'mine', of the group {outside.GROUP}: {why}"):
            chosen_entries([])


def test_a_module_without_a_dot_is_taken_for_one_by_its_file(folder: Path) -> None:
    (folder / "somewhere" / "offered").mkdir(parents=True)
    (folder / "somewhere/offered/__init__.py").touch()
    path = script(folder / "somewhere/offered/inner.py")
    sys.path.insert(0, str(path.parents[1]))
    with pytest.raises(
        ValueError, match=r"it is the name of a module; name its file, .*__init__\.py"
    ) as told:
        chosen_entries(["offered"])
    (entry,) = chosen_entries([str(told.value).rpartition(" ")[2]])
    assert entry["name"] == NAME


def test_papers_are_read_beside_the_claim_and_unknown_ones_are_refused(folder: Path) -> None:
    path = script(folder / "cites.py", SOURCE="me2026ow")
    with pytest.raises(ValueError, match=r"claim a_sum_is_a_sum: source 'me2026ow' is not in the bibliog"):
        outside.load_claims(str(path))
    (folder / "papers.bib").write_text(ENTRY)
    with pytest.raises(ValueError, match="did you mean 'me2026own'"):
        verify(REGISTRY[NAME], progress=False)
    (folder / "papers.bib").write_text(ENTRY.replace("me2026own", "me2026ow"))
    (finding,) = verify(REGISTRY[NAME], progress=False)
    assert bibliography.citation(finding.source) == "Me 2026"


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_bibliography_of_ones_own_does_not_change_the_packages(folder: Path) -> None:
    path = folder / "own.bib"
    for text, message in {
        ENTRY.replace("me2026own", "hinton2015distilling"): "is that of another entry",
        "@misc{me2026own, title = {Own}, year = {2026}}": "lacks author",
        "@misc{me2026own, author": "does not parse",
    }.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            bibliography.read(path)
    with pytest.raises(ValueError, match=r"bibliography 'no\.bib' cannot be read"):
        bibliography.read("no.bib")
    path.write_text(ENTRY)
    assert bibliography.read(path) == bibliography.read(path) == ("me2026own",)
    assert bibliography.own_entries(["me2026own", "hinton2015distilling"]) == ENTRY.strip()
    assert bibliography.citation(bibliography.DERIVED) == "derived here"
    with pytest.raises(ValueError, match="key = 3 must be a text"):
        bibliography.bibtex(3)  # type: ignore[arg-type]


@pytest.mark.usefixtures("unchecked_shapes")
def test_verify_takes_names_and_says_which_are_none() -> None:
    name = "kd_gradient_is_the_closed_form"
    figures = [verify(given)[0].evidence.key_figure for given in (name, [name], REGISTRY[name])]
    assert len(set(figures)) == 1
    with pytest.raises(ValueError, match=f"did you mean {name!r}"):
        verify(name[:-1])
    with pytest.raises(ValueError, match="must be a Claim or a text"):
        verify([3])  # type: ignore[list-item]


def test_a_claim_is_asserted_with_its_controls_and_mutants(folder: Path) -> None:
    (good,) = outside.load_claims(str(script(folder / "good.py")))
    assert assert_claim(good).verdict.name == "SUPPORTED"
    (bad,) = outside.load_claims(
        str(script(folder / "bad.py", name="bad", CONTROL="1.0 + 1e-12", WRONG="1.0"))
    )
    with pytest.raises(AssertionError) as said:
        assert_claim(bad)
    lines = str(said.value).splitlines()
    assert lines[0] == "claim bad"
    assert lines[1].startswith("  premise: BLIND, expected SUPPORTED.")
    assert lines[2].startswith("  control twice as much: SUPPORTED, declared REFUTED")
    assert lines[3] == "  mutant half: not noticed: the verdict stays as it is"
    assert assert_claim("kd_gradient_is_the_closed_form", Plan(seed=3)).mutants is None


def test_the_code_of_a_script_is_that_of_what_lies_beside_it_too(folder: Path) -> None:
    path = script(folder / "with_helper.py")
    path.write_text("import helper_beside\n" + path.read_text())
    helper, digests = folder / "helper_beside.py", []
    for text in ("A = 1\n", "A = 22\n", "A = 22\n"):
        helper.write_text(text)
        (claim,) = outside.load_claims(str(path))
        digests.append(code_digest(claim.relation))
    assert digests[0] != digests[1] == digests[2]


def run_pytest(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist", *arguments)


def test_pytest_collects_claims_with_controls_and_mutants_as_subtests(pytester: pytest.Pytester) -> None:
    script(pytester.path / "my_claims.py", name="holds")
    script(pytester.path / "test_wrong.py", name="blind", CONTROL="1.0 + 1e-12", WRONG="1.0")
    found = run_pytest(pytester, "my_claims.py", "test_wrong.py", "--junitxml=out.xml", "-rA")
    assert found.ret == pytest.ExitCode.TESTS_FAILED
    text = found.stdout.str()
    assert "PASSED my_claims.py::holds" in text
    assert "SUBFAILED[control twice as much] test_wrong.py::blind" in text
    assert "SUBFAILED[mutant half] test_wrong.py::blind" in text
    assert "BLIND, expected SUPPORTED" in text
    cases = {case.get("name"): case for case in ET.parse(pytester.path / "out.xml").iter("testcase")}
    told = {one.get("name"): one.get("value") for one in cases["holds"].iter("property")}
    assert (told["section"], told["verdict"], told["source"]) == ("2.7", "SUPPORTED", "derived here")
    assert any(case.find("failure") is not None for name, case in cases.items() if "blind" in str(name))


def test_pytest_runs_what_it_is_asked_to(pytester: pytest.Pytester) -> None:
    script(pytester.path / "test_wrong.py", name="mutant_survives", WRONG="1.0")
    assert run_pytest(pytester).ret == pytest.ExitCode.TESTS_FAILED
    assert run_pytest(pytester, "--no-claims-mutants", "-m", "claim").ret == pytest.ExitCode.OK
    assert run_pytest(pytester, "--no-claims").ret == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize("kind", ["claim", "study", "world"])
def test_what_new_writes_passes(kind: str, pytester: pytest.Pytester) -> None:
    name = f"begun_{kind}"

    def kdtheory(*arguments: str) -> pytest.RunResult:
        return pytester.run(sys.executable, "-m", "kdtheory", *arguments)

    assert kdtheory("new", kind, name).ret == 0
    again = kdtheory("new", kind, name)
    assert (again.ret, "is there already" in again.stderr.str()) == (2, True)
    if kind == "study":
        assert kdtheory("study", f"./{name}.py", "--small").ret == 0
        assert (pytester.path / "runs/figures" / name / "figure.svg").is_file()
        return
    assert run_pytest(pytester, f"{name}.py").ret == 0
    if kind == "claim":
        assert kdtheory("verify", f"{name}.py", "--mutants", "--out", "run", "--jobs", "2").ret == 0
        (finding,) = json.loads((pytester.path / "run/ledger.json").read_text())["findings"]
        assert finding["mutants"]["killed"] == finding["mutants"]["total"] == 2
        assert kdtheory("new", kind, "another").ret == 0
        assert kdtheory("verify", f"{name}.py", "another.py", "--jobs", "2").ret == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["calim", "x"], "did you mean 'claim'"),
        (["claim", "kd_gradient_is_the_closed_form"], "is taken by a claim"),
        (["claim", "Not A Name"], "is no name of a function"),
    ],
)
def test_new_refuses_what_is_no_name(arguments: list[str], message: str, pytester: pytest.Pytester) -> None:
    said = pytester.run(sys.executable, "-m", "kdtheory", "new", *arguments)
    assert (said.ret, message in said.stderr.str()) == (2, True)


def kdtheory(pytester: pytest.Pytester, *arguments: str) -> tuple[int, str, str]:
    said = pytester.run(sys.executable, "-m", "kdtheory", *arguments)
    return int(said.ret), said.stdout.str().strip(), said.stderr.str().strip()


def test_a_script_that_ends_itself_is_an_error_and_not_a_success(folder: Path) -> None:
    for ending in (
        "import sys; sys.exit(0)",
        "raise SystemExit",
        "import pytest; pytest.importorskip('nowhere')",
    ):
        path = script(folder / "ends.py")
        path.write_text(f"{ending}\n{path.read_text()}")
        with pytest.raises(ValueError, match=r"ends cannot be imported \((SystemExit|Skipped)"):
            outside.load_claims(str(path))
    path = script(folder / "ends_later.py")
    path.write_text(path.read_text().replace("    student, teacher =", "    raise SystemExit(0)\n    a, b ="))
    (claim,) = outside.load_claims(str(path))
    (found,) = verify(claim, progress=False)
    assert (found.verdict.name, found.evidence.key_figure) == ("ERROR", "SystemExit: 0")


@pytest.mark.parametrize(("given", "kind"), [("return bool(1)  #", "bool"), ("", "NoneType")])
def test_a_relation_that_gives_no_evidence_is_a_row_of_the_ledger(
    given: str, kind: str, folder: Path
) -> None:
    path = script(folder / f"gives_{kind.lower()}.py")
    path.write_text(path.read_text().replace("    return Identity", f"    {given}Identity"))
    (found,) = verify(outside.load_claims(str(path)), progress=False)
    assert (found.verdict.name, found.evidence.key_figure) == (
        "ERROR",
        f"TypeError: claim {found.name} gave a {kind}; give an Evidence",
    )


def test_a_name_that_is_declared_twice_hides_no_claim(folder: Path) -> None:
    path = script(folder / "twice.py")
    lines = path.read_text().splitlines(keepends=True)
    again = "".join(lines[lines.index("@claim(\n") :])
    path.write_text(f"{path.read_text()}\n\n{again}")
    with pytest.raises(ValueError, match=f"claim {NAME}: its module declares two claims of this name"):
        outside.load_claims(str(path))
    path = script(folder / "once.py", name="one")
    path.write_text(f"{path.read_text()}\nby_another_name = one\n")
    (claim,) = outside.load_claims(str(path))
    assert importlib.reload(sys.modules["once"])  # declares it anew, and is not refused
    assert claim.name == "one"


def test_a_section_is_numbers(folder: Path) -> None:
    path = script(folder / "numbered.py")
    path.write_text(path.read_text().replace("2.7", "A.1"))
    with pytest.raises(ValueError, match=r"section = 'A\.1' must be numbers between dots"):
        outside.load_claims(str(path))


def test_a_thesis_bibliography_beside_a_claim_stops_nothing(folder: Path) -> None:
    path = script(folder / "cites_mine.py", SOURCE="me2026own")
    theirs = (
        "@article{hinton2015distilling, title={Distilling the Knowledge in a Neural Network},\n"
        "  author={Hinton, Geoffrey}, year={2015}}\n@misc{nobody, title={Undated}}\n@misc{half, author\n"
    )
    (folder / "thesis.bib").write_text(ENTRY + theirs)
    (claim,) = outside.load_claims(str(path))
    assert bibliography.citation(claim.source) == "Me 2026"
    assert "Vinyals" in bibliography.citation("hinton2015distilling")
    (folder / "thesis.bib").write_text(ENTRY.replace("2026}", "2027}") + theirs)
    outside.check_sources([claim])
    assert bibliography.citation(claim.source) == "Me 2027"
    (folder / "thesis.bib").write_text(ENTRY.replace(", year = {2026}", "") + theirs)
    with pytest.raises(ValueError, match=r"thesis\.bib: entry 'me2026own' lacks year"):
        outside.check_sources([claim])


def test_a_file_and_a_folder_are_meant_before_what_can_be_imported_by_their_name(folder: Path) -> None:
    script(folder / "test.py", name="of_a_file")  # not the package of that name that comes with Python
    assert [claim.name for claim in chosen_claims(["test"])] == ["of_a_file"]
    script(folder / "own" / "first.py", name="of_a_package")
    with pytest.raises(ValueError, match=r"own is a folder; name its files, as own/\*\.py"):
        chosen_claims(["own"])
    (folder / "own" / "__init__.py").write_text("")
    assert [claim.name for claim in chosen_claims(["own"])] == ["of_a_package"]


def test_the_code_of_a_claim_counts_packages_beside_it_and_imports_that_are_only_tried(folder: Path) -> None:
    path, below = script(folder / "tries.py"), folder / "mine_beside" / "numbers.py"
    below.parent.mkdir()
    (below.parent / "__init__.py").write_text("")
    tried = "try:\n    from .mine_beside import numbers\nexcept ImportError:\n"
    tried += "    from mine_beside import numbers\n"
    path.write_text(tried + path.read_text())
    digests = []
    for text in ("A = 1\n", "A = 22\n"):
        below.write_text(text)
        (claim,) = outside.load_claims(str(path))
        digests.append(code_digest(claim.relation))
    assert digests[0] != digests[1]


def test_what_a_claim_prints_is_not_in_the_answer(pytester: pytest.Pytester) -> None:
    path = script(pytester.path / "prints.py")
    loud = path.read_text().replace("    student, teacher", "    print('measuring')\n    student, teacher")
    path.write_text(f"print('importing')\n{loud}")
    code, out, err = kdtheory(pytester, "verify", "prints.py", "--json", "--quiet")
    assert (code, json.loads(out)["findings"][0]["name"]) == (0, NAME)
    assert err.split() == ["importing", "measuring", "measuring"]
    assert json.loads(kdtheory(pytester, "list", "prints.py", "--json")[1])[0]["name"] == NAME


def test_the_name_of_a_claim_of_the_package_is_taken_before_that_is_imported(
    pytester: pytest.Pytester,
) -> None:
    script(pytester.path / "taken.py", name="kd_gradient_is_the_closed_form")
    code, _, err = kdtheory(pytester, "verify", "taken.py")
    assert (code, "the name is taken by a claim of kdtheory; rename yours" in err) == (2, True)


def test_new_refuses_the_names_of_modules_and_of_what_it_imports(pytester: pytest.Pytester) -> None:
    for kind, name, why in (
        ("claim", "statistics", "that of a module"),
        ("claim", "kl_divergence", "something the claim imports"),
        ("world", "sample", "something the world imports"),
    ):
        code, _, err = kdtheory(pytester, "new", kind, name)
        assert (code, why in err) == (2, True), err
    assert kdtheory(pytester, "new", "study", "stream")[0] == 0


def test_pytest_refuses_an_error_rate_that_is_none(pytester: pytest.Pytester) -> None:
    script(pytester.path / "my_claims.py")
    found = run_pytest(pytester, "my_claims.py", "--claims-alpha=2")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    assert "--claims-alpha = 2.0 must lie in (0, 1)" in found.stderr.str()


@pytest.mark.parametrize(
    "column", ["kl_divergence(student, teacher)", "kl_divergence(student, teacher).numpy()"]
)
def test_a_relation_that_writes_on_its_rows_spoils_no_others(column: str, folder: Path) -> None:
    path = script(folder / "writes.py")
    text = path.read_text().replace("divergence=kl_divergence(student, teacher)", f"divergence={column}")
    writes = "    rows.divergence[0] = 1.0\n    return Identity"
    head, body = text.split("@claim(")
    body = body.replace("rows.divergence, rows.by_hand", "torch.as_tensor(rows.divergence), rows.by_hand")
    second = body.replace(f"def {NAME}", "def another").replace("    return Identity", writes)
    path.write_text(f"{head}@claim({second}\n\n@claim({body}")
    another, good = outside.load_claims(str(path))
    assert another.name == "another"
    found = verify([another, good], Plan(mutants=True), progress=False)
    assert [one.verdict.name for one in found] == ["ERROR", "SUPPORTED"]
    assert "column 'divergence' of the rows was written on" in found[0].evidence.key_figure
    assert found[1].as_expected


def test_a_chapter_is_one_part_of_the_page_wherever_its_claims_come_from(folder: Path) -> None:
    path = script(folder / "of_chapter_1.py")
    path.write_text(path.read_text().replace("2.7", "1.9"))
    (claim,) = outside.load_claims(str(path))
    asked = {"data": {"name": "digits", "digest": "0"}}
    with RunDirectory(folder / "run", asked) as directory:
        verify([claim, "kd_gradient_is_the_closed_form"], directory=directory, progress=False)
    page = report(folder / "run")
    assert page.count('<h3 id="chapter-1">1 · ') == page.count('id="chapter-1"') == 1
