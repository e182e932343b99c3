"""Rows that the store refuses, inside a large batch with poison of every other kind: each costs only itself.

And letters that the broker refuses: their messages wait.
"""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from hcp.dead_letter_log import DeadLetterLog
from schemas.catalog import DEAD_LETTER_MAX_BYTES
from tests.projection_world import TIMEOUT_S, ProjectionWorld
from tests.rollup_world import reading
from tests.streams_event import audit, transition

pytestmark = pytest.mark.integration

GOOD = 1_000
UNDECODABLE = ("VALUE_CONVERTER", "UndecodableError")
AGAINST_RULE = ("TRANSFORMATION", "RuleViolation")
NUL = ("TASK_PUT", "CharacterNotInRepertoire")
NUL_IN_JSON = ("TASK_PUT", "UntranslatableCharacter")
CHECK = ("TASK_PUT", "CheckViolation")
NULL = ("TASK_PUT", "NotNullViolation")
TOO_LONG = ("TASK_PUT", "ProgramLimitExceeded")

Cause = tuple[str, str]
"""Stage and error."""


def mixed(good: list[object], poison: list[tuple[Cause, object]]) -> list[tuple[Cause | None, object]]:
    """Good events with poison at places that are the same in every run, two of them side by side."""
    draw = random.Random(1)
    both: list[tuple[Cause | None, object]] = [(None, event) for event in good]
    for cause, event in poison[:-1]:
        both.insert(draw.randrange(len(both)), (cause, event))
    at = next(n for n, (cause, _) in enumerate(both) if cause is not None)
    both.insert(at, poison[-1])
    return both


def applied(world: ProjectionWorld, name: str, events: list[tuple[Cause | None, object]]) -> dict[int, Cause]:
    """Has the worker apply the events; returns the cause of each dead letter by offset."""
    topic = world.topics[name]
    for _, event in events:
        if event is None or isinstance(event, bytes):
            world.send(name, event)
        else:
            world.send_event(name, event)
    world.flush()
    world.start()
    world.await_rows(
        f"SELECT next_offset FROM projection_offsets WHERE topic = '{topic.name}' AND partition = 0",
        lambda rows: rows == [(len(events),)],
    )
    fold = DeadLetterLog({"bootstrap.servers": world.stack.kafka}).read([topic.dead_letter_topic])
    assert {entry.copies for entry in fold.entries.values()} == {1}
    assert all(entry.letter.timestamp_ms and not entry.letter.retries for entry in fold.entries.values())
    return {id_.offset: (entry.letter.stage, entry.letter.error) for id_, entry in fold.entries.items()}


def causes(events: list[tuple[Cause | None, object]]) -> dict[int, Cause]:
    return {offset: cause for offset, (cause, _) in enumerate(events) if cause is not None}


def test_in_a_latest_table(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    world.execute("ALTER TABLE workloads ALTER COLUMN facility_id SET NOT NULL")
    ok = transition(1, facility_id="Texas-1")
    good = [replace(ok, workload_id=f"wl-{n:04}") for n in range(GOOD)]
    poison = [
        (CHECK, replace(ok, workload_id="check", version=0)),
        (NULL, replace(ok, workload_id="null", facility_id=None)),
        (NUL, replace(ok, workload_id="nul", reason="a\0b")),
        (UNDECODABLE, b"junk"),
        (UNDECODABLE, None),
        (CHECK, replace(ok, workload_id="check too", version=-1)),
    ]
    events = mixed([*good], [*poison])
    assert applied(world, "workloads.transitions", events) == causes(events)
    assert world.query("SELECT workload_id FROM workloads ORDER BY 1") == [(event.workload_id,) for event in good]


def test_in_a_ledger(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    world.execute("ALTER TABLE audit_logs ADD CHECK (actor <> 'nobody')")
    good = [audit(n) for n in range(GOOD)]
    # Random, because the index holds what it can compress.
    too_long = "".join(random.Random(2).choices("0123456789abcdef", k=20_000))
    poison = [
        (CHECK, replace(audit(-1), actor="nobody")),
        (NUL, replace(audit(-2), subject="\0")),
        (NUL_IN_JSON, replace(audit(-3), details={"a": "\0"})),
        (TOO_LONG, replace(audit(-4), event_id=too_long)),
        # As large as a client sends it by default: with the headers of a letter it is larger.
        (UNDECODABLE, b"junk" * 249_975),
        (NUL, replace(audit(-5), reason="\0")),
    ]
    events = mixed([*good], [*poison])
    assert applied(world, "audit.events", events) == causes(events)
    found = world.query("SELECT event_id FROM audit_logs ORDER BY occurred_at")
    assert found == [(event.event_id,) for event in good]


@pytest.fixture
def strict_metrics(timescale_world: ProjectionWorld) -> Iterator[ProjectionWorld]:
    """Readings above 1,000 degrees are refused by the table."""
    timescale_world.execute("ALTER TABLE metrics ADD CONSTRAINT strict CHECK (temp_c < 1000)")
    yield timescale_world
    timescale_world.execute("ALTER TABLE metrics DROP CONSTRAINT strict")


def test_in_a_table_that_appends(strict_metrics: ProjectionWorld) -> None:
    world = strict_metrics
    name = world.group_id
    good = [reading(n / 10, f"{name}-{n:04}") for n in range(GOOD)]
    poison = [
        (CHECK, reading(0, f"{name}-hot", temp_c=2000.0)),
        (NUL, reading(0, f"{name}-nul\0")),
        (AGAINST_RULE, reading(0, f"{name}-negative", power_w=-1.0)),
        (AGAINST_RULE, reading(0, f"{name}-nowhere", facility_id="Atlantis")),
        (UNDECODABLE, b"junk"),
        (CHECK, reading(0, f"{name}-hotter", temp_c=3000.0)),
    ]
    events = mixed([*good], [*poison])
    assert applied(world, "telemetry.asic", events) == causes(events)
    rows = world.query(f"SELECT device_id FROM metrics WHERE device_id LIKE '{name}-%' ORDER BY 1")
    assert rows == [(event.device_id,) for event in good]


def limit_letters(world: ProjectionWorld, name: str, largest_bytes: int) -> None:
    """Sets the largest record that the broker takes on a dead-letter topic."""
    admin = AdminClient({"bootstrap.servers": world.stack.kafka})
    largest = ConfigEntry("max.message.bytes", str(largest_bytes), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, world.topics[name].dead_letter_topic, incremental_configs=[largest])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(TIMEOUT_S)


def test_a_letter_that_the_broker_does_not_take_holds_its_message_back(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    name = world.topics["audit.events"].name
    limit_letters(world, "audit.events", 100)
    world.send("audit.events", b"junk")
    world.flush()
    world.start()
    passed = f"SELECT next_offset FROM projection_offsets WHERE topic = '{name}'"
    # The line stands in the worker's output, which `await_rows` looks at between its queries.
    world.await_rows(passed, lambda _: "the broker does not take dead letters" in world.output.read_text())
    assert world.query(passed) == [(0,)]
    limit_letters(world, "audit.events", DEAD_LETTER_MAX_BYTES)
    world.await_rows(passed, lambda rows: rows == [(1,)])
    fold = DeadLetterLog({"bootstrap.servers": world.stack.kafka}).read([f"dead.{name}"])
    assert [id_.offset for id_ in fold.entries] == [0]
