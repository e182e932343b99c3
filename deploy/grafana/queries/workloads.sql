SELECT workload_id, customer_id, state, facility_id, gpus, priority, progress_s, duration_s, reason, occurred_at
FROM workloads
ORDER BY occurred_at DESC
LIMIT 50
