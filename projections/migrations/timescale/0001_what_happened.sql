-- What happened when. The hot table has one index, the one on time that chunk exclusion needs: each further index
-- would cost about half of the write rate.
CREATE EXTENSION IF NOT EXISTS timescaledb;

CREATE TABLE projection_offsets (
    worker       text        NOT NULL,
    topic        text        NOT NULL,
    partition    integer     NOT NULL CHECK (partition >= 0),
    next_offset  bigint      NOT NULL CHECK (next_offset >= 0),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (worker, topic, partition)
);
COMMENT ON TABLE projection_offsets IS
    'Next offset to apply of each partition, written in the transaction that writes the rows before it.';

CREATE TABLE metrics (
    observed_at       timestamptz      NOT NULL,
    device_id         text             NOT NULL,
    facility_id       text             NOT NULL,
    resource_group_id text             NOT NULL,
    kind              text             NOT NULL,
    power_mode        text,
    workload_id       text,
    power_w           double precision NOT NULL,
    hashrate_ths      double precision,
    utilization_ratio double precision,
    temp_c            double precision NOT NULL
);
COMMENT ON TABLE metrics IS 'Every reading of telemetry.asic and telemetry.gpu.';
SELECT create_hypertable('metrics', by_range('observed_at', INTERVAL '1 hour'));

CREATE TABLE price_data (
    observed_at timestamptz      NOT NULL,
    name        text             NOT NULL,
    kind        text             NOT NULL,
    price_usd   double precision NOT NULL,
    valid_from  timestamptz      NOT NULL,
    event_id    text             NOT NULL,
    UNIQUE (event_id, observed_at)
);
COMMENT ON TABLE price_data IS 'Prices: market ticks (USD a unit) and LMPs (USD/MWh).';
COMMENT ON COLUMN price_data.kind IS 'TICK, REAL_TIME or DAY_AHEAD.';
SELECT create_hypertable('price_data', by_range('observed_at', INTERVAL '1 day'));

CREATE TABLE fleet_windows (
    window_start          timestamptz      NOT NULL,
    window_end            timestamptz      NOT NULL,
    facility_id           text             NOT NULL,
    resource_group_id     text             NOT NULL,
    kind                  text             NOT NULL,
    source_topic          text             NOT NULL,
    source_partition      integer          NOT NULL,
    readings              bigint           NOT NULL,
    devices               bigint           NOT NULL,
    power_w_sum           double precision NOT NULL,
    hashrate_ths_sum      double precision NOT NULL,
    utilization_ratio_sum double precision NOT NULL,
    temp_c_sum            double precision NOT NULL,
    temp_c_max            double precision NOT NULL,
    event_id              text             NOT NULL,
    UNIQUE (event_id, window_start)
);
COMMENT ON TABLE fleet_windows IS 'Partial aggregates of 15 s by input partition; add the parts.';
SELECT create_hypertable('fleet_windows', by_range('window_start', INTERVAL '1 day'));

CREATE TABLE profitability_scores (
    evaluated_at       timestamptz      NOT NULL,
    facility_id        text             NOT NULL,
    resource_group_id  text             NOT NULL,
    kind               text             NOT NULL,
    best_mode          text,
    value_usd_mwh      double precision NOT NULL,
    break_even_usd_mwh double precision NOT NULL,
    margin_usd_mwh     double precision NOT NULL,
    load_mw            double precision NOT NULL,
    lmp_usd_mwh        double precision NOT NULL,
    power_cost_usd_mwh double precision NOT NULL,
    grid_value_usd_mwh double precision NOT NULL,
    event_id           text             NOT NULL,
    UNIQUE (event_id, resource_group_id, evaluated_at)
);
COMMENT ON TABLE profitability_scores IS 'What a MWh is worth in each use, by resource group.';
SELECT create_hypertable('profitability_scores', by_range('evaluated_at', INTERVAL '1 day'));

CREATE TABLE allocation_history (
    decided_at         timestamptz      NOT NULL,
    decision_id        text             NOT NULL,
    facility_id        text             NOT NULL,
    resource_group_id  text             NOT NULL,
    kind               text             NOT NULL,
    power_mode         text,
    power_mw           double precision NOT NULL,
    gpus_busy          integer          NOT NULL,
    margin_usd_h       double precision NOT NULL,
    reason             text             NOT NULL,
    cause              text             NOT NULL,
    interval_start     timestamptz      NOT NULL,
    interval_s         integer          NOT NULL,
    objective_usd_h    double precision NOT NULL,
    bound_usd_h        double precision NOT NULL,
    gap_ratio          double precision NOT NULL,
    status             text             NOT NULL,
    mining_mw          double precision NOT NULL,
    gpu_mw             double precision NOT NULL,
    grid_mw            double precision NOT NULL,
    power_cost_usd_mwh double precision NOT NULL,
    UNIQUE (decision_id, resource_group_id, decided_at)
);
COMMENT ON TABLE allocation_history IS 'Every decision, a row a resource group; the columns from objective_usd_h on are the whole decision''s.';
SELECT create_hypertable('allocation_history', by_range('decided_at', INTERVAL '1 day'));
