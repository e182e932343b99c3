"""Dead letters replayed into real databases: exactly once, however often, and only where the worker has been."""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from confluent_kafka import Producer

from hcp.dead_letter_log import DeadLetterLog, Entry, State
from projections import offset_store
from projections.dead_letter_replay import DeadLetterReplay, Outcome, Verdict
from projections.error import ProjectionError
from schemas.catalog import topic
from schemas.dead_letter import DeadLetter, Resolution
from schemas.events import Facility
from tests.projection_world import TIMEOUT_S, ProjectionWorld
from tests.rollup_world import reading
from tests.streams_event import audit, facility, transition

pytestmark = pytest.mark.integration

PASSED = 1_000
"""Next offset of the worker: it has been at all places before."""
WORKLOADS = "SELECT workload_id, version FROM workloads ORDER BY 1"
LEDGER = "SELECT source_offset FROM replayed_dead_letters ORDER BY 1"


def letter(world: ProjectionWorld, name: str, event: object, offset: int = 0) -> DeadLetter:
    """The letter of an event as the worker of the world writes it."""
    entry = world.topics[name]
    value = event if isinstance(event, bytes) else world.codec.encode(entry, event)
    return DeadLetter(
        topic=entry.name, partition=0, offset=offset, key=b"key", value=value, original_headers=[],
        worker=world.group_id, stage="TASK_PUT", error="CheckViolation", reason="as it was", timestamp_ms=1,
    )  # fmt: skip


def pass_by(world: ProjectionWorld, name: str, next_offset: int = PASSED) -> None:
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        offset_store.claim(connection, world.group_id, {(world.topics[name].name, 0): next_offset})


def replay(world: ProjectionWorld, letters: Sequence[DeadLetter], *, is_trial: bool = False) -> list[Verdict]:
    with DeadLetterReplay(world.config, world.codec.registry) as replaying:
        return replaying.replay(letters, is_trial=is_trial)


def outcomes(verdicts: Sequence[Verdict]) -> list[Outcome]:
    return [verdict.outcome for verdict in verdicts]


def register(world: ProjectionWorld, event: Facility) -> None:
    entry = topic("registry.facilities")
    producer = Producer({"bootstrap.servers": world.stack.kafka})
    producer.produce(entry.name, world.codec.encode(entry, event), event.facility_id.encode())
    assert producer.flush(TIMEOUT_S) == 0


def test_a_reading_whose_facility_is_registered_since_is_appended_once(timescale_world: ProjectionWorld) -> None:
    world = timescale_world
    pass_by(world, "telemetry.asic")
    place = world.group_id
    letters = [
        letter(world, "telemetry.asic", reading(n, f"{place}-{n}", facility_id=place), offset=n) for n in range(3)
    ]
    rows = f"SELECT device_id FROM metrics WHERE device_id LIKE '{place}-%' ORDER BY 1"
    refused = replay(world, letters)
    assert outcomes(refused) == [Outcome.REFUSED] * 3
    assert "is not registered" in refused[0].letter.reason
    assert [verdict.letter.retries for verdict in refused] == [1, 1, 1]
    assert world.query(rows) == []
    register(world, facility(place))
    assert outcomes(replay(world, letters[1:2])) == [Outcome.REPLAYED]
    assert outcomes(replay(world, letters)) == [Outcome.REPLAYED, Outcome.ALREADY, Outcome.REPLAYED]
    assert outcomes(replay(world, letters)) == [Outcome.ALREADY] * 3
    assert world.query(rows) == [(f"{place}-{n}",) for n in range(3)]


def test_a_crash_between_the_rows_and_the_resolution_changes_nothing(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    pass_by(world, "audit.events")
    dead = letter(world, "audit.events", audit(1))
    log = DeadLetterLog({"bootstrap.servers": world.stack.kafka})
    log.write([], [(Entry(dead, State.OPEN, 0, 0), dead)])
    # Here the command is killed: the rows are committed, the log says nothing of it.
    assert outcomes(replay(world, [dead])) == [Outcome.REPLAYED]
    (held,) = log.read([dead.target]).entries.values()
    assert held.state is State.OPEN
    assert held.letter == dead
    assert outcomes(replay(world, [held.letter])) == [Outcome.ALREADY]
    log.write([(held, Resolution.REPLAYED)], [])
    (settled,) = log.read([dead.target]).entries.values()
    assert settled.state is State.REPLAYED
    assert world.query("SELECT count(*) FROM audit_logs") == [(1,)]


def test_two_replays_at_once_write_each_letter_once(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    # A table that appends and has no key is all that shows a letter written twice.
    world.execute("CREATE TABLE written (event_id text)")
    world.execute(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO written VALUES (NEW.event_id); RETURN NEW; END';"
        " CREATE TRIGGER note BEFORE INSERT ON audit_logs FOR EACH ROW EXECUTE FUNCTION note()"
    )
    # Long enough in the ledger to meet there.
    world.execute(
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END';"
        " CREATE TRIGGER linger BEFORE INSERT ON replayed_dead_letters FOR EACH ROW EXECUTE FUNCTION linger()"
    )
    pass_by(world, "audit.events")
    letters = [letter(world, "audit.events", audit(n), offset=n) for n in range(100)]
    both = threading.Barrier(2)

    def run(some: Sequence[DeadLetter]) -> list[Outcome]:
        with DeadLetterReplay(world.config, world.codec.registry) as replaying:
            both.wait()
            return outcomes(replaying.replay(some))

    with ThreadPoolExecutor(2) as pool:
        # In the two directions, which would be a deadlock if they were noted in the order that they come.
        counted = Counter(o for found in pool.map(run, [letters, letters[::-1]]) for o in found)
    assert counted == {Outcome.REPLAYED: 100, Outcome.ALREADY: 100}
    assert world.query("SELECT count(*), count(DISTINCT event_id) FROM written") == [(100, 100)]


def test_letters_that_fail_again_cost_only_themselves_and_are_not_noted(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    pass_by(world, "workloads.transitions")
    events = [transition(1, workload_id=f"wl-{n}") for n in range(7)]
    events[2] = replace(events[2], version=0)
    events[5] = replace(events[5], reason="\0")
    letters = [letter(world, "workloads.transitions", event, offset=n) for n, event in enumerate(events)]
    letters.append(letter(world, "workloads.transitions", b"junk!", offset=7))
    verdicts = replay(world, letters)
    assert [(v.letter.offset, v.letter.stage, v.letter.error) for v in verdicts if v.outcome is Outcome.REFUSED] == [
        (2, "TASK_PUT", "CheckViolation"),
        (5, "TASK_PUT", "CharacterNotInRepertoire"),
        (7, "VALUE_CONVERTER", "UndecodableError"),
    ]
    assert world.query(WORKLOADS) == [(f"wl-{n}", 1) for n in (0, 1, 3, 4, 6)]
    assert world.query(LEDGER) == [(n,) for n in (0, 1, 3, 4, 6)]
    world.execute("ALTER TABLE workloads DROP CONSTRAINT workloads_version_check")
    assert outcomes(replay(world, letters[1:3])) == [Outcome.ALREADY, Outcome.REPLAYED]
    assert ("wl-2", 0) in world.query(WORKLOADS)


def test_an_old_letter_does_not_set_a_latest_table_back(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    pass_by(world, "workloads.transitions")
    newer, older = (letter(world, "workloads.transitions", transition(version), offset=version) for version in (5, 4))
    assert outcomes(replay(world, [newer])) == outcomes(replay(world, [older])) == [Outcome.REPLAYED]
    assert world.query(WORKLOADS) == [("wl-1", 5)]


def test_a_letter_that_the_worker_has_still_to_read_is_left_to_it(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    letters = [letter(world, "audit.events", audit(n), offset=n) for n in (2, 3)]
    assert outcomes(replay(world, letters)) == [Outcome.NOT_PASSED, Outcome.NOT_PASSED]
    pass_by(world, "audit.events", next_offset=3)
    assert outcomes(replay(world, letters)) == [Outcome.REPLAYED, Outcome.NOT_PASSED]
    assert world.query("SELECT subject FROM audit_logs") == [("workload/wl-2",)]


def test_a_trial_says_what_would_come_of_it_and_leaves_nothing(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    pass_by(world, "workloads.transitions")
    events = [transition(version, workload_id=f"wl-{version}") for version in (0, 1)]
    letters = [letter(world, "workloads.transitions", event, offset=n) for n, event in enumerate(events)]
    assert outcomes(replay(world, letters, is_trial=True)) == [Outcome.REFUSED, Outcome.REPLAYED]
    assert world.query(WORKLOADS) == world.query(LEDGER) == []


def test_letters_of_others_are_refused_and_of_topics_without_a_table_said_so(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    dead = letter(world, "audit.events", audit(1))
    with pytest.raises(ProjectionError, match="is not a letter of"):
        replay(world, [replace(dead, worker="rollup")])
    assert outcomes(replay(world, [replace(dead, topic="network.stats")])) == [Outcome.NOT_TAKEN]
