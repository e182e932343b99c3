"""What a megawatt is worth in each of its uses: Bitcoin, GPU-hours, or given back to the grid.

Formulas only; the inputs come from `streams.domain.market_state`. Power is in W or MW, energy in MWh, money in USD.
"At the meter" means with cooling: IT power times the facility's PUE (ISO/IEC 30134-2: facility energy over IT energy).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.events import PowerMode, PowerModePoint

SECONDS_PER_DAY = 86_400
# Expected hashes for one block at difficulty 1: 2^48 / 0xFFFF. Bitcoin Core, `GetDifficulty` and `nBits` 0x1d00ffff:
# difficulty is (0xFFFF * 2^208) / target, and a hash is below the target with probability (target + 1) / 2^256.
HASHES_PER_DIFFICULTY = 2**48 / 0xFFFF


@dataclass(frozen=True, slots=True)
class EconomicsPolicy:
    """What the operator has agreed. `pool_fee_ratio`: share of the reward that the pool keeps."""

    pool_fee_ratio: float = 0.02


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


def hashprice_usd_ths_day(
    btc_price_usd: float, difficulty: float, block_subsidy_btc: float, block_fees_btc: float, pool_fee_ratio: float
) -> float:
    """Expected revenue of 1 TH/s over a day, USD.

    1e12 hashes a second times 86,400 s, over the expected hashes of a block (difficulty times 2^48/0xFFFF), times the
    reward of a block (subsidy and fees) and the price, less the pool's fee. From the difficulty, not from an estimate
    of the network's hashrate: the difficulty is what the protocol pays by. Raises ValueError that names the argument.
    """
    _require_positive("btc_price_usd", btc_price_usd)
    _require_positive("difficulty", difficulty)
    _require_not_negative("block_subsidy_btc", block_subsidy_btc)
    _require_not_negative("block_fees_btc", block_fees_btc)
    if not 0 <= pool_fee_ratio < 1:
        raise ValueError(f"pool_fee_ratio must be at least 0 and below 1, got {pool_fee_ratio!r}")
    blocks = 1e12 * SECONDS_PER_DAY / (difficulty * HASHES_PER_DIFFICULTY)
    return blocks * (block_subsidy_btc + block_fees_btc) * btc_price_usd * (1 - pool_fee_ratio)


def difficulty_of_hashrate(network_hashrate_ths: float) -> float:
    """Difficulty at which a network of that hashrate finds a block every 600 s on average.

    Bitcoin's target spacing (`nPowTargetSpacing`). For sources that publish the hashrate only.
    """
    _require_positive("network_hashrate_ths", network_hashrate_ths)
    return network_hashrate_ths * 1e12 * 600 / HASHES_PER_DIFFICULTY


def mode_economics(point: PowerModePoint, hashprice: float, pue_ratio: float) -> ModeEconomics:
    """What one device earns in a mode at a hashprice in USD/TH/s/day. Raises ValueError that names the argument."""
    _require_not_negative("hashprice", hashprice)
    _require_pue(pue_ratio)
    revenue_usd_h = point.hashrate_ths * hashprice / 24
    power_mw = point.power_w * pue_ratio / 1e6
    value = revenue_usd_h / power_mw if power_mw > 0 else 0.0
    return ModeEconomics(point.mode, power_mw, revenue_usd_h, value)


def best_mode(modes: Sequence[ModeEconomics], power_cost_usd_mwh: float) -> ModeEconomics | None:
    """The mode with the greatest margin an hour, the one that draws less where two are equal; None without modes."""
    return max(modes, key=lambda m: (m.margin_usd_h(power_cost_usd_mwh), -m.power_mw), default=None)


def break_even_price(hashrate_ths: float, power_w: float, hashprice: float, pue_ratio: float = 1.0) -> float:
    """All-in power price at which a miner earns exactly what its energy costs, in USD/MWh.

    break-even = revenue per hour / energy at the meter per hour. `hashprice` is in USD/TH/s/day.
    Raises ValueError, naming the argument, unless `power_w` > 0 and the others are >= 0 (NaN is refused).
    """
    _require_positive("power_w", power_w)
    _require_not_negative("hashrate_ths", hashrate_ths)
    _require_not_negative("hashprice", hashprice)
    _require_pue(pue_ratio)
    return (hashrate_ths * hashprice / 24) / (power_w * pue_ratio / 1e6)


def gpu_value_usd_mwh(price_usd_gpu_hour: float, power_w: float, pue_ratio: float) -> float:
    """Revenue of a MWh at the meter that busy GPUs draw: GPU-hours in a MWh times the price of one."""
    _require_not_negative("price_usd_gpu_hour", price_usd_gpu_hour)
    _require_positive("power_w", power_w)
    _require_pue(pue_ratio)
    return price_usd_gpu_hour / (power_w * pue_ratio / 1e6)


def power_cost_usd_mwh(lmp_usd_mwh: float, energy_adder_usd_mwh: float) -> float:
    """All-in cost of a MWh at the meter: the locational price and what retail, transmission and losses add to it.

    Negative where the grid pays for load. Raises ValueError for values that are not finite.
    """
    if not (math.isfinite(lmp_usd_mwh) and math.isfinite(energy_adder_usd_mwh)):
        raise ValueError(f"{lmp_usd_mwh=} and {energy_adder_usd_mwh=} must be finite")
    return lmp_usd_mwh + energy_adder_usd_mwh


def grid_value_usd_mwh(power_cost: float, payment_usd_mwh: float | None) -> float:
    """Worth of a MWh not used: its avoided cost and, during a call, the payment for load below the cap.

    The avoided cost is also what selling back a block bought ahead is worth: it settles at the same real-time price,
    and what was paid for the block is sunk either way. `payment_usd_mwh` is None where no call is active.
    """
    return power_cost + (payment_usd_mwh or 0.0)


def _require_positive(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be positive, got {value!r}")


def _require_not_negative(name: str, value: float) -> None:
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be zero or more, got {value!r}")


def _require_pue(value: float) -> None:
    if not (value >= 1 and math.isfinite(value)):
        raise ValueError(f"pue_ratio must be 1 or more, got {value!r}")
