"""The claims of test modules as tests of pytest: the premise, and each control and mutant as a subtest.

A claim that a collected module declares is a test of its name; `pytest my_claims.py`, `pytest --pyargs
package.module` and the ini option `python_files` say which modules are collected. The claims of a session
share one error rate: each is judged at its α divided by their number (Bonferroni). A claim that is out of
scope on the data at hand is skipped. Subtests are those of pytest 9.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kdtheory.claims import Claim
    from kdtheory.claims.finding import Finding

_COUNT = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Seed, tier, data, α, and whether mutants are run."""
    group = parser.getgroup("kdtheory", "claims of kdtheory")
    group.addoption("--claims", action=argparse.BooleanOptionalAction, default=True, help="Collect claims.")
    group.addoption("--claims-seed", type=int, default=0, help="What all random streams depend on.")
    group.addoption("--claims-tier", choices=("quick", "full"), default="quick", help="Sample sizes.")
    group.addoption("--claims-data", type=Path, default=None, help="Folder of IDX files.")
    group.addoption("--claims-alpha", type=float, default=0.05, help="Error rate of all claims together.")
    group.addoption(
        "--claims-mutants", action=argparse.BooleanOptionalAction, default=True, help="Run the mutants too."
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker by which `-m claim` chooses; and an error rate is refused here that no claim could have."""
    config.addinivalue_line("markers", "claim: an executable claim of kdtheory")
    if not 0 < (alpha := config.getoption("claims_alpha")) < 1:
        raise pytest.UsageError(f"--claims-alpha = {alpha} must lie in (0, 1)")


def pytest_pycollect_makeitem(collector: Any, name: str, obj: object) -> pytest.Item | None:
    """A test for a claim that the collected module declares."""
    core = sys.modules.get("kdtheory.claims.core")  # not imported here: without it there is no claim
    if core is None or not isinstance(obj, core.Claim) or not collector.config.getoption("claims"):
        return None
    if not isinstance(collector, pytest.Module) or obj.relation.__module__ != collector.obj.__name__:
        return None
    item = pytest.Function.from_parent(collector, name=name, callobj=_test(obj))
    item.add_marker("claim")
    return item


def pytest_collection_finish(session: pytest.Session) -> None:
    """Count the claims that are run, since they share one error rate."""
    session.config.stash[_COUNT] = sum(item.get_closest_marker("claim") is not None for item in session.items)


def _test(claim: Claim) -> Callable[..., None]:
    def test(request: pytest.FixtureRequest, subtests: Any) -> None:
        found = _found(claim, request.config)
        request.node.user_properties += _properties(found)
        _report(found, subtests)

    test.__doc__ = claim.statement
    return test


def _found(claim: Claim, config: pytest.Config) -> Finding:
    from kdtheory.claims import Plan
    from kdtheory.ledger import verify

    plan = Plan(
        seed=config.getoption("claims_seed"),
        tier=config.getoption("claims_tier"),
        data=config.getoption("claims_data"),
        mutants=config.getoption("claims_mutants"),
    )
    share = config.getoption("claims_alpha") / max(1, config.stash.get(_COUNT, 1))
    (found,) = verify(claim, plan, alpha=share, progress=False)
    return found


def _report(found: Finding, subtests: Any) -> None:
    """Skip, or pass and fail the parts."""
    from kdtheory.assertion import out_of_scope, reason, shortcomings

    if out_of_scope(found):
        pytest.skip(reason(found))
    wrong = shortcomings(found)
    names = [f"control {one.because}" for one in found.controls]
    names += [f"mutant {name}" for name in (found.mutants.evidence if found.mutants else ())]
    for name in names:
        with subtests.test(name):
            if name in wrong:
                pytest.fail(f"{name}: {wrong[name]}", pytrace=False)
    if "premise" in wrong:
        pytest.fail(f"{found.name}: {wrong['premise']}", pytrace=False)


def _properties(found: Finding) -> list[tuple[str, object]]:
    """The properties of a claim that JUnit keeps beside its outcome."""
    return [
        ("section", found.section),
        ("source", found.source),
        ("verdict", found.verdict.name),
        ("expected", found.expected.name),
        ("key_figure", found.evidence.key_figure),
    ]
