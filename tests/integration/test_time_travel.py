"""The past from the log, from the archive and Kafka together, and at the command line."""

import json
import signal
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from projections import time_travel
from projections.archive import Archive
from projections.archive_check import problems
from projections.archive_store import ArchiveStore
from projections.error import UnavailableError
from projections.log_reader import LogReader, LogReadError
from projections.state import AtOffsets, AtTime, Moment, StateError
from projections.tables import AUDIT_LOGS, PRICE_DATA, WORKLOADS
from projections.time_travel import Past
from schemas.events import WorkloadState, WorkloadTransition
from tests.agents_world import World
from tests.archive_world import ArchiveWorld
from tests.hcp_command import hcp, running_hcp
from tests.projection_world import TIMEOUT_S, ProjectionWorld
from tests.streams_event import an_id, at, transition

pytestmark = pytest.mark.integration

TRANSITIONS = "workloads.transitions"
COLUMNS = ", ".join(WORKLOADS.columns)
SERVED = f"SELECT {COLUMNS} FROM workloads ORDER BY workload_id"


def step(number: int, version: int, state: WorkloadState = WorkloadState.RUNNING) -> WorkloadTransition:
    return transition(version, state, f"wl-{number}", occurred_at=at(100 * version + number))


def send(world: ProjectionWorld, version: int, count: int = 20) -> None:
    """One transition of each workload, to that version."""
    for number in range(count):
        world.send_event(TRANSITIONS, step(number, version))
    world.flush()


def past(world: ProjectionWorld, moment: Moment, archive: Archive | None = None) -> Past:
    names = {name: entry.name for name, entry in world.topics.items()}
    with closing(LogReader({"bootstrap.servers": world.stack.kafka}, world.codec.registry, archive)) as reader:
        return time_travel.past(reader, WORKLOADS, moment, lambda *_: None, names)


def rows(found: Past) -> list[Any]:
    return [] if found.rows is None else found.rows.rows()


def delete_before(world: ProjectionWorld, offset: int) -> None:
    """Kafka forgets, as it does when the retention is over."""
    admin = AdminClient({"bootstrap.servers": world.stack.kafka})
    for future in admin.delete_records([TopicPartition(world.topics[TRANSITIONS].name, 0, offset)]).values():
        future.result(TIMEOUT_S)


def test_the_past_is_what_the_table_was(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    world.start()
    send(world, version=1)
    world.send(TRANSITIONS, b"\x00bad")
    send(world, version=2)
    then = world.await_rows(SERVED, lambda rows: [row[3] for row in rows] == [2] * 20)
    send(world, version=3)
    now = world.await_rows(SERVED, lambda rows: [row[3] for row in rows] == [3] * 20)
    assert rows(past(world, AtTime(at(299)))) == then
    assert rows(past(world, AtOffsets({(TRANSITIONS, 0): 41}))) == then
    assert rows(past(world, AtTime(at(1000)))) == now
    assert rows(past(world, AtTime(at(99)))) == []
    assert past(world, AtTime(at(1000))).losses == ()
    with pytest.raises(StateError, match=r"at the end: workloads\.transitions:0:61"):
        past(world, AtOffsets({("audit.events", 0): 1}))
    with pytest.raises(StateError, match="ends at offset 61, 62 is beyond it"):
        past(world, AtOffsets({(TRANSITIONS, 0): 62}))


def test_what_kafka_has_forgotten_comes_from_the_archive(archive_world: ArchiveWorld) -> None:
    world = archive_world.world
    send(world, version=1)
    send(world, version=2)
    everything = past(world, AtTime(at(1000)))
    archive_world.start()
    archive_world.await_following(TRANSITIONS, 40)
    assert archive_world.end(signal.SIGTERM) == 0
    send(world, version=3, count=10)
    archive = archive_world.archive
    place = (world.topics[TRANSITIONS].name, 0)
    assert problems(archive, place)[1] == []
    now = rows(past(world, AtTime(at(1000))))
    delete_before(world, 35)
    for moment, expected in ((AtTime(at(299)), rows(everything)), (AtTime(at(1000)), now)):
        found = past(world, moment, archive)
        assert (rows(found), found.losses) == (expected, ())
    assert past(world, AtTime(at(1000))).losses == ("workloads.transitions [0]: the records before offset 35 are gone",)
    delete_before(world, 45)
    assert past(world, AtTime(at(1000)), archive).losses == (
        "workloads.transitions [0]: the records from offset 40 to 44 are gone",
    )
    # A worker that goes on now remembers the hole.
    archive_world.start()
    archive_world.await_following(TRANSITIONS, 50)
    assert archive.ledger(place).gaps == {40: 45}


@pytest.mark.parametrize(
    ("following", "topic_id"), [pytest.param(7, "", id="beyond the end"), pytest.param(0, "other", id="another id")]
)
def test_an_archive_of_another_cluster_is_refused(archive_world: ArchiveWorld, following: int, topic_id: str) -> None:
    world = archive_world.world
    archive = archive_world.archive
    place = (world.topics[TRANSITIONS].name, 0)
    ledger = archive.append(place, archive.ledger(place), archive.ledger(place).claim("w", following, topic_id))
    assert ledger is not None
    with pytest.raises(LogReadError, match="they are not of the same topic"):
        past(world, AtTime(at(0)), archive)


def test_a_state_is_kept_in_a_schema_of_its_own(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    send(world, version=1, count=3)
    found = past(world, AtTime(at(1000)))
    kept = f"SELECT {COLUMNS} FROM state_then.workloads ORDER BY workload_id"
    for _ in range(2):
        time_travel.keep(world.dsn, WORKLOADS, found.rows, "state_then")
        assert world.query(kept) == rows(found)
    time_travel.keep(world.dsn, AUDIT_LOGS, None, "state_then")
    assert world.query("SELECT count(*) FROM state_then.audit_logs") == [(0,)]
    assert world.query(kept) == rows(found)
    # The table in use is as it was: empty, as no worker runs.
    assert world.query("SELECT count(*) FROM public.workloads") == [(0,)]
    for schema in ("public", "state_", "state_X", "state_a; DROP"):
        with pytest.raises(StateError, match="must be named state_"):
            time_travel.keep(world.dsn, WORKLOADS, None, schema)
    with pytest.raises(UnavailableError, match=r"state_then\.workloads can't be written"):
        time_travel.keep("postgresql://nobody@127.0.0.1:1/none", WORKLOADS, None, "state_then")


def test_a_state_is_kept_in_timescale_too(timescale_world: ProjectionWorld) -> None:
    world = timescale_world
    row = (at(1), "BTC-USD", "TICK", 100_000.0, at(1), an_id("travel", "tick"))
    schema = dict.fromkeys(("observed_at", "valid_from"), pl.Datetime("ms", "UTC"))
    ticks = pl.DataFrame([row], schema=list(PRICE_DATA.columns), schema_overrides=schema, orient="row")
    try:
        time_travel.keep(world.dsn, PRICE_DATA, ticks, "state_travel")
        assert world.query("SELECT * FROM state_travel.price_data") == [row]
    finally:
        with psycopg.connect(world.dsn, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS state_travel CASCADE")


@pytest.fixture
def archived(world: World, tmp_path: Path) -> World:
    """A log whose first six transitions `hcp worker archive` has archived, and six more that it has not."""
    world.environment.update(HCP_ARCHIVE_URL=str(tmp_path / "archive"), HCP_ARCHIVE_AGE_S="0.1")
    world.send(*(step(number, version) for version in (1, 2) for number in range(3)))
    with running_hcp(world, "worker", "archive", "--topics", TRANSITIONS) as command:
        archive = Archive(ArchiveStore(str(tmp_path / "archive")))
        world.wait(lambda: archive.ledger((TRANSITIONS, 0)).following, lambda offset: offset == 6)
        assert command.ended_by(signal.SIGTERM) == 0
    world.send(*(step(number, 3) for number in range(3)))
    return world


def test_the_commands_show_the_archive_and_the_past(archived: World) -> None:
    (line,) = map(json.loads, hcp(archived, "archive", "list", "--json").stdout.splitlines())
    assert (line["topic"], line["rows"], line["offsets"]) == (TRANSITIONS, 6, {"0": [0, 6]})
    files = hcp(archived, "archive", "list", "--files").stdout.splitlines()
    assert files
    assert all(Path(file).is_file() for file in files)
    verified = hcp(archived, "archive", "verify")
    assert (verified.returncode, "6 rows of 1 partitions, 0 problems" in verified.stderr) == (0, True)

    def versions(*arguments: str) -> list[int]:
        done = hcp(archived, "state", "workloads", *arguments, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["version"] for line in done.stdout.splitlines()]

    then: datetime = at(299)
    assert versions("--at", then.isoformat()) == [2, 2, 2]
    assert versions("--offset", f"{TRANSITIONS}:0:7") == [3, 2, 2]
    wrong = hcp(archived, "state", "workloads", "--offset", f"{TRANSITIONS}:0:99")
    assert (wrong.returncode, "ends at offset 9, 99 is beyond it" in wrong.stderr) == (1, True)
    Path(files[0]).unlink()
    broken = hcp(archived, "archive", "verify")
    assert (broken.returncode, "is missing" in broken.stdout) == (1, True)
