-- What was decided about a lead last, and why.
-- index: agent_decisions_lead_idx
-- arguments: SELECT lead_id FROM agent_decisions GROUP BY lead_id ORDER BY count(*) DESC, lead_id LIMIT 100
SELECT id, agent_id, action, status, confidence, rationale, decided_at
FROM agent_decisions
WHERE lead_id = $1
ORDER BY decided_at DESC, id DESC
LIMIT 3;
