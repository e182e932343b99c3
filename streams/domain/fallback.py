"""What stands in for an input that is stale or missing: written rules, in one table, and what they make of the inputs.

No input ever becomes zero because it is not there: either a rule gives a value and the evaluation says which, or there
is no evaluation and no decision, and groups keep the mode that they were told last.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from schemas.events import (
    Customer,
    FallbackRule,
    GridPrice,
    InputCondition,
    InputFallback,
    InputReference,
    MarketTick,
    NetworkStats,
)
from streams.domain.day_ahead import delivery_end

R = FallbackRule
C = InputCondition


@dataclass(frozen=True, slots=True)
class Rule:
    """For an input in a condition: the rules to try, in this order, and why. With none left the input is missing."""

    input: str
    condition: InputCondition
    order: tuple[FallbackRule, ...]
    reason: str


RULES = (
    Rule(
        "grid.prices",
        C.STALE,
        (R.DAY_AHEAD_OF_HOUR, R.LAST_KNOWN),
        "the day-ahead price is the market's forecast of this very hour; without that market the last price holds on",
    ),
    Rule("grid.prices", C.MISSING, (R.DAY_AHEAD_OF_HOUR,), "as above; a price of another place or hour is no guess"),
    Rule(
        "market.ticks/BTC-USD",
        C.STALE,
        (R.LAST_KNOWN_LESS_RISK,),
        "the price may have fallen since: what it is above with a probability of 95 % at its age",
    ),
    Rule("market.ticks/BTC-USD", C.MISSING, (), "nothing else prices a bitcoin"),
    Rule("market.ticks/H100-HOUR-USD", C.STALE, (R.LAST_KNOWN,), "it moves by a few percent a day"),
    Rule(
        "market.ticks/H100-HOUR-USD",
        C.MISSING,
        (R.LOWEST_CONTRACT,),
        "the least that a customer has agreed to pay for the same hour",
    ),
    Rule("network.stats/bitcoin", C.STALE, (R.LAST_KNOWN,), "difficulty holds for 2,016 blocks, two weeks"),
    Rule("network.stats/bitcoin", C.MISSING, (), "nothing else says what a hash earns"),
    Rule(
        "fleet.windows",
        C.STALE,
        (R.LAST_KNOWN, R.IDLE_POWER),
        "devices that stop reporting go on drawing power, but not more than standby while they are out of service",
    ),
    Rule("fleet.windows", C.MISSING, (R.IDLE_POWER,), "no device has ever reported: standby is what is sure"),
)

BTC_YEARLY_VOLATILITY = 0.63
"""Standard deviation of a year's log returns: of daily closes 2020 to August 2025 (Coin Metrics community data)."""

_ONE_SIDED_95 = 1.645
_YEAR = timedelta(days=365)

E = TypeVar("E", MarketTick, NetworkStats, GridPrice)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Input(Generic[E]):
    """An input as it is used. `references`: the events that it comes from; `fallback`: the rule followed, if any."""

    event: E
    references: tuple[InputReference, ...]
    fallback: InputFallback | None = None


def rule_of(name: str, condition: InputCondition) -> Rule:
    """The rule for an input, by its name or the topic before the slash. Raises KeyError where there is none."""
    for rule in RULES:
        if rule.condition is condition and f"{name}/".startswith(f"{rule.input}/"):
            return rule
    raise KeyError(f"no rule for {name} that is {condition.lower()}")


def chosen(rule: Rule, options: Mapping[FallbackRule, Value | None]) -> tuple[FallbackRule, Value] | None:
    """The first of the rule's order for which there is something; None where there is nothing."""
    for candidate in rule.order:
        found = options.get(candidate)
        if found is not None:
            return candidate, found
    return None


def grid_price(
    name: str, real_time: GridPrice | None, day_ahead: GridPrice | None, at: datetime, limit: timedelta
) -> Input[GridPrice] | None:
    """The price of power at a moment. A real-time price is fresh up to its age limit, and while its interval lasts.

    The day-ahead price of the hour, where there is one, is a reference too: it is told beside the real-time price.
    """
    stale = real_time is not None and at - real_time.observed_at > limit and at >= delivery_end(real_time)
    options = {R.LAST_KNOWN: real_time, R.DAY_AHEAD_OF_HOUR: day_ahead}
    found = _used(name, real_time, options, lambda price: price.price_usd_mwh, is_stale=stale)
    if found is None or day_ahead is None:
        return found
    beside = _reference(f"{name}/{day_ahead.market}", day_ahead, is_stale=False)
    return replace(found, references=(*found.references, beside))


def btc_price(name: str, tick: MarketTick | None, at: datetime, limit: timedelta) -> Input[MarketTick] | None:
    """The BTC price at a moment; an old one is taken with the risk that it has fallen since."""
    options: dict[FallbackRule, MarketTick | None] = {}
    if tick is not None:
        options[R.LAST_KNOWN_LESS_RISK] = replace(tick, price_usd=less_risk_usd(tick.price_usd, at - tick.observed_at))
    stale = tick is not None and at - tick.observed_at > limit
    return _used(name, tick, options, lambda used: used.price_usd, is_stale=stale)


def gpu_hour_price(
    name: str, tick: MarketTick | None, customers: Mapping[str, Customer], at: datetime, limit: timedelta
) -> Input[MarketTick] | None:
    """The spot price of a GPU-hour at a moment."""
    stale = tick is not None and at - tick.observed_at > limit
    options = {R.LAST_KNOWN: tick, R.LOWEST_CONTRACT: _lowest_contract(name, customers)}
    return _used(name, tick, options, lambda used: used.price_usd, is_stale=stale)


def network(name: str, stats: NetworkStats | None, at: datetime, limit: timedelta) -> Input[NetworkStats] | None:
    """The network at a moment."""
    stale = stats is not None and at - stats.observed_at > limit
    return _used(name, stats, {R.LAST_KNOWN: stats}, lambda used: used.difficulty, is_stale=stale)


def less_risk_usd(price_usd: float, age: timedelta) -> float:
    """What a BTC price of an age is above today with a probability of 95 %, USD.

    Geometric Brownian motion without drift (Black and Scholes, 1973): price * exp(-1.645 * volatility * sqrt(age)).
    """
    years = max(age / _YEAR, 0.0)
    return price_usd * math.exp(-_ONE_SIDED_95 * BTC_YEARLY_VOLATILITY * math.sqrt(years))


def _used(
    name: str,
    event: E | None,
    options: Mapping[FallbackRule, E | None],
    value: Callable[[E], float],
    *,
    is_stale: bool,
) -> Input[E] | None:
    references = () if event is None else (_reference(name, event, is_stale=is_stale),)
    if event is not None and not is_stale:
        return Input(event, references)
    condition = C.MISSING if event is None else C.STALE
    found = chosen(rule_of(name, condition), options)
    if found is None:
        return None
    rule, used = found
    return Input(
        used,
        references or (InputReference(name=name, event_id="", observed_at=used.observed_at, is_stale=True),),
        InputFallback(name=name, condition=condition, rule=rule, value=value(used)),
    )


def _reference(name: str, event: MarketTick | NetworkStats | GridPrice, *, is_stale: bool) -> InputReference:
    return InputReference(name=name, event_id=event.event_id, observed_at=event.observed_at, is_stale=is_stale)


def _lowest_contract(name: str, customers: Mapping[str, Customer]) -> MarketTick | None:
    lowest = min(customers.values(), key=lambda c: (c.gpu_hour_price_usd, c.customer_id), default=None)
    if lowest is None:
        return None
    return MarketTick(
        event_id=lowest.event_id,
        instrument=name.rpartition("/")[2],
        observed_at=lowest.recorded_at,
        price_usd=float(lowest.gpu_hour_price_usd),
        source=f"registry.customers/{lowest.customer_id}",
    )
