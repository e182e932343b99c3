SELECT starts_at AS time, settlement_point || ' ' || measure AS metric, usd_mwh AS value
FROM (
    SELECT DISTINCT ON (settlement_point, starts_at) *
    FROM price_forecasts
    WHERE $__timeFilter(observed_at)
    ORDER BY settlement_point, starts_at, observed_at DESC
) AS newest
CROSS JOIN LATERAL (
    VALUES ('expected', expected_usd_mwh), ('one in twenty below', p05_usd_mwh), ('one in twenty above', p95_usd_mwh)
) AS forecast (measure, usd_mwh)
ORDER BY 1
