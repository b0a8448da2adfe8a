-- What a person has to decide, the least certain first.
-- index: agent_decisions_review_idx
-- arguments: SELECT * FROM unnest(ARRAY[0.5, 0.7, 0.9]) AS confidence
SELECT id, agent_id, lead_id, action, confidence, rationale, decided_at
FROM agent_decisions
WHERE status = 'proposed' AND confidence < $1
ORDER BY confidence, decided_at
LIMIT 25;
