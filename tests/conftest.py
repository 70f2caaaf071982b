"""Every public shape is checked while the tests run: jaxtyping annotations, enforced by beartype.

Hypothesis draws the same examples each time and times nothing; `tests/fuzz.py` draws others.
"""

from collections.abc import Iterator

import jaxtyping
import pytest
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
