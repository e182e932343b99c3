"""Customers' GPU workloads: who submits what and when. A function of event time alone.

Sizes are those of a cluster for language models: most jobs take one GPU, and few large ones most of the GPUs (Acme's
Seren, gpu_cluster_summary_acme.csv: 1 in the median, 5.68 on average). Durations are those of Philly, heavy-tailed
(gpu_power_util_runtime_percentiles_acme_philly.csv: 20 minutes in the median, five hours on average), between what is
billed at least and the longest contract. Arrivals are Poisson with a rate that follows the day, the week, and bursts of
some hours (gpu_jobs_alibaba_openb_2023.csv, last weeks: by the hour of the day up to 1.7 times the mean and down to
0.4; the variance of an hour's count is nine times its mean). The rate is such that on average 110 % of the GPUs are
asked for, so that they are full at times; what waits too long is withdrawn (simulators.patience).
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from schemas import events
from schemas.events import ResourceKind, WorkloadAction
from simulators.identity import request_event_id
from simulators.market import Market
from simulators.noise import MeanReverting, Noise
from simulators.site import Operator
from simulators.timeline import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, multiples, to_datetime, to_ms

SIZES = (1, 2, 4, 8, 16, 32, 64)
SIZE_WEIGHTS = (0.57, 0.10, 0.08, 0.14, 0.05, 0.035, 0.025)

SHORTEST_S = 60
LONGEST_S = 7 * 86_400
_DURATION_RANKS = (0.0, 0.01, 0.05, 0.10, 0.25, 0.35, 0.50, 0.75, 0.90, 0.95, 0.98, 0.99, 0.995, 1.0)
_DURATIONS_S = (10, 17, 48, 61, 131, 428, 1_186, 3_342, 12_859, 49_948, 167_784, 287_283, 484_497, 4_628_239)

_OFFERED_SHARE = 1.1
# Of a day: most in the afternoon of Texas, where the customers are taken to be.
_DAILY_SHARE = 0.5
_BUSIEST_UTC_H = 21
_WEEKDAY = 1.12
_WEEKEND = 0.70
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday
_BURST_MEMORY_H = 4
_BURST_SD = 0.5

_PRIORITIES = {"reserved": 30, "on-demand": 20, "spot": 10}
_TIER_WEIGHTS = {"reserved": 0.3, "on-demand": 0.4, "spot": 0.3}
_PINNED_CHANCE = 0.15
_RESIDENT_CHANCE = 0.25
_PENALTY_SHARE = 0.10
"""Of a workload's price, owed where its deadline is missed: the first step of clouds' service credits."""


def durations_s(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the durations that such shares of the workloads stay below, s, the same shape."""
    drawn = np.exp(np.interp(ranks, _DURATION_RANKS, np.log(_DURATIONS_S)))
    return np.asarray(np.clip(drawn, SHORTEST_S, LONGEST_S))


class Arrivals:
    """The stream of submissions."""

    def __init__(self, operator: Operator, market: Market, seed: int) -> None:
        groups = operator.groups(ResourceKind.GPU)
        self._sites = [resource.facility_id for resource in groups]
        largest = max((resource.units for resource in groups), default=0)
        # A workload that no group can hold would wait for ever.
        self._sizes = [size for size in SIZES if size <= largest] or [largest]
        weights = SIZE_WEIGHTS[: len(self._sizes)]
        self._weights = [weight / sum(weights) for weight in weights]
        region = {facility.facility_id: facility.region for facility in operator.facilities}
        # Where every workload finds a group that holds it.
        self._home = next((region[r.facility_id] for r in groups if r.units == largest), "")
        self._customers: Sequence[events.Customer] = operator.customers
        self._customer_weights = [_TIER_WEIGHTS[customer.tier] for customer in operator.customers]
        self._market = market
        self._noise = Noise(seed, "workload")
        self._bursts = MeanReverting(Noise(seed, "workload/burst"), _BURST_MEMORY_H, _BURST_SD)
        self._cached: tuple[int, list[events.WorkloadRequest]] = (-1, [])
        mean_gpus = sum(size * weight for size, weight in zip(self._sizes, self._weights, strict=True))
        mean_h = float(np.mean(durations_s(np.arange(0.0005, 1, 0.001)))) / 3600
        gpus = sum(resource.units for resource in groups)
        self._per_minute = _OFFERED_SHARE * gpus / (mean_gpus * mean_h) / 60 if gpus else 0.0
        self._opening = math.ceil(0.8 * gpus / mean_gpus) if gpus else 0

    def submissions(self, start_ms: int, end_ms: int) -> Iterator[events.WorkloadRequest]:
        """Yields the submissions of [start, end), in order of time."""
        if not self._per_minute:
            return
        first = start_ms - start_ms % MINUTE_MS
        for minute_ms in multiples(first, end_ms, MINUTE_MS):
            for request in self._minute(minute_ms):
                if start_ms <= to_ms(request.observed_at) < end_ms:
                    yield request

    def opening(self, start_ms: int) -> Iterator[events.WorkloadRequest]:
        """Yields what stands in the queue when a simulation starts: enough for most of the GPUs."""
        rng = self._noise.generator(2**62 + start_ms // MINUTE_MS)
        for number in range(self._opening):
            yield self._request(rng, f"wl-{_stamp(start_ms)}-q{number + 1}", start_ms)

    def _minute(self, minute_ms: int) -> list[events.WorkloadRequest]:
        if self._cached[0] != minute_ms:
            self._cached = (minute_ms, self._drawn(minute_ms))
        return self._cached[1]

    def _drawn(self, minute_ms: int) -> list[events.WorkloadRequest]:
        rng = self._noise.generator(minute_ms // MINUTE_MS)
        moments = sorted(int(draw * MINUTE_MS) for draw in rng.random(int(rng.poisson(self._rate(minute_ms)))))
        return [
            self._request(rng, f"wl-{_stamp(minute_ms)}-{number + 1}", minute_ms + moment)
            for number, moment in enumerate(moments)
        ]

    def _rate(self, minute_ms: int) -> float:
        """Arrivals to expect in the minute."""
        is_weekend = (minute_ms // DAY_MS + _EPOCH_WEEKDAY) % 7 >= 5
        daily = 1 + _DAILY_SHARE * math.cos(2 * math.pi * (minute_ms / HOUR_MS - _BUSIEST_UTC_H) / 24)
        burst = math.exp(self._bursts.at(minute_ms // HOUR_MS) - _BURST_SD**2 / 2)
        return self._per_minute * daily * burst * (_WEEKEND if is_weekend else _WEEKDAY)

    def _request(self, rng: np.random.Generator, workload_id: str, at_ms: int) -> events.WorkloadRequest:
        customer = self._customers[int(rng.choice(len(self._customers), p=self._customer_weights))]
        gpus = int(rng.choice(self._sizes, p=self._weights))
        duration_s = int(durations_s(rng.random(1))[0])
        slack, pinned, site, discount = rng.random(4).tolist()
        has_deadline = customer.tier != "spot"
        deadline_ms = at_ms + int(duration_s * (1.5 + 2.5 * slack)) * SECOND_MS + HOUR_MS
        spot = self._market.gpu_hour_price_usd(at_ms)
        is_pinned = pinned < _PINNED_CHANCE
        # The draw of the site is free where the workload is not pinned to one.
        is_resident = customer.tier == "reserved" and not is_pinned and site < _RESIDENT_CHANCE
        full_price = gpus * duration_s / 3600 * float(customer.gpu_hour_price_usd)
        return events.WorkloadRequest(
            event_id=request_event_id(workload_id, WorkloadAction.SUBMIT, at_ms),
            workload_id=workload_id,
            action=WorkloadAction.SUBMIT,
            observed_at=to_datetime(at_ms),
            customer_id=customer.customer_id,
            facility_id=self._sites[int(site * len(self._sites))] if is_pinned else None,
            gpus=gpus,
            duration_s=duration_s,
            priority=_PRIORITIES[customer.tier],
            deadline=to_datetime(deadline_ms) if has_deadline else None,
            price_usd_gpu_hour=round(spot * (0.55 + 0.45 * discount), 4) if customer.tier == "spot" else None,
            allowed_regions=[self._home] if is_resident and self._home else [],
            sla_penalty_usd=round(_PENALTY_SHARE * full_price, 2) if has_deadline else 0.0,
        )


def follow_up(
    workload_id: str, action: WorkloadAction, at_ms: int, customer_id: str, reason: str | None = None
) -> events.WorkloadRequest:
    """Returns what is asked or reported of a workload after its submission."""
    return events.WorkloadRequest(
        event_id=request_event_id(workload_id, action, at_ms),
        workload_id=workload_id,
        action=action,
        observed_at=to_datetime(at_ms),
        customer_id=customer_id,
        reason=reason,
    )


def _stamp(at_ms: int) -> str:
    return to_datetime(at_ms).strftime("%Y%m%d-%H%M")
