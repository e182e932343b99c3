SELECT observed_at AS time, name AS metric, price_usd AS value
FROM price_data
WHERE name = 'BTC-USD' AND $__timeFilter(observed_at)
ORDER BY 1
