"""Rules and costs of sites, transformers and GPU units as columns and rows that whatever runs is hung on.

    L[i,t]    load of a site = base + what runs;    L <= cap + over;  L <= limit + excess;  L >= minimum - short
              L >= floor of a capacity award - short
              |L[t] - L[t-1]| <= ramp + jump;       spill >= block - sell back - L
    CVaR      eta + sum of probability * tail[w] / share,  tail[w] >= cost of scenario w - eta   (Rockafellar and
              Uryasev, "Optimization of Conditional Value-at-Risk", 2000): the load is decided before the price is known

The load is one variable a site and interval, so costs, limits and scenarios touch few columns. Every column is bounded
by what is physically possible, so that a dual solution with rounding errors still proves a bound.
"""

from dataclasses import dataclass

import numpy as np

from streams.domain.penalty import PENALTY_USD_MWH, Rule
from streams.domain.plan.problem import Floats, Ints, PlanProblem
from streams.domain.plan.sheet import INF, Sheet

Limits = dict[Rule, tuple[tuple[str, ...], Ints]]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The program of the sites alone, and the rows that a running group or job has a term in.

    `load`: columns, `load_row`: rows of the load, (sites, intervals). Of each ASIC group and each GPU group one entry
    an interval: `asic_load`, `gpu_load` take minus its power, `asic_transformer`, `gpu_transformer` (-1: none) its
    power, `gpu_units` the GPUs. `tail_row`: rows of the price scenarios of the CVaR. `limits` has for each rule its
    subjects and the positions of its rows (subjects, intervals).
    """

    sheet: Sheet
    load: Ints
    load_row: Ints
    asic_load: Ints
    asic_transformer: Ints
    gpu_load: Ints
    gpu_transformer: Ints
    gpu_units: Ints
    tail_row: Ints
    limits: Limits
    constant_usd: float


def frame(problem: PlanProblem) -> Frame:
    """Returns the program of a problem's sites, without what runs there."""
    sheet, limits = Sheet(), Limits()
    base = _base_mw(problem)
    most = base + _most_extra_mw(problem)[:, None]
    # A column at its bound would take the price of the GPUs that are all busy: it ends a MW above what can run.
    load = sheet.columns(base.shape, low=base, high=most + 1.0)
    load_row = sheet.rows(load, 1.0, base, base)
    spill = _site_rules(sheet, problem, load, most, limits)
    transformer_row = _transformer_rows(sheet, problem, most, limits)
    units = np.array([g.units for g in problem.gpu_groups], dtype=np.float64).reshape(-1, problem.intervals)
    idle = sheet.columns(units.shape, high=units)
    gpu_units = sheet.rows(idle, 1.0, units, units)
    limits[Rule.GPU_UNITS] = (tuple(group.group_id for group in problem.gpu_groups), gpu_units)
    tail_row = _energy(sheet, problem, load, spill, most)
    site = {s.facility_id: n for n, s in enumerate(problem.sites)}
    none = np.full(problem.intervals, -1)

    def hung(homes: list[str], transformers: list[str | None]) -> tuple[Ints, Ints]:
        through = [none if name is None else transformer_row[name] for name in transformers]
        shape = (len(homes), problem.intervals)
        return load_row[[site[name] for name in homes]].reshape(shape), np.array(through, dtype=np.int64).reshape(shape)

    asics, gpus = problem.asic_groups, problem.gpu_groups
    asic_load, asic_transformer = hung([g.facility_id for g in asics], [g.transformer_id for g in asics])
    gpu_load, gpu_transformer = hung([g.facility_id for g in gpus], [g.transformer_id for g in gpus])
    return Frame(
        sheet=sheet,
        load=load,
        load_row=load_row,
        asic_load=asic_load,
        asic_transformer=asic_transformer,
        gpu_load=gpu_load,
        gpu_transformer=gpu_transformer,
        gpu_units=gpu_units,
        tail_row=tail_row,
        limits=limits,
        constant_usd=_constant_usd(problem),
    )


def _most_extra_mw(problem: PlanProblem) -> Floats:
    position = {site.facility_id: n for n, site in enumerate(problem.sites)}
    extra = np.zeros(len(problem.sites))
    for asic in problem.asic_groups:
        extra[position[asic.facility_id]] += max(m.power_mw for m in asic.modes) - asic.modes[0].power_mw
    for gpu in problem.gpu_groups:
        extra[position[gpu.facility_id]] += gpu.units.max(initial=0) * gpu.unit_power_mw
    return extra


def _stacked(rows: list[Floats]) -> Floats:
    return np.array(rows, dtype=np.float64)


def _base_mw(problem: PlanProblem) -> Floats:
    """Load that nothing turns off (sites, intervals), MW."""
    position = {site.facility_id: n for n, site in enumerate(problem.sites)}
    base = np.array([site.base_mw for site in problem.sites])
    for asic in problem.asic_groups:
        base[position[asic.facility_id]] += asic.modes[0].power_mw
    for gpu in problem.gpu_groups:
        base[position[gpu.facility_id]] += gpu.idle_power_mw
    return np.repeat(base[:, None], problem.intervals, axis=1)


def _site_rules(sheet: Sheet, problem: PlanProblem, load: Ints, most: Floats, limits: Limits) -> Ints:
    sites = problem.sites
    least = _stacked([np.full(problem.intervals, site.min_load_mw) for site in sites])
    for rule, sign, high in (
        (Rule.FACILITY_CAP, 1.0, _stacked([site.cap_mw for site in sites])),
        (Rule.GRID_LIMIT, 1.0, _stacked([site.limit_mw for site in sites])),
        (Rule.MINIMUM_LOAD, -1.0, np.where(least > 0, -least, INF)),
    ):
        # sign * load <= high + slack, at the sites where it is finite at all
        some = np.flatnonzero(np.isfinite(high).any(axis=1))
        worth = -PENALTY_USD_MWH[rule] * problem.interval_s / 3600
        reach = most[some] if sign > 0 else np.zeros_like(most[some])
        over = np.where(np.isfinite(high[some]), np.maximum(reach - high[some], 0.0) + 1.0, 0.0)
        rows = sheet.rows(load[some], sign, -INF, high[some])
        sheet.add(rows, sheet.columns(over.shape, worth=worth, high=over), -1.0)
        limits[rule] = (tuple(sites[n].facility_id for n in some), rows)
    _ramp_rules(sheet, problem, load, most, limits)
    _reserve_rules(sheet, problem, load, limits)
    kept = _stacked([site.block_mw - site.sell_back_mw for site in sites])
    spill = sheet.columns(load.shape, high=np.maximum(kept, 0.0))
    some = np.flatnonzero((kept > 0).any(axis=1))
    sheet.add(sheet.rows(spill[some], 1.0, kept[some], INF), load[some], 1.0)
    return spill


def _ramp_rules(sheet: Sheet, problem: PlanProblem, load: Ints, most: Floats, limits: Limits) -> None:
    hours = problem.interval_s / 3600
    ramped = [n for n, site in enumerate(problem.sites) if np.isfinite(site.ramp_mw)]
    if not ramped:
        return
    ramp = np.repeat([[problem.sites[n].ramp_mw] for n in ramped], problem.intervals, axis=1)
    before = np.zeros(ramp.shape)
    for k, n in enumerate(ramped):
        known = problem.sites[n].load_before_mw
        before[k, 0] = INF if known is None else known
    free = np.isinf(before)
    before[free] = 0.0
    jump = sheet.columns(ramp.shape, worth=-PENALTY_USD_MWH[Rule.RAMP] * hours, high=np.maximum(most[ramped], before))
    low, high = np.where(free, -INF, before - ramp), np.where(free, INF, before + ramp)
    up = sheet.rows(load[ramped], 1.0, -INF, high)
    down = sheet.rows(load[ramped], 1.0, low, INF)
    for rows, sign in ((up, -1.0), (down, 1.0)):
        sheet.add(rows[:, 1:], load[ramped, :-1], -1.0)
        sheet.add(rows, jump, sign)
    names = tuple(problem.sites[n].facility_id for n in ramped)
    limits[Rule.RAMP] = (names + names, np.concatenate([up, down]))


def _reserve_rules(sheet: Sheet, problem: PlanProblem, load: Ints, limits: Limits) -> None:
    """Adds load + short >= floor for each reserve."""
    held = [(n, reserve) for n, site in enumerate(problem.sites) for reserve in site.reserves]
    if not held:
        return
    floor = _stacked([reserve.floor_mw for _, reserve in held])
    step_usd = np.array([[reserve.step_usd_mwh] for _, reserve in held]) * problem.interval_s / 3600
    rows = sheet.rows(load[[n for n, _ in held]], 1.0, floor, INF)
    sheet.add(rows, sheet.columns(floor.shape, high=floor, worth=-step_usd), 1.0)
    limits[Rule.CAPACITY] = (tuple(reserve.product for _, reserve in held), rows)


def _transformer_rows(sheet: Sheet, problem: PlanProblem, most: Floats, limits: Limits) -> dict[str, Ints]:
    found = [transformer for site in problem.sites for transformer in site.transformers]
    if not found:
        return {}
    hours = problem.interval_s / 3600
    over = sheet.columns(
        (len(found), problem.intervals),
        worth=-PENALTY_USD_MWH[Rule.TRANSFORMER_CAP] * hours,
        high=np.repeat(most, [len(site.transformers) for site in problem.sites], axis=0),
    )
    base = dict.fromkeys([transformer.transformer_id for transformer in found], 0.0)
    for asic in problem.asic_groups:
        if asic.transformer_id is not None:
            base[asic.transformer_id] += asic.modes[0].power_mw
    for gpu in problem.gpu_groups:
        if gpu.transformer_id is not None:
            base[gpu.transformer_id] += gpu.idle_power_mw
    room = _stacked([t.cap_mw - base[t.transformer_id] for t in found])
    rows = sheet.rows(over, -1.0, -INF, room)
    limits[Rule.TRANSFORMER_CAP] = (tuple(base), rows)
    return dict(zip(base, rows, strict=True))


def _energy(sheet: Sheet, problem: PlanProblem, load: Ints, spill: Ints, most: Floats) -> Ints:
    """Adds the cost of energy, expected and its CVaR; returns the rows of the scenarios of the latter."""
    hours, sites, risk = problem.interval_s / 3600, problem.sites, problem.risk_weight
    spilt = [np.maximum(site.cost_usd_mwh, 0.0) for site in sites]
    for n, site in enumerate(sites):
        sheet.charge(load[n], ((1 - risk) * site.probability @ site.cost_usd_mwh + site.payment_usd_mwh) * hours)
        sheet.charge(spill[n], (1 - risk) * site.probability @ spilt[n] * hours)
    if risk <= 0 or not sites:
        return np.zeros(0, dtype=np.int64)
    probability = sites[0].probability
    most_usd = (
        sum(float(np.abs(site.cost_usd_mwh).max(axis=0) @ (most[n] + site.block_mw)) for n, site in enumerate(sites))
        * hours
    )
    eta = sheet.columns((1,), low=-most_usd, high=most_usd, worth=-risk)
    tail = sheet.columns(probability.shape, high=2 * most_usd, worth=-risk * probability / problem.risk_tail)
    rows = sheet.rows(tail, 1.0, 0.0, INF)
    sheet.add(rows, eta, 1.0)
    for n, site in enumerate(sites):
        sheet.add(rows[:, None], load[n][None, :], -site.cost_usd_mwh * hours)
        sheet.add(rows[:, None], spill[n][None, :], -spilt[n] * hours)
    return rows


def _constant_usd(problem: PlanProblem) -> float:
    hours = problem.interval_s / 3600
    paid = sum(float(site.payment_usd_mwh @ site.cap_mw) for site in problem.sites)
    return hours * (paid + problem.intervals * sum(group.modes[0].revenue_usd_h for group in problem.asic_groups))
