-- Conversations in a language that did not go well.
-- index: conversations_metadata_idx
-- arguments: SELECT jsonb_build_object('language', 'de', 'sentiment', jsonb_build_object('label', label)) FROM unnest(ARRAY['negative', 'neutral']) AS label
SELECT id, lead_id, subject, status
FROM conversations
WHERE metadata @> $1
ORDER BY last_message_at DESC, id DESC
LIMIT 25;
