-- How far the leads of a campaign have come.
-- index: leads_campaign_status_idx
-- arguments: SELECT campaign_id FROM leads WHERE campaign_id IS NOT NULL GROUP BY campaign_id ORDER BY campaign_id LIMIT 100
SELECT status, count(*)
FROM leads
WHERE campaign_id = $1
GROUP BY status
ORDER BY status;
