"""What is known of the world, by event time: the inputs of evaluations and decisions, each as of any moment kept.

Adding is idempotent and free of order (a join of sets by event id), so events read twice or late change nothing that
they should not. `as_of(t)` sees no event later than `t`: a decision about the past, made while catching up, can't look
ahead. Nothing is stored: the worker's committed offset is that of the oldest event kept here, so it reads them again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from schemas.events import (
    Customer,
    Facility,
    FleetWindow,
    GridMarket,
    GridPrice,
    GridSignal,
    InputFallback,
    InputReference,
    MarketTick,
    NetworkStats,
    PriceForecast,
    Resource,
    SignalStatus,
)
from streams.domain import fallback
from streams.domain.day_ahead import DayAheadPrices
from streams.domain.fleet_load import FleetLoad
from streams.domain.master_data import MasterData
from streams.domain.series import Series

BTC = "BTC-USD"
GPU_HOUR = "H100-HOUR-USD"
CHAIN = "bitcoin"
# Calls are kept this long past their announced end, for an end or a duplicate that comes late.
CALL_MEMORY = timedelta(hours=1)
# So are forecasts: a decision within an interval asks for that of before it, and no interval is as long as a plan.
FORECAST_MEMORY = timedelta(hours=4)

InputEvent = (
    MarketTick | NetworkStats | GridPrice | PriceForecast | GridSignal | Facility | Resource | Customer | FleetWindow
)


@dataclass(frozen=True, slots=True)
class StalenessPolicy:
    """From which age an input is flagged as stale: two to three times what its source usually takes."""

    tick: timedelta = timedelta(minutes=10)
    network: timedelta = timedelta(hours=3)
    price: timedelta = timedelta(minutes=15)
    window: timedelta = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class FacilityInputs:
    """What prices a facility's power as of `at`; `resources` and `references` are sorted by id and name.

    `btc`, `gpu_hour`, `network` and `price` are as they are used: where one is stale or missing, what stands in for it
    by the rule in `fallbacks`. `day_ahead` is the day-ahead price of the hour, if one is known.
    """

    at: datetime
    facility: Facility
    resources: tuple[Resource, ...]
    btc: MarketTick
    gpu_hour: MarketTick
    network: NetworkStats
    price: GridPrice
    references: tuple[InputReference, ...]
    fallbacks: tuple[InputFallback, ...] = ()
    day_ahead: GridPrice | None = None


@dataclass(frozen=True, slots=True)
class MissingInputs:
    """Which inputs of a facility have not been seen, and have nothing that stands in for them, by name, sorted."""

    facility_id: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Completion:
    """When the last needed input of a facility came, and which."""

    at: datetime
    event_id: str
    name: str


@dataclass(slots=True)
class MarketState:
    """The newest facts and as much of their past as is still needed. Not thread-safe."""

    staleness: StalenessPolicy = field(default_factory=StalenessPolicy)
    facility_records: MasterData[Facility] = field(default_factory=MasterData)
    resource_records: MasterData[Resource] = field(default_factory=MasterData)
    customer_records: MasterData[Customer] = field(default_factory=MasterData)
    ticks: dict[str, Series[MarketTick]] = field(default_factory=dict)
    network: Series[NetworkStats] = field(default_factory=Series)
    prices: dict[str, Series[GridPrice]] = field(default_factory=dict)
    day_ahead_prices: dict[str, DayAheadPrices] = field(default_factory=dict)
    forecasts: dict[str, Series[PriceForecast]] = field(default_factory=dict)
    signals: dict[str, Series[GridSignal]] = field(default_factory=dict)
    load: FleetLoad = field(default_factory=FleetLoad)

    def add(self, event: InputEvent) -> tuple[str, ...] | None:  # noqa: C901, PLR0911 - a flat table of the kinds
        """Takes an event; returns the ids of those that it makes needless, or None where it is itself of no use."""
        match event:
            case Facility():
                return self.facility_records.add(event.facility_id, event)
            case Resource():
                return self.resource_records.add(event.resource_group_id, event)
            case Customer():
                return self.customer_records.add(event.customer_id, event)
            case MarketTick():
                return _or_none(self.ticks.setdefault(event.instrument, Series()).add(event))
            case NetworkStats():
                return _or_none(event.chain == CHAIN and self.network.add(event))
            case GridPrice(market=GridMarket.REAL_TIME):
                return _or_none(self.prices.setdefault(event.settlement_point, Series()).add(event))
            case GridPrice():
                return _or_none(self.day_ahead_prices.setdefault(event.settlement_point, DayAheadPrices()).add(event))
            case PriceForecast():
                return _or_none(self.forecasts.setdefault(event.settlement_point, Series()).add(event))
            case GridSignal():
                return _or_none(self.signals.setdefault(event.facility_id, Series()).add(event))
            case FleetWindow():
                needless = self.load.add(event)
                if needless is event:
                    return None
                return () if needless is None else (needless.event_id,)

    @property
    def facilities(self) -> Mapping[str, Facility]:
        """The newest record of each facility."""
        return self.facility_records.newest

    @property
    def resources(self) -> Mapping[str, Resource]:
        """The newest record of each resource group."""
        return self.resource_records.newest

    @property
    def customers(self) -> Mapping[str, Customer]:
        """The newest record of each customer."""
        return self.customer_records.newest

    def price_series(self, facility_id: str) -> Series[GridPrice]:
        """Real-time prices where the facility settles; empty for an unknown facility."""
        facility = self.facilities.get(facility_id)
        return Series() if facility is None else self.prices.get(facility.settlement_point, Series())

    def day_ahead(self, settlement_point: str, start: datetime, *, at: datetime) -> GridPrice | None:
        """Day-ahead price of the interval that holds `start`, as published by `at`; None where none was."""
        prices = self.day_ahead_prices.get(settlement_point)
        return None if prices is None else prices.of(start, at)

    def forecast(self, settlement_point: str, at: datetime) -> PriceForecast | None:
        """The newest forecast that rests on a price published by `at`; None where there is none."""
        return self.forecasts.get(settlement_point, Series[PriceForecast]()).as_of(at)

    def tick_series(self, instrument: str) -> Series[MarketTick]:
        """Ticks of an instrument."""
        return self.ticks.get(instrument, Series())

    def clock(self, facility_id: str) -> datetime | None:
        """Stream time of a facility: the newest event time of its prices, the BTC ticks and its windows."""
        price, tick = self.price_series(facility_id).newest, self.tick_series(BTC).newest
        seen = [event.observed_at for event in (price, tick) if event is not None]
        window_end = self.load.newest_end(facility_id)
        return max(seen if window_end is None else [*seen, window_end], default=None)

    def as_of(self, facility_id: str, at: datetime) -> FacilityInputs | MissingInputs:
        """What is known of a facility at a moment, or which of its inputs is not."""
        facility = self.facility_records.as_of(at).get(facility_id)
        if facility is None:
            return MissingInputs(facility_id, ("registry.facilities",))
        resources = _groups_of(facility_id, self.resource_records.as_of(at))
        limits, names = self.staleness, _needed(facility)
        real_time, hour = self.price_series(facility_id).as_of(at), self.day_ahead(facility.settlement_point, at, at=at)
        btc = fallback.btc_price(names[1], self.tick_series(BTC).as_of(at), at, limits.tick)
        gpu_hour = fallback.gpu_hour_price(
            names[2], self.tick_series(GPU_HOUR).as_of(at), self.customer_records.as_of(at), at, limits.tick
        )
        network = fallback.network(names[3], self.network.as_of(at), at, limits.network)
        price = fallback.grid_price(names[4], real_time, hour, at, limits.price)
        if not resources or btc is None or gpu_hour is None or network is None or price is None:
            found = dict(zip(names, (resources, btc, gpu_hour, network, price), strict=True))
            return MissingInputs(facility_id, tuple(sorted(name for name, value in found.items() if not value)))
        used = (btc, gpu_hour, network, price)
        references = (reference for each in used for reference in each.references)
        return FacilityInputs(
            at=at,
            facility=facility,
            resources=resources,
            btc=btc.event,
            gpu_hour=gpu_hour.event,
            network=network.event,
            price=price.event,
            references=tuple(sorted(references, key=lambda reference: reference.name)),
            fallbacks=tuple(each.fallback for each in used if each.fallback is not None),
            day_ahead=hour,
        )

    def first_complete(self, facility_id: str) -> Completion | None:
        """When a facility had each needed input for the first time; None before."""
        facility = self.facilities.get(facility_id)
        if facility is None or not _groups_of(facility_id, self.resources):
            return None
        firsts: tuple[MarketTick | NetworkStats | GridPrice | None, ...] = (
            self.tick_series(BTC).first,
            self.tick_series(GPU_HOUR).first,
            self.network.first,
            self.price_series(facility_id).first,
        )
        seen = [
            Completion(event.observed_at, event.event_id, name)
            for name, event in zip(_needed(facility)[1:], firsts, strict=True)
            if event is not None
        ]
        return max(seen, key=lambda c: (c.at, c.name)) if len(seen) == len(firsts) else None

    def active_call(
        self, facility_id: str, start: datetime, end: datetime, known_at: datetime | None = None
    ) -> GridSignal | None:
        """The call that limits a facility most in [start, end), of those known at `known_at` (`start`) and not over.

        A call that begins within the interval counts: the load has to be down by then, and the next decision would come
        too late.
        """
        known = self.signals.get(facility_id, Series()).until(start if known_at is None else known_at)
        newest = {s.signal_id: s for s in known}
        active = [
            signal
            for signal in newest.values()
            if signal.status is SignalStatus.CALLED and signal.starts_at < end and signal.ends_at > start
        ]
        return min(active, key=lambda signal: (signal.limit_mw, signal.signal_id), default=None)

    def forget_before(self, at: datetime) -> tuple[str, ...]:
        """Drops the past that no question from `at` on reaches; returns the ids of the dropped events."""
        dropped: list[str] = []
        for ticks in self.ticks.values():
            dropped.extend(event.event_id for event in ticks.forget_before(at))
        for prices in self.prices.values():
            dropped.extend(event.event_id for event in prices.forget_before(at))
        for forecasts in self.forecasts.values():
            dropped.extend(event.event_id for event in forecasts.forget_before(at - FORECAST_MEMORY))
        for hours in self.day_ahead_prices.values():
            dropped.extend(event.event_id for event in hours.forget_before(at))
        dropped.extend(event.event_id for event in self.network.forget_before(at))
        for records in (self.facility_records, self.resource_records, self.customer_records):
            dropped.extend(records.forget_before(at))
        for calls in self.signals.values():
            dropped.extend(event.event_id for event in calls.events if event.ends_at + CALL_MEMORY <= at)
            calls.events = [event for event in calls.events if event.ends_at + CALL_MEMORY > at]
        return tuple(dropped)


def _needed(facility: Facility) -> tuple[str, ...]:
    return (
        f"registry.resources/{facility.facility_id}",
        f"market.ticks/{BTC}",
        f"market.ticks/{GPU_HOUR}",
        f"network.stats/{CHAIN}",
        f"grid.prices/{facility.settlement_point}",
    )


def _groups_of(facility_id: str, resources: Mapping[str, Resource]) -> tuple[Resource, ...]:
    return tuple(group for _, group in sorted(resources.items()) if group.facility_id == facility_id)


def _or_none(added: bool) -> tuple[str, ...] | None:
    return () if added else None


def customers_price(customers: Mapping[str, Customer], customer_id: str) -> float | None:
    """Contract price of a customer, USD per GPU-hour; None where there is no such customer."""
    customer = customers.get(customer_id)
    return None if customer is None else float(customer.gpu_hour_price_usd)
