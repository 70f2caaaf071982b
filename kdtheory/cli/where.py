"""Where work is done: on this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from kdtheory.cli.app import err_console

__all__ = ["Address", "working_on"]

Address = Annotated[
    str | None,
    typer.Option(
        "--cluster", help="A dask scheduler's address, or local:N: its workers instead of --jobs processes."
    ),
]


@contextmanager
def working_on(address: str | None, /, *, quiet: bool) -> Iterator[None]:
    """Within the block work goes to the cluster, if there is one; say where, and where to watch it.

    Raises:
        ValueError: it cannot be used.
    """
    if address is None:
        yield
        return
    from kdtheory.clusters import on_cluster

    with on_cluster(address) as cluster:
        if not quiet:
            err_console.print(
                f"cluster {cluster.address}, workers {cluster.workers}, dashboard {cluster.dashboard}",
                highlight=False,
                soft_wrap=True,
            )
        yield
