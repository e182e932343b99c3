"""Random interleavings of batches, crashes, rebalances, sleepers and duplicates leave what a simple model says.

The model is the log up to the stored offsets, folded record by record. The engine is the real sink on a real
PostgreSQL; workers are told apart by their connections, as processes are.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from projections import offset_store
from projections.error import FencedError, UnavailableError
from projections.sink import Claim, Rows, Step
from projections.sinks.postgres import PostgresSink
from projections.table import Database, Mode, Table
from projections.writer import write
from schemas.message_block import Place
from schemas.reject import ROW

pytestmark = pytest.mark.integration

GROUP = "model"
PLACES: tuple[Place, ...] = (("events", 0), ("events", 1))
WORKERS = (0, 1, 2)
COLUMNS = {"event_id": "text", "key": "text", "at": "bigint", "amount": "bigint"}
SCHEMA: dict[str, Any] = {"event_id": pl.String, "key": pl.String, "at": pl.Int64, "amount": pl.Int64, ROW: pl.UInt32}
TABLES = (
    Table("m_append", Database.POSTGRES, Mode.APPEND, {}, COLUMNS),
    Table("m_latest", Database.POSTGRES, Mode.LATEST, {}, COLUMNS, key=("key",), order=("at",)),
    Table("m_ledger", Database.POSTGRES, Mode.LEDGER, {}, COLUMNS, key=("event_id",)),
    Table("m_window", Database.POSTGRES, Mode.WINDOW, {}, COLUMNS, key=("key",), order=("at",)),
)

Event = tuple[str, str, int, int]
"""event_id, key, at (unique to the event, so that no two tie), amount."""


@dataclass(slots=True)
class Worker:
    """One process: its connection, and what it believes to own and to have applied."""

    sink: PostgresSink
    claims: dict[Place, Claim] = field(default_factory=dict)


class Machine(RuleBasedStateMachine):
    """The rules are what can happen; the invariant is what must hold after each."""

    dsn: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self._dsn = self.dsn
        self._check = psycopg.connect(self.dsn, autocommit=True)
        tables = ", ".join(table.name for table in TABLES)
        self._check.execute(f"TRUNCATE {tables}, projection_offsets".encode())
        self._log: dict[Place, list[Event]] = {place: [] for place in PLACES}
        self._workers = {number: Worker(PostgresSink(self.dsn, GROUP)) for number in WORKERS}
        self._owner: dict[Place, int] = {}
        self._events = 0

    def teardown(self) -> None:
        """Ends the sessions."""
        for worker in self._workers.values():
            worker.sink.close()
        self._check.close()

    @rule(place=st.sampled_from(PLACES), key=st.sampled_from("abc"), late=st.integers(0, 3), count=st.integers(1, 4))
    def produce(self, place: Place, key: str, late: int, count: int) -> None:
        """Events come, some with an older event time than those before."""
        for _ in range(count):
            self._events += 1
            number = self._events
            self._log[place].append((f"e-{number}", key, (number - 3 * late) * 1000 + number, number * 7))

    @precondition(lambda self: any(self._log.values()))
    @rule(data=st.data(), place=st.sampled_from(PLACES))
    def duplicate(self, data: st.DataObject, place: Place) -> None:
        """A producer sends again what it sent before."""
        sent = [event for events in self._log.values() for event in events]
        self._log[place].append(data.draw(st.sampled_from(sent)))

    @rule(place=st.sampled_from(PLACES), number=st.sampled_from(WORKERS), is_reachable=st.booleans())
    def rebalance(self, place: Place, number: int, is_reachable: bool) -> None:
        """A partition goes to a worker; its former owner is not told (it sleeps, or the network is split).

        Where the database knows its session, that is ended; else the epoch alone keeps it out.
        """
        if not is_reachable:
            self._check.execute("UPDATE projection_offsets SET owner_pid = NULL")
        worker = self._workers[number]
        try:
            worker.claims |= worker.sink.claim({place: 0})
        except UnavailableError:
            self._restart(number)
        else:
            self._owner[place] = number

    @rule(number=st.sampled_from(WORKERS), count=st.integers(1, 6))
    def apply(self, number: int, count: int) -> None:
        """A worker applies what it reads in the partitions that it believes to be its own."""
        worker = self._workers[number]
        rows, steps = self._batch(worker, count)
        if not steps:
            return
        is_owner = all(self._owner.get(place) == number for place in steps)
        try:
            worker.sink.apply(rows, steps)
        except FencedError:
            assert not is_owner
            self._restart(number)
        except UnavailableError:
            # Its session was ended by the successor in one of its partitions.
            self._restart(number)
        else:
            assert is_owner, "a worker wrote to a partition that another one had claimed"
            for place, step in steps.items():
                worker.claims[place] = Claim(step.following, step.epoch)

    @rule(number=st.sampled_from(WORKERS), count=st.integers(1, 6), written=st.integers(0, len(TABLES)))
    def crash_in_a_transaction(self, number: int, count: int, written: int) -> None:
        """A worker dies after some of its writes, before the commit."""
        rows, steps = self._batch(self._workers[number], count)
        if steps and all(self._owner.get(place) == number for place in steps):
            with psycopg.connect(self._dsn) as connection:
                offset_store.advance(connection, GROUP, steps)
                for part in rows[:written]:
                    write(connection, part.table, part.frame)
                connection.rollback()
        self._restart(number)

    @rule(number=st.sampled_from(WORKERS), count=st.integers(1, 6))
    def lose_the_answer(self, number: int, count: int) -> None:
        """A worker dies after its commit, before it knows of it."""
        worker = self._workers[number]
        rows, steps = self._batch(worker, count)
        if steps:
            with suppress(FencedError, UnavailableError):
                worker.sink.apply(rows, steps)
        self._restart(number)

    def _restart(self, number: int) -> None:
        self._workers[number].sink.close()
        self._workers[number] = Worker(PostgresSink(self._dsn, GROUP))
        self._owner = {place: owner for place, owner in self._owner.items() if owner != number}

    def _batch(self, worker: Worker, count: int) -> tuple[list[Rows], dict[Place, Step]]:
        events: list[Event] = []
        steps: dict[Place, Step] = {}
        for place, claim in worker.claims.items():
            found = self._log[place][claim.next_offset : claim.next_offset + count]
            if found:
                events += found
                steps[place] = Step(claim.next_offset, claim.next_offset + len(found), claim.epoch)
        frame = pl.DataFrame([(*event, row) for row, event in enumerate(events)], schema=SCHEMA, orient="row")
        return [Rows(table, "events", frame) for table in TABLES], steps

    @invariant()
    def the_tables_are_the_log_up_to_the_stored_offsets(self) -> None:
        """Each mode against its model."""
        stored = offset_store.read(self._check, GROUP, PLACES)
        applied = [event for place in PLACES for event in self._log[place][: stored.get(place, 0)]]
        newest: dict[str, Event] = {}
        for event in sorted(applied, key=lambda event: event[2]):
            newest[event[1]] = event
        assert self._rows("m_append") == sorted(applied)
        assert self._rows("m_ledger") == sorted(set(applied))
        assert self._rows("m_latest") == self._rows("m_window") == sorted(newest.values())

    def _rows(self, table: str) -> list[Event]:
        return sorted(self._check.execute(f"SELECT event_id, key, at, amount FROM {table}".encode()).fetchall())


def test_any_interleaving_leaves_what_the_model_says(postgres_database: str) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        for table in TABLES:
            key = f", PRIMARY KEY ({', '.join(table.key)})" if table.key else ""
            connection.execute(
                f"CREATE TABLE {table.name} (event_id text, key text, at bigint, amount bigint{key})".encode()
            )
    Machine.dsn = postgres_database
    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=25, stateful_step_count=25, suppress_health_check=list(HealthCheck)),
    )
