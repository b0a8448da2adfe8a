-- Search in everything that was written to and by leads.
-- index: communications_search_idx
-- arguments: SELECT * FROM unnest(ARRAY['penetration audit', 'invoice cost centres', 'procurement', 'spam invitation']) AS words
SELECT id, lead_id, subject, created_at
FROM communications
WHERE to_tsvector('english', coalesce(subject, '') || ' ' || body) @@ plainto_tsquery('english', $1)
ORDER BY created_at DESC, id DESC
LIMIT 25;
