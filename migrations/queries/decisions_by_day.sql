-- How many decisions of which kind a day brought.
-- index: agent_decisions_day_idx
-- arguments: SELECT DISTINCT date_trunc('day', decided_at AT TIME ZONE 'UTC') AS day FROM agent_decisions ORDER BY day LIMIT 100
SELECT action, count(*)
FROM agent_decisions
WHERE date_trunc('day', decided_at AT TIME ZONE 'UTC') = $1
GROUP BY action
ORDER BY action;
