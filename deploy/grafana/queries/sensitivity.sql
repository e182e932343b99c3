SELECT DISTINCT ON (resource_group_id) resource_group_id AS "group", margin_usd_h AS "margin USD/h",
       break_even_usd_mwh AS "power at break-even USD/MWh", break_even_btc_usd AS "BTC at break-even USD",
       break_even_gpu_hour_usd AS "GPU-hour at break-even USD", btc_sensitivity_usd_mwh AS "1 % of BTC USD/MWh",
       difficulty_sensitivity_usd_mwh AS "1 % of difficulty USD/MWh", power_sensitivity_usd_mwh AS "1 % of LMP USD/MWh",
       gpu_hour_sensitivity_usd_mwh AS "1 % of GPU-hour USD/MWh", transmission_usd_mwh AS "peak charge USD/MWh",
       fallbacks AS "stood in for"
FROM profitability_scores
WHERE $__timeFilter(evaluated_at)
ORDER BY resource_group_id, evaluated_at DESC
