"""Tables rebuilt from the log on the real stack: what is kept, what is refused, and who may write meanwhile."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from projections.rebuild.config import RebuildConfig
from projections.rebuild.run import rebuild, verify
from projections.table import Table
from projections.tables import WORKLOADS
from schemas.events import WorkloadState
from tests.integration.test_projections import transition
from tests.projection_world import ProjectionWorld

pytestmark = pytest.mark.integration


def config(world: ProjectionWorld, table: Table, **changes: Any) -> RebuildConfig:
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
    pass


def rebuilt(world: ProjectionWorld, table: Table, **changes: Any) -> Any:
    return rebuild(config(world, table, **changes), threading.Event(), quiet)


def verified(world: ProjectionWorld, table: Table) -> Any:
    return verify(config(world, table), threading.Event(), quiet)


@contextmanager
def transitions_going_on(world: ProjectionWorld, first: int) -> Iterator[list[int]]:
    """Sends transitions of wl-1 in the background, versions from `first` on; the list has the last one sent."""
    last, stop = [first], threading.Event()

    def send() -> None:
        while not stop.wait(0.002):
            world.send_event("workloads.transitions", transition(last[0] + 1))
            last[0] += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield last
    finally:
        stop.set()
        thread.join()
        world.flush()


# What hangs on the table: all of it has to be there after the swap, and to be about the new table.
ORNAMENTS = """
    CREATE VIEW busy WITH (security_barrier = true) AS SELECT workload_id, state, version FROM workloads WHERE gpus > 0;
    CREATE VIEW states AS SELECT state, count(*) AS n FROM busy GROUP BY state;
    COMMENT ON VIEW busy IS 'workloads with GPUs';
    GRANT SELECT ON states TO PUBLIC;
    CREATE INDEX by_customer ON workloads (customer_id) WHERE gpus > 4;
    ALTER TABLE workloads SET (fillfactor = 70);
    REVOKE SELECT ON workloads FROM grafana_reader;
    GRANT SELECT (state, version) ON workloads TO grafana_reader;
    COMMENT ON COLUMN workloads.gpus IS 'how many';
"""
FORM = """
    SELECT 'index', pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'workloads'::regclass
    UNION SELECT 'constraint', conname || pg_get_constraintdef(oid) FROM pg_constraint
      WHERE conrelid = 'workloads'::regclass
    UNION SELECT 'trigger', pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'workloads'::regclass
    UNION SELECT 'table', concat(aclexplode(relacl), reloptions, relowner, obj_description(oid)) FROM pg_class
      WHERE oid = 'workloads'::regclass
    UNION SELECT 'column', concat(attname, atttypid::regtype, attnotnull, attacl, col_description(attrelid, attnum))
      FROM pg_attribute WHERE attrelid = 'workloads'::regclass AND attnum > 0
    UNION SELECT 'view', concat(relname, pg_get_viewdef(oid), relacl, reloptions, obj_description(oid), oid)
      FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace
    ORDER BY 1, 2
"""


def test_a_table_is_swapped_under_its_worker_and_keeps_all_that_hangs_on_it(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    for number in range(300):
        world.send_event("workloads.transitions", transition(1, workload_id=f"wl-{number}"))
    world.flush()
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        connection.execute(ORNAMENTS)
    form = world.query(FORM)
    identity = world.query("SELECT 'workloads'::regclass::oid")
    world.start()
    world.await_rows("SELECT count(*) FROM workloads", lambda rows: rows == [(300,)])
    with transitions_going_on(world, 1) as last:
        found = rebuilt(world, WORKLOADS)
    assert (found.rows, found.refused) == (300, 0)
    assert world.query(FORM) == form
    assert world.query("SELECT 'workloads'::regclass::oid") != identity
    # The worker goes on in the new table, and the views read that one.
    world.send_event("workloads.transitions", transition(last[0] + 1, WorkloadState.RUNNING))
    world.flush()
    newest = "SELECT version FROM busy WHERE state = 'RUNNING'"
    world.await_rows(newest, lambda rows: rows == [(last[0] + 1,)])
    assert world.query("SELECT * FROM states ORDER BY 1") == [("QUEUED", 299), ("RUNNING", 1)]
    verdict = verified(world, WORKLOADS)
    assert verdict.is_equal
    assert verdict.served.rows == 300
    assert world.query("SELECT relname FROM pg_class WHERE relname ~ '__(next|old)'") == []
