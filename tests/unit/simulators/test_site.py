"""Master data of the simulated operator."""

import pytest

from schemas.events import PowerMode, ResourceKind
from simulators.site import operator, shares
from tests.simulators_world import START_MS


@pytest.mark.parametrize(("miners", "gpus"), [(2000, 200), (1, 0), (0, 8), (7, 3), (400_000, 10_000)])
def test_every_device_has_a_group_and_no_group_is_empty(miners: int, gpus: int) -> None:
    found = operator(miners, gpus, START_MS)
    assert sum(resource.units for resource in found.groups(ResourceKind.ASIC)) == miners
    assert sum(resource.units for resource in found.groups(ResourceKind.GPU)) == gpus
    assert all(resource.units > 0 for resource in found.resources)


def test_shares_are_by_largest_remainder() -> None:
    # 10 in the ratio 1 : 1 : 1 is 3.33 each; the one left goes to the first.
    assert shares([1, 1, 1], 10) == [4, 3, 3]


def test_the_cap_binds_with_busy_gpus_and_all_asics_in_normal_and_not_with_idle_gpus_in_eco() -> None:
    found = operator(2000, 200, START_MS)
    for facility in found.facilities:
        groups = [r for r in found.resources if r.facility_id == facility.facility_id]
        power = {
            mode: sum(r.units * p.power_w for r in groups for p in r.modes if p.mode is mode) for mode in PowerMode
        }
        gpus = [r for r in groups if r.kind is ResourceKind.GPU]
        busy, idle = (sum(r.units * w for r in gpus for w in [getattr(r, f)]) for f in ("max_power_w", "idle_power_w"))
        assert (power[PowerMode.NORMAL] + busy) * facility.pue_ratio / 1e6 > facility.cap_mw
        assert (power[PowerMode.ECO] + idle) * facility.pue_ratio / 1e6 < facility.cap_mw


def test_a_transformer_carries_its_groups_in_normal_and_not_all_of_them_in_turbo() -> None:
    found = operator(2000, 200, START_MS)
    for facility in found.facilities:
        for transformer in facility.transformers:
            groups = [r for r in found.resources if r.transformer_id == transformer.transformer_id]
            normal, turbo = (
                sum(r.units * (r.max_power_w if r.kind is ResourceKind.GPU else r.modes[step].power_w) for r in groups)
                for step in (2, 3)
            )
            assert normal * facility.pue_ratio / 1e6 < transformer.cap_mw
            if all(r.kind is ResourceKind.ASIC for r in groups):
                assert turbo * facility.pue_ratio / 1e6 > transformer.cap_mw


def test_every_group_is_behind_a_transformer_of_its_facility() -> None:
    found = operator(2000, 200, START_MS)
    names = {f.facility_id: {t.transformer_id for t in f.transformers} for f in found.facilities}
    assert all(len(own) == 2 for own in names.values())
    assert all(resource.transformer_id in names[resource.facility_id] for resource in found.resources)


def test_more_power_is_more_hashrate_at_a_worse_efficiency() -> None:
    for resource in operator(2000, 0, START_MS).resources:
        on = [point for point in resource.modes if point.mode is not PowerMode.OFF]
        assert [p.mode for p in resource.modes] == list(PowerMode)
        assert [p.hashrate_ths for p in on] == sorted(p.hashrate_ths for p in on)
        assert [p.power_w / p.hashrate_ths for p in on] == sorted(p.power_w / p.hashrate_ths for p in on)


def test_texas_pays_by_coincident_peaks_and_one_site_holds_capacity() -> None:
    texas_1, texas_2 = (f for f in operator(2000, 200, START_MS).facilities if f.grid_operator == "ERCOT")
    assert texas_1.transmission_usd_kw_year == texas_2.transmission_usd_kw_year > 0
    assert texas_1.capacity_awards == []
    (award,) = texas_2.capacity_awards
    assert award.starts_at < texas_2.recorded_at < award.ends_at
    # The ramp sheds it within the response time, and the cap leaves room for it over the minimum load.
    assert texas_2.ramp_mw_min * award.response_s / 60 >= award.capacity_mw
    assert texas_2.min_load_mw + award.capacity_mw < texas_2.cap_mw


def test_a_fleet_without_a_device_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one device"):
        operator(0, 0, START_MS)
