-- Averages by minute, five minutes and hour, each made from the one before it. Real-time: what is not materialised yet
-- is added at the time of the query. Sums and counts are kept, so that coarser averages are exact.
CREATE MATERIALIZED VIEW metrics_1m WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket(INTERVAL '1 minute', observed_at) AS bucket,
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

CREATE MATERIALIZED VIEW metrics_5m WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
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

CREATE MATERIALIZED VIEW metrics_1h WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
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
