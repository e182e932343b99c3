"""The search around a whole plan: other runs for one group, all running modes of its site chosen anew, priced exactly.

The runs tried are those of the schedules that the relaxation has asked for, those first that lose least at its prices.
Work is limited in moves, and ends where the gap is small.
"""

from dataclasses import dataclass

import numpy as np

from streams.domain.plan.master import Master
from streams.domain.plan.problem import Floats, Ints
from streams.domain.plan.response import GAIN_USD, Answer
from streams.domain.plan.running_mode import rechosen
from streams.domain.plan.schedule import schedule_usd

MAX_MOVES = 50
"""Tried at each site at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """Other runs for a group, in the modes of a schedule, and what they lose at least at the prices of the proof."""

    group: int
    schedule: Ints
    loss_usd: float


def search(answer: Answer, found: list[Move], gap_usd: float, enough_usd: float) -> None:
    """Betters a whole plan by moves until it is this near to the bound, none helps or the moves are used up."""
    for site in range(len(answer.load)):
        mine = [move for move in found if answer.asic_site[move.group] == site]
        gap_usd -= _searched_at(answer, site, mine, gap_usd, enough_usd)


def _searched_at(answer: Answer, site: int, found: list[Move], gap_usd: float, enough_usd: float) -> float:
    """What moves at a site gain. Of use is only what loses less than the gap at the prices that prove the bound."""
    rows = np.flatnonzero(answer.asic_site == site)
    gained, left, n, since = 0.0, MAX_MOVES, 0, 0
    useful = [move for move in found if move.loss_usd < gap_usd]
    while left and since < len(useful) and gap_usd - gained > enough_usd:
        move = useful[n % len(useful)]
        n, since = n + 1, since + 1
        if ((move.schedule > 0) == (answer.modes[move.group] > 0)).all():
            continue
        left -= 1
        gain = _moved(answer, site, rows, move)
        if gain > 0:
            gained, since = gained + gain, 0
    return gained


def _moved(answer: Answer, site: int, rows: Ints, move: Move) -> float:
    """What a move gains; taken back where that is nothing."""
    kept, before_usd = answer.copied(), answer.home_usd(rows)
    answer.set_modes(move.group, move.schedule)
    rechosen(answer, site)
    gain = answer.home_usd(rows) - before_usd
    if gain > GAIN_USD:
        return gain
    answer.restore(kept)
    return 0.0


def moves(master: Master, duals: Floats) -> list[Move]:
    """The runs of all schedules of the master program, those first that lose least."""
    found: dict[tuple[int, bytes], Move] = {}
    price = master.power_usd(duals)
    worth = master.fleet.earned_usd[:, None, :] - price[:, :, None] * master.fleet.power_mw[:, None, :]
    worth -= worth[:, :, :1]
    running = worth[:, :, 1:].max(axis=2, initial=-np.inf)
    most = master.priced(duals).worth_usd
    for owner, choice in zip(master.owner, master.choice, strict=True):
        if isinstance(choice, np.ndarray):
            key = owner, (choice > 0).tobytes()
            if key not in found:
                earned = float(running[owner, choice > 0].sum()) - schedule_usd(master.fleet, owner, choice)
                found[key] = Move(owner, choice, float(most[owner]) - earned)
    return sorted(found.values(), key=lambda move: (move.loss_usd, move.group, move.schedule.tobytes()))
