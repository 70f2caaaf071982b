"""Every public shape is checked while the tests run: jaxtyping annotations, enforced by beartype."""

from collections.abc import Iterator

import jaxtyping
import pytest

jaxtyping.install_import_hook("kdtheory", "typecheck.check")


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Shapes are not checked by type, as in a user's process: the public door has to notice by itself."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
