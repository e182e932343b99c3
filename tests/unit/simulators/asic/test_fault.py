"""What breaks, how often, and what is left of it."""

import numpy as np
import pytest

from simulators.asic import fault
from simulators.asic.fault import BOARDS, Faults
from simulators.timeline import DAY_MS, HOUR_MS, MINUTE_MS
from tests.simulators_world import START_MS, share_of

SIZE = 30_000


def faults(seed: int = 1, at_ms: int = START_MS, size: int = SIZE) -> Faults:
    found = Faults(np.full(size, 4), seed)
    found.advance(at_ms)
    return found


@pytest.mark.parametrize("at_ms", [START_MS, START_MS + 3 * HOUR_MS + MINUTE_MS, START_MS + 40 * DAY_MS])
def test_at_any_time_as_many_are_broken_as_the_rates_say(at_ms: int) -> None:
    found = [faults(seed, at_ms) for seed in range(4)]
    n = 4 * SIZE
    counts = {
        fault.DOWN: sum(int(f.is_down.sum()) for f in found),
        fault.BOARD: sum(int(((f.boards < BOARDS) & ~f.is_down).sum()) for f in found),
        fault.FAN: sum(int((f.fans < 1).sum()) for f in found),
        fault.STALL: sum(len(f.stalled) for f in found),
        fault.CHIPS: sum(int((f.hashrate % (1 / BOARDS) > 1e-9).sum()) for f in found),
    }
    for law, count in counts.items():
        # Binomial, five standard deviations and one device.
        expected = n * share_of(law)
        assert abs(count - expected) <= 5 * np.sqrt(expected) + 1, law


def test_a_device_without_a_board_has_two_thirds_of_its_hashrate_and_a_little_more_of_its_power() -> None:
    found = faults()
    one_less = np.flatnonzero(found.boards == BOARDS - 1)
    whole_chips = one_less[np.isclose(found.hashrate[one_less], 2 / 3)]
    assert len(whole_chips) > 100
    assert found.power[whole_chips] == pytest.approx(0.04 + 0.96 * 2 / 3)


def test_chips_cost_a_few_percent_of_a_board_and_hardly_any_power() -> None:
    found = faults()
    lossy = np.flatnonzero((found.boards == BOARDS) & (found.hashrate < 1))
    assert len(lossy) > 500
    loss, power = 1 - found.hashrate[lossy], 1 - found.power[lossy]
    assert loss.min() > 0.003
    assert loss.max() < 0.021
    assert (power < 0.1 * loss).all()


def test_a_fleet_that_is_advanced_and_one_that_starts_later_have_the_same_faults() -> None:
    later_ms = START_MS + 9 * HOUR_MS
    advanced = faults()
    for at_ms in range(START_MS, later_ms + 1, 7 * MINUTE_MS):
        advanced.advance(at_ms)
    advanced.advance(later_ms)
    started = faults(at_ms=later_ms)
    for name in ("is_down", "boards", "power", "hashrate", "fans"):
        assert (getattr(advanced, name) == getattr(started, name)).all(), name
    assert advanced.stalled.member.tolist() == started.stalled.member.tolist()


def test_what_turns_is_told_once_and_known_later_as_the_last_restart() -> None:
    found = faults()
    down, stalled = set(np.flatnonzero(found.is_down)), set(found.stalled.member.tolist())
    stopped: set[int] = set()
    restarted: dict[int, int] = {}
    end_ms = START_MS + 2 * HOUR_MS
    for at_ms in range(START_MS + MINUTE_MS, end_ms + 1, MINUTE_MS):
        turn = found.advance(at_ms)
        stopped |= set(turn.stopped.tolist())
        restarted.update(zip(turn.restarted.tolist(), turn.restarted_ms.tolist(), strict=True))
        assert ((turn.restarted_ms > at_ms - MINUTE_MS) & (turn.restarted_ms <= at_ms)).all()
    assert set(np.flatnonzero(found.is_down)) - down <= stopped
    # Stalls last a quarter of an hour at most, so that all of the first have ended.
    assert stalled <= set(restarted)
    last_ms = faults(at_ms=end_ms).last_restart_ms(end_ms)
    gone = [row for row in restarted if not found.is_down[row] and row not in found.stalled.member]
    assert len(gone) > 20
    assert [last_ms[row] for row in gone] == [restarted[row] for row in gone]
