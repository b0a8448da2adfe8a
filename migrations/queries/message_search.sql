-- Search in everything that was said in conversations.
-- index: messages_search_idx
-- arguments: SELECT * FROM unnest(ARRAY['penetration test report', 'invoice cost centres', 'SAML OpenID', 'commission salesperson']) AS words
SELECT id, conversation_id, sender, body, created_at
FROM messages
WHERE to_tsvector('english', body) @@ plainto_tsquery('english', $1)
ORDER BY created_at DESC, id DESC
LIMIT 25;
