"""Which column of a user's file fills which field of an event, and how a cell becomes the field's value.

Pure: a row in, a record for JSON out. Nothing is guessed about units: a factor is given (`power_w=kw*1000`).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from types import NoneType
from typing import Any, Self, assert_never, get_args, get_type_hints
from zoneinfo import ZoneInfo

from schemas.catalog import Topic

EVENT_ID = "event_id"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Seconds reach it in the year 5138, milliseconds in 1973.
_LEAST_MILLISECONDS = 1e11


class HistoryError(Exception):
    """The history can't be replayed as it is asked for; the message says what was found and what was expected."""


class BadCellError(Exception):
    """A cell can't become the value of its field; the message starts with the field."""


class Kind(StrEnum):
    """What a field holds, as far as a cell is concerned."""

    TIME = "time"
    NUMBER = "number"
    WHOLE = "whole number"
    TEXT = "text"
    OTHER = "JSON"


@dataclass(frozen=True, slots=True)
class TimeForm:
    """How times are written: the zone of those without one, and their strptime format, ISO 8601 without."""

    zone: ZoneInfo
    written: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a field comes from: a column times a factor, or a constant where `column` is None."""

    field: str
    kind: Kind
    column: str | None
    constant: str | None = None
    factor: float | None = None


@dataclass(frozen=True, slots=True)
class HistoryMapping:
    """The sources of a topic's fields; a field without one takes the column of its own name, where there is such."""

    topic: Topic
    sources: tuple[Source, ...]
    times: TimeForm

    @classmethod
    def parse(cls, topic: Topic, maps: Sequence[str], sets: Sequence[str], times: TimeForm) -> Self:
        """Returns the mapping that `field=column*factor,…` and `field=constant` describe. Raises HistoryError."""
        kinds = _kinds(topic.event_class)
        pairs = [part for text in maps for part in text.split(",") if part.strip()]
        sources = [_mapped(*_pair(pair, "field=column", kinds), kinds) for pair in pairs]
        for text in sets:
            name, value = _pair(text, "field=value", kinds)
            sources.append(Source(name, kinds[name], None, constant=value))
        given = [source.field for source in sources]
        twice = sorted({name for name in given if given.count(name) > 1})
        if twice:
            raise HistoryError(f"{', '.join(twice)}: given twice")
        return cls(topic, tuple(sources), times)

    def of(self, columns: Sequence[str]) -> Self:
        """Returns the mapping for a file of those columns, fields of their own name among them.

        Raises HistoryError where a column is not there, or a field that an event needs has no source.
        """
        has = f"the file has the columns {', '.join(columns) or '(none)'}"
        for source in self.sources:
            if source.column is not None and source.column not in columns:
                raise HistoryError(f"there is no column {source.column!r} for {source.field}; {has}")
        given = {source.field for source in self.sources}
        kinds = _kinds(self.topic.event_class)
        found = [Source(name, kind, name) for name, kind in kinds.items() if name in columns and name not in given]
        known = given | {source.field for source in found} | {EVENT_ID}
        missing = [f.name for f in fields(self.topic.event_class) if _is_required(f) and f.name not in known]
        if missing:
            raise HistoryError(
                f"{self.topic.event_class.__name__} needs {', '.join(missing)}: name columns by --map, or constants by "
                f"--set; {has}"
            )
        return type(self)(self.topic, (*self.sources, *found), self.times)

    def record(self, row: Mapping[str, object]) -> dict[str, Any]:
        """Returns the fields of a row's event, times as datetimes; blank cells are left out. Raises BadCellError."""
        found: dict[str, Any] = {}
        for source in self.sources:
            cell = source.constant if source.column is None else row[source.column]
            if cell is None or (isinstance(cell, str) and not cell.strip()):
                continue
            try:
                found[source.field] = _value(cell, source, self.times)
            except (ValueError, OverflowError) as error:
                raise BadCellError(f"{source.field}: {error}") from error
        if self.topic.time_field not in found:
            raise BadCellError(f"{self.topic.time_field}: no time")
        return found


def _pair(text: str, form: str, kinds: Mapping[str, Kind]) -> tuple[str, str]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not value:
        raise HistoryError(f"expected {form}, got {text!r}")
    if name not in kinds:
        raise HistoryError(f"there is no field {name!r}; the fields are {', '.join(kinds)}")
    return name, value


def _mapped(name: str, text: str, kinds: Mapping[str, Kind]) -> Source:
    column, star, number = (part.strip() for part in text.rpartition("*"))
    if not star:
        return Source(name, kinds[name], text)
    try:
        factor = float(number)
    except ValueError:
        raise HistoryError(f"{name}: expected a number behind *, got {number!r}") from None
    if not math.isfinite(factor) or kinds[name] not in {Kind.NUMBER, Kind.WHOLE}:
        raise HistoryError(f"{name}: only a number can be multiplied, and only by a finite one, got {text!r}")
    return Source(name, kinds[name], column, factor=factor)


def _kinds(event_class: type) -> dict[str, Kind]:
    hints = get_type_hints(event_class)
    return {f.name: _kind(hints[f.name]) for f in fields(event_class)}


def _kind(hint: Any) -> Kind:
    options = [option for option in get_args(hint) if option is not NoneType]
    inner = options[0] if NoneType in get_args(hint) and len(options) == 1 else hint
    kinds = {datetime: Kind.TIME, float: Kind.NUMBER, int: Kind.WHOLE, str: Kind.TEXT}
    if isinstance(inner, type) and issubclass(inner, StrEnum):
        return Kind.TEXT
    return kinds.get(inner, Kind.OTHER)


def _is_required(field: Any) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _value(cell: object, source: Source, times: TimeForm) -> Any:
    match source.kind:
        case Kind.TIME:
            return _time(cell, times)
        case Kind.NUMBER:
            return _number(cell) * (1 if source.factor is None else source.factor)
        case Kind.WHOLE:
            return _whole(cell, source.factor)
        case Kind.TEXT:
            return str(cell).strip()
        case Kind.OTHER:
            return json.loads(cell) if isinstance(cell, str) else cell
        case _:
            assert_never(source.kind)


def _number(cell: object) -> float:
    try:
        value = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"expected a number, got {cell!r}") from None
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {cell!r}")
    return value


def _whole(cell: object, factor: float | None) -> int:
    if factor is None:
        try:
            return int(cell)  # type: ignore[call-overload,no-any-return]
        except (TypeError, ValueError):
            pass
    value = _number(cell) * (factor or 1)
    if value != int(value):
        raise ValueError(f"expected a whole number, got {value!r}")
    return int(value)


def _time(cell: object, times: TimeForm) -> datetime:
    match cell:
        case datetime():
            at = cell
        case date():
            at = datetime(cell.year, cell.month, cell.day)  # noqa: DTZ001 - placed in its zone below
        case str():
            at = _written(cell.strip(), times)
        case int() | float():
            at = _EPOCH + timedelta(milliseconds=cell if abs(cell) >= _LEAST_MILLISECONDS else cell * 1000)
        case _:
            raise ValueError(f"expected a time, got {cell!r}")
    return at.astimezone(UTC) if at.tzinfo is not None else _placed(at, times.zone)


def _written(text: str, times: TimeForm) -> datetime:
    if times.written is not None:
        return datetime.strptime(text, times.written)  # noqa: DTZ007 - as above
    if text.isdecimal() and len(text) >= 9:
        return _EPOCH + timedelta(milliseconds=int(text) if int(text) >= _LEAST_MILLISECONDS else int(text) * 1000)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"expected an ISO 8601 time, got {text!r}") from None


def _placed(at: datetime, zone: ZoneInfo) -> datetime:
    """Returns a local time in UTC. Raises ValueError where the clocks are put forward over it, or back past it."""
    first, second = (at.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second:
        return first
    if first.astimezone(zone).replace(tzinfo=None) != at:
        raise ValueError(f"{at} does not exist in {zone.key}")
    raise ValueError(f"{at} happens twice in {zone.key}: give it with its offset from UTC")
