"""What a MWh costs at a facility in an interval: the one sum by which evaluation, dispatch, plan and backtest price it.

LMP (real-time or day-ahead) + the adder agreed with the retailer + the expected transmission charge by coincident
peaks. Taking a MWh off a block saves the same sum, as the block is sunk and what is left of it settles at the LMP
(`economics.grid`); a call adds its payment to what is saved.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from schemas.events import Facility
from streams.domain import economics
from streams.domain.economics import coincident_peak

ERCOT = "ERCOT"


@dataclass(frozen=True, slots=True)
class PowerCost:
    """The parts of the cost of a MWh at the meter, USD/MWh; `payment_usd_mwh` is what a call pays for not using it."""

    lmp_usd_mwh: float
    energy_adder_usd_mwh: float
    transmission_usd_mwh: float = 0.0
    payment_usd_mwh: float = 0.0

    @property
    def usd_mwh(self) -> float:
        """All-in cost of a MWh that is used, USD/MWh. Raises ValueError for values that are not finite."""
        return economics.power_cost_usd_mwh(self.lmp_usd_mwh, self.energy_adder_usd_mwh, self.transmission_usd_mwh)

    @property
    def given_back_usd_mwh(self) -> float:
        """Worth of a MWh that is not used, or taken off a block: its cost, and the payment of a call."""
        return economics.grid_value_usd_mwh(self.usd_mwh, self.payment_usd_mwh)


def power_cost(facility: Facility, lmp_usd_mwh: float, at: datetime, payment_usd_mwh: float = 0.0) -> PowerCost:
    """The cost of a MWh at a facility in the interval of a moment, as far as is known by the calendar."""
    return PowerCost(lmp_usd_mwh, facility.energy_adder_usd_mwh, transmission_usd_mwh(facility, at), payment_usd_mwh)


def costs_usd_mwh(
    facility: Facility, lmp_usd_mwh: NDArray[np.float64], at_ms: NDArray[np.int64]
) -> NDArray[np.float64]:
    """All-in cost of many intervals, (n,), USD/MWh, from their LMPs and starts in ms since the epoch."""
    return np.array(
        [
            power_cost(facility, lmp, datetime.fromtimestamp(start / 1000, UTC)).usd_mwh
            for lmp, start in zip(lmp_usd_mwh.tolist(), at_ms.tolist(), strict=True)
        ]
    )


def transmission_usd_mwh(facility: Facility, at: datetime) -> float:
    """Expected transmission charge that a MWh used at a moment causes, USD/MWh.

    By ERCOT's four coincident peaks where the facility pays by them, nothing elsewhere. What is known live is the
    calendar alone: no load of the system is published as an event.
    """
    if facility.transmission_usd_kw_year == 0 or facility.grid_operator != ERCOT:
        return 0.0
    probability = coincident_peak.prior_peak_probability(at)
    return coincident_peak.avoided_charge_usd_mwh(facility.transmission_usd_kw_year, probability)
