"""Every public door of the package, called with drawn arguments, and what became of the call.

A door is a name in the `__all__` of a package or of a module directly under `kdtheory`, or a public method of
a class among them. None is listed by hand: a new door is called without being named here. `UNREACHED` has
those that nothing is drawn for, and why.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import importlib
import inspect
import linecache
import pkgutil
import signal
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import torch
from fuzz_odd import odd
from fuzz_recipes import recipe
from fuzz_values import TYPES, Arguments, good
from torch import Tensor, nn

import kdtheory

PACKAGE = str(Path(kdtheory.__file__).parent)
SECONDS = 30
"""Of processor time, after which a call hangs; the first one may compile for half of it."""

ALSO = ("kdtheory.losses.mutual", "kdtheory.schemes.populations")
"""Modules that users import whole, beside the packages."""
RECORD = "a plain record of results, which the package makes"
UNREACHED: dict[str, str] = {
    "claims": "run by `verify`, whose tests and ledger they are",
    "clusters": "starts processes, or waits for a scheduler",
    "stored_gram": "writes to the disk",
    "cli": "reads a command line; its table of bad input is in cli/test_command_refusals.py",
    "ledger": "runs claims in processes of their own",
    "plain": "reads and writes records; `kind` is a class of the package's",
    "plots": "draws on axes of matplotlib's",
    "progress": "draws a bar on a terminal",
    "records": "writes to the disk",
    "report": "reads a run's records from the disk",
    "study": "runs the scripts of studies/",
    "study_script": "runs the scripts of studies/",
    "batches.Batches.endless": "never ends, by its meaning",
    "doors": "the decorator of the doors",
    "types.promoted": "a step of other doors, of tensors that they have looked at",
    "types.recordable": "a step of other doors, of tensors that they have looked at",
    "gathered": "a step of other doors, of batches that they have looked at",
    "rows.hashed": "a step of `roles`, of tables that they have looked at",
    "workers.elsewhere": "what `clusters.on_cluster` calls",
    "workers.interrupts_held": "what `clusters.on_cluster` calls",
    "workers.workers_elsewhere": "has no arguments",
    "validate": "the checks themselves, which have no arguments of users",
    "catalogue.in_order": "of entries that `described` has made",
    "catalogue.document": "has no arguments",
    "outside.offered": "has no arguments",
    "experiments": "the steps of claims, of what their authors declare; `verify` and the ledger run them",
    "answers": "what results are told by; they make it themselves",
    "shown": "what results are shown by; they make it themselves",
    "checkpoints": "writes to the disk",
    "files.in_place": "leaves a file open, which it is for",
    "datasets.mails.spam_assassin_folder": "of a folder of mails; tests/test_mails.py makes some",
    "networks.calls.Asked": "a step of objectives, of networks and batches that they have looked at",
    "iterates.TailAverage.load": "a step of checkpoints, of what `state` has given",
    "sequences.conventions": "what other codes compute; the tests of the table call every entry",
    "schemes.loop.Loop.child": "a step of cohorts, of the loop that they were given",
    "problems.teachers.TeacherLogits": "abstract",
    "problems.world.World": "abstract",
    "stats.OneSidedTest": "abstract",
    "certify.division.Division": RECORD,
    "multiview.comparison.Arm": RECORD,
    "multiview.comparison.Comparison": RECORD,
    "schemes.loop.Trained": RECORD,
    "schemes.watching.Moment": RECORD,
    "bounds.rademacher.RademacherEstimate": RECORD,
    "compression.size.ModelSize": RECORD,
    "compression.perturbation.Perturbation": RECORD,
    "transfer_risk.curves.NestedStudents": RECORD,
    "types.Sample": RECORD,
    "transfer_risk.curves.TransferCurve": RECORD,
    "transfer_risk.large.LargeTransferCurve": RECORD,
    "ntk.iterative.IterativeSolution": RECORD,
    "risk.gradients.GradientNoise": RECORD,
    "risk.teacher.TeacherBiasVariance": RECORD,
    "stats.MeanTest": RECORD,
    "compression.pairs.LowRank": "made by `factorise`",
    "losses.conventions.Convention": RECORD,
    "multiview.lazy.LazyPopulation": RECORD,
    "multiview.limit.LimitPopulation": RECORD,
    "ntk.linearised.LinearisedTraining": RECORD,
    "populations.population.Population": RECORD,
    "self_distillation.rkhs.SelfDistillation": RECORD,
    "self_distillation.rkhs.RoundsBeforeCollapse": RECORD,
    "self_distillation.mixing.Mixing": RECORD,
    "search.WorstCase": RECORD,
}
NOT_A_NUMBER = {
    "schemes.comparison.Comparison.summary": "an interval of seeds that all agree is not known",
    "batches.as_batches": "numbers are looked at by those who read the batches",
    "networks.outputs.logits_in": "what a module says is judged by those who asked it",
    "networks.outputs.outputs_in": "what a module says is judged by those who asked it",
    "networks.calls.Inputs.logits": "what a module says is judged by those who asked it",
    "networks.calls.Inputs.outputs": "what a module says is judged by those who asked it",
    "batches.Batch.counted": "what a module says is judged by those who asked it",
    "losses.response.label_loss": "for training, which tells of NaN by the step and the term",
    "losses.response.distillation": "for training, which tells of NaN by the step and the term",
    "losses.mutual.mutual_loss": "for training, which tells of NaN by the step and the term",
    "compare.result.Comparison.to_frame": "the size at which a line would say something, where none is known",
}
"""Doors whose NaN is told in their documentation."""


class Hung(BaseException):
    """The call did not end in time."""


@dataclass(frozen=True)
class Door:
    """A public callable, and the class whose method it is."""

    name: str
    call: Callable[..., Any]
    owner: type | None = None


def modules() -> Iterator[str]:
    """The packages of kdtheory, and the modules directly under it."""
    yield from ("kdtheory", *ALSO)
    for found in pkgutil.walk_packages(kdtheory.__path__, "kdtheory."):
        private = any(part.startswith("_") for part in found.name.split("."))
        if not private and (found.ispkg or found.name.count(".") == 1):
            yield found.name


def reason(name: str) -> str | None:
    """Why nothing is drawn for a door of this name, or for all of its package."""
    parts = name.split(".")
    keys = [".".join(parts[:i]) for i in range(1, len(parts) + 1)]
    found = [UNREACHED[key] for key in keys if key in UNREACHED and (key == name or UNREACHED[key] != RECORD)]
    return found[0] if found else None


def doors() -> dict[str, Door]:
    """By name, each once."""
    found: dict[int, Door] = {}
    for module in sorted(modules(), key=lambda name: (name.count("."), name)):
        for name in getattr(importlib.import_module(module), "__all__", ()):
            value = getattr(importlib.import_module(module), name)
            where = getattr(value, "__module__", "") or ""
            if id(value) in found or not where.startswith("kdtheory"):
                continue
            if inspect.isfunction(value) or is_door(value):
                shown = f"{where.removeprefix('kdtheory.')}.{name}"
                found[id(value)] = Door(shown, value)
                if inspect.isclass(value):
                    found |= {hash(shown + m): _of_class(f"{shown}.{m}", f, value) for m, f in methods(value)}
    return {door.name: door for door in found.values()}


def _of_class(name: str, call: Callable[..., Any], owner: type) -> Door:
    """A method, of an object that is drawn; or one of the class itself, which is bound to it."""
    return Door(name, call, None if inspect.ismethod(call) else owner)


def is_door(value: Any) -> bool:
    kept = inspect.isclass(value) and not issubclass(value, enum.Enum | Exception)
    return kept and not getattr(value, "_is_protocol", False)


def methods(owner: type) -> Iterator[tuple[str, Any]]:
    """The public methods that kdtheory's classes bring, not those of torch or Python."""
    for name in dir(owner):
        value = inspect.getattr_static(owner, name)
        if isinstance(value, classmethod | staticmethod):
            value = getattr(owner, name)
        ours = inspect.isroutine(value) and (getattr(value, "__module__", "") or "").startswith("kdtheory")
        if (
            ours
            and (not name.startswith("_") or name == "__call__")
            and not (name in {"forward", "extra_repr"} and issubclass(owner, nn.Module))
        ):
            yield name, value


def hints(call: Callable[..., Any]) -> dict[str, Any]:
    target: Any = call.__init__ if inspect.isclass(call) else call  # type: ignore[misc]
    names = vars(importlib.import_module(call.__module__))
    if dataclasses.is_dataclass(call):
        return typing.get_type_hints(call, names, include_extras=True)
    try:
        return typing.get_type_hints(inspect.unwrap(target), names, include_extras=True)
    except NameError:
        return {}


def drawn(
    draw: Arguments, call: Callable[..., Any], name: str, *, bound: bool = False
) -> tuple[list[Any], dict[str, Any]]:
    """Good arguments by position and by name; some of those with defaults are left out."""
    kinds, args, named = hints(call), [], {}
    parameters = list(inspect.signature(call).parameters.values())[bound:]
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = parameter.default
        known, optional = recipe(name, parameter.name), default is not parameter.empty
        made = type(default).__name__ == "_HAS_DEFAULT_FACTORY_CLASS"
        if optional and (made if known is None else draw.random.random() < 0.5):
            if parameter.kind is parameter.POSITIONAL_ONLY:
                args.append(default)
            continue
        if known is not None:
            value = known(draw)
        else:
            value = good(draw, parameter.name, kinds.get(parameter.name, Any), default)
        if parameter.kind is parameter.POSITIONAL_ONLY:
            args.append(value)
        else:
            named[parameter.name] = value
    return args, named


def instance(draw: Arguments, owner: type, name: str) -> Any:
    if owner in TYPES:
        return TYPES[owner](draw)
    args, named = drawn(draw, owner, name)
    return owner(*args, **named)


@dataclass(frozen=True)
class Outcome:
    """What became of a call."""

    fate: str
    told: str
    given: str = ""


def built(draw: Arguments, door: Door) -> tuple[list[Any], list[Any], dict[str, Any]]:
    """The object whose method the door is, if it is one, and good arguments by position and by name."""
    start = [instance(draw, door.owner, door.name.rpartition(".")[0])] if door.owner else []
    draw.owner = start[0] if start else None
    return start, *drawn(draw, door.call, door.name, bound=bool(door.owner))


def called(door: Door, random: Random, *, most: int = 2) -> Outcome:
    """One call with good arguments, of which none, one or two, at most so many, are replaced by odd ones."""
    draw = Arguments(random)
    try:
        start, args, named = built(draw, door)
    except Exception as error:
        return Outcome("unbuilt", f"{type(error).__name__}: {error}")
    for _ in range(min(most, random.choice((0, 1, 1, 1, 2)))):
        at = random.randrange(max(1, len(args) + len(named)))
        if at < len(args):
            args[at] = odd(draw, args[at])
        elif named:
            key = list(named)[at - len(args)]
            named[key] = odd(draw, named[key], key)
    return judged(
        lambda: touched(door.call(*start, *args, **named)), f"{shown(args)} {shown(named)}", door.name
    )


def touched(result: Any) -> Any:
    """The result with its properties read, as a user would."""
    if isinstance(result, Iterator):
        return list(result)
    if type(result).__module__.startswith("kdtheory"):
        for name in dir(type(result)):
            value = inspect.getattr_static(type(result), name)
            if not name.startswith("_") and (
                isinstance(value, property) or type(value).__name__ == "cached_property"
            ):
                getattr(result, name)
    return result


def judged(call: Callable[[], Any], given: str, name: str) -> Outcome:
    """accepted, refused by our own sentence, or one of: NaN, other, hang."""
    try:
        with limited(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = call()
    except Hung:
        return Outcome("hang", "", given)
    except Exception as error:
        fate = "refused" if is_ours(error) else "other"
        return Outcome(fate, f"{type(error).__name__} at {place(error)}: {str(error)[:200]}", given)
    if name not in NOT_A_NUMBER and holds_nan(result):
        return Outcome("NaN", str(result)[:200], given)
    return Outcome("accepted", "", given)


@contextmanager
def limited() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise Hung

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def is_ours(error: Exception) -> bool:
    """A ValueError or TypeError that the package raises by itself, or lets its caller's function raise."""
    if not isinstance(error, ValueError | TypeError):
        return False
    file, line = last(error)
    return file.startswith(PACKAGE) and line in raising(file)


def last(error: Exception) -> tuple[str, int]:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    assert trace is not None
    return trace.tb_frame.f_code.co_filename, trace.tb_lineno


def place(error: Exception) -> str:
    """Where in the package it was."""
    trace, found = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(PACKAGE):
            found = f"{file.removeprefix(PACKAGE + '/')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


RAISING: dict[str, set[int]] = {}


def raising(file: str) -> set[int]:
    """The lines of a file that belong to a `raise`."""
    if file not in RAISING:
        nodes = ast.walk(ast.parse("".join(linecache.getlines(file))))
        raises = [node for node in nodes if isinstance(node, ast.Raise)]
        RAISING[file] = {line for node in raises for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    return RAISING[file]


def holds_nan(result: Any) -> bool:
    if isinstance(result, Tensor):
        if result.is_meta:
            return False
        plain = result.detach().to_dense()
        return (plain.is_floating_point() or plain.is_complex()) and bool(torch.isnan(plain).any())
    if isinstance(result, np.ndarray | np.generic):
        return result.dtype.kind in "fc" and bool(np.isnan(result).any())
    if isinstance(result, float):
        return result != result
    if isinstance(result, pd.DataFrame):
        return holds_nan(result.select_dtypes("number").to_numpy(dtype=float))
    if isinstance(result, Mapping):
        return any(holds_nan(value) for value in result.values())
    if isinstance(result, tuple | list):
        return any(holds_nan(value) for value in result)
    if dataclasses.is_dataclass(result):
        return any(holds_nan(getattr(result, field.name)) for field in dataclasses.fields(result))
    return False


def shown(value: Any) -> str:
    if isinstance(value, Tensor):
        few = (
            value.detach().flatten()[:6].tolist()
            if value.layout == torch.strided and not value.is_meta
            else "…"
        )
        return f"{str(value.dtype)[6:]}{list(value.shape)}{'∇' if value.requires_grad else ''}{few}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={shown(one)}" for key, one in value.items()) + "}"
    if isinstance(value, tuple | list):
        return f"({', '.join(shown(one) for one in value)})"
    return f"{type(value).__name__} {value!r}"[:120]
