-- Rows come in about the order of time. An ascending index on it grows at its right end, where PostgreSQL inserts without
-- a descent and fills pages up; at its left end, which newest first would have it do, it does neither. Writers wait while
-- the new ones are built.
DROP INDEX IF EXISTS metrics_observed_at_idx;
DROP INDEX IF EXISTS price_data_observed_at_idx;
DROP INDEX IF EXISTS fleet_windows_window_start_idx;
DROP INDEX IF EXISTS profitability_scores_evaluated_at_idx;
DROP INDEX IF EXISTS allocation_history_decided_at_idx;
DROP INDEX IF EXISTS power_uses_evaluated_at_idx;

CREATE INDEX metrics_observed_at_idx ON metrics (observed_at);
CREATE INDEX price_data_observed_at_idx ON price_data (observed_at);
CREATE INDEX fleet_windows_window_start_idx ON fleet_windows (window_start);
CREATE INDEX profitability_scores_evaluated_at_idx ON profitability_scores (evaluated_at);
CREATE INDEX allocation_history_decided_at_idx ON allocation_history (decided_at);
CREATE INDEX power_uses_evaluated_at_idx ON power_uses (evaluated_at);
