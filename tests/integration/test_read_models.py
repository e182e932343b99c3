"""The workers of the other stores as processes, killed with -9 in the middle: each store is as the log says."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import Producer

from deploy.local.stack import Stack
from schemas import provision
from schemas.catalog import topic
from schemas.codec import Codec
from schemas.registry import Registry
from tests.running_stack import RunningStack
from tests.store_fixture import EXTRA
from tests.store_world import ExtraStore, MongoStore, audited, workload_step
from tests.streams_event import an_id

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

ROOT = Path(__file__).parents[2]
STORES = ("redis", "mongo", "neo4j")
NAMES = (
    "registry.facilities", "registry.resources", "registry.customers", "workloads.transitions", "allocations.decisions",
    "audit.events",
)  # fmt: skip
COUNT = 60
TIMEOUT_S = 240.0


@dataclass(slots=True)
class Workers:
    """One worker a store, as `hcp worker` runs them, all on the same topics."""

    environment: Mapping[str, str]
    output: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Starts a worker of each store."""
        for name in STORES:
            command = [sys.executable, "-m", "hcp", "worker", f"project-{name}"]
            with self.output.open("ab") as out:
                self.running.append(subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT, env=self.environment))

    def end(self, how: signal.Signals) -> list[int]:
        """Ends them all and returns their exit statuses."""
        processes, self.running = self.running, []
        for process in processes:
            process.send_signal(how)
        return [process.wait(TIMEOUT_S) for process in processes]

    def wait(self, condition: Callable[[], bool], what: Callable[[], object]) -> None:
        """Asks again until the condition holds."""
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not what was awaited: {what()}; the workers said:\n{self.output.read_text()}")
            time.sleep(0.1)


class Log:
    """What the test sends: each workload takes steps 1 to `version`, each is audited."""

    def __init__(self, stack: RunningStack, codec: Codec, prefix: str) -> None:
        self._producer = Producer({"bootstrap.servers": stack.kafka, "linger.ms": 20})
        self._codec, self.prefix = codec, prefix
        self.audited: set[str] = set()

    def send(self, version: int, state: str) -> None:
        """Puts one more step of every workload on the log."""
        for number in range(COUNT):
            workload_id = f"{self.prefix}{number:03d}"
            event_id = an_id(workload_id, version)
            self._put("workloads.transitions", workload_id, workload_step(workload_id, version, state))
            self._put("audit.events", workload_id, audited(event_id, self.prefix))
            self.audited.add(event_id)
        assert self._producer.flush(TIMEOUT_S) == 0

    def _put(self, name: str, key: str, event: object) -> None:
        self._producer.produce(name, self._codec.encode(topic(name), event), key=key)


@dataclass(slots=True)
class Outcome:
    """The stores after the workers were killed, started again and stopped."""

    stores: Mapping[str, ExtraStore]
    log: Log
    exits: list[int]


@pytest.fixture(scope="module")
def outcome(stack: RunningStack, extra_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """All stores go through it side by side: most of the time is the group's, that waits for the dead."""
    prefix = "killed."
    stores = {name: EXTRA[name](extra_stack, prefix) for name in STORES}
    registry = Registry(stack.registry_url)
    topics = [topic(name) for name in NAMES]
    provision.create_topics({"bootstrap.servers": stack.kafka}, topics=topics)
    provision.register_schemas(registry, topics)
    log = Log(stack, Codec(registry), prefix)
    environment = {**os.environ, **stack.environment, **extra_stack.status().environment, "HCP_METRICS_PORT": "0"}
    workers = Workers(environment, tmp_path_factory.mktemp("read-models") / "workers.log")
    try:
        log.send(1, "QUEUED")
        workers.start()
        workers.wait(lambda: all(_has_begun(store) for store in stores.values()), lambda: _counts(stores))
        # They are at these when they are killed.
        log.send(2, "SCHEDULED")
        assert workers.end(signal.SIGKILL) == [-signal.SIGKILL] * len(STORES)
        log.send(3, "RUNNING")
        workers.start()
        workers.wait(lambda: all(_is_done(store, log) for store in stores.values()), lambda: _counts(stores))
        yield Outcome(stores, log, workers.end(signal.SIGTERM))
    finally:
        workers.end(signal.SIGKILL)
        registry.close()


def _has_begun(store: ExtraStore) -> bool:
    return bool(_audited(store) if isinstance(store, MongoStore) else store.workloads())


def _is_done(store: ExtraStore, log: Log) -> bool:
    if isinstance(store, MongoStore):
        return len(_audited(store)) >= len(log.audited)
    return {version for _, version in store.workloads().values()} == {3}


def _audited(store: MongoStore) -> list[str]:
    return [document["_id"] for document in store.documents("audit_logs", {"actor": store.prefix})]


def _counts(stores: Mapping[str, ExtraStore]) -> dict[str, int]:
    return {
        name: len(_audited(store) if isinstance(store, MongoStore) else store.workloads())
        for name, store in stores.items()
    }


@pytest.mark.parametrize("name", ["redis", "neo4j"])
def test_current_state_is_the_last_of_the_log(outcome: Outcome, name: str) -> None:
    expected = {f"{outcome.log.prefix}{number:03d}": ("RUNNING", 3) for number in range(COUNT)}
    assert outcome.stores[name].workloads() == expected


def test_the_audit_log_has_each_event_once(outcome: Outcome) -> None:
    store = outcome.stores["mongo"]
    assert isinstance(store, MongoStore)
    assert sorted(_audited(store)) == sorted(outcome.log.audited)


def test_the_workers_stop_when_they_are_told_to(outcome: Outcome) -> None:
    assert outcome.exits == [0] * len(STORES)
