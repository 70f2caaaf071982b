"""Every public shape is checked while the tests run: jaxtyping annotations, enforced by beartype.

Hypothesis draws the same examples each time and times nothing; `tests/fuzz.py` draws others. Modules
draw their weights from torch's default generator: each file's tests and shared fixtures begin it anew, so
that a test meets the same weights in any order and on any worker; `--draw N` gives others.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from zlib import crc32

import jaxtyping
import pytest
import torch
from hypothesis import settings

jaxtyping.install_import_hook("kdtheory", "typecheck.check")
settings.register_profile("tests", deadline=None, derandomize=True)  # the same on a busy machine
settings.load_profile("tests")


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Shapes are not checked by type, as in a user's process: the public door has to notice by itself."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--draw", type=int, default=0, help="which random weights the tests' modules have")


@contextmanager
def drawn(name: str, config: pytest.Config) -> Iterator[None]:
    """Torch's default generator, begun anew for what has this name, and afterwards as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(crc32(f"{config.getoption('--draw')} {name}".encode()))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with drawn(item.path.name, item.config):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    if fixturedef.scope == "function":
        return (yield)
    with drawn(fixturedef.argname, request.config):
        return (yield)
