"""Work on a cluster: what one process finds, also where a worker is killed; one line where it cannot be."""

from __future__ import annotations

import contextvars
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from distributed import LocalCluster

from kdtheory import MLP, Plan, Recipe, Stream, clusters, train, verify
from kdtheory.claims import REGISTRY
from kdtheory.cli import main
from kdtheory.cli.app import err_console
from kdtheory.clusters import Cluster, on_cluster
from kdtheory.ledger import Ledger, examined
from kdtheory.losses import label_loss
from kdtheory.ntk import InfiniteMLP
from kdtheory.records import RunDirectory, as_document
from kdtheory.stored_gram import stored_gram
from kdtheory.workers import spread, workers_elsewhere

CHEAP = [claim for claim in REGISTRY.values() if claim.chapter == 1][:4]
PLAN = Plan(device="cpu", mutants=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """All that the tests of this module spread goes there."""
    with on_cluster("local:2") as connected:
        yield connected


def here(function: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
    """What a function gives outside of any block."""
    return contextvars.Context().run(function, *arguments, **settings)


def found(ledger: Ledger) -> dict[str, Any]:
    document = as_document(ledger)
    for one in document["findings"]:
        del one["seconds"]
    return document


def workers() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if any("spawn_main" in part for part in child.cmdline())
    ]


def test_local_workers_keep_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask has its workers return it at once, and each array of theirs is new pages then."""
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    others = {one.pid for one in workers()}
    with on_cluster("local:1"):
        environments = [one.environ() for one in workers() if one.pid not in others]
    assert environments
    assert all("OMP_NUM_THREADS" in one and "MALLOC_TRIM_THRESHOLD_" not in one for one in environments)


def slow_square(shift: int, number: int) -> tuple[int, int]:
    time.sleep(0.05)
    return (number + shift) ** 2, os.getpid()


def test_what_is_spread_is_done_by_the_workers(cluster: Cluster) -> None:
    assert (cluster.workers, workers_elsewhere()) == (2, 2)
    assert cluster.dashboard.startswith("http")
    told = list(spread(slow_square, [(n,) for n in range(12)], jobs=1, shared=(1,), ahead=3))
    assert sorted(square for square, _ in told) == [(n + 1) ** 2 for n in range(12)]
    assert os.getpid() not in {pid for _, pid in told}
    assert here(workers_elsewhere) is None
    here_too = here(lambda: list(spread(slow_square, [(n,) for n in range(5)], jobs=1, shared=(0,), ahead=2)))
    assert [square for square, _ in here_too] == [0, 1, 4, 9, 16]


def test_findings_are_those_of_one_process(cluster: Cluster) -> None:
    assert found(verify(CHEAP, PLAN)) == found(here(verify, CHEAP, PLAN))


def test_a_killed_worker_costs_no_finished_claim_and_changes_no_finding(
    cluster: Cluster, tmp_path: Path
) -> None:
    first: dict[Path, bytes] = {}

    def kill_one(done: int, total: int) -> None:
        if done == 1 and not first:
            first.update({path: path.read_bytes() for path in tmp_path.glob("run/claims/*.json")})
            for process in workers()[:1]:
                process.kill()

    with RunDirectory(tmp_path / "run", {}) as directory:
        ledger = verify(CHEAP, PLAN, directory=directory, progress=kill_one)
    assert len(first) == 1
    assert all(path.read_bytes() == content for path, content in first.items())
    assert len(list(tmp_path.glob("run/claims/*.json"))) == len(CHEAP)
    assert found(ledger) == found(here(verify, CHEAP, PLAN))


def test_tasks_of_a_killed_worker_and_what_they_share_are_done_again(cluster: Cluster) -> None:
    results, killed = [], 0
    for square, pid in spread(slow_square, [(n,) for n in range(30)], jobs=-1, shared=(0,)):
        results.append(square)
        if not killed:
            os.kill(killed := pid, signal.SIGKILL)
    assert sorted(results) == [n * n for n in range(30)]


def end_the_process(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_that_kills_every_worker_is_an_error(cluster: Cluster) -> None:
    with pytest.raises(ChildProcessError, match="killed, or memory ran out"):
        list(spread(end_the_process, [(1,)], jobs=-1))


def test_an_error_of_a_task_is_raised_here_and_the_others_are_called_back(cluster: Cluster) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(spread(int, [("x",), *((str(n),) for n in range(20))], jobs=-1))
    assert sorted(spread(abs, [(-1,), (2,)], jobs=-1)) == [1, 2]


@pytest.mark.parametrize("batch_size", [None, 8])
def test_a_population_is_the_same_trained_by_groups_elsewhere(
    cluster: Cluster, batch_size: int | None
) -> None:
    x = Stream(1).numpy().standard_normal((32, 3))
    inputs, labels = torch.from_numpy(x).float(), torch.arange(32) % 2
    told: list[tuple[int, int]] = []
    settings: dict[str, Any] = {
        "loss": label_loss, "members": 5, "stream": Stream(0),
        "recipe": Recipe(steps=20, learning_rate=0.05, batch_size=batch_size),
    }  # fmt: skip
    net = MLP((3, 7, 2))
    there = train(net, inputs, labels, **settings, progress=lambda *steps: told.append(steps))
    own = here(train, net, inputs, labels, **settings)
    assert told[-1] == (100, 100)
    torch.testing.assert_close(there.params, own.params, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(there.last_loss, own.last_loss, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(there.gradient_norm, own.gradient_norm, rtol=1e-5, atol=1e-7)


def test_a_matrix_in_a_file_is_made_by_the_workers(cluster: Cluster, tmp_path: Path) -> None:
    x, kernel = torch.from_numpy(Stream(0).numpy().standard_normal((40, 3))), InfiniteMLP(2)
    found = stored_gram(kernel, x, tmp_path / "gram.npy", block_size=9)
    own = here(stored_gram, kernel, x, tmp_path / "own.npy", block_size=9)
    assert (found == own).all()


def test_other_code_on_a_worker_is_no_finding(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdtheory.ledger.code_of", lambda claim: "0" * 64)
    with pytest.raises(ValueError, match=f"claim {CHEAP[0].name}: a worker has other code of kdtheory"):
        list(examined(CHEAP[:1], PLAN))


def test_other_versions_on_a_worker_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    own = clusters._versions()

    def refused(name: str, said: str) -> None:
        monkeypatch.setattr(clusters, "_versions", lambda: {**own, name: "0.0"})
        with pytest.raises(ValueError, match=said), on_cluster("local:1"):
            pass
        assert workers_elsewhere() is None

    here(refused, "torch", r"has torch \S+ and this process 0\.0; install the same")
    here(refused, "kdtheory", r"has kdtheory \S+ \(sources \w+\) and this process 0\.0")


def test_a_worker_of_several_threads_is_refused() -> None:
    with (
        LocalCluster(1, threads_per_worker=2, processes=False, dashboard_address=":0") as threads,
        pytest.raises(ValueError, match=r"takes 2 tasks at a time.*--nthreads 1"),
        on_cluster(threads.scheduler_address),
    ):
        pass


@pytest.mark.parametrize("address", ["local:0", "local:two", "local:-1"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"must be local:N with N ≥ 1"), on_cluster(address):
        pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1:9"])
@pytest.mark.parametrize("command", [["verify", CHEAP[0].name], ["study", "soft_ratio", "--small"]])
def test_a_scheduler_that_does_not_answer_is_one_line_and_exit_code_2(
    address: str, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clusters, "_PATIENCE", 0.2)
    monkeypatch.setattr(err_console, "width", 400)
    monkeypatch.setattr(sys, "argv", ["kdtheory", *command, "--cluster", address])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 2
    assert len(said) == 1
    assert f"cluster = '{address}': no scheduler of dask's answers there" in said[0]


@pytest.mark.parametrize(
    "address",
    ["nowhere", "", "http://", "http://host:8786", "tcp://host", "tcp://host:x", "tcp://host:99999"],
)
def test_an_address_without_host_or_port_is_refused_before_anything_is_begun(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client of dask's would be left behind, and hold up the end of the process."""
    monkeypatch.setattr("distributed.Client", None)
    with pytest.raises(ValueError, match="is no address of a scheduler"), on_cluster(address):
        pass


ALONE = """
import time
from kdtheory.clusters import on_cluster
from kdtheory.workers import spread
if __name__ == "__main__":
    with on_cluster("local:2"):
        print("there", flush=True)
        list(spread(time.sleep, [(600,), (600,)], jobs=-1))
"""


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_workers_of_this_machine_end_with_the_process(sign: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text(ALONE)
    with subprocess.Popen(
        [sys.executable, "alone.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        mine = psutil.Process(process.pid).children(recursive=True)
        assert len(mine) >= 2
        os.killpg(process.pid, sign) if sign == signal.SIGINT else process.kill()
        process.communicate(timeout=60)
    assert not psutil.wait_procs(mine, timeout=60)[1]


@pytest.mark.slow
def test_the_command_says_where_it_works(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "kdtheory",
        "verify",
        CHEAP[0].name,
        "--cluster",
        "local:1",
        "--out",
        "run",
    ]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert told.returncode == 0, told.stderr
    first = told.stderr.splitlines()[0]
    assert first.startswith("cluster tcp://127.0.0.1:")
    assert ", workers 1, dashboard http://127.0.0.1:" in first
    assert "all as expected" in told.stdout
