SELECT DISTINCT decided_at AS time, facility_id AS metric, objective_usd_h AS value
FROM allocation_history
WHERE $__timeFilter(decided_at)
ORDER BY 1
