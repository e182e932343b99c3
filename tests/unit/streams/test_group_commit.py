"""Appends that wait for an open transaction go into the next one together."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.catalog import topic
from schemas.codec import Codec
from streams.agents import event_log
from streams.agents.error import LogUnavailableError
from streams.agents.event_log import EventLog
from streams.agents.held_offset import Place

AUDIT = topic("audit.events")
PLACE = Place("workloads.requests", 0)


@dataclass
class Event:
    """An event of which nothing but its name counts."""

    name: str

    def __getattr__(self, field_name: str) -> str:
        return self.name


class NameCodec:
    """Encodes an event as its name."""

    def encode(self, _topic: object, event: Event) -> bytes:
        return event.name.encode()


@dataclass
class Producer:
    """Keeps what was committed: the values and offsets of each transaction. Each waits for `gate`."""

    fails_at: int | None = None
    transactions: list[tuple[list[str], dict[str, dict[TopicPartition, int]]]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    opened: int = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        self._values: list[str] = []
        self._offsets: dict[str, dict[TopicPartition, int]] = {}
        self.opened += 1
        self.is_open.set()
        await self.gate.wait()
        if self.fails_at == self.opened:
            raise KafkaError("no")
        yield
        self.transactions.append((self._values, self._offsets))

    async def send(self, _topic: str, *, value: bytes, key: bytes) -> None:
        self._values.append(value.decode())

    async def send_offsets_to_transaction(self, positions: dict[TopicPartition, int], group_id: str) -> None:
        self._offsets[group_id] = positions


def log_with(producer: Producer) -> EventLog:
    log = EventLog(cast("Codec", NameCodec()), "agents", "agents-1", {})
    log._producer = cast("AIOKafkaProducer", producer)
    return log


def begun(log: EventLog, name: str, offset: int | None = None, group_id: str | None = None) -> asyncio.Future[None]:
    offsets = None if offset is None else {PLACE: offset}
    return asyncio.ensure_future(log.begin([(AUDIT, Event(name))], offsets, group_id=group_id))


Scenario = Callable[[EventLog, Producer], Coroutine[Any, Any, None]]


def run(scenario: Scenario, producer: Producer | None = None) -> list[tuple[list[str], dict[str, dict[Any, int]]]]:
    async def world() -> None:
        await scenario(log_with(made), made)

    made = producer or Producer()
    asyncio.run(world())
    return made.transactions


def at(offset: int) -> dict[TopicPartition, int]:
    return {TopicPartition(PLACE.topic, PLACE.partition): offset}


def test_what_waits_is_one_transaction_in_the_order_in_which_it_was_begun() -> None:
    async def scenario(log: EventLog, producer: Producer) -> None:
        first = begun(log, "a", 1)
        await producer.is_open.wait()
        others = [begun(log, name, offset) for name, offset in (("b", 2), ("c", None), ("d", 3))]
        producer.gate.set()
        await asyncio.gather(first, *others)

    assert run(scenario) == [(["a"], {"agents": at(1)}), (["b", "c", "d"], {"agents": at(3)})]


def test_the_place_is_that_of_begin_though_another_is_awaited_first() -> None:
    async def scenario(log: EventLog, producer: Producer) -> None:
        producer.gate.set()
        earlier = log.begin([(AUDIT, Event("a"))])
        await log.append([(AUDIT, Event("b"))])
        await earlier

    assert run(scenario) == [(["a", "b"], {})]


def test_offsets_of_another_group_are_another_transaction() -> None:
    async def scenario(log: EventLog, producer: Producer) -> None:
        producer.gate.set()
        waiting = [log.begin([], {PLACE: n}, group_id=group) for n, group in ((1, None), (2, "markets"), (3, None))]
        await asyncio.gather(*waiting)

    assert run(scenario) == [([], {"agents": at(1)}), ([], {"markets": at(2)}), ([], {"agents": at(3)})]


def test_a_transaction_has_no_end_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "_MOST_EVENTS", 3)

    async def scenario(log: EventLog, producer: Producer) -> None:
        producer.gate.set()
        five = [(AUDIT, Event(name)) for name in "abcde"]
        await asyncio.gather(log.begin(five[:2]), log.begin(five[2:3]), log.begin(five[3:4]), log.begin(five))

    assert [values for values, _ in run(scenario)] == [["a", "b", "c"], ["d"], [*"abcde"]]


def test_after_a_failure_nothing_later_is_in_the_log() -> None:
    async def scenario(log: EventLog, producer: Producer) -> None:
        first = begun(log, "a")
        await producer.is_open.wait()
        later = [begun(log, "b"), begun(log, "c")]
        producer.gate.set()
        found = await asyncio.gather(first, *later, return_exceptions=True)
        assert [type(error) for error in found] == [LogUnavailableError] * 3
        with pytest.raises(LogUnavailableError):
            await log.append([(AUDIT, Event("d"))])

    assert run(scenario, Producer(fails_at=1)) == []


def test_one_that_is_cancelled_takes_none_of_the_others_along() -> None:
    async def scenario(log: EventLog, producer: Producer) -> None:
        first = begun(log, "a")
        second = begun(log, "b")
        await producer.is_open.wait()
        first.cancel()
        producer.gate.set()
        await second
        assert first.cancelled()

    assert run(scenario) == [(["a", "b"], {})]
