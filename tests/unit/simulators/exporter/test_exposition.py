"""Columns as Prometheus' text format."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from simulators.exporter.exposition import Family, labels, text

NAMED = Family("shown", "gauge", "What is shown.", pl.col("value"))


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.floats(-1e9, 1e9)), min_size=1, max_size=5))
def test_any_label_and_value_is_read_again(rows: list[tuple[str, float]]) -> None:
    frame = pl.DataFrame(rows, schema={"name": pl.String, "value": pl.Float64}, orient="row")
    page = text(frame, labels(name=pl.col("name"), same=pl.lit("x")), [NAMED])
    (family,) = text_string_to_metric_families(page)
    assert (family.name, family.type, family.documentation) == ("shown", "gauge", "What is shown.")
    assert [(s.labels["name"], s.labels["same"], s.value) for s in family.samples] == [(n, "x", v) for n, v in rows]


def test_metrics_follow_each_other_with_all_of_their_samples() -> None:
    frame = pl.DataFrame({"name": ["a", None], "value": [1, 2]})
    twice = Family("doubled_total", "counter", "Twice as much.", pl.col("value") * 2)
    assert text(frame, labels(name=pl.col("name")), [NAMED, twice]) == (
        '# HELP shown What is shown.\n# TYPE shown gauge\nshown{name="a"} 1\nshown{name=""} 2\n'
        "# HELP doubled_total Twice as much.\n# TYPE doubled_total counter\n"
        'doubled_total{name="a"} 2\ndoubled_total{name=""} 4\n'
    )


def test_no_device_is_no_metric() -> None:
    assert text(pl.DataFrame(), labels(name=pl.col("name")), [NAMED]) == ""
