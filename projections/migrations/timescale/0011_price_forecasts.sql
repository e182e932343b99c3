-- price_forecasts: a new table
CREATE TABLE IF NOT EXISTS "price_forecasts" (
    "observed_at" timestamptz NOT NULL,
    "settlement_point" text NOT NULL,
    "starts_at" timestamptz NOT NULL,
    "interval_s" integer NOT NULL,
    "expected_usd_mwh" double precision NOT NULL,
    "p05_usd_mwh" double precision NOT NULL,
    "p25_usd_mwh" double precision NOT NULL,
    "p50_usd_mwh" double precision NOT NULL,
    "p75_usd_mwh" double precision NOT NULL,
    "p95_usd_mwh" double precision NOT NULL,
    "method" text NOT NULL,
    "fitted_at" timestamptz NOT NULL,
    "price_event_id" text NOT NULL,
    "event_id" text NOT NULL,
    "scores" jsonb NOT NULL,
    UNIQUE ("event_id", "starts_at", "observed_at")
);
-- price_forecasts: a hypertable
SELECT create_hypertable('price_forecasts', by_range('observed_at', INTERVAL '1 day'), create_default_indexes => false, if_not_exists => true);
-- price_forecasts: the comment of expected_usd_mwh differs
COMMENT ON COLUMN "price_forecasts"."expected_usd_mwh" IS 'Mean of what is forecast; plans go by it.';
-- price_forecasts: the comment of scores differs
COMMENT ON COLUMN "price_forecasts"."scores" IS 'Pinball losses of the methods in the week before fitted_at, USD/MWh; method is the best of them.';
-- price_forecasts: index on observed_at is new
CREATE INDEX IF NOT EXISTS "price_forecasts_observed_at_idx" ON "price_forecasts" ("observed_at");
-- price_forecasts: its comment differs
COMMENT ON TABLE "price_forecasts" IS 'What was forecast of power prices where no day-ahead market has them, a row an interval.';
-- price_forecasts: retention is 180 days, not without end
SELECT remove_retention_policy('price_forecasts', if_exists => true);
SELECT add_retention_policy('price_forecasts', INTERVAL '180 days');
