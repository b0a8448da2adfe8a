-- How many conversations were closed in a week.
-- index: conversations_closed_week_idx
-- arguments: SELECT DISTINCT date_trunc('week', closed_at AT TIME ZONE 'UTC') AS week FROM conversations WHERE closed_at IS NOT NULL ORDER BY week LIMIT 100
SELECT channel, count(*)
FROM conversations
WHERE date_trunc('week', closed_at AT TIME ZONE 'UTC') = $1
GROUP BY channel
ORDER BY channel;
