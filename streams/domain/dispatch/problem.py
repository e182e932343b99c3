"""The problem of one interval as arrays: a row for each class, of which one option is taken, a column an option.

The classes are the ASIC groups, then the workloads, with "runs nowhere" first. A class with fewer options than the
others ends in options that are worth so little that nobody takes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from streams.domain.choice import Choices, Floor, PlaceChoice

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Far below what penalties can take off a worth, and far within 64 bits.
_NOT_AN_OPTION = -(10**17)


class Step(NamedTuple):
    """Each W of the load over `limit_w` costs `penalty_per_w`, money units an hour."""

    limit_w: int
    penalty_per_w: int


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A multiple-choice knapsack with pools, transformers and soft limits of the load.

    Of each option, shape (classes, options): W over the base, worth in money units an hour, the GPUs that it takes, the
    pool that it takes them from and the transformer that it is behind, by position, -1 for none.

    `pools`: units of each GPU group; `rooms`: what may be behind each transformer, W. The load is at most `cap_w`, and
    each of the `steps`, by rising limits below the cap, makes a watt dearer. `places`: of all workloads, in order, the
    places that each option stands for.
    """

    watts: Ints
    worth: Ints
    gpus: Ints
    pool: Ints
    transformer: Ints
    pools: tuple[int, ...]
    rooms: tuple[int, ...]
    cap_w: int
    steps: tuple[Step, ...]
    places: tuple[tuple[tuple[PlaceChoice, ...], ...], ...] = ()

    @property
    def jobs(self) -> NDArray[np.bool_]:
        """Which classes are workloads."""
        found: NDArray[np.bool_] = self.pool.max(axis=1) >= 0
        return found

    def classes(self, which: NDArray[np.bool_]) -> Self:
        """Returns the problem of these classes alone, as many columns as they have options."""
        width = max(int((self.worth[which] > _NOT_AN_OPTION).any(axis=0).sum()), 1)
        parts = (self.watts, self.worth, self.gpus, self.pool, self.transformer)
        watts, worth, gpus, pool, transformer = (part[which, :width] for part in parts)
        return replace(self, watts=watts, worth=worth, gpus=gpus, pool=pool, transformer=transformer, places=())

    def behind(self, transformers: Sequence[int]) -> Self:
        """Returns the problem with these transformers only, numbered anew: the others carry anything."""
        number = np.full(len(self.rooms) + 1, -1)
        number[list(transformers)] = np.arange(len(transformers))
        rooms = tuple(self.rooms[t] for t in transformers)
        return replace(self, transformer=number[self.transformer], rooms=rooms)

    def of(self, chosen: Sequence[int] | Ints, values: Ints) -> Ints:
        """Returns the value of the option that is chosen of each class, given by number."""
        found: Ints = values[np.arange(len(values)), np.asarray(chosen, np.int64)]
        return found

    def held(self) -> list[Ints]:
        """Returns what each option holds of each pool, and then behind each transformer."""
        pools = [np.where(self.pool == pool, self.gpus, 0) for pool in range(len(self.pools))]
        return [*pools, *(np.where(self.transformer == t, self.watts, 0) for t in range(len(self.rooms)))]

    def load_w(self, chosen: Sequence[int] | Ints) -> int:
        """Load of an option of each class, W."""
        return int(self.of(chosen, self.watts).sum())

    def worth_of(self, chosen: Sequence[int] | Ints) -> int:
        """Worth of an option of each class, money units an hour, penalties taken off."""
        return int(self.of(chosen, self.worth).sum()) - self.penalty(self.load_w(chosen))

    def penalty(self, load_w: int) -> int:
        """Penalty of a load, money units an hour."""
        return sum(max(load_w - step.limit_w, 0) * step.penalty_per_w for step in self.steps)

    def penalties(self, load_w: Ints) -> Ints:
        """The same of loads of any shape."""
        found = np.zeros_like(load_w)
        for step in self.steps:
            found += np.maximum(load_w - step.limit_w, 0) * step.penalty_per_w
        return found

    @property
    def free_w(self) -> int:
        """The load up to which there are no penalties, W."""
        return min([self.cap_w, *(step.limit_w for step in self.steps)])

    def loads_w(self, watt: float, least: Floats) -> tuple[Floats, Floats]:
        """The loads between which no less than this is left of what a W is paid, W."""
        low, high = np.full(least.shape, -np.inf), np.full(least.shape, float(self.cap_w))
        price, free = 0.0, 0.0
        # The penalty of a load is the greatest of price * load - free.
        for step in (Step(0, 0), *self.steps):
            price, free = price + step.penalty_per_w, free + step.penalty_per_w * step.limit_w
            if price < watt:
                low = np.maximum(low, (least - free) / (watt - price))
            elif price > watt:
                high = np.minimum(high, (free - least) / (price - watt))
        return low, high

    def marginal(self, load_w: float) -> float:
        """What the last W of a load costs in penalties, money units an hour."""
        return float(sum(step.penalty_per_w for step in self.steps if load_w > step.limit_w))

    def peak_w(self, watt: float) -> int:
        """The load at which as much as possible is left of what a W is paid, W."""
        return int(self.peaks_w(np.array([watt]))[0])

    def peaks_w(self, watt: Floats) -> Ints:
        """The same for each of these prices."""
        peaks = np.full(watt.shape, self.cap_w, np.int64)
        paid = sum(step.penalty_per_w for step in self.steps)
        for step in reversed(self.steps):
            peaks[watt <= paid] = step.limit_w
            paid -= step.penalty_per_w
        return peaks


def problem_of(found: Choices, *, merged: bool) -> Problem:
    """Returns the choices as numbers, without floors.

    `merged`: all GPUs are one pool, a relaxation in which places that cost and earn the same behind the same
    transformer are one option. A transformer is told by its position among those of `found`.
    """
    pool_of = {group: 0 if merged else number for number, group in enumerate(found.gpus)}
    feeder_of = _feeders(found)
    classes = [
        [(c.extra_w, c.worth, 0, -1, feeder_of.get(group, -1)) for c in options]
        for group, options in found.modes.items()
    ]
    jobs: dict[str, dict[tuple[int, int, int, int, int], list[PlaceChoice]]] = {}
    for place in found.places:
        group = place.group
        option = (place.extra_w, place.worth, place.workload.gpus, pool_of[group], feeder_of.get(group, -1))
        own = jobs.setdefault(place.workload.workload_id, {(0, 0, 0, -1, -1): []})
        own.setdefault(option, []).append(place)
    classes.extend(map(list, jobs.values()))
    width = max(map(len, classes), default=1)
    for options in classes:
        least_w, _, _, _, feeder = options[0]
        options.extend([(least_w, _NOT_AN_OPTION, 0, -1, feeder)] * (width - len(options)))
    parts = np.array(classes, np.int64).reshape(-1, width, 5).transpose(2, 0, 1)
    watts, worth, gpus, pool, transformer = np.ascontiguousarray(parts)
    units, cap = tuple(found.gpus.values()), found.cap_extra_w
    called = found.limit_extra_w
    return Problem(
        watts=watts,
        worth=worth,
        gpus=gpus,
        pool=pool,
        transformer=transformer,
        pools=(sum(units),) if merged else units,
        rooms=tuple(found.transformers.values()),
        cap_w=cap,
        steps=() if called is None or called >= cap else (Step(called, found.penalty_per_w),),
        places=tuple(tuple(map(tuple, own.values())) for own in jobs.values()),
    )


def mirrored(problem: Problem, floors: Sequence[Floor]) -> Problem:
    """Returns the problem counted from the other end: the load is what is not drawn of the most that can be.

    What is short of a floor is then over a limit, and the floors are steps. Cap, call and transformers are left out.
    """
    most_w = problem.watts.max(axis=1, keepdims=True)
    cap_w = int(most_w.sum())
    steps = sorted(Step(cap_w - floor.extra_w, floor.penalty_per_w) for floor in floors)
    none = np.full_like(problem.transformer, -1)
    return replace(problem, watts=most_w - problem.watts, transformer=none, rooms=(), cap_w=cap_w, steps=tuple(steps))


def _feeders(found: Choices) -> dict[str, int]:
    """The transformer of each group whose transformer could be overloaded at all."""
    if not found.transformers:
        return {}
    most = dict.fromkeys(found.transformers, 0)
    for group, options in found.modes.items():
        if (fed_by := found.fed_by.get(group)) in most:
            most[fed_by] += max(c.extra_w for c in options)
    for place in found.places:
        if (fed_by := found.fed_by.get(place.group)) in most:
            most[fed_by] += place.extra_w
    number = {name: number for number, (name, room_w) in enumerate(found.transformers.items()) if most[name] > room_w}
    return {group: number[name] for group, name in found.fed_by.items() if name in number}
