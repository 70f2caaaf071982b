"""A cluster of dask's in the place of worker processes on this machine.

Within `on_cluster` whatever the package spreads over workers goes there: the claims of a ledger, the members
of a population, the blocks of a kernel. Dask schedules, restarts and does again what a lost worker had; this
module connects, sees that workers run the same code, and hands over tasks.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

from kdtheory.doors import door
from kdtheory.progress import silence
from kdtheory.workers import LOST, elsewhere, interrupts_held

__all__ = ["Cluster", "on_cluster"]

_PATIENCE = 10
"""Seconds that a scheduler has to answer."""
_ALIKE = (
    "dask",
    "distributed",
    "cloudpickle",
    "torch",
    "numpy",
    "scipy",
    "numba",
    "scikit-learn",
    "kdtheory",
)
"""Packages whose versions must be the same here and on every worker, for the findings to be the same."""
_LOCAL = "local"
_ENVIRONMENT, _TRIM = "distributed.nanny.pre-spawn-environ", "MALLOC_TRIM_THRESHOLD_"
"""Where dask has the environment of its workers, and what in it makes them return memory at once: an array of
128 KiB or more is new pages each time then, and training takes a third longer.
"""
_SELDOM = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1 s",
    "distributed.admin.system-monitor.interval": "5 s",
    "distributed.worker.memory.monitor-interval": "5 s",
}
"""How often dask looks at itself on a cluster of this machine, where those who compute pay for every look."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that is connected.

    Args:
        address: of its scheduler.
        workers: how many there were when it was connected; more may join, and do their share.
        dashboard: a link to dask's page that shows what each worker does; the page needs bokeh there.
    """

    address: str
    workers: int
    dashboard: str


@contextmanager
@door
def on_cluster(address: str, /) -> Iterator[Cluster]:
    """Within the block work goes to the workers of a dask cluster, and `jobs` of any function is all of them.

    What is found is what one process finds. A task of a worker that is lost is done again by another; what
    was handed back before is kept. Processes alone are used, with one task at a time in each.

    Tasks and results travel as pickles, so whoever reaches a scheduler can run code on its workers and on its
    clients: connect to clusters of your own, over TLS or in a network of your own.

    Args:
        address: of a scheduler, as "tcp://host:8786"; or "local:N", N processes of this machine, with "local"
            one for each core.

    Yields:
        What is connected.

    Raises:
        ValueError: dask is not installed, nobody answers there, or a worker has other versions than this
            process or takes several tasks at a time.

    >>> with on_cluster("local:0"):
    ...     pass
    Traceback (most recent call last):
    ValueError: cluster = 'local:0' must be local:N with N ≥ 1, local, or a scheduler's address such as ...
    """
    with ExitStack() as stack:
        client = _connected(stack, address)
        here = _Home(tuple(_versions().items()), tuple(sys.path), os.getcwd(), os.getpid())
        there = _asked(client, address, here)

        def engine(
            function: Callable[..., Any], tasks: Iterable[Any], shared: tuple[Any, ...], ahead: int | None
        ) -> Iterator[Any]:
            return _done(client, here, function, tasks, shared, ahead)

        with elsewhere(engine, lambda: len(client.scheduler_info(n_workers=-1)["workers"])):
            yield Cluster(client.scheduler.address, there, client.dashboard_link)


def _connected(stack: ExitStack, address: str) -> Any:
    """A client of the scheduler, which is started first where it is to be of this machine."""
    workers = _local_workers(address)
    try:
        import dask
        from distributed import Client, LocalCluster
        from distributed.versions import VersionMismatchWarning
    except ModuleNotFoundError as error:
        raise ValueError(f"cluster = {address!r} needs dask; pip install 'kdtheory[cluster]'") from error
    place: Any = address
    if workers is not None:
        environment = {k: v for k, v in dask.config.get(_ENVIRONMENT).items() if k != _TRIM}
        with interrupts_held(), dask.config.set({**_SELDOM, _ENVIRONMENT: environment}):
            local = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=None,
                dashboard_address="127.0.0.1:0",
                silence_logs=100,  # what is lost or given up is told by this process
            )
        place = stack.enter_context(local)
    else:
        _check_address(address)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)  # said later, in one line
            return stack.enter_context(Client(place, timeout=_PATIENCE, set_as_default=False))
    except (OSError, ValueError, TypeError, ImportError) as error:
        raise ValueError(
            f"cluster = {address!r}: no scheduler of dask's answers there within {_PATIENCE} s "
            f"({type(error).__name__}: {error}); start one by `dask scheduler`, or give local:N"
        ) from error


def _local_workers(address: str) -> int | None:
    """N of local:N; None of any other address."""
    name, _, number = address.partition(":")
    if name != _LOCAL:
        return None
    if not number and address == _LOCAL:
        return os.cpu_count() or 1
    if not number.isdigit() or int(number) < 1:
        raise ValueError(
            f"cluster = {address!r} must be local:N with N ≥ 1, local, or a scheduler's address such as "
            "tcp://host:8786"
        )
    return int(number)


def _check_address(address: str) -> None:
    """Raise unless it names a host and a port; a client of what does not would hang when it ends."""
    from distributed.comm.addressing import get_address_host_port

    if address.startswith(("inproc://", "ucx://")):
        return
    try:
        _, port = get_address_host_port(address)
        why = "" if 0 < port < 2**16 else f"there is no port {port}"
    except ValueError as error:
        why = str(error)
    if why:
        raise ValueError(
            f"cluster = {address!r} is no address of a scheduler ({why}); give one such as tcp://host:8786, "
            "or local:N"
        )


@dataclass(frozen=True)
class _Home:
    """The things that a worker must have in common with the process whose tasks it does.

    Args:
        versions: of Python and of what computes.
        path: where modules are looked for.
        folder: relative to which files are named.
        process: its number; a worker may be in that process itself.
    """

    versions: tuple[tuple[str, str], ...]
    path: tuple[str, ...]
    folder: str
    process: int

    def enter(self, worker: Any) -> str:
        """Make the worker's process ready for tasks from there; or say what keeps it from doing them."""
        for name, wanted in self.versions:
            if (own := _versions()[name]) != wanted:
                return f"worker {worker.address} has {name} {own} and this process {wanted}; install the same"
        if worker.state.nthreads > 1:
            return (
                f"worker {worker.address} takes {worker.state.nthreads} tasks at a time, which would share "
                "one random state; start it with one thread: dask worker --nworkers N --nthreads 1"
            )
        if os.getpid() != self.process:
            silence()
            sys.path.extend(place for place in self.path if place not in sys.path)
            if Path(self.folder).is_dir():
                os.chdir(self.folder)
        return ""


@cache
def _versions() -> dict[str, str]:
    """The versions of Python, of what computes, and of this package, with a digest of its sources."""
    found = {"python": platform.python_version()}
    for name in _ALIKE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    digest, here = hashlib.sha256(), Path(__file__).parent
    for path in sorted(here.rglob("*.py")):
        digest.update(path.relative_to(here).as_posix().encode() + b"\0" + path.read_bytes())
    return {**found, "kdtheory": f"{found['kdtheory']} (sources {digest.hexdigest()[:8]})"}


def _asked(client: Any, address: str, home: _Home) -> int:
    """How many workers are there, each of them looked at."""
    told = client.get_versions(check=False)
    sides = {
        "the scheduler": told["scheduler"],
        **{f"worker {key}": one for key, one in told["workers"].items()},
    }
    for side, one in sides.items():
        for name in ("python", "distributed"):
            theirs, ours = ((one or {}).get("packages", {}).get(name) for one in (one, told["client"]))
            if theirs != ours:
                raise ValueError(f"{side} has {name} {theirs} and this process {ours}; install the same")
    try:
        found = client.run(_entered, home)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the workers of {address!r} have no module {error.name!r}; install kdtheory there too"
        ) from error
    for complaint in filter(None, found.values()):
        raise ValueError(complaint)
    return len(found)


def _entered(home: _Home, dask_worker: Any) -> str:
    return home.enter(dask_worker)


def _done(
    client: Any,
    home: _Home,
    function: Callable[..., Any],
    tasks: Iterable[Any],
    shared: tuple[Any, ...],
    ahead: int | None,
) -> Iterator[Any]:
    """The results, as they are ready; what is not wanted any more is called back."""
    from dask import config
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    left = iter(tasks)

    def handed_over(function: Callable[..., Any], *arguments: Any) -> Any:
        with config.set({"distributed.admin.large-graph-warning-threshold": "1 PB"}):
            return client.submit(function, *arguments, pure=False)

    # Results of tasks and not data that are sent about: those are lost with the worker that has them.
    everywhere = [handed_over(_same, part) for part in shared]

    under_way = as_completed(
        [handed_over(_called, home, function, *everywhere, *task) for task in islice(left, ahead)],
        loop=client.loop,
    )
    try:
        for future in under_way:
            result = future.result()
            future.release()
            under_way.update(
                [handed_over(_called, home, function, *everywhere, *task) for task in islice(left, 1)]
            )
            yield result
    except KilledWorker as error:
        raise ChildProcessError(f"{LOST}, again and again with one task") from error
    finally:
        client.cancel([*under_way.futures])


def _same(part: Any) -> Any:
    return part


def _called(home: _Home, function: Callable[..., Any], *arguments: Any) -> Any:
    if complaint := _seen(home):
        raise ValueError(complaint)
    return function(*arguments)


@cache
def _seen(home: _Home) -> str:
    """Whether this worker, which may have joined later, can take part: asked once in each process."""
    from distributed import get_worker

    return home.enter(get_worker())
