-- Who is in a campaign, the newest first.
-- index: lead_campaigns_campaign_status_idx
-- arguments: SELECT campaign_id, 'active' FROM lead_campaigns GROUP BY campaign_id ORDER BY campaign_id LIMIT 100
SELECT lead_id, step_id, enrolled_at
FROM lead_campaigns
WHERE campaign_id = $1 AND status = $2
ORDER BY enrolled_at DESC
LIMIT 25;
