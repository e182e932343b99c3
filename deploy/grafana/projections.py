"""The row of the dashboard *Streams* that shows how topics become tables."""

from deploy.grafana.panel import Kind, Row, metric
from deploy.grafana.quantile import RATE_INTERVAL, quantile

_OF_A_PROJECTION = 'worker=~"project-.*|archive"'
_DEAD = f"sum by (worker, stage) (rate(hcp_dead_letters_total{{{_OF_A_PROJECTION}}}[{RATE_INTERVAL}]))"

PROJECTIONS = Row(
    "Projections",
    (
        metric(
            "Lag of projections",
            (f"sum by (worker) (hcp_lag_events{{{_OF_A_PROJECTION}}})", "{{worker}}, events"),
            (f"max by (worker) (hcp_lag_event_time_seconds{{{_OF_A_PROJECTION}}})", "{{worker}}, s of event time"),
        ),
        metric(
            "Rows a second",
            (f"sum by (worker) (rate(hcp_rows_written_total[{RATE_INTERVAL}]))", "{{worker}}"),
            unit="rowsps",
        ),
        metric(
            "Batch",
            (quantile(0.5, "hcp_batch_events", "worker"), "p50 {{worker}}"),
            ("max by (worker) (hcp_batch_limit_events)", "limit {{worker}}"),
        ),
        metric("Write (COPY, upserts)", (quantile(0.95, "hcp_write_seconds", "worker"), "p95 {{worker}}"), unit="s"),
        metric("Commit", (quantile(0.95, "hcp_commit_seconds", "worker"), "p95 {{worker}}"), unit="s"),
        metric(
            "Next offset to apply",
            ("sum by (worker, topic, partition) (hcp_applied_offset)", "{{worker}} {{topic}} {{partition}}"),
        ),
        metric("Overtaken", ("sum(hcp_fenced_total) or vector(0)", "fenced"), kind=Kind.STAT),
        metric("Missed, gone from Kafka", ("sum(hcp_missed_events_total) or vector(0)", "events"), kind=Kind.STAT),
        metric(
            "Dead letters of projections",
            (
                f"{_DEAD} or vector(0)",
                "{{worker}} {{stage}}",
            ),
            unit="cps",
        ),
    ),
)
