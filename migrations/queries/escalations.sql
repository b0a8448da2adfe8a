-- Conversations that an agent gave up, the oldest first.
-- index: conversations_escalated_idx
-- arguments: none
SELECT id, lead_id, assigned_user_id, subject, created_at
FROM conversations
WHERE status = 'escalated'
ORDER BY created_at, id
LIMIT 25;
