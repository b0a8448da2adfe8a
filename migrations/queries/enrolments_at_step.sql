-- Who waits at a step of a campaign.
-- index: lead_campaigns_step_status_idx
-- arguments: SELECT step_id, 'active' FROM lead_campaigns WHERE step_id IS NOT NULL GROUP BY step_id ORDER BY step_id LIMIT 100
SELECT lead_id, enrolled_at
FROM lead_campaigns
WHERE step_id = $1 AND status = $2
ORDER BY enrolled_at
LIMIT 10;
