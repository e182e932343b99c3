"""What leaves the simulators: an event that can't leave ends the run, with its topic and reason."""

import threading
from typing import cast

import polars as pl
import pytest

from schemas.catalog import Topic
from schemas.registry import Registry
from simulators.error import DeliveryError
from simulators.outlet import Outlet
from simulators.simulation import ASIC_TOPIC, Slice
from tests.simulators_world import a_simulation


class Registered:
    """A registry that knows every schema."""

    def schema_id(self, _topic: Topic) -> int:
        """The same for all."""
        return 7


def test_an_event_that_the_producer_refuses_ends_the_run_and_is_not_counted() -> None:
    # A broker of librdkafka itself, in this process.
    outlet = Outlet({"test.mock.num.brokers": 1}, cast("Registry", Registered()))
    outlet.learn_schemas()
    _, frame = a_simulation().advance().readings[0]
    # librdkafka takes 1 MB a message.
    too_large = frame[:1].with_columns(pl.lit("x" * 2_000_000).alias("device_id"))
    with pytest.raises(DeliveryError, match=r"^telemetry.asic: the producer refuses events: .*MSG_SIZE_TOO_LARGE"):
        outlet.send(Slice(0, 3000, ((ASIC_TOPIC, too_large),), ()), threading.Event())
    assert outlet.sent == 0
    outlet.discard()
