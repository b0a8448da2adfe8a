-- Conversations that touched all of several topics.
-- index: conversations_topics_idx
-- arguments: SELECT * FROM (VALUES (ARRAY['pricing', 'integration', 'security']), (ARRAY['demo', 'comparison', 'timeline']), (ARRAY['contract', 'support', 'reporting'])) AS topics
SELECT id, lead_id, subject, status
FROM conversations
WHERE metadata -> 'topics' ?& $1
ORDER BY last_message_at DESC, id DESC
LIMIT 25;
