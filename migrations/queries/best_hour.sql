-- What becomes of messages sent at an hour of the week.
-- index: communications_hour_idx
-- arguments: SELECT channel, day, hour FROM unnest(ARRAY['sms', 'linkedin']) AS channel, generate_series(1, 5) AS day, generate_series(8, 17) AS hour
SELECT status, count(*)
FROM communications
WHERE channel = $1
  AND extract(isodow FROM sent_at AT TIME ZONE 'UTC') = $2
  AND extract(hour FROM sent_at AT TIME ZONE 'UTC') = $3
GROUP BY status
ORDER BY status;
