"""The dashboard *Streams*: how events flow, how far behind each worker is, and what went wrong."""

from deploy.grafana.panel import Dashboard, Kind, Row, metric
from deploy.grafana.projections import PROJECTIONS
from deploy.grafana.quantile import quantile

_RATE = "$__rate_interval"


STREAMS = Dashboard(
    uid="hcp-streams",
    title="Streams",
    rows=(
        Row(
            "Flow",
            (
                metric("Events in", (f"sum by (topic) (rate(hcp_events_in_total[{_RATE}]))", "{{topic}}"), unit="cps"),
                metric(
                    "Events out", (f"sum by (topic) (rate(hcp_events_out_total[{_RATE}]))", "{{topic}}"), unit="cps"
                ),
                metric(
                    "Rows written", (f"sum by (table) (rate(hcp_rows_written_total[{_RATE}]))", "{{table}}"), unit="cps"
                ),
                metric(
                    "Windows closed", (f"sum by (topic) (rate(hcp_windows_total[{_RATE}]))", "{{topic}}"), unit="cps"
                ),
                metric("Event time over wall time", ("max(hcp_simulated_speed_ratio)", "simulator")),
                metric(
                    "Newest event time",
                    ("max by (worker) (hcp_event_time_seconds) * 1000", "{{worker}}"),
                    unit="dateTimeAsIso",
                ),
            ),
        ),
        Row(
            "Lag",
            (
                metric("Lag, events", ("sum by (worker, topic) (hcp_lag_events)", "{{worker}} {{topic}}"), width=12),
                metric(
                    "Lag, event time (estimate)",
                    ("max by (worker, topic) (hcp_lag_event_time_seconds)", "{{worker}} {{topic}}"),
                    unit="s",
                    width=12,
                ),
            ),
        ),
        Row(
            "Time taken",
            (
                metric(
                    "Processing, by batch",
                    (quantile(0.5, "hcp_processing_seconds", "worker"), "p50 {{worker}}"),
                    (quantile(0.95, "hcp_processing_seconds", "worker"), "p95 {{worker}}"),
                    (quantile(0.99, "hcp_processing_seconds", "worker"), "p99 {{worker}}"),
                    unit="s",
                ),
                metric("Solver", (quantile(0.95, "hcp_solver_seconds", "facility"), "p95 {{facility}}"), unit="s"),
            ),
        ),
        PROJECTIONS,
        Row(
            "Trouble",
            (
                metric(
                    "Dead letters",
                    ("sum by (worker, topic) (hcp_dead_letters_total) or vector(0)", "{{worker}} {{topic}}"),
                    kind=Kind.STAT,
                    width=6,
                ),
                metric(
                    "Late and copied events",
                    ("sum by (topic) (hcp_late_events_total) or vector(0)", "late {{topic}}"),
                    ("sum by (topic) (hcp_copied_events_total) or vector(0)", "copied {{topic}}"),
                    kind=Kind.STAT,
                    width=6,
                ),
                metric(
                    "Refused steps", ("sum(hcp_refused_steps_total) or vector(0)", "refused"), kind=Kind.STAT, width=6
                ),
                metric("Workers up", ('sum(up{job="hcp"})', "up"), kind=Kind.STAT, width=6),
                metric(
                    "Dependencies",
                    ("min by (worker, dependency) (hcp_dependency_up)", "{{worker}} {{dependency}}"),
                    width=12,
                ),
                metric(
                    "Proven gap",
                    ("max by (facility) (hcp_solver_gap_ratio)", "{{facility}}"),
                    unit="percentunit",
                    width=12,
                ),
            ),
        ),
    ),
)
