"""Figures of a series: quantiles, memory, spikes, each with how far a simulated year may stray from the recorded one.

Tolerances are about what recorded years differ by among themselves: ERCOT's prices over 100 USD/MWh were 1.8 % of 2024
and 2.5 % of 2025, Alberta's over 100 CAD/MWh 11.2 % and 4.5 %, and 5 % of the latter were over 229 and over 94 CAD/MWh.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of a series by its name; it may differ by `relative` of the recorded one, or by `absolute`."""

    name: str
    of: Callable[[Floats], float]
    relative: float
    absolute: float

    def is_within(self, simulated: float, recorded: float) -> bool:
        """Whether the simulated number is near enough."""
        return abs(simulated - recorded) <= max(self.relative * abs(recorded), self.absolute)


def prices(per_hour: int, relative: float = 0.35) -> tuple[Figure, ...]:
    """Figures of energy prices, of so many intervals an hour; `relative` is the tolerance of their quantiles."""
    return (
        *quantiles(relative, 4.0),
        Figure("correlation after 1 h", lambda x: correlation(x, per_hour), 0, 0.3),
        Figure("correlation after 24 h", lambda x: correlation(x, 24 * per_hour), 0, 0.2),
        Figure("% over 100", lambda x: 100 * float(np.mean(x > 100)), 0.5, 0.5),
        Figure("% over 1000", lambda x: 100 * float(np.mean(x > 1000)), 0, 0.06),
        Figure("% below 0", lambda x: 100 * float(np.mean(x < 0)), 0.5, 0.5),
    )


def returns() -> tuple[Figure, ...]:
    """Figures of hourly returns, in percent."""
    return (
        *quantiles(0.2, 0.02),
        Figure("standard deviation", lambda x: float(x.std()), 0.15, 0),
        Figure("excess kurtosis", lambda x: float(np.mean(((x - x.mean()) / x.std()) ** 4)) - 3, 0.6, 0),
        Figure("correlation after 1 h", lambda x: correlation(x, 1), 0, 0.05),
        Figure("correlation of sizes after 1 h", lambda x: correlation(abs(x), 1), 0, 0.1),
        Figure("correlation of sizes after 24 h", lambda x: correlation(abs(x), 24), 0, 0.08),
    )


def quantiles(relative: float, absolute: float) -> tuple[Figure, ...]:
    """The quantiles of PERCENTILES."""
    return tuple(Figure(f"{p} %", _percentile(p), relative, absolute) for p in PERCENTILES)


def median(relative: float, absolute: float) -> Figure:
    """The middle alone, of series of few values."""
    return Figure("50 %", _percentile(50), relative, absolute)


def moments(relative: float, absolute: float) -> tuple[Figure, ...]:
    """Mean and standard deviation."""
    return (
        Figure("mean", lambda x: float(x.mean()), relative, absolute),
        Figure("standard deviation", lambda x: float(x.std()), relative, absolute),
    )


def correlation(values: Floats, lag: int) -> float:
    """Correlation of the values with those so many places later; pairs with a missing one are left out."""
    early, late = values[:-lag], values[lag:]
    there = ~np.isnan(early + late)
    return float(np.corrcoef(early[there], late[there])[0, 1])


def _percentile(percent: float) -> Callable[[Floats], float]:
    return lambda values: float(np.percentile(values, percent))
