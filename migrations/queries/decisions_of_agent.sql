-- What an agent decided, the newest first, a page at a time.
-- index: agent_decisions_agent_idx
-- arguments: SELECT agent_id, decided_at, id FROM agent_decisions ORDER BY id DESC LIMIT 100
SELECT id, lead_id, action, status, confidence, rationale, decided_at
FROM agent_decisions
WHERE agent_id = $1 AND (decided_at, id) < ($2, $3)
ORDER BY decided_at DESC, id DESC
LIMIT 25;
