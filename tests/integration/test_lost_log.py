"""A log that is not as a worker left it: its oldest records deleted by retention, or its newest lost."""

import signal

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from projections.rebuild.run import ShrinkError
from projections.tables import AUDIT_LOGS
from schemas import provision
from schemas.catalog import Topic
from tests.projection_world import TIMEOUT_S, ProjectionWorld
from tests.rebuild_world import rebuilt
from tests.rollup_world import RollupWorld, reading, settled
from tests.running_stack import RunningStack
from tests.streams_event import at, audit

pytestmark = pytest.mark.integration

SUBJECTS = "SELECT subject FROM audit_logs ORDER BY subject"


def subjects(*numbers: int) -> list[tuple[str]]:
    return [(f"workload/wl-{number}",) for number in numbers]


def sent(world: ProjectionWorld, *numbers: int) -> None:
    for number in numbers:
        world.send_event("audit.events", audit(number))
    world.flush()


def made_anew(stack: RunningStack, entry: Topic) -> None:
    """Deletes a topic and makes it again, empty."""
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    admin.delete_topics([entry.name])[entry.name].result(TIMEOUT_S)
    while entry.name in admin.list_topics(timeout=TIMEOUT_S).topics:
        pass
    provision.create_topics({"bootstrap.servers": stack.kafka}, topics=[entry])


def deleted_before(stack: RunningStack, entry: Topic, offset: int) -> None:
    """Does what retention does."""
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    (deleted,) = admin.delete_records([TopicPartition(entry.name, 0, offset)]).values()
    deleted.result(TIMEOUT_S)


def group_set(world: RollupWorld, offset: int, metadata: str) -> None:
    """Sets where the rollup's group goes on in the first partition."""
    admin = AdminClient({"bootstrap.servers": world.stack.kafka})
    place = TopicPartition(world.telemetry.name, 0, offset, metadata)
    (done,) = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(world.group_id, [place])]).values()
    done.result(TIMEOUT_S)


def test_what_retention_took_is_said_and_the_rest_goes_on(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    sent(world, 1, 2, 3)
    world.start()
    world.await_rows(SUBJECTS, lambda rows: len(rows) == 3)
    assert world.end(signal.SIGTERM) == 0
    sent(world, 4, 5, 6, 7)
    deleted_before(world.stack, world.topics["audit.events"], 5)
    world.start()
    rows = world.await_rows(SUBJECTS, lambda rows: subjects(7)[0] in rows)
    assert rows == subjects(1, 2, 3, 6, 7)
    assert "2 offsets from 3 on are gone from Kafka" in world.output.read_text()


def test_a_log_that_lost_its_end_stops_the_worker_until_its_tables_are_made_of_it(
    postgres_world: ProjectionWorld,
) -> None:
    world, entry = postgres_world, postgres_world.topics["audit.events"]
    sent(world, 1, 2, 3, 4, 5)
    world.start()
    world.await_rows(SUBJECTS, lambda rows: len(rows) == 5)
    assert world.end(signal.SIGTERM) == 0
    # As after an unclean election: the log is shorter, and nothing says that it is another one.
    made_anew(world.stack, entry)
    world.query("UPDATE projection_offsets SET topic_id = NULL RETURNING 1")
    sent(world, 6, 7)
    world.start()
    assert world.processes.pop().wait(TIMEOUT_S) == 1
    said = world.output.read_text()
    assert f"{entry.name} [0]: the log ends at offset 2, and {world.group_id} has handled it up to 5" in said
    assert "`hcp rebuild --all --allow-shrink`" in said
    assert world.query(SUBJECTS) == subjects(1, 2, 3, 4, 5)
    with pytest.raises(ShrinkError, match="would have 2 rows and has 5"):
        rebuilt(world, AUDIT_LOGS)
    assert rebuilt(world, AUDIT_LOGS, allow_shrink=True).rows == 2
    sent(world, 8)
    world.start()
    world.await_rows(SUBJECTS, lambda rows: rows == subjects(6, 7, 8))


def test_a_topic_made_anew_that_outgrew_what_was_handled_stops_the_worker_until_its_tables_are_made_of_it(
    postgres_world: ProjectionWorld,
) -> None:
    world, entry = postgres_world, postgres_world.topics["audit.events"]
    sent(world, 1, 2)
    world.start()
    world.await_rows(SUBJECTS, lambda rows: len(rows) == 2)
    assert world.end(signal.SIGTERM) == 0
    made_anew(world.stack, entry)
    sent(world, 3, 4, 5, 6)
    world.start()
    assert world.processes.pop().wait(TIMEOUT_S) == 1
    said = world.output.read_text()
    assert f"{entry.name} [0]: the topic was made anew since {world.group_id} has handled it" in said
    assert "`hcp rebuild --all --allow-shrink`" in said
    assert world.query(SUBJECTS) == subjects(1, 2)
    with pytest.raises(ShrinkError, match=f"holds rows of a former {entry.name}"):
        rebuilt(world, AUDIT_LOGS)
    assert rebuilt(world, AUDIT_LOGS, allow_shrink=True).rows == 2
    world.start()
    world.await_rows(SUBJECTS, lambda rows: rows == subjects(3, 4, 5, 6))


def test_the_rollup_stops_at_a_log_that_lost_its_end_and_goes_on_where_its_group_is_set(
    rollup_world: RollupWorld,
) -> None:
    world = rollup_world
    for second in (1, 2, 40):
        world.send_reading(reading(second), 0)
    world.flush()
    world.start()
    world.emitted(lambda windows: settled(windows, at(15), 2))
    assert world.end(signal.SIGTERM) == 0
    group_set(world, 99, "1 - 99")
    world.start()
    assert world.processes.pop().wait(TIMEOUT_S) == 1
    said = world.output.read_text()
    assert f"{world.telemetry.name} [0]: the log ends at offset 3, and rollup has handled it up to 99" in said
    assert f"`kafka-consumer-groups --group {world.group_id} --topic {world.telemetry.name}:0 --reset-offsets" in said
    # As that tool does it: without what the rollup has beside its offset.
    group_set(world, 3, "")
    world.start()
    world.send_reading(reading(100), 0)
    world.close_windows(200)
    found = world.emitted(lambda windows: settled(windows, at(105), 3))
    assert [(window.window_start, window.readings) for window in found] == [(at(0), 2), (at(90), 1)]
