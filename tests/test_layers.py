"""The house rules that code can check: imports point down, no cycles, levels 0 to 3 are silent."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "kdtheory"

LEVELS = {
    "streams": 0, "types": 0, "validate": 0, "stats": 0, "search": 0, "roles": 0, "role_rows": 0,
    "rows": 0, "problems": 0, "networks": 0, "batches": 0, "datasets": 0, "bibliography": 0, "inversion": 0,
    "doors": 0, "_kinds": 0, "_array_kinds": 0, "_tensor_kinds": 0, "_axes": 0, "_plain_kinds": 0,
    "_lazy": 0, "_content": 0, "gathered": 0, "progress": 0, "workers": 0,
    "plain": 0, "digest": 0, "recipe": 0, "iterates": 0, "tensor_trees": 0, "shown": 0, "answers": 0,
    "_near": 0, "_autocast": 0, "_jacobians": 0, "_prefix_codes": 0, "_undefined": 0,
    "_parts_of_batches": 0,
    "losses": 1, "risk": 1, "bounds": 1, "coding": 1, "ntk": 1, "transfer_risk": 1,
    "compression": 1, "self_distillation": 1, "sequences": 1, "weak_to_strong": 1, "imitation": 1,
    "populations": 2, "_gaussian_weights": 2, "schemes": 2, "stochastic": 2, "multiview": 2,
    "experiments": 3,
    "certify": 3, "compare": 3, "claims": 3,
    "files": 4, "checkpoints": 4, "scripts": 4, "catalogue": 4, "outside": 4, "records": 4, "ledger": 4,
    "assertion": 4,
    "clusters": 4, "stored_gram": 4, "plots": 4, "study_script": 4, "study": 4, "report": 4,
    "cli": 5, "pytest_plugin": 5, "__main__": 6, "__init__": 6,
}  # fmt: skip
SILENT = {"matplotlib", "time", "datetime", "logging"}
SPEAKS = {"progress"}
"""Says on stderr how far long work is, where a person watches; doors of all levels call it."""


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def topic(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imported(path: Path) -> set[str]:
    """The modules that a file imports, absolute names; type-checking imports included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def inside(path: Path) -> set[str]:
    return {name for name in imported(path) if name in MODULES}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_has_a_level_and_imports_only_down(module: str) -> None:
    level = LEVELS[topic(module)]
    for other in inside(MODULES[module]):
        assert LEVELS[topic(other)] <= level, f"{module} (level {level}) imports {other}"


def test_levels_are_neither_missing_nor_stale() -> None:
    assert {topic(module) for module in MODULES} == set(LEVELS)


def test_the_map_for_contributors_has_every_part_at_its_level() -> None:
    page = (PACKAGE.parent / "CONTRIBUTING.md").read_text()
    told: dict[str, int] = {}
    for line in page.partition("```none\n")[2].partition("studies/")[0].splitlines():
        level = int(line[0]) if line[0].isdigit() else level
        told |= dict.fromkeys((name.strip("/") for name in line[3:].partition("   ")[0].split()), level)
    public = {part: level for part, level in LEVELS.items() if not part.startswith("_")}
    assert {part: level for part, level in told.items() if part in LEVELS} == public


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_is_longer_than_one_reads(module: str) -> None:
    assert len(MODULES[module].read_text().splitlines()) <= 320


def test_no_import_cycle_between_modules() -> None:
    # A package's own __init__ re-exports its modules, so only imports of modules proper are edges.
    graph = {m: {n for n in inside(p) if MODULES[n].name != "__init__.py"} for m, p in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"cycle: {' → '.join((*trail, module))}"
        if module not in done:
            for other in graph[module]:
                visit(other, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize(
    "module", sorted(m for m in MODULES if LEVELS[topic(m)] <= 3 and topic(m) not in SPEAKS)
)
def test_levels_below_four_are_silent(module: str) -> None:
    path = MODULES[module]
    assert not {name.split(".")[0] for name in imported(path)} & SILENT
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert not any(isinstance(call, ast.Name) and call.id == "print" for call in calls)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_unpickles_or_touches_global_random_state(module: str) -> None:
    path = MODULES[module]
    assert not {name.split(".")[0] for name in imported(path)} & {
        "pickle",
        "cloudpickle",
        "studies",
        "random",
    }
    calls = [
        ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    ]
    forbidden = {"torch.manual_seed", "np.random.seed", "torch.set_default_dtype", "torch.seed", "torch.load"}
    assert not forbidden & set(calls)


def test_least_squares_are_solved_by_a_driver_that_is_named() -> None:
    """Torch's own choice begins from memory as it is: two runs differ, and a lower rank is not seen."""
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.linalg.lstsq":
                driver = {key.arg: ast.unparse(key.value) for key in node.keywords}.get("driver", "None")
                assert driver not in ("None", "'gelsy'"), path


def test_nothing_but_the_command_line_prints() -> None:
    for module, path in MODULES.items():
        if topic(module) != "cli":
            assert "print(" not in path.read_text().replace("pprint(", ""), module
