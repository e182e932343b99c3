-- Event time may lie a day back (the simulator starts there), so refreshes look back over two days, and chunks are
-- compressed only when they are older than that: writing to a compressed chunk is slow.
SELECT add_continuous_aggregate_policy('metrics_1m', INTERVAL '2 days', INTERVAL '1 minute', INTERVAL '1 minute');
SELECT add_continuous_aggregate_policy('metrics_5m', INTERVAL '2 days', INTERVAL '5 minutes', INTERVAL '5 minutes');
SELECT add_continuous_aggregate_policy('metrics_1h', INTERVAL '3 days', INTERVAL '1 hour', INTERVAL '1 hour');

ALTER TABLE metrics SET (timescaledb.compress, timescaledb.compress_segmentby = 'facility_id, resource_group_id',
                         timescaledb.compress_orderby = 'observed_at DESC');
ALTER TABLE fleet_windows SET (timescaledb.compress, timescaledb.compress_segmentby = 'facility_id, resource_group_id',
                               timescaledb.compress_orderby = 'window_start DESC, event_id');
SELECT add_compression_policy('metrics', INTERVAL '2 days');
SELECT add_compression_policy('fleet_windows', INTERVAL '3 days');

SELECT add_retention_policy('metrics', INTERVAL '30 days');
SELECT add_retention_policy('fleet_windows', INTERVAL '90 days');
SELECT add_retention_policy('price_data', INTERVAL '180 days');
SELECT add_retention_policy('profitability_scores', INTERVAL '90 days');
SELECT add_retention_policy('allocation_history', INTERVAL '180 days');
SELECT add_retention_policy('metrics_1m', INTERVAL '60 days');
SELECT add_retention_policy('metrics_5m', INTERVAL '90 days');
SELECT add_retention_policy('metrics_1h', INTERVAL '180 days');
