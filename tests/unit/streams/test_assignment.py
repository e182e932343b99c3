"""Which partition a facility is in, and what an assignment has to look like."""

import pytest

from streams.agents.assignment import facility_partition, shared_partitions
from streams.agents.error import ConfigurationError
from streams.agents.held_offset import Place


def test_facility_is_in_the_partition_that_the_java_clients_give_it() -> None:
    # murmur2 of "21" is -973932308 (Apache Kafka, UtilsTest): masked 1173551340, which 4 divides.
    assert facility_partition("21") == 0
    assert {facility_partition(f"Texas-{n}") for n in range(20)} == {0, 1, 2, 3}


def test_topics_keyed_by_facility_have_to_be_assigned_alike() -> None:
    alike = [Place(name, p) for name in ("grid.signals", "fleet.windows", "workloads.routed") for p in (1, 3)]
    assert shared_partitions([*alike, Place("workloads.requests", 0)]) == {1, 3}
    with pytest.raises(ConfigurationError, match=r"4 partitions each, got fleet.windows \[1, 3\], grid.signals \[3\]"):
        shared_partitions(alike[1:])
