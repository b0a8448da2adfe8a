-- What a user wrote and whom they called, the newest first.
-- index: communications_user_created_idx
-- arguments: SELECT user_id FROM communications WHERE user_id IS NOT NULL GROUP BY user_id ORDER BY user_id LIMIT 100
SELECT id, lead_id, channel, status, created_at
FROM communications
WHERE user_id = $1
ORDER BY created_at DESC
LIMIT 10;
