-- The latest conversation with a lead.
-- index: conversations_lead_created_idx
-- arguments: SELECT lead_id FROM conversations GROUP BY lead_id ORDER BY count(*) DESC, lead_id LIMIT 100
SELECT id, channel, status, subject, created_at
FROM conversations
WHERE lead_id = $1
ORDER BY created_at DESC
LIMIT 1;
