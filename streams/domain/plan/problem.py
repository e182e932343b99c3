"""A planning problem: facilities, groups and jobs over the intervals of a horizon, as numbers and arrays.

Interval `t` runs from `t * interval_s` to `(t + 1) * interval_s` after the horizon's start; arrays over the horizon
have one entry an interval. Power is at the meter, with cooling, in MW; money is USD. Nothing here knows of events:
`streams.domain.snapshot` says how a snapshot becomes a problem.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.events import PowerMode

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ISLAND_GPUS = 8
"""GPUs that NVLink joins in one node (NVIDIA HGX H100 data sheet)."""


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to run a whole ASIC group: its power at the meter and what it earns an hour."""

    name: PowerMode
    power_mw: float
    revenue_usd_h: float


@dataclass(frozen=True, slots=True, eq=False)
class AsicGroup:
    """ASICs that are switched together. `modes[0]` is OFF, at standby power; the others are sorted by power.

    `mode_before`: index of the mode that it is in when the horizon begins; `held`: intervals that it has been running
    (or off) by then. A start or a stop costs its wear; a change between running modes costs `change_cost_usd`. Once
    started it runs for `min_up` intervals, once stopped it rests for `min_down`. Where `available` is false it is off.
    """

    group_id: str
    facility_id: str
    modes: tuple[Mode, ...]
    mode_before: int
    held: int
    start_cost_usd: float
    stop_cost_usd: float
    change_cost_usd: float
    min_up: int
    min_down: int
    available: NDArray[np.bool_]
    transformer_id: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class GpuGroup:
    """GPUs of one kind. `units`: how many are in service in each interval. A busy GPU draws `unit_power_mw` over idle.

    Islands of `island_gpus` are joined by NVLink: a job of up to that many is within one, a larger one has whole ones.
    """

    group_id: str
    facility_id: str
    units: NDArray[np.int64]
    idle_power_mw: float
    unit_power_mw: float
    island_gpus: int = ISLAND_GPUS
    transformer_id: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A gang-scheduled workload: all of its GPUs in one group, all the time that it runs.

    `intervals`: run time left, rounded up. `groups`: where its customer lets it run (region, data residence). One that
    runs is on `running_on`; stopping it costs `preemption_cost_usd`, and it earns no more in this horizon. `deadline`:
    number of the interval by whose start it has to be complete, None for none; missing it costs `sla_penalty_usd` once.
    A deadline behind the horizon is met where enough intervals are left behind it. Higher `priority` first on a tie.
    """

    job_id: str
    gpus: int
    intervals: int
    revenue_usd_h: float
    priority: int
    groups: tuple[str, ...]
    running_on: str | None = None
    preemption_cost_usd: float = 0.0
    deadline: int | None = None
    sla_penalty_usd: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Transformer:
    """A limit within a facility: the groups that name it draw at most `cap_mw` together."""

    transformer_id: str
    cap_mw: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Reserve:
    """Load that is kept so that it can be shed for a capacity award; the reserves of a site are the dearest first.

    Where the load is under `floor_mw`, up to `depth_mw` of the award is short, at `short_usd_mwh`: the floor of the one
    before begins there. As the dearer one is short as well further down, its step over the next, `step_usd_mwh`, for
    each MWh under its floor adds up to the same. A floor of 0: not held in that interval.
    """

    product: str
    floor_mw: Floats
    depth_mw: Floats
    short_usd_mwh: float
    step_usd_mwh: float

    def short_mw(self, load_mw: Floats) -> Floats:
        """What of the award is short at a load, MW, interval by interval."""
        return np.clip(self.floor_mw[: load_mw.size] - load_mw, 0.0, self.depth_mw[: load_mw.size])


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A facility. `cost_usd_mwh`: all-in price of energy, one row a scenario; `probability`: of each, adding up to 1.

    `limit_mw` is the grid limit (infinite without a call), `payment_usd_mwh` what it pays for each MWh below the cap.
    `block_mw` was bought ahead at a fixed price: what is not used is sold back at the cost, `sell_back_mw` at most;
    the rest of it is worth nothing. The load may change by `ramp_mw` an interval, from `load_before_mw` on (None: not
    known, no limit on the first change), and stays at or over `min_load_mw`. `base_mw`: load that is in no group.
    """

    facility_id: str
    cap_mw: Floats
    cost_usd_mwh: Floats
    probability: Floats
    limit_mw: Floats
    payment_usd_mwh: Floats
    block_mw: Floats
    sell_back_mw: float = float("inf")
    ramp_mw: float = float("inf")
    load_before_mw: float | None = None
    min_load_mw: float = 0.0
    base_mw: float = 0.0
    transformers: tuple[Transformer, ...] = ()
    reserves: tuple[Reserve, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class PlanProblem:
    """All of it. `risk_weight` is the share of CVaR in the objective (0: expectation only), `risk_tail` its tail."""

    interval_s: int
    intervals: int
    sites: tuple[Site, ...]
    asic_groups: tuple[AsicGroup, ...] = ()
    gpu_groups: tuple[GpuGroup, ...] = ()
    jobs: tuple[Job, ...] = ()
    risk_weight: float = 0.0
    risk_tail: float = 0.05


@dataclass(frozen=True, slots=True)
class Placement:
    """A job runs on a group from interval `start` up to, not with, `stop`."""

    group_id: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class ShadowPrice:
    """What one more MW (or GPU) of a binding limit would be worth in an interval, USD an hour; zero or more."""

    rule: str
    subject: str
    interval: int
    usd_h: float


@dataclass(frozen=True, slots=True)
class GivenUp:
    """What could not be kept: the rule, of what, when, how much (`unit`: MW, intervals, GPUs), and its penalty."""

    rule: str
    subject: str
    interval: int
    amount: float
    unit: str
    penalty_usd: float


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The plan: for each ASIC group the index of its mode in every interval, for each job that runs where and when.

    `objective_usd` is the worth of the plan over the horizon, penalties taken off; nothing feasible is worth more than
    `bound_usd`. `shadow_prices` and `given_up` are sorted by interval, rule and subject.
    """

    modes: dict[str, NDArray[np.int64]]
    placements: dict[str, Placement]
    load_mw: dict[str, Floats]
    objective_usd: float
    bound_usd: float
    status: str
    solver: str
    shadow_prices: tuple[ShadowPrice, ...] = ()
    given_up: tuple[GivenUp, ...] = field(default_factory=tuple)

    @property
    def gap_ratio(self) -> float:
        """(bound - objective) / max(|bound|, 1)."""
        return max(self.bound_usd - self.objective_usd, 0.0) / max(abs(self.bound_usd), 1.0)
