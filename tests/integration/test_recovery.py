"""What a starting owner reads, while other owners write to the same topics."""

from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from confluent_kafka import Producer

from schemas.catalog import topic
from streams.agents import recovery
from tests.agents_world import World

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
