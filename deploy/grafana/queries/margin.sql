SELECT decided_at AS time, facility_id AS metric, sum(margin_usd_h) AS value
FROM allocation_history
WHERE $__timeFilter(decided_at)
GROUP BY decided_at, decision_id, facility_id
UNION ALL
SELECT DISTINCT decided_at, facility_id || ' awarded capacity', capacity_usd_h
FROM allocation_history
WHERE capacity_usd_h <> 0 AND $__timeFilter(decided_at)
ORDER BY 1
