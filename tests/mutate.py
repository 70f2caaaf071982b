"""Wrong versions of the library, one line each: which of them does a test or a claim notice?

    python tests/mutate.py                          # all of TARGETS; the table is tests/mutants.csv
    python tests/mutate.py --only kdtheory/losses   # one part of it
    python tests/mutate.py --check                  # exit code 1 below 95 %

Everything happens in a copy of the tree (`forks.py`). Every wrong version (`mutations.py`) has a process of
its own, and meets the doctests and the tests of its target that call the changed function, the fastest first
(`reach.py` finds them: a map made once for each target), then all others of their files; the first failure
ends it. If it is still there, the claims come whose relation or experiments import the module, or
one that imports it. The named wrong versions of `mutants.toml` come first, then
a sample that depends on the seed and the text of a module only, and what a table has from before. A table is
resumed: what was noticed is kept, as long as its line is there; what was not is tried again.
"""

from __future__ import annotations

import csv
import hashlib
import os
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

os.environ.setdefault("OMP_NUM_THREADS", "1")

import typer
from forks import Tree, copied, dotted, examined, forked, imported_once, reached, tested
from mutations import Mutation, mutations
from reach import Map, function_at, waves

DOORS = ["tests/test_doors.py"]
JUDGED = [f"tests/claims/test_{name}.py" for name in ("evidence", "evidence_edges", "core")]
TARGETS = {
    "losses": DOORS, "risk": DOORS, "transfer_risk": DOORS, "self_distillation": DOORS, "compression": DOORS,
    "multiview": DOORS, "coding": [], "stats": [], "claims/evidence": JUDGED[2:], "claims/verdict": JUDGED,
    "populations": [], "bounds": DOORS, "inversion": [], "stochastic": [], "roles": [], "rows": [],
    "certify": [], "compare": [], "ntk": DOORS, "_prefix_codes": ["tests/test_coding.py"],
    "_gaussian_weights": ["tests/test_stochastic.py"], "role_rows": ["tests/test_roles.py"],
}  # fmt: skip
"""What is mutated, and the tests it has besides those that mirror it."""
ENOUGH = 0.95
LONGEST = 240.0
"""Seconds of processor time that a wrong version has; one that hangs is noticed."""
LONGEST_MAP = 3600.0


@dataclass
class Trial:
    """What is known of the tests of a tree while its wrong versions are tried.

    Args:
        tree: where.
        claims: whether claims are asked, too.
    """

    tree: Tree
    claims: bool
    maps: dict[str, Map] = field(default_factory=dict)
    sound: set[str] = field(default_factory=set)

    def map(self, target: str) -> Map:
        """Which tests of a target call what, made when it is first asked for."""
        if target not in self.maps:
            start, tests = time.monotonic(), self.tree.tests(target)
            made = forked(lambda: reached(self.tree, tests), self.tree.root, LONGEST_MAP)
            if not isinstance(made, dict):
                raise RuntimeError(f"no map of the tests of {target}: {made}")
            self.maps[target] = made
            typer.echo(f"{target}: {len(made)} tests mapped ({time.monotonic() - start:.0f} s)")
        return self.maps[target]

    def noticed(self, target: str, mutation: Mutation, *, stamp: int) -> str:
        """By what the wrong version is noticed, or nothing; a test that fails without it stops the run."""
        tree, module = self.tree, Path(mutation.module)
        original = (tree.root / module).read_text()
        order = waves(self.map(target), mutation.module, function_at(original, mutation.line))
        tree.write(module, mutation.applied(original), stamp)
        try:
            by = str(forked(lambda: tested(tree, module, order), tree.root, LONGEST))
            if not by and self.claims and (tree.root / tree.package / "claims").is_dir():
                by = str(forked(lambda: examined(tree, dotted(module)), tree.root, LONGEST / 3))
                by = "" if by == "timeout" else by  # claims may just be slow
        finally:
            tree.write(module, original, stamp + 1)
        if by.startswith("died"):
            self.check_lives(module)
        if "::" in by and by not in self.sound:
            if failed := forked(lambda: tested(tree, module, [[by]]), tree.root, LONGEST):
                typer.echo((tree.root / "log.txt").read_text(errors="replace")[-3000:])
                raise typer.BadParameter(f"{failed} fails without any wrong version")
            self.sound.add(by)
        return by

    def check_lives(self, module: Path) -> None:
        """A process that dies without any wrong version, too, notices nothing: stop."""
        alone = str(forked(lambda: examined(self.tree, dotted(module)), self.tree.root, LONGEST / 3))
        if alone.startswith("died"):
            raise typer.BadParameter(f"the claims cannot be asked about {module}: {alone}")


def drawn(tree: Tree, targets: Sequence[str], sample: int, seed: int) -> list[tuple[str, Mutation]]:
    """A sample, spread over modules by the root of their mutable lines; of a line one version at most."""
    pools: dict[tuple[str, str], list[Mutation]] = {}
    for target in targets:
        for module in tree.modules(target):
            every = mutations(str(module), (tree.root / module).read_text())
            every.sort(key=lambda m: hashlib.sha256(f"{seed}|{m.key}".encode()).digest())
            lines: dict[int, Mutation] = {}
            for mutation in every:
                lines.setdefault(mutation.line, mutation)
            pools[target, str(module)] = list(lines.values())
    shares = {key: len(pool) ** 0.5 for key, pool in pools.items()}
    total, chosen, owed = sum(shares.values()), [], 0.0
    for key, pool in pools.items():
        owed += sample * shares[key] / max(1.0, total)
        take = min(round(owed), len(pool))
        owed -= take
        chosen += [(key[0], mutation) for mutation in pool[:take]]
    return chosen


def named(
    tree: Tree, targets: Sequence[str], listed: Sequence[dict[str, str]]
) -> Iterator[tuple[str, Mutation]]:
    """The wrong versions of the list; each has to be there still, once."""
    for target in targets:
        for module in map(str, tree.modules(target)):
            source = (tree.root / module).read_text()
            for entry in listed:
                if entry["module"] == module:
                    if source.count(entry["was"]) != 1:
                        raise typer.BadParameter(f"{module} has not one `{entry['was']}`; mend mutants.toml")
                    yield target, Mutation.of_text(module, source, entry["was"], entry["becomes"])


def tabled(
    tree: Tree, targets: Sequence[str], known: Collection[tuple[str, str, str]]
) -> Iterator[tuple[str, Mutation]]:
    """The wrong versions of a table that can still be made, whether or not a sample draws them."""
    for target in targets:
        for module in map(str, tree.modules(target)):
            every = mutations(module, (tree.root / module).read_text())
            yield from ((target, mutation) for mutation in every if mutation.key in known)


def summary(rows: Sequence[dict[str, str]]) -> tuple[float, str]:
    """The share that is noticed of all that could be, in numbers and words."""
    count = {
        kind: sum(row["outcome"] == kind for row in rows) for kind in ("noticed", "explained", "survived")
    }
    share = count["noticed"] / max(1, count["noticed"] + count["survived"])
    words = ", ".join(f"{number} {kind}" for kind, number in count.items())
    return share, f"{len(rows)} wrong versions: {words}; {share:.1%} of those that change anything noticed"


def saved(rows: Sequence[dict[str, str]], table: Path, commit: str, seed: str) -> None:
    """The table, under a line with commit, seed and score."""
    with table.open("w", newline="") as file:
        file.write(f"# commit {commit}, seed {seed}: {summary(rows)[1]}\n")
        writer = csv.DictWriter(
            file, ["module", "line", "operator", "was", "becomes", "outcome", "by", "seconds"]
        )
        writer.writeheader()
        writer.writerows(rows)


def work(
    trial: Trial,
    pending: Sequence[tuple[str, Mutation]],
    rows: list[dict[str, str]],
    save: Callable[[], None],
) -> None:
    """Try what is pending, and save after each."""
    targets = list(dict.fromkeys(target for target, _ in pending))
    if pending:
        imported_once(trial.tree, [test for target in targets for test in trial.tree.tests(target)])
    for number, (target, mutation) in enumerate(pending):
        trial.map(target)
        start, stamp = time.monotonic(), 10**9 + 2 * number
        by = trial.noticed(target, mutation, stamp=stamp)
        outcome, seconds = "noticed" if by else "survived", f"{time.monotonic() - start:.1f}"
        typer.echo(
            f"{number + 1}/{len(pending)} {mutation.module}:{mutation.line} {outcome} {by} ({seconds} s)"
        )
        rows.append(mutation.row | {"outcome": outcome, "by": by, "seconds": seconds})
        save()
    save()


def main(
    root: Annotated[Path, typer.Option(help="The tree: package and tests.")] = Path(__file__).parents[1],
    package: Annotated[str, typer.Option()] = "kdtheory",
    only: Annotated[list[str] | None, typer.Option(help="Modules below this path.")] = None,
    sample: Annotated[int, typer.Option(help="Wrong versions besides the named ones.")] = 250,
    seed: int = 0,
    table: Annotated[Path | None, typer.Option(help="Where results go and are resumed from.")] = None,
    fresh: Annotated[bool, typer.Option(help="Try again what was noticed, too.")] = False,
    check: Annotated[bool, typer.Option(help="Exit code 1 below 95 %.")] = False,
    claims: Annotated[bool, typer.Option(help="Ask the claims, where no test noticed.")] = True,
    show: Annotated[bool, typer.Option(help="List the wrong versions and stop.")] = False,
) -> None:
    """Try wrong versions of the library, and say which are noticed."""
    table = table or root / "tests" / "mutants.csv"
    listing = root / "tests" / "mutants.toml"
    lists = tomllib.loads(listing.read_text()) if listing.exists() else {}
    explained = {(e["module"], e["was"], e["becomes"]) for e in lists.get("explained", [])}
    git = subprocess.run(
        ["git", "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    known: dict[tuple[str, str, str], dict[str, str]] = {}
    if table.exists() and not fresh:
        with table.open(newline="") as file:
            next(file)
            known = {(row["module"], row["was"], row["becomes"]): row for row in csv.DictReader(file)}
    with tempfile.TemporaryDirectory() as folder:
        tree = copied(root, package, Path(folder).resolve(), TARGETS)
        targets = (
            list(TARGETS) if package == "kdtheory" else [f.stem for f in (root / package).glob("[a-z]*.py")]
        )
        wanted = [*named(tree, targets, lists.get("named", [])), *drawn(tree, targets, sample, seed)]
        chosen = {m.key for _, m in wanted}
        wanted += [(target, m) for target, m in tabled(tree, targets, known) if m.key not in chosen]
        asked = {m.key for _, m in wanted if not only or any(m.module.startswith(path) for path in only)}
        if show:
            for mutation in (m for _, m in wanted if m.key in asked):
                typer.echo(f"{mutation.module}:{mutation.line} {mutation.operator}\n-  {mutation.was}")
                typer.echo(f"+  {mutation.becomes}")
            return
        rows, pending = [], []
        for target, mutation in wanted:
            row = known.get(mutation.key, {})
            if mutation.key in explained:
                row = {"outcome": "explained", "by": "mutants.toml", "seconds": "0"}
            if mutation.key in asked and row.get("outcome") not in ("noticed", "explained"):
                pending.append((target, mutation))
            elif row:
                rows.append(mutation.row | {key: row[key] for key in ("outcome", "by", "seconds")})
        state = f"{seed}, {len(wanted)} listed"
        work(Trial(tree, claims), pending, rows, lambda: saved(rows, table, git.stdout.strip(), state))
    share, words = summary(rows)
    typer.echo(words)
    for row in rows:
        if row["outcome"] == "survived":
            typer.echo(
                f"{row['module']}:{row['line']} {row['operator']}\n-  {row['was']}\n+  {row['becomes']}"
            )
    if check and share < ENOUGH:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
