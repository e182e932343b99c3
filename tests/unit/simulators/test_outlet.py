"""What leaves the simulators: where it goes, and that what can't leave ends the run with its topic and reason."""

import gc
import threading
from collections.abc import Iterator, Mapping
from typing import cast

import polars as pl
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition

from schemas.catalog import Topic
from schemas.registry import Registry
from simulators.encoding import encoder
from simulators.error import DeliveryError
from simulators.outlet import Outlet
from simulators.simulation import ASIC_TOPIC, Slice
from tests.simulators_world import a_simulation

SCHEMA_ID = 7


class Registered:
    """A registry that knows every schema."""

    def schema_id(self, _topic: Topic) -> int:
        """The same for all."""
        return SCHEMA_ID


class MockBroker:
    """A broker of librdkafka itself, in this process."""

    def __init__(self) -> None:
        self._owner = Producer({"test.mock.num.brokers": 1, "partitioner": "murmur2_random", "log_level": 3})
        (broker,) = self._owner.list_topics(timeout=10).brokers.values()
        self.kafka = {"bootstrap.servers": f"{broker.host}:{broker.port}"}

    def partitions_of(self, keys: list[str]) -> dict[str, int]:
        """Where a producer puts these keys on a topic with as many partitions."""
        found: dict[str, int] = {}

        def note(_error: object, message: Message) -> None:
            found[cast("bytes", message.key()).decode()] = cast("int", message.partition())

        for key in keys:
            self._owner.produce("others", b"", key, on_delivery=note)
        self._owner.flush(10)
        return found

    def messages(self, topic: str, count: int) -> list[Message]:
        """The first of a topic, in order of each partition."""
        consumer = Consumer({**self.kafka, "group.id": "test", "log_level": 3})
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        found = consumer.consume(count, timeout=10)
        consumer.close()
        return found


@pytest.fixture
def broker() -> Iterator[MockBroker]:
    yield MockBroker()
    # The outlet's producer is in a cycle with its callbacks, and would look for the broker for ever.
    gc.collect()


def an_outlet(kafka: Mapping[str, object], devices: pl.DataFrame) -> Outlet:
    outlet = Outlet(kafka, cast("Registry", Registered()))
    outlet.learn_schemas()
    outlet.introduce(ASIC_TOPIC, devices)
    return outlet


def test_readings_go_where_the_partitioner_puts_their_keys_and_in_their_order(broker: MockBroker) -> None:
    simulation = a_simulation()
    outlet = an_outlet(broker.kafka, simulation.asics.fleet.identity)
    readings = pl.concat([simulation.advance().readings[0][1] for _ in range(10)])
    outlet.send(Slice(0, 30_000, ((ASIC_TOPIC, readings),), ()), threading.Event())
    outlet.flush(10)
    keys = readings["device_id"].to_list()
    values = encoder(ASIC_TOPIC, SCHEMA_ID)(readings)
    place = broker.partitions_of(keys)
    expected: dict[int, list[tuple[bytes, bytes]]] = {}
    for key, value in zip(keys, values, strict=True):
        expected.setdefault(place[key], []).append((key.encode(), value))
    found: dict[int, list[tuple[bytes, bytes]]] = {}
    for message in broker.messages(ASIC_TOPIC.name, len(readings)):
        found.setdefault(cast("int", message.partition()), []).append(
            (cast("bytes", message.key()), cast("bytes", message.value()))
        )
    assert found == expected
    assert len(found) > 1
    assert outlet.sent == len(readings)


def test_an_event_that_the_producer_refuses_ends_the_run_and_is_not_counted(broker: MockBroker) -> None:
    simulation = a_simulation()
    too_large = pl.Series("device_id", ["x" * 2_000]).new_from_index(0, simulation.asics.fleet.size)
    kafka = {**broker.kafka, "message.max.bytes": 1_000}
    outlet = an_outlet(kafka, simulation.asics.fleet.identity.with_columns(too_large))
    readings = simulation.advance().readings[0][1][:1]
    with pytest.raises(DeliveryError, match=r"^telemetry.asic: the producer refuses events: .*MSG_SIZE_TOO_LARGE"):
        outlet.send(Slice(0, 3000, ((ASIC_TOPIC, readings),), ()), threading.Event())
    assert outlet.sent == 0
    outlet.discard()
