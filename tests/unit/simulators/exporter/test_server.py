"""The exporter: the newest readings of a simulation, over HTTP, as the bridge reads them."""

from http.client import HTTPConnection

import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families

from simulators.bridge.gpu_page import readings
from simulators.exporter.newest import Newest
from simulators.exporter.server import UnknownFilterError, page, serve
from simulators.simulation import ASIC_TOPIC, GPU_TOPIC, Simulation, Slice
from tests.simulators_world import a_simulation, slices, workload_command

FIELDS = ("utilization_ratio", "power_w", "temp_c", "memory_used_gib", "memory_temp_c", "sm_clock_mhz", "xid",
          "throttle_reasons")  # fmt: skip


def shown(simulation: Simulation, seconds: int) -> tuple[Newest, list[Slice]]:
    """What the exporter knows of the next seconds, and the slices."""
    newest = Newest()
    newest.begin(simulation)
    found = slices(simulation, seconds)
    for part in found:
        newest.take(part)
    return newest, found


def samples(text: str, name: str) -> dict[str, float]:
    """The values of a metric by UUID or address; the parser gives counters a suffix."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in {name, f"{name}_total"}:
                found[sample.labels.get("UUID", sample.labels.get("ip", ""))] = sample.value
    return found


def test_the_bridge_reads_the_newest_readings_of_the_fleet() -> None:
    simulation = a_simulation()
    simulation.obey(workload_command(gpus=24))
    slices(simulation, 120)
    newest, found = shown(simulation, 60)
    last = pl.concat([dict(part.readings)[GPU_TOPIC] for part in found[-5:]]).sort("device_id")
    bridged = readings(page(newest))
    assert [gpu.uuid for gpu in bridged] == last["device_id"].to_list()
    assert [gpu.labels["pod"] or None for gpu in bridged] == last["workload_id"].to_list()
    assert set(last["workload_id"]) == {None, "wl-1"}
    for gpu, reading in zip(bridged, last.iter_rows(named=True), strict=True):
        assert gpu.values == pytest.approx({name: reading[name] for name in FIELDS})


def test_gpus_have_the_labels_of_their_node() -> None:
    newest, _ = shown(a_simulation(), 15)
    gpu = next(gpu for gpu in readings(page(newest)) if gpu.uuid == "texas-1-h100-00011")
    assert gpu.labels == {
        "gpu": "2",
        "UUID": "texas-1-h100-00011",
        "device": "nvidia2",
        "modelName": "NVIDIA H100 80GB HBM3",
        "Hostname": "texas-1-h100-node-2",
        "pod": "",
    }


def test_counters_add_up_from_the_start() -> None:
    newest, found = shown(a_simulation(), 300)
    frames = pl.concat([dict(part.readings)[GPU_TOPIC] for part in found])
    # W over 15 s each, in mJ.
    expected = frames.group_by("device_id").agg((pl.col("power_w").sum() * 15_000).alias("mj"))
    energy = samples(page(newest), "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION")
    assert energy == pytest.approx(dict(expected.iter_rows()), abs=30)


def test_an_error_beyond_correction_is_counted_once() -> None:
    simulation = a_simulation()
    newest = Newest()
    newest.begin(simulation)
    device = ""
    for number, part in enumerate(slices(simulation, 90)):
        frames = dict(part.readings)
        if number % 5 == 0:
            # The first GPU of these slices shows nothing, then XID 94 for the rest of the time.
            device = frames[GPU_TOPIC]["device_id"][0]
            is_it = pl.col("device_id") == device
            frames[GPU_TOPIC] = frames[GPU_TOPIC].with_columns(
                xid=pl.when(is_it & (number > 5)).then(94).otherwise(0).cast(pl.Int32)
            )
        newest.take(Slice(part.start_ms, part.end_ms, tuple(frames.items()), ()))
    counted = samples(page(newest), "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL")
    assert {uuid: count for uuid, count in counted.items() if count} == {device: 1.0}


def test_devices_that_say_nothing_are_not_shown_and_count_on_when_they_are_back() -> None:
    simulation = a_simulation()
    newest = Newest()
    newest.begin(simulation)
    spent: dict[str, float] = {}
    for number, part in enumerate(slices(simulation, 90)):
        gpus = dict(part.readings)[GPU_TOPIC]
        if 10 <= number < 20:
            gpus = gpus.filter(pl.col("facility_id") != "Texas-1")
        newest.take(Slice(part.start_ms, part.end_ms, ((GPU_TOPIC, gpus),), ()))
        for device, power in gpus.select("device_id", "power_w").iter_rows():
            spent[device] = spent.get(device, 0.0) + power * 15_000
        if number == 19:
            assert {uuid[:7] for uuid in samples(page(newest), "DCGM_FI_DEV_SM_CLOCK")} == {"texas-2", "canada-"}
    assert len(spent) == 80
    assert samples(page(newest), "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION") == pytest.approx(spent, abs=30)


def test_miners_are_shown_with_their_mode() -> None:
    newest, found = shown(a_simulation(), 30)
    last = pl.concat([dict(part.readings)[ASIC_TOPIC] for part in found[-5:]])
    text = page(newest)
    last = last.with_columns(rejected_percent=pl.col("pool_rejected_ratio") * 100)
    for name, column in (("asic_miner_status_power", "power_w"), ("asic_miner_status_ths_rt", "hashrate_ths"),
                         ("asic_miner_temperature_avg_temperature", "temp_c"), ("asic_miner_status_uptime", "uptime_s"),
                         ("asic_miner_fans_fan_speed_in", "fan_rpm"),
                         ("asic_pool_status_reject_rate", "rejected_percent")):  # fmt: skip
        assert samples(text, name) == pytest.approx(dict(last.select("device_id", column).iter_rows())), column
    assert 'asic_miner_status{ip="texas-1-s21-00001",location="Texas-1",power_mode="NORMAL"} 1\n' in text


def test_a_query_names_a_part_of_the_fleet() -> None:
    newest, _ = shown(a_simulation(), 15)
    everything = samples(page(newest), "DCGM_FI_DEV_SM_CLOCK")
    assert len(everything) == 80
    facility = page(newest, "facility=Texas-1")
    assert {uuid[:8] for uuid in samples(facility, "DCGM_FI_DEV_SM_CLOCK")} == {"texas-1-"}
    assert {ip[:8] for ip in samples(facility, "asic_miner_status_power")} == {"texas-1-"}
    host = page(newest, "host=texas-1-h100-node-2")
    assert sorted(samples(host, "DCGM_FI_DEV_SM_CLOCK")) == [f"texas-1-h100-{n:05d}" for n in range(9, 17)]
    assert "asic_" not in host
    assert page(newest, "facility=Texas-1&group=texas-2-h100") == page(newest, "group=none") == ""
    with pytest.raises(UnknownFilterError, match="unknown filter 'site'"):
        page(newest, "site=Texas-1")


def test_pages_are_served_and_wrong_questions_answered() -> None:
    newest = Newest()
    port = serve(newest, "127.0.0.1", 0)

    def answer(path: str) -> tuple[int, str | None, str]:
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            found = connection.getresponse()
            return found.status, found.getheader("Content-Type"), found.read().decode()
        finally:
            connection.close()

    kind = "text/plain; version=0.0.4; charset=utf-8"
    assert answer("/metrics") == (200, kind, "")  # nothing has been simulated yet
    simulation = a_simulation()
    newest.begin(simulation)
    for part in slices(simulation, 15):
        newest.take(part)
    assert answer("/metrics") == (200, kind, page(newest))
    assert answer("/metrics?group=texas-1-h100") == (200, kind, page(newest, "group=texas-1-h100"))
    assert answer("/metrics?what=1")[0] == 400
    assert answer("/")[0] == 404
