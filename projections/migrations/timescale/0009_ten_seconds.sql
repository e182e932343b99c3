-- Ten seconds under the minute: a refresh of one bucket reads every row of it, and a minute of a large fleet is 1.6
-- million of them. An aggregate can't be given another source, so the minute and those above it are made anew and get the
-- rows that they had: of times whose readings retention has dropped, nothing else knows. The first refreshes compute what
-- lies within their windows again; older rows stay as they are.
ALTER MATERIALIZED VIEW metrics_1m RENAME TO former_1m;
ALTER MATERIALIZED VIEW metrics_5m RENAME TO former_5m;
ALTER MATERIALIZED VIEW metrics_1h RENAME TO former_1h;

CREATE MATERIALIZED VIEW metrics_10s WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket(INTERVAL '10 seconds', observed_at) AS bucket,
       facility_id, resource_group_id, kind,
       count(*)               AS readings,
       sum(power_w)           AS power_w_sum,
       sum(hashrate_ths)      AS hashrate_ths_sum,
       sum(utilization_ratio) AS utilization_ratio_sum,
       sum(temp_c)            AS temp_c_sum,
       max(temp_c)            AS temp_c_max
FROM metrics
GROUP BY 1, 2, 3, 4
WITH NO DATA;

CREATE MATERIALIZED VIEW metrics_1m WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT time_bucket(INTERVAL '1 minute', bucket) AS bucket,
       facility_id, resource_group_id, kind,
       sum(readings)              AS readings,
       sum(power_w_sum)           AS power_w_sum,
       sum(hashrate_ths_sum)      AS hashrate_ths_sum,
       sum(utilization_ratio_sum) AS utilization_ratio_sum,
       sum(temp_c_sum)            AS temp_c_sum,
       max(temp_c_max)            AS temp_c_max
FROM metrics_10s
GROUP BY 1, 2, 3, 4
WITH NO DATA;

CREATE MATERIALIZED VIEW metrics_5m WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT time_bucket(INTERVAL '5 minutes', bucket) AS bucket,
       facility_id, resource_group_id, kind,
       sum(readings)              AS readings,
       sum(power_w_sum)           AS power_w_sum,
       sum(hashrate_ths_sum)      AS hashrate_ths_sum,
       sum(utilization_ratio_sum) AS utilization_ratio_sum,
       sum(temp_c_sum)            AS temp_c_sum,
       max(temp_c_max)            AS temp_c_max
FROM metrics_1m
GROUP BY 1, 2, 3, 4
WITH NO DATA;

CREATE MATERIALIZED VIEW metrics_1h WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
SELECT time_bucket(INTERVAL '1 hour', bucket) AS bucket,
       facility_id, resource_group_id, kind,
       sum(readings)              AS readings,
       sum(power_w_sum)           AS power_w_sum,
       sum(hashrate_ths_sum)      AS hashrate_ths_sum,
       sum(utilization_ratio_sum) AS utilization_ratio_sum,
       sum(temp_c_sum)            AS temp_c_sum,
       max(temp_c_max)            AS temp_c_max
FROM metrics_5m
GROUP BY 1, 2, 3, 4
WITH NO DATA;

-- What has been materialised, and no more: the rest still comes from the readings.
ALTER MATERIALIZED VIEW former_1m SET (timescaledb.materialized_only = true);
ALTER MATERIALIZED VIEW former_5m SET (timescaledb.materialized_only = true);
ALTER MATERIALIZED VIEW former_1h SET (timescaledb.materialized_only = true);
INSERT INTO metrics_1m SELECT * FROM former_1m;
INSERT INTO metrics_5m SELECT * FROM former_5m;
INSERT INTO metrics_1h SELECT * FROM former_1h;
DROP MATERIALIZED VIEW former_1h;
DROP MATERIALIZED VIEW former_5m;
DROP MATERIALIZED VIEW former_1m;

-- An aggregate serves what it holds up to its watermark, which an insert doesn't move. The end of drop_chunks does, even
-- where there is nothing to drop: to the end of the newest bucket that is there.
SELECT drop_chunks('metrics_1m', older_than => TIMESTAMPTZ 'epoch');
SELECT drop_chunks('metrics_5m', older_than => TIMESTAMPTZ 'epoch');
SELECT drop_chunks('metrics_1h', older_than => TIMESTAMPTZ 'epoch');
ALTER MATERIALIZED VIEW metrics_1m SET (timescaledb.materialized_only = false);
ALTER MATERIALIZED VIEW metrics_5m SET (timescaledb.materialized_only = false);
ALTER MATERIALIZED VIEW metrics_1h SET (timescaledb.materialized_only = false);

-- In this order: jobs that are due together run in the order of their numbers where there is one session, and each finds
-- the buckets that it is made from.
SELECT add_continuous_aggregate_policy('metrics_10s', INTERVAL '2 days', INTERVAL '10 seconds', INTERVAL '1 minute');
SELECT add_continuous_aggregate_policy('metrics_1m', INTERVAL '2 days', INTERVAL '1 minute', INTERVAL '1 minute');
SELECT add_continuous_aggregate_policy('metrics_5m', INTERVAL '2 days', INTERVAL '5 minutes', INTERVAL '5 minutes');
SELECT add_continuous_aggregate_policy('metrics_1h', INTERVAL '3 days', INTERVAL '1 hour', INTERVAL '1 hour');
SELECT add_retention_policy('metrics_10s', INTERVAL '30 days');
SELECT add_retention_policy('metrics_1m', INTERVAL '60 days');
SELECT add_retention_policy('metrics_5m', INTERVAL '90 days');
SELECT add_retention_policy('metrics_1h', INTERVAL '180 days');
