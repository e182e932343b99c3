"""What a megawatt costs from the grid, and earns given back: prices, settlement of a block, credits, ramp and notice.

ERCOT's rules by section of its Nodal Protocols; other markets settle a fixed-price block in the same two steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from streams.domain.economics.argument import require_finite, require_not_negative, require_positive

SETTLEMENT_INTERVAL = timedelta(minutes=15)
"""ERCOT settles real-time energy by quarter hours (section 6.6.1); dispatch prices come every five minutes."""

OFFER_CAPS: tuple[tuple[date, float], ...] = (
    (date(2013, 6, 1), 5_000.0),
    (date(2014, 6, 1), 7_000.0),
    (date(2015, 6, 1), 9_000.0),
    (date(2022, 1, 1), 5_000.0),
)
"""From which day which high system-wide offer cap holds, USD/MWh (16 Texas Administrative Code 25.505 and 25.509)."""


@dataclass(frozen=True, slots=True)
class BlockSettlement:
    """What a fixed-price block and the energy around it come to in an interval; energy in MWh, money in USD.

    `cost_usd` is what is paid in all: below zero where the sale brings more than the block cost.
    """

    bought_mwh: float
    sold_mwh: float
    unsold_mwh: float
    cost_usd: float


def offer_cap_usd_mwh(day: date) -> float | None:
    """ERCOT's high system-wide offer cap on a day; None before the first that is listed.

    A cap on offers: a price at a settlement point can be above it by congestion and adders. In a year whose peaker net
    margin passes its threshold a low cap takes its place; that is not told here.
    """
    return next((cap for since, cap in reversed(OFFER_CAPS) if since <= day), None)


def settlement_interval_start(at: datetime) -> datetime:
    """Start of the quarter hour that a moment is settled in; quarter hours are aligned to the epoch."""
    seconds = int(at.timestamp())
    return datetime.fromtimestamp(seconds - seconds % int(SETTLEMENT_INTERVAL.total_seconds()), at.tzinfo)


def settlement_price_usd_mwh(prices: Sequence[tuple[float, float]]) -> float:
    """Real-time settlement point price of a quarter hour at a hub: its dispatch prices, weighted by their seconds.

    `prices`: pairs of USD/MWh and seconds. Section 6.6.1.3, hubs; zones weigh by load as well. Raises ValueError
    without any.
    """
    if not prices:
        raise ValueError("prices must not be empty")
    for price, seconds in prices:
        require_finite("price_usd_mwh", price)
        require_positive("seconds", seconds)
    return sum(price * seconds for price, seconds in prices) / sum(seconds for _, seconds in prices)


def power_cost_usd_mwh(lmp_usd_mwh: float, energy_adder_usd_mwh: float, transmission_usd_mwh: float = 0.0) -> float:
    """All-in cost of a MWh at the meter: the locational price and what retail, transmission and losses add to it.

    `transmission_usd_mwh` is the expected charge by coincident peaks, where the adder does not hold it. Negative where
    the grid pays for load. Raises ValueError for values that are not finite.
    """
    require_finite("lmp_usd_mwh", lmp_usd_mwh)
    require_finite("energy_adder_usd_mwh", energy_adder_usd_mwh)
    require_not_negative("transmission_usd_mwh", transmission_usd_mwh)
    return lmp_usd_mwh + energy_adder_usd_mwh + transmission_usd_mwh


def grid_value_usd_mwh(power_cost: float, payment_usd_mwh: float | None) -> float:
    """Worth of a MWh not used: its avoided cost and, during a call, the payment for load below the cap.

    The avoided cost is also what selling back a block bought ahead is worth: it settles at the same real-time price,
    and what was paid for the block is sunk either way. `payment_usd_mwh` is None where no call is active.
    """
    return power_cost + (payment_usd_mwh or 0.0)


def block_settlement(
    used_mwh: float,
    block_mwh: float,
    block_price_usd_mwh: float,
    real_time_usd_mwh: float,
    sell_back_limit_mwh: float = float("inf"),
) -> BlockSettlement:
    """Two-settlement of a block of energy: it is paid at its price whatever is used, the difference at real time.

    cost = block * block price + (used - block) * real-time price (sections 4.6.2 and 6.6.3). What is left over is sold
    up to the limit of the contract, at a price below zero too; the rest of it brings nothing.
    """
    require_not_negative("used_mwh", used_mwh)
    require_not_negative("block_mwh", block_mwh)
    require_finite("block_price_usd_mwh", block_price_usd_mwh)
    require_finite("real_time_usd_mwh", real_time_usd_mwh)
    bought = max(used_mwh - block_mwh, 0.0)
    left = max(block_mwh - used_mwh, 0.0)
    sold = min(left, sell_back_limit_mwh)
    cost = block_mwh * block_price_usd_mwh + (bought - sold) * real_time_usd_mwh
    return BlockSettlement(bought, sold, left - sold, cost)


def curtailment_credit_usd(baseline_mw: float, load_mw: float, duration_s: float, payment_usd_mwh: float) -> float:
    """What a curtailment or demand-response call pays: for each MWh below the baseline; load above it pays nothing."""
    require_not_negative("baseline_mw", baseline_mw)
    require_not_negative("load_mw", load_mw)
    require_not_negative("duration_s", duration_s)
    require_not_negative("payment_usd_mwh", payment_usd_mwh)
    return max(baseline_mw - load_mw, 0.0) * duration_s / 3600 * payment_usd_mwh


def load_range_mw(
    load_mw: float, ramp_mw_min: float, duration_s: float, min_load_mw: float, cap_mw: float
) -> tuple[float, float]:
    """Least and greatest load that can be reached from `load_mw` within a time, MW; a ramp of 0 is no limit.

    Outside of what minimum load and cap allow, the nearest load that is allowed counts as far as the ramp goes.
    """
    require_not_negative("ramp_mw_min", ramp_mw_min)
    require_not_negative("duration_s", duration_s)
    if not 0 <= min_load_mw <= cap_mw:
        raise ValueError(f"{min_load_mw=} must be from 0 to {cap_mw=}")
    if ramp_mw_min == 0:
        return min_load_mw, cap_mw
    step = ramp_mw_min * duration_s / 60
    low, high = load_mw - step, load_mw + step
    return min(max(low, min_load_mw), max(high, 0.0)), max(min(high, cap_mw), low)


def reduction_mw(load_mw: float, min_load_mw: float, ramp_mw_min: float, notice_s: float) -> float:
    """How far the load can be down when a call's notice has run out, MW: what may be offered as a reduction."""
    require_not_negative("load_mw", load_mw)
    require_not_negative("min_load_mw", min_load_mw)
    require_not_negative("ramp_mw_min", ramp_mw_min)
    require_not_negative("notice_s", notice_s)
    above = max(load_mw - min_load_mw, 0.0)
    return above if ramp_mw_min == 0 else min(above, ramp_mw_min * notice_s / 60)
