"""Redis as a sink: the rows of a table as hashes, current state for caches.

A row is the hash `hcp:<table>:<key>` (key values that hold a `:` or `%` are percent-encoded). Its fields are the
columns as text: times in ISO 8601, JSON as it is; a null has no field. `_order` is the place in the table's order.

A batch is one Lua script: steps are checked, rows and offsets written, and nothing of anybody else happens in between.
A script is not rolled back where a command in it fails, so it reads whatever it will write first: a key of another type
shows before the first write. The append-only file has the writes of a script as one MULTI, of which a restart takes all
or nothing. So exactly once needs no more than that the server keeps what it acknowledges: `appendonly yes` and
`appendfsync always`, no eviction of keys (`maxmemory-policy noeviction` or `volatile-*`), and one primary rather than a
cluster. A server that loses its newest writes loses rows and offsets together, and is filled again from where it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast
from urllib.parse import quote

import msgspec
from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from projections.error import FencedError, ProjectionError, RefusedError, UnavailableError
from projections.reduction import rank, reduced
from projections.sink import NO_IDS, Claim, Rows, Step
from projections.table import Mode, Table
from schemas import metric
from schemas.message_block import Place

PREFIX = "hcp"
ORDER = "_order"
_CONNECT_S = 10
_ANSWER_S = 30
_WAITING = frozenset({"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY"})
"""Error codes of a server that may take the same command later."""

_CLAIM = """
local claims = {}
for i = 1, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  local next_offset, epoch = ARGV[i + 1], '0'
  if held then next_offset, epoch = held:match('^(%d+) (%d+)$') end
  epoch = string.format('%.0f', tonumber(epoch) + 1)
  redis.call('HSET', KEYS[1], ARGV[i], next_offset .. ' ' .. epoch)
  claims[#claims + 1] = { next_offset, epoch }
end
return claims
"""
_APPLY = """
local batch = cmsgpack.unpack(ARGV[1])
local stale = 0
for _, step in ipairs(batch.steps) do
  if redis.call('HGET', KEYS[1], step[1]) ~= step[2] then stale = stale + 1 end
end
if stale > 0 then return redis.error_reply('FENCED ' .. stale) end
local order, taken, counts = ARGV[2], {}, {}
for i, part in ipairs(batch.parts) do
  counts[i] = 0
  for _, row in ipairs(part.rows) do
    local held = taken[row.key] and taken[row.key].rank or redis.call('HGET', row.key, order)
    if not held or row.rank > held or (part.replaces_equal and row.rank == held) then
      taken[row.key] = row
      counts[i] = counts[i] + 1
    end
  end
end
for key, row in pairs(taken) do
  redis.call('DEL', key)
  redis.call('HSET', key, order, row.rank, unpack(row.fields))
end
for _, step in ipairs(batch.steps) do redis.call('HSET', KEYS[1], step[1], step[3]) end
return counts
"""


class RedisSink:
    """See `projections.sink.Sink`. One connection; opens it at once and raises UnavailableError where it can't."""

    dependency = "redis"
    fresh_start = f"delete its keys, {PREFIX}:*, to fill it from this log"

    def __init__(self, url: str, worker: str) -> None:
        self._worker = worker
        self._offsets = f"{PREFIX}:_offsets:{worker}"
        self._topics = f"{PREFIX}:_topics:{worker}"
        # Nothing is tried again here: a script whose answer was lost may have run, and would find its own step taken.
        try:
            self._client = Redis.from_url(
                url,
                client_name=worker,
                socket_connect_timeout=_CONNECT_S,
                socket_timeout=_ANSWER_S,
                retry=Retry(NoBackoff(), 0),
                decode_responses=True,
            )
        except ValueError as error:
            raise ProjectionError(f"not the address of a Redis: {error}") from error
        self._claim = self._client.register_script(_CLAIM)
        self._apply = self._client.register_script(_APPLY)
        with _translated(worker):
            self._client.ping()

    def claim(self, oldest: Mapping[Place, int], topic_ids: Mapping[str, str] = NO_IDS) -> dict[Place, Claim]:
        """See Sink."""
        arguments = [word for place, offset in oldest.items() for word in (_field(place), offset)]
        with _translated(self._worker):
            found = cast("list[tuple[str, str]]", self._claim(keys=[self._offsets], args=arguments))
            # Beside the offsets, not in their script: an id that is there never changes.
            for name, topic_id in topic_ids.items():
                self._client.hsetnx(self._topics, name, topic_id)
            known = cast("dict[str, str]", self._client.hgetall(self._topics))
        return {
            place: Claim(int(next_offset), int(epoch), known.get(place[0], ""))
            for place, (next_offset, epoch) in zip(oldest, found, strict=True)
        }

    def release(self, places: Sequence[Place]) -> None:
        """See Sink. There is nothing to give back: nothing is held between two scripts."""

    def encode(self, rows: Rows) -> Rows:
        """See Sink."""
        return rows

    def apply(self, rows: Sequence[Rows], steps: Mapping[Place, Step]) -> dict[str, int]:
        """See Sink."""
        batch = {
            "steps": [_step(place, step) for place, step in steps.items()],
            "parts": [_part(part) for part in rows],
        }
        with metric.WRITE_SECONDS.labels(self._worker).time(), _translated(self._worker):
            packed = msgspec.msgpack.encode(batch)
            counts = cast("list[int]", self._apply(keys=[self._offsets], args=[packed, ORDER]))
        written: dict[str, int] = {}
        for part, count in zip(rows, counts, strict=True):
            written[part.table.name] = written.get(part.table.name, 0) + count
        return written

    def close(self) -> None:
        """See Sink."""
        self._client.close()


def key(table: Table, row: Mapping[str, object]) -> str:
    """Returns the Redis key of a row."""
    # `:` separates, so it may not be in a value.
    values = [quote(str(row[column]), safe=" /@+-._~") for column in table.key]
    return ":".join([PREFIX, table.name, *values])


def _part(part: Rows) -> dict[str, Any]:
    rows = [
        {"key": key(part.table, row), "rank": _rank(part.table, row), "fields": _fields(row)}
        for row in reduced(part.table, part.frame).iter_rows(named=True)
    ]
    return {"rows": rows, "replaces_equal": part.table.mode is Mode.LATEST}


def _rank(table: Table, row: dict[str, Any]) -> str:
    """Returns a text that compares as the row's rank does: numbers from 0 up, all of the same length."""
    return ":".join(f"{value + 2**63:020d}" for value in rank(table, row))


def _fields(row: Mapping[str, object]) -> list[str]:
    return [word for column, value in row.items() if value is not None for word in (column, _text(value))]


def _text(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat()
        case _:
            return str(value)


def _field(place: Place) -> str:
    return f"{place[0]}/{place[1]}"


def _step(place: Place, step: Step) -> tuple[str, str, str]:
    return _field(place), f"{step.expected} {step.epoch}", f"{step.following} {step.epoch}"


@contextmanager
def _translated(worker: str) -> Iterator[None]:
    """Turns the client's errors into those of projections, by what can be done about them."""
    try:
        yield
    except (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError) as error:
        raise ProjectionError(f"Redis does not let {worker} in: {error}") from error
    except (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ReadOnlyError) as error:
        raise UnavailableError(f"Redis: {error}", RedisSink.dependency) from error
    except exceptions.ResponseError as error:
        code, _, detail = str(error).partition(" ")
        match code:
            case "FENCED":
                raise FencedError(
                    f"{worker}: {detail} of the partitions are not as this worker left them: another worker has "
                    "claimed them; this one stops"
                ) from error
            case "WRONGTYPE":
                raise RefusedError("WrongType", str(error)) from error
            case _ if code in _WAITING or isinstance(error, exceptions.OutOfMemoryError):
                raise UnavailableError(f"Redis: {error}", RedisSink.dependency) from error
            case _:
                raise ProjectionError(f"Redis: {error}") from error
