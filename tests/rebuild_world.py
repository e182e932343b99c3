"""Rebuilds of one test's tables, in this process or in one that is killed.

`python -m tests.rebuild_world BROKER REGISTRY DSN LIVE_WORKER TABLE TOPIC=NAME …` rebuilds a table and ends itself with
SIGKILL as soon as a first part of it is stored.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg

from projections.rebuild.config import RebuildConfig, Rebuilt, Verdict
from projections.rebuild.run import rebuild, verify
from projections.sinks.postgres import PostgresSink
from projections.table import Database, Mode, Table
from projections.tables import TABLES, columns
from projections.worker import ProjectionConfig, run
from tests.projection_world import ROOT, TIMEOUT_S, ProjectionWorld

PROBE = Table(
    name="rebuild_probe",
    database=Database.TIMESCALE,
    mode=Mode.APPEND,
    sources={"telemetry.asic": columns("observed_at", "device_id", "power_w")},
    columns={"observed_at": "timestamptz", "device_id": "text", "power_w": "double precision"},
)
"""Appends, so a row that comes twice is there twice."""


def config(world: ProjectionWorld, table: Table, **changes: Any) -> RebuildConfig:
    """A rebuild of a table of the test's database, which the test's worker writes."""
    found = RebuildConfig(
        kafka={"bootstrap.servers": world.stack.kafka},
        registry_url=world.stack.registry_url,
        dsn=world.dsn,
        table=table,
        live_worker=world.group_id,
        topics={name: entry.name for name, entry in world.topics.items()},
    )
    return replace(found, **changes)


def quiet(_step: str, _done: int, _total: int) -> None:
    """Nobody looks at the progress."""


def rebuilt(world: ProjectionWorld, table: Table, **changes: Any) -> Rebuilt:
    """Rebuilds to the end."""
    return rebuild(config(world, table, **changes), threading.Event(), quiet)


def verified(world: ProjectionWorld, table: Table, **changes: Any) -> Verdict:
    """Verifies to the end."""
    return verify(config(world, table, **changes), threading.Event(), quiet)


@contextmanager
def worker(world: ProjectionWorld, table: Table) -> Iterator[None]:
    """The worker that writes the table, in a thread."""
    stop = threading.Event()
    world.output.touch()
    wanted = ProjectionConfig(
        kafka={"bootstrap.servers": world.stack.kafka},
        registry_url=world.stack.registry_url,
        worker=world.group_id,
        sink=lambda: PostgresSink(world.dsn, world.group_id),
        tables=(table,),
        topics={name: entry.name for name, entry in world.topics.items()},
    )
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(run, wanted, stop)
        try:
            yield
        finally:
            stop.set()
            done.result(TIMEOUT_S)


def killed_rebuild(world: ProjectionWorld, table: Table) -> int:
    """Rebuilds in a process that dies in the middle; returns its exit status."""
    renamed = [f"{name}={entry.name}" for name, entry in world.topics.items()]
    arguments = [world.stack.kafka, world.stack.registry_url, world.dsn, world.group_id, table.name, *renamed]
    command = [sys.executable, "-m", "tests.rebuild_world", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, timeout=TIMEOUT_S).returncode


def _main() -> None:
    kafka, registry_url, dsn, live_worker, name, *renamed = sys.argv[1:]
    table = next(table for table in TABLES if table.name == name)

    def die_in_the_middle(_step: str, _done: int, _total: int) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            stored = connection.execute("SELECT max(next_offset) FROM projection_offsets WHERE worker ~ '^rebuild:'")
            if (stored.fetchone() or (0,))[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    wanted = RebuildConfig(
        kafka={"bootstrap.servers": kafka},
        registry_url=registry_url,
        dsn=dsn,
        table=table,
        live_worker=live_worker,
        topics=dict(pair.split("=") for pair in renamed),
        batch=500,
    )
    rebuild(wanted, threading.Event(), die_in_the_middle)


if __name__ == "__main__":
    _main()
