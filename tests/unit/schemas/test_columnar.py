"""Batches decode as the codec reads each message alone, whatever bytes come."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import fastavro
import numba
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import avro_kernel
from schemas.catalog import TOPICS, Topic, topic
from schemas.codec import Codec, UndecodableError, header
from schemas.columnar import ColumnarDecoder
from schemas.events import PowerUse, RoutedRequest, UseKind
from schemas.registry import Registry, UnknownSchemaError
from schemas.reject import ROW
from tests.event_strategy import events_of
from tests.rollup_world import reading
from tests.streams_event import at, submit

ASIC = topic("telemetry.asic")
CURRENT = 7
"""Id of each topic's own schema in these tests."""


class Schemas:
    """A registry of given schemas."""

    def __init__(self, schemas: dict[int, dict[str, Any]]) -> None:
        self._schemas = schemas

    def schema_id(self, _topic: Topic) -> int:
        """The id of the topic's own schema."""
        return CURRENT

    def writer_schema(self, schema_id: int) -> dict[str, Any]:
        """The schema, else the registry's error."""
        if schema_id not in self._schemas:
            raise UnknownSchemaError(f"no schema has the id {schema_id}")
        return self._schemas[schema_id]


def registry_of(entry: Topic, **others: dict[str, Any]) -> Registry:
    schemas = {int(name.removeprefix("v")): schema for name, schema in others.items()}
    return cast("Registry", Schemas({CURRENT: entry.schema, **schemas}))


def record(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A reading as an Avro record."""
    return {
        "device_id": f"d-{number}",
        "facility_id": "Texas-1",
        "resource_group_id": "tx1-asic",
        "observed_at": datetime(2026, 1, 1, tzinfo=UTC),
        "power_mode": "NORMAL",
        "power_w": 3000.0 + number,
        "hashrate_ths": 100.0,
        "temp_c": 60.0,
        "fan_rpm": 5000,
        **changes,
    }


def asic_value(number: int = 0, **changes: Any) -> bytes:
    return encoded(ASIC.schema, record(number, **changes))


def with_type(field: str, avro_type: str) -> dict[str, Any]:
    """The schema of readings with another type for a field."""
    fields = [{**found, "type": avro_type} if found["name"] == field else found for found in ASIC.schema["fields"]]
    return {**ASIC.schema, "fields": fields}


def encoded(schema: dict[str, Any], fields: dict[str, Any], schema_id: int = CURRENT) -> bytes:
    out = io.BytesIO(header(schema_id))
    out.seek(0, io.SEEK_END)
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), fields)
    return out.getvalue()


def plain(found: Any) -> Any:
    """An event, or any value in it, as a row of a frame holds it."""
    match found:
        case list():
            return [plain(item) for item in found]
        case dict():
            return json.dumps(found, sort_keys=True, ensure_ascii=False)
        case str():
            return str(found)
        case _ if hasattr(found, "__dataclass_fields__"):
            return {name: plain(getattr(found, name)) for name in found.__dataclass_fields__}
        case _:
            return found


def canonical(found: Any) -> Any:
    """A row without what does not count: the order of fields, polars' own UTC; NaN, not equal to itself, as text."""
    match found:
        case dict():
            return {name: canonical(value) for name, value in sorted(found.items())}
        case list():
            return [canonical(item) for item in found]
        case datetime():
            return found.astimezone(UTC)
        case float():
            return repr(found)
        case _:
            return found


def assert_as_one_by_one(entry: Topic, registry: Registry, values: Sequence[bytes | None]) -> None:
    codec, expected, refused = Codec(registry), [], []
    batch = ColumnarDecoder(entry, registry).decode(values)
    stricter = {reject.row for reject in batch.rejects if reject.reason.endswith("the columnar reader refuses it")}
    for row, message in enumerate(values):
        try:
            event = codec.decode(entry, message)
        except UndecodableError:
            refused.append(row)
            continue
        if row in stricter and codec.encode(entry, event) != message:
            # fastavro takes numbers of more than ten bytes, and counts symbols from the end.
            refused.append(row)
        else:
            expected.append({**plain(event), ROW: row})
    assert [canonical(row) for row in batch.frame.to_dicts()] == [canonical(row) for row in expected]
    assert [reject.row for reject in batch.rejects] == refused
    assert all(reject.reason for reject in batch.rejects)


@pytest.mark.parametrize("entry", TOPICS, ids=lambda entry: entry.name)
@settings(max_examples=40)
@given(data=st.data())
def test_a_batch_decodes_as_its_messages_do_one_by_one(entry: Topic, data: st.DataObject) -> None:
    registry = registry_of(entry)
    codec = Codec(registry)
    values = [codec.encode(entry, event) for event in data.draw(st.lists(events_of(entry), max_size=4))]
    assert_as_one_by_one(entry, registry, values)
    assert ColumnarDecoder(entry, registry).decode(values).rejects == ()


@pytest.mark.parametrize("entry", TOPICS, ids=lambda entry: entry.name)
@settings(max_examples=3)
@given(data=st.data())
def test_a_message_without_value_between_events_costs_only_itself(entry: Topic, data: st.DataObject) -> None:
    registry = registry_of(entry)
    value = Codec(registry).encode(entry, data.draw(events_of(entry)))
    assert_as_one_by_one(entry, registry, [value, None, value])


LONG_NUMBERS = (
    b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f",  # 2**62 - 1
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # -(2**63)
    b"\xff\xff\xff\xff\x0f",  # -(2**31)
    b"\x80\x80\x80\x80\x10",  # 2**31
    b"\x80\x80\x80\x80\x20",  # 2**32
    b"\x01",  # -1
    b"\xff" * 12,
)


@st.composite
def corrupted(draw: st.DrawFn) -> bytes | None:
    """A reading that met with an accident; some come out of it unhurt."""
    value = bytearray(asic_value(draw(st.integers(0, 300)), device_id=draw(st.text("ab-é", max_size=5))))
    match draw(st.integers(0, 8)):
        case 0:
            return bytes(value[: draw(st.integers(0, len(value)))])
        case 1:
            return bytes(value) + draw(st.binary(min_size=1, max_size=20))
        case 2:
            value[draw(st.integers(0, len(value) - 1))] = draw(st.integers(0, 255))
        case 3:
            cut = draw(st.integers(5, len(value)))
            return bytes(value[:cut] + value[5:])
        case 4:
            return bytes(value[:5]) + draw(st.binary(max_size=40))
        case 5:
            return draw(st.sampled_from([None, b"", b"\x00", bytes(value[:5]), header(99) + bytes(value[5:])]))
        case 6:
            # A length of up to 2**63 where a string's length stands.
            place = draw(st.sampled_from([5, 5 + 1 + value[5] // 2]))
            long = draw(st.sampled_from([b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f", b"\xff" * 9 + b"\x01", b"\xff" * 12]))
            value[place : place + 1] = long
        case 7:
            place = draw(st.integers(5, len(value) - 1))
            value[place : place + 1] = draw(st.sampled_from(LONG_NUMBERS))
        case _:
            pass
    return bytes(value)


@settings(max_examples=400)
@given(st.lists(corrupted(), max_size=12))
def test_a_corrupt_batch_decodes_as_its_messages_do_one_by_one(values: list[bytes | None]) -> None:
    assert_as_one_by_one(ASIC, registry_of(ASIC), values)


@pytest.mark.parametrize("entry", TOPICS, ids=lambda entry: entry.name)
@settings(max_examples=20)
@given(data=st.data())
def test_numbers_out_of_place_in_any_topic_cost_only_their_messages(entry: Topic, data: st.DataObject) -> None:
    registry = registry_of(entry)
    event = data.draw(events_of(entry))
    value = Codec(registry).encode(entry, event)
    place = data.draw(st.integers(5, len(value) - 1))
    bad = value[:place] + data.draw(st.sampled_from(LONG_NUMBERS)) + value[place + 1 :]
    assert_as_one_by_one(entry, registry, [value, bad, value])


@settings(max_examples=5)
@given(data=st.data())
def test_a_null_of_a_value_that_breaks_off_within_an_array_is_not_the_next_ones(data: st.DataObject) -> None:
    entry = topic("economics.profitability")
    event = data.draw(events_of(entry))
    use = PowerUse(use=UseKind.MINING, value_usd_mwh=1.0, margin_usd_mwh=1.0, available_mw=1.0)
    with_null, without = (
        Codec(registry_of(entry)).encode(entry, replace(event, uses=[replace(use, resource_group_id=group)]))
        for group in (None, "tx1-asic")
    )
    assert_as_one_by_one(entry, registry_of(entry), [without, with_null[:-1], without])


def routed(priority: int) -> RoutedRequest:
    return RoutedRequest(
        event_id="routed",
        facility_id="Texas-1",
        workload_id="wl-1",
        observed_at=at(0),
        reason="asked for",
        request=submit(priority=priority),
    )


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 2**32 + 5, 2**62])
@pytest.mark.parametrize(
    ("name", "event"),
    [
        pytest.param("telemetry.asic", lambda number: reading(0, fan_rpm=number), id="a field of its own"),
        pytest.param("workloads.requests", lambda number: submit(priority=number), id="beside an array"),
        pytest.param("workloads.routed", routed, id="within a record"),
    ],
)
def test_an_int_that_32_bits_do_not_hold_is_refused(name: str, event: Callable[[int], object], number: int) -> None:
    registry = registry_of(topic(name))
    values = [Codec(registry).encode(topic(name), event(value)) for value in (5, number, 5)]
    batch = ColumnarDecoder(topic(name), registry).decode(values)
    assert batch.frame[ROW].to_list() == [0, 2]
    assert [(reject.row, reject.error) for reject in batch.rejects] == [(1, "UndecodableError")]
    assert "Expected `int`" in batch.rejects[0].reason


def test_two_records_in_one_message_and_none_in_the_next_are_both_refused() -> None:
    one, two = asic_value(1), asic_value(2)
    values = [asic_value(0), one + two[5:], one[:5], asic_value(3)]
    batch = ColumnarDecoder(ASIC, registry_of(ASIC)).decode(values)
    assert batch.frame[ROW].to_list() == [0, 3]
    assert [reject.row for reject in batch.rejects] == [1, 2]


def test_a_message_cut_in_two_is_refused_twice() -> None:
    whole = asic_value(1)
    values = [asic_value(0), whole[:20], whole[:5] + whole[20:], asic_value(3)]
    batch = ColumnarDecoder(ASIC, registry_of(ASIC)).decode(values)
    assert batch.frame[ROW].to_list() == [0, 3]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\xfe\xff\xff\xff\xff\xff\xff\xff\x1f", id="a string of 2**60 bytes"),
        pytest.param(b"\x01" + b"x" * 60, id="a string of -1 bytes"),
        pytest.param(b"\xff" * 60, id="a number without an end"),
        pytest.param(b"\x06ab\xff" + b"\x00" * 60, id="bad UTF-8"),
    ],
)
def test_hostile_bytes_are_refused_with_a_reason_and_the_rest_goes_through(body: bytes) -> None:
    values = [asic_value(0), header(CURRENT) + body, asic_value(2)]
    batch = ColumnarDecoder(ASIC, registry_of(ASIC)).decode(values)
    assert batch.frame["device_id"].to_list() == ["d-0", "d-2"]
    assert [(reject.row, reject.error) for reject in batch.rejects] == [(1, "UndecodableError")]


def test_a_symbol_that_the_enum_has_not_is_refused() -> None:
    value = asic_value(1)
    symbol = value.index(b"\x04", value.index(b"tx1-asic") + 14)
    assert Codec(registry_of(ASIC)).decode(ASIC, value).power_mode == "NORMAL"
    # The sixth; one that is the first in its low 32 bits, 2**32; and one before the first, -1.
    for number in (b"\x0a", b"\x80\x80\x80\x80\x20", b"\x01"):
        values = [asic_value(0), value[:symbol] + number + value[symbol + 1 :]]
        batch = ColumnarDecoder(ASIC, registry_of(ASIC)).decode(values)
        assert [reject.row for reject in batch.rejects] == [1]


def test_a_time_beyond_the_year_9999_is_refused() -> None:
    # 2**62 ms are 146 million years.
    far = encoded(with_type("observed_at", "long"), record(observed_at=2**62))
    batch = ColumnarDecoder(ASIC, registry_of(ASIC)).decode([asic_value(0), far])
    assert [reject.row for reject in batch.rejects] == [1]


def test_each_reject_keeps_its_own_reason() -> None:
    values = [None, b"x", header(99) + b"body", asic_value(0)[:-1], asic_value(0) + b"!"]
    rejects = ColumnarDecoder(ASIC, registry_of(ASIC)).decode(values).rejects
    assert [(reject.row, reject.error) for reject in rejects] == [
        (0, "UndecodableError"),
        (1, "UndecodableError"),
        (2, "UnknownSchemaError"),
        (3, "UndecodableError"),
        (4, "UndecodableError"),
    ]
    assert rejects[0].reason == "the message has no value"
    assert rejects[2].reason == "no schema has the id 99"
    assert "bytes left over" in rejects[4].reason


def test_an_empty_batch_is_an_empty_frame_with_all_columns() -> None:
    batch = ColumnarDecoder(ASIC, registry_of(ASIC), ["device_id", "observed_at"]).decode([])
    assert batch.frame.schema == {"device_id": pl.String, "observed_at": pl.Datetime("ms", "UTC"), ROW: pl.UInt32}
    assert len(batch.frame) == 0


def test_older_and_newer_writers_share_a_batch() -> None:
    # Once power was an int; later two fields come that this reader does not know.
    older = with_type("power_w", "int")
    added = [{"name": "rack", "type": "string"}, *ASIC.schema["fields"], {"name": "slot", "type": "long"}]
    newer = {**ASIC.schema, "fields": added}
    registry = registry_of(ASIC, v8=older, v9=newer)
    values = [
        asic_value(0),
        encoded(older, record(device_id="old", power_w=7), 8),
        encoded(newer, record(device_id="new", power_w=1.0, rack="r", slot=1), 9),
        asic_value(3),
    ]
    assert_as_one_by_one(ASIC, registry, values)
    frame = ColumnarDecoder(ASIC, registry).decode(values).frame
    assert frame["power_w"].to_list() == [3000.0, 7.0, 1.0, 3003.0]


def test_a_field_younger_than_its_writer_has_its_default() -> None:
    gpu = topic("telemetry.gpu")
    older = {**gpu.schema, "fields": [field for field in gpu.schema["fields"] if field["name"] != "workload_id"]}
    reading = record(utilization_ratio=0.5, memory_used_gib=1.0)
    assert_as_one_by_one(gpu, registry_of(gpu, v8=older), [encoded(older, reading, 8)])


@pytest.mark.parametrize("narrow", ["int", "long", "float"])
def test_numbers_are_promoted_as_avro_says(narrow: str) -> None:
    schema = with_type("temp_c", narrow)
    values = [encoded(schema, record(temp_c=61), 8), asic_value(1)]
    registry = registry_of(ASIC, v8=schema)
    assert_as_one_by_one(ASIC, registry, values)
    assert ColumnarDecoder(ASIC, registry).decode(values).frame["temp_c"].to_list() == [61.0, 60.0]


def test_a_bad_message_among_many_costs_only_itself() -> None:
    values = [asic_value(number) for number in range(5000)]
    values[1234] = values[1234][:-3]
    batch = ColumnarDecoder(ASIC, registry_of(ASIC)).decode(values)
    assert [reject.row for reject in batch.rejects] == [1234]
    assert batch.frame[ROW].to_list() == [row for row in range(5000) if row != 1234]
    assert batch.frame["power_w"].to_list() == [3000.0 + row for row in range(5000) if row != 1234]


@pytest.fixture(scope="module")
def checked() -> Callable[..., None]:
    """The loop, which raises IndexError where it would read or write beyond an array."""
    return cast("Callable[..., None]", numba.njit(boundscheck=True)(cast("Any", avro_kernel.decode).py_func))


@pytest.mark.parametrize("entry", TOPICS, ids=lambda entry: entry.name)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_nothing_is_read_or_written_out_of_place(
    entry: Topic, data: st.DataObject, checked: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = registry_of(entry)
    values = []
    for event in data.draw(st.lists(events_of(entry), min_size=1, max_size=3)):
        value = bytearray(Codec(registry).encode(entry, event))
        for _ in range(data.draw(st.integers(0, 3))):
            place = data.draw(st.integers(5, len(value) - 1))
            value[place : place + 1] = data.draw(st.sampled_from([*LONG_NUMBERS, b"", b"\x00", b"\x01", b"\xff"]))
        values.append(bytes(value))
    # As the last bytes of a buffer there is nothing behind them.
    expected = ColumnarDecoder(entry, registry).decode(values)
    with monkeypatch.context() as patch:
        patch.setattr(avro_kernel, "decode", checked)
        found = ColumnarDecoder(entry, registry).decode(values)
    assert [canonical(row) for row in found.frame.to_dicts()] == [canonical(row) for row in expected.frame.to_dicts()]
    assert [reject.row for reject in found.rejects] == [reject.row for reject in expected.rejects]


def test_limited_columns_are_the_only_ones() -> None:
    frame = ColumnarDecoder(ASIC, registry_of(ASIC), ["power_w"]).decode([asic_value(1)]).frame
    assert frame.to_dicts() == [{"power_w": 3001.0, ROW: 0}]
