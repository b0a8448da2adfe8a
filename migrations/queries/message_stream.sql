-- What leads or agents said last, over all conversations.
-- index: messages_sender_created_idx
-- arguments: SELECT * FROM unnest(ARRAY['lead', 'agent', 'user', 'system']) AS sender
SELECT id, conversation_id, body, created_at
FROM messages
WHERE sender = $1
ORDER BY created_at DESC
LIMIT 25;
