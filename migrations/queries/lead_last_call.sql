-- The last call with a lead.
-- index: communications_lead_channel_idx
-- arguments: SELECT lead_id, 'phone' FROM communications GROUP BY lead_id ORDER BY count(*) DESC, lead_id LIMIT 100
SELECT id, body, metadata, created_at
FROM communications
WHERE lead_id = $1 AND channel = $2
ORDER BY created_at DESC
LIMIT 1;
