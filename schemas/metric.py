"""The metrics of all workers, declared once: part of the contract with Prometheus, dashboards and alerts.

Every worker labels with its own name; a worker serves them with `serve`.
"""

from prometheus_client import Counter, Gauge, Histogram, start_http_server

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

EVENTS_IN = Counter("hcp_events_in", "Events read and handled.", ["worker", "topic"])
EVENTS_OUT = Counter("hcp_events_out", "Events produced.", ["worker", "topic"])
PROCESSING_SECONDS = Histogram(
    "hcp_processing_seconds", "Time to handle one batch or event.", ["worker"], buckets=_SECONDS
)
LAG_EVENTS = Gauge("hcp_lag_events", "Log end less the next offset to read.", ["worker", "topic", "partition"])
LAG_SECONDS = Gauge(
    "hcp_lag_event_time_seconds",
    "Event time that is still to be read: lag in events times the event time between events seen lately (an estimate).",
    ["worker", "topic"],
)
EVENT_TIME = Gauge("hcp_event_time_seconds", "Newest event time handled, Unix seconds.", ["worker", "topic"])
DEAD_LETTERS = Counter("hcp_dead_letters", "Events sent to a dead-letter topic.", ["worker", "topic", "stage"])
COPIED_EVENTS = Counter(
    "hcp_copied_events", "Events that their window left out: a device has one reading of a moment.", ["worker", "topic"]
)
LATE_EVENTS = Counter("hcp_late_events", "Events past the grace of their window.", ["worker", "topic"])
WINDOWS = Counter("hcp_windows", "Windows closed and emitted.", ["worker", "topic"])
ROWS_WRITTEN = Counter("hcp_rows_written", "Rows written or upserted.", ["worker", "table"])
WRITE_SECONDS = Histogram(
    "hcp_write_seconds", "Time to write a batch's rows, without the commit.", ["worker"], buckets=_SECONDS
)
COMMIT_SECONDS = Histogram("hcp_commit_seconds", "Time of a transaction's commit.", ["worker"], buckets=_SECONDS)
BATCH_EVENTS = Histogram(
    "hcp_batch_events", "Events in a batch.", ["worker"], buckets=(1, 10, 100, 1_000, 5_000, 20_000, 50_000, 100_000)
)
BATCH_LIMIT = Gauge("hcp_batch_limit_events", "Most events that the next batch may have.", ["worker"])
APPLIED_OFFSET = Gauge("hcp_applied_offset", "Next offset after those applied.", ["worker", "topic", "partition"])
FENCED = Counter("hcp_fenced", "Times that this worker was overtaken by another and stopped.", ["worker"])
MISSED_EVENTS = Counter(
    "hcp_missed_events", "Offsets deleted from Kafka before they were applied.", ["worker", "topic"]
)
SOLVER_SECONDS = Histogram("hcp_solver_seconds", "Time to build and solve.", ["facility"], buckets=_SECONDS)
SOLVER_GAP = Gauge("hcp_solver_gap_ratio", "Proven gap of the last decision.", ["facility"])
SOLVES_OVERTAKEN = Counter(
    "hcp_solves_overtaken", "Solves dropped for an input that belonged before them.", ["facility"]
)
DEPENDENCY_UP = Gauge(
    "hcp_dependency_up", "1 while the dependency answers, 0 while the worker waits.", ["worker", "dependency"]
)
REFUSED = Counter("hcp_refused_steps", "Illegal steps that were refused and audited.", ["worker"])
BRIDGE_REFUSED = Counter(
    "hcp_bridge_refused",
    "Events from outside that a bridge refused: not JSON, not the schema, or against a rule.",
    ["worker", "topic"],
)
BRIDGE_POLLS = Counter(
    "hcp_bridge_polls",
    "Times that a bridge asked a device or endpoint, by what came of it: ok, unreachable, unreadable, undelivered.",
    ["worker", "outcome"],
)
SIMULATED_SPEED = Gauge("hcp_simulated_speed_ratio", "Event time over wall time of the simulator.")
INJECTED_FAULTS = Counter("hcp_injected_faults", "Faults that the simulator put into its events.", ["topic", "kind"])
LOAD_MW = Gauge("hcp_load_megawatts", "Decided load by use at the meter.", ["facility", "use"])
FORECAST_LOSS = Gauge(
    "hcp_forecast_pinball_loss_usd_mwh",
    "Pinball loss of the price forecasts in the week before their last fit, by method; less is better.",
    ["settlement_point", "method"],
)
PRICE = Gauge("hcp_price_usd", "Newest price by instrument or settlement point.", ["name"])


def serve(host: str, port: int) -> int:
    """Serves the metrics over HTTP in a thread of its own; returns the port taken (`port` 0 takes a free one).

    Raises OSError where the port is taken.
    """
    server, _ = start_http_server(port, addr=host)
    return int(server.server_port)
