"""Builders of the events that the streams' tests need: sensible defaults, only the field under test is named.

The small world: Texas-1 settles at HB_WEST, has 100 miners of 3 kW and 16 GPUs of 0.7 kW, and starts at noon.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from schemas import events as e

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Event time, s after noon."""
    return NOON + timedelta(seconds=seconds)


def an_id(*parts: object) -> str:
    """A stable event id."""
    return str(uuid5(NAMESPACE_OID, "/".join(map(str, parts))))


def facility(facility_id: str = "Texas-1", **changes: Any) -> e.Facility:
    """A facility of 1 MW with a PUE of 1.1 and an adder of 10 USD/MWh."""
    found = e.Facility(
        event_id=an_id("facility", facility_id),
        facility_id=facility_id,
        name=facility_id,
        country="US",
        timezone="America/Chicago",
        grid_operator="ERCOT",
        settlement_point="HB_WEST",
        cap_mw=1.0,
        pue_ratio=1.1,
        energy_adder_usd_mwh=10.0,
        sell_back_limit_mw=0.0,
        recorded_at=at(-3600),
    )
    return replace(found, **changes)


def miners(group: str = "tx1-asic", facility_id: str = "Texas-1", units: int = 100, **changes: Any) -> e.Resource:
    """A group of miners: 30 W off, ECO 2 kW for 120 TH/s, NORMAL 3 kW for 150, TURBO 4 kW for 170."""
    modes = [
        e.PowerModePoint(mode=e.PowerMode.OFF, power_w=30.0, hashrate_ths=0.0),
        e.PowerModePoint(mode=e.PowerMode.ECO, power_w=2000.0, hashrate_ths=120.0),
        e.PowerModePoint(mode=e.PowerMode.NORMAL, power_w=3000.0, hashrate_ths=150.0),
        e.PowerModePoint(mode=e.PowerMode.TURBO, power_w=4000.0, hashrate_ths=170.0),
    ]
    found = e.Resource(
        event_id=an_id("resource", group),
        resource_group_id=group,
        facility_id=facility_id,
        kind=e.ResourceKind.ASIC,
        model="S21",
        units=units,
        idle_power_w=30.0,
        max_power_w=4000.0,
        modes=modes,
        recorded_at=at(-3600),
    )
    return replace(found, **changes)


def gpus(group: str = "tx1-gpu", facility_id: str = "Texas-1", units: int = 16, **changes: Any) -> e.Resource:
    """A group of GPUs: 100 W idle, 700 W busy."""
    found = e.Resource(
        event_id=an_id("resource", group),
        resource_group_id=group,
        facility_id=facility_id,
        kind=e.ResourceKind.GPU,
        model="H100",
        units=units,
        idle_power_w=100.0,
        max_power_w=700.0,
        modes=[],
        recorded_at=at(-3600),
    )
    return replace(found, **changes)


def customer(customer_id: str = "acme", price: str = "2.50") -> e.Customer:
    """A customer with a contract price per GPU-hour."""
    return e.Customer(
        event_id=an_id("customer", customer_id),
        customer_id=customer_id,
        name=customer_id,
        tier="reserved",
        gpu_hour_price_usd=Decimal(price),
        recorded_at=at(-3600),
    )


def tick(seconds: float = 0, price_usd: float = 100_000.0, instrument: str = "BTC-USD") -> e.MarketTick:
    """A tick."""
    return e.MarketTick(
        event_id=an_id("tick", instrument, seconds),
        instrument=instrument,
        observed_at=at(seconds),
        price_usd=price_usd,
        source="test",
    )


def gpu_tick(seconds: float = 0, price_usd: float = 2.0) -> e.MarketTick:
    """A spot price of a GPU-hour."""
    return tick(seconds, price_usd, "H100-HOUR-USD")


def network(seconds: float = 0, difficulty: float = 1e14) -> e.NetworkStats:
    """The network: 3.125 BTC a block and 0.075 of fees."""
    return e.NetworkStats(
        event_id=an_id("network", seconds),
        chain="bitcoin",
        observed_at=at(seconds),
        block_height=900_000,
        difficulty=difficulty,
        network_hashrate_ths=7.2e8,
        block_subsidy_btc=3.125,
        block_fees_btc=0.075,
    )


def price(seconds: float = 0, usd_mwh: float = 30.0, point: str = "HB_WEST", **changes: Any) -> e.GridPrice:
    """A real-time price."""
    found = e.GridPrice(
        event_id=an_id("price", point, seconds),
        settlement_point=point,
        market=e.GridMarket.REAL_TIME,
        observed_at=at(seconds),
        interval_start=at(seconds),
        interval_s=300,
        price_usd_mwh=usd_mwh,
    )
    return replace(found, **changes)


def forecast(seconds: float, expected: Sequence[float], point: str = "HB_WEST", **changes: Any) -> e.PriceForecast:
    """A forecast of hours, from that of a price of `price(seconds)` on."""
    start = at(seconds)
    based_on = an_id("price", point, seconds)
    found = e.PriceForecast(
        event_id=an_id("forecast", point, seconds),
        settlement_point=point,
        observed_at=start,
        price_event_id=based_on,
        fitted_at=at(-12 * 3600),
        method=e.ForecastMethod.BOOSTING,
        scores=[e.ForecastScore(method=e.ForecastMethod.BOOSTING, pinball_loss_usd_mwh=3.0)],
        interval_s=3600,
        intervals=[
            e.ForecastInterval(
                starts_at=start + timedelta(hours=number),
                expected_usd_mwh=usd_mwh,
                p05_usd_mwh=usd_mwh - 20,
                p25_usd_mwh=usd_mwh - 5,
                p50_usd_mwh=usd_mwh,
                p75_usd_mwh=usd_mwh + 5,
                p95_usd_mwh=usd_mwh + 20,
            )
            for number, usd_mwh in enumerate(expected)
        ],
    )
    return replace(found, **changes)


def day_ahead(hour: float = 0, usd_mwh: float = 40.0, published: float = -72_000, **changes: Any) -> e.GridPrice:
    """The day-ahead price of an hour, counted from noon, published at 16:00 the day before."""
    hourly = price(
        published,
        usd_mwh,
        event_id=an_id("day-ahead", hour, published),
        market=e.GridMarket.DAY_AHEAD,
        interval_start=at(3600 * hour),
        interval_s=3600,
    )
    return replace(hourly, **changes)


def signal(seconds: float = 0, limit_mw: float = 0.2, **changes: Any) -> e.GridSignal:
    """A demand-response call of half an hour that starts at once and pays 50 USD/MWh."""
    found = e.GridSignal(
        event_id=an_id("signal", seconds, changes.get("status", "CALLED")),
        signal_id="dr-1",
        facility_id="Texas-1",
        kind=e.SignalKind.DEMAND_RESPONSE,
        status=e.SignalStatus.CALLED,
        observed_at=at(seconds),
        starts_at=at(seconds),
        ends_at=at(seconds + 1800),
        limit_mw=limit_mw,
        payment_usd_mwh=50.0,
    )
    return replace(found, **changes)


def window(end: float = 15, group: str = "tx1-asic", partition: int = 0, **changes: Any) -> e.FleetWindow:
    """A window of 50 miners that drew 3 kW each."""
    found = e.FleetWindow(
        event_id=an_id("window", group, partition, end),
        facility_id="Texas-1",
        resource_group_id=group,
        kind=e.ResourceKind.ASIC,
        window_start=at(end - 15),
        window_end=at(end),
        source_topic="telemetry.asic",
        source_partition=partition,
        readings=50,
        devices=50,
        power_w_sum=150_000.0,
        hashrate_ths_sum=7_500.0,
        utilization_ratio_sum=0.0,
        temp_c_sum=3_500.0,
        temp_c_max=75.0,
    )
    return replace(found, **changes)


def submit(workload_id: str = "wl-1", seconds: float = 0, **changes: Any) -> e.WorkloadRequest:
    """A request for 8 GPUs for an hour at Texas-1."""
    found = e.WorkloadRequest(
        event_id=an_id("request", workload_id, seconds, changes.get("action", "SUBMIT")),
        workload_id=workload_id,
        action=e.WorkloadAction.SUBMIT,
        observed_at=at(seconds),
        customer_id="acme",
        facility_id="Texas-1",
        gpus=8,
        duration_s=3600,
    )
    return replace(found, **changes)


def report(
    action: e.WorkloadAction, workload_id: str = "wl-1", seconds: float = 0, **changes: Any
) -> e.WorkloadRequest:
    """A report of the site's scheduler, or a cancellation."""
    found = submit(workload_id, seconds, action=action, gpus=0, duration_s=0)
    return replace(found, **changes)


def transition(
    version: int = 1,
    to_state: e.WorkloadState = e.WorkloadState.QUEUED,
    workload_id: str = "wl-1",
    **changes: Any,
) -> e.WorkloadTransition:
    """A step of a workload that is placed nowhere, `version` s after noon."""
    found = e.WorkloadTransition(
        event_id=an_id("transition", workload_id, version, to_state),
        workload_id=workload_id,
        version=version,
        to_state=to_state,
        occurred_at=at(version),
        customer_id="acme",
        gpus=8,
        duration_s=3600,
        progress_s=0,
        priority=1,
        requested_at=at(0),
        price_usd_gpu_hour=2.5,
        reason="test",
    )
    return replace(found, **changes)


def audit(number: int = 0, **changes: Any) -> e.AuditEvent:
    """A refused cancellation, `number` s after noon."""
    found = e.AuditEvent(
        event_id=an_id("audit", number),
        actor="acme",
        action="cancel",
        subject=f"workload/wl-{number}",
        occurred_at=at(number),
        outcome=e.AuditOutcome.REFUSED,
        reason="it has ended",
        details={"b": "2", "a": "1"},
    )
    return replace(found, **changes)
