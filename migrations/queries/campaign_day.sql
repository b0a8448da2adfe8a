-- What a campaign sent on a day.
-- index: communications_campaign_day_idx
-- arguments: SELECT campaign_id, date_trunc('day', max(sent_at) AT TIME ZONE 'UTC') FROM communications WHERE campaign_id IS NOT NULL GROUP BY campaign_id ORDER BY campaign_id LIMIT 100
SELECT channel, status, count(*)
FROM communications
WHERE campaign_id = $1 AND date_trunc('day', sent_at AT TIME ZONE 'UTC') = $2
GROUP BY channel, status
ORDER BY channel, status;
