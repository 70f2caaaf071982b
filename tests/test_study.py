"""Studies: what is committed under figures/ came from the script beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from kdtheory.claims import REGISTRY
from kdtheory.files import read_json
from kdtheory.scripts import find_study, study_paths, study_title
from kdtheory.study import made_by_other_code, redraw_study, run_study
from kdtheory.study_script import load_study

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "studies").glob("[a-z]*.py"))

SCRIPT = '''"""A line.

What to look at.
"""
CLAIMS = ()
CONFIG = {"points": 5}
SMALL = {"points": 3}


def run(stream, *, points):
    return [{"x": x, "y": float(y)} for x, y in enumerate(stream.numpy().random(points))]


def draw(ax, rows):
    ax.plot(rows.x, rows.y)
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "line.py").write_text(SCRIPT)
    return tmp_path


def test_a_study_leaves_table_figures_and_its_configuration(folder: Path) -> None:
    study = load_study("line", folder / "studies")
    rows = run_study(study, folder / "figures", seed=4)
    place = folder / "figures" / "line"
    assert sorted(path.name for path in place.iterdir()) == [
        "caption.md", "figure.png", "figure.svg", "run.json", "table.csv",
    ]  # fmt: skip
    pd.testing.assert_frame_equal(pd.read_csv(place / "table.csv"), rows)
    told = read_json(place / "run.json")
    assert (told["config"], told["seed"], told["title"]) == ({"points": 5}, 4, "A line.")
    assert told["versions"]["torch"]
    assert len(run_study(study, folder / "figures", small=True)) == 3


def test_a_study_of_images_is_told_where_they_are(folder: Path) -> None:
    script = SCRIPT.replace("def run(stream, *, points):", "def run(stream, *, points, data=None):")
    (folder / "studies" / "images.py").write_text(
        script.replace('"y": float(y)', '"y": float(y), "d": str(data)')
    )
    study = load_study("images", folder / "studies")
    assert set(run_study(study, folder, small=True)["d"]) == {"None"}
    assert set(run_study(study, folder, small=True, data=folder)["d"]) == {str(folder)}
    assert read_json(folder / "images" / "run.json")["data"] == folder.name
    with pytest.raises(ValueError, match="study line reads no images"):
        run_study(load_study("line", folder / "studies"), folder, data=folder)


def test_a_figure_is_drawn_from_the_table_as_it_is_written(folder: Path) -> None:
    script = SCRIPT.replace('"y": float(y)', '"y": float(y), "code": f"{x:02d}", "pair": (x, x)')
    script += '    assert set(rows["code"]) == {0, 1, 2} and rows["pair"][0] == "(0, 0)"\n    rows["y"] = 0\n'
    (folder / "studies" / "line.py").write_text(script)
    study = load_study("line", folder / "studies")
    rows = run_study(study, folder, small=True)
    assert (list(rows["code"]), rows["y"].all()) == (["00", "01", "02"], True)
    drawn = (folder / "line" / "figure.svg").read_bytes()
    redraw_study(study, folder)
    assert (folder / "line" / "figure.svg").read_bytes() == drawn


def test_a_figure_is_drawn_again_from_its_table(folder: Path) -> None:
    study = load_study("line", folder / "studies")
    with pytest.raises(ValueError, match=r"table\.csv to draw from"):
        redraw_study(study, folder / "figures")
    rows = run_study(study, folder / "figures")
    place = folder / "figures" / "line"
    before = read_json(place / "run.json")
    drawn, told = ((place / name).read_bytes() for name in ("figure.svg", "run.json"))
    (place / "figure.svg").unlink()
    pd.testing.assert_frame_equal(redraw_study(study, folder / "figures"), rows)
    assert (place / "figure.svg").read_bytes() == drawn
    assert (place / "run.json").read_bytes() == told
    redraw_study(replace(study, description="Other words."), folder / "figures")
    now = read_json(place / "run.json")
    assert now == {**before, "description": "Other words."}


def test_a_study_repeats_itself_to_the_byte(folder: Path) -> None:
    study = load_study("line", folder / "studies")
    for out in ("one", "two"):
        run_study(study, folder / out)
    for name in ("table.csv", "figure.svg"):
        assert (folder / "one" / "line" / name).read_bytes() == (folder / "two" / "line" / name).read_bytes()


def test_unknown_and_incomplete_studies_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'line'"):
        load_study("lines", folder / "studies")
    (folder / "studies" / "half.py").write_text("CONFIG = {}\nSMALL = {}\n")
    with pytest.raises(ValueError, match="lacks CLAIMS"):
        load_study("half", folder / "studies")
    (folder / "studies" / "empty.py").write_text(
        SCRIPT.replace("range", "x").replace('"points": 5', '"points": 0')
    )
    with pytest.raises(ValueError, match="no rows"):
        run_study(load_study("empty", folder / "studies"), folder / "figures")


def test_the_small_configuration_says_what_is_otherwise(folder: Path) -> None:
    script = SCRIPT.replace('{"points": 5}', '{"points": 5, "scale": 2.0}')
    script = script.replace("*, points)", "*, points, scale)")
    path = folder / "one.py"
    path.write_text(script)
    assert load_study(str(path)).small == {"points": 3, "scale": 2.0}
    path.write_text(script.replace('{"points": 3}', '{"pints": 3}'))
    with pytest.raises(ValueError, match=r"one\.py: run does not fit SMALL .*'pints'"):
        load_study(str(path))
    path.write_text(script.replace('"scale": 2.0', '"size": 2.0'))
    with pytest.raises(ValueError, match="run does not fit CONFIG"):
        load_study(str(path))


def test_a_script_is_found_by_path_from_anywhere_and_imports_what_lies_beside_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder / "nowhere"))
    (folder / "own").mkdir()
    (folder / "own" / "helper_of_the_curve.py").write_text("POINTS = 7\n")
    script = folder / "own" / "curve.py"
    script.write_text(SCRIPT.replace("CLAIMS = ()", "from helper_of_the_curve import POINTS\nCLAIMS = ()"))
    assert load_study(str(script)).name == "curve"
    script.write_text(SCRIPT + "1 / 0\n")
    with pytest.raises(ValueError, match=r"curve\.py cannot be run \(ZeroDivisionError"):
        load_study(str(script))
    with pytest.raises(ValueError, match=r"there is no script 'nowhere\.py'"):
        find_study("nowhere.py")


def test_names_are_those_of_ones_own_folder_before_those_of_the_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "studies" / "soft_ratio.py").write_text(SCRIPT)
    paths = study_paths()
    assert set(paths) == {"line", *NAMES}
    assert study_title(paths["soft_ratio"]) == "A line."
    assert paths["variance_of_risk"] == ROOT / "studies" / "variance_of_risk.py"
    assert set(study_paths(folder / "studies")) == set(paths)
    paths["line"].write_text("def")
    with pytest.raises(ValueError, match="does not parse"):
        study_title(paths["line"])


def test_there_are_studies() -> None:
    assert NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_committed_figure_came_from_its_script(name: str) -> None:
    study = load_study(name, ROOT / "studies")
    place = ROOT / "figures" / name
    assert {path.name for path in place.iterdir()} >= {"table.csv", "figure.svg", "figure.png", "run.json"}
    told = read_json(place / "run.json")
    assert told["config"] == read_json_like(study.config), "the figure is of another configuration"
    assert set(study.claims) <= set(REGISTRY)
    assert told["claims"] == list(study.claims)
    assert not pd.read_csv(place / "table.csv").empty


def test_no_figure_without_a_study() -> None:
    assert {path.name for path in (ROOT / "figures").iterdir()} == set(NAMES)


def read_json_like(config: object) -> object:
    """The configuration as JSON gives it back: tuples are lists."""
    if isinstance(config, dict):
        return {key: read_json_like(value) for key, value in config.items()}
    return [read_json_like(value) for value in config] if isinstance(config, tuple | list) else config


def test_a_figure_of_other_code_is_known(folder: Path) -> None:
    script = folder / "studies" / "line.py"
    study = load_study(str(script))
    run_study(study, folder)
    assert not made_by_other_code(study, folder)
    script.write_text(SCRIPT.replace("random(points)", "random(points) + 1"))
    assert made_by_other_code(load_study(str(script)), folder)


@pytest.mark.parametrize("name", NAMES)
def test_committed_figures_are_those_of_the_code_as_it_is(name: str) -> None:
    """A report and no test: a figure that costs an hour is not made at every change of what lies below it."""
    if made_by_other_code(load_study(name, ROOT / "studies"), ROOT / "figures"):
        pytest.skip(f"redo: kdtheory study {name} (its figure was made by other code)")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("CLAIMS = ()", 'CLAIMS = ("a_claim")', r"CLAIMS = 'a_claim' must be names in a tuple"),
        ("CLAIMS = ()", "CLAIMS = None", r"CLAIMS = None must be names in a tuple"),
        ("CLAIMS = ()", "CLAIMS = ()\nPANELS = 0", "PANELS = 0 must be a whole number of at least 1"),
        ("CLAIMS = ()", "CLAIMS = ()\nROWS = 0", "ROWS = 0 must be a whole number of at least 1"),
        ("CLAIMS = ()", "CLAIMS = ()\nSIZE = (3,)", r"SIZE = \(3,\) must be a width and a height"),
        ('SMALL = {"points": 3}', "SMALL = None", "SMALL must be a dictionary"),
        ('CONFIG = {"points": 5}', "raise SystemExit(0)", r"cannot be run \(SystemExit: 0, line 6\)"),
        ("def draw(ax, rows):", "draw = 3\ndef other(ax, rows):", "draw must be a function"),
    ],
)  # fmt: skip
def test_a_script_of_odd_parts_is_refused(old: str, new: str, message: str, folder: Path) -> None:
    script = folder / "odd.py"
    script.write_text(SCRIPT.replace(old, new))
    with pytest.raises(ValueError, match=message):
        load_study(str(script))


ROWS = '[{"x": x, "y": float(y)} for x, y in enumerate(stream.numpy().random(points))]'


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("None", "run gave a NoneType; give a list of rows"),
        ('{"x": [1, 2], "y": [3, 4]}', "run gave a dict; give a list of rows"),
        ("[1, 2]", "run gave a row that is a int"),
        ("[]", "made no rows"),
        ('[{"x": 0, "y": __import__("torch").zeros(2)}]', "y is a tensor of 2 numbers; give a row for each"),
        ('[{"x": {}["lost"]}]', r"run failed \(KeyError: 'lost', line 11\)"),
        ("__import__('sys').exit(0)", r"run failed \(SystemExit: 0, line 11\)"),
    ],
)
def test_odd_rows_are_refused_and_leave_nothing(given: str, message: str, folder: Path) -> None:
    script = folder / "odd.py"
    script.write_text(SCRIPT.replace(ROWS, given))
    with pytest.raises(ValueError, match=message):
        run_study(load_study(str(script)), folder / "figures")
    assert not (folder / "figures").exists()


def test_rows_may_be_a_frame_and_hold_tensors_of_one_number(folder: Path) -> None:
    for given in (
        'import pandas; return pandas.DataFrame({"x": [0, 1], "y": [0.5, 0.25]})',
        'import torch; return [{"x": x, "y": torch.tensor(y)} for x, y in enumerate((0.5, 0.25))]',
    ):
        script = folder / "curve.py"
        script.write_text(SCRIPT.replace(f"return {ROWS}", given))
        study = load_study(str(script))
        assert (
            run_study(study, folder)["y"].tolist() == redraw_study(study, folder)["y"].tolist() == [0.5, 0.25]
        )


def test_what_is_measured_is_kept_where_drawing_fails(folder: Path) -> None:
    script = folder / "line.py"
    run_study(load_study(str(script.parent / "studies" / "line.py")), folder)
    script.write_text(SCRIPT.replace("rows.y", "rows.z"))
    broken = load_study(str(script))
    with pytest.raises(ValueError, match=r"draw failed \(AttributeError: .*, line 15\); its table is kept"):
        run_study(broken, folder, seed=5)
    assert read_json(folder / "line" / "run.json")["seed"] == 5  # that of the table beside it
    script.write_text(SCRIPT)
    assert len(redraw_study(load_study(str(script)), folder)) == 5


def test_words_of_a_table_stay_words(folder: Path) -> None:
    script = folder / "words.py"
    words = '[{"x": x, "y": 0.5, "teacher": word} for x, word in enumerate(("None", "NA", "a"))]'
    script.write_text(SCRIPT.replace(ROWS, words))
    study = load_study(str(script))
    run_study(study, folder)
    assert redraw_study(study, folder)["teacher"].tolist() == ["None", "NA", "a"]
    (folder / "words" / "table.csv").write_text("x,y,commit,n,p\n0,0.5,2487e95,10,1e-05\n1,0.5,1234567,20,\n")
    read = redraw_study(study, folder)
    assert read["commit"].tolist() == ["2487e95", "1234567"]
    assert (read["n"].sum(), read["p"].sum()) == (30, 1e-5)
    (folder / "words" / "table.csv").write_text("")
    with pytest.raises(ValueError, match=r"table\.csv cannot be read .* run the study again"):
        redraw_study(study, folder)


def test_a_place_or_a_configuration_that_cannot_be_written_is_refused_before_the_run(folder: Path) -> None:
    script = folder / "costly.py"
    script.write_text(SCRIPT.replace("    return", '    raise RuntimeError("an hour is over")\n    return'))
    (folder / "file").write_text("precious")
    with pytest.raises(ValueError, match=r"cannot be written \(.*file is a file\)"):
        run_study(load_study(str(script)), folder / "file")
    script.write_text(script.read_text().replace('"points": 5', '"points": {1, 2}'))
    with pytest.raises(ValueError, match=r"run\.json cannot hold its CONFIG"):
        run_study(load_study(str(script)), folder)
