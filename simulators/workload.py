"""Customers' GPU workloads: who submits what and when. A function of event time alone.

Arrivals are Poisson; the rate is such that on average 110 % of the GPUs are asked for, so that they are full at times.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from schemas import events
from schemas.events import ResourceKind, WorkloadAction
from simulators.identity import event_id
from simulators.market import Market
from simulators.noise import Noise
from simulators.site import Operator
from simulators.timeline import HOUR_MS, MINUTE_MS, SECOND_MS, multiples, to_datetime, to_ms

_OFFERED_SHARE = 1.1
_SIZES = (8, 16, 24, 32, 64)
_SIZE_WEIGHTS = (0.40, 0.27, 0.15, 0.12, 0.06)
_DURATION_MEDIAN_S = 3_600.0
_DURATION_SIGMA = 0.8
_DURATION_S = (600, 8 * 3600)
_PRIORITIES = {"reserved": 30, "on-demand": 20, "spot": 10}
_TIER_WEIGHTS = {"reserved": 0.3, "on-demand": 0.4, "spot": 0.3}
_PINNED_CHANCE = 0.15
_RESIDENT_CHANCE = 0.25
_PENALTY_SHARE = 0.10
"""Of a workload's price, owed where its deadline is missed: the first step of clouds' service credits."""


class Arrivals:
    """The stream of submissions."""

    def __init__(self, operator: Operator, market: Market, seed: int) -> None:
        groups = operator.groups(ResourceKind.GPU)
        self._sites = [resource.facility_id for resource in groups]
        largest = max((resource.units for resource in groups), default=0)
        # A workload that no group can hold would wait for ever.
        self._sizes = [size for size in _SIZES if size <= largest] or [largest]
        weights = _SIZE_WEIGHTS[: len(self._sizes)]
        self._weights = [weight / sum(weights) for weight in weights]
        region = {facility.facility_id: facility.region for facility in operator.facilities}
        # Where every workload finds a group that holds it.
        self._home = next((region[r.facility_id] for r in groups if r.units == largest), "")
        self._customers: Sequence[events.Customer] = operator.customers
        self._customer_weights = [_TIER_WEIGHTS[customer.tier] for customer in operator.customers]
        self._market = market
        self._noise = Noise(seed, "workload")
        self._cached: tuple[int, list[events.WorkloadRequest]] = (-1, [])
        mean_gpus = sum(size * weight for size, weight in zip(self._sizes, self._weights, strict=True))
        mean_h = _DURATION_MEDIAN_S * math.exp(_DURATION_SIGMA**2 / 2) / 3600
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
        moments = sorted(int(draw * MINUTE_MS) for draw in rng.random(int(rng.poisson(self._per_minute))))
        return [
            self._request(rng, f"wl-{_stamp(minute_ms)}-{number + 1}", minute_ms + moment)
            for number, moment in enumerate(moments)
        ]

    def _request(self, rng: np.random.Generator, workload_id: str, at_ms: int) -> events.WorkloadRequest:
        customer = self._customers[int(rng.choice(len(self._customers), p=self._customer_weights))]
        gpus = int(rng.choice(self._sizes, p=self._weights))
        drawn_s = _DURATION_MEDIAN_S * math.exp(_DURATION_SIGMA * rng.standard_normal())
        duration_s = int(min(max(drawn_s, _DURATION_S[0]), _DURATION_S[1]))
        slack, pinned, site, discount = rng.random(4).tolist()
        has_deadline = customer.tier != "spot"
        deadline_ms = at_ms + int(duration_s * (1.5 + 2.5 * slack)) * SECOND_MS + HOUR_MS
        spot = self._market.gpu_hour_price_usd(at_ms)
        is_pinned = pinned < _PINNED_CHANCE
        # The draw of the site is free where the workload is not pinned to one.
        is_resident = customer.tier == "reserved" and not is_pinned and site < _RESIDENT_CHANCE
        full_price = gpus * duration_s / 3600 * float(customer.gpu_hour_price_usd)
        return events.WorkloadRequest(
            event_id=event_id("workloads.requests", f"{workload_id}/{WorkloadAction.SUBMIT}", at_ms),
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


def _stamp(at_ms: int) -> str:
    return to_datetime(at_ms).strftime("%Y%m%d-%H%M")
