-- How many leads came in on a day, and from where.
-- index: leads_day_idx
-- arguments: SELECT DISTINCT date_trunc('day', created_at AT TIME ZONE 'UTC') AS day FROM leads ORDER BY day LIMIT 100
SELECT source, count(*)
FROM leads
WHERE date_trunc('day', created_at AT TIME ZONE 'UTC') = $1
GROUP BY source
ORDER BY source;
