"""Every public shape is checked while the tests run: jaxtyping annotations, enforced by beartype."""

from jaxtyping import install_import_hook

install_import_hook("kdtheory", "beartype.beartype")
