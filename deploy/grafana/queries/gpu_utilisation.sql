SELECT bucket AS time, resource_group_id AS metric, utilization_ratio_sum / readings AS value
FROM metrics_1m
WHERE kind = 'GPU' AND $__timeFilter(bucket)
ORDER BY 1
