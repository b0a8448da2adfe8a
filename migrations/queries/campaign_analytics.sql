-- What became of what a campaign sent.
-- index: communications_campaign_result_idx
-- arguments: SELECT campaign_id FROM communications WHERE campaign_id IS NOT NULL GROUP BY campaign_id ORDER BY campaign_id LIMIT 100
SELECT channel, status, count(*)
FROM communications
WHERE campaign_id = $1
GROUP BY channel, status
ORDER BY channel, status;
