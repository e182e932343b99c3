-- What is true now (Postgres): rows by table
SELECT 'facilities' AS "table", count(*) AS rows FROM facilities
UNION ALL SELECT 'resources', count(*) FROM resources
UNION ALL SELECT 'customers', count(*) FROM customers
UNION ALL SELECT 'workloads', count(*) FROM workloads
UNION ALL SELECT 'allocations', count(*) FROM allocations
UNION ALL SELECT 'audit_logs', count(*) FROM audit_logs
