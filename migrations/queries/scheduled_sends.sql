-- The sender: what to send next.
-- index: communications_queue_idx
-- arguments: none
SELECT id, lead_id, channel, subject, body
FROM communications
WHERE status = 'queued'
ORDER BY created_at, id
LIMIT 50;
