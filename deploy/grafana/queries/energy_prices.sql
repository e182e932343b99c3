SELECT valid_from AS time, name AS metric, price_usd AS value
FROM price_data
WHERE kind = 'REAL_TIME' AND $__timeFilter(observed_at)
ORDER BY 1
