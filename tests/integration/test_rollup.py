"""The rollup on a real broker: windows, refused and late readings, restarts and rebalances."""

import signal

from tests.rollup_world import RollupWorld, reading, settled
from tests.streams_event import at


def headers(message: object) -> dict[str, str]:
    found = message.headers()  # type: ignore[attr-defined]
    return {name.removeprefix("__connect.errors."): value.decode() for name, value in found}


def test_readings_become_one_window_a_partition_and_group(rollup_world: RollupWorld) -> None:
    world = rollup_world
    for second in (1, 5, 14):
        world.send_reading(reading(second, "d-0", power_w=1000.25), 0)
    world.send_reading(reading(3, "d-1", power_w=2000.5), 1)
    world.close_windows(60)
    world.start()
    found = world.emitted(lambda windows: settled(windows, at(15), 4))
    seen = [
        (w.source_partition, w.window_start, w.readings, w.devices, w.power_w_sum, w.hashrate_ths_sum) for w in found
    ]
    # 3 * 1000.25 = 3000.75
    assert sorted(seen) == [(0, at(0), 3, 1, 3000.75, 300.0), (1, at(0), 1, 1, 2000.5, 100.0)]


def test_what_can_not_be_handled_goes_to_the_dead_letters_and_the_rest_goes_on(rollup_world: RollupWorld) -> None:
    world = rollup_world
    world.send_reading(reading(1), 0)
    world.send(b"garbage without a header", 0, headers={"trace": b"7"})
    world.send(None, 0)
    world.send(b"\x00\x7f\xff\xff\xff" + b"x" * 20, 0)
    world.send_reading(reading(2, power_w=-1.0), 0)
    world.send_reading(reading(2, facility_id="Atlantis"), 0)
    world.send_reading(reading(3), 0)
    world.send_reading(reading(50), 0)
    world.send_reading(reading(4, "late"), 0)
    world.close_windows(100)
    world.start()
    found = world.emitted(lambda windows: settled(windows, at(15), 2))
    assert [w.readings for w in found if w.window_start == at(0)] == [2]
    dead = world.dead(6)
    reasons = [(m.partition(), headers(m)["offset"], headers(m)["exception.class.name"]) for m in dead]
    assert reasons == [
        (0, "1", "UndecodableError"),
        (0, "2", "UndecodableError"),
        (0, "3", "UnknownSchemaError"),
        (0, "4", "RuleViolation"),
        (0, "5", "RuleViolation"),
        (0, "8", "LateRecord"),
    ]
    assert dead[0].value() == b"garbage without a header"
    assert headers(dead[0])["trace"] == "7"
    assert "power_w: must be zero or more, got -1.0" in headers(dead[3])["exception.message"]
    assert "'Atlantis' is not registered" in headers(dead[4])["exception.message"]


def test_a_reading_far_in_the_future_does_not_close_the_windows_of_the_fleet(rollup_world: RollupWorld) -> None:
    world = rollup_world
    world.send_reading(reading(1), 0)
    world.send_reading(reading(20 * 365 * 86_400), 0)
    world.send_reading(reading(2), 0)
    world.close_windows(60)
    world.start()
    found = world.emitted(lambda windows: settled(windows, at(15), 2))
    assert [w.readings for w in found] == [2]
    assert "ahead of the time" in headers(world.dead(1)[0])["exception.message"]


def test_a_clean_stop_and_a_new_start_repeat_nothing(rollup_world: RollupWorld) -> None:
    world = rollup_world
    world.send_reading(reading(1), 0)
    world.send(b"bad", 0)
    world.send_reading(reading(40), 0)
    world.flush()
    world.start()
    world.emitted(lambda windows: settled(windows, at(15), 1))
    assert world.end(signal.SIGTERM) == 0
    world.start()
    world.send_reading(reading(41), 0)
    world.close_windows(100)
    found = world.emitted(lambda windows: settled(windows, at(45), 3))
    assert [(w.window_start, w.readings) for w in found] == [(at(0), 1), (at(30), 2)]
    assert [m.value() for m in world.dead(1)] == [b"bad"]


def test_two_workers_share_the_partitions_and_count_each_reading_once(rollup_world: RollupWorld) -> None:
    world = rollup_world
    world.start(0)
    for second in range(60):
        world.send_reading(reading(second), second % 4)
    world.flush()
    world.start(1)
    for second in range(60, 120):
        world.send_reading(reading(second), second % 4)
    world.close_windows(300)
    found = world.emitted(lambda windows: settled(windows, at(120), 120))
    within = [w for w in found if w.window_end <= at(120)]
    assert sum(w.readings for w in within) == 120
    assert len({w.event_id for w in within}) == len(within)
