-- What unhappy leads say about a topic.
-- index: messages_metadata_idx
-- arguments: SELECT jsonb_build_object('sentiment', 'negative', 'intents', jsonb_build_array(topic)) FROM unnest(ARRAY['contract', 'pricing', 'support', 'timeline']) AS topic
SELECT id, conversation_id, body, created_at
FROM messages
WHERE metadata @> $1
ORDER BY created_at DESC, id DESC
LIMIT 25;
