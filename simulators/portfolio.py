"""What the simulated operator has built where: models of miners, and the layout of its three facilities.

Figures of ASICs are the makers' nameplates (hashrate and wall power at 25 °C): Bitmain's product pages for S19j Pro
(104 TH/s, 3068 W), S19 XP (140 TH/s, 3010 W) and S21 (200 TH/s, 3500 W); MicroBT's page for M60S (186 TH/s at
18.5 J/TH, so 3441 W). Antminers have two fans in front and two behind, Whatsminers one each. The warmest
air is 45 degrees for Antminers, and 35 for a Whatsminer M32, which is assumed for the M60S too.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AsicModel:
    """Nameplate of a miner; `max_inlet_c` is the warmest air that its maker allows, degrees Celsius."""

    name: str
    slug: str
    hashrate_ths: float
    power_w: float
    fans: int
    max_inlet_c: float


S19J_PRO = AsicModel("Antminer S19j Pro", "s19jpro", 104.0, 3068.0, fans=4, max_inlet_c=45.0)
S19_XP = AsicModel("Antminer S19 XP", "s19xp", 140.0, 3010.0, fans=4, max_inlet_c=45.0)
S21 = AsicModel("Antminer S21", "s21", 200.0, 3500.0, fans=4, max_inlet_c=45.0)
M60S = AsicModel("Whatsminer M60S", "m60s", 186.0, 3441.0, fans=2, max_inlet_c=35.0)
MODELS = {model.name: model for model in (S19J_PRO, S19_XP, S21, M60S)}
"""All of them by name."""


@dataclass(frozen=True, slots=True)
class Climate:
    """Yearly mean, seasonal and daily amplitude of the outside air, degrees Celsius, and hours of solar time to UTC."""

    mean_c: float
    seasonal_c: float
    daily_c: float
    solar_offset_h: float


@dataclass(frozen=True, slots=True)
class SitePlan:
    """A facility as it is laid out; shares of devices are percent of the fleet, the others of the facility's cap."""

    facility_id: str
    name: str
    country: str
    timezone: str
    grid_operator: str
    settlement_point: str
    pue_ratio: float
    energy_adder_usd_mwh: float
    transmission_usd_kw_year: float
    region: str
    block_share: float
    sell_back_share: float
    climate: Climate
    asic_shares: tuple[tuple[AsicModel, int], ...]
    gpu_share: int
    award_share: float = 0.0


ERCOT_TRANSMISSION_USD_KW_YEAR = 60.0
"""Postage stamp by load at the four coincident peaks, assumed: the adders of the sites in Texas are without it."""

# Shares are percent of the fleet. Canada-1 buys from the pool as it uses: it has no block of energy to sell back.
PLANS = (
    SitePlan(
        facility_id="Texas-1",
        name="Texas-1, Permian Basin",
        country="US",
        timezone="America/Chicago",
        grid_operator="ERCOT",
        settlement_point="HB_WEST",
        pue_ratio=1.06,
        energy_adder_usd_mwh=8.5,
        transmission_usd_kw_year=ERCOT_TRANSMISSION_USD_KW_YEAR,
        region="US-TX",
        block_share=0.7,
        sell_back_share=0.6,
        climate=Climate(18.5, 9.5, 7.5, -6.8),
        asic_shares=((S19J_PRO, 25), (S21, 20)),
        gpu_share=45,
    ),
    SitePlan(
        facility_id="Texas-2",
        name="Texas-2, north of Dallas",
        country="US",
        timezone="America/Chicago",
        grid_operator="ERCOT",
        settlement_point="HB_NORTH",
        pue_ratio=1.08,
        energy_adder_usd_mwh=9.5,
        transmission_usd_kw_year=ERCOT_TRANSMISSION_USD_KW_YEAR,
        region="US-TX",
        block_share=0.5,
        sell_back_share=0.4,
        climate=Climate(19.0, 10.0, 6.0, -6.5),
        asic_shares=((S19_XP, 20), (M60S, 15)),
        gpu_share=30,
        award_share=0.25,
    ),
    SitePlan(
        facility_id="Canada-1",
        name="Canada-1, southern Alberta",
        country="CA",
        timezone="America/Edmonton",
        grid_operator="AESO",
        settlement_point="AESO_POOL",
        pue_ratio=1.04,
        energy_adder_usd_mwh=14.0,
        transmission_usd_kw_year=0.0,
        region="CA-AB",
        block_share=0.0,
        sell_back_share=0.0,
        climate=Climate(5.5, 13.0, 6.5, -7.5),
        asic_shares=((S19J_PRO, 10), (S21, 10)),
        gpu_share=25,
    ),
)
