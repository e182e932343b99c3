"""What a starting owner reads, while other owners write to the same topics."""

from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.catalog import topic
from schemas.log_position import LostLogError
from streams.agents import recovery
from streams.agents.held_offset import Place
from tests.agents_world import World
from tests.streams_event import price

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    # The stack's servers outlive the object that started them, on purpose.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def transactional(world: World, name: str) -> Producer:
    """A producer in an open transaction."""
    found = Producer({**world.kafka, "transactional.id": f"{world.group_id}-{name}"})
    found.init_transactions(120)
    found.begin_transaction()
    return found


def test_what_is_committed_behind_an_open_transaction_of_another_is_waited_for(world: World) -> None:
    decisions = topic("allocations.decisions")
    other, predecessor = transactional(world, "other"), transactional(world, "predecessor")
    other.produce(decisions.name, b"others", "key")
    assert other.flush(120) == 0
    predecessor.produce(decisions.name, b"predecessors", "key")
    predecessor.commit_transaction(120)
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(lambda: [m.value() for m in recovery.messages(world.kafka, decisions)])
        wait([found], timeout=2)  # a reader that did not wait would be done by then
        other.commit_transaction(120)
        assert found.result(120) == [b"others", b"predecessors"]


def test_an_owner_goes_on_at_the_oldest_record_and_refuses_a_log_that_lost_its_end(world: World) -> None:
    world.send(*map(price, range(5)))
    admin, group_id = AdminClient(world.kafka), world.group_id
    place = Place("grid.prices", 0)

    def group_is_set_to(offset: int) -> None:
        wanted = ConsumerGroupTopicPartitions(group_id, [TopicPartition(place.topic, place.partition, offset)])
        (done,) = admin.alter_consumer_group_offsets([wanted]).values()
        done.result(120)

    group_is_set_to(1)
    assert recovery.committed(world.kafka, group_id, [place]) == {place: 1}
    (deleted,) = admin.delete_records([TopicPartition(place.topic, place.partition, 3)]).values()
    deleted.result(120)
    assert recovery.committed(world.kafka, group_id, [place]) == {place: 3}
    group_is_set_to(6)
    with pytest.raises(LostLogError, match=f"ends at offset 5, and agents .* up to 6.* --group {group_id} "):
        recovery.committed(world.kafka, group_id, [place])
