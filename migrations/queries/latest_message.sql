-- The line under a conversation in the inbox: its latest message.
-- index: messages_latest_idx
-- arguments: SELECT id FROM conversations ORDER BY id LIMIT 100
SELECT id, sender, body, created_at
FROM messages
WHERE conversation_id = $1
ORDER BY created_at DESC, id DESC
LIMIT 1;
