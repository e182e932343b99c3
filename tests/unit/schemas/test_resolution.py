"""Records of other writer schemas are read as Avro's schema resolution says, in batches as one by one."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalog import Topic
from schemas.codec import header
from schemas.columnar import ColumnarDecoder
from schemas.resolution import default_of, resolve
from tests.unit.schemas.test_columnar import assert_as_one_by_one, registry_of


@dataclass
class Part:
    """A nested record."""

    name: str
    weight: float = 0.0


@dataclass
class Probe:
    """An event that has every kind of default."""

    id: str
    power_w: float
    note: str | None = None
    at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    price: Decimal = Decimal(0)
    kind: str = "NONE"
    count: int = 0
    parts: list[Part] = field(default_factory=list)


@dataclass
class LabelledProbe(Probe):
    """The event with a map, which frames read record by record."""

    labels: dict[str, str] = field(default_factory=dict)


NOTE = {"name": "note", "type": ["null", "string"], "default": None}
AT = {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 60_000}
PRICE = {
    "name": "price",
    "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2},
    # 0x04D2 is 1234: 12.34 at a scale of 2.
    "default": "\u0004\u00d2",
}
KIND = {
    "name": "kind",
    "type": {"type": "enum", "name": "Kind", "symbols": ["NONE", "A", "B"], "default": "NONE"},
    "default": "A",
}
COUNT = {"name": "count", "type": "long", "default": 5}
PARTS = {
    "name": "parts",
    "type": {
        "type": "array",
        "items": {
            "type": "record",
            "name": "Part",
            "fields": [{"name": "name", "type": "string"}, {"name": "weight", "type": "double", "default": 1.5}],
        },
    },
    "default": [],
}
LABELS = {"name": "labels", "type": {"type": "map", "values": "string"}, "default": {"a": "é"}}
FIELDS: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "power_w", "aliases": ["watts", "power"], "type": "double"},
    NOTE,
    AT,
    PRICE,
    KIND,
    COUNT,
    PARTS,
]


def schema_of(fields: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "record", "name": "Probe", "fields": list(fields)}


def topic_of(fields: Sequence[dict[str, Any]], event_class: type = Probe) -> Topic:
    class ProbeTopic(Topic):
        @property
        def schema(self) -> dict[str, Any]:
            return schema_of(fields)

    return ProbeTopic("probes", "", event_class, "id", "at")


TOPIC = topic_of(FIELDS)


def value(fields: Sequence[dict[str, Any]], record: dict[str, Any], schema_id: int = 8) -> bytes:
    out = io.BytesIO(header(schema_id))
    out.seek(0, io.SEEK_END)
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema_of(fields)), record)
    return out.getvalue()


def decoded(fields: Sequence[dict[str, Any]], *records: dict[str, Any]) -> list[dict[str, Any]]:
    """Reads what another schema wrote, both ways, and returns the rows."""
    registry = registry_of(TOPIC, v8=schema_of(fields))
    values = [value(fields, record) for record in records]
    assert_as_one_by_one(TOPIC, registry, values)
    return ColumnarDecoder(TOPIC, registry).decode(values).frame.to_dicts()


def test_every_kind_of_default_is_given_as_a_value() -> None:
    (row,) = decoded([FIELDS[0], {"name": "watts", "type": "int"}], {"id": "a", "watts": 7})
    assert row == {
        "id": "a", "power_w": 7.0, "note": None, "at": datetime(1970, 1, 1, 0, 1, tzinfo=UTC),
        "price": Decimal("12.34"), "kind": "A", "count": 5, "parts": [], "_row": 0,
    }  # fmt: skip


def test_a_renamed_field_is_found_by_its_alias() -> None:
    renamed = [{"name": "power", "type": "double"} if f["name"] == "power_w" else f for f in FIELDS]
    record = {"id": "a", "power": 3.0, "at": 0, "price": Decimal(1), "kind": "B", "count": 1, "parts": []}
    assert decoded(renamed, record)[0]["power_w"] == 3.0


def test_a_field_added_inside_a_nested_record_has_its_default() -> None:
    item = {"type": "record", "name": "Part", "fields": [{"name": "name", "type": "string"}]}
    older = [*FIELDS[:2], {"name": "parts", "type": {"type": "array", "items": item}}]
    (row,) = decoded(older, {"id": "a", "power_w": 1.0, "parts": [{"name": "p"}]})
    assert row["parts"] == [{"name": "p", "weight": 1.5}]


def test_a_symbol_that_the_reader_does_not_know_becomes_its_default() -> None:
    kind = {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["NONE", "A", "B", "C"]}}
    rows = decoded([*FIELDS[:2], kind], *({"id": "a", "power_w": 1.0, "kind": kind} for kind in "ACB"))
    assert [row["kind"] for row in rows] == ["A", "NONE", "B"]


def test_a_map_has_its_default_as_json() -> None:
    with_map = topic_of([*FIELDS, LABELS], LabelledProbe)
    registry = registry_of(with_map, v8=schema_of(FIELDS[:2]))
    frame = ColumnarDecoder(with_map, registry).decode([value(FIELDS[:2], {"id": "a", "power_w": 1.0})]).frame
    assert frame["labels"].to_list() == ['{"a": "é"}']
    assert_as_one_by_one(with_map, registry, [value(FIELDS[:2], {"id": "a", "power_w": 1.0})])


@given(
    dropped=st.sets(st.sampled_from(["note", "at", "price", "kind", "count", "parts"])),
    alias=st.sampled_from(["power_w", "watts", "power"]),
    number=st.sampled_from(["int", "long", "float", "double"]),
    powers=st.lists(st.integers(-1000, 1000), max_size=5),
)
def test_any_older_writer_reads_alike_in_a_batch_and_alone(
    dropped: set[str], alias: str, number: str, powers: list[int]
) -> None:
    older = [
        {"name": alias, "type": number} if f["name"] == "power_w" else f for f in FIELDS if f["name"] not in dropped
    ]
    full = {"id": "a", "note": "n", "at": 1, "price": Decimal("1.50"), "kind": "B", "count": 2, "parts": []}
    rows = decoded(older, *({**full, alias: power} for power in powers))
    assert [row["power_w"] for row in rows] == powers


@pytest.mark.parametrize(
    ("writer", "reader", "is_columnar"),
    [
        pytest.param("int", "double", True, id="wider"),
        pytest.param("double", "int", False, id="narrower"),
        pytest.param("string", ["null", "string"], True, id="nullable"),
        pytest.param(["null", "int"], ["null", "long"], True, id="nullable-and-wider"),
        pytest.param({"type": "string", "doc": "x"}, "string", True, id="documented"),
        pytest.param(
            {"type": "array", "items": "int"}, {"type": "array", "items": "long"}, False, id="inside-an-array"
        ),
    ],
)
def test_what_frames_can_resolve_by_themselves(writer: Any, reader: Any, is_columnar: bool) -> None:
    theirs, ours = (schema_of([{"name": "x", "type": avro_type}]) for avro_type in (writer, reader))
    assert resolve(theirs, ours, ["x"]).is_columnar is is_columnar


def test_a_field_without_a_default_has_none() -> None:
    assert default_of(TOPIC.schema, "id") is None
