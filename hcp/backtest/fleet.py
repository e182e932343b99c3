"""The ASIC groups of a facility as one machine with states, and the best path through them by dynamic programming.

A state is the mode of each group and for how many intervals it has been running (or off), up to its minimum time.
States over the cap, or over that of a transformer, are left out; so are steps that break a minimum time or the ramp.
Exact, as all couplings are within a state or a step: Bellman, Dynamic Programming, 1957.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hcp.backtest.error import BacktestError
from schemas.events import Facility, PowerMode, Resource, ResourceKind

Floats = NDArray[np.float64]

MAX_STATES = 2000
"""Every step looks at all pairs: 32 MB of costs at this size."""


@dataclass(frozen=True, slots=True)
class Group:
    """An ASIC group: `modes` by power, OFF first; power at the meter; wear in USD; least times in intervals."""

    group_id: str
    modes: tuple[PowerMode, ...]
    power_mw: tuple[float, ...]
    hashrate_ths: tuple[float, ...]
    start_cost_usd: float
    stop_cost_usd: float
    min_up: int
    min_down: int
    transformer_id: str | None = None

    @property
    def states(self) -> list[tuple[int, int]]:
        """(mode, intervals held) of every state."""
        return [
            (mode, held)
            for mode in range(len(self.modes))
            for held in range(1, (self.min_up if mode else self.min_down) + 1)
        ]

    def step_cost_usd(self, before: tuple[int, int], after: tuple[int, int]) -> float:
        """Wear of a step, infinite where it isn't allowed."""
        (mode, held), (new_mode, new_held) = before, after
        least = self.min_up if mode else self.min_down
        if (mode > 0) == (new_mode > 0):
            return 0.0 if new_held == min(held + 1, least) else np.inf
        if held < least or new_held != 1:
            return np.inf
        return self.start_cost_usd if new_mode else self.stop_cost_usd


class Fleet:
    """The states of a facility and the steps between them; `modes`: (states, groups), `load_mw`, `hashrate_ths`."""

    def __init__(self, facility: Facility, resources: Sequence[Resource], interval_ms: int) -> None:
        """Takes the ASIC groups of the facility. Raises BacktestError where they make too many states, or none."""
        self.facility = facility
        self.interval_ms = interval_ms
        self.hours = interval_ms / 3_600_000
        self.groups = [
            _group(resource, facility.pue_ratio, interval_ms)
            for resource in sorted(resources, key=lambda resource: resource.resource_group_id)
            if resource.kind is ResourceKind.ASIC
        ]
        count = int(np.prod([len(group.states) for group in self.groups]))
        if not self.groups or count > MAX_STATES:
            raise BacktestError(
                f"{facility.facility_id} has {len(self.groups)} ASIC groups with {count} states together, 1 to "
                f"{MAX_STATES} can be planned exactly: take fewer groups or longer intervals"
            )
        self._build(facility)

    def _build(self, facility: Facility) -> None:
        joint = [states for states in product(*(group.states for group in self.groups)) if self._fits(states, facility)]
        self.modes = np.array([[mode for mode, _ in states] for states in joint])
        self.load_mw = np.array([self._sum("power_mw", states) for states in joint])
        self.hashrate_ths = np.array([self._sum("hashrate_ths", states) for states in joint])
        self.step_cost_usd = np.zeros((len(joint), len(joint)))
        for number, group in enumerate(self.groups):
            place = {state: index for index, state in enumerate(group.states)}
            alone = np.array([[group.step_cost_usd(a, b) for b in group.states] for a in group.states])
            index = np.array([place[states[number]] for states in joint])
            self.step_cost_usd += alone[np.ix_(index, index)]
        if facility.ramp_mw_min > 0:
            ramp_mw = facility.ramp_mw_min * self.interval_ms / 60_000
            change = np.abs(self.load_mw[:, None] - self.load_mw[None, :])
            self.step_cost_usd[change > ramp_mw] = np.inf
        # The most that can be mined, running long enough to do whatever comes next.
        self.full = max(range(len(joint)), key=lambda s: (self.hashrate_ths[s], sum(held for _, held in joint[s]), -s))

    def _fits(self, states: tuple[tuple[int, int], ...], facility: Facility) -> bool:
        load: dict[str | None, float] = {}
        for group, (mode, _) in zip(self.groups, states, strict=True):
            load[group.transformer_id] = load.get(group.transformer_id, 0.0) + group.power_mw[mode]
        caps = {transformer.transformer_id: transformer.cap_mw for transformer in facility.transformers}
        return sum(load.values()) <= facility.cap_mw + 1e-9 and all(
            load.get(name, 0.0) <= cap_mw + 1e-9 for name, cap_mw in caps.items()
        )

    def _sum(self, name: str, states: tuple[tuple[int, int], ...]) -> float:
        return float(sum(getattr(group, name)[mode] for group, (mode, _) in zip(self.groups, states, strict=True)))

    def margins_usd(self, hashprice: Floats, cost_usd_mwh: Floats) -> Floats:
        """Margin of each interval in each state, without wear: (intervals, states). Hashprice in USD/TH/s/day."""
        revenue_usd_h = np.outer(hashprice / 24, self.hashrate_ths)
        margins: Floats = (revenue_usd_h - np.outer(cost_usd_mwh, self.load_mw)) * self.hours
        return margins

    def best_path(self, margins_usd: Floats, start: int) -> tuple[NDArray[np.int64], float]:
        """The states of the path that earns most from `start` on, and what it earns. First of equals."""
        steps, count = margins_usd.shape
        choice = np.empty((steps, count), np.int64)
        worth = np.zeros(count)
        for step in range(steps - 1, -1, -1):
            options = (margins_usd[step] + worth) - self.step_cost_usd
            choice[step] = options.argmax(axis=1)
            worth = options.max(axis=1)
        path = np.empty(steps, np.int64)
        state = start
        for step in range(steps):
            path[step] = state = int(choice[step, state])
        return path, float(worth[start])

    def obey(self, state: int, wanted: Sequence[int]) -> int:
        """The state that follows, as near to the wanted modes as the rules allow, counted in modes between them."""
        allowed = np.flatnonzero(np.isfinite(self.step_cost_usd[state]))
        distance = np.abs(self.modes[allowed] - np.asarray(wanted)).sum(axis=1)
        return int(allowed[distance.argmin()])


def _group(resource: Resource, pue_ratio: float, interval_ms: int) -> Group:
    points = sorted(resource.modes, key=lambda point: (point.mode is not PowerMode.OFF, point.power_w))
    if not points or points[0].mode is not PowerMode.OFF:
        raise BacktestError(f"{resource.resource_group_id} has no mode OFF")
    return Group(
        group_id=resource.resource_group_id,
        modes=tuple(point.mode for point in points),
        power_mw=tuple(point.power_w * resource.units * pue_ratio / 1e6 for point in points),
        hashrate_ths=tuple(point.hashrate_ths * resource.units for point in points),
        start_cost_usd=resource.start_cost_usd,
        stop_cost_usd=resource.stop_cost_usd,
        min_up=max(-(-resource.min_up_s * 1000 // interval_ms), 1),
        min_down=max(-(-resource.min_down_s * 1000 // interval_ms), 1),
        transformer_id=resource.transformer_id,
    )
