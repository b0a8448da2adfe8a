-- What leads sent, the newest first, a page at a time.
-- index: communications_inbound_idx
-- arguments: SELECT created_at, id FROM communications WHERE direction = 'inbound' ORDER BY id DESC LIMIT 100
SELECT id, lead_id, channel, subject, created_at
FROM communications
WHERE direction = 'inbound' AND (created_at, id) < ($1, $2)
ORDER BY created_at DESC, id DESC
LIMIT 25;
