"""A claim: statement + source + assumptions + experiment + relation + controls, and what it must notice.

The relation is a function of the rows of an experiment, and gives evidence. The settings of the experiment
are the premise; each control replaces at least one of them and must come out otherwise, and nothing in the
relation can see which of the two it judges. A mutant replaces a library function by a wrong version, and the
verdict must change. Each part of joint evidence has to be broken by a control or by a mutant: the ledger says
by which.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kdtheory.claims.evidence import Evidence
from kdtheory.claims.registry import Registry
from kdtheory.claims.scaled import Scaled
from kdtheory.claims.told import Filed
from kdtheory.claims.verdict import Verdict
from kdtheory.claims.wrong import Wrong
from kdtheory.doors import gate
from kdtheory.experiments import Experiment, Run, paragraphs
from kdtheory.experiments.core import only_read

__all__ = ["REGISTRY", "Claim", "Control", "Mutant", "Scaled", "claim", "register_below"]

Relation = Callable[..., Evidence]


@gate
@dataclass(frozen=True)
class Control:
    """A broken premise (for an erratum: the mended form), under which the relation must come out otherwise.

    Args:
        because: what is broken (mended), as a phrase.
        overrides: the settings of the experiment that are replaced.

    >>> Control("the noise is doubled", noise=2.0).overrides
    {'noise': 2.0}
    """

    because: str
    overrides: Mapping[str, Any]

    def __init__(self, because: str, /, **overrides: Any) -> None:
        object.__setattr__(self, "because", because)
        object.__setattr__(self, "overrides", overrides)


@gate
@dataclass(frozen=True)
class Mutant:
    """A wrong version of a library function, patched in for one run of the premise.

    Args:
        name: what is wrong with it: a constant, a sign, a forgotten factor.
        target: the function of the library that is replaced wherever the package refers to it.
        wrong: the wrong version, of the same signature; or how it is made from the right one, by a function
            of `kdtheory.claims.wrong`.
    """

    name: str
    target: Callable[..., Any]
    wrong: Callable[..., Any]

    def __init__(self, name: str, target: Callable[..., Any], wrong: Callable[..., Any] | Wrong, /) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "target", target)
        object.__setattr__(self, "wrong", wrong.of(target) if isinstance(wrong, Wrong) else wrong)


@gate
@dataclass(frozen=True)
class Claim(Filed):
    """An executable statement; made by the decorator `claim`."""

    name: str
    section: str
    statement: str
    formula: str
    source: str
    place: str
    assumes: tuple[str, ...]
    relation: Relation = field(repr=False)
    experiments: tuple[Experiment, ...] = field(repr=False)
    controls: tuple[Control, ...]
    mutants: tuple[Mutant, ...] = field(repr=False)
    expect: Verdict
    how: str = field(repr=False)
    power: Scaled | None = field(repr=False)
    loose: str
    reading: str
    tuned_on: tuple[int, ...]
    cost: float

    @property
    def topic(self) -> str:
        """The title of its chapter, which is that of the package it is declared in."""
        if not self.section:
            return "Other papers"
        package = sys.modules.get(self.relation.__module__.rpartition(".")[0])
        title = (getattr(package, "__doc__", None) or "").partition("\n")[0].rstrip(".")
        return title.removeprefix(f"Chapter {self.chapter}: ")

    @property
    def erratum(self) -> bool:
        """Whether this is a statement that is expected to be refuted, as it stands or as a `reading`."""
        return self.expect is Verdict.REFUTED

    @property
    def control_brings(self) -> Verdict:
        """The verdict declared for the controls: refuted, or supported where an erratum is mended."""
        return Verdict.SUPPORTED if self.erratum else Verdict.REFUTED

    @property
    def premise(self) -> dict[str, Any]:
        """The settings of its experiments."""
        return {name: value for one in self.experiments for name, value in one.settings.items()}

    def evidence(self, run: Run, /, **overrides: Any) -> Evidence:
        """The relation's evidence on the rows of the experiments in a run, with some settings replaced.

        Raises:
            TypeError: the relation gives something else.
        """
        rows = [one.rows(run) for one in self._given(overrides)]
        with only_read(*rows):
            found = self.relation(*rows)
        if not isinstance(found, Evidence):
            raise TypeError(f"claim {self.name} gave a {type(found).__name__}; give an Evidence")
        return found

    @property
    def reads(self) -> tuple[Hashable, ...]:
        """Keys of the rows that its premise and its controls read, each experiment with its settings."""
        return tuple(
            one.key
            for overrides in ({}, *(c.overrides for c in self.controls))
            for one in self._given(overrides)
        )

    def _given(self, overrides: Mapping[str, Any]) -> tuple[Experiment, ...]:
        return tuple(
            one.given(**{name: value for name, value in overrides.items() if name in one.settings})
            for one in self.experiments
        )


_SECTION = re.compile(r"(\d+(\.\d+)*)?")
REGISTRY: Registry[Claim] = Registry()
REGISTRY.expect(lambda: register_below("kdtheory.claims"))


@gate
def claim(
    *,
    section: str = "",
    formula: str,
    source: str,
    place: str,
    assumes: tuple[str, ...] = (),
    control: Control | tuple[Control, ...],
    experiment: Experiment | tuple[Experiment, ...],
    mutants: tuple[Mutant, ...],
    expect: Verdict = Verdict.SUPPORTED,
    power: Scaled | None = None,
    loose: str = "",
    reading: str = "",
    cost: float = 1.0,
) -> Callable[[Relation], Claim]:
    """Register the decorated relation as a claim under its own name.

    The relation takes the `Rows` of each experiment, in order, and returns `Evidence`. The first paragraph of
    its docstring is the statement, the rest says how it is judged; instances and sizes are told by the
    docstring of the experiment.

    Args:
        section: where the statement stands in a chapter, as "4.1"; the number before the dot is the chapter.
            Empty for a statement of another paper.
        formula: the statement in LaTeX.
        source: key of the paper in the bibliography.
        place: where in the paper: "Lemma 1", or "derived here".
        assumes: the assumptions, as sentences; a relation that finds one unmet returns `OutOfScope`.
        control: the broken premise, or the mended form of an erratum; a tuple of several, each of which must
            come out as declared, where one does not break every part.
        experiment: what the relation reads, or several; their settings are the premise.
        mutants: wrong versions of some of them, at least one.
        expect: SUPPORTED, VACUOUS, or REFUTED for an erratum.
        power: the central constant, scaled to find the smallest error in it that is noticed.
        loose: why an error of a quarter in that constant is not noticed, as a sentence; empty where it is.
        reading: of a statement that is refuted only as literally read, which words are read so, as a
            sentence; its control is then the charitable reading.
        cost: processor seconds of premise and controls at the quick tier, about: the costliest start first.

    Raises:
        ValueError: the declaration is not complete; the message says what is missing.
    """

    experiments = experiment if isinstance(experiment, tuple) else (experiment,)

    def register(relation: Relation) -> Claim:
        name = relation.__name__
        statement, _, how = (inspect.getdoc(relation) or "").partition("\n\n")
        made = Claim(
            name=name,
            section=section,
            statement=" ".join(statement.split()),
            formula=formula,
            source=source,
            place=place,
            assumes=assumes,
            relation=relation,
            experiments=experiments,
            controls=control if isinstance(control, tuple) else (control,),
            mutants=mutants,
            expect=expect,
            how="\n\n".join(filter(None, [*dict.fromkeys(one.says for one in experiments), paragraphs(how)])),
            power=power,
            loose=loose,
            reading=reading,
            tuned_on=tuple(sorted({seed for one in experiments for seed in one.tuned_on})),
            cost=cost,
        )
        if reason := _incomplete(made) or _unfounded(made):
            raise ValueError(f"claim {name}: {reason}")
        REGISTRY[name] = made
        return made

    return register


@gate
def register_below(package: str, /) -> None:
    """Import every module below a package, so that the claims in it are registered, and put all in order."""
    for module in pkgutil.walk_packages(sys.modules[package].__path__, f"{package}."):
        importlib.import_module(module.name)
    in_order = sorted(dict.values(REGISTRY), key=lambda claim: claim.order)
    REGISTRY.clear()
    REGISTRY.update((claim.name, claim) for claim in in_order)


def _incomplete(made: Claim) -> str | None:
    if not made.statement:
        return "the docstring is empty; its first paragraph is the statement"
    if made.expect not in (Verdict.SUPPORTED, Verdict.REFUTED, Verdict.VACUOUS):
        return f"expect = {made.expect.name} is nothing to expect; use SUPPORTED, REFUTED or VACUOUS"
    if made.reading and not made.erratum:
        return "a reading is given, but the statement is not expected to be REFUTED; drop one of the two"
    if not made.controls:
        return "there is no control; name at least one broken premise"
    if len({control.because for control in made.controls}) < len(made.controls):
        return "two controls give one reason; say what each breaks"
    if reasons := [reason for control in made.controls if (reason := _idle(control, made.premise))]:
        return reasons[0]
    if not made.mutants:
        return "there is no mutant; name at least one wrong version"
    if not _SECTION.fullmatch(made.section):
        return f'section = {made.section!r} must be numbers between dots, as "4.1", or empty'
    there = dict.get(REGISTRY, made.name)  # nothing is imported for the question
    if there is not None and (home := there.relation.__module__) != made.relation.__module__:
        return f"the name is taken, in {home}; names are unique over the ledger"
    if there is not None and _declared_twice(made):
        return "its module declares two claims of this name, and the first would be lost; rename one"
    return None


def _declared_twice(made: Claim) -> bool:
    """Whether the source of a claim's module has its name twice; one loaded again has it once."""
    try:
        source = inspect.getsource(sys.modules[made.relation.__module__])
        functions = [one.name for one in ast.parse(source).body if isinstance(one, ast.FunctionDef)]
    except (KeyError, OSError, SyntaxError, TypeError):  # typed in, not of a file
        return False
    return functions.count(made.name) > 1


def _unfounded(made: Claim) -> str | None:
    """The settings and columns that an experiment and its relation lack."""
    if not made.experiments:
        return "there is no experiment; name what the relation reads"
    if not made.place:
        return 'no place is given; name where the statement stands in its paper, or say "derived here"'
    parameters = inspect.signature(made.relation).parameters.values()
    if any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
        return (
            "the relation takes the rows of each experiment and nothing else; make settings of the experiment"
        )
    if len(parameters) != len(made.experiments):
        return f"the relation takes {len(parameters)} arguments for {len(made.experiments)} experiments"
    return None


def _idle(control: Control, premise: Mapping[str, Any]) -> str | None:
    """Why a control breaks nothing, if it does not."""
    if unknown := sorted(set(control.overrides) - set(premise)):
        return f"the control overrides {', '.join(unknown)}, which no experiment of the claim takes"
    if all(premise[key] == value for key, value in control.overrides.items()):
        return "the control overrides nothing; replace at least one setting"
    return None
