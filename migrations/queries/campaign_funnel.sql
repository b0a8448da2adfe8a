-- How many leads reached which step of a campaign.
-- index: lead_campaigns_funnel_idx
-- arguments: SELECT campaign_id FROM lead_campaigns GROUP BY campaign_id ORDER BY campaign_id LIMIT 100
SELECT step_id, count(*)
FROM lead_campaigns
WHERE campaign_id = $1
GROUP BY step_id
ORDER BY step_id;
