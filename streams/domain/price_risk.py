"""How far the cost of power may come out from what a plan expects: price scenarios for its risk term (CVaR).

Scenarios are strata of recorded errors, not draws, so the same forecast has the same ones. The errors are those of the
live forecast of the hours ahead (`streams.domain.horizon`: day-ahead price and a deviation that fades) against ERCOT's
15-minute price of the hub average, asked in each quarter hour from 5 February 2024 to 30 August 2025 (55,008 times;
the files are those of `hcp backtest`). Ordered by their mean over four hours and cut by `PROBABILITY`, each stratum is
the mean error of its times at each lead. The mean of all is taken off: what is expected stays as it was forecast.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from schemas.events import HorizonInterval

PROBABILITY = (0.05, 0.2, 0.5, 0.2, 0.04, 0.01)
LEADS_S = (0, 900, 1800, 3600, 7200, 10_800, 14_400)
ERRORS_USD_MWH = (
    (0.0, -23.68, -36.60, -47.59, -55.68, -54.14, -49.01),
    (0.0, -2.57, -4.64, -6.45, -8.75, -9.79, -9.83),
    (0.0, -0.29, -0.44, -0.68, -1.04, -1.33, -1.40),
    (0.0, 2.51, 3.88, 4.76, 6.33, 7.03, 6.98),
    (0.0, 10.55, 15.65, 22.95, 30.06, 32.86, 29.15),
    (0.0, 78.78, 133.63, 172.57, 196.76, 188.98, 178.54),
)
"""Mean error of each stratum at each lead, USD/MWh; it is linear between leads, and stays after the last."""


@dataclass(frozen=True, slots=True)
class RiskPolicy:
    """How much a plan minds bad prices: `weight` is the share of CVaR in what it maximises, 0 for none.

    `tail`: the share of the probability that counts as bad (Rockafellar and Uryasev, "Optimization of Conditional
    Value-at-Risk", 2000). Raises ValueError unless the weight is from 0 to 1 and the tail over 0, up to 1.
    """

    weight: float = 0.0
    tail: float = 0.1

    def __post_init__(self) -> None:
        """Refuses what is no share."""
        if not (0 <= self.weight <= 1 and 0 < self.tail <= 1):
            raise ValueError(f"weight must be from 0 to 1 and tail over 0, up to 1, got {self!r}")


def with_scenarios(horizon: Sequence[HorizonInterval], interval_s: int, policy: RiskPolicy) -> list[HorizonInterval]:
    """Returns the horizon with the errors of each scenario beside each cost; as it is where risk has no weight."""
    if policy.weight == 0:
        return list(horizon)
    errors = errors_usd_mwh([n * interval_s for n in range(len(horizon))])
    return [replace(entry, scenario_error_usd_mwh=own) for entry, own in zip(horizon, errors, strict=True)]


def errors_usd_mwh(leads_s: Sequence[float]) -> list[list[float]]:
    """Errors of the scenarios at each lead, USD/MWh: their mean, by `PROBABILITY`, is 0."""
    found = []
    for lead_s in leads_s:
        errors = [float(np.interp(lead_s, LEADS_S, stratum)) for stratum in ERRORS_USD_MWH]
        # Not a dot product of numpy, whose last bit depends on the processor and on the length of the horizon.
        mean = math.fsum(share * error for share, error in zip(PROBABILITY, errors, strict=True))
        found.append([error - mean for error in errors])
    return found
