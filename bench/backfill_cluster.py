"""Backfills on a cluster of two executors of this machine, beside the same chunks in one process of
as many threads.
"""

import socket
import statistics
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from backfill_mesh import MESH, backfill, give_up

EXECUTORS = 2


@contextmanager
def process(*arguments: str) -> Iterator[None]:
    """A part of the cluster, for as long as it is needed."""
    child = subprocess.Popen([MESH, "cluster", *arguments], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.kill()
        child.wait()


@contextmanager
def cluster() -> Iterator[str]:
    """A scheduler and its executors of a thread each; gives its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    with ExitStack() as parts:
        parts.enter_context(process("scheduler", "--listen", address))
        wait(f"http://{address}/healthz")
        for _ in range(EXECUTORS):
            parts.enter_context(
                process("executor", "--scheduler", f"df://{address}", "--threads", "1")
            )
        wait(f"http://{address}/readyz")
        time.sleep(1)
        yield f"df://{address}"


def wait(url: str) -> None:
    """Waits until a page answers."""
    for _ in range(300):
        try:
            with urllib.request.urlopen(url):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise TimeoutError(url)


def beside_one_process(
    folder: Path, cases: list[tuple[str, str]], rounds: int
) -> Iterator[dict]:
    """For each project and archive, how much longer the cluster takes."""
    threads = ("--threads", str(EXECUTORS))
    with cluster() as url:
        for project, archive in cases:
            alone, together = [], []
            for _ in range(rounds + 1):
                for runs, more in [(alone, threads), (together, ("--engine", url))]:
                    runs.append(backfill(folder, archive, project, *more))
                    give_up(folder, runs[-1])
            # In the first run of the cluster its executors load the model.
            (cold, *warm), alone = together, alone[1:]
            median = lambda runs, name: statistics.median(run[name] for run in runs)
            yield {
                "project": project,
                "documents": cold["rows"],
                "chunks": cold["chunks"],
                "executors": EXECUTORS,
                "one_process_s": median(alone, "seconds"),
                "cluster_s": median(warm, "seconds"),
                "cluster_first_s": cold["seconds"],
                "overhead": statistics.median(
                    c["seconds"] / a["seconds"] - 1 for c, a in zip(warm, alone)
                ),
                "whole_overhead": median(warm, "wall") / median(alone, "wall") - 1,
            }
