"""Messages taken in blocks are those that the client's own objects tell of."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.message_block import MessageBlock, Record
from schemas.message_queue import MessageQueue
from tests.running_stack import RunningStack

pytestmark = pytest.mark.integration

TIMEOUT_S = 30.0
PARTITIONS = 2
COMMITTED = 3_000
MOST = 1_400
"""At a time: more than are given back to the client in one go, and not twice as many."""


@pytest.fixture(params=["lz4", "none"])
def name(stack: RunningStack, topic_name: Callable[[str], str], request: pytest.FixtureRequest) -> str:
    """A topic of two partitions, with all that a message can have or lack, committed and not."""
    name, kafka = topic_name("messages"), stack.kafka
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(name, PARTITIONS)])[name].result(TIMEOUT_S)
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": name, "compression.type": request.param})
    producer.init_transactions(TIMEOUT_S)
    for is_kept in (True, False, True):
        producer.begin_transaction()
        for number in range(COMMITTED // 2):
            # Of a value, of an empty one, and of none.
            headers: Any = [("trace", b"7"), ("none", None), ("trace", b"")] if number % 40 in {0, 3} else None
            producer.produce(
                name, None if number % 7 == 0 else b"v" * (number % 60), None if number % 5 == 0 else b"k%d" % number,
                number % PARTITIONS, headers=headers, timestamp=1_700_000_000_000 + number,
            )  # fmt: skip
        producer.flush(TIMEOUT_S)
        if is_kept:
            producer.commit_transaction(TIMEOUT_S)
        else:
            producer.abort_transaction(TIMEOUT_S)
    return name


@pytest.fixture
def consumer(stack: RunningStack, name: str) -> Iterator[Consumer]:
    """A consumer of no group, which does not go beyond the log's ends by itself."""
    made = Consumer(
        {
            "bootstrap.servers": stack.kafka,
            "group.id": name,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
        }
    )
    yield made
    made.close()


@pytest.fixture
def queue(consumer: Consumer) -> Iterator[MessageQueue]:
    """The consumer's queue; it has to be closed before that is."""
    made = MessageQueue(consumer)
    yield made
    made.close()
    made.close()


def starts(name: str, offset: int = 0) -> list[TopicPartition]:
    return [TopicPartition(name, partition, offset) for partition in range(PARTITIONS)]


def of_partition(records: list[Record], partition: int) -> list[Record]:
    return [record for record in records if record.partition == partition]


def taken(consumer: Consumer, queue: MessageQueue, count: int) -> list[Record]:
    blocks: list[MessageBlock] = []
    while sum(map(len, blocks)) < count:
        assert len(blocks) < TIMEOUT_S / 0.2, "the queue is silent"
        assert consumer.poll(0) is None
        blocks.append(queue.take(MOST, 0.2))
        assert len(blocks[-1]) <= MOST
    return list(MessageBlock.joined(blocks))


def test_blocks_have_what_the_objects_of_the_client_have(consumer: Consumer, queue: MessageQueue, name: str) -> None:
    consumer.assign(starts(name))
    objects: list[Record] = []
    while len(objects) < COMMITTED:
        objects += map(Record.of, consumer.consume(300, 0.2))
    consumer.unassign()

    # What a block needs more than any before is made while it is read.
    queue._room = np.empty(5, np.uint8), np.empty(70, np.uint8)
    queue.route([(name, partition) for partition in range(PARTITIONS)])
    consumer.assign(starts(name))
    found = taken(consumer, queue, COMMITTED)
    # Behind the last record is the marker of its transaction.
    positions = [place.offset for place in consumer.position(starts(name))]

    for partition in range(PARTITIONS):
        assert of_partition(found, partition) == of_partition(objects, partition)
        assert positions[partition] >= of_partition(found, partition)[-1].offset + 1
    assert {record.headers for record in found if record.headers} == {(("trace", b"7"), ("none", None), ("trace", b""))}


def test_a_partition_that_comes_back_goes_on_where_told(consumer: Consumer, queue: MessageQueue, name: str) -> None:
    for offset in range(0, 240, 12):
        queue.route([(name, 0)])
        consumer.incremental_assign([TopicPartition(name, 0, offset)])
        # What was fetched ahead for the assignment before is of no use any more.
        assert taken(consumer, queue, 10)[0].offset == offset
        consumer.incremental_unassign([TopicPartition(name, 0)])
        queue.release([(name, 0)])


def test_an_error_in_place_of_a_message_has_its_reason(consumer: Consumer, queue: MessageQueue, name: str) -> None:
    queue.route([(name, 0)])
    consumer.assign([TopicPartition(name, 0, 10**9)])
    with pytest.raises(KafkaException, match="out of range"):
        taken(consumer, queue, 1)


def test_nothing_is_no_message(queue: MessageQueue) -> None:
    assert len(queue.take(10, 0.0)) == 0
