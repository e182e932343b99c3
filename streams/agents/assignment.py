"""Who decides for a facility: the worker that has its partition of the topics that are keyed by facility."""

from collections.abc import Iterable

from aiokafka.partitioner import murmur2

from schemas.catalog import FACILITY_PARTITIONS
from streams.agents.error import ConfigurationError
from streams.agents.held_offset import Place

# Partitioned alike, so that one worker has all that concerns a facility.
INPUTS = ("grid.signals", "fleet.windows")
ROUTED = "workloads.routed"
REQUESTS = "workloads.requests"


def facility_partition(facility_id: str) -> int:
    """Partition of a facility: that of the Java clients' partitioner, which all of our producers use.

    Apache Kafka, `BuiltInPartitioner.partitionForKey`: murmur2 of the key, the sign bit masked, modulo partitions.
    """
    return int(murmur2(facility_id.encode()) & 0x7FFFFFFF) % FACILITY_PARTITIONS


def shared_partitions(assigned: Iterable[Place]) -> frozenset[int]:
    """The partitions of facilities in an assignment.

    Raises ConfigurationError where the topics keyed by facility are not assigned alike: they were created with
    different numbers of partitions.
    """
    found = {name: {place.partition for place in assigned if place.topic == name} for name in (ROUTED, *INPUTS)}
    if any(numbers != found[ROUTED] for numbers in found.values()):
        shown = ", ".join(f"{name} {sorted(numbers)}" for name, numbers in sorted(found.items()))
        raise ConfigurationError(f"these topics must have {FACILITY_PARTITIONS} partitions each, got {shown}")
    return frozenset(found[ROUTED])
