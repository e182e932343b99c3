"""What a megawatt is worth in each of its uses: Bitcoin, GPU-hours, or given back to the grid.

Formulas only; the inputs come from `streams.domain.market_state`. Power is in W or MW, energy in MWh, money in USD.
"At the meter" means with cooling: IT power times the facility's PUE (ISO/IEC 30134-2: facility energy over IT energy).
"""

from streams.domain.economics.gpu import gpu_value_usd_mwh
from streams.domain.economics.grid import grid_value_usd_mwh, power_cost_usd_mwh
from streams.domain.economics.mining import (
    ModeEconomics,
    best_mode,
    break_even_price,
    difficulty_of_hashrate,
    hashprice_usd_ths_day,
    mode_economics,
)
from streams.domain.economics.policy import EconomicsPolicy

__all__ = [
    "EconomicsPolicy",
    "ModeEconomics",
    "best_mode",
    "break_even_price",
    "difficulty_of_hashrate",
    "gpu_value_usd_mwh",
    "grid_value_usd_mwh",
    "hashprice_usd_ths_day",
    "mode_economics",
    "power_cost_usd_mwh",
]
