"""The transmission charge that ERCOT bills by load at four coincident peaks (4CP), and what avoiding them is worth.

The charge of a year is the rate times the mean load in the four quarter hours at which the whole system peaked in
June, July, August and September of the year before (16 Texas Administrative Code 25.192). Which quarter hours those are
is known at the end of each month, so a load is taken off by the probability that this is one.
"""

import calendar
from collections.abc import Sequence
from datetime import datetime, time
from statistics import NormalDist
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from streams.domain.economics.argument import require_not_negative, require_positive, require_ratio

PEAK_MONTHS = (6, 7, 8, 9)
PEAK_INTERVAL_H = 0.25
PEAK_HOURS = (time(15), time(19))
"""When a summer peak is possible, local time: late afternoons of working days. An assumption, wide on both sides."""

_CENTRAL = ZoneInfo("America/Chicago")
_WORKING_DAYS = range(5)
_KW_PER_MW = 1000.0
_GRID_POINTS = 2001
# Beyond six standard deviations there is less than 1e-8 of a normal distribution.
_TAIL_SD = 6.0


def transmission_charge_usd_year(rate_usd_kw_year: float, loads_at_peaks_mw: Sequence[float]) -> float:
    """Charge of a year, USD: the rate times the mean of the loads at the four peaks; a rate of a month times 12 is one.

    Raises ValueError unless there are four loads, none below zero.
    """
    require_not_negative("rate_usd_kw_year", rate_usd_kw_year)
    if len(loads_at_peaks_mw) != len(PEAK_MONTHS):
        raise ValueError(f"loads_at_peaks_mw must have {len(PEAK_MONTHS)} entries, got {len(loads_at_peaks_mw)}")
    for load in loads_at_peaks_mw:
        require_not_negative("load_mw", load)
    return rate_usd_kw_year * _KW_PER_MW * sum(loads_at_peaks_mw) / len(PEAK_MONTHS)


def avoided_charge_usd_mwh(rate_usd_kw_year: float, peak_probability: float) -> float:
    """Expected charge that a MWh not used in a quarter hour avoids, USD/MWh: one MW less at one of four peaks.

    probability * rate / 4 for a MW, which is a quarter of a MWh.
    """
    require_not_negative("rate_usd_kw_year", rate_usd_kw_year)
    require_ratio("peak_probability", peak_probability)
    return peak_probability * rate_usd_kw_year * _KW_PER_MW / len(PEAK_MONTHS) / PEAK_INTERVAL_H


def prior_peak_probability(at: datetime) -> float:
    """Probability that the quarter hour of a moment is its month's peak, from the calendar alone.

    Each quarter hour of `PEAK_HOURS` on a working day of a peak month is as likely as the other; holidays count as
    working days. Where there is a forecast of the load, `peak_probabilities` knows more.
    """
    local = at.astimezone(_CENTRAL)
    start, end = PEAK_HOURS
    is_candidate = (
        local.month in PEAK_MONTHS and local.weekday() in _WORKING_DAYS and start <= local.time().replace(fold=0) < end
    )
    if not is_candidate:
        return 0.0
    _, days = calendar.monthrange(local.year, local.month)
    working_days = sum(local.replace(day=day).weekday() in _WORKING_DAYS for day in range(1, days + 1))
    return PEAK_INTERVAL_H / (working_days * (end.hour - start.hour))


def peak_probabilities(
    forecast_mw: NDArray[np.float64], error_sd_mw: float, peak_so_far_mw: float
) -> NDArray[np.float64]:
    """Probability of each quarter hour to be the month's peak, given the system's load forecast for what is left of it.

    `forecast_mw`: (n,), MW; the result has its shape and adds up to the probability that the peak so far is passed.
    Errors are normal and independent: P(i) is the integral, from the peak so far on, of the density of load i times
    the distributions of all the others. By the trapezoidal rule on a fixed grid, so the same input gives the same bits.
    """
    require_positive("error_sd_mw", error_sd_mw)
    require_not_negative("peak_so_far_mw", peak_so_far_mw)
    if forecast_mw.size == 0:
        return np.zeros(0)
    top = float(forecast_mw.max()) + _TAIL_SD * error_sd_mw
    if top <= peak_so_far_mw:
        return np.zeros(forecast_mw.size)
    low = max(peak_so_far_mw, float(forecast_mw.max()) - _TAIL_SD * error_sd_mw)
    load = np.linspace(low, top, _GRID_POINTS)
    deviation = (load[None, :] - forecast_mw[:, None]) / error_sd_mw
    density = np.exp(-0.5 * deviation**2) / (error_sd_mw * np.sqrt(2 * np.pi))
    # numpy has no error function: the tail below the grid by the standard library's, the rest by summing the density.
    tail = np.array([[NormalDist().cdf(value)] for value in deviation[:, 0]])
    areas = (density[:, 1:] + density[:, :-1]) / 2 * (load[1] - load[0])
    distribution = np.minimum(np.hstack([tail, tail + np.cumsum(areas, axis=1)]), 1.0)
    logs = np.log(np.maximum(distribution, np.finfo(np.float64).tiny))
    others = np.exp(logs.sum(axis=0)[None, :] - logs)
    found: NDArray[np.float64] = np.trapezoid(density * others, load, axis=1)
    return found
