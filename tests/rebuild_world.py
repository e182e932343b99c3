"""Rebuilds of one test's tables, in this process or in one that is killed.

`python -m tests.rebuild_world BROKER REGISTRY DSN LIVE_WORKER TABLE TOPIC=NAME …` rebuilds a table and ends itself with
SIGKILL as soon as a first part of it is stored.
"""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any

import psycopg

from projections.rebuild.config import RebuildConfig, Rebuilt, Verdict
from projections.rebuild.run import rebuild, verify
from projections.table import Table
from projections.tables import TABLES
from tests.projection_world import ROOT, ProjectionWorld


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


def killed_rebuild(world: ProjectionWorld, table: Table) -> int:
    """Rebuilds in a process that dies in the middle; returns its exit status."""
    renamed = [f"{name}={entry.name}" for name, entry in world.topics.items()]
    arguments = [world.stack.kafka, world.stack.registry_url, world.dsn, world.group_id, table.name, *renamed]
    command = [sys.executable, "-m", "tests.rebuild_world", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, timeout=120).returncode


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
