SELECT occurred_at, actor, action, subject, outcome, reason
FROM audit_logs
ORDER BY occurred_at DESC
LIMIT 50
