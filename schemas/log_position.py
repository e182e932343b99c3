"""Where a worker goes on in a partition whose log is not as it left it.

Retention takes the oldest records away. The newest can be lost too: with a broker's last writes, in an unclean
election, or with a topic that was made anew. A client that resets its offset by itself would begin at the oldest record
then, and everything would be counted once more: clients have `auto.offset.reset` = `error`, and their offsets come from
here. A topic that was made anew and has grown past an offset shows by its id alone (KIP-516), which stores keep with
their offsets. What Kafka keeps itself, the offsets of a group, goes with the topic.
"""

import logging
from collections.abc import Collection, Mapping
from typing import Any

from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient

from schemas import metric

log = logging.getLogger(__name__)

_REQUEST_S = 10.0


class LostLogError(Exception):
    """A log is not what a worker has handled: going on would miss or repeat events. A person decides."""


def topic_ids(kafka: Mapping[str, Any], names: Collection[str]) -> dict[str, str]:
    """Returns the id of each topic: one of the same name that was made anew has another. Raises KafkaException."""
    if not names:
        return {}
    # Held while it is asked: a client that nobody holds ends, and its answers with it.
    admin = AdminClient(dict(kafka))
    futures = admin.describe_topics(TopicCollection(list(names)), request_timeout=_REQUEST_S)
    # Without a limit of its own, which could come first and is another error: the request's ends it.
    return {name: str(future.result().topic_id) for name, future in futures.items()}


def require_same_topic(worker: str, place: tuple[str, int], known_id: str, topic_id: str, *, mend: str) -> None:
    """Raises LostLogError where a worker has handled another topic of that name; an empty id is not known.

    `mend` ends its sentence and says what a person does then.
    """
    if known_id and topic_id and known_id != topic_id:
        name, partition = place
        raise LostLogError(
            f"{name} [{partition}]: the topic was made anew since {worker} has handled it: its offsets are those of "
            f"the former one (id {known_id}, now {topic_id}); {mend}"
        )


def resumed(worker: str, place: tuple[str, int], next_offset: int, bounds: tuple[int, int], *, mend: str) -> int:
    """Returns the offset at which to read on, the oldest that there is where `next_offset` is gone, and counts the gap.

    `bounds` are the log's oldest offset and its end. Raises LostLogError where the end is before `next_offset`; `mend`
    ends its sentence and says what a person does then.
    """
    (name, partition), (oldest, end) = place, bounds
    if next_offset > end:
        raise LostLogError(
            f"{name} [{partition}]: the log ends at offset {end}, and {worker} has handled it up to {next_offset}: its "
            f"end was lost, or the topic was made anew; {mend}"
        )
    missing = oldest - next_offset
    if missing > 0:
        metric.MISSED_EVENTS.labels(worker, name).inc(missing)
        log.error(
            "%s [%d]: %d offsets from %d on are gone from Kafka before they were applied: its retention is shorter "
            "than %s was away",
            name, partition, missing, next_offset, worker,
        )  # fmt: skip
    return max(next_offset, oldest)


def group_reset(group_id: str, place: tuple[str, int]) -> str:
    """Returns the mend of a worker whose offsets are those of a consumer group: it goes on from the end as it is."""
    name, partition = place
    return (
        f"`kafka-consumer-groups --group {group_id} --topic {name}:{partition} --reset-offsets --to-latest --execute` "
        "lets it go on from there"
    )
