"""What is found by names and words: `list`, `show`, `cite`, help, completion, at any width."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import FAST, HOLDOUT, PAIR, as_on_a_terminal, run

import kdtheory
from kdtheory import cli, progress
from kdtheory.claims import REGISTRY
from kdtheory.cli.names import complete_cited, complete_claims, complete_studies
from kdtheory.scripts import study_paths


def test_list_names_every_claim_of_a_chapter(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list", "--chapter", "1")
    assert code == 0
    assert all(claim.name in out for claim in REGISTRY.values() if claim.chapter == 1)
    assert not any(claim.name in out for claim in REGISTRY.values() if claim.chapter != 1)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_show_tells_what_a_reader_asks(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "show", name)
    claim, flat = REGISTRY[name], " ".join(out.split())
    assert code == 0
    assert all(part in flat for part in (name, claim.source, claim.expect.name, "never run here"))
    assert " ".join(claim.statement.split()[:4]) in flat
    scaled = claim.power.name if claim.power else ""
    assert all("".join(text.split()) in re.sub(r"\s", "", out) for text in (scaled, claim.loose))


def test_show_tells_what_broke_each_part_and_what_would_be_noticed(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    code, out, _ = run(capsys, "verify", FAST[0], "--jobs", "1", "--out", "runs/one", "--mutants", "--power")
    assert code == 0, out
    assert "decided against" in " ".join(out.split())
    (finding,) = json.loads((folder / "runs/one/ledger.json").read_text())["findings"]
    assert finding["would_notice"] in out
    shown = " ".join(run(capsys, "show", FAST[0])[1].split())
    told = [part["controls"] + part["mutants"] for part in finding["parts"].values()]
    assert all(" ".join(names[0].split()[:2]) in shown for names in told)
    assert "broken by" in shown
    assert "would notice" in shown
    assert "against it" not in shown


def test_show_has_the_counterexample_of_what_is_refuted(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    name = "printed_softmax_is_a_probability_vector"
    run(capsys, "verify", name, "--jobs", "1", "--out", "runs/one")
    (finding,) = json.loads((folder / "runs/one/ledger.json").read_text())["findings"]
    against = finding["evidence"]["counterexample"]
    shown = " ".join(run(capsys, "show", name)[1].split())
    assert f"against it left side {against['lhs']:.6g}, right side 1" in shown


def test_cite_prints_bibtex_of_a_claim_and_of_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    source = REGISTRY[FAST[0]].source
    by_claim, by_key = run(capsys, "cite", FAST[0]), run(capsys, "cite", source)
    assert by_claim[0] == by_key[0] == 0
    assert by_claim[1] == by_key[1]
    assert by_claim[1].startswith("@")
    assert source in by_claim[1]


def test_a_bound_is_cited_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    cited = {"clopper34_holdout": "clopper1934use", "hsu21": "hsu2021generalization"}
    cited |= {"vapnik71": "vapnik1971uniform", "jiang22_disagreement": "jiang2022assessing"}
    for name, key in cited.items():
        assert re.match(rf"@\w+{{{key},", run(capsys, "cite", name)[1])


def test_several_are_cited_at_once_and_each_entry_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "cite", "hsu21*", "hsu21", FAST[0], "hinton2015*")
    keys = re.findall(r"^@\w+\{(\w+),", out, re.MULTILINE)
    assert code == 0
    assert keys[0] == "hsu2021generalization"
    assert "hinton2015distilling" in keys
    assert len(keys) == len(set(keys))
    assert run(capsys, "cite", FAST[0], "nothing_like*")[::2] == (
        2, "error no claim, function or source has a name like 'nothing_like*'; see `kdtheory list --json`\n"
    )  # fmt: skip


def test_a_function_of_no_paper_is_not_said_to_be_of_the_one_that_a_claim_tests_it_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said, *entries = run(capsys, "cite", "kl_divergence")[1].splitlines()
    assert said.startswith("% kl_divergence is named after no paper; these are of the claims")
    assert entries[0].startswith("@")


def test_no_argument_is_a_request_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys)
    assert code == 2
    assert "certify" in out


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version")[:2] == (0, f"kdtheory {kdtheory.__version__}\n")


def test_help_has_names_and_summaries_whole_at_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    told = run(capsys, "--help")[1]
    assert "..." not in told.split("Commands:")[1]
    told += run(capsys, "certify", "--help")[1] + run(capsys, "compare", "--help")[1]
    assert "…" not in told
    assert "--not-fixed-in-advance" in told
    assert max(map(len, told.splitlines())) <= 80


def test_names_stay_whole_at_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, logits: None
) -> None:
    as_on_a_terminal(monkeypatch, 80)
    out = run(capsys, "list")[1]
    assert all(re.search(rf"\b{claim.name}$", out, flags=re.MULTILINE) for claim in REGISTRY.values())
    assert max(map(len, out.splitlines())) <= 80
    assert all(claim.topic in out for claim in REGISTRY.values())
    out = run(capsys, "verify", FAST[0], "--jobs", "1", "--out", "run")[1]
    assert re.search(rf"\b{FAST[0]}$", out, flags=re.MULTILINE)
    assert " s in all; the claims took " in out
    out = run(capsys, *HOLDOUT, *PAIR)[1]
    assert all(name in out for name in ("student_holdout", "distillation_by_margins"))
    assert max(map(len, out.splitlines())) <= 80


def test_what_is_piped_is_one_line_an_item(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "list", "--chapter", "1")[1]
    listed = {line.split("\t")[1]: line.split("\t") for line in out.splitlines()}
    claims = {claim.name: claim for claim in REGISTRY.values() if claim.chapter == 1}
    assert set(listed) == set(claims)
    assert all(listed[name][-1] == claim.statement for name, claim in claims.items())
    told = json.loads(run(capsys, "list", "--chapter", "1", "--json")[1])
    assert [one["name"] for one in told] == list(listed)
    assert all(one["last_verdict"] is None for one in told)


def test_patterns_and_last_verdicts(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    run(capsys, "verify", FAST[0], "--jobs", "1", "--out", "runs/one")
    told = json.loads(run(capsys, "list", "temperature gradient", "--json")[1])
    assert FAST[0] in {one["name"] for one in told}
    assert len(told) < 10
    assert run(capsys, "verify", "temperature gradient")[0] == 2
    told = json.loads(run(capsys, "list", FAST[0][:-1] + "*", FAST[0], "--json")[1])
    assert [(one["name"], one["last_verdict"]) for one in told] == [(FAST[0], REGISTRY[FAST[0]].expect.name)]
    out = run(capsys, "show", FAST[0], "--runs", "runs/one")[1]
    assert "runs/one" in out
    assert json.loads(run(capsys, "show", FAST[0], "--json")[1])["name"] == FAST[0]


def test_on_a_terminal_a_bar_is_there_while_claims_are_imported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(progress, "_watched", lambda: True)
    (folder / "slow.py").write_text("import time\n\ntime.sleep(1)\n")
    code, _, err = run(capsys, "verify", "slow.py")
    assert (code, "claims ━" in err, "declares no claim" in err) == (2, True, True)


def test_the_shell_completes_names() -> None:
    assert "soft_ratio" in complete_studies("soft")
    assert complete_claims(FAST[0]) == [FAST[0]]
    for name in (FAST[0], "hsu21_distillation", "hinton2015distilling"):
        assert name in complete_cited(name)


def test_studies_are_listed_with_their_titles(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.split("\t") for line in run(capsys, "study", "--list")[1].splitlines()]
    titles = {line[0]: line[1] for line in lines}
    assert titles["benchmark_front_door"].startswith("The first second: ")
    assert len(titles) == len(study_paths())


def test_a_study_in_the_folder_is_named_without_its_ending(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    run(capsys, "new", "study", "begun_here")
    code, out, err = run(capsys, "study", "begun_here", "--small", "--quiet")
    assert code == 0, err
    assert "begun_here" in out


def test_one_study_that_does_not_parse_hides_no_other(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "studies").mkdir()
    (folder / "studies" / "half.py").write_text("def")
    (folder / "figures" / "soft_ratio").mkdir(parents=True)
    (folder / "figures" / "soft_ratio" / "run.json").write_text("{")
    code, out, _ = run(capsys, "study", "--list")
    assert (code, "studies/half.py does not parse" in out, "soft_ratio\t" in out) == (0, True, True)
    code, _, err = run(capsys, "study", "--list", "--studies", "nowhere")
    assert (code, "studies = 'nowhere' is no folder" in err) == (2, True)


def test_words_between_colons_are_no_pictures(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, _, err = run(capsys, "verify", "mine:100:.py")
    assert (code, "mine:100:.py" in err) == (2, True)
    cli.layout.prose("line :100: of :x:")
    assert capsys.readouterr().out == "line :100: of :x:\n"
