-- The newest decisions of one kind.
-- index: agent_decisions_action_idx
-- arguments: SELECT DISTINCT action, status FROM agent_decisions ORDER BY action, status
SELECT id, agent_id, lead_id, confidence, decided_at
FROM agent_decisions
WHERE action = $1 AND status = $2
ORDER BY decided_at DESC
LIMIT 25;
