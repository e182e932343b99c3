SELECT facility_id, resource_group_id, power_mode, power_mw, gpus_busy, margin_usd_h, reason, cause, decided_at
FROM allocations
ORDER BY facility_id, resource_group_id
