"""What is called without being mathematics has a door as well: wrong types get a sentence that names them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from fuzz_doors import doors
from matplotlib.figure import Figure

from kdtheory import Stream, bibliography, catalogue, files, outside, plots, scripts, tensor_trees
from kdtheory.bounds.deviation import single_term, uniform_term
from kdtheory.bounds.holdout import progressive_limit
from kdtheory.claims import Verdict, judge
from kdtheory.claims.evidence import Coverage, Equality, Identity, Inequality, MeanInequality, Rate
from kdtheory.claims.verdict import with_controls
from kdtheory.experiments import Run
from kdtheory.roles import HoldOut, Train, Unlabelled
from kdtheory.sequences.laws import SequenceLaw

mpl.use("Agg")
ONES, RAGGED = np.ones(3), [[1.0, 2.0], [3.0]]
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a path that is a number": (lambda: files.read_json(3), "path = 3 must be a path"),
    "a text for bytes": (lambda: files.write_file(Path("a"), "text"), "content is a str; give a bytes"),
    "a document that is a list": (
        lambda: files.write_json(Path("a"), [1]),
        "document = .* must be a mapping",
    ),
    "a root that is a list": (lambda: files.latest_run([]), "root = .* must be a path"),
    "a folder that is none": (lambda: files.sweep(None), "folder = None must be a path"),
    "a study that is a number": (lambda: scripts.find_study(2), "name = 2 must be a text"),
    "a script that is not there": (lambda: scripts.study_title("no.py"), "there is no script 'no.py'"),
    "a source that is bytes": (lambda: outside.load_claims(b"a.py"), "source = b'a.py' must be a text"),
    "a module by its name": (lambda: outside.claims_in("kdtheory"), "module is a str; give a module"),
    "claims by their names": (
        lambda: outside.check_sources(["one"]),
        "claims holds 'one', which is no Claim",
    ),
    "one claim for several": (lambda: outside.check_sources(3), "claims = 3 must be several"),
    "a name for a claim": (lambda: catalogue.described("one"), "claim = 'one' must be a Claim"),
    "a number for a function": (lambda: catalogue.papers(1.0), "function = 1.0 must be a text"),
    "a key of two": (lambda: bibliography.bibtex(("a", "b")), "key = .* must be a text"),
    "bytes that are a text": (lambda: tensor_trees.from_bytes("x"), "content is a str; give a bytes"),
    "axes that are a figure": (
        lambda: plots.panel_letter(Figure(), "a", "b"),
        "ax is a Figure; give an Axes",
    ),
    "digits of a word": (lambda: plots.in_digits("1"), "value = '1' must be a real number"),
    "a size that is a word": (lambda: Run(Stream(0)).size(quick=1, full="2"), "full = '2' must be a whole"),
    "evidence that is a p-value": (lambda: judge(0.05), "evidence is a float; give an Evidence"),
    "verdicts in words": (
        lambda: with_controls("SUPPORTED", [], brings=Verdict.REFUTED),
        "premise is a str; give a Verdict",
    ),
    "a side of words": (
        lambda: Identity.of(["a"], ["b"], tolerance=0.1),
        "lhs holds something other than numbers",
    ),
    "a ragged side": (lambda: Inequality.of(RAGGED, RAGGED), "lhs holds something other than numbers"),
    "a side with a gradient": (
        lambda: MeanInequality.of(torch.ones(3, requires_grad=True), ONES),
        "lhs holds something other than numbers",
    ),
    "a tolerance in words": (
        lambda: Identity.of(ONES, ONES, tolerance="0"),
        "tolerance = '0' must be a",
    ),
    "a slack that is none": (lambda: Inequality.of(ONES, ONES, slack=None), "slack = None must be a real"),
    "a margin of two": (lambda: Equality.of(ONES, ONES, margin=(0, 1)), "margin = .* must be a real number"),
    "a δ that is NaN": (lambda: Coverage.of(ONES, ONES, delta=math.nan), "delta = nan must be a real number"),
    "events that are words": (
        lambda: Coverage.rare(["no"], delta=0.1),
        "violated holds something other than numbers",
    ),
    "one row of a rate": (
        lambda: Rate.of([1, 2, 3], [3, 2, 1], expected=-1.0, margin=0.1),
        r"values have shape \(3,\) and horizons \(3,\); give replicates × horizons",
    ),
    "a radius of no points": (lambda: uniform_term(0, 0.1), "n = 0 must be a whole number of at least 1"),
    "a radius at δ = 1": (lambda: single_term(5, 1.0), r"delta = 1 must lie in \(0, 1\)"),
    "a radius of words": (lambda: single_term("5", 0.1), "n = '5' must be a whole number"),
    "a guess above one": (lambda: progressive_limit(0.1, 1.5, 9, 0.1), r"guess = 1.5 must lie in \[0, 1\]"),
    "ragged labels": (lambda: Train.of(torch.ones(2, 3), RAGGED), "train labels cannot be read as one array"),
    "ragged points": (lambda: Unlabelled.of(RAGGED), "unlabelled"),
    "labels of tokens": (
        lambda: HoldOut(torch.ones(2, 3), torch.ones(2, 3, dtype=torch.long)),
        r"holdout labels have shape \(2, 3\); give one class number for each point",
    ),
    "a vocabulary in words": (lambda: SequenceLaw.random("two", 2, Stream(0)), "vocabulary = 'two' must be"),
    "a seed for a stream": (lambda: SequenceLaw.random(2, 2, 0), "stream is an int; give a Stream"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_type_gets_a_sentence(case: str) -> None:
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_truth_values_are_events() -> None:
    assert Coverage.rare(np.array([True, False, False]), delta=0.5).violations == 1


UNGUARDED = {
    "answers": "what results are told by; they make it themselves",
    "batches.as_batches": "looks at what the data are itself, under the name that its caller gives them",
    "clusters.Cluster": "made by `on_cluster`",
    "compression.pairs.LowRank": "made by `factorise`",
    "digest": "of functions, any number of them",
    "doors": "the doors themselves",
    "networks.calls.Asked": "what its networks and batches are is looked at by `Inputs`, when it fails too",
    "networks.ntk_linear": "layers that torch calls",
    "report": "of directories that the command line has looked at",
    "rows.hashed": "a step of `roles`, of tables that they have looked at",
    "certify.division.Division": "made by `split`",
    "schemes.loop.Trained": "made by the schemes; the gradient norm may be NaN",
    "self_distillation.rkhs.RoundsBeforeCollapse": "made by its function; a wrong version may hold fractions",
    "scripts.study_paths": "of any number of folders",
    "shown.Frame": "a table of pandas'",
    "types": "steps of other doors, of tensors that they have looked at",
    "validate": "the checks themselves",
    "workers": "what `clusters.on_cluster` calls",
}


def test_every_public_callable_has_a_door_or_a_reason() -> None:
    bare = set()
    for name, door in doors().items():
        call: Any = door.call.__init__ if inspect.isclass(door.call) else door.call  # type: ignore[misc]
        guarded = hasattr(call, "__door__") or hasattr(call, "__gate__")
        if not guarded and set(inspect.signature(door.call).parameters) - {"self", "cls"}:
            bare.add(name)
    keys = {key: {n for n in bare if n == key or n.startswith(f"{key}.")} for key in UNGUARDED}
    inherited = {n for n in bare if n.rpartition(".")[2] in ("of", "from_plain")}
    assert not bare - inherited - set().union(*keys.values())
    assert all(keys.values()), {key for key, names in keys.items() if not names}
