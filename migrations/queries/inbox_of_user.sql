-- The inbox of one user.
-- index: conversations_user_inbox_idx
-- arguments: SELECT assigned_user_id, 'open' FROM conversations WHERE assigned_user_id IS NOT NULL GROUP BY assigned_user_id ORDER BY assigned_user_id LIMIT 100
SELECT id, lead_id, channel, subject, last_message_at
FROM conversations
WHERE assigned_user_id = $1 AND status = $2
ORDER BY last_message_at DESC
LIMIT 10;
