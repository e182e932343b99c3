SELECT DISTINCT decided_at AS time, facility_id || ' ' || use AS metric, mw AS value
FROM allocation_history
CROSS JOIN LATERAL (VALUES ('mining', mining_mw), ('GPU', gpu_mw), ('grid', grid_mw)) AS uses (use, mw)
WHERE $__timeFilter(decided_at)
ORDER BY 1
