"""Figures of the miners."""

import os
from pathlib import Path

import polars as pl
import pytest

from simulators.portfolio import MODELS, PLANS

DATA = Path(os.environ.get("HCP_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")


def test_every_model_in_the_layout_is_known_by_its_name() -> None:
    used = {model.name: model for plan in PLANS for model, _ in plan.asic_shares}
    assert used == MODELS


@pytest.mark.skipif(not DATA.is_dir(), reason="needs recorded figures: HCP_TEST_DATA names their folder")
def test_nameplates_are_those_that_others_name() -> None:
    listed = pl.read_csv(DATA / "asic_models.csv")
    for model in MODELS.values():
        found = listed.filter(model=model.name).select("hashrate_th_s", "power_w").row(0)
        assert (model.hashrate_ths, model.power_w) == found
