"""A log of its own for the agents' tests: a private Kafka and registry, empty topics for each test, and the worker.

The agents read whole topics and decide for every facility in them, so they can't share the topics of other tests.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from deploy.local.stack import Stack
from schemas import provision
from schemas.catalog import TOPICS, Topic, topic
from schemas.codec import Codec
from schemas.registry import Registry
from streams.agents import recovery
from streams.agents.error import LogUnavailableError
from tests.stack_fixture import discard, parts_directory

ROOT = Path(__file__).parent.parent
DEADLINE_S = 300.0
"""How long a thing may take that takes a moment on an idle machine; only a failure waits so long."""
T = TypeVar("T")

_RUN = """
import sys
from streams.app import AgentsConfig, run
kafka = {"bootstrap.servers": sys.argv[1]}
run(AgentsConfig(kafka=kafka, registry_url=sys.argv[2], group_id=sys.argv[3], instance=int(sys.argv[4])))
"""


@dataclass(slots=True)
class World:
    """The log and the worker of one test."""

    stack: Stack
    environment: dict[str, str]
    codec: Codec
    group_id: str
    output: Path
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    _producer: Producer = field(init=False)

    def __post_init__(self) -> None:
        self._producer = Producer({**self.kafka, "partitioner": "murmur2_random"})

    @property
    def kafka(self) -> dict[str, Any]:
        """Client configuration."""
        return {"bootstrap.servers": self.environment["HCP_KAFKA_BOOTSTRAP_SERVERS"]}

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The only worker."""
        (found,) = self.processes.values()
        return found

    def start(self, instance: int = 0) -> None:
        """Starts a worker."""
        with self.output.open("ab") as out:
            self.processes[instance] = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _RUN,
                    self.kafka["bootstrap.servers"],
                    self.environment["HCP_SCHEMA_REGISTRY_URL"],
                    self.group_id,
                    str(instance),
                ],
                stdout=out,
                stderr=out,
                cwd=ROOT,
            )

    def end(self, how: signal.Signals, instance: int = 0) -> int:
        """Sends a worker a signal and returns its exit status."""
        process = self.processes.pop(instance)
        process.send_signal(how)
        return process.wait(DEADLINE_S)

    def send(self, *events: object) -> None:
        """Appends events to their topics."""
        by_class = {entry.event_class: entry for entry in TOPICS}
        for event in events:
            entry = by_class[type(event)]
            key = str(getattr(event, entry.key_field))
            self._producer.produce(entry.name, self.codec.encode(entry, event), key=key)
        assert self._producer.flush(DEADLINE_S) == 0

    def send_raw(self, name: str, value: bytes, headers: list[tuple[str, str | bytes | None]]) -> None:
        """Appends bytes to a topic."""
        self._producer.produce(name, value, key="raw", headers=headers)
        assert self._producer.flush(DEADLINE_S) == 0

    def events(self, name: str) -> list[Any]:
        """All committed events of a topic."""
        entry = topic(name)
        return [self.codec.decode(entry, m.value()) for m in recovery.messages(self.kafka, entry)]

    def values(self, name: str) -> list[bytes]:
        """All committed values of a topic."""
        return [m.value() or b"" for m in recovery.messages(self.kafka, topic(name))]

    def dead_letters(self, name: str) -> list[tuple[bytes | None, dict[str, bytes | None]]]:
        """Value and headers of a topic's dead letters."""
        source = topic(name)
        dead = Topic(source.dead_letter_topic, source.avsc, source.event_class, source.key_field, source.time_field)
        found = recovery.messages(self.kafka, dead)
        return [(m.value(), dict(m.headers() or [])) for m in found]  # type: ignore[arg-type]

    def wait(self, look: Callable[[], T], until: Callable[[T], bool]) -> T:
        """Looks until a condition holds; fails with what was seen and the worker's output where it does not."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                seen: T | Exception = (found := look())
                if until(found):
                    return found
            except (KafkaException, LogUnavailableError) as error:
                # A broker that has just come back, or made the topics, does not lead them yet.
                seen = error
            if time.monotonic() > deadline:
                said = self.output.read_text()[-3000:] if self.output.exists() else "no worker has been started"
                pytest.fail(f"not seen within {DEADLINE_S:.0f} s, but {seen!r}\n{said}")
            time.sleep(0.1)


@pytest.fixture(scope="session")
def agents_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A private Kafka and registry."""
    stack = Stack(tmp_path_factory.mktemp("agents") / "home", parts=parts_directory())
    stack.up(only=["kafka", "registry"])
    yield stack
    discard(stack)


@pytest.fixture(scope="session")
def agents_codec(agents_stack: Stack) -> Iterator[Codec]:
    """One for all tests: a registry client that is thrown away leaves its connection open until it is collected."""
    registry = Registry(agents_stack.up(only=["kafka", "registry"]).environment["HCP_SCHEMA_REGISTRY_URL"])
    yield Codec(registry)
    registry._client.close()


@pytest.fixture
def world(agents_stack: Stack, agents_codec: Codec, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """Empty topics, and a worker that is not started yet; killed at the end."""
    environment = agents_stack.up(only=["kafka", "registry"]).environment
    kafka = {"bootstrap.servers": environment["HCP_KAFKA_BOOTSTRAP_SERVERS"]}
    _empty_topics(kafka)
    provision.register_schemas(agents_codec.registry)
    group_id = f"agents-{request.node.name}"
    found = World(agents_stack, dict(environment), agents_codec, group_id, tmp_path / "worker.log")
    yield found
    for instance in list(found.processes):
        found.end(signal.SIGKILL, instance)


def _empty_topics(kafka: dict[str, Any]) -> None:
    admin = AdminClient(dict(kafka))
    ours = {name for entry in TOPICS for name in (entry.name, entry.dead_letter_topic)}
    present = ours & set(admin.list_topics(timeout=DEADLINE_S).topics)
    for future in admin.delete_topics(sorted(present), operation_timeout=DEADLINE_S).values() if present else ():
        future.result(DEADLINE_S)
    deadline = time.monotonic() + DEADLINE_S
    while ours & set(admin.list_topics(timeout=DEADLINE_S).topics):
        assert time.monotonic() < deadline, "topics are not deleted"
        time.sleep(0.1)
    provision.create_topics(kafka)
