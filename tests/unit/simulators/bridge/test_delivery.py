"""Delivery without a broker: what becomes of events when the bridge is stopped."""

import asyncio

from schemas.catalog import topic
from schemas.event_line import EncodedEvent
from simulators.bridge.delivery import Delivery


def test_a_report_that_comes_when_the_bridge_is_stopped_harms_nothing() -> None:
    delivery = Delivery({"bootstrap.servers": "127.0.0.1:1"}, "bridge-test", timeout_s=0.5, queue_events=10)

    async def stopped_while_delivering() -> None:
        waiting = asyncio.ensure_future(delivery.deliver(topic("telemetry.asic"), [EncodedEvent(1, b"key", b"value")]))
        await asyncio.sleep(0)
        assert delivery.waiting
        waiting.cancel()

    asyncio.run(stopped_while_delivering())
    assert delivery.close() == 0
