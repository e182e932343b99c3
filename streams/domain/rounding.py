"""A selection that keeps the limits, from the options that a dual's prices prefer: repair, then use what is left."""

from collections.abc import Sequence

from streams.domain.dual import Dual, Interval, Option


def default(options: Sequence[Option], losses: Sequence[float]) -> int:
    """The option that loses nothing; of several the one that draws least and holds the fewest GPUs."""
    if losses.count(0.0) == 1:
        return losses.index(0.0)
    return min(range(len(options)), key=lambda i: (losses[i], options[i].watts, options[i].gpus))


def repaired(problem: Interval, prices: Dual, losses: Sequence[Sequence[float]]) -> list[int] | None:
    """Returns an option of each class near the defaults; None where this way ends over the cap.

    `losses`: of each option against the default of its class.
    """
    classes = problem.classes
    chosen = [default(options, lost) for options, lost in zip(classes, losses, strict=True)]
    free = list(problem.pools)

    def bid(c: int) -> float:
        return max((o.worth - prices.watt * o.watts) / o.gpus for o in classes[c] if o.gpus)

    jobs = [c for c, options in enumerate(classes) if options[-1].pool >= 0]
    for c in sorted(jobs, key=bid, reverse=True):
        fits = [i for i, o in enumerate(classes[c]) if o.pool < 0 or o.gpus <= free[o.pool]]
        # Of equal places the one that it fills best, so that large workloads find room.
        chosen[c] = min(fits, key=lambda i: (losses[c][i], classes[c][i].pool < 0 or free[classes[c][i].pool]))
        option = classes[c][chosen[c]]
        if option.pool >= 0:
            free[option.pool] -= option.gpus
    room = problem.cap_w if prices.watt > problem.penalty_per_w else problem.limit_w
    load = sum(options[i].watts for options, i in zip(classes, chosen, strict=True))
    if load > room:
        load -= _shed(problem, losses, chosen, free, load - room)
    if load > problem.cap_w:
        return None
    _fill(problem, losses, chosen, free, load)
    return chosen


def _shed(problem: Interval, losses: Sequence[Sequence[float]], chosen: list[int], free: list[int], over_w: int) -> int:
    """Lowers the load by `over_w` or as far as it goes, cheapest first; returns by how much."""
    moves = [
        ((losses[c][i] - losses[c][chosen[c]]) / (options[chosen[c]].watts - o.watts), c, i)
        for c, options in enumerate(problem.classes)
        for i, o in enumerate(options)
        if o.watts < options[chosen[c]].watts and (o.pool < 0 or o.pool == options[chosen[c]].pool)
    ]
    shed_w = 0
    for _, c, i in sorted(moves):
        old, new = problem.classes[c][chosen[c]], problem.classes[c][i]
        if shed_w >= over_w:
            break
        if new.watts < old.watts:
            shed_w += old.watts - new.watts
            if old.pool >= 0 and new.pool < 0:
                free[old.pool] += old.gpus
            chosen[c] = i
    return shed_w


def _fill(problem: Interval, losses: Sequence[Sequence[float]], chosen: list[int], free: list[int], load: int) -> None:
    """Takes each option that still fits and is worth more, in order of what it loses."""
    moves = [(lost[i], c, i) for c, lost in enumerate(losses) for i in range(len(lost)) if i != chosen[c]]
    for _, c, i in sorted(moves):
        old, new = problem.classes[c][chosen[c]], problem.classes[c][i]
        after = load + new.watts - old.watts
        held = old.gpus if old.pool == new.pool else 0
        if after > problem.cap_w or (new.pool >= 0 and new.gpus - held > free[new.pool]):
            continue
        excess = max(after - problem.limit_w, 0) - max(load - problem.limit_w, 0)
        if new.worth - old.worth > excess * problem.penalty_per_w:
            if old.pool >= 0:
                free[old.pool] += old.gpus
            if new.pool >= 0:
                free[new.pool] -= new.gpus
            chosen[c], load = i, after
