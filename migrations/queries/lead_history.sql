-- The card of a lead: what passed between us last.
-- index: communications_lead_created_idx
-- arguments: SELECT lead_id FROM communications GROUP BY lead_id ORDER BY count(*) DESC, lead_id LIMIT 100
SELECT id, channel, direction, status, subject, body, created_at
FROM communications
WHERE lead_id = $1
ORDER BY created_at DESC, id DESC
LIMIT 3;
