-- What a facility has agreed on beyond the adder: the charge by coincident peaks, and capacity held for the grid.
ALTER TABLE facilities
    ADD COLUMN IF NOT EXISTS transmission_usd_kw_year double precision NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS capacity_awards          jsonb            NOT NULL DEFAULT '[]'::jsonb;
COMMENT ON COLUMN facilities.transmission_usd_kw_year IS
    'Charge by load at coincident peaks beside the adder, USD a kW and year.';
COMMENT ON COLUMN facilities.capacity_awards IS
    'Capacity held ready for the grid: product, MW, price, penalty, hours.';
