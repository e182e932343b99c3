"""The dashboard *Business*: where each megawatt goes, what it is worth, and why."""

from deploy.grafana.panel import Dashboard, Kind, Row, Source, metric, sql

BUSINESS = Dashboard(
    uid="hcp-business",
    title="Business",
    rows=(
        Row(
            "Now",
            (
                metric(
                    "Load by use",
                    ("sum by (facility, use) (hcp_load_megawatts)", "{{facility}} {{use}}"),
                    unit="megwatt",
                    kind=Kind.STAT,
                    width=12,
                ),
                metric(
                    "Prices",
                    ("max by (name) (hcp_price_usd)", "{{name}}"),
                    unit="currencyUSD",
                    kind=Kind.STAT,
                    width=12,
                ),
                sql("What each group does, and why", Source.POSTGRES, "allocations", kind=Kind.TABLE, width=24),
                sql("Workloads by state", Source.POSTGRES, "workloads_by_state", kind=Kind.TABLE, width=8),
                sql("Workloads, newest steps", Source.POSTGRES, "workloads", kind=Kind.TABLE, width=16),
            ),
        ),
        Row(
            "Money",
            (
                sql("Energy prices", Source.TIMESCALE, "energy_prices", unit="currencyUSD"),
                sql("Energy prices forecast", Source.TIMESCALE, "price_forecast", unit="currencyUSD"),
                metric(
                    "Pinball loss of the forecasts, by method",
                    (
                        "max by (settlement_point, method) (hcp_forecast_pinball_loss_usd_mwh)",
                        "{{settlement_point}} {{method}}",
                    ),
                    unit="currencyUSD",
                ),
                sql("Bitcoin", Source.TIMESCALE, "bitcoin", unit="currencyUSD"),
                sql("Break-even against the cost of power", Source.TIMESCALE, "break_even", unit="currencyUSD"),
                sql("Margin decided", Source.TIMESCALE, "margin", unit="currencyUSD"),
                sql("What the next MW is worth", Source.TIMESCALE, "power_uses", kind=Kind.TABLE),
                sql("Break-evens, and what 1 % more moves", Source.TIMESCALE, "sensitivity", kind=Kind.TABLE),
            ),
        ),
        Row(
            "Power",
            (
                sql("Decided power by use", Source.TIMESCALE, "power_by_use", unit="megwatt"),
                sql("Measured power", Source.TIMESCALE, "measured_power", unit="megwatt"),
                sql("Hashrate", Source.TIMESCALE, "hashrate"),
                sql("GPU utilisation", Source.TIMESCALE, "gpu_utilisation", unit="percentunit"),
            ),
        ),
        Row(
            "Decisions",
            (
                sql("Last decisions", Source.TIMESCALE, "decisions", kind=Kind.TABLE, width=14),
                sql("Audit log", Source.POSTGRES, "audit_log", kind=Kind.TABLE, width=10),
            ),
        ),
    ),
)
