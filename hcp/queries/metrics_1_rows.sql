-- What happened when (TimescaleDB): rows by table
SELECT 'metrics' AS "table", count(*) AS rows FROM metrics
UNION ALL SELECT 'price_data', count(*) FROM price_data
UNION ALL SELECT 'price_forecasts', count(*) FROM price_forecasts
UNION ALL SELECT 'profitability_scores', count(*) FROM profitability_scores
UNION ALL SELECT 'power_uses', count(*) FROM power_uses
UNION ALL SELECT 'allocation_history', count(*) FROM allocation_history
