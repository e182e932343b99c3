SELECT DISTINCT decided_at, facility_id, cause, objective_usd_h, bound_usd_h, gap_ratio, status, mining_mw, gpu_mw, grid_mw, decision_id
FROM allocation_history
WHERE $__timeFilter(decided_at)
ORDER BY decided_at DESC
LIMIT 50
