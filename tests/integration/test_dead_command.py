"""`hcp dead` and the dead-letter limit, as a user has them: real workers, a real log, real databases."""

import json
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from hcp.dead_letter_log import DeadLetterLog, State
from projections import migration
from projections.table import Database
from schemas.catalog import topic
from schemas.dead_letter import DeadLetter
from streams.agents import recovery
from tests.agents_world import World
from tests.hcp_command import hcp, running_hcp
from tests.rollup_world import reading
from tests.running_stack import RunningStack
from tests.streams_event import an_id, audit, facility, transition

pytestmark = pytest.mark.integration

DEADLINE_S = 180.0
STRICT = "ALTER TABLE workloads ADD CONSTRAINT strict CHECK (gpus < 100)"


def query(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True, connect_timeout=60) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def work_until(world: World, worker: str, dsn: str, statement: str, expected: list[tuple[Any, ...]]) -> None:
    """Runs a worker until a query has that answer, then stops it."""
    with running_hcp(world, "worker", worker) as command:
        deadline = time.monotonic() + DEADLINE_S
        while (seen := query(dsn, statement)) != expected:
            assert command.process.poll() is None, command.talk
            assert time.monotonic() < deadline, f"{seen}, not {expected}"
            time.sleep(0.1)
        assert command.ended_by(signal.SIGTERM) == 0


@pytest.fixture
def postgres(world: World, postgres_database: str) -> str:
    """DSN of the Postgres that the commands of the world use."""
    world.environment["HCP_POSTGRES_DSN"] = postgres_database
    return postgres_database


@pytest.fixture
def metrics(world: World, stack: RunningStack) -> Iterator[str]:
    """DSN of the TimescaleDB that the commands of the world use; knows nothing of their worker."""
    dsn = world.environment["HCP_METRICS_DSN"] = stack.metrics_dsn
    forget = (
        "WITH a AS (DELETE FROM projection_offsets WHERE worker = 'project-timescale')"
        " DELETE FROM replayed_dead_letters WHERE worker = 'project-timescale'"
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        migration.migrate(connection, migration.migrations(Database.TIMESCALE))
    query(dsn, forget)
    yield dsn
    query(dsn, forget)


def test_letters_are_listed_shown_replayed_and_dropped(world: World, postgres: str) -> None:
    query(postgres, STRICT)
    good = transition(1, workload_id="wl-good")
    large = transition(1, workload_id="wl-large", gpus=200)
    hidden = transition(1, workload_id="wl-nul", reason="\0")
    world.send(good, large, hidden)
    world.send_raw("workloads.transitions", b"junk", [("trace", b"7")])
    passed = "SELECT next_offset FROM projection_offsets WHERE topic = 'workloads.transitions'"
    work_until(world, "project-postgres", postgres, passed, [(4,)])

    # What can't be decoded or breaks a rule is set aside before the store is asked.
    shown = hcp(world, "dead", "list", "dead.workloads.transitions", "--since", "1h", "-n", "2")
    assert [row.split("│")[2].strip() for row in shown.stdout.splitlines() if "project-postgres" in row] == [
        "0:1",
        "0:2",
    ]
    assert shown.stderr.splitlines() == [
        "1 open: workloads.transitions project-postgres TASK_PUT CharacterNotInRepertoire",
        "1 open: workloads.transitions project-postgres TASK_PUT CheckViolation",
        "1 open: workloads.transitions project-postgres VALUE_CONVERTER UndecodableError",
        "3 letters, the 2 newest of them shown (-n shows more)",
    ]
    whole = hcp(world, "dead", "show", "workloads.transitions", "0:3").stdout
    for part in ("  trace: 7", "  __connect.errors.offset: 3", "  hcp.retry.count: 0", "00000000  6a 75 6e 6b"):
        assert part in whole

    # Nothing is mended yet: a trial says so and changes nothing, a replay counts a try.
    large_only = ("dead", "replay", "workloads.transitions", "--error", "CheckViolation")
    trial = hcp(world, *large_only, "--dry-run")
    assert (trial.returncode, trial.stderr.splitlines()[-1]) == (1, "a dry run: nothing was changed")
    refused = hcp(world, *large_only, "--yes")
    assert refused.returncode == 1
    assert 'violates check constraint "strict"' in refused.stderr

    query(postgres, "ALTER TABLE workloads DROP CONSTRAINT strict")
    asked = hcp(world, *large_only)
    assert (asked.returncode, asked.stderr.splitlines()[-1]) == (
        2,
        "error: nobody to ask whether to replay 1 letters: add --yes",
    )
    replayed = hcp(world, *large_only, "--yes")
    assert (replayed.returncode, replayed.stderr) == (0, "1 letters replayed\n")
    assert query(postgres, "SELECT workload_id, gpus FROM workloads ORDER BY 1") == [("wl-good", 8), ("wl-large", 200)]

    assert hcp(world, "dead", "drop", "--reason", "0X00", "--yes").stderr == "1 letters dropped\n"
    done = hcp(world, "dead", "list", "--all", "--json")
    fields = ("partition", "offset", "worker", "error", "tries", "state")
    assert [tuple(map(json.loads(line).get, fields)) for line in done.stdout.splitlines()] == [
        (0, 3, "project-postgres", "UndecodableError", 0, "open"),
        (0, 2, "project-postgres", "CharacterNotInRepertoire", 0, "dropped"),
        (0, 1, "project-postgres", "CheckViolation", 1, "replayed"),
    ]


def test_letters_of_workers_without_a_store_are_refused_with_what_to_do(world: World) -> None:
    value = world.codec.encode(topic("telemetry.asic"), reading(0, "late"))
    late = DeadLetter(
        topic="telemetry.asic", partition=2, offset=9, key=b"late", value=value, original_headers=[], worker="rollup",
        stage="TRANSFORMATION", error="LateEvent", reason="past the grace",
    )  # fmt: skip
    world.send_raw("dead.telemetry.asic", value, late.headers)
    archived = replace(late, worker="archive")
    world.send_raw("dead.telemetry.asic", value, archived.headers)
    world.send_raw("dead.telemetry.asic", b"no letter", [])
    done = hcp(world, "dead", "replay", "telemetry.asic", "--yes")
    assert done.returncode == 1
    strays, archive, why, nothing = done.stderr.splitlines()
    assert archive.startswith("error: 1 letters of archive are not replayed: only Postgres and TimescaleDB")
    assert strays == "1 records are no letters: `hcp tail dead.TOPIC` shows them"
    assert "1 letters of rollup are not replayed" in why
    command = "`hcp dead show telemetry.asic 2:9 --event | hcp produce telemetry.asic`"
    assert command in why
    assert nothing == "no open letters to replay"
    event = hcp(world, "dead", "show", "telemetry.asic", "2:9", "--event").stdout
    assert hcp(world, "produce", "telemetry.asic", stdin=event).returncode == 0
    assert world.values("telemetry.asic") == [value]


def test_too_many_bad_events_stop_the_worker_which_goes_on_once_the_cause_is_mended(world: World, metrics: str) -> None:
    place = an_id(world.group_id, time.time_ns())
    world.send(facility())
    world.send(*(reading(n / 10, place, facility_id=place) for n in range(1_500)))
    (partition,) = {message.partition() for message in recovery.messages(world.kafka, topic("telemetry.asic"))}
    done = hcp(world, "worker", "project-timescale")
    assert done.returncode == 1
    *_, said = done.stderr.splitlines()
    assert said.startswith("error: ")
    assert "more than HCP_DEAD_LETTER_LIMIT=0.5 allows; the newest: facility_id: " in said

    # What it stopped at is neither set aside nor passed.
    passed = f"SELECT next_offset FROM projection_offsets WHERE topic = 'telemetry.asic' AND partition = {partition}"
    ((next_offset,),) = query(metrics, passed)
    letters = DeadLetterLog(world.kafka).read(["dead.telemetry.asic"]).entries
    assert [letter_id.offset for letter_id in letters] == list(range(next_offset))
    assert next_offset <= 500

    world.send(facility(place))
    work_until(world, "project-timescale", metrics, passed, [(1_500,)])
    assert hcp(world, "dead", "replay", "--yes").returncode == 0
    count = f"SELECT count(*), count(DISTINCT observed_at) FROM metrics WHERE device_id = '{place}'"
    assert query(metrics, count) == [(1_500, 1_500)]


def test_a_replay_that_is_killed_over_and_over_writes_each_letter_once(world: World, postgres: str) -> None:
    query(postgres, "CREATE TABLE written (event_id text)")
    query(
        postgres,
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO written VALUES (NEW.event_id); RETURN NEW; END'",
    )
    query(postgres, "CREATE TRIGGER note BEFORE INSERT ON audit_logs FOR EACH ROW EXECUTE FUNCTION note()")
    query(postgres, "INSERT INTO projection_offsets VALUES ('project-postgres', 'audit.events', 0, 2000)")
    source = topic("audit.events")
    for n in range(600):
        value = world.codec.encode(source, audit(n))
        dead = DeadLetter(
            topic=source.name, partition=0, offset=n, key=b"acme", value=value, original_headers=[],
            worker="project-postgres", stage="TASK_PUT", error="CheckViolation", reason="as it was",
        )  # fmt: skip
        world._producer.produce(dead.target, value, b"acme", headers=dead.headers)
    assert world._producer.flush(DEADLINE_S) == 0
    written = "SELECT count(*), count(DISTINCT event_id) FROM written"
    deadline = time.monotonic() + DEADLINE_S
    with psycopg.connect(postgres, autocommit=True) as connection:
        for rows in (1, 401):
            # Batches are of 200: killed as soon as the first and the third are committed.
            with running_hcp(world, "dead", "replay", "--yes") as command:
                while connection.execute(written.encode()).fetchall()[0][0] < rows and command.process.poll() is None:
                    assert time.monotonic() < deadline
                    time.sleep(0.002)
                command.ended_by(signal.SIGKILL)
    assert hcp(world, "dead", "replay", "--yes").returncode == 0
    assert query(postgres, written) == [(600, 600)]
    entries = DeadLetterLog(world.kafka).read(["dead.audit.events"]).entries.values()
    assert {entry.state for entry in entries} == {State.REPLAYED}
