-- What an evaluation says beyond the worth of a group: break-evens, what moves the margin, what stood in for an input,
-- and the merit order; and what awarded capacity brings to a decision. Rows that are there have no such values, but for
-- the capacity: nothing was awarded before.
ALTER TABLE profitability_scores
    ADD COLUMN IF NOT EXISTS margin_usd_h                   double precision,
    ADD COLUMN IF NOT EXISTS efficiency_j_th                double precision,
    ADD COLUMN IF NOT EXISTS break_even_btc_usd             double precision,
    ADD COLUMN IF NOT EXISTS break_even_difficulty          double precision,
    ADD COLUMN IF NOT EXISTS break_even_gpu_hour_usd        double precision,
    ADD COLUMN IF NOT EXISTS btc_sensitivity_usd_mwh        double precision,
    ADD COLUMN IF NOT EXISTS difficulty_sensitivity_usd_mwh double precision,
    ADD COLUMN IF NOT EXISTS power_sensitivity_usd_mwh      double precision,
    ADD COLUMN IF NOT EXISTS gpu_hour_sensitivity_usd_mwh   double precision,
    ADD COLUMN IF NOT EXISTS day_ahead_usd_mwh              double precision,
    ADD COLUMN IF NOT EXISTS transmission_usd_mwh           double precision,
    ADD COLUMN IF NOT EXISTS fallbacks                      jsonb;
COMMENT ON COLUMN profitability_scores.margin_usd_h IS 'Margin of the whole group in its best mode, USD an hour.';
COMMENT ON COLUMN profitability_scores.power_sensitivity_usd_mwh IS
    'Change of the margin for 1 % more of LMP, USD/MWh; the others likewise.';
COMMENT ON COLUMN profitability_scores.transmission_usd_mwh IS
    'Expected charge by coincident peaks within the power cost, USD/MWh.';
COMMENT ON COLUMN profitability_scores.fallbacks IS
    'Inputs that were stale or missing, and by which rule each was stood in for.';

CREATE TABLE IF NOT EXISTS power_uses (
    evaluated_at       timestamptz      NOT NULL,
    facility_id        text             NOT NULL,
    merit              integer          NOT NULL,
    use                text             NOT NULL,
    resource_group_id  text,
    mode               text,
    value_usd_mwh      double precision NOT NULL,
    margin_usd_mwh     double precision NOT NULL,
    available_mw       double precision NOT NULL,
    power_cost_usd_mwh double precision NOT NULL,
    event_id           text             NOT NULL,
    UNIQUE (event_id, merit, evaluated_at)
);
COMMENT ON TABLE power_uses IS 'The merit order of each evaluation: what the next MW is worth, a row a use.';
COMMENT ON COLUMN power_uses.merit IS 'Place in the merit order, 1 for the most valuable use.';
COMMENT ON COLUMN power_uses.available_mw IS 'How much power with cooling the use can take, MW.';
SELECT create_hypertable('power_uses', by_range('evaluated_at', INTERVAL '1 day'), if_not_exists => true);
SELECT add_retention_policy('power_uses', INTERVAL '90 days', if_not_exists => true);

ALTER TABLE allocation_history ADD COLUMN IF NOT EXISTS capacity_usd_h double precision NOT NULL DEFAULT 0;
COMMENT ON COLUMN allocation_history.capacity_usd_h IS
    'What holding awarded capacity brings, what is short taken off, USD an hour.';
