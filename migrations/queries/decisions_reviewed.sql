-- What a user has reviewed last.
-- index: agent_decisions_reviewer_idx
-- arguments: SELECT reviewed_by FROM agent_decisions WHERE reviewed_by IS NOT NULL GROUP BY reviewed_by ORDER BY reviewed_by LIMIT 100
SELECT id, action, status, confidence, updated_at
FROM agent_decisions
WHERE reviewed_by = $1
ORDER BY updated_at DESC
LIMIT 5;
