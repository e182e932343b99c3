"""What a megawatt earns by mining Bitcoin: subsidy, hashprice, efficiency, derating by heat, margins, break-evens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from schemas.events import PowerMode, PowerModePoint
from streams.domain.economics.argument import require_finite, require_not_negative, require_positive, require_pue

SECONDS_PER_DAY = 86_400
BLOCK_S = 600
"""Target time between two blocks (Bitcoin Core, `nPowTargetSpacing`)."""

# Expected hashes for one block at difficulty 1: 2^48 / 0xFFFF. Bitcoin Core, `GetDifficulty` and `nBits` 0x1d00ffff:
# difficulty is (0xFFFF * 2^208) / target, and a hash is below the target with probability (target + 1) / 2^256.
HASHES_PER_DIFFICULTY = 2**48 / 0xFFFF

HALVING_BLOCKS = 210_000
"""Blocks between two halvings (Bitcoin Core, `nSubsidyHalvingInterval`)."""

HALVING_DATES: dict[int, date] = {
    210_000: date(2012, 11, 28),
    420_000: date(2016, 7, 9),
    630_000: date(2020, 5, 11),
    840_000: date(2024, 4, 20),
}
"""Height of the first block with half the subsidy, and the day (UTC) in its header, as in the block chain."""

_SATOSHIS_PER_BTC = 100_000_000
_FIRST_SUBSIDY_SATOSHIS = 50 * _SATOSHIS_PER_BTC


@dataclass(frozen=True, slots=True)
class HeatDerating:
    """What outside air does to a miner whose nameplate holds at `nameplate_c`.

    Wall power rises by `power_per_c` a degree (leakage of the chips, fans). From `throttle_c` on, the top of makers'
    operating range (Bitmain's S21 sheet: 0 to 45 °C), firmware takes back `throttle_per_c` of power and hashrate a
    degree to hold the board temperature. The two slopes are assumptions: no maker publishes them.
    """

    nameplate_c: float = 25.0
    power_per_c: float = 0.001
    throttle_c: float = 45.0
    throttle_per_c: float = 0.05


@dataclass(frozen=True, slots=True)
class ModeEconomics:
    """One device in one power mode; `value_usd_mwh`, revenue for a MWh at the meter, is the price that breaks even."""

    mode: PowerMode
    power_mw: float
    revenue_usd_h: float
    value_usd_mwh: float

    def margin_usd_h(self, power_cost_usd_mwh: float) -> float:
        """Revenue less the cost of the energy, USD an hour; `power_mw` is at the meter."""
        return self.revenue_usd_h - power_cost_usd_mwh * self.power_mw

    def margin_usd_mwh(self, power_cost_usd_mwh: float) -> float:
        """Revenue less the cost of the energy, for a MWh at the meter."""
        return self.value_usd_mwh - power_cost_usd_mwh


@dataclass(frozen=True, slots=True)
class ModeStep:
    """One device going up to a mode from the one below: extra power at the meter, and what a MWh of it earns."""

    mode: PowerMode
    extra_mw: float
    value_usd_mwh: float


def block_subsidy_btc(height: int) -> float:
    """New coins of the block at a height, BTC: 50, halved every 210,000 blocks, in whole satoshis rounded down.

    Bitcoin Core, `GetBlockSubsidy`; nothing after 64 halvings. Raises ValueError for a negative height.
    """
    if height < 0:
        raise ValueError(f"height must be zero or more, got {height!r}")
    halvings = height // HALVING_BLOCKS
    return (_FIRST_SUBSIDY_SATOSHIS >> halvings if halvings < 64 else 0) / _SATOSHIS_PER_BTC


def blocks_to_halving(height: int) -> int:
    """How many blocks after the one at a height the first with half the subsidy comes; 1 or more."""
    if height < 0:
        raise ValueError(f"height must be zero or more, got {height!r}")
    return HALVING_BLOCKS - height % HALVING_BLOCKS


def hashprice_usd_ths_day(
    btc_price_usd: float, difficulty: float, block_subsidy_btc: float, block_fees_btc: float, pool_fee_ratio: float
) -> float:
    """Expected revenue of 1 TH/s over a day, USD.

    1e12 hashes a second times 86,400 s, over the expected hashes of a block (difficulty times 2^48/0xFFFF), times the
    reward of a block (subsidy and fees) and the price, less the pool's fee. From the difficulty, not from an estimate
    of the network's hashrate: the difficulty is what the protocol pays by. Raises ValueError that names the argument.
    """
    require_positive("btc_price_usd", btc_price_usd)
    require_positive("difficulty", difficulty)
    require_not_negative("block_subsidy_btc", block_subsidy_btc)
    require_not_negative("block_fees_btc", block_fees_btc)
    if not 0 <= pool_fee_ratio < 1:
        raise ValueError(f"pool_fee_ratio must be at least 0 and below 1, got {pool_fee_ratio!r}")
    blocks = 1e12 * SECONDS_PER_DAY / (difficulty * HASHES_PER_DIFFICULTY)
    return blocks * (block_subsidy_btc + block_fees_btc) * btc_price_usd * (1 - pool_fee_ratio)


def difficulty_of_hashrate(network_hashrate_ths: float) -> float:
    """Difficulty at which a network of that hashrate finds a block every 600 s on average.

    For sources that publish the hashrate only.
    """
    require_positive("network_hashrate_ths", network_hashrate_ths)
    return network_hashrate_ths * 1e12 * BLOCK_S / HASHES_PER_DIFFICULTY


def hashrate_of_difficulty(difficulty: float) -> float:
    """Hashrate of a network that finds a block every 600 s on average at a difficulty, TH/s."""
    require_positive("difficulty", difficulty)
    return difficulty * HASHES_PER_DIFFICULTY / BLOCK_S / 1e12


def efficiency_j_th(power_w: float, hashrate_ths: float) -> float:
    """Energy for 1e12 hashes, J/TH: makers' figure of merit. Raises ValueError unless there is a hashrate."""
    require_not_negative("power_w", power_w)
    require_positive("hashrate_ths", hashrate_ths)
    return power_w / hashrate_ths


def derated(point: PowerModePoint, outside_c: float, heat: HeatDerating) -> PowerModePoint:
    """What one device draws and does in a mode in air of a temperature. OFF stays as it is."""
    require_finite("outside_c", outside_c)
    if point.hashrate_ths == 0:
        return point
    kept = max(1 - heat.throttle_per_c * max(outside_c - heat.throttle_c, 0.0), 0.0)
    warmer = max(1 + heat.power_per_c * (outside_c - heat.nameplate_c), 0.0)
    return replace(point, power_w=point.power_w * warmer * kept, hashrate_ths=point.hashrate_ths * kept)


def mode_economics(point: PowerModePoint, hashprice: float, pue_ratio: float) -> ModeEconomics:
    """What one device earns in a mode at a hashprice in USD/TH/s/day. Raises ValueError that names the argument."""
    require_not_negative("hashprice", hashprice)
    require_pue(pue_ratio)
    revenue_usd_h = point.hashrate_ths * hashprice / 24
    power_mw = point.power_w * pue_ratio / 1e6
    value = revenue_usd_h / power_mw if power_mw > 0 else 0.0
    return ModeEconomics(point.mode, power_mw, revenue_usd_h, value)


def best_mode(modes: Sequence[ModeEconomics], power_cost_usd_mwh: float) -> ModeEconomics | None:
    """The mode with the greatest margin an hour, the one that draws less where two are equal; None without modes."""
    return max(modes, key=lambda m: (m.margin_usd_h(power_cost_usd_mwh), -m.power_mw), default=None)


def mode_steps(modes: Sequence[ModeEconomics], standby_mw: float = 0.0) -> list[ModeStep]:
    """What each mode draws and earns over the one below it, from standby on, sorted by power.

    A mode that draws no more than the one below has no step of its own.
    """
    steps: list[ModeStep] = []
    below_mw, below_usd_h = standby_mw, 0.0
    for mode in sorted(modes, key=lambda m: (m.power_mw, -m.revenue_usd_h)):
        extra_mw = mode.power_mw - below_mw
        if extra_mw > 0:
            steps.append(ModeStep(mode.mode, extra_mw, (mode.revenue_usd_h - below_usd_h) / extra_mw))
            below_mw, below_usd_h = mode.power_mw, mode.revenue_usd_h
    return steps


def break_even_price(hashrate_ths: float, power_w: float, hashprice: float, pue_ratio: float = 1.0) -> float:
    """All-in power price at which a miner earns exactly what its energy costs, in USD/MWh.

    break-even = revenue per hour / energy at the meter per hour. `hashprice` is in USD/TH/s/day.
    Raises ValueError, naming the argument, unless `power_w` > 0 and the others are >= 0 (NaN is refused).
    """
    require_positive("power_w", power_w)
    require_not_negative("hashrate_ths", hashrate_ths)
    require_not_negative("hashprice", hashprice)
    require_pue(pue_ratio)
    return (hashrate_ths * hashprice / 24) / (power_w * pue_ratio / 1e6)


def break_even_hashprice_usd_ths_day(efficiency: float, power_cost_usd_mwh: float, pue_ratio: float = 1.0) -> float:
    """Hashprice at which a miner of an efficiency in J/TH earns exactly what its energy costs; 0 where power is free.

    1 TH/s draws `efficiency` W, times the PUE, for 24 hours.
    """
    require_positive("efficiency", efficiency)
    require_finite("power_cost_usd_mwh", power_cost_usd_mwh)
    require_pue(pue_ratio)
    return max(efficiency * pue_ratio * 24 / 1e6 * power_cost_usd_mwh, 0.0)


def break_even_btc_price_usd(btc_price_usd: float, value_usd_mwh: float, power_cost_usd_mwh: float) -> float | None:
    """BTC price at which a mode earns exactly what its energy costs, all else equal: revenue is linear in the price.

    None where no price is: it earns nothing, or its power is free.
    """
    require_positive("btc_price_usd", btc_price_usd)
    require_not_negative("value_usd_mwh", value_usd_mwh)
    if value_usd_mwh == 0 or power_cost_usd_mwh <= 0:
        return None
    return btc_price_usd * power_cost_usd_mwh / value_usd_mwh


def break_even_difficulty(difficulty: float, value_usd_mwh: float, power_cost_usd_mwh: float) -> float | None:
    """Difficulty at which a mode earns exactly what its energy costs, all else equal: revenue goes with its inverse.

    None where no difficulty is: it earns nothing, or its power is free.
    """
    require_positive("difficulty", difficulty)
    require_not_negative("value_usd_mwh", value_usd_mwh)
    if value_usd_mwh == 0 or power_cost_usd_mwh <= 0:
        return None
    return difficulty * value_usd_mwh / power_cost_usd_mwh
