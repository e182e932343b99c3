"""JSON of whole columns is that of its values one by one; a list of records becomes rows."""

import json
from datetime import UTC, datetime

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from projections.tables import FACILITIES, POWER_USES
from projections.tables.rows import json_text, one_row_each
from schemas.reject import ROW

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
MODES = st.lists(
    st.fixed_dictionaries({"mode": st.none() | TEXT, "power_w": st.floats(allow_nan=False, allow_infinity=False)}),
    max_size=3,
)


@given(st.lists(MODES, max_size=5))
def test_lists_of_records(values: list[list[dict[str, object]]]) -> None:
    dtype = pl.List(pl.Struct({"mode": pl.String, "power_w": pl.Float64}))
    found = json_text(pl.Series("modes", values, dtype=dtype))
    assert found.name == "modes"
    assert [json.loads(text) for text in found] == values


@given(st.lists(st.none() | st.lists(TEXT, max_size=3), max_size=5))
def test_lists_of_texts_and_nulls(values: list[list[str] | None]) -> None:
    assert [json.loads(text) for text in json_text(pl.Series("ids", values, dtype=pl.List(pl.String)))] == values


def test_braces_inside_a_value_stay() -> None:
    assert json_text(pl.Series("x", ['{"v":1}}'])).to_list() == ['"{\\"v\\":1}}"']


def test_an_entry_of_a_list_hides_the_events_field_of_its_name() -> None:
    frame = pl.DataFrame(
        {
            "id": ["a", "b"],
            "kind": ["PLAN", "DISPATCH"],
            "groups": [[{"group": 1, "kind": "ASIC"}, {"group": 2, "kind": "GPU"}], []],
        }
    )
    assert one_row_each(frame, "groups").to_dicts() == [
        {"id": "a", "group": 1, "kind": "ASIC"},
        {"id": "a", "group": 2, "kind": "GPU"},
    ]


def test_uses_of_power_are_numbered_by_merit_though_an_event_came_twice() -> None:
    uses = [{"use": "MINING", "value_usd_mwh": 90.0}, {"use": "GRID", "value_usd_mwh": 40.0}]
    frame = pl.DataFrame({ROW: [0, 1], "event_id": ["e", "e"], "uses": [uses, uses]})
    rows = POWER_USES.sources["economics.profitability"](frame)
    assert rows.select(ROW, "use", "merit").rows() == [
        (0, "MINING", 1),
        (0, "GRID", 2),
        (1, "MINING", 1),
        (1, "GRID", 2),
    ]


def test_awards_of_a_facility_are_json_with_their_hours() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    dtype = pl.List(pl.Struct({"product": pl.String, "starts_at": pl.Datetime("ms", "UTC")}))
    awards = pl.Series("capacity_awards", [[{"product": "ECRS", "starts_at": start}], []], dtype=dtype)
    (text, empty) = FACILITIES.sources["registry.facilities"](awards.to_frame())["capacity_awards"]
    assert json.loads(empty) == []
    ((product, starts_at),) = [tuple(entry.values()) for entry in json.loads(text)]
    assert (product, datetime.fromisoformat(starts_at)) == ("ECRS", start)
