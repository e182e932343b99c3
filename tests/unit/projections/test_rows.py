"""JSON of whole columns is that of its values one by one; a list of records becomes rows."""

import json

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from projections.tables.rows import json_text, one_row_each

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
