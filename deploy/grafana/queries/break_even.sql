SELECT evaluated_at AS time, resource_group_id || ' break-even' AS metric, break_even_usd_mwh AS value
FROM profitability_scores
WHERE kind = 'ASIC' AND $__timeFilter(evaluated_at)
UNION ALL
SELECT DISTINCT evaluated_at, facility_id || ' power', power_cost_usd_mwh
FROM profitability_scores
WHERE $__timeFilter(evaluated_at)
ORDER BY 1
