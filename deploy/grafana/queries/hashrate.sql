SELECT bucket AS time, resource_group_id || ' TH/s' AS metric, hashrate_ths_sum / 4 AS value
FROM metrics_1m
WHERE kind = 'ASIC' AND $__timeFilter(bucket)
ORDER BY 1
