-- How much was said on a day, and by whom.
-- index: messages_day_idx
-- arguments: SELECT DISTINCT date_trunc('day', created_at AT TIME ZONE 'UTC') AS day FROM messages ORDER BY day LIMIT 100
SELECT sender, count(*)
FROM messages
WHERE date_trunc('day', created_at AT TIME ZONE 'UTC') = $1
GROUP BY sender
ORDER BY sender;
