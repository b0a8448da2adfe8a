-- What an agent does, and what becomes of it.
-- index: agent_decisions_summary_idx
-- arguments: SELECT id FROM agent_configurations ORDER BY id
SELECT action, status, count(*)
FROM agent_decisions
WHERE agent_id = $1
GROUP BY action, status
ORDER BY action, status;
