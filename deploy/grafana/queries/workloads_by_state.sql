SELECT state, count(*) AS workloads, sum(gpus) AS gpus
FROM workloads
GROUP BY state
ORDER BY state
