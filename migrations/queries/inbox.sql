-- The inbox of the team: a page after the last conversation of the page before.
-- index: conversations_inbox_idx
-- arguments: SELECT status, last_message_at, id FROM conversations ORDER BY id LIMIT 100
SELECT id, lead_id, assigned_user_id, channel, subject, last_message_at
FROM conversations
WHERE status = $1 AND (last_message_at, id) < ($2, $3)
ORDER BY last_message_at DESC, id DESC
LIMIT 25;
