"""What would have made a decision another one: the alternatives of each group, and the prices at which it changes.

Answers come from solving again, so they hold for the whole facility: a group may change because another one's power
gets scarce. Prices are searched away from the decision's own in steps that double, then by bisection: the flip found is
a true one; one that is undone again within a single step is passed over.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from schemas.events import AllocationDecision, AllocationSnapshot, GroupAllocation, PowerMode
from streams.domain.allocation import solve
from streams.domain.horizon import worth_usd_mwh
from streams.domain.whatif import at_btc_price, at_power_cost

POWER_STEP_USD_MWH = 1.0
# What energy may be offered at in ERCOT: Nodal Protocols, section 4.4.9.3, from -250, and 16 TAC 25.509, up to 5,000.
POWER_RANGE_USD_MWH = (-250.0, 5_000.0)
POWER_RESOLUTION_USD_MWH = 0.01
# Of the price, as a BTC price has no scale of its own.
BTC_STEP = 0.01
BTC_RANGE = (0.1, 10.0)
BTC_RESOLUTION = 0.0001


@dataclass(frozen=True, slots=True)
class Flip:
    """The nearest price at which a group does something else, and what: a power mode, or how many GPUs are busy."""

    resource_group_id: str
    price: float
    does: str


@dataclass(frozen=True, slots=True)
class Alternative:
    """A mode that a group was not given, and what it would have cost the facility, USD an hour."""

    resource_group_id: str
    mode: PowerMode
    loss_usd_h: float


@dataclass(frozen=True, slots=True)
class Search:
    """Prices from `least` to `most`: first `step` away from `start`, twice as far each time, then to `resolution`."""

    start: float
    least: float
    most: float
    step: float
    resolution: float


def power_flips(snapshot: AllocationSnapshot, decision: AllocationDecision) -> dict[str, Flip]:
    """The nearest all-in power price, USD/MWh, at which each group changes; a group that never does is not in it.

    What lies within the resolution of 0.01 USD/MWh is one price. Of a plan, the first interval alone is decided anew,
    what the plan has next given.
    """
    snapshot = _interval(snapshot, decision)
    cost = snapshot.power_cost_usd_mwh
    least, most = POWER_RANGE_USD_MWH
    found = Search(cost, min(cost, least), max(cost, most), POWER_STEP_USD_MWH, POWER_RESOLUTION_USD_MWH)
    return _flips(lambda price: at_power_cost(snapshot, price), found)


def btc_flips(snapshot: AllocationSnapshot, decision: AllocationDecision) -> dict[str, Flip]:
    """The nearest BTC price, USD, at which each group changes; empty where the snapshot does not say its price.

    Within the interval, as `power_flips`.
    """
    snapshot = _interval(snapshot, decision)
    price = snapshot.btc_price_usd
    if not price:
        return {}
    least, most = BTC_RANGE
    found = Search(price, price * least, price * most, price * BTC_STEP, price * BTC_RESOLUTION)
    return _flips(lambda usd: at_btc_price(snapshot, usd), found)


def alternatives(snapshot: AllocationSnapshot, decision: AllocationDecision) -> list[Alternative]:
    """What each other mode of each ASIC group would have cost, the rest decided anew; those over the cap are left out.

    A plan's alternatives are those of its first interval, what it has next given: one that costs less than nothing
    would be better now and worse in the hours ahead. Sorted by group, then by what is lost.
    """
    found: list[Alternative] = []
    given = {group.resource_group_id: group for group in decision.allocations}
    interval = _interval(snapshot, decision)
    made = solve(interval, {name: group.power_mode for name, group in given.items() if group.power_mode is not None})
    for group in interval.groups:
        for option in group.modes:
            if option.mode is given[group.resource_group_id].power_mode:
                continue
            instead = solve(interval, {group.resource_group_id: option.mode})
            if instead.status != "FALLBACK":
                loss = made.objective_usd_h - instead.objective_usd_h
                found.append(Alternative(group.resource_group_id, option.mode, loss))
    return sorted(found, key=lambda a: (a.resource_group_id, a.loss_usd_h, a.mode))


def _interval(snapshot: AllocationSnapshot, decision: AllocationDecision) -> AllocationSnapshot:
    """The decided interval alone: of the hours ahead, what the decision has planned for them."""
    if not snapshot.horizon:
        return snapshot
    ahead = {group.resource_group_id: group.planned_modes for group in decision.allocations}
    groups = [replace(group, planned_modes=ahead[group.resource_group_id]) for group in snapshot.groups]
    return replace(snapshot, horizon=[], groups=groups, ahead_usd_mwh=worth_usd_mwh(snapshot.horizon[1:]))


def _flips(at: Callable[[float], AllocationSnapshot], prices: Search) -> dict[str, Flip]:
    seen: dict[float, dict[str, str]] = {}

    def done_at(price: float) -> dict[str, str]:
        if price not in seen:
            seen[price] = {g.resource_group_id: _does(g) for g in solve(at(price)).allocations}
        return seen[price]

    own = done_at(prices.start)
    nearest: dict[str, Flip] = {}
    for end in (prices.most, prices.least):
        for name, flip in _one_way(done_at, own, prices, end).items():
            known = nearest.get(name)
            if known is None or abs(flip.price - prices.start) < abs(known.price - prices.start):
                nearest[name] = flip
    return dict(sorted(nearest.items()))


def _one_way(
    done_at: Callable[[float], dict[str, str]], own: dict[str, str], prices: Search, end: float
) -> dict[str, Flip]:
    def does_at(name: str, price: float) -> str:
        return done_at(price)[name]

    found: dict[str, Flip] = {}
    same, away = prices.start, prices.step
    while same != end and len(found) < len(own):
        price = min(prices.start + away, end) if end > prices.start else max(prices.start - away, end)
        for name, does in own.items():
            if name not in found and done_at(price)[name] != does:
                flip = _bisected(partial(does_at, name), does, prices.resolution, (same, price))
                found[name] = Flip(name, flip, does_at(name, flip))
        same, away = price, away * 2
    return found


def _bisected(done_at: Callable[[float], str], own: str, resolution: float, between: tuple[float, float]) -> float:
    """The price nearest to the first of two at which it is not as there."""
    same, other = between
    while abs(other - same) > resolution:
        middle = (same + other) / 2
        if done_at(middle) == own:
            same = middle
        else:
            other = middle
    return other


def _does(group: GroupAllocation) -> str:
    return group.power_mode or f"{group.gpus_busy} GPUs busy"
