"""Where a worker goes on in a partition whose log is not as it left it.

Retention takes the oldest records away. The newest can be lost too: with a broker's last writes, in an unclean
election, or with a topic that was made anew. A client that resets its offset by itself would begin at the oldest record
then, and everything would be counted once more: clients have `auto.offset.reset` = `error`, and their offsets come from
here.
"""

import logging

from schemas import metric

log = logging.getLogger(__name__)


class LostEndError(Exception):
    """The log ends before what a worker has handled: going on would miss or repeat events. A person decides."""


def resumed(worker: str, place: tuple[str, int], next_offset: int, bounds: tuple[int, int], *, mend: str) -> int:
    """Returns the offset at which to read on, the oldest that there is where `next_offset` is gone, and counts the gap.

    `bounds` are the log's oldest offset and its end. Raises LostEndError where the end is before `next_offset`; `mend`
    ends its sentence and says what a person does then.
    """
    (name, partition), (oldest, end) = place, bounds
    if next_offset > end:
        raise LostEndError(
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
