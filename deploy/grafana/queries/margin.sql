SELECT decided_at AS time, facility_id AS metric, sum(margin_usd_h) AS value
FROM allocation_history
WHERE $__timeFilter(decided_at)
GROUP BY decided_at, decision_id, facility_id
ORDER BY 1
