"""A rollup of its own for each test, as a process (`python -m tests.rollup_world`), between topics of its own."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas import provision
from schemas.catalog import Topic, topic
from schemas.codec import Codec
from schemas.events import AsicTelemetry, FleetWindow, PowerMode, ResourceKind
from schemas.registry import Registry
from streams.rollup import worker
from streams.rollup.source import fleet_source
from tests.running_stack import RunningStack
from tests.streams_event import an_id, at, facility

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 120.0
"""How long a thing may take that takes a moment on an idle machine; only a failure waits so long."""


def reading(seconds: float, device_id: str = "d-0", **changes: Any) -> AsicTelemetry:
    """A reading of a miner of Texas-1, s after noon."""
    found = AsicTelemetry(
        device_id=device_id,
        facility_id="Texas-1",
        resource_group_id="tx1-asic",
        observed_at=at(seconds),
        power_mode=PowerMode.NORMAL,
        power_w=3000.0,
        hashrate_ths=100.0,
        temp_c=60.0,
        fan_rpm=5000,
    )
    return replace(found, **changes)


@dataclass(slots=True)
class RollupWorld:
    """Topics of one test, and the rollup between them."""

    stack: RunningStack
    codec: Codec
    telemetry: Topic
    windows: Topic
    group_id: str
    output: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _producer: Producer = field(init=False)

    def __post_init__(self) -> None:
        self._producer = Producer({"bootstrap.servers": self.stack.kafka, "linger.ms": 20})

    def start(self, instance: int = 0) -> None:
        """Starts a rollup process."""
        command = [sys.executable, "-m", "tests.rollup_world", self.stack.kafka, self.stack.registry_url]
        with self.output.open("ab") as out:
            arguments = [self.group_id, self.telemetry.name, self.windows.name, str(instance)]
            self.processes.append(subprocess.Popen([*command, *arguments], stdout=out, stderr=out, cwd=ROOT))

    def end(self, how: signal.Signals, index: int = -1) -> int:
        """Ends a rollup process and returns its exit status."""
        process = self.processes.pop(index)
        process.send_signal(how)
        return process.wait(TIMEOUT_S)

    def send(self, value: bytes | None, partition: int, key: str = "d-0", **more: Any) -> None:
        """Puts bytes on the input topic; `flush` makes sure."""
        self._producer.produce(self.telemetry.name, value, key.encode(), partition, **more)
        self._producer.poll(0)

    def send_reading(self, event: AsicTelemetry, partition: int) -> None:
        """Puts a reading on the input topic."""
        self.send(self.codec.encode(self.telemetry, event), partition, event.device_id)

    def flush(self) -> None:
        """Returns once the broker has everything."""
        assert self._producer.flush(TIMEOUT_S) == 0

    def close_windows(self, seconds: float) -> None:
        """Moves the stream time of every partition on, so that all windows before it close."""
        for partition in range(self.telemetry.partitions):
            self.send_reading(reading(seconds, f"end-{partition}", power_w=0.0), partition)
        self.flush()

    def emitted(self, until: Callable[[list[FleetWindow]], bool], deadline_s: float = TIMEOUT_S) -> list[FleetWindow]:
        """Reads committed windows from the start until the condition holds."""
        found: list[FleetWindow] = []
        for message in _committed(self.stack.kafka, self.windows.name, deadline_s):
            if message is not None:
                found.append(self.codec.decode(self.windows, message.value()))
            if until(found):
                return found
        pytest.fail(f"{len(found)} windows, but not those awaited; the rollup said:\n{self.output.read_text()}")

    def dead(self, count: int, deadline_s: float = TIMEOUT_S) -> list[Any]:
        """Reads that many dead letters."""
        found: list[Any] = []
        for message in _committed(self.stack.kafka, self.telemetry.dead_letter_topic, deadline_s):
            if message is not None:
                found.append(message)
            if len(found) >= count:
                return found
        pytest.fail(f"{len(found)} dead letters of {count}; the rollup said:\n{self.output.read_text()}")


def settled(windows: list[FleetWindow], until: datetime, readings: int) -> bool:
    """Returns whether the windows that end by `until` hold that many readings."""
    return sum(w.readings for w in windows if w.window_end <= until) >= readings


def _committed(kafka: str, name: str, deadline_s: float) -> Iterator[Any]:
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": an_id(name),
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    partitions = consumer.list_topics(name, TIMEOUT_S).topics[name].partitions
    consumer.assign([TopicPartition(name, p, 0) for p in partitions])
    try:
        for _ in range(int(deadline_s / 0.1)):
            message = consumer.poll(0.1)
            assert message is None or message.error() is None, message and message.error()
            yield message
            while message is not None:
                message = consumer.poll(0.0)
                if message is not None:
                    yield message
    finally:
        consumer.close()


@pytest.fixture
def rollup_world(stack: RunningStack, topic_name: Callable[[str], str], tmp_path: Path) -> Iterator[RollupWorld]:
    """A world with Texas-1 registered and no rollup running yet."""
    registry = Registry(stack.registry_url)
    telemetry = replace(topic("telemetry.asic"), name=topic_name("telemetry"), partitions=4)
    windows = replace(topic("fleet.windows"), name=topic_name("windows"))
    facilities = topic("registry.facilities")
    kafka = {"bootstrap.servers": stack.kafka}
    provision.create_topics(kafka, topics=[telemetry, windows, facilities])
    provision.register_schemas(registry, [telemetry, windows, facilities])
    codec = Codec(registry)
    producer = Producer(kafka)
    producer.produce(facilities.name, codec.encode(facilities, facility()), b"Texas-1")
    assert producer.flush(TIMEOUT_S) == 0
    world = RollupWorld(stack, codec, telemetry, windows, topic_name("rollup"), tmp_path / "rollup.log")
    try:
        yield world
    finally:
        while world.processes:
            world.end(signal.SIGKILL)
        registry.close()


def _main() -> None:
    kafka, registry_url, group_id, source, output, instance = sys.argv[1:]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    telemetry = replace(topic("telemetry.asic"), name=source)
    worker.run(
        worker.RollupConfig(
            kafka={"bootstrap.servers": kafka},
            registry_url=registry_url,
            group_id=group_id,
            instance=int(instance),
            sources=(fleet_source(telemetry, ResourceKind.ASIC),),
            output=replace(topic("fleet.windows"), name=output),
            batch=500,
        ),
        stop,
    )


if __name__ == "__main__":
    _main()
